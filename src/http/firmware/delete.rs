use std::sync::Arc;

use axum::extract::State;

use super::{DeviceTypeQuery, FirmwareDto};
use crate::{
    domain::Caller,
    http::{
        envelope::{Envelope, ErrorEnvelope},
        error::ApiError,
        extract::{ApiPath, ApiQuery},
    },
    service::Service,
};

/// Delete a draft
///
/// Its file goes too, unless another firmware or a package has the same bytes.
#[utoipa::path(
    delete,
    path = "/api/ota/firmware/{version}",
    tag = "firmware",
    params(("version" = String, Path, example = "1.0.2"), DeviceTypeQuery),
    responses(
        (status = 200, description = "What was deleted", body = Envelope<FirmwareDto>),
        (status = 400, description = "A parameter that makes no sense", body = ErrorEnvelope),
        (status = 404, description = "No such firmware", body = ErrorEnvelope),
        (status = 409, description = "Not a draft", body = ErrorEnvelope),
        (status = 503, description = "Database or blob store away", body = ErrorEnvelope),
    )
)]
pub async fn delete(
    State(service): State<Arc<Service>>,
    caller: Caller,
    ApiPath(version): ApiPath<String>,
    ApiQuery(query): ApiQuery<DeviceTypeQuery>,
) -> Result<Envelope<FirmwareDto>, ApiError> {
    let firmware = service
        .delete_firmware(&caller, query.device_type(), &version)
        .await?;
    Ok(Envelope::of(FirmwareDto::new(&service, firmware)))
}
