//! `/api/ota/audit`

pub mod export;
pub mod list;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use crate::service::{AuditFilter, AuditLine};

/// Who did what to which thing from where.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = AuditLine)]
pub struct AuditLineDto {
    /// Grows from line to line.
    pub audit_id: i64,
    pub created_at: DateTime<Utc>,
    /// `anyone` (the server had no credentials), `nobody` (no credential where one was asked for),
    /// `token`, `user`, `gateway`, `command_line` or `server`.
    #[schema(examples("token"))]
    pub actor_kind: String,
    /// Of a token or user its id, of a gateway its gatewayId.
    pub actor_id: Option<String>,
    #[schema(examples("ci"))]
    pub actor_name: Option<String>,
    #[schema(examples("192.0.2.7"))]
    pub address: Option<String>,
    /// `<noun>.<verb>`
    #[schema(examples("firmware.release"))]
    pub action: String,
    /// Of a firmware `<deviceType>/<version>`, of a package `<name>/<version>`, else an id or a name.
    #[schema(examples("gateway/1.0.2"))]
    pub subject: String,
    /// What else is to be known of it; no secrets.
    #[schema(value_type = Object)]
    pub detail: Value,
}

impl From<AuditLine> for AuditLineDto {
    fn from(line: AuditLine) -> Self {
        AuditLineDto {
            audit_id: line.audit_id,
            created_at: line.created_at,
            actor_kind: line.actor_kind,
            actor_id: line.actor_id,
            actor_name: line.actor_name,
            address: line.address,
            action: line.action,
            subject: line.subject,
            detail: line.detail,
        }
    }
}

/// Which lines.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub struct AuditQuery {
    #[param(example = "firmware.release")]
    action: Option<String>,
    #[param(example = "gateway/1.0.2")]
    subject: Option<String>,
    /// The name of a token, user or gateway; `anyone` or `nobody`.
    actor: Option<String>,
    /// At or after.
    since: Option<DateTime<Utc>>,
    /// Before.
    until: Option<DateTime<Utc>>,
}

impl AuditQuery {
    fn filter(self, before: i64, limit: i64) -> AuditFilter {
        AuditFilter {
            action: self.action,
            subject: self.subject,
            actor: self.actor,
            since: self.since,
            until: self.until,
            before,
            limit,
        }
    }
}
