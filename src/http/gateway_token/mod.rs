//! `/api/ota/gateways/{gatewayId}/token`, and what goes with it.

pub mod broker;
pub mod claim;
pub mod import;
pub mod issue;
pub mod list;
pub mod list_all;
pub mod revoke;

use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::domain::GatewayToken;

/// The columns of a list with tokens.
const TOKEN_COLUMNS: [&str; 2] = ["gateway_id", "token"];

/// A gateway's token, without its secret.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = GatewayToken)]
pub struct GatewayTokenDto {
    pub token_id: Uuid,
    #[schema(examples("HQ2026TEST001"))]
    pub gateway_id: String,
    /// Of the key that the gateway claimed it with; null if an administrator made it.
    pub provisioning_key_id: Option<Uuid>,
    pub created_by: String,
    pub created_at: DateTime<Utc>,
    /// When it ends, or ended, because another has taken its place.
    pub expires_at: Option<DateTime<Utc>>,
    pub revoked_at: Option<DateTime<Utc>>,
    /// To within a day; null until it is first used. Uses at an outside broker are not seen.
    pub last_used_at: Option<DateTime<Utc>>,
}

impl From<GatewayToken> for GatewayTokenDto {
    fn from(token: GatewayToken) -> Self {
        GatewayTokenDto {
            token_id: token.token_id,
            gateway_id: token.gateway_id,
            provisioning_key_id: token.provisioning_key_id,
            created_by: token.created_by,
            created_at: token.created_at,
            expires_at: token.expires_at,
            revoked_at: token.revoked_at,
            last_used_at: token.last_used_at,
        }
    }
}
