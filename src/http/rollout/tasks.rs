use std::sync::Arc;

use axum::extract::State;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::{
    http::{
        envelope::{Envelope, ErrorEnvelope, PageDto},
        error::ApiError,
        extract::{ApiPath, ApiQuery, before_cursor, page_limit, rollout_id},
        task::{TaskDto, TaskStatusDto},
    },
    service::{Service, TaskFilter},
};

#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub struct TasksQuery {
    #[param(inline)]
    status: Option<TaskStatusDto>,
    /// Only those that failed with it.
    #[param(example = "TIMEOUT")]
    error_code: Option<String>,
    /// Entries per page, 1 to 500; default 50.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<i64>,
    /// `nextCursor` of the page before.
    cursor: Option<String>,
}

/// The tasks of a rollout
///
/// Newest first.
#[utoipa::path(
    get,
    path = "/api/ota/rollouts/{rolloutId}/tasks",
    tag = "rollout",
    params(("rolloutId" = String, Path, format = Uuid), TasksQuery),
    responses(
        (status = 200, description = "A page", body = Envelope<PageDto<TaskDto>>),
        (status = 400, description = "A parameter that makes no sense", body = ErrorEnvelope),
        (status = 404, description = "No such rollout", body = ErrorEnvelope),
        (status = 503, description = "Database away", body = ErrorEnvelope),
    )
)]
pub async fn tasks(
    State(service): State<Arc<Service>>,
    ApiPath(id): ApiPath<String>,
    ApiQuery(query): ApiQuery<TasksQuery>,
) -> Result<Envelope<PageDto<TaskDto>>, ApiError> {
    let rollout_id = rollout_id(&id)?;
    service.rollout(rollout_id).await?;
    let page = service
        .tasks(TaskFilter {
            gateway_id: None,
            status: query.status.map(Into::into),
            version: None,
            rollout_id: Some(rollout_id),
            error_code: query.error_code,
            before: before_cursor(query.cursor.as_deref())?,
            limit: page_limit(query.limit)?,
        })
        .await?;
    Ok(Envelope::of(PageDto::new(
        page,
        |task| task.task_id.to_string(),
        TaskDto::from,
    )))
}
