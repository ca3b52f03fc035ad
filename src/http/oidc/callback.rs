use std::sync::Arc;

use axum::{
    extract::State,
    http::{HeaderMap, HeaderValue, header::SET_COOKIE},
    response::Response,
};
use headers::{Cookie, HeaderMapExt};
use serde::Deserialize;
use utoipa::IntoParams;

use super::{COOKIE, cookie, on_to, refusal};
use crate::{
    domain::Caller,
    http::{envelope::ErrorEnvelope, error::ApiError, extract::ApiQuery, session},
    service::{OidcReturn, Service},
};

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct CallbackQuery {
    state: Option<String>,
    code: Option<String>,
    error: Option<String>,
}

/// Come back from the OpenID Connect provider
///
/// For browsers: makes a session and goes on to where the login was to lead.
#[utoipa::path(
    get,
    path = "/api/ota/login/oidc/callback",
    operation_id = "oidc_callback",
    tag = "access",
    params(CallbackQuery),
    responses(
        (status = 303, description = "Logged in", headers(("Location" = String), ("Set-Cookie" = String))),
        (status = 400, description = "A query that makes no sense", body = ErrorEnvelope),
        (status = 401, description = "Not the answer to a login that this browser began, or one that is not good", body = ErrorEnvelope),
        (status = 403, description = "The provider gives no role here, or the user is disabled", body = ErrorEnvelope),
        (status = 404, description = "This server has no provider", body = ErrorEnvelope),
        (status = 409, description = "Another user was made at this moment", body = ErrorEnvelope),
        (status = 503, description = "Provider or database away", body = ErrorEnvelope),
    )
)]
pub async fn callback(
    State(service): State<Arc<Service>>,
    caller: Caller,
    headers: HeaderMap,
    ApiQuery(query): ApiQuery<CallbackQuery>,
) -> Result<Response, ApiError> {
    let cookies = headers.typed_get::<Cookie>();
    let back = OidcReturn {
        cookie: cookies.and_then(|cookies| cookies.get(COOKIE).map(str::to_owned)),
        state: query.state,
        code: query.code,
        error: query.error,
    };
    let used = cookie("", 0, &service);
    match service.finish_oidc_log_in(&caller, back).await {
        Ok((log_in, next)) => {
            let lifetime = service.settings().session_lifetime.num_seconds();
            let secret = log_in.secret.reveal();
            let session = session::cookie(secret, lifetime, &service, &headers)?;
            let session = session
                .to_str()
                .map_err(|error| ApiError::internal(&error))?;
            on_to(&next, vec![session.to_owned(), used])
        }
        Err(error) => {
            let mut response = refusal(error.into(), &headers);
            if let Ok(used) = HeaderValue::try_from(used) {
                response.headers_mut().append(SET_COOKIE, used);
            }
            Ok(response)
        }
    }
}
