use std::sync::Arc;

use axum::{extract::State, http::HeaderMap, response::Response};

use super::{VersionQuery, text_answer};
use crate::{
    http::{envelope::ErrorEnvelope, error::ApiError, extract::ApiQuery},
    service::Service,
};

/// A version's content.json
///
/// Byte for byte as it was pushed. The `ETag` is its SHA-256. One that is withdrawn is not found.
#[utoipa::path(
    get,
    path = "/getVersion",
    tag = "package",
    params(
        VersionQuery,
        ("If-None-Match" = Option<String>, Header, description = "An `ETag`"),
    ),
    responses(
        (status = 200, description = "content.json", body = Object, content_type = "application/json"),
        (status = 304, description = "Not modified"),
        (status = 400, description = "A parameter is missing or makes no sense", body = ErrorEnvelope),
        (status = 404, description = "No such version, or it is withdrawn", body = ErrorEnvelope),
        (status = 503, description = "Database away", body = ErrorEnvelope),
    )
)]
pub async fn get_version(
    State(service): State<Arc<Service>>,
    ApiQuery(query): ApiQuery<VersionQuery>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let package = service
        .installable_package(&query.package, &query.branch, &query.version)
        .await?;
    text_answer(&headers, "application/json", package.content)
}
