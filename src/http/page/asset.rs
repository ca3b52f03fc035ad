use std::{
    collections::HashMap,
    io::Write as _,
    sync::{LazyLock, Mutex, PoisonError},
};

use axum::{
    http::{
        HeaderMap, StatusCode,
        header::{ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, ETAG, VARY},
    },
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use headers::{HeaderMapExt, IfNoneMatch};
use rust_embed::{EmbeddedFile, RustEmbed};
use sha2::{Digest, Sha256};

use crate::http::{envelope::ErrorEnvelope, error::ApiError, extract::ApiPath, file::digest_etag};

/// `static/`: within the program, or read from the folder by a debug build, so that a change shows at once.
#[derive(RustEmbed)]
#[folder = "static"]
#[include = "*.js"]
#[include = "*.css"]
#[include = "*.svg"]
#[include = "vendor/licences/*.txt"]
struct Files;

#[derive(RustEmbed)]
#[folder = "static"]
#[include = "*.html"]
struct Pages;

/// Marks a path segment with the digest of all files: what is below it never changes.
const EDITION_MARK: char = '~';

/// Scripts, styles and libraries of the pages
///
/// Pages name them below `/static/~<digest of all files>/`, where they may be cached for ever.
#[utoipa::path(
    get,
    path = "/static/{file}",
    tag = "page",
    params(
        ("file" = String, Path, example = "app.js"),
        ("If-None-Match" = Option<String>, Header, description = "An `ETag`"),
    ),
    responses(
        (status = 200, description = "The file", content(
            (String = "text/javascript"),
            (String = "text/css"),
            (String = "image/svg+xml"),
            (String = "text/plain")
        )),
        (status = 304, description = "The file is the one that the client has"),
        (status = 400, description = "A name that makes no sense", body = ErrorEnvelope),
        (status = 404, description = "No such file", body = ErrorEnvelope),
    )
)]
pub async fn asset(
    ApiPath(file): ApiPath<String>,
    request: HeaderMap,
) -> Result<Response, ApiError> {
    let (edition_named, name) = match file.strip_prefix(EDITION_MARK) {
        Some(below) => below.split_once('/').unwrap_or((below, "")),
        None => ("", file.as_str()),
    };
    let found = Files::get(name).ok_or_else(|| {
        ApiError::new(
            StatusCode::NOT_FOUND,
            "no_such_file",
            "the pages of this server have no such file: another version of it may have had one; load the page anew",
        )
    })?;
    let cache = if edition_named == edition() {
        "public, max-age=31536000, immutable"
    } else {
        "no-cache"
    };
    answer(name, &found, cache, &request)
}

fn answer(
    name: &str,
    file: &EmbeddedFile,
    cache: &'static str,
    request: &HeaderMap,
) -> Result<Response, ApiError> {
    let etag = digest_etag(&hex::encode(file.metadata.sha256_hash()))?;
    let unchanged = request
        .typed_get::<IfNoneMatch>()
        .is_some_and(|condition| !condition.precondition_passes(&etag));
    let headers = [(CACHE_CONTROL, cache), (VARY, "accept-encoding")];
    let mut response = if unchanged {
        (StatusCode::NOT_MODIFIED, headers).into_response()
    } else if takes_gzip(request) {
        let body = gzipped(file).map_err(|error| ApiError::internal(&error))?;
        (headers, [(CONTENT_ENCODING, "gzip")], body).into_response()
    } else {
        (headers, file.data.to_vec()).into_response()
    };
    if !unchanged {
        let content_type = content_type(name)
            .parse()
            .map_err(|error| ApiError::internal(&error))?;
        response.headers_mut().insert(CONTENT_TYPE, content_type);
    }
    response.headers_mut().typed_insert(etag);
    // The same file in two encodings is not the same bytes.
    if let Some(tag) = response
        .headers()
        .get(ETAG)
        .and_then(|tag| tag.to_str().ok())
    {
        let weak = format!("W/{tag}").parse();
        let weak = weak.map_err(|error| ApiError::internal(&error))?;
        response.headers_mut().insert(ETAG, weak);
    }
    Ok(response)
}

fn content_type(name: &str) -> &'static str {
    match name.rsplit_once('.').map(|(_, extension)| extension) {
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        _ => "text/plain; charset=utf-8",
    }
}

fn takes_gzip(request: &HeaderMap) -> bool {
    request.get_all(ACCEPT_ENCODING).iter().any(|value| {
        value.to_str().is_ok_and(|text| {
            text.split(',').any(|coding| {
                let (name, weight) = coding.split_once(';').unwrap_or((coding, ""));
                name.trim() == "gzip"
                    && !matches!(weight.trim(), "q=0" | "q=0.0" | "q=0.00" | "q=0.000")
            })
        })
    })
}

/// Each file is compressed once.
fn gzipped(file: &EmbeddedFile) -> std::io::Result<Bytes> {
    static DONE: LazyLock<Mutex<HashMap<[u8; 32], Bytes>>> = LazyLock::new(Mutex::default);
    let digest = file.metadata.sha256_hash();
    let done = DONE
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .get(&digest)
        .cloned();
    if let Some(done) = done {
        return Ok(done);
    }
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(&file.data)?;
    let body = Bytes::from(encoder.finish()?);
    DONE.lock()
        .unwrap_or_else(PoisonError::into_inner)
        .insert(digest, body.clone());
    Ok(body)
}

/// Names this set of files.
fn edition() -> String {
    let mut all = Sha256::new();
    for name in Files::iter() {
        all.update(name.as_bytes());
        if let Some(file) = Files::get(&name) {
            all.update(file.metadata.sha256_hash());
        }
    }
    hex::encode(&all.finalize()[..8])
}

/// A page's text; the files it names may be cached for ever.
pub fn page(name: &str) -> Result<String, ApiError> {
    let file = Pages::get(name).ok_or_else(|| ApiError::internal(&format!("no page {name}")))?;
    let text = String::from_utf8_lossy(&file.data);
    let below = format!("\"/static/{EDITION_MARK}{}/", edition());
    Ok(text.replace("\"/static/", &below))
}
