use std::sync::Arc;

use axum::{extract::State, http::HeaderMap, response::Response};
use serde::Deserialize;
use utoipa::ToSchema;

use crate::{
    domain::Caller,
    http::{
        envelope::{Envelope, ErrorEnvelope},
        error::ApiError,
        extract::OptionalJson,
        same_origin::SameOrigin,
        session::{SessionDto, logged_in},
    },
    service::Service,
};

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FirstAdmin {
    /// What stands behind the `#` of the link that the first start printed.
    #[schema(examples("als_…"))]
    link: String,
    #[schema(examples("ann"), min_length = 1, max_length = 100)]
    name: String,
    #[schema(min_length = 12, max_length = 128, format = Password)]
    password: String,
}

/// Make the first administrator
///
/// By the link that a first start on a public address printed; it is good once, for an hour, and while
/// there is no administrator. Sets the cookie `airlift_session`. The request must be shown to come from
/// a page of this server, by `Sec-Fetch-Site` or `Origin`.
#[utoipa::path(
    post,
    path = "/api/ota/setup",
    tag = "access",
    request_body = FirstAdmin,
    responses(
        (status = 200, description = "Who is logged in", body = Envelope<SessionDto>),
        (status = 400, description = "A body that makes no sense", body = ErrorEnvelope),
        (status = 403, description = "The link is not good, or the request is not shown to come from a page of this server", body = ErrorEnvelope),
        (status = 409, description = "Another user has this name", body = ErrorEnvelope),
        (status = 413, description = "Larger than the limit that the message names", body = ErrorEnvelope),
        (status = 415, description = "Not JSON", body = ErrorEnvelope),
        (status = 429, description = "Too many failures: Retry-After says when", body = ErrorEnvelope),
        (status = 503, description = "Database away, or too many logins at once", body = ErrorEnvelope),
    )
)]
pub async fn make_admin(
    State(service): State<Arc<Service>>,
    caller: Caller,
    _: SameOrigin,
    headers: HeaderMap,
    OptionalJson(body): OptionalJson<FirstAdmin>,
) -> Result<Response, ApiError> {
    let body = body.ok_or_else(|| {
        ApiError::bad_request(
            "invalid_json",
            "send the link's secret and who you are: \
             {\"link\":\"als_…\",\"name\":\"ann\",\"password\":\"…\"}",
        )
    })?;
    let login = service
        .set_up(&caller, &body.link, body.name, body.password)
        .await?;
    logged_in(&login, &service, &headers)
}
