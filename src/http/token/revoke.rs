use std::sync::Arc;

use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::{TokenDto, token_id, warning};
use crate::{
    domain::Caller,
    http::{
        envelope::{Envelope, ErrorEnvelope},
        error::ApiError,
        extract::ApiPath,
    },
    service::{Service, TokenRef},
};

/// A token that is good no more.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RevokedToken {
    #[serde(flatten)]
    token: TokenDto,
    /// Says so if no administrator is left.
    warning: Option<String>,
}

/// Revoke a token
///
/// For ever. This server refuses it at once, others over the same database within a second.
#[utoipa::path(
    delete,
    path = "/api/ota/tokens/{tokenId}",
    tag = "access",
    params(("tokenId" = String, Path, format = Uuid)),
    responses(
        (status = 200, description = "What was revoked", body = Envelope<RevokedToken>),
        (status = 400, description = "Not a token id", body = ErrorEnvelope),
        (status = 404, description = "No such token", body = ErrorEnvelope),
        (status = 503, description = "Database away", body = ErrorEnvelope),
    )
)]
pub async fn revoke(
    State(service): State<Arc<Service>>,
    caller: Caller,
    ApiPath(id): ApiPath<String>,
) -> Result<Envelope<RevokedToken>, ApiError> {
    let token = TokenRef::Id(token_id(&id)?);
    let revoked = service.revoke_token(&caller, token).await?;
    Ok(Envelope::of(RevokedToken {
        token: TokenDto::new(revoked.now, service.now()),
        warning: warning(revoked.admin_left),
    }))
}
