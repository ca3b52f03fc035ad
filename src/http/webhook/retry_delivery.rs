use std::sync::Arc;

use axum::extract::State;

use super::{DeliveryDto, delivery_id, webhook_id};
use crate::{
    domain::Caller,
    http::{
        envelope::{Envelope, ErrorEnvelope},
        error::ApiError,
        extract::ApiPath,
    },
    service::Service,
};

/// Retry a dead delivery
///
/// It is attempted at once and gets all its attempts again.
#[utoipa::path(
    post,
    path = "/api/ota/webhooks/{webhookId}/deliveries/{deliveryId}/retry",
    tag = "event",
    params(
        ("webhookId" = String, Path, format = Uuid),
        ("deliveryId" = String, Path, format = Uuid)
    ),
    responses(
        (status = 200, description = "The delivery, waiting", body = Envelope<DeliveryDto>),
        (status = 400, description = "Not an id", body = ErrorEnvelope),
        (status = 404, description = "No such webhook or delivery", body = ErrorEnvelope),
        (status = 409, description = "Not dead", body = ErrorEnvelope),
        (status = 503, description = "Database away", body = ErrorEnvelope),
    )
)]
pub async fn retry_delivery(
    State(service): State<Arc<Service>>,
    caller: Caller,
    ApiPath((webhook, delivery)): ApiPath<(String, String)>,
) -> Result<Envelope<DeliveryDto>, ApiError> {
    let delivery = service
        .retry_delivery(&caller, webhook_id(&webhook)?, delivery_id(&delivery)?)
        .await?;
    Ok(Envelope::of(delivery.into()))
}
