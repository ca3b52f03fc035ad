use std::sync::Arc;

use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    domain::Caller,
    http::{
        envelope::{Envelope, ErrorEnvelope},
        error::ApiError,
        extract::ApiPath,
    },
    service::Service,
};

/// What was revoked.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RevokedGatewayTokens {
    gateway_id: String,
    /// Tokens that were good until now.
    revoked: u64,
}

/// Revoke a gateway's tokens
///
/// All at once. Its connection to the built-in broker is cut, and it can't claim another token until
/// one is made for it.
#[utoipa::path(
    delete,
    path = "/api/ota/gateways/{gatewayId}/token",
    tag = "gateway",
    params(("gatewayId" = String, Path, example = "HQ2026TEST001")),
    responses(
        (status = 200, description = "What was revoked", body = Envelope<RevokedGatewayTokens>),
        (status = 400, description = "Not a gateway id", body = ErrorEnvelope),
        (status = 404, description = "It has no token", body = ErrorEnvelope),
        (status = 503, description = "Database away", body = ErrorEnvelope),
    )
)]
pub async fn revoke(
    State(service): State<Arc<Service>>,
    caller: Caller,
    ApiPath(gateway_id): ApiPath<String>,
) -> Result<Envelope<RevokedGatewayTokens>, ApiError> {
    let revoked = service.revoke_gateway_tokens(&caller, &gateway_id).await?;
    Ok(Envelope::of(RevokedGatewayTokens {
        gateway_id,
        revoked,
    }))
}
