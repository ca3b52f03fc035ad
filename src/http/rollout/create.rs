use std::sync::Arc;

use axum::extract::State;

use super::{RolloutDto, RolloutRequest};
use crate::{
    domain::Caller,
    http::{
        envelope::{Envelope, ErrorEnvelope},
        error::ApiError,
        extract::JsonTarget,
    },
    service::Service,
};

/// Bring a version to many gateways
///
/// Wave by wave: a wave begins when the one before has ended and soaked. A gateway counts as a
/// success when a heartbeat proves that it runs the version; silence past the deadline counts as
/// a failure; more failures than allowed halt the rollout, and nothing more is sent.
#[utoipa::path(
    post,
    path = "/api/ota/rollouts",
    tag = "rollout",
    request_body = RolloutRequest,
    responses(
        (status = 200, description = "The rollout", body = Envelope<RolloutDto>),
        (status = 400, description = "A value that makes no sense", body = ErrorEnvelope),
        (status = 404, description = "No such firmware or gateway", body = ErrorEnvelope),
        (status = 409, description = "The firmware can't be installed, or nobody would get it", body = ErrorEnvelope),
        (status = 413, description = "Larger than the limit that the message names", body = ErrorEnvelope),
        (status = 415, description = "Not JSON", body = ErrorEnvelope),
        (status = 503, description = "Database away", body = ErrorEnvelope),
    )
)]
pub async fn create(
    State(service): State<Arc<Service>>,
    caller: Caller,
    JsonTarget(request): JsonTarget<RolloutRequest>,
) -> Result<Envelope<RolloutDto>, ApiError> {
    let view = service.create_rollout(&caller, request.rollout()?).await?;
    Ok(Envelope::of(view.into()))
}
