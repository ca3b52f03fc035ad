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

/// Cancel a task
///
/// An active one; the gateway is told by `ota_cancel` if it may have heard of it.
#[utoipa::path(
    post,
    path = "/api/ota/task/{taskId}/cancel",
    tag = "task",
    params(("taskId" = String, Path, format = Uuid)),
    responses(
        (status = 200, description = "The cancelled task", body = Envelope<TaskDto>),
        (status = 400, description = "Not a task id", body = ErrorEnvelope),
        (status = 404, description = "No such task", body = ErrorEnvelope),
        (status = 409, description = "The task has ended", body = ErrorEnvelope),
        (status = 503, description = "Database away", body = ErrorEnvelope),
    )
)]
pub async fn cancel(
    State(service): State<Arc<Service>>,
    caller: Caller,
    ApiPath(id): ApiPath<String>,
) -> Result<Envelope<TaskDto>, ApiError> {
    Ok(Envelope::of(
        service.cancel_upgrade(&caller, task_id(&id)?).await?.into(),
    ))
}
