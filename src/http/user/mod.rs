//! `/api/ota/users`

pub mod create;
pub mod delete;
pub mod edit;
pub mod list;

use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{error::ApiError, token::RoleDto};
use crate::domain::User;

/// Somebody who logs in on the web page.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = User)]
pub struct UserDto {
    pub user_id: Uuid,
    #[schema(examples("ann"))]
    pub name: String,
    pub role: RoleDto,
    /// May not log in.
    pub disabled: bool,
    /// Has a password here; who has none logs in at the provider.
    pub has_password: bool,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

impl From<User> for UserDto {
    fn from(user: User) -> Self {
        UserDto {
            user_id: user.user_id,
            name: user.name,
            role: user.role.into(),
            disabled: user.disabled_at.is_some(),
            has_password: user.password_hash.is_some(),
            created_at: user.created_at,
            updated_at: user.updated_at,
        }
    }
}

/// A user that was changed or deleted.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ChangedUser {
    #[serde(flatten)]
    user: UserDto,
    /// Says so if no administrator is left.
    warning: Option<String>,
}

fn user_id(text: &str) -> Result<Uuid, ApiError> {
    text.parse().map_err(|_| {
        ApiError::bad_request(
            "invalid_user_id",
            format!("{text:?} is not a user id: it is the userId of a user, a UUID"),
        )
    })
}
