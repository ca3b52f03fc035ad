use std::sync::Arc;

use axum::{extract::State, http::StatusCode};

use super::SessionDto;
use crate::{
    domain::{Actor, Caller},
    http::{
        envelope::{Envelope, ErrorEnvelope},
        error::ApiError,
        shown::Shown,
    },
    service::Service,
};

/// Who am I?
///
/// Also says whether the server is open.
#[utoipa::path(
    get,
    path = "/api/ota/session",
    tag = "access",
    responses(
        (status = 200, description = "Who asks", body = Envelope<SessionDto>),
        (status = 401, description = "Nobody that this server knows", body = ErrorEnvelope),
        (status = 503, description = "Database away", body = ErrorEnvelope),
    )
)]
pub async fn get(
    State(service): State<Arc<Service>>,
    caller: Caller,
    shown: Shown,
) -> Result<Envelope<SessionDto>, ApiError> {
    if caller.actor == Actor::Nobody {
        return Err(ApiError::new(
            StatusCode::UNAUTHORIZED,
            "unauthenticated",
            "nobody is logged in: log in, or send Authorization: Bearer <token>",
        ));
    }
    let end = service
        .credential_end(shown.presented(), &caller.actor)
        .await?;
    Ok(Envelope::of(SessionDto::new(&caller.actor, end.expires_at)))
}
