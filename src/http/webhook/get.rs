use std::sync::Arc;

use axum::extract::State;

use super::{WebhookDto, webhook_id};
use crate::{
    http::{
        envelope::{Envelope, ErrorEnvelope},
        error::ApiError,
        extract::ApiPath,
    },
    service::Service,
};

/// One webhook
#[utoipa::path(
    get,
    path = "/api/ota/webhooks/{webhookId}",
    tag = "event",
    params(("webhookId" = String, Path, format = Uuid)),
    responses(
        (status = 200, description = "The webhook", body = Envelope<WebhookDto>),
        (status = 400, description = "Not a webhook id", body = ErrorEnvelope),
        (status = 404, description = "No such webhook", body = ErrorEnvelope),
        (status = 503, description = "Database away", body = ErrorEnvelope),
    )
)]
pub async fn get(
    State(service): State<Arc<Service>>,
    ApiPath(id): ApiPath<String>,
) -> Result<Envelope<WebhookDto>, ApiError> {
    Ok(Envelope::of(
        service.webhook(webhook_id(&id)?).await?.into(),
    ))
}
