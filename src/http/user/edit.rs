use std::sync::Arc;

use axum::extract::State;
use serde::Deserialize;
use utoipa::ToSchema;

use super::{ChangedUser, user_id};
use crate::{
    domain::Caller,
    http::{
        envelope::{Envelope, ErrorEnvelope},
        error::ApiError,
        extract::{ApiPath, OptionalJson},
        token::{RoleDto, warning},
    },
    service::{Service, UserChanges, UserRef},
};

/// What is left out stays.
#[derive(Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct EditUser {
    role: Option<RoleDto>,
    #[schema(min_length = 12, max_length = 128, format = Password)]
    password: Option<String>,
    disabled: Option<bool>,
}

/// Change a user
///
/// The user's sessions end by it.
#[utoipa::path(
    patch,
    path = "/api/ota/users/{userId}",
    tag = "access",
    params(("userId" = String, Path, format = Uuid)),
    request_body = EditUser,
    responses(
        (status = 200, description = "The user", body = Envelope<ChangedUser>),
        (status = 400, description = "An id or a body that makes no sense", body = ErrorEnvelope),
        (status = 404, description = "No such user", body = ErrorEnvelope),
        (status = 413, description = "Larger than the limit that the message names", body = ErrorEnvelope),
        (status = 415, description = "Not JSON", body = ErrorEnvelope),
        (status = 503, description = "Database away, or too many logins at once", body = ErrorEnvelope),
    )
)]
pub async fn edit(
    State(service): State<Arc<Service>>,
    caller: Caller,
    ApiPath(id): ApiPath<String>,
    OptionalJson(body): OptionalJson<EditUser>,
) -> Result<Envelope<ChangedUser>, ApiError> {
    let user = UserRef::Id(user_id(&id)?);
    let body = body.ok_or_else(|| {
        ApiError::bad_request(
            "invalid_json",
            "send what is to change: {\"role\":\"operator\"}",
        )
    })?;
    let changes = UserChanges {
        role: body.role.map(Into::into),
        password: body.password,
        disabled: body.disabled,
    };
    let changed = service.edit_user(&caller, user, changes).await?;
    Ok(Envelope::of(ChangedUser {
        user: changed.now.into(),
        warning: warning(changed.admin_left),
    }))
}
