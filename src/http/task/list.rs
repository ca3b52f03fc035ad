use std::sync::Arc;

use axum::extract::State;
use serde::Deserialize;
use utoipa::IntoParams;
use uuid::Uuid;

use super::{TaskDto, TaskStatusDto};
use crate::{
    http::{
        envelope::{Envelope, ErrorEnvelope, PageDto},
        error::ApiError,
        extract::{ApiQuery, before_cursor, page_limit},
    },
    service::{Service, TaskFilter},
};

#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub struct ListQuery {
    gateway_id: Option<String>,
    #[param(inline)]
    status: Option<TaskStatusDto>,
    /// The target version.
    version: Option<String>,
    rollout_id: Option<Uuid>,
    /// Only those that failed with it.
    #[param(example = "TIMEOUT")]
    error_code: Option<String>,
    /// Entries per page, 1 to 500; default 50.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<i64>,
    /// `nextCursor` of the page before.
    cursor: Option<String>,
}

/// List tasks
///
/// Newest first.
#[utoipa::path(
    get,
    path = "/api/ota/tasks",
    tag = "task",
    params(ListQuery),
    responses(
        (status = 200, description = "A page", body = Envelope<PageDto<TaskDto>>),
        (status = 400, description = "A parameter that makes no sense", body = ErrorEnvelope),
        (status = 503, description = "Database away", body = ErrorEnvelope),
    )
)]
pub async fn list(
    State(service): State<Arc<Service>>,
    ApiQuery(query): ApiQuery<ListQuery>,
) -> Result<Envelope<PageDto<TaskDto>>, ApiError> {
    let page = service
        .tasks(TaskFilter {
            gateway_id: query.gateway_id,
            status: query.status.map(Into::into),
            version: query.version,
            rollout_id: query.rollout_id,
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
