use std::sync::Arc;

use airlift_bundle::Refusal;
use bytes::Bytes;
use serde_json::json;

use super::{
    Error, Result, Service,
    trust::blocking,
    unpack_bundle::{Failed, Unpacking},
};
use crate::{
    blob::{self, Staging},
    domain::{
        Caller, DEVICE_TYPE_LENGTH_MAX, Event, Firmware, FirmwareStatus, VERSION_LENGTH_MAX,
        file_name, is_device_type, parse_version,
    },
    metrics::KindLabel,
    store::{self, BlobRow},
};

/// What an engineer says of a firmware.
#[derive(Clone, Debug)]
pub struct FirmwareDetails {
    pub version: String,
    pub device_type: String,
    pub description: String,
    pub changelog: String,
    pub force_upgrade: bool,
    /// The lowest version from which it may be installed.
    pub min_version: Option<String>,
}

/// A bundle is zstd; no image that a device boots begins so.
const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// Bundles that are unpacked at once, each by a thread; more are told to come again.
pub(super) const BUNDLE_UPLOADS_MAX: usize = 16;

/// A firmware on its way in. Dropped, it leaves nothing behind.
pub struct Upload {
    service: Arc<Service>,
    receiving: Receiving,
    /// Bytes so far.
    size: u64,
}

enum Receiving {
    /// The first bytes, too few to tell what the file is.
    Head(Vec<u8>),
    Image(Box<Staging>),
    Bundle(Unpacking),
}

impl FirmwareDetails {
    fn check(&self) -> Result<()> {
        if parse_version(&self.version).is_none() {
            return Err(Error::invalid(
                "invalid_version",
                format!(
                    "{:?} is not a version: it must be SemVer 2.0 such as 1.0.2 or 2.0.0-rc.1, \
                     at most {VERSION_LENGTH_MAX} characters",
                    self.version
                ),
            ));
        }
        if let Some(min_version) = &self.min_version {
            let below = parse_version(min_version).is_some_and(|min| {
                parse_version(&self.version).is_some_and(|own| min.cmp_precedence(&own).is_lt())
            });
            if !below {
                return Err(Error::invalid(
                    "invalid_min_version",
                    format!(
                        "minVersion {min_version:?} must be SemVer 2.0 and below {}",
                        self.version
                    ),
                ));
            }
        }
        check_device_type(&self.device_type)
    }
}

/// Refuses what can't be a device type.
pub(super) fn check_device_type(device_type: &str) -> Result<()> {
    if is_device_type(device_type) {
        return Ok(());
    }
    Err(Error::invalid(
        "invalid_device_type",
        format!(
            "{device_type:?} is not a device type: use 1 to {DEVICE_TYPE_LENGTH_MAX} of \
             A-Z a-z 0-9 . _ - and begin with a letter or digit"
        ),
    ))
}

impl Upload {
    pub async fn write(&mut self, bytes: Bytes) -> Result<()> {
        let limit = self.service.settings.upload_bytes_max;
        self.size += bytes.len() as u64;
        if self.size > limit {
            return Err(blob::Error::TooLarge { limit }.into());
        }
        let Receiving::Head(head) = &mut self.receiving else {
            return self.pass_on(bytes).await;
        };
        head.extend_from_slice(&bytes);
        if head.len() < ZSTD_MAGIC.len() {
            return Ok(());
        }
        let head = Bytes::from(std::mem::take(head));
        self.receiving = match head.starts_with(&ZSTD_MAGIC) {
            true => Receiving::Bundle(self.service.begin_unpacking()?),
            false => Receiving::Image(Box::new(self.service.begin_image().await?)),
        };
        self.pass_on(head).await
    }

    async fn pass_on(&mut self, bytes: Bytes) -> Result<()> {
        match &mut self.receiving {
            Receiving::Head(_) => Ok(()),
            Receiving::Image(staging) => Ok(staging.write(bytes).await?),
            Receiving::Bundle(unpacking) => match unpacking.write(bytes).await {
                Ok(()) => Ok(()),
                Err(failed) => Err(self.service.note_refusal(failed).await),
            },
        }
    }

    /// Whether the file is a signed bundle, which says of itself what a form says of an image.
    pub fn is_bundle(&self) -> bool {
        matches!(self.receiving, Receiving::Bundle(_))
    }

    pub(super) fn into_unpacking(self) -> Option<Unpacking> {
        match self.receiving {
            Receiving::Bundle(unpacking) => Some(unpacking),
            Receiving::Head(_) | Receiving::Image(_) => None,
        }
    }

    /// The whole image.
    async fn into_image(self) -> Result<Staging> {
        match self.receiving {
            Receiving::Image(staging) => Ok(*staging),
            Receiving::Head(head) if !head.is_empty() => {
                let mut staging = self.service.begin_image().await?;
                staging.write(head.into()).await?;
                Ok(staging)
            }
            Receiving::Head(_) | Receiving::Bundle(_) => Err(no_image()),
        }
    }
}

pub(super) fn no_image() -> Error {
    Error::invalid(
        "empty_file",
        "the file is empty: choose the image that your build made",
    )
}

impl Service {
    /// Begins an upload; its digests are computed, and a bundle is checked, as the bytes arrive.
    pub fn begin_upload(self: &Arc<Self>) -> Upload {
        Upload {
            service: Arc::clone(self),
            receiving: Receiving::Head(Vec::new()),
            size: 0,
        }
    }

    fn begin_unpacking(self: &Arc<Self>) -> Result<Unpacking> {
        let permit = Arc::clone(&self.bundle_uploads).try_acquire_owned();
        let permit = permit.map_err(|_| {
            Error::busy(
                "too_many_uploads",
                format!(
                    "the server takes in {BUNDLE_UPLOADS_MAX} bundles already: upload again when \
                     one of them is done"
                ),
            )
        })?;
        Ok(Unpacking::begin(Arc::clone(self), permit))
    }

    /// Refuses a plain image where firmwares must be signed.
    async fn begin_image(self: &Arc<Self>) -> Result<Staging> {
        let service = Arc::clone(self);
        let required = blocking(move || {
            let keys = service.read_trusted_keys()?;
            Ok::<_, Error>(service.requires_signatures(&keys))
        });
        if required.await? {
            let error = Error::refused(
                Refusal::Unsigned,
                "the file is a plain image, and this server takes only what a trusted key has \
                 signed: build a bundle of it (airlift bundle build --sign KEY)",
            );
            return Err(self.note_refusal(Failed::from(error)).await);
        }
        let (id, size_max) = (self.clock.new_id(), self.settings.upload_bytes_max);
        Ok(self.blobs.stage(id, size_max).await?)
    }

    /// Refuses details that can't be stored, or that are stored already, before bytes are spent.
    pub async fn check_upload(&self, details: &FirmwareDetails) -> Result<()> {
        details.check()?;
        let mut tx = self.db.read().await?;
        match tx.firmware(&details.device_type, &details.version).await? {
            None => Ok(()),
            Some(_) => Err(version_exists(&details.device_type, &details.version)),
        }
    }

    /// Makes an uploaded file a draft firmware.
    pub async fn finish_upload(
        &self,
        caller: &Caller,
        upload: Upload,
        details: FirmwareDetails,
    ) -> Result<Firmware> {
        details.check()?;
        let staged = upload.into_image().await?.finish().await?;
        let now = self.clock.now();
        let size = i64::try_from(staged.size).unwrap_or(i64::MAX);
        let firmware = Firmware {
            firmware_id: self.clock.new_id(),
            file_name: file_name(&details.device_type, &details.version),
            device_type: details.device_type.clone(),
            version: details.version.clone(),
            file_size: size,
            md5: staged.md5.clone(),
            sha256: staged.sha256.clone(),
            description: details.description.clone(),
            changelog: details.changelog.clone(),
            status: FirmwareStatus::Draft,
            force_upgrade: details.force_upgrade,
            min_version: details.min_version.clone(),
            bundle: None,
            package: None,
            release_date: None,
            created_at: now,
            updated_at: now,
        };
        let mut tx = self.db.begin().await?;
        // The row's lock keeps the sweeper from deleting the file between here and the commit.
        tx.put_blob(&BlobRow {
            sha256: staged.sha256.clone(),
            md5: staged.md5.clone(),
            size,
            created_at: now,
        })
        .await?;
        match tx.insert_firmware(&firmware).await {
            Err(store::Error::Duplicate) => {
                return Err(version_exists(&details.device_type, &details.version));
            }
            other => other?,
        }
        self.blobs.promote(staged).await?;
        tx.record(Event::firmware("uploaded", &firmware, now));
        let detail = json!({ "sha256": firmware.sha256, "fileSize": firmware.file_size });
        tx.audit(&caller.did("firmware.upload", firmware.subject(), detail, now))
            .await?;
        tx.commit().await?;
        self.metrics.upload_bytes.inc_by(firmware.file_size as u64);
        let kind = KindLabel { kind: "image" };
        self.metrics.uploads.get_or_create(&kind).inc();
        tracing::info!(
            version = firmware.version,
            device_type = firmware.device_type,
            bytes = firmware.file_size,
            sha256 = firmware.sha256,
            "firmware uploaded"
        );
        Ok(firmware)
    }
}

pub(super) fn version_exists(device_type: &str, version: &str) -> Error {
    Error::conflict(
        "firmware_exists",
        format!(
            "firmware {version} for device type {device_type} exists already: a version never \
             changes its content, so upload it under a new version, or delete the draft first"
        ),
    )
}
