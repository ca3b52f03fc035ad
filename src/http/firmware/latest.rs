use std::sync::Arc;

use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::FirmwareDto;
use crate::{
    domain::DEVICE_TYPE_DEFAULT,
    http::{
        envelope::{Envelope, ErrorEnvelope},
        error::ApiError,
        extract::ApiQuery,
    },
    service::Service,
};

#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub struct LatestQuery {
    /// Default `gateway`.
    device_type: Option<String>,
    /// What the device runs; adds `currentVersion`, `latestVersion` and `needUpgrade`.
    current_version: Option<String>,
}

/// The latest release; the last three only if `currentVersion` was given.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = LatestFirmware)]
pub struct LatestFirmwareDto {
    #[serde(flatten)]
    pub firmware: FirmwareDto,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub current_version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latest_version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub need_upgrade: Option<bool>,
}

/// The latest release
///
/// The highest released version by SemVer precedence.
#[utoipa::path(
    get,
    path = "/api/ota/firmware/latest",
    tag = "firmware",
    params(LatestQuery),
    responses(
        (status = 200, description = "The latest release", body = Envelope<LatestFirmwareDto>),
        (status = 400, description = "A parameter that makes no sense", body = ErrorEnvelope),
        (status = 404, description = "Nothing is released", body = ErrorEnvelope),
        (status = 503, description = "Database away", body = ErrorEnvelope),
    )
)]
pub async fn latest(
    State(service): State<Arc<Service>>,
    ApiQuery(query): ApiQuery<LatestQuery>,
) -> Result<Envelope<LatestFirmwareDto>, ApiError> {
    let device_type = query.device_type.as_deref().unwrap_or(DEVICE_TYPE_DEFAULT);
    let latest = service
        .latest_firmware(device_type, query.current_version)
        .await?;
    let asked = latest.current_version.is_some();
    Ok(Envelope::of(LatestFirmwareDto {
        latest_version: asked.then(|| latest.firmware.version.clone()),
        need_upgrade: asked.then_some(latest.need_upgrade),
        current_version: latest.current_version,
        firmware: FirmwareDto::new(&service, latest.firmware),
    }))
}
