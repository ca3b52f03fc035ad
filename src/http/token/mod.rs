//! `/api/ota/tokens`

pub mod create;
pub mod list;
pub mod revoke;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::error::ApiError;
use crate::domain::{Role, Token, TokenState};

/// What a person or a machine may do.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = Role)]
pub enum RoleDto {
    /// Reads.
    Viewer,
    /// Reads, uploads and releases.
    Publisher,
    /// Reads, upgrades and rolls out.
    Operator,
    /// Everything.
    Admin,
}

impl From<Role> for RoleDto {
    fn from(role: Role) -> Self {
        match role {
            Role::Viewer => RoleDto::Viewer,
            Role::Publisher => RoleDto::Publisher,
            Role::Operator => RoleDto::Operator,
            Role::Admin => RoleDto::Admin,
        }
    }
}

impl From<RoleDto> for Role {
    fn from(role: RoleDto) -> Self {
        match role {
            RoleDto::Viewer => Role::Viewer,
            RoleDto::Publisher => Role::Publisher,
            RoleDto::Operator => Role::Operator,
            RoleDto::Admin => Role::Admin,
        }
    }
}

/// Whether a token opens anything.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = TokenState)]
pub enum TokenStateDto {
    Good,
    Expired,
    Revoked,
}

/// A token of a person or a machine; what it is itself, nobody knows but its owner.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Token)]
pub struct TokenDto {
    pub token_id: Uuid,
    #[schema(examples("ci"))]
    pub name: String,
    pub role: RoleDto,
    pub state: TokenStateDto,
    /// The name of who made it.
    pub created_by: String,
    pub created_at: DateTime<Utc>,
    /// Null: never.
    pub expires_at: Option<DateTime<Utc>>,
    pub revoked_at: Option<DateTime<Utc>>,
    /// To about a minute.
    pub last_used_at: Option<DateTime<Utc>>,
}

impl TokenDto {
    pub fn new(token: Token, now: DateTime<Utc>) -> Self {
        TokenDto {
            state: match token.state(now) {
                TokenState::Good => TokenStateDto::Good,
                TokenState::Expired => TokenStateDto::Expired,
                TokenState::Revoked => TokenStateDto::Revoked,
            },
            token_id: token.token_id,
            name: token.name,
            role: token.role.into(),
            created_by: token.created_by,
            created_at: token.created_at,
            expires_at: token.expires_at,
            revoked_at: token.revoked_at,
            last_used_at: token.last_used_at,
        }
    }
}

/// What there is to be said if a change left nobody who may do everything.
pub fn warning(admin_left: bool) -> Option<String> {
    (!admin_left).then(|| {
        "no administrator is left, person or machine: airlift token create --role admin, on the \
         server, makes one"
            .to_owned()
    })
}

fn token_id(text: &str) -> Result<Uuid, ApiError> {
    text.parse().map_err(|_| {
        ApiError::bad_request(
            "invalid_token_id",
            format!("{text:?} is not a token id: it is the tokenId of a token, a UUID"),
        )
    })
}
