//! Files as RFC 9110 has them: ranges, conditions, lengths.

use std::ops::Range;

use axum::{
    body::Body,
    http::{
        HeaderMap, HeaderValue, Method, StatusCode,
        header::{
            ACCEPT_RANGES, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_RANGE,
            CONTENT_TYPE, RANGE, X_CONTENT_TYPE_OPTIONS,
        },
    },
    response::{IntoResponse, Response},
};
use headers::{ETag, HeaderMapExt, IfNoneMatch, IfRange};
use http_range_header::{EndPosition, StartPosition, parse_range_header};

use super::error::ApiError;
use crate::service::{FileKind, Service, StoredFile};

/// A name that will always mean these bytes.
const CACHE_FOREVER: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");
/// As long, but for who asked alone: a cache between must not hand it to others.
const CACHE_OWN: HeaderValue = HeaderValue::from_static("private, max-age=31536000, immutable");
/// A draft can be deleted and uploaded anew under the same name.
const CACHE_ASK_AGAIN: HeaderValue = HeaderValue::from_static("no-cache");
const CACHE_OWN_ASK_AGAIN: HeaderValue = HeaderValue::from_static("private, no-cache");

/// What part of a file a request wants.
#[derive(Debug, PartialEq)]
enum Wanted {
    Whole,
    Part(Range<u64>),
    /// Nothing that the file has.
    Unsatisfiable,
}

/// The answer to a GET or HEAD of a file.
pub async fn answer(
    service: &Service,
    file: &StoredFile,
    method: &Method,
    headers: &HeaderMap,
) -> Result<Response, ApiError> {
    let etag = digest_etag(&file.sha256)?;
    let mut response = match headers.typed_get::<IfNoneMatch>() {
        Some(condition) if !condition.precondition_passes(&etag) => {
            StatusCode::NOT_MODIFIED.into_response()
        }
        _ => {
            // A condition that can't be read is not met: parts of two files must never mix.
            let current = match headers.typed_try_get::<IfRange>() {
                Ok(condition) => condition.is_none_or(|it| !it.is_modified(Some(&etag), None)),
                Err(_) => false,
            };
            let range = headers
                .get(RANGE)
                .filter(|_| current && *method == Method::GET);
            let wanted = match range {
                Some(range) => wanted(range.to_str().unwrap_or_default(), file.size),
                None => Wanted::Whole,
            };
            body(service, file, wanted, method).await?
        }
    };
    let headers = response.headers_mut();
    headers.typed_insert(etag);
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    let cache = match (file.immutable, service.guards_downloads()) {
        (true, false) => CACHE_FOREVER,
        (true, true) => CACHE_OWN,
        (false, false) => CACHE_ASK_AGAIN,
        (false, true) => CACHE_OWN_ASK_AGAIN,
    };
    headers.insert(CACHE_CONTROL, cache);
    Ok(response)
}

/// The `ETag` that a SHA-256 is.
pub fn digest_etag(sha256: &str) -> Result<ETag, ApiError> {
    format!("\"{sha256}\"")
        .parse()
        .map_err(|_| ApiError::internal(&"a digest is no ETag"))
}

async fn body(
    service: &Service,
    file: &StoredFile,
    wanted: Wanted,
    method: &Method,
) -> Result<Response, ApiError> {
    let (status, range) = match wanted {
        Wanted::Whole => (StatusCode::OK, 0..file.size),
        Wanted::Part(range) => (StatusCode::PARTIAL_CONTENT, range),
        Wanted::Unsatisfiable => {
            let refusal = ApiError::new(
                StatusCode::RANGE_NOT_SATISFIABLE,
                "range_not_satisfiable",
                format!(
                    "the file has {} bytes: ask for a range within them",
                    file.size
                ),
            );
            let mut response = refusal.into_response();
            response
                .headers_mut()
                .insert(CONTENT_RANGE, header(format!("bytes */{}", file.size))?);
            return Ok(response);
        }
    };
    let length = range.end - range.start;
    let content_range = format!(
        "bytes {}-{}/{}",
        range.start,
        range.end.saturating_sub(1),
        file.size
    );
    let body = match *method {
        Method::HEAD => Body::empty(),
        _ => Body::from_stream(service.read_file(file, range).await?),
    };
    let mut response = (status, body).into_response();
    let headers = response.headers_mut();
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static(media_type(file.kind)),
    );
    headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    headers.insert(
        CONTENT_DISPOSITION,
        header(format!("attachment; filename=\"{}\"", file.name))?,
    );
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if status == StatusCode::PARTIAL_CONTENT {
        headers.insert(CONTENT_RANGE, header(content_range)?);
    }
    Ok(response)
}

fn media_type(kind: FileKind) -> &'static str {
    match kind {
        FileKind::Image => "application/octet-stream",
        FileKind::Manifest => "application/json",
        FileKind::Signature => "application/pgp-signature",
    }
}

fn header(value: String) -> Result<HeaderValue, ApiError> {
    HeaderValue::try_from(value).map_err(|error| ApiError::internal(&error))
}

/// RFC 9110, 14.2: a header that is malformed, in another unit or for several ranges is ignored.
fn wanted(range: &str, size: u64) -> Wanted {
    // To the parser a suffix of no bytes is malformed; to the RFC it is unsatisfiable.
    if matches!(range.trim().strip_prefix("bytes=-"), Some(count) if count.parse() == Ok(0)) {
        return Wanted::Unsatisfiable;
    }
    let Ok(parsed) = parse_range_header(range) else {
        return Wanted::Whole;
    };
    let [range] = parsed.ranges.as_slice() else {
        return Wanted::Whole;
    };
    let start = match range.start {
        StartPosition::Index(start) => start,
        StartPosition::FromLast(count) => size.saturating_sub(count),
    };
    let end = match range.end {
        EndPosition::Index(last) if last < start => return Wanted::Whole,
        EndPosition::Index(last) => last.saturating_add(1).min(size),
        EndPosition::LastByte => size,
    };
    match start < size {
        true => Wanted::Part(start..end),
        false => Wanted::Unsatisfiable,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_follow_rfc_9110() {
        for (range, expected) in [
            ("bytes=0-", Wanted::Part(0..10)),
            ("bytes=0-0", Wanted::Part(0..1)),
            ("bytes=3-5", Wanted::Part(3..6)),
            ("bytes=3-99", Wanted::Part(3..10)),
            ("bytes=-4", Wanted::Part(6..10)),
            ("bytes=-40", Wanted::Part(0..10)),
            ("bytes=10-", Wanted::Unsatisfiable),
            ("bytes=-0", Wanted::Unsatisfiable),
            ("bytes=18446744073709551615-", Wanted::Unsatisfiable),
            ("bytes=5-3", Wanted::Whole),
            ("bytes=0-1,4-5", Wanted::Whole),
            ("bytes=x-", Wanted::Whole),
            ("items=0-1", Wanted::Whole),
            ("", Wanted::Whole),
        ] {
            assert_eq!(wanted(range, 10), expected, "{range}");
        }
    }
}
