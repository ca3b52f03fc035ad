use std::sync::Arc;

use axum::extract::{Request, State, multipart::Field};
use utoipa::ToSchema;

use super::FirmwareDto;
use crate::{
    domain::{Caller, DEVICE_TYPE_DEFAULT},
    http::{
        envelope::{Envelope, ErrorEnvelope},
        error::ApiError,
        form::{self, piece, text, twice},
    },
    service::{BundleDetails, FirmwareDetails, Service, Upload},
};

/// Longest value of a field other than `file` and `changelog`, in bytes.
const FIELD_BYTES_MAX: u64 = 4 << 10;
/// Longest `changelog`, in bytes.
const CHANGELOG_BYTES_MAX: u64 = 64 << 10;

#[derive(ToSchema)]
#[allow(
    dead_code,
    reason = "describes the form for OpenAPI; it is read as a stream"
)]
#[schema(as = UploadForm)]
#[schema(rename_all = "camelCase")]
pub struct UploadForm {
    /// The image, or a signed bundle (`.jota`, known by its first bytes), which says of itself what
    /// `version`, `deviceType`, `minVersion` and `changelog` say of an image: they may then be left out,
    /// else they must be the same.
    #[schema(value_type = String, format = Binary, content_media_type = "application/octet-stream")]
    file: Vec<u8>,
    /// Required for an image. SemVer 2.0; unique within the device type.
    #[schema(examples("1.0.2"))]
    version: Option<String>,
    description: Option<String>,
    /// Markdown.
    changelog: Option<String>,
    /// Default `gateway`.
    device_type: Option<String>,
    force_upgrade: Option<bool>,
    /// The lowest version from which this one may be installed; gateways below it go through others
    /// first.
    #[schema(examples("1.4.0"))]
    min_version: Option<String>,
}

#[derive(Default)]
struct Form {
    file: Option<Upload>,
    version: Option<String>,
    device_type: Option<String>,
    description: Option<String>,
    changelog: Option<String>,
    force_upgrade: Option<String>,
    min_version: Option<String>,
}

/// Upload a firmware
///
/// Streams the file, computing its digests as it arrives; it becomes a draft. Upload the same
/// version again only after deleting the draft. A signed bundle's signature is checked before a byte
/// of its parts is stored; each refusal has its code.
#[utoipa::path(
    post,
    path = "/api/ota/firmware/upload",
    tag = "firmware",
    request_body(content = UploadForm, content_type = "multipart/form-data"),
    responses(
        (status = 200, description = "The draft", body = Envelope<FirmwareDto>),
        (
            status = 400,
            description = "No file, an empty file, a field that makes no sense, an image or a bundle \
                that is not signed as it must be, or a bundle that is none",
            body = ErrorEnvelope,
        ),
        (
            status = 409,
            description = "The version exists, or the release is older than one that is there",
            body = ErrorEnvelope,
        ),
        (status = 413, description = "Larger than the limit that the message names", body = ErrorEnvelope),
        (status = 415, description = "Not multipart/form-data", body = ErrorEnvelope),
        (
            status = 503,
            description = "Database or blob store away, the trusted keys can't be read, or too many \
                bundles at once",
            body = ErrorEnvelope,
        ),
        (status = 507, description = "No space left", body = ErrorEnvelope),
    )
)]
pub async fn upload(
    State(service): State<Arc<Service>>,
    caller: Caller,
    request: Request,
) -> Result<Envelope<FirmwareDto>, ApiError> {
    let size_max = service.settings().upload_bytes_max;
    let example = "curl -F file=@firmware.bin -F version=1.0.2";
    let mut form = form::Form::begin(request, size_max, example).await?;
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
) -> Result<Envelope<FirmwareDto>, ApiError> {
    let mut form = Form::default();
    while let Some(field) = fields.next().await? {
        form.take(service, field).await?;
    }
    if let Some(bundle) = form.file.take_if(|file| file.is_bundle()) {
        let firmware = service
            .finish_bundle(caller, bundle, form.bundle_details()?)
            .await?;
        return Ok(Envelope::of(FirmwareDto::new(service, firmware)));
    }
    let details = form.details()?;
    let upload = form.file.ok_or_else(|| {
        ApiError::bad_request(
            "no_file",
            "the form has no field \"file\": send the image as -F file=@firmware.bin",
        )
    })?;
    let firmware = service.finish_upload(caller, upload, details).await?;
    Ok(Envelope::of(FirmwareDto::new(service, firmware)))
}

impl Form {
    async fn take(&mut self, service: &Arc<Service>, field: Field<'_>) -> Result<(), ApiError> {
        let name = field.name().unwrap_or_default().to_owned();
        let (value, bytes_max) = match name.as_str() {
            "file" => {
                if self.file.is_some() {
                    return Err(twice("file"));
                }
                if self.version.is_some() {
                    // All that is known so far is checked before bytes are spent.
                    service.check_upload(&self.details()?).await?;
                }
                self.file = Some(receive(service, field).await?);
                return Ok(());
            }
            "version" => (&mut self.version, FIELD_BYTES_MAX),
            "deviceType" => (&mut self.device_type, FIELD_BYTES_MAX),
            "description" => (&mut self.description, FIELD_BYTES_MAX),
            "changelog" => (&mut self.changelog, CHANGELOG_BYTES_MAX),
            "forceUpgrade" => (&mut self.force_upgrade, FIELD_BYTES_MAX),
            "minVersion" => (&mut self.min_version, FIELD_BYTES_MAX),
            _ => return Ok(()),
        };
        if value
            .replace(text(field, &name, bytes_max).await?)
            .is_some()
        {
            return Err(twice(&name));
        }
        Ok(())
    }

    fn details(&self) -> Result<FirmwareDetails, ApiError> {
        let version = self.version.clone().ok_or_else(|| {
            ApiError::bad_request(
                "no_version",
                "the form has no field \"version\": send it as -F version=1.0.2",
            )
        })?;
        Ok(FirmwareDetails {
            version,
            device_type: self
                .device_type
                .clone()
                .unwrap_or_else(|| DEVICE_TYPE_DEFAULT.to_owned()),
            description: self.description.clone().unwrap_or_default(),
            changelog: self.changelog.clone().unwrap_or_default(),
            min_version: self
                .min_version
                .clone()
                .filter(|version| !version.is_empty()),
            force_upgrade: self.force_upgrade()?,
        })
    }

    /// What is left empty is not said.
    fn bundle_details(&self) -> Result<BundleDetails, ApiError> {
        let said = |field: &Option<String>| field.clone().filter(|text| !text.is_empty());
        Ok(BundleDetails {
            version: said(&self.version),
            device_type: said(&self.device_type),
            changelog: said(&self.changelog),
            min_version: said(&self.min_version),
            description: self.description.clone().unwrap_or_default(),
            force_upgrade: self.force_upgrade()?,
        })
    }

    fn force_upgrade(&self) -> Result<bool, ApiError> {
        match self.force_upgrade.as_deref() {
            Some("true" | "1") => Ok(true),
            None | Some("" | "false" | "0") => Ok(false),
            Some(other) => Err(ApiError::bad_request(
                "invalid_force_upgrade",
                format!("forceUpgrade {other:?} must be true or false"),
            )),
        }
    }
}

async fn receive(service: &Arc<Service>, mut file: Field<'_>) -> Result<Upload, ApiError> {
    let mut upload = service.begin_upload();
    // A bundle holds one of few places.
    while let Some(bytes) = piece(&mut file, !upload.is_bundle()).await? {
        upload.write(bytes).await?;
    }
    Ok(upload)
}
