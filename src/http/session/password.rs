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
    },
    service::Service,
};

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ChangePassword {
    #[schema(format = Password)]
    old_password: String,
    #[schema(min_length = 12, max_length = 128, format = Password)]
    new_password: String,
}

/// Change your own password
///
/// All your sessions end but this one, whose cookie is another from now on.
#[utoipa::path(
    post,
    path = "/api/ota/session/password",
    tag = "access",
    request_body = ChangePassword,
    responses(
        (status = 200, description = "Who is logged in", body = Envelope<SessionDto>),
        (status = 400, description = "A body that makes no sense", body = ErrorEnvelope),
        (status = 403, description = "The old password is wrong, or there is none", body = ErrorEnvelope),
        (status = 409, description = "The user was changed at this moment", body = ErrorEnvelope),
        (status = 413, description = "Larger than the limit that the message names", body = ErrorEnvelope),
        (status = 415, description = "Not JSON", body = ErrorEnvelope),
        (status = 429, description = "Too many failures: Retry-After says when", body = ErrorEnvelope),
        (status = 503, description = "Database away, or too many logins at once", body = ErrorEnvelope),
    )
)]
pub async fn password(
    State(service): State<Arc<Service>>,
    caller: Caller,
    headers: HeaderMap,
    OptionalJson(body): OptionalJson<ChangePassword>,
) -> Result<Response, ApiError> {
    let body = body.ok_or_else(|| {
        ApiError::bad_request(
            "invalid_json",
            "send both passwords: {\"oldPassword\":\"…\",\"newPassword\":\"…\"}",
        )
    })?;
    let login = service
        .change_own_password(&caller, body.old_password, body.new_password)
        .await?;
    logged_in(&login, &service, &headers)
}
