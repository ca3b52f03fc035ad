use std::sync::Arc;

use axum::extract::State;

use super::GatewayDto;
use crate::{
    http::{
        envelope::{Envelope, ErrorEnvelope},
        error::ApiError,
        extract::ApiPath,
    },
    service::Service,
};

/// One gateway
#[utoipa::path(
    get,
    path = "/api/ota/gateways/{gatewayId}",
    tag = "gateway",
    params(("gatewayId" = String, Path, example = "HQ2026TEST001")),
    responses(
        (status = 200, description = "The gateway", body = Envelope<GatewayDto>),
        (status = 400, description = "A gateway id that makes no sense", body = ErrorEnvelope),
        (status = 404, description = "Never heard of", body = ErrorEnvelope),
        (status = 503, description = "Database away", body = ErrorEnvelope),
    )
)]
pub async fn get(
    State(service): State<Arc<Service>>,
    ApiPath(gateway_id): ApiPath<String>,
) -> Result<Envelope<GatewayDto>, ApiError> {
    Ok(Envelope::of(service.gateway(&gateway_id).await?.into()))
}
