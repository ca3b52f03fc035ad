use std::sync::Arc;

use axum::extract::State;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::TaskStatusDto;
use crate::{
    http::{
        envelope::{Envelope, ErrorEnvelope, PageDto},
        error::ApiError,
        extract::{ApiPath, task_id},
    },
    service::Service,
};

/// A task as it was once something had happened to it.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = TaskEvent)]
pub struct TaskEventDto {
    /// Grows from event to event.
    pub event_id: i64,
    pub created_at: DateTime<Utc>,
    /// `task_progress` if nothing but the progress moved, else `task`.
    #[schema(examples("task"))]
    pub kind: &'static str,
    #[serde(flatten)]
    pub task: TaskEventDataDto,
}

#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = TaskEventData)]
pub struct TaskEventDataDto {
    pub status: TaskStatusDto,
    /// Percent.
    pub progress: i16,
    pub from_version: Option<String>,
    pub to_version: String,
    pub error_code: Option<String>,
    pub error_message: Option<String>,
    pub confirmed_at: Option<DateTime<Utc>>,
}

/// What happened to a task
///
/// An event for each change of its status, and for its proof, oldest first; those of the last day
/// for each step of its progress, too. All are on one page. Events go when they are as old as
/// `event-days`.
#[utoipa::path(
    get,
    path = "/api/ota/task/{taskId}/events",
    tag = "task",
    params(("taskId" = String, Path, format = Uuid)),
    responses(
        (status = 200, description = "The events", body = Envelope<PageDto<TaskEventDto>>),
        (status = 400, description = "Not a task id", body = ErrorEnvelope),
        (status = 404, description = "No such task", body = ErrorEnvelope),
        (status = 503, description = "Database away", body = ErrorEnvelope),
    )
)]
pub async fn events(
    State(service): State<Arc<Service>>,
    ApiPath(id): ApiPath<String>,
) -> Result<Envelope<PageDto<TaskEventDto>>, ApiError> {
    let mut items = Vec::new();
    for stored in service.task_events(task_id(&id)?).await? {
        items.push(TaskEventDto {
            event_id: stored.event_id,
            created_at: stored.event.created_at,
            kind: stored.event.kind.as_str(),
            task: serde_json::from_value(stored.event.data)
                .map_err(|error| ApiError::internal(&error))?,
        });
    }
    Ok(Envelope::of(PageDto {
        items,
        next_cursor: None,
    }))
}
