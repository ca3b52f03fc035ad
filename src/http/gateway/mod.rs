//! `/api/ota/gateways`

pub mod command;
pub mod edit;
pub mod export;
pub mod get;
pub mod heartbeats;
pub mod import;
pub mod list;
pub mod report;
pub mod task;
pub mod why;

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use crate::{
    domain::{GatewayQuery, GatewayTerm},
    http::error::ApiError,
    service::GatewayView,
};

/// The first column of a list as CSV.
const ID_COLUMN: &str = "gatewayId";
const TYPE_COLUMN: &str = "deviceType";
/// The columns behind the id of a list that is read; of them, a list that is sent can have
/// [`TYPE_COLUMN`], and the others are passed over.
const EXPORT_COLUMNS: [&str; 6] = [
    TYPE_COLUMN,
    "currentVersion",
    "latestVersion",
    "needUpgrade",
    "online",
    "lastSeenAt",
];
/// Before a tag's key in a column's name.
const TAG_COLUMN_PREFIX: &str = "tag:";

/// Which gateways; all that is given must hold.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub struct GatewaysQuery {
    /// Terms separated by blanks, all of which must hold: `tag:site=lab`, `tag:site="north lab"`,
    /// `tag:site`, `version<1.0.2` (also `<=`, `=`, `!=`, `>=`, `>`), `version:unknown`,
    /// `online:true`, `type:esp32`, `id:HQ2026TEST001`, `id:HQ2026*`. At most 16 terms and 1024
    /// bytes.
    #[param(example = "tag:site=lab version<1.0.2 online:true")]
    filter: Option<String>,
    device_type: Option<String>,
    /// Exactly as the gateway said it.
    current_version: Option<String>,
    online: Option<bool>,
}

impl GatewaysQuery {
    pub fn query(self) -> Result<GatewayQuery, ApiError> {
        let filter = self.filter.unwrap_or_default();
        let mut query = GatewayQuery::parse(&filter)
            .map_err(|why| ApiError::bad_request("invalid_filter", why))?;
        query
            .terms
            .extend(self.device_type.map(GatewayTerm::DeviceType));
        query
            .terms
            .extend(self.current_version.map(GatewayTerm::CurrentVersion));
        query.terms.extend(self.online.map(GatewayTerm::Online));
        Ok(query)
    }
}

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
    /// Of one that reports over HTTP: from then on it counts as offline unless it reports before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offline_at: Option<DateTime<Utc>>,
    /// The `data` of its last heartbeat.
    #[schema(value_type = Object)]
    pub attributes: Value,
    /// What people say of it.
    #[schema(example = json!({"site": "lab"}))]
    pub tags: BTreeMap<String, String>,
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
            offline_at: gateway.offline_at,
            attributes: gateway.attributes,
            tags: gateway.tags,
            created_at: gateway.created_at,
            updated_at: gateway.updated_at,
        }
    }
}
