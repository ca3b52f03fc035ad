//! `/api/ota/session`, `/api/ota/login`, `/api/ota/logout`

pub mod get;
pub mod log_in;
pub mod log_out;
pub mod password;

use axum::{
    http::{HeaderMap, HeaderValue, header::SET_COOKIE},
    response::{IntoResponse, Response},
};
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use super::{envelope::Envelope, error::ApiError, guard::SESSION_COOKIE, token::RoleDto};
use crate::{
    domain::Actor,
    service::{LogIn, Service},
};

/// Who asks, as the server sees it.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Session)]
pub struct SessionDto {
    /// Whether the server has no credentials, so that it asks nobody for one.
    pub open: bool,
    /// `anyone` (the server is open), `token`, `user` or `gateway`.
    #[schema(examples("user"))]
    pub kind: &'static str,
    pub name: Option<String>,
    /// Null where there is none: who comes to an open server may do everything.
    pub role: Option<RoleDto>,
    /// Until when the credential is good; null: until it is revoked.
    pub expires_at: Option<DateTime<Utc>>,
}

impl SessionDto {
    fn new(actor: &Actor, expires_at: Option<DateTime<Utc>>) -> Self {
        SessionDto {
            open: *actor == Actor::Anyone,
            kind: actor.kind(),
            name: actor.name().map(str::to_owned),
            role: actor.role().map(Into::into),
            expires_at,
        }
    }
}

/// The answer to who was let in: with the cookie.
pub fn logged_in(
    login: &LogIn,
    service: &Service,
    headers: &HeaderMap,
) -> Result<Response, ApiError> {
    let lifetime = service.settings().session_lifetime.num_seconds();
    let cookie = cookie(login.secret.reveal(), lifetime, service, headers)?;
    let session = SessionDto {
        open: false,
        kind: "user",
        name: Some(login.user.name.clone()),
        role: Some(login.user.role.into()),
        expires_at: Some(login.expires_at),
    };
    Ok(([(SET_COOKIE, cookie)], Envelope::of(session)).into_response())
}

/// The session's cookie; `Secure` if the page itself came over TLS.
pub fn cookie(
    value: &str,
    lifetime_seconds: i64,
    service: &Service,
    headers: &HeaderMap,
) -> Result<HeaderValue, ApiError> {
    let secure = match service.settings().https || is_from_https(headers) {
        true => "; Secure",
        false => "",
    };
    let cookie = format!(
        "{SESSION_COOKIE}={value}; HttpOnly; SameSite=Lax; Path=/; Max-Age={lifetime_seconds}{secure}"
    );
    HeaderValue::try_from(cookie).map_err(|error| ApiError::internal(&error))
}

/// A browser says so itself: the page that logs in has an `https:` origin.
fn is_from_https(headers: &HeaderMap) -> bool {
    let origin = headers
        .get("origin")
        .and_then(|origin| origin.to_str().ok());
    origin.is_some_and(|origin| origin.starts_with("https:"))
}
