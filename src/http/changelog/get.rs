use std::sync::Arc;

use axum::{
    extract::State,
    http::{
        HeaderValue,
        header::{CACHE_CONTROL, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS},
    },
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::{
    domain::DEVICE_TYPE_DEFAULT,
    http::{envelope::ErrorEnvelope, error::ApiError, extract::ApiQuery},
    service::Service,
};

#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub struct ChangelogQuery {
    /// Default: the latest release.
    version: Option<String>,
    /// Default `gateway`.
    device_type: Option<String>,
}

/// A version's changelog
///
/// Markdown, as it was uploaded; empty if nothing was said. Of a draft there is none.
#[utoipa::path(
    get,
    path = "/ota/changelog",
    tag = "download",
    params(ChangelogQuery),
    responses(
        (status = 200, description = "Markdown", body = String, content_type = "text/markdown"),
        (status = 400, description = "A parameter that makes no sense", body = ErrorEnvelope),
        (status = 404, description = "No such firmware, a draft, or nothing is released", body = ErrorEnvelope),
        (status = 503, description = "Database away", body = ErrorEnvelope),
    )
)]
pub async fn get(
    State(service): State<Arc<Service>>,
    ApiQuery(query): ApiQuery<ChangelogQuery>,
) -> Result<Response, ApiError> {
    let device_type = query.device_type.as_deref().unwrap_or(DEVICE_TYPE_DEFAULT);
    let version = query.version.as_deref();
    let firmware = service.published_firmware(device_type, version).await?;
    let headers = [
        (CONTENT_TYPE, "text/markdown; charset=utf-8"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        // Without a version it changes with the next release.
        (CACHE_CONTROL, "no-cache"),
    ]
    .map(|(name, value)| (name, HeaderValue::from_static(value)));
    Ok((headers, firmware.changelog).into_response())
}
