use std::sync::Arc;

use axum::extract::State;
use serde::Deserialize;
use utoipa::IntoParams;

use super::{DeliveryDto, DeliveryStatusDto, webhook_id};
use crate::{
    http::{
        envelope::{Envelope, ErrorEnvelope, PageDto},
        error::ApiError,
        extract::{ApiPath, ApiQuery, page_limit},
    },
    service::{DeliveryFilter, Service},
};

#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub struct DeliveriesQuery {
    #[param(inline)]
    status: Option<DeliveryStatusDto>,
    /// Entries per page, 1 to 500; default 50.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<i64>,
    /// `nextCursor` of the page before.
    cursor: Option<String>,
}

/// List a webhook's deliveries
///
/// Newest event first. Delivered ones are kept for a day, dead ones for 30 days.
#[utoipa::path(
    get,
    path = "/api/ota/webhooks/{webhookId}/deliveries",
    tag = "event",
    params(("webhookId" = String, Path, format = Uuid), DeliveriesQuery),
    responses(
        (status = 200, description = "A page", body = Envelope<PageDto<DeliveryDto>>),
        (status = 400, description = "A parameter that makes no sense", body = ErrorEnvelope),
        (status = 404, description = "No such webhook", body = ErrorEnvelope),
        (status = 503, description = "Database away", body = ErrorEnvelope),
    )
)]
pub async fn deliveries(
    State(service): State<Arc<Service>>,
    ApiPath(id): ApiPath<String>,
    ApiQuery(query): ApiQuery<DeliveriesQuery>,
) -> Result<Envelope<PageDto<DeliveryDto>>, ApiError> {
    let before = match query.cursor {
        None => i64::MAX,
        Some(cursor) => cursor.parse().map_err(|_| {
            ApiError::bad_request(
                "invalid_cursor",
                "cursor must be the nextCursor of the page before",
            )
        })?,
    };
    let filter = DeliveryFilter {
        status: query.status.map(Into::into),
        before,
        limit: page_limit(query.limit)?,
    };
    let page = service.deliveries(webhook_id(&id)?, filter).await?;
    Ok(Envelope::of(PageDto::new(
        page,
        |delivery| delivery.event_id.to_string(),
        DeliveryDto::from,
    )))
}
