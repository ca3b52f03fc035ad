use std::sync::Arc;

use axum::{
    extract::State,
    http::{HeaderMap, Method},
    response::Response,
};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::{
    domain::Caller,
    http::{
        envelope::ErrorEnvelope,
        error::ApiError,
        extract::{ApiPath, ApiQuery},
        file,
    },
    service::{Service, SignedDownload},
};

/// What a signed address has behind its path.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct SignedQuery {
    /// For which gateway the address was signed.
    gateway: Option<String>,
    /// Until when it is good, in Unix seconds.
    #[param(value_type = Option<i64>)]
    expires: Option<String>,
    signature: Option<String>,
}

impl SignedQuery {
    /// `None` without a signature. What else is missing or unreadable was not signed so.
    fn signed(self) -> Option<SignedDownload> {
        Some(SignedDownload {
            signature: self.signature?,
            gateway_id: self.gateway.unwrap_or_default(),
            expires: self.expires.and_then(|it| it.parse().ok()).unwrap_or(0),
        })
    }
}

/// Download a firmware
///
/// RFC 9110: one `Range`, `If-Range`, `If-None-Match`; the `ETag` is the SHA-256. A request for
/// several ranges gets the whole file. Never chunked. A signed bundle's manifest and signature lie
/// beside its parts. Who has no token takes the address in the gateway's command as it is: it is signed.
#[utoipa::path(
    get,
    path = "/firmware/{fileName}",
    tag = "download",
    params(
        ("fileName" = String, Path, example = "gateway_v1.0.2.bin"),
        SignedQuery,
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
        (status = 401, description = "Neither a token nor a signature (`download_unsigned`)", body = ErrorEnvelope),
        (
            status = 403,
            description = "A signature that is not for this file and gateway (`invalid_signature`), one \
                that has expired (`url_expired`), a gateway whose access was revoked \
                (`gateway_revoked`), or a gateway that was never sent this file (`not_its_file`)",
            body = ErrorEnvelope,
        ),
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
    caller: Caller,
    method: Method,
    ApiQuery(query): ApiQuery<SignedQuery>,
    ApiPath(file_name): ApiPath<String>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let signed = query.signed();
    let file = service
        .download_firmware(&caller, &file_name, signed.as_ref())
        .await?;
    file::answer(&service, &file, &method, &headers).await
}
