use std::sync::Arc;

use axum::extract::State;
use serde::Deserialize;
use utoipa::ToSchema;

use super::UserDto;
use crate::{
    domain::Caller,
    http::{
        envelope::{Envelope, ErrorEnvelope},
        error::ApiError,
        extract::OptionalJson,
        token::RoleDto,
    },
    service::{NewUser, Service},
};

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = NewUser)]
pub struct NewUserDto {
    /// No other user has it.
    #[schema(examples("ann"), min_length = 1, max_length = 100)]
    name: String,
    role: RoleDto,
    #[schema(min_length = 12, max_length = 128, format = Password)]
    password: String,
}

/// Make a user
///
/// Who logs in on the web page. From the first credential on, every door asks for one.
#[utoipa::path(
    post,
    path = "/api/ota/users",
    tag = "access",
    request_body = NewUserDto,
    responses(
        (status = 200, description = "The user", body = Envelope<UserDto>),
        (status = 400, description = "A body that makes no sense", body = ErrorEnvelope),
        (status = 409, description = "Another user has this name", body = ErrorEnvelope),
        (status = 413, description = "Larger than the limit that the message names", body = ErrorEnvelope),
        (status = 415, description = "Not JSON", body = ErrorEnvelope),
        (status = 503, description = "Database away, or too many logins at once", body = ErrorEnvelope),
    )
)]
pub async fn create(
    State(service): State<Arc<Service>>,
    caller: Caller,
    OptionalJson(body): OptionalJson<NewUserDto>,
) -> Result<Envelope<UserDto>, ApiError> {
    let new = body.ok_or_else(|| {
        ApiError::bad_request(
            "invalid_json",
            "send the user: {\"name\":\"ann\",\"role\":\"viewer\",\"password\":\"…\"}",
        )
    })?;
    let new = NewUser {
        name: new.name,
        role: new.role.into(),
        password: new.password,
    };
    let user = service.create_user(&caller, new).await?;
    Ok(Envelope::of(user.into()))
}
