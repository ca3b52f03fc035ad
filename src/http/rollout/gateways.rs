use std::sync::Arc;

use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::MemberStateDto;
use crate::{
    http::{
        envelope::{Envelope, ErrorEnvelope, PageDto},
        error::ApiError,
        extract::{ApiPath, ApiQuery, page_limit, rollout_id},
    },
    service::{RolloutGateway, Service},
};

#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub struct GatewaysQuery {
    #[param(inline)]
    state: Option<MemberStateDto>,
    /// Only those of this wave, from 1.
    #[param(minimum = 1)]
    wave: Option<usize>,
    /// Entries per page, 1 to 500; default 50.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<i64>,
    /// `nextCursor` of the page before.
    cursor: Option<String>,
}

/// A gateway in a rollout.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = RolloutGateway)]
pub struct RolloutGatewayDto {
    pub gateway_id: String,
    /// From 1; null until all gateways are enrolled.
    pub wave: Option<usize>,
    pub state: MemberStateDto,
    pub task_id: Option<Uuid>,
    /// Why it failed or was skipped.
    pub reason: Option<String>,
}

impl From<RolloutGateway> for RolloutGatewayDto {
    fn from(RolloutGateway { member, wave }: RolloutGateway) -> Self {
        RolloutGatewayDto {
            gateway_id: member.gateway_id,
            wave,
            state: member.state.into(),
            task_id: member.task_id,
            reason: member.reason,
        }
    }
}

/// The gateways of a rollout
///
/// By id, each with its wave and state.
#[utoipa::path(
    get,
    path = "/api/ota/rollouts/{rolloutId}/gateways",
    tag = "rollout",
    params(("rolloutId" = String, Path, format = Uuid), GatewaysQuery),
    responses(
        (status = 200, description = "A page", body = Envelope<PageDto<RolloutGatewayDto>>),
        (status = 400, description = "A parameter that makes no sense", body = ErrorEnvelope),
        (status = 404, description = "No such rollout", body = ErrorEnvelope),
        (status = 503, description = "Database away", body = ErrorEnvelope),
    )
)]
pub async fn gateways(
    State(service): State<Arc<Service>>,
    ApiPath(id): ApiPath<String>,
    ApiQuery(query): ApiQuery<GatewaysQuery>,
) -> Result<Envelope<PageDto<RolloutGatewayDto>>, ApiError> {
    let page = service
        .rollout_gateways(
            rollout_id(&id)?,
            query.state.map(Into::into),
            query.wave,
            query.cursor.unwrap_or_default(),
            page_limit(query.limit)?,
        )
        .await?;
    Ok(Envelope::of(PageDto::new(
        page,
        |gateway| gateway.member.gateway_id.clone(),
        RolloutGatewayDto::from,
    )))
}
