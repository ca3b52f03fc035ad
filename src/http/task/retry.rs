use std::sync::Arc;

use axum::extract::State;

use super::TaskDto;
use crate::{
    domain::Caller,
    http::{
        envelope::{Envelope, ErrorEnvelope},
        error::ApiError,
        extract::{ApiPath, task_id},
    },
    service::Service,
};

/// Try a task again
///
/// A failed or cancelled one; makes a new task for the same gateway and version, the last one if the
/// task was a step on the way there.
#[utoipa::path(
    post,
    path = "/api/ota/task/{taskId}/retry",
    tag = "task",
    params(("taskId" = String, Path, format = Uuid)),
    responses(
        (status = 200, description = "The new task", body = Envelope<TaskDto>),
        (status = 400, description = "Not a task id", body = ErrorEnvelope),
        (status = 404, description = "No such task", body = ErrorEnvelope),
        (status = 409, description = "The task is active or completed, its firmware can't be installed or is lower than what the gateway runs, or another version is under way", body = ErrorEnvelope),
        (status = 503, description = "Database away", body = ErrorEnvelope),
    )
)]
pub async fn retry(
    State(service): State<Arc<Service>>,
    caller: Caller,
    ApiPath(id): ApiPath<String>,
) -> Result<Envelope<TaskDto>, ApiError> {
    Ok(Envelope::of(
        service.retry_upgrade(&caller, task_id(&id)?).await?.into(),
    ))
}
