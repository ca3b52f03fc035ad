use std::sync::Arc;

use axum::extract::State;

use super::RolloutDto;
use crate::{
    domain::{Caller, RolloutAction},
    http::{
        envelope::{Envelope, ErrorEnvelope},
        error::ApiError,
        extract::{ApiPath, rollout_id},
    },
    service::Service,
};

async fn act(
    service: &Service,
    caller: &Caller,
    id: &str,
    action: RolloutAction,
) -> Result<Envelope<RolloutDto>, ApiError> {
    let view = service
        .act_on_rollout(caller, rollout_id(id)?, action)
        .await?;
    Ok(Envelope::of(view.into()))
}

/// Pause a rollout
///
/// Nothing more is sent; commands that no gateway has answered are withdrawn. Updates under way go
/// on.
#[utoipa::path(
    post,
    path = "/api/ota/rollouts/{rolloutId}/pause",
    tag = "rollout",
    params(("rolloutId" = String, Path, format = Uuid)),
    responses(
        (status = 200, description = "The rollout", body = Envelope<RolloutDto>),
        (status = 400, description = "Not a rollout id", body = ErrorEnvelope),
        (status = 404, description = "No such rollout", body = ErrorEnvelope),
        (status = 409, description = "Its state does not allow it", body = ErrorEnvelope),
        (status = 503, description = "Database away", body = ErrorEnvelope),
    )
)]
pub async fn pause(
    State(service): State<Arc<Service>>,
    caller: Caller,
    ApiPath(id): ApiPath<String>,
) -> Result<Envelope<RolloutDto>, ApiError> {
    act(&service, &caller, &id, RolloutAction::Pause).await
}

/// Resume a rollout
///
/// A paused one, or a halted one: the failures so far are then accepted.
#[utoipa::path(
    post,
    path = "/api/ota/rollouts/{rolloutId}/resume",
    tag = "rollout",
    params(("rolloutId" = String, Path, format = Uuid)),
    responses(
        (status = 200, description = "The rollout", body = Envelope<RolloutDto>),
        (status = 400, description = "Not a rollout id", body = ErrorEnvelope),
        (status = 404, description = "No such rollout", body = ErrorEnvelope),
        (status = 409, description = "Its state does not allow it", body = ErrorEnvelope),
        (status = 503, description = "Database away", body = ErrorEnvelope),
    )
)]
pub async fn resume(
    State(service): State<Arc<Service>>,
    caller: Caller,
    ApiPath(id): ApiPath<String>,
) -> Result<Envelope<RolloutDto>, ApiError> {
    act(&service, &caller, &id, RolloutAction::Resume).await
}

/// End a rollout
///
/// For good. Commands that no gateway has answered are withdrawn; updates under way go on.
#[utoipa::path(
    post,
    path = "/api/ota/rollouts/{rolloutId}/cancel",
    tag = "rollout",
    params(("rolloutId" = String, Path, format = Uuid)),
    responses(
        (status = 200, description = "The rollout", body = Envelope<RolloutDto>),
        (status = 400, description = "Not a rollout id", body = ErrorEnvelope),
        (status = 404, description = "No such rollout", body = ErrorEnvelope),
        (status = 409, description = "It has ended", body = ErrorEnvelope),
        (status = 503, description = "Database away", body = ErrorEnvelope),
    )
)]
pub async fn cancel(
    State(service): State<Arc<Service>>,
    caller: Caller,
    ApiPath(id): ApiPath<String>,
) -> Result<Envelope<RolloutDto>, ApiError> {
    act(&service, &caller, &id, RolloutAction::Cancel).await
}

/// Try the failed gateways of a rollout again
///
/// Those that failed or were skipped; a halted or completed rollout runs again.
#[utoipa::path(
    post,
    path = "/api/ota/rollouts/{rolloutId}/retry",
    tag = "rollout",
    params(("rolloutId" = String, Path, format = Uuid)),
    responses(
        (status = 200, description = "The rollout", body = Envelope<RolloutDto>),
        (status = 400, description = "Not a rollout id", body = ErrorEnvelope),
        (status = 404, description = "No such rollout", body = ErrorEnvelope),
        (status = 409, description = "Nothing failed, or its state does not allow it", body = ErrorEnvelope),
        (status = 503, description = "Database away", body = ErrorEnvelope),
    )
)]
pub async fn retry(
    State(service): State<Arc<Service>>,
    caller: Caller,
    ApiPath(id): ApiPath<String>,
) -> Result<Envelope<RolloutDto>, ApiError> {
    act(&service, &caller, &id, RolloutAction::Retry).await
}
