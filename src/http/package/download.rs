use std::sync::Arc;

use axum::{
    extract::State,
    http::{HeaderMap, Method},
    response::Response,
};

use crate::{
    domain::Caller,
    http::{envelope::ErrorEnvelope, error::ApiError, extract::ApiPath, file},
    service::Service,
};

/// Download a package's file
///
/// By its SHA-256, hex of either case. As for firmwares: one `Range`, `If-Range`, `If-None-Match`; the
/// `ETag` is the SHA-256. Never chunked.
#[utoipa::path(
    get,
    path = "/otafiles/{sha256}",
    operation_id = "package_download",
    tag = "package",
    params(
        (
            "sha256" = String,
            Path,
            example = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        ),
        ("Range" = Option<String>, Header, example = "bytes=1024-"),
        ("If-Range" = Option<String>, Header, description = "An `ETag`"),
        ("If-None-Match" = Option<String>, Header, description = "An `ETag`"),
    ),
    responses(
        (status = 200, description = "The file", content_type = "application/octet-stream"),
        (status = 206, description = "The part asked for", content_type = "application/octet-stream"),
        (status = 304, description = "Not modified"),
        (status = 400, description = "A name that makes no sense", body = ErrorEnvelope),
        (status = 401, description = "No token (`download_unsigned`)", body = ErrorEnvelope),
        (status = 404, description = "No package uses such a file", body = ErrorEnvelope),
        (status = 416, description = "The file has no such part", body = ErrorEnvelope),
        (
            status = 503,
            description = "Database or blob store away (`unavailable`), or the server sends as much \
                as it may (`download_budget`)",
            body = ErrorEnvelope,
            headers(("Retry-After" = u64, description = "Seconds")),
        ),
    )
)]
pub async fn download(
    State(service): State<Arc<Service>>,
    caller: Caller,
    method: Method,
    ApiPath(sha256): ApiPath<String>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let file = service.download_package(&caller, &sha256).await?;
    file::answer(&service, &file, &method, &headers).await
}
