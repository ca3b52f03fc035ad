use std::sync::Arc;

use axum::{extract::State, http::HeaderMap, response::Response};
use serde::Deserialize;
use utoipa::ToSchema;

use super::{SessionDto, logged_in};
use crate::{
    domain::Caller,
    http::{
        envelope::{Envelope, ErrorEnvelope},
        error::ApiError,
        extract::OptionalJson,
        same_origin::SameOrigin,
    },
    service::Service,
};

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = LogIn)]
pub struct LogInDto {
    #[schema(examples("ann"))]
    name: String,
    #[schema(format = Password)]
    password: String,
}

/// Log in on the web page
///
/// Sets the cookie `airlift_session`. The request must be shown to come from a page of this server, by
/// `Sec-Fetch-Site` or `Origin`; programs use tokens instead. Failures make who fails wait.
#[utoipa::path(
    post,
    path = "/api/ota/login",
    tag = "access",
    request_body = LogInDto,
    responses(
        (status = 200, description = "Who is logged in", body = Envelope<SessionDto>),
        (status = 400, description = "A body that makes no sense", body = ErrorEnvelope),
        (status = 401, description = "Name or password is wrong", body = ErrorEnvelope),
        (status = 403, description = "Not shown to come from a page of this server", body = ErrorEnvelope),
        (status = 413, description = "Larger than the limit that the message names", body = ErrorEnvelope),
        (status = 415, description = "Not JSON", body = ErrorEnvelope),
        (status = 429, description = "Too many failures: Retry-After says when", body = ErrorEnvelope),
        (status = 503, description = "Database away, or too many logins at once", body = ErrorEnvelope),
    )
)]
pub async fn log_in(
    State(service): State<Arc<Service>>,
    caller: Caller,
    _: SameOrigin,
    headers: HeaderMap,
    OptionalJson(body): OptionalJson<LogInDto>,
) -> Result<Response, ApiError> {
    let body = body.ok_or_else(|| {
        ApiError::bad_request(
            "invalid_json",
            "send who you are: {\"name\":\"ann\",\"password\":\"…\"}",
        )
    })?;
    let login = service.log_in(&caller, &body.name, body.password).await?;
    logged_in(&login, &service, &headers)
}
