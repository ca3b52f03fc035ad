//! Request parts, refused in the envelope's words.

use axum::{
    body::Bytes,
    extract::{
        FromRequest, FromRequestParts, Path, Query, Request,
        rejection::{BytesRejection, PathRejection, QueryRejection},
    },
    http::{StatusCode, header::CONTENT_TYPE, request::Parts},
};
use serde::de::DeserializeOwned;
use uuid::Uuid;

use super::error::ApiError;

/// Entries per page unless asked otherwise.
pub const PAGE_LIMIT_DEFAULT: i64 = 50;
/// Entries per page at most.
pub const PAGE_LIMIT_MAX: i64 = 500;

impl From<PathRejection> for ApiError {
    fn from(rejection: PathRejection) -> Self {
        ApiError::bad_request("invalid_path", rejection.body_text())
    }
}

impl From<QueryRejection> for ApiError {
    fn from(rejection: QueryRejection) -> Self {
        ApiError::bad_request("invalid_query", rejection.body_text())
    }
}

/// PostgreSQL has no NUL in text: it would call a question with one an error.
const NUL_REFUSED: &str = "there is a NUL character in the address: leave it out";

/// Whether percent-encoded text has a NUL.
fn has_nul(encoded: &str) -> bool {
    encoded.contains("%00")
}

/// [`Path`], refused in an envelope.
pub struct ApiPath<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for ApiPath<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        if has_nul(parts.uri.path()) {
            return Err(ApiError::bad_request("invalid_path", NUL_REFUSED));
        }
        let Path(value) = Path::from_request_parts(parts, state).await?;
        Ok(ApiPath(value))
    }
}

/// [`Query`], refused in an envelope.
pub struct ApiQuery<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for ApiQuery<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        if parts.uri.query().is_some_and(has_nul) {
            return Err(ApiError::bad_request("invalid_query", NUL_REFUSED));
        }
        let Query(value) = Query::from_request_parts(parts, state).await?;
        Ok(ApiQuery(value))
    }
}

/// A JSON body; `None` if it is empty. Old apps send JSON as `text/plain`, or without a type:
/// that is taken too.
pub struct OptionalJson<T>(pub Option<T>);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for OptionalJson<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        Ok(OptionalJson(json(request, state, BODY_BYTES_MAX).await?))
    }
}

/// A JSON body that must be there and may name thousands of gateways.
pub struct JsonTarget<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for JsonTarget<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let value = json(request, state, TARGET_BYTES_MAX).await?;
        value.map(JsonTarget).ok_or_else(|| {
            ApiError::bad_request(
                "no_body",
                "the request has no body: send a JSON object as documented under /docs",
            )
        })
    }
}

async fn json<S: Send + Sync, T: DeserializeOwned>(
    request: Request,
    state: &S,
    limit: usize,
) -> Result<Option<T>, ApiError> {
    let (content_type, body) = typed_body(request, state, limit).await?;
    if body.is_empty() {
        return Ok(None);
    }
    check_media_type(
        content_type,
        &["application/json", "text/plain"],
        "application/json",
    )?;
    // Serde would read an array as the fields in their order.
    if body.trim_ascii_start().starts_with(b"[") {
        return Err(ApiError::bad_request(
            "invalid_json",
            "the body is an array: send a JSON object, as in {\"version\":\"1.0.2\"}",
        ));
    }
    if body.windows(6).any(|bytes| bytes == br"\u0000") {
        return Err(ApiError::bad_request(
            "invalid_json",
            "there is a NUL character in the body: leave it out",
        ));
    }
    let value = serde_json::from_slice(&body).map_err(|error| {
        ApiError::bad_request(
            "invalid_json",
            format!("the body is not as documented: {error}"),
        )
    })?;
    Ok(Some(value))
}

/// What a device says, for the service to read. It is taken as `text/plain` or without a type too.
pub struct Payload(pub Bytes);

impl<S: Send + Sync> FromRequest<S> for Payload {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let (content_type, body) = typed_body(request, state, BODY_BYTES_MAX).await?;
        check_media_type(
            content_type,
            &["application/json", "text/plain", "application/octet-stream"],
            "application/json",
        )?;
        Ok(Payload(body))
    }
}

/// A list as CSV. It is taken as `text/plain` or without a type too.
pub struct CsvBody(pub Bytes);

impl<S: Send + Sync> FromRequest<S> for CsvBody {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let (content_type, body) = typed_body(request, state, CSV_BYTES_MAX).await?;
        check_media_type(content_type, &["text/csv", "text/plain"], "text/csv")?;
        Ok(CsvBody(body))
    }
}

/// The body, which the router keeps within `limit` bytes, and its `Content-Type`.
async fn typed_body<S: Send + Sync>(
    request: Request,
    state: &S,
    limit: usize,
) -> Result<(Option<String>, Bytes), ApiError> {
    let content_type = request
        .headers()
        .get(CONTENT_TYPE)
        .map(|value| value.to_str().unwrap_or_default().to_ascii_lowercase());
    let body = Bytes::from_request(request, state)
        .await
        .map_err(|rejection: BytesRejection| match rejection.status() {
            StatusCode::PAYLOAD_TOO_LARGE => ApiError::too_large("body", limit as u64),
            _ => ApiError::bad_request("unreadable_body", rejection.body_text()),
        })?;
    Ok((content_type, body))
}

fn check_media_type(
    content_type: Option<String>,
    taken: &[&str],
    wanted: &str,
) -> Result<(), ApiError> {
    let Some(content_type) = content_type else {
        return Ok(());
    };
    let media_type = content_type.split(';').next().unwrap_or_default().trim();
    if taken.contains(&media_type) {
        return Ok(());
    }
    Err(ApiError::new(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "unsupported_media_type",
        format!("{media_type:?} is not taken here: send Content-Type: {wanted}"),
    ))
}

/// Largest list as CSV, in bytes.
pub const CSV_BYTES_MAX: usize = 16 << 20;
/// Largest body that is not a file, in bytes.
pub const BODY_BYTES_MAX: usize = 64 << 10;
/// Largest body that names gateways, in bytes.
pub const TARGET_BYTES_MAX: usize = 1 << 20;

/// The page size asked for.
pub fn page_limit(limit: Option<i64>) -> Result<i64, ApiError> {
    match limit {
        None => Ok(PAGE_LIMIT_DEFAULT),
        Some(limit) if (1..=PAGE_LIMIT_MAX).contains(&limit) => Ok(limit),
        Some(limit) => Err(ApiError::bad_request(
            "invalid_limit",
            format!("limit {limit} must be between 1 and {PAGE_LIMIT_MAX}"),
        )),
    }
}

/// The place to go on from in a list whose newest id is the greatest.
pub fn before_cursor(cursor: Option<&str>) -> Result<Uuid, ApiError> {
    match cursor {
        None => Ok(Uuid::max()),
        Some(cursor) => cursor.parse().map_err(|_| {
            ApiError::bad_request(
                "invalid_cursor",
                "cursor must be the nextCursor of the page before",
            )
        }),
    }
}

pub fn rollout_id(text: &str) -> Result<Uuid, ApiError> {
    text.parse().map_err(|_| {
        ApiError::bad_request(
            "invalid_rollout_id",
            format!("{text:?} is not a rollout id: it is the rolloutId of a rollout, a UUID"),
        )
    })
}

pub fn task_id(text: &str) -> Result<Uuid, ApiError> {
    text.parse().map_err(|_| {
        ApiError::bad_request(
            "invalid_task_id",
            format!("{text:?} is not a task id: it is the taskId of a task, a UUID"),
        )
    })
}
