use std::{io, sync::Arc};

use axum::{
    body::{Body, Bytes},
    extract::State,
    response::Response,
};
use futures_util::stream;
use serde::Deserialize;
use utoipa::IntoParams;
use uuid::Uuid;

use super::{TaskDto, TaskStatusDto};
use crate::{
    http::{
        csv_answer::{answer, header, lines},
        envelope::ErrorEnvelope,
        error::ApiError,
        extract::{ApiQuery, PAGE_LIMIT_MAX},
    },
    service::{Service, TaskFilter},
};

/// The fields of a task.
const COLUMNS: [&str; 25] = [
    "taskId",
    "gatewayId",
    "fromVersion",
    "toVersion",
    "firmwareUrl",
    "md5",
    "sha256",
    "fileSize",
    "msgId",
    "status",
    "progress",
    "errorCode",
    "errorMessage",
    "forceUpgrade",
    "scheduledAt",
    "startTime",
    "completeTime",
    "confirmedAt",
    "duration",
    "rolloutId",
    "notBefore",
    "path",
    "packages",
    "createdAt",
    "updatedAt",
];

#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub struct ExportQuery {
    gateway_id: Option<String>,
    #[param(inline)]
    status: Option<TaskStatusDto>,
    /// The target version.
    version: Option<String>,
    rollout_id: Option<Uuid>,
    /// Only those that failed with it.
    #[param(example = "TIMEOUT")]
    error_code: Option<String>,
}

/// All tasks as CSV
///
/// Newest first, with the filters of the list; as long as there are tasks. A connection that
/// breaks before the end is a file that lacks some.
#[utoipa::path(
    get,
    path = "/api/ota/tasks.csv",
    tag = "task",
    params(ExportQuery),
    responses(
        (status = 200, description = "The tasks", body = String, content_type = "text/csv"),
        (status = 400, description = "A parameter that makes no sense", body = ErrorEnvelope),
        (status = 503, description = "Database away", body = ErrorEnvelope),
    )
)]
pub async fn export(
    State(service): State<Arc<Service>>,
    ApiQuery(query): ApiQuery<ExportQuery>,
) -> Result<Response, ApiError> {
    let filter = TaskFilter {
        gateway_id: query.gateway_id,
        status: query.status.map(Into::into),
        version: query.version,
        rollout_id: query.rollout_id,
        error_code: query.error_code,
        before: Uuid::max(),
        limit: PAGE_LIMIT_MAX,
    };
    // Before the answer begins, so that it can still be a failure.
    let (page, next) = read(&service, filter).await?;
    let mut first = header(&COLUMNS)?;
    first.extend(page);
    let state = (service, Some(Bytes::from(first)), next);
    let body = stream::try_unfold(state, |(service, ready, next)| async move {
        match (ready, next) {
            (Some(ready), next) => Ok(Some((ready, (service, None, next)))),
            (None, None) => Ok(None),
            (None, Some(filter)) => {
                let (page, next) = read(&service, filter).await.map_err(|error| {
                    tracing::warn!(reason = error.message, "an export of tasks broke off");
                    io::Error::other(error.message)
                })?;
                Ok::<_, io::Error>(Some((Bytes::from(page), (service, None, next))))
            }
        }
    });
    answer("tasks", Body::from_stream(body))
}

/// A page as CSV, and what to ask for the next one.
async fn read(
    service: &Service,
    filter: TaskFilter,
) -> Result<(Vec<u8>, Option<TaskFilter>), ApiError> {
    let page = service.tasks(filter.clone()).await?;
    let next = page.items.last().filter(|_| page.more);
    let next = next.map(|last| TaskFilter {
        before: last.task_id,
        ..filter
    });
    let text = lines(&COLUMNS, page.items.into_iter().map(TaskDto::from))?;
    Ok((text, next))
}
