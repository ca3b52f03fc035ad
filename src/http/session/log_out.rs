use std::sync::Arc;

use axum::{
    extract::State,
    http::{HeaderMap, header::SET_COOKIE},
    response::{IntoResponse, Response},
};

use super::cookie;
use crate::{
    domain::Caller,
    http::{
        envelope::{Envelope, ErrorEnvelope, Nothing},
        error::ApiError,
        same_origin::SameOrigin,
        shown::Shown,
    },
    service::Service,
};

/// Log out of the web page
///
/// Ends the session of the cookie, and takes the cookie away.
#[utoipa::path(
    post,
    path = "/api/ota/logout",
    tag = "access",
    responses(
        (status = 200, description = "Nobody is logged in", body = Envelope<Nothing>),
        (status = 403, description = "Not shown to come from a page of this server", body = ErrorEnvelope),
        (status = 503, description = "Database away", body = ErrorEnvelope),
    )
)]
pub async fn log_out(
    State(service): State<Arc<Service>>,
    caller: Caller,
    shown: Shown,
    _: SameOrigin,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    if let Some(session) = shown.presented().session {
        service.log_out(&caller, session).await?;
    }
    let cookie = cookie("", 0, &service, &headers)?;
    Ok(([(SET_COOKIE, cookie)], Envelope::of(Nothing(()))).into_response())
}
