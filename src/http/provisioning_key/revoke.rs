use std::sync::Arc;

use axum::extract::State;

use super::ProvisioningKeyDto;
use crate::{
    domain::Caller,
    http::{
        envelope::{Envelope, ErrorEnvelope},
        error::ApiError,
        extract::ApiPath,
    },
    service::Service,
};

/// Revoke a provisioning key
///
/// From now on nobody claims with it; gateways that have keep their tokens.
#[utoipa::path(
    delete,
    path = "/api/ota/provisioning-keys/{keyId}",
    tag = "gateway",
    params(("keyId" = String, Path, format = Uuid)),
    responses(
        (status = 200, description = "What was revoked", body = Envelope<ProvisioningKeyDto>),
        (status = 400, description = "Not a key's id", body = ErrorEnvelope),
        (status = 404, description = "No such key, or it is revoked already", body = ErrorEnvelope),
        (status = 503, description = "Database away", body = ErrorEnvelope),
    )
)]
pub async fn revoke(
    State(service): State<Arc<Service>>,
    caller: Caller,
    ApiPath(key_id): ApiPath<String>,
) -> Result<Envelope<ProvisioningKeyDto>, ApiError> {
    let key_id = key_id.parse().map_err(|_| {
        ApiError::bad_request(
            "invalid_key_id",
            format!("{key_id:?} is not the keyId of a provisioning key, a UUID"),
        )
    })?;
    let key = service.revoke_provisioning_key(&caller, key_id).await?;
    Ok(Envelope::of(key.into()))
}
