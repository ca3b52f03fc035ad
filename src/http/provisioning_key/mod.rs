//! `/api/ota/provisioning-keys`

pub mod create;
pub mod list;
pub mod revoke;

use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::domain::ProvisioningKey;

/// What lets a fleet's new gateways claim tokens, without its secret.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ProvisioningKey)]
pub struct ProvisioningKeyDto {
    pub key_id: Uuid,
    #[schema(examples("line-3"))]
    pub name: String,
    /// Only gateways of this type may claim; those not known yet become of it.
    pub device_type: Option<String>,
    /// So many gateways may claim; null: any number.
    pub claims_max: Option<i64>,
    /// Gateways that have.
    pub claims: i64,
    pub created_by: String,
    pub created_at: DateTime<Utc>,
    pub expires_at: Option<DateTime<Utc>>,
    pub revoked_at: Option<DateTime<Utc>>,
}

impl From<ProvisioningKey> for ProvisioningKeyDto {
    fn from(key: ProvisioningKey) -> Self {
        ProvisioningKeyDto {
            key_id: key.key_id,
            name: key.name,
            device_type: key.device_type,
            claims_max: key.claims_max,
            claims: key.claims,
            created_by: key.created_by,
            created_at: key.created_at,
            expires_at: key.expires_at,
            revoked_at: key.revoked_at,
        }
    }
}
