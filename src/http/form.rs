//! Forms with a file: read as a stream, within limits, and refused so that the client comes to hear it.

use std::time::Duration;

use axum::{
    body::{Body, Bytes},
    extract::{
        FromRequest, Multipart, Request,
        multipart::{Field, MultipartError},
    },
    http::{StatusCode, header::CONTENT_LENGTH},
};
use futures_util::StreamExt;

use super::error::ApiError;

/// What a form may have besides the file, in bytes.
const FORM_BYTES_MAX: u64 = 128 << 10;
/// Fields of a form.
const FIELDS_MAX: usize = 32;
/// What is still read of a refused upload, so that the client, which sends before it listens,
/// comes to hear the answer: bytes, and for how long.
const DRAIN_BYTES_MAX: usize = 16 << 20;
const DRAIN_TIME_MAX: Duration = Duration::from_secs(10);
/// Longest pause of a client within a file for which it must not pause.
const STALL_TIME_MAX: Duration = Duration::from_secs(60);

/// A form that is still arriving.
pub struct Form {
    multipart: Multipart,
    fields: usize,
}

impl Form {
    /// Refuses what is no form, and one that is announced larger than a file of `file_bytes_max` makes
    /// it. `example` shows how to send one.
    pub async fn begin(
        request: Request,
        file_bytes_max: u64,
        example: &str,
    ) -> Result<Form, ApiError> {
        let announced = request
            .headers()
            .get(CONTENT_LENGTH)
            .and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
        if announced.is_some_and(|bytes| bytes > file_bytes_max.saturating_add(FORM_BYTES_MAX)) {
            return Err(ApiError::too_large("file", file_bytes_max));
        }
        match Multipart::from_request(request, &()).await {
            Ok(multipart) => Ok(Form {
                multipart,
                fields: 0,
            }),
            Err(_) => Err(ApiError::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "unsupported_media_type",
                format!("send the file as multipart/form-data: {example}"),
            )),
        }
    }

    pub async fn next(&mut self) -> Result<Option<Field<'_>>, ApiError> {
        let field = self.multipart.next_field().await.map_err(bad_form)?;
        self.fields += usize::from(field.is_some());
        if self.fields > FIELDS_MAX {
            return Err(ApiError::bad_request(
                "invalid_form",
                format!("the form has more than {FIELDS_MAX} fields"),
            ));
        }
        Ok(field)
    }

    /// Reads on behind a refusal, for a while.
    pub async fn drain(self) {
        let _ = tokio::time::timeout(DRAIN_TIME_MAX, drain(self.multipart)).await;
    }
}

/// Throws the body of a refused upload away, for a while.
pub async fn discard(body: Body) {
    let mut pieces = body.into_data_stream();
    let read = async {
        let mut bytes = 0;
        while let Some(Ok(piece)) = pieces.next().await {
            bytes += piece.len();
            if bytes > DRAIN_BYTES_MAX {
                return;
            }
        }
    };
    let _ = tokio::time::timeout(DRAIN_TIME_MAX, read).await;
}

/// The next piece of a file. Unless it `may_stall`, a client that pauses for long is refused.
pub async fn piece(file: &mut Field<'_>, may_stall: bool) -> Result<Option<Bytes>, ApiError> {
    let piece = match may_stall {
        true => file.chunk().await,
        false => match tokio::time::timeout(STALL_TIME_MAX, file.chunk()).await {
            Ok(piece) => piece,
            Err(_) => return Err(stalled()),
        },
    };
    piece.map_err(bad_form)
}

fn stalled() -> ApiError {
    let seconds = STALL_TIME_MAX.as_secs();
    ApiError::bad_request(
        "upload_stalled",
        format!("nothing of the file has come for {seconds} s: upload it again"),
    )
}

/// A field's text of at most `bytes_max` bytes.
pub async fn text(mut field: Field<'_>, name: &str, bytes_max: u64) -> Result<String, ApiError> {
    let mut bytes = Vec::new();
    while let Some(chunk) = field.chunk().await.map_err(bad_form)? {
        bytes.extend_from_slice(&chunk);
        if bytes.len() as u64 > bytes_max {
            return Err(ApiError::too_large(name, bytes_max));
        }
    }
    match String::from_utf8(bytes) {
        Ok(text) if !text.contains('\0') => Ok(text),
        _ => Err(ApiError::bad_request(
            "invalid_form",
            format!("the field {name:?} is not UTF-8 text"),
        )),
    }
}

pub fn twice(name: &str) -> ApiError {
    ApiError::bad_request("invalid_form", format!("the field {name:?} is there twice"))
}

fn bad_form(error: MultipartError) -> ApiError {
    ApiError::bad_request(
        "invalid_form",
        format!("the form broke off or is malformed: {}", error.body_text()),
    )
}

async fn drain(mut multipart: Multipart) {
    let mut drained = 0;
    while let Ok(Some(mut field)) = multipart.next_field().await {
        while let Some(Ok(bytes)) = field.next().await {
            drained += bytes.len();
            if drained > DRAIN_BYTES_MAX {
                return;
            }
        }
    }
}
