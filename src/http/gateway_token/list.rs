use std::sync::Arc;

use axum::extract::State;

use super::GatewayTokenDto;
use crate::{
    http::{
        envelope::{Envelope, ErrorEnvelope},
        error::ApiError,
        extract::ApiPath,
    },
    service::Service,
};

/// List a gateway's tokens
///
/// Oldest first, ended ones too. Without their secrets.
#[utoipa::path(
    get,
    path = "/api/ota/gateways/{gatewayId}/tokens",
    tag = "gateway",
    params(("gatewayId" = String, Path, example = "HQ2026TEST001")),
    responses(
        (status = 200, description = "Its tokens", body = Envelope<Vec<GatewayTokenDto>>),
        (status = 400, description = "Not a gateway id", body = ErrorEnvelope),
        (status = 503, description = "Database away", body = ErrorEnvelope),
    )
)]
pub async fn list(
    State(service): State<Arc<Service>>,
    ApiPath(gateway_id): ApiPath<String>,
) -> Result<Envelope<Vec<GatewayTokenDto>>, ApiError> {
    let tokens = service.gateway_tokens(&gateway_id).await?;
    Ok(Envelope::of(tokens.into_iter().map(Into::into).collect()))
}
