use std::sync::Arc;

use axum::extract::State;
use serde::Deserialize;
use utoipa::IntoParams;

use super::{RolloutDto, StateDto};
use crate::{
    http::{
        envelope::{Envelope, ErrorEnvelope, PageDto},
        error::ApiError,
        extract::{ApiQuery, before_cursor, page_limit},
    },
    service::{RolloutFilter, Service},
};

#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub struct ListQuery {
    #[param(inline)]
    state: Option<StateDto>,
    device_type: Option<String>,
    /// Entries per page, 1 to 500; default 50.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<i64>,
    /// `nextCursor` of the page before.
    cursor: Option<String>,
}

/// List rollouts
///
/// Newest first.
#[utoipa::path(
    get,
    path = "/api/ota/rollouts",
    tag = "rollout",
    params(ListQuery),
    responses(
        (status = 200, description = "A page", body = Envelope<PageDto<RolloutDto>>),
        (status = 400, description = "A parameter that makes no sense", body = ErrorEnvelope),
        (status = 503, description = "Database away", body = ErrorEnvelope),
    )
)]
pub async fn list(
    State(service): State<Arc<Service>>,
    ApiQuery(query): ApiQuery<ListQuery>,
) -> Result<Envelope<PageDto<RolloutDto>>, ApiError> {
    let page = service
        .rollouts(RolloutFilter {
            state: query.state.map(Into::into),
            device_type: query.device_type,
            open: false,
            before: before_cursor(query.cursor.as_deref())?,
            limit: page_limit(query.limit)?,
        })
        .await?;
    Ok(Envelope::of(PageDto::new(
        page,
        |view| view.rollout.rollout_id.to_string(),
        RolloutDto::from,
    )))
}
