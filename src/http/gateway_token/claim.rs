use std::sync::Arc;

use axum::{
    extract::State,
    http::{HeaderMap, header::AUTHORIZATION},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    domain::Caller,
    http::{
        envelope::{Envelope, ErrorEnvelope},
        error::ApiError,
        extract::{ApiPath, OptionalJson},
    },
    service::Service,
};

#[derive(Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Claim {
    /// What the gateway made itself and has stored safely: `alg_` and 32 random bytes as base64url
    /// without padding. Without one the server makes it.
    #[schema(min_length = 47, max_length = 47)]
    token: Option<String>,
}

/// A claim that was granted.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct GrantedClaim {
    gateway_id: String,
    /// Of the token that the server made, shown this once; null if the gateway made it.
    token: Option<String>,
}

/// Claim a gateway's first token
///
/// With a provisioning key as the bearer token, which opens nothing else. The gateway makes its token,
/// stores it, then claims; if no answer comes, it claims again with the same.
#[utoipa::path(
    post,
    path = "/api/ota/gateways/{gatewayId}/claim",
    tag = "gateway",
    params(("gatewayId" = String, Path, example = "HQ2026TEST001")),
    request_body = Option<Claim>,
    responses(
        (status = 200, description = "The token is good", body = Envelope<GrantedClaim>),
        (status = 400, description = "Not a gateway id, or a body that makes no sense", body = ErrorEnvelope),
        (status = 401, description = "No good provisioning key", body = ErrorEnvelope),
        (status = 403, description = "The key is used up or for other devices, or the gateway was revoked", body = ErrorEnvelope),
        (status = 409, description = "The gateway has another token", body = ErrorEnvelope),
        (status = 413, description = "Larger than the limit that the message names", body = ErrorEnvelope),
        (status = 415, description = "Not JSON", body = ErrorEnvelope),
        (status = 503, description = "Database away", body = ErrorEnvelope),
    )
)]
pub async fn claim(
    State(service): State<Arc<Service>>,
    caller: Caller,
    ApiPath(gateway_id): ApiPath<String>,
    headers: HeaderMap,
    OptionalJson(body): OptionalJson<Claim>,
) -> Result<Envelope<GrantedClaim>, ApiError> {
    let own = body.unwrap_or_default().token;
    let claimed = service
        .claim_gateway_token(&caller, &gateway_id, bearer(&headers), own.as_deref())
        .await?;
    Ok(Envelope::of(GrantedClaim {
        gateway_id,
        token: claimed.secret.map(|secret| secret.reveal().to_owned()),
    }))
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}
