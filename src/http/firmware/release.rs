use std::sync::Arc;

use axum::extract::State;

use super::{DeviceTypeQuery, FirmwareDto};
use crate::{
    domain::{Caller, FirmwareStatus},
    http::{
        envelope::{Envelope, ErrorEnvelope},
        error::ApiError,
        extract::{ApiPath, ApiQuery},
    },
    service::Service,
};

/// Release a firmware
///
/// From draft or testing; it can then be the latest.
#[utoipa::path(
    post,
    path = "/api/ota/firmware/{version}/release",
    tag = "firmware",
    params(("version" = String, Path, example = "1.0.2"), DeviceTypeQuery),
    responses(
        (status = 200, description = "The release", body = Envelope<FirmwareDto>),
        (status = 400, description = "A parameter that makes no sense", body = ErrorEnvelope),
        (status = 404, description = "No such firmware", body = ErrorEnvelope),
        (status = 409, description = "Released already, or deprecated", body = ErrorEnvelope),
        (status = 503, description = "Database away", body = ErrorEnvelope),
    )
)]
pub async fn release(
    State(service): State<Arc<Service>>,
    caller: Caller,
    ApiPath(version): ApiPath<String>,
    ApiQuery(query): ApiQuery<DeviceTypeQuery>,
) -> Result<Envelope<FirmwareDto>, ApiError> {
    let firmware = service
        .change_firmware_status(
            &caller,
            query.device_type(),
            &version,
            FirmwareStatus::Released,
        )
        .await?;
    Ok(Envelope::of(FirmwareDto::new(&service, firmware)))
}
