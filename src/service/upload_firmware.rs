use airlift_bundle::Kind;
use bytes::Bytes;

use super::{Error, Result, Service};
use crate::{
    blob::Staging,
    domain::{
        DEVICE_TYPE_LENGTH_MAX, Event, Firmware, FirmwareStatus, VERSION_LENGTH_MAX, file_name,
        is_device_type, parse_version,
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

/// A firmware on its way in. Dropped, it leaves nothing behind.
pub struct Upload {
    staging: Staging,
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
        Ok(self.staging.write(bytes).await?)
    }
}

impl Service {
    /// Begins an upload; its digests are computed as the bytes arrive.
    pub async fn begin_upload(&self) -> Result<Upload> {
        let staging = self
            .blobs
            .stage(self.clock.new_id(), self.settings.upload_bytes_max)
            .await?;
        Ok(Upload { staging })
    }

    /// Refuses details that can't be stored, or that are stored already, before bytes are spent.
    pub async fn check_upload(&self, details: &FirmwareDetails) -> Result<()> {
        details.check()?;
        let mut tx = self.db.read().await?;
        match tx.firmware(&details.device_type, &details.version).await? {
            None => Ok(()),
            Some(_) => Err(version_exists(details)),
        }
    }

    /// Makes an uploaded file a draft firmware.
    pub async fn finish_upload(
        &self,
        upload: Upload,
        details: FirmwareDetails,
    ) -> Result<Firmware> {
        details.check()?;
        if upload.staging.size() == 0 {
            return Err(Error::invalid(
                "empty_file",
                "the file is empty: choose the image that your build made",
            ));
        }
        let staged = upload.staging.finish().await?;
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
            Err(store::Error::Duplicate) => return Err(version_exists(&details)),
            other => other?,
        }
        self.blobs.promote(staged).await?;
        tx.record(Event::firmware("uploaded", &firmware, now));
        tx.commit().await?;
        self.metrics.upload_bytes.inc_by(firmware.file_size as u64);
        let kind = firmware.bundle.as_ref().map(|bundle| bundle.kind);
        self.metrics
            .uploads
            .get_or_create(&KindLabel {
                kind: kind.map_or("image", Kind::as_str),
            })
            .inc();
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

fn version_exists(details: &FirmwareDetails) -> Error {
    Error::conflict(
        "firmware_exists",
        format!(
            "firmware {} for device type {} exists already: a version never changes its content, \
             so upload it under a new version, or delete the draft first",
            details.version, details.device_type
        ),
    )
}
