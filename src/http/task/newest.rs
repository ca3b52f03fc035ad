use std::sync::Arc;

use axum::extract::State;

use super::TaskDto;
use crate::{
    http::{
        envelope::{Envelope, ErrorEnvelope},
        error::ApiError,
        extract::ApiPath,
    },
    service::Service,
};

/// A gateway's newest task
///
/// What a phone app polls.
#[utoipa::path(
    get,
    path = "/api/ota/task/{gatewayId}",
    tag = "task",
    params(("gatewayId" = String, Path, example = "HQ2026TEST001")),
    responses(
        (status = 200, description = "The task", body = Envelope<TaskDto>),
        (status = 400, description = "A gateway id that makes no sense", body = ErrorEnvelope),
        (status = 404, description = "The gateway has no task", body = ErrorEnvelope),
        (status = 503, description = "Database away", body = ErrorEnvelope),
    )
)]
pub async fn newest(
    State(service): State<Arc<Service>>,
    ApiPath(gateway_id): ApiPath<String>,
) -> Result<Envelope<TaskDto>, ApiError> {
    Ok(Envelope::of(service.newest_task(&gateway_id).await?.into()))
}
