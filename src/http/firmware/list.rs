use std::sync::Arc;

use axum::extract::State;
use serde::Deserialize;
use utoipa::IntoParams;

use super::{FirmwareDto, FirmwareStatusDto};
use crate::{
    http::{
        envelope::{Envelope, ErrorEnvelope, PageDto},
        error::ApiError,
        extract::{ApiQuery, before_cursor, page_limit},
    },
    service::{FirmwareFilter, Service},
};

#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub struct ListQuery {
    device_type: Option<String>,
    #[param(inline)]
    status: Option<FirmwareStatusDto>,
    /// Entries per page, 1 to 500; default 50.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<i64>,
    /// `nextCursor` of the page before.
    cursor: Option<String>,
}

/// List firmwares
///
/// Newest upload first.
#[utoipa::path(
    get,
    path = "/api/ota/firmware",
    tag = "firmware",
    params(ListQuery),
    responses(
        (status = 200, description = "A page", body = Envelope<PageDto<FirmwareDto>>),
        (status = 400, description = "A parameter that makes no sense", body = ErrorEnvelope),
        (status = 503, description = "Database away", body = ErrorEnvelope),
    )
)]
pub async fn list(
    State(service): State<Arc<Service>>,
    ApiQuery(query): ApiQuery<ListQuery>,
) -> Result<Envelope<PageDto<FirmwareDto>>, ApiError> {
    let page = service
        .firmwares(FirmwareFilter {
            device_type: query.device_type,
            status: query.status.map(Into::into),
            before: before_cursor(query.cursor.as_deref())?,
            limit: page_limit(query.limit)?,
        })
        .await?;
    Ok(Envelope::of(PageDto::new(
        page,
        |firmware| firmware.firmware_id.to_string(),
        |firmware| FirmwareDto::new(&service, firmware),
    )))
}
