use std::sync::Arc;

use axum::extract::State;
use serde::Deserialize;
use utoipa::ToSchema;

use crate::{
    domain::Caller,
    http::{
        envelope::{Envelope, ErrorEnvelope},
        error::ApiError,
        extract::{ApiPath, OptionalJson},
        task::{PackageChangeDto, TaskDto},
    },
    service::{BeginUpdate, Service},
};

/// An update that a Linux device begins on its own.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = BeginUpdate)]
pub struct BeginUpdateDto {
    /// The leading package: the last of those that change, in the order of their dependencies.
    #[schema(examples("app"))]
    name: String,
    #[schema(examples("main"))]
    branch: String,
    #[schema(examples("1.2.0"))]
    version: String,
    /// The device's version before it: that of the first package in its JSON file; null if there was
    /// none.
    #[serde(default)]
    #[schema(examples("1.1.0"))]
    from_version: Option<String>,
    /// The device's version after it.
    #[schema(examples("1.2.0"))]
    to_version: String,
    /// Every package that changes.
    packages: Vec<PackageChangeDto>,
}

/// Begin an update on one's own
///
/// For a Linux device that follows a branch: makes the task that its reports are about. No command
/// is queued. The same update again is the same task while it is active.
#[utoipa::path(
    post,
    path = "/api/ota/gateways/{gatewayId}/task",
    tag = "gateway",
    params(("gatewayId" = String, Path, example = "EDGE2026001")),
    request_body = BeginUpdateDto,
    responses(
        (status = 200, description = "The task, which is active", body = Envelope<TaskDto>),
        (status = 400, description = "An id, name or version that makes no sense", body = ErrorEnvelope),
        (status = 404, description = "The server has no such version of the package", body = ErrorEnvelope),
        (status = 409, description = "Another update is under way", body = ErrorEnvelope),
        (status = 413, description = "Larger than the limit that the message names", body = ErrorEnvelope),
        (status = 415, description = "Not JSON", body = ErrorEnvelope),
        (status = 503, description = "Database away", body = ErrorEnvelope),
    )
)]
pub async fn task(
    State(service): State<Arc<Service>>,
    caller: Caller,
    ApiPath(gateway_id): ApiPath<String>,
    OptionalJson(body): OptionalJson<BeginUpdateDto>,
) -> Result<Envelope<TaskDto>, ApiError> {
    let body = body.ok_or_else(|| {
        ApiError::bad_request(
            "invalid_json",
            "send what begins: {\"name\":\"app\",\"branch\":\"main\",\"version\":\"1.2.0\",\
             \"fromVersion\":\"1.1.0\",\"toVersion\":\"1.2.0\",\"packages\":[{\"name\":\"app\",\
             \"fromVersion\":\"1.1.0\",\"toVersion\":\"1.2.0\"}]}",
        )
    })?;
    let update = BeginUpdate {
        name: body.name,
        branch: body.branch,
        version: body.version,
        from_version: body.from_version,
        to_version: body.to_version,
        packages: body.packages.into_iter().map(Into::into).collect(),
    };
    let task = service.begin_update(&caller, &gateway_id, update).await?;
    Ok(Envelope::of(task.into()))
}
