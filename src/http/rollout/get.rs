use std::sync::Arc;

use axum::extract::State;

use super::RolloutDto;
use crate::{
    http::{
        envelope::{Envelope, ErrorEnvelope},
        error::ApiError,
        extract::{ApiPath, rollout_id},
    },
    service::Service,
};

/// A rollout and how it stands
#[utoipa::path(
    get,
    path = "/api/ota/rollouts/{rolloutId}",
    tag = "rollout",
    params(("rolloutId" = String, Path, format = Uuid)),
    responses(
        (status = 200, description = "The rollout", body = Envelope<RolloutDto>),
        (status = 400, description = "Not a rollout id", body = ErrorEnvelope),
        (status = 404, description = "No such rollout", body = ErrorEnvelope),
        (status = 503, description = "Database away", body = ErrorEnvelope),
    )
)]
pub async fn get(
    State(service): State<Arc<Service>>,
    ApiPath(id): ApiPath<String>,
) -> Result<Envelope<RolloutDto>, ApiError> {
    Ok(Envelope::of(
        service.rollout(rollout_id(&id)?).await?.into(),
    ))
}
