use std::sync::Arc;

use axum::extract::State;

use super::{DeviceTypeQuery, FirmwareDto};
use crate::{
    http::{
        envelope::{Envelope, ErrorEnvelope},
        error::ApiError,
        extract::{ApiPath, ApiQuery},
    },
    service::Service,
};

/// One firmware
#[utoipa::path(
    get,
    path = "/api/ota/firmware/{version}",
    tag = "firmware",
    params(("version" = String, Path, example = "1.0.2"), DeviceTypeQuery),
    responses(
        (status = 200, description = "The firmware", body = Envelope<FirmwareDto>),
        (status = 400, description = "A parameter that makes no sense", body = ErrorEnvelope),
        (status = 404, description = "No such firmware", body = ErrorEnvelope),
        (status = 503, description = "Database away", body = ErrorEnvelope),
    )
)]
pub async fn get(
    State(service): State<Arc<Service>>,
    ApiPath(version): ApiPath<String>,
    ApiQuery(query): ApiQuery<DeviceTypeQuery>,
) -> Result<Envelope<FirmwareDto>, ApiError> {
    let firmware = service.firmware(query.device_type(), &version).await?;
    Ok(Envelope::of(FirmwareDto::new(&service, firmware)))
}
