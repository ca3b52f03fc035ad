use std::sync::Arc;

use axum::extract::State;
use serde::Deserialize;
use utoipa::IntoParams;

use super::GatewayDto;
use crate::{
    http::{
        envelope::{Envelope, ErrorEnvelope, PageDto},
        error::ApiError,
        extract::{ApiQuery, page_limit},
    },
    service::{GatewayFilter, Service},
};

#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub struct ListQuery {
    device_type: Option<String>,
    current_version: Option<String>,
    online: Option<bool>,
    /// Entries per page, 1 to 500; default 50.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<i64>,
    /// `nextCursor` of the page before.
    cursor: Option<String>,
}

/// List gateways
///
/// By id.
#[utoipa::path(
    get,
    path = "/api/ota/gateways",
    tag = "gateway",
    params(ListQuery),
    responses(
        (status = 200, description = "A page", body = Envelope<PageDto<GatewayDto>>),
        (status = 400, description = "A parameter that makes no sense", body = ErrorEnvelope),
        (status = 503, description = "Database away", body = ErrorEnvelope),
    )
)]
pub async fn list(
    State(service): State<Arc<Service>>,
    ApiQuery(query): ApiQuery<ListQuery>,
) -> Result<Envelope<PageDto<GatewayDto>>, ApiError> {
    let page = service
        .gateways(GatewayFilter {
            device_type: query.device_type,
            current_version: query.current_version,
            online: query.online,
            after: query.cursor.unwrap_or_default(),
            limit: page_limit(query.limit)?,
        })
        .await?;
    Ok(Envelope::of(PageDto::new(
        page,
        |view| view.gateway.gateway_id.clone(),
        GatewayDto::from,
    )))
}
