use std::sync::Arc;

use axum::{
    Json,
    extract::{Request, State, multipart::Field},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use utoipa::ToSchema;

use super::PackageDto;
use crate::{
    domain::Caller,
    http::{
        envelope::ErrorEnvelope,
        error::ApiError,
        form::{self, piece, text, twice},
    },
    service::{
        CONTENT_BYTES_MAX, PackageDetails, PackageUpload, Pushed, SIGNATURE_BYTES_MAX, Service,
    },
};

/// Shown to who sends something else.
const EXAMPLE: &str =
    "curl -X PUT -F content=@content.json -F file=@app.tar.zst http://localhost:8018/update";

#[derive(ToSchema)]
#[allow(
    dead_code,
    reason = "describes the form for OpenAPI; it is read as a stream"
)]
#[schema(as = PushForm)]
pub struct PushForm {
    /// `content.json`, kept byte for byte. Its `sha256` is the file's.
    #[schema(content_media_type = "application/json")]
    content: String,
    #[schema(value_type = String, format = Binary, content_media_type = "application/octet-stream")]
    file: Vec<u8>,
    /// Detached OpenPGP signature of `content.json`, armored; required where firmwares must be signed.
    #[schema(content_media_type = "application/pgp-signature")]
    signature: Option<String>,
}

#[derive(Default)]
struct Form {
    content: Option<String>,
    signature: Option<String>,
    file: Option<PackageUpload>,
}

/// Push a version of a package
///
/// Streams the file, in any order with the other fields. Pushed again, a version is replaced, unless it
/// was released as a firmware; one that was withdrawn is given out again. The answer to a file whose
/// SHA-256 is not the one in `content` is 304, and nothing is kept.
#[utoipa::path(
    put,
    path = "/update",
    operation_id = "package_push",
    tag = "package",
    request_body(content = PushForm, content_type = "multipart/form-data"),
    responses(
        (status = 200, description = "The version as it is now", body = PackageDto),
        (status = 304, description = "The file is not the one in `content`; nothing is kept"),
        (
            status = 400,
            description = "`content` is missing or makes no sense, no file, or not signed as it must be",
            body = ErrorEnvelope,
        ),
        (
            status = 409,
            description = "Another content, and the version is released as a firmware",
            body = ErrorEnvelope,
        ),
        (status = 413, description = "Larger than the limit that the message names", body = ErrorEnvelope),
        (status = 415, description = "Not multipart/form-data", body = ErrorEnvelope),
        (
            status = 503,
            description = "Database or blob store away, or the trusted keys can't be read",
            body = ErrorEnvelope,
        ),
        (status = 507, description = "No space left", body = ErrorEnvelope),
    )
)]
pub async fn push(
    State(service): State<Arc<Service>>,
    caller: Caller,
    request: Request,
) -> Result<Response, ApiError> {
    let size_max = service.settings().upload_bytes_max;
    let mut form = form::Form::begin(request, size_max, EXAMPLE).await?;
    let result = read_and_store(&service, &caller, &mut form).await;
    if result.is_err() {
        form.drain().await;
    }
    result
}

async fn read_and_store(
    service: &Arc<Service>,
    caller: &Caller,
    fields: &mut form::Form,
) -> Result<Response, ApiError> {
    let mut form = Form::default();
    while let Some(field) = fields.next().await? {
        form.take(service, field).await?;
    }
    let content = form.content.ok_or_else(|| {
        ApiError::bad_request(
            "no_content",
            "the form has no field \"content\": send it as -F content=@content.json",
        )
    })?;
    let file = form.file.ok_or_else(|| {
        ApiError::bad_request(
            "no_file",
            "the form has no field \"file\": send what content.json describes as -F file=@app.tar.zst",
        )
    })?;
    let details = PackageDetails {
        content,
        signature: form.signature,
    };
    match service.finish_package(caller, file, details).await? {
        Pushed::Stored(view) => Ok(Json(PackageDto::new(service, *view)?).into_response()),
        Pushed::OtherFile => Ok(StatusCode::NOT_MODIFIED.into_response()),
    }
}

impl Form {
    async fn take(&mut self, service: &Arc<Service>, field: Field<'_>) -> Result<(), ApiError> {
        let name = field.name().unwrap_or_default().to_owned();
        match name.as_str() {
            "file" => {
                if self.file.is_some() {
                    return Err(twice("file"));
                }
                if let Some(content) = &self.content {
                    // All that is known so far is checked before bytes are spent.
                    let signature = self.signature.as_deref();
                    service.check_package(content, signature).await?;
                }
                self.file = Some(receive(service, field).await?);
            }
            "content" => {
                let content = text(field, &name, CONTENT_BYTES_MAX).await?;
                if self.content.replace(content).is_some() {
                    return Err(twice(&name));
                }
            }
            "signature" => {
                if self.signature.is_some() {
                    return Err(twice(&name));
                }
                let signature = text(field, &name, SIGNATURE_BYTES_MAX).await?;
                // What is left empty is not said.
                self.signature = Some(signature).filter(|it| !it.trim().is_empty());
            }
            _ => {}
        }
        Ok(())
    }
}

async fn receive(service: &Arc<Service>, mut file: Field<'_>) -> Result<PackageUpload, ApiError> {
    let mut upload = service.begin_package().await?;
    while let Some(bytes) = piece(&mut file, false).await? {
        upload.write(bytes).await?;
    }
    Ok(upload)
}
