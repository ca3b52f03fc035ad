use std::sync::Arc;

use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::webhook_id;
use crate::{
    domain::Caller,
    http::{
        envelope::{Envelope, ErrorEnvelope},
        error::ApiError,
        extract::ApiPath,
    },
    service::Service,
};

/// What came of a test.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PingResult {
    /// Whether the receiver has answered with 2xx.
    delivered: bool,
    /// The header `X-Airlift-Delivery`.
    delivery_id: Uuid,
    /// HTTP status of the answer; null if there was none.
    answer_status: Option<u16>,
    /// Why it was not delivered.
    error: Option<String>,
}

/// Test a webhook
///
/// Sends one event of the kind `ping` and waits up to 10 s for the receiver's answer. It is not
/// sent again and not among the deliveries.
#[utoipa::path(
    post,
    path = "/api/ota/webhooks/{webhookId}/ping",
    tag = "event",
    params(("webhookId" = String, Path, format = Uuid)),
    responses(
        (status = 200, description = "What came of it", body = Envelope<PingResult>),
        (status = 400, description = "Not a webhook id", body = ErrorEnvelope),
        (status = 404, description = "No such webhook", body = ErrorEnvelope),
        (status = 503, description = "Database away", body = ErrorEnvelope),
    )
)]
pub async fn ping(
    State(service): State<Arc<Service>>,
    caller: Caller,
    ApiPath(id): ApiPath<String>,
) -> Result<Envelope<PingResult>, ApiError> {
    let ping = service.ping_webhook(&caller, webhook_id(&id)?).await?;
    Ok(Envelope::of(PingResult {
        delivered: ping.error.is_none(),
        delivery_id: ping.delivery_id,
        answer_status: ping.status,
        error: ping.error,
    }))
}
