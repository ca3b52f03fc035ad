use std::sync::Arc;

use axum::{
    extract::State,
    http::{HeaderMap, Method},
    response::Response,
};

use crate::{
    http::{envelope::ErrorEnvelope, error::ApiError, extract::ApiPath, file},
    service::Service,
};

/// Download a firmware
///
/// RFC 9110: one `Range`, `If-Range`, `If-None-Match`; the `ETag` is the SHA-256. A request for
/// several ranges gets the whole file. Never chunked. A signed bundle's manifest and signature lie
/// beside its parts.
#[utoipa::path(
    get,
    path = "/firmware/{fileName}",
    tag = "download",
    params(
        ("fileName" = String, Path, example = "gateway_v1.0.2.bin"),
        ("Range" = Option<String>, Header, example = "bytes=1024-"),
        ("If-Range" = Option<String>, Header, description = "An `ETag`"),
        ("If-None-Match" = Option<String>, Header, description = "An `ETag`"),
    ),
    responses(
        (
            status = 200,
            description = "The file",
            content(("application/octet-stream"), ("application/json"), ("application/pgp-signature")),
        ),
        (
            status = 206,
            description = "The part asked for",
            content(("application/octet-stream"), ("application/json"), ("application/pgp-signature")),
        ),
        (status = 304, description = "Not modified"),
        (status = 400, description = "A name that makes no sense", body = ErrorEnvelope),
        (status = 404, description = "No such file", body = ErrorEnvelope),
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
    method: Method,
    ApiPath(file_name): ApiPath<String>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let file = service.firmware_file(&file_name).await?;
    file::answer(&service, &file, &method, &headers).await
}
