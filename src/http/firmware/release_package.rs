use std::sync::Arc;

use axum::extract::State;
use serde::Deserialize;
use utoipa::IntoParams;

use super::FirmwareDto;
use crate::{
    domain::{Caller, DEVICE_TYPE_LINUX},
    http::{
        envelope::{Envelope, ErrorEnvelope},
        error::ApiError,
        extract::{ApiPath, ApiQuery},
    },
    service::Service,
};

#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub struct ReleasePackageQuery {
    #[param(example = "main")]
    branch: String,
    /// Default `linux`.
    device_type: Option<String>,
}

/// Release a package as a firmware
///
/// The version becomes a released firmware of the device type, with the package's file: it can be
/// triggered, rolled out and announced like any other. Again, it is the same firmware.
#[utoipa::path(
    post,
    path = "/api/ota/packages/{name}/{version}/release",
    tag = "package",
    params(
        ("name" = String, Path, example = "app"),
        ("version" = String, Path, example = "1.2.0"),
        ReleasePackageQuery
    ),
    responses(
        (status = 200, description = "The firmware, released", body = Envelope<FirmwareDto>),
        (status = 400, description = "A version that is not SemVer, or a parameter that makes no sense", body = ErrorEnvelope),
        (status = 404, description = "No such version of the package on the branch", body = ErrorEnvelope),
        (status = 409, description = "The version is withdrawn, unsigned where a signature is required, or another firmware's", body = ErrorEnvelope),
        (status = 503, description = "Database away", body = ErrorEnvelope),
    )
)]
pub async fn release_package(
    State(service): State<Arc<Service>>,
    caller: Caller,
    ApiPath((name, version)): ApiPath<(String, String)>,
    ApiQuery(query): ApiQuery<ReleasePackageQuery>,
) -> Result<Envelope<FirmwareDto>, ApiError> {
    let device_type = query.device_type.as_deref().unwrap_or(DEVICE_TYPE_LINUX);
    let firmware = service
        .release_package(&caller, &name, &query.branch, &version, device_type)
        .await?;
    Ok(Envelope::of(FirmwareDto::new(&service, firmware)))
}
