use std::sync::Arc;

use axum::extract::State;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::{
    http::{
        envelope::{Envelope, ErrorEnvelope, Nothing},
        error::ApiError,
        extract::{ApiPath, Payload},
    },
    service::Service,
};

/// An `ota_progress` or a `heartbeat`.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Report)]
#[allow(dead_code, reason = "the service reads reports; this describes them")]
pub struct ReportDto {
    pub msg_type: ReportKindDto,
    /// The task's; without one a report is about the gateway's active task.
    pub msg_id: Option<String>,
    /// Unix seconds by the device's clock.
    pub timestamp: Option<i64>,
    /// Of an `ota_progress`: `state`, `progress`, `currentVersion`, `targetVersion`, `errorCode`,
    /// `errorMessage`; of a `heartbeat`: `firmwareVersion`, and of an agent `deviceType`,
    /// `agentVersion`, `reportSeconds`, `packages`, `rollback`.
    #[schema(value_type = Object, example = json!({"firmwareVersion": "1.2.0", "deviceType": "linux", "reportSeconds": 300, "packages": {"app": "1.2.0"}}))]
    pub data: Value,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = ReportKind)]
#[allow(dead_code, reason = "the service reads reports; this describes them")]
pub enum ReportKindDto {
    OtaProgress,
    Heartbeat,
}

/// Report over HTTP
///
/// The body is what a gateway on MQTT publishes to its report topic. When the answer comes it is
/// stored. From then on the device is awaited: without another report in three times its
/// `reportSeconds` (default 300 s, from 30 s to a day in all) it counts as offline.
#[utoipa::path(
    post,
    path = "/api/ota/gateways/{gatewayId}/report",
    tag = "gateway",
    params(("gatewayId" = String, Path, example = "EDGE2026001")),
    request_body = ReportDto,
    responses(
        (status = 200, description = "Stored", body = Envelope<Nothing>),
        (status = 400, description = "`malformed`, `unknown_state`, `progress_out_of_range`", body = ErrorEnvelope),
        (status = 404, description = "`unknown_task`: its msgId is nobody's task", body = ErrorEnvelope),
        (status = 409, description = "`foreign_task`: its msgId is another gateway's task; `no_active_task`: it has none and nothing is under way", body = ErrorEnvelope),
        (status = 413, description = "Larger than the limit that the message names", body = ErrorEnvelope),
        (status = 415, description = "Not JSON", body = ErrorEnvelope),
        (status = 503, description = "Database away: report it again", body = ErrorEnvelope),
    )
)]
pub async fn report(
    State(service): State<Arc<Service>>,
    ApiPath(gateway_id): ApiPath<String>,
    Payload(payload): Payload,
) -> Result<Envelope<Nothing>, ApiError> {
    service.record_report(&gateway_id, payload).await?;
    Ok(Envelope::of(Nothing(())))
}
