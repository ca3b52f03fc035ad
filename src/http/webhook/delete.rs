use std::sync::Arc;

use axum::extract::State;

use super::{WebhookDto, webhook_id};
use crate::{
    domain::Caller,
    http::{
        envelope::{Envelope, ErrorEnvelope},
        error::ApiError,
        extract::ApiPath,
    },
    service::Service,
};

/// Delete a webhook
///
/// With its deliveries, those that wait too.
#[utoipa::path(
    delete,
    path = "/api/ota/webhooks/{webhookId}",
    tag = "event",
    params(("webhookId" = String, Path, format = Uuid)),
    responses(
        (status = 200, description = "What was deleted", body = Envelope<WebhookDto>),
        (status = 400, description = "Not a webhook id", body = ErrorEnvelope),
        (status = 404, description = "No such webhook", body = ErrorEnvelope),
        (status = 503, description = "Database away", body = ErrorEnvelope),
    )
)]
pub async fn delete(
    State(service): State<Arc<Service>>,
    caller: Caller,
    ApiPath(id): ApiPath<String>,
) -> Result<Envelope<WebhookDto>, ApiError> {
    Ok(Envelope::of(
        service
            .delete_webhook(&caller, webhook_id(&id)?)
            .await?
            .into(),
    ))
}
