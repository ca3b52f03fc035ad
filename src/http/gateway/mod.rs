//! `/api/ota/gateways`

pub mod get;
pub mod list;

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::service::GatewayView;

/// A gateway.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Gateway)]
pub struct GatewayDto {
    #[schema(examples("HQ2026TEST001"))]
    pub gateway_id: String,
    pub device_type: String,
    /// By its last word; null if it never said.
    pub current_version: Option<String>,
    /// The latest release for its device type.
    pub latest_version: Option<String>,
    pub need_upgrade: bool,
    pub online: bool,
    pub last_seen_at: Option<DateTime<Utc>>,
    /// The `data` of its last heartbeat.
    #[schema(value_type = Object)]
    pub attributes: Value,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

impl From<GatewayView> for GatewayDto {
    fn from(view: GatewayView) -> Self {
        let gateway = view.gateway;
        GatewayDto {
            gateway_id: gateway.gateway_id,
            device_type: gateway.device_type,
            current_version: gateway.current_version,
            latest_version: view.latest_version,
            need_upgrade: view.need_upgrade,
            online: gateway.online,
            last_seen_at: gateway.last_seen_at,
            attributes: gateway.attributes,
            created_at: gateway.created_at,
            updated_at: gateway.updated_at,
        }
    }
}
