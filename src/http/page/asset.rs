use std::{
    collections::HashMap,
    io::Write as _,
    sync::{LazyLock, Mutex, PoisonError},
};

use axum::{
    http::{
        HeaderMap, HeaderValue, StatusCode,
        header::{ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, VARY},
    },
    response::{IntoResponse, Response},
};
use brotli::enc::BrotliEncoderParams;
use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use headers::{ETag, HeaderMapExt, IfNoneMatch};
use rust_embed::{EmbeddedFile, RustEmbed};
use sha2::{Digest, Sha256};

use crate::http::{envelope::ErrorEnvelope, error::ApiError, extract::ApiPath};

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
    // Weak, as the encodings of a file are not the same bytes.
    let etag = format!("W/\"{}\"", hex::encode(file.metadata.sha256_hash())).parse::<ETag>();
    let etag = etag.map_err(|_| ApiError::internal(&"a digest is no ETag"))?;
    let headers = [(CACHE_CONTROL, cache), (VARY, "accept-encoding")];
    let unchanged = request
        .typed_get::<IfNoneMatch>()
        .is_some_and(|condition| !condition.precondition_passes(&etag));
    let mut response = if unchanged {
        (StatusCode::NOT_MODIFIED, headers).into_response()
    } else {
        let encoding = Encoding::of(request);
        let body = encoded(name, file, encoding).map_err(|error| ApiError::internal(&error))?;
        let mut response = (headers, [(CONTENT_TYPE, content_type(name))], body).into_response();
        if let Some(encoding) = encoding.name() {
            let encoding = HeaderValue::from_static(encoding);
            response.headers_mut().insert(CONTENT_ENCODING, encoding);
        }
        response
    };
    response.headers_mut().typed_insert(etag);
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

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Encoding {
    Brotli,
    Gzip,
    Plain,
}

impl Encoding {
    /// The smallest of those that the client takes.
    fn of(request: &HeaderMap) -> Encoding {
        let takes = |wanted| {
            let values = request.get_all(ACCEPT_ENCODING).iter();
            let texts = values.filter_map(|value| value.to_str().ok());
            texts.flat_map(|text| text.split(',')).any(|coding| {
                let (name, weight) = coding.split_once(';').unwrap_or((coding, ""));
                let refused = ["q=0", "q=0.0", "q=0.00", "q=0.000"].contains(&weight.trim());
                name.trim() == wanted && !refused
            })
        };
        [Encoding::Brotli, Encoding::Gzip]
            .into_iter()
            .find(|encoding| encoding.name().is_some_and(takes))
            .unwrap_or(Encoding::Plain)
    }

    fn name(self) -> Option<&'static str> {
        match self {
            Encoding::Brotli => Some("br"),
            Encoding::Gzip => Some("gzip"),
            Encoding::Plain => None,
        }
    }

    fn encode(self, text: &[u8]) -> std::io::Result<Vec<u8>> {
        match self {
            Encoding::Brotli => {
                let mut encoded = Vec::new();
                let mut source = text;
                brotli::BrotliCompress(&mut source, &mut encoded, &BrotliEncoderParams::default())?;
                Ok(encoded)
            }
            Encoding::Gzip => {
                let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
                encoder.write_all(text)?;
                encoder.finish()
            }
            Encoding::Plain => Ok(text.to_vec()),
        }
    }
}

/// Each file is encoded once.
fn encoded(name: &str, file: &EmbeddedFile, encoding: Encoding) -> std::io::Result<Bytes> {
    type Key = ([u8; 32], Encoding);
    static DONE: LazyLock<Mutex<HashMap<Key, Bytes>>> = LazyLock::new(Mutex::default);
    let done = || DONE.lock().unwrap_or_else(PoisonError::into_inner);
    let key = (file.metadata.sha256_hash(), encoding);
    if let Some(body) = done().get(&key) {
        return Ok(body.clone());
    }
    let is_ours = name.ends_with("js") && !name.starts_with("vendor/");
    let text = match std::str::from_utf8(&file.data) {
        Ok(text) if is_ours => without_comments(text).into_bytes(),
        _ => file.data.to_vec(),
    };
    let body = Bytes::from(encoding.encode(&text)?);
    done().insert(key, body.clone());
    Ok(body)
}

/// A script of ours without its comments, which are a quarter of it: the types in them are for who edits it.
/// Lines keep their numbers.
fn without_comments(script: &str) -> String {
    let mut rest = script;
    let mut text = String::with_capacity(script.len());
    while let Some((before, comment)) = rest.split_once("/**") {
        let (comment, after) = comment.split_once("*/").unwrap_or((comment, ""));
        text.push_str(before);
        text.extend(comment.chars().filter(|letter| *letter == '\n'));
        rest = after.strip_prefix(' ').unwrap_or(after);
    }
    text.push_str(rest);
    let lines = text.split('\n').map(|line| match line.trim_start() {
        comment if comment.starts_with("//") => "",
        _ => line.trim_end(),
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Names this set of files.
fn edition() -> String {
    static EDITION: LazyLock<String> = LazyLock::new(digest_of_all);
    // A debug build's files change while it runs.
    if cfg!(debug_assertions) {
        digest_of_all()
    } else {
        EDITION.clone()
    }
}

fn digest_of_all() -> String {
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
