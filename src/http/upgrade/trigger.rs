use std::sync::Arc;

use axum::extract::State;
use chrono::{DateTime, Utc};
use serde::Deserialize;
use utoipa::ToSchema;

use crate::{
    domain::Caller,
    http::{
        envelope::{Envelope, ErrorEnvelope},
        error::ApiError,
        extract::{ApiPath, OptionalJson},
        task::TaskDto,
    },
    service::{Service, TriggerUpgrade},
};

#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UpgradeRequest {
    /// Default: the latest release.
    #[schema(examples("1.0.2"))]
    version: Option<String>,
    /// Goes back to a lower version, and replaces an upgrade to another that is under way.
    #[serde(default)]
    force_upgrade: Option<bool>,
    /// The command does not leave before.
    scheduled_at: Option<DateTime<Utc>>,
}

/// Upgrade a gateway
///
/// Stores a task and its command; the command is sent until the gateway answers, also when it
/// comes online later. A gateway never heard of is registered. The same version again returns the
/// same task. Below the firmware's minVersion the way goes over released firmwares in between: the
/// task is that of the first, and each that is proven makes the next.
#[utoipa::path(
    post,
    path = "/api/ota/upgrade/{gatewayId}",
    tag = "upgrade",
    params(("gatewayId" = String, Path, example = "HQ2026TEST001")),
    request_body(content = Option<UpgradeRequest>, content_type = "application/json"),
    responses(
        (status = 200, description = "The task", body = Envelope<TaskDto>),
        (status = 400, description = "A gateway id or body that makes no sense", body = ErrorEnvelope),
        (status = 404, description = "No such firmware, or nothing released", body = ErrorEnvelope),
        (status = 409, description = "The firmware is a draft or deprecated, lower than what the gateway runs, or out of its reach; or another version is under way", body = ErrorEnvelope),
        (status = 413, description = "Larger than the limit that the message names", body = ErrorEnvelope),
        (status = 415, description = "Not JSON", body = ErrorEnvelope),
        (status = 503, description = "Database away", body = ErrorEnvelope),
    )
)]
pub async fn trigger(
    State(service): State<Arc<Service>>,
    caller: Caller,
    ApiPath(gateway_id): ApiPath<String>,
    OptionalJson(body): OptionalJson<Option<UpgradeRequest>>,
) -> Result<Envelope<TaskDto>, ApiError> {
    let request = body.flatten().unwrap_or_default();
    let task = service
        .trigger_upgrade(
            &caller,
            &gateway_id,
            TriggerUpgrade {
                version: request.version,
                force_upgrade: request.force_upgrade.unwrap_or(false),
                scheduled_at: request.scheduled_at,
            },
        )
        .await?;
    Ok(Envelope::of(task.into()))
}
