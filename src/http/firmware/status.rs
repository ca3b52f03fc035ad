use std::sync::Arc;

use axum::extract::State;
use serde::Deserialize;
use utoipa::ToSchema;

use super::{DeviceTypeQuery, FirmwareDto, FirmwareStatusDto};
use crate::{
    domain::Caller,
    http::{
        envelope::{Envelope, ErrorEnvelope},
        error::ApiError,
        extract::{ApiPath, ApiQuery, OptionalJson},
    },
    service::Service,
};

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangeStatus {
    pub status: FirmwareStatusDto,
}

/// Change a firmware's status
///
/// draft → testing → released → deprecated; testing may be skipped.
#[utoipa::path(
    post,
    path = "/api/ota/firmware/{version}/status",
    tag = "firmware",
    params(("version" = String, Path, example = "1.0.2"), DeviceTypeQuery),
    request_body = ChangeStatus,
    responses(
        (status = 200, description = "The firmware", body = Envelope<FirmwareDto>),
        (status = 400, description = "A status or parameter that makes no sense", body = ErrorEnvelope),
        (status = 404, description = "No such firmware", body = ErrorEnvelope),
        (status = 409, description = "A step that is not allowed; the message says why", body = ErrorEnvelope),
        (status = 413, description = "Larger than the limit that the message names", body = ErrorEnvelope),
        (status = 415, description = "Not JSON", body = ErrorEnvelope),
        (status = 503, description = "Database away", body = ErrorEnvelope),
    )
)]
pub async fn status(
    State(service): State<Arc<Service>>,
    caller: Caller,
    ApiPath(version): ApiPath<String>,
    ApiQuery(query): ApiQuery<DeviceTypeQuery>,
    OptionalJson(body): OptionalJson<ChangeStatus>,
) -> Result<Envelope<FirmwareDto>, ApiError> {
    let change = body.ok_or_else(|| {
        ApiError::bad_request(
            "invalid_json",
            "send the new status: {\"status\":\"testing\"}",
        )
    })?;
    let firmware = service
        .change_firmware_status(&caller, query.device_type(), &version, change.status.into())
        .await?;
    Ok(Envelope::of(FirmwareDto::new(&service, firmware)))
}
