use std::sync::Arc;

use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{GatewayDto, GatewaysQuery};
use crate::{
    http::{
        envelope::{Envelope, ErrorEnvelope, PageDto},
        error::ApiError,
        extract::{ApiQuery, page_limit},
    },
    service::{GatewayFilter, Service},
};

/// Gateways that a page can begin behind.
const OFFSET_MAX: i64 = 10_000_000;

#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub struct ListQuery {
    /// Also counts all that are meant, exactly, into `total`.
    #[serde(default)]
    count: bool,
    /// Entries per page, 1 to 500; default 50.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<i64>,
    /// `nextCursor` of the page before.
    cursor: Option<String>,
    /// How many gateways to pass over, 0 to 10,000,000; not together with `cursor`, which is quicker.
    #[param(minimum = 0, maximum = 10_000_000)]
    offset: Option<i64>,
}

impl ListQuery {
    fn skip(&self) -> Result<i64, ApiError> {
        let refused = |why| Err(ApiError::bad_request("invalid_offset", why));
        match (self.offset, &self.cursor) {
            (None, _) => Ok(0),
            (Some(_), Some(_)) => refused(
                "offset and cursor both say where the page begins: leave one of them out"
                    .to_owned(),
            ),
            (Some(offset), None) if (0..=OFFSET_MAX).contains(&offset) => Ok(offset),
            (Some(offset), None) => refused(format!(
                "offset {offset} must be between 0 and {OFFSET_MAX}"
            )),
        }
    }
}

/// Some of the gateways.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = GatewayPage)]
pub struct GatewayPageDto {
    pub items: Vec<GatewayDto>,
    /// `cursor` of the next page; null on the last.
    pub next_cursor: Option<String>,
    /// How many gateways are meant, over all pages; only if asked for by `count=true`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total: Option<i64>,
}

/// List gateways
///
/// By id.
#[utoipa::path(
    get,
    path = "/api/ota/gateways",
    tag = "gateway",
    params(GatewaysQuery, ListQuery),
    responses(
        (status = 200, description = "A page", body = Envelope<GatewayPageDto>),
        (status = 400, description = "A parameter that makes no sense", body = ErrorEnvelope),
        (status = 503, description = "Database away", body = ErrorEnvelope),
    )
)]
pub async fn list(
    State(service): State<Arc<Service>>,
    ApiQuery(gateways): ApiQuery<GatewaysQuery>,
    ApiQuery(list): ApiQuery<ListQuery>,
) -> Result<Envelope<GatewayPageDto>, ApiError> {
    let query = gateways.query()?;
    let limit = page_limit(list.limit)?;
    let skip = list.skip()?;
    let total = match list.count {
        true => Some(service.count_gateways(&query).await?),
        false => None,
    };
    let page = service
        .gateways(GatewayFilter {
            query,
            after: list.cursor.unwrap_or_default(),
            skip,
            limit,
        })
        .await?;
    let page = PageDto::new(
        page,
        |view| view.gateway.gateway_id.clone(),
        GatewayDto::from,
    );
    Ok(Envelope::of(GatewayPageDto {
        items: page.items,
        next_cursor: page.next_cursor,
        total,
    }))
}
