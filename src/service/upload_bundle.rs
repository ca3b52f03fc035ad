use std::collections::BTreeMap;

use airlift_bundle::{Manifest, Refusal};
use chrono::{DateTime, Utc};
use serde_json::json;
use uuid::Uuid;

use super::{
    Error, Result, Service,
    unpack_bundle::{Failed, Unpacked},
    upload_firmware::{Upload, no_image, version_exists},
};
use crate::{
    blob::Staged,
    domain::{
        Alert, Bundle, BundleFile, BundlePart, Caller, Event, Firmware, FirmwareStatus, RefusedBy,
        bundle_file_name, file_name,
    },
    metrics::{KindLabel, ReasonLabel},
    store::{self, BlobRow, Tx},
};

/// What is said of a bundle beside it. What the manifest says too must be the same.
#[derive(Clone, Debug, Default)]
pub struct BundleDetails {
    pub version: Option<String>,
    pub device_type: Option<String>,
    pub changelog: Option<String>,
    pub min_version: Option<String>,
    pub description: String,
    pub force_upgrade: bool,
}

impl BundleDetails {
    fn check(&self, manifest: &Manifest) -> Result<()> {
        let none = String::new();
        let min_version = manifest.min_version.as_ref().unwrap_or(&none);
        for (field, said, signed) in [
            ("version", &self.version, &manifest.version),
            ("deviceType", &self.device_type, &manifest.device_type),
            ("minVersion", &self.min_version, min_version),
            ("changelog", &self.changelog, &manifest.changelog),
        ] {
            if said.as_ref().is_some_and(|said| said != signed) {
                return Err(Error::invalid(
                    "manifest_mismatch",
                    format!(
                        "the form's {field} is not the one in the bundle's manifest: leave it out, \
                         for what is signed is what counts, or build the bundle anew"
                    ),
                ));
            }
        }
        Ok(())
    }
}

impl Service {
    /// Refuses a bundle that can't be stored, before its parts are read.
    pub(super) async fn check_bundle(&self, manifest: &Manifest) -> Result<()> {
        let expires_at = manifest.expires_at.and_then(time);
        if let Some(at) = expires_at.filter(|at| *at <= self.clock.now()) {
            return Err(Error::refused(
                Refusal::Expired,
                format!(
                    "the bundle has expired at {}: build it anew with a later expiry",
                    at.to_rfc3339()
                ),
            ));
        }
        let (device_type, version) = (&manifest.device_type, &manifest.version);
        let mut tx = self.db.read().await?;
        if tx.firmware(device_type, version).await?.is_some() {
            return Err(version_exists(device_type, version));
        }
        check_counter(manifest, tx.highest_release_counter(device_type).await?)
    }

    /// Makes an uploaded bundle a draft firmware.
    pub async fn finish_bundle(
        &self,
        caller: &Caller,
        upload: Upload,
        details: BundleDetails,
    ) -> Result<Firmware> {
        let Some(unpacking) = upload.into_unpacking() else {
            return Err(no_image());
        };
        let unpacked = match unpacking.finish().await {
            Ok(unpacked) => unpacked,
            Err(failed) => return Err(self.note_refusal(failed).await),
        };
        details.check(&unpacked.manifest)?;
        let manifest = unpacked.manifest.clone();
        match self.store_bundle(caller, unpacked, &details).await {
            Ok(firmware) => Ok(firmware),
            Err(error) => {
                let manifest = Some(Box::new(manifest));
                Err(self.note_refusal(Failed { error, manifest }).await)
            }
        }
    }

    async fn store_bundle(
        &self,
        caller: &Caller,
        unpacked: Unpacked,
        details: &BundleDetails,
    ) -> Result<Firmware> {
        let now = self.clock.now();
        let firmware = firmware(self.clock.new_id(), &unpacked, details, now)?;
        let bundle = firmware.bundle.iter();
        let beside: Vec<&BundleFile> = bundle.flat_map(Bundle::files_beside).collect();
        let mut files = unpacked.parts;
        files.extend([unpacked.manifest_file, unpacked.signature_file]);
        let mut tx = self.db.begin().await?;
        let highest = tx.lock_release_counter(&firmware.device_type).await?;
        check_counter(&unpacked.manifest, highest)?;
        put_blobs(&mut tx, &files, now).await?;
        match tx.insert_firmware(&firmware).await {
            Err(store::Error::Duplicate) => {
                return Err(version_exists(&firmware.device_type, &firmware.version));
            }
            other => other?,
        }
        tx.insert_bundle_files(firmware.firmware_id, &beside)
            .await?;
        let mut bytes = 0;
        for file in files {
            bytes += file.size;
            self.blobs.promote(file).await?;
        }
        tx.record(Event::firmware("uploaded", &firmware, now));
        let detail = json!({
            "sha256": firmware.sha256,
            "bundle": unpacked.manifest.kind().as_str(),
            "releaseCounter": unpacked.manifest.release_counter,
        });
        tx.audit(&caller.did("firmware.upload", firmware.subject(), detail, now))
            .await?;
        tx.commit().await?;
        self.metrics.upload_bytes.inc_by(bytes);
        let kind = unpacked.manifest.kind().as_str();
        self.metrics
            .uploads
            .get_or_create(&KindLabel { kind })
            .inc();
        let signer = firmware.bundle.as_ref().and_then(|it| it.signed_by.clone());
        tracing::info!(
            version = firmware.version,
            device_type = firmware.device_type,
            release_counter = unpacked.manifest.release_counter,
            signed_by = signer.map(|signer| signer.name),
            bytes,
            "bundle uploaded"
        );
        Ok(firmware)
    }

    /// Counts and logs a refusal by the rules of signed bundles, and alerts to it; other errors pass
    /// through.
    pub(super) async fn note_refusal(&self, failed: Failed) -> Error {
        let Failed { error, manifest } = failed;
        if let Error::Refused { refusal, message } = &error {
            self.metrics
                .bundles_refused
                .get_or_create(&ReasonLabel {
                    reason: refusal.word(),
                })
                .inc();
            let manifest = manifest.as_ref();
            tracing::warn!(
                code = refusal.word(),
                version = manifest.map(|it| &it.version),
                device_type = manifest.map(|it| &it.device_type),
                "an upload is refused: {message}"
            );
            self.alert_alone(&Alert {
                refusal: *refusal,
                refused_by: RefusedBy::Server,
                device_type: manifest.map(|it| it.device_type.clone()),
                version: manifest.map(|it| it.version.clone()),
                message: message.clone(),
            })
            .await;
        }
        error
    }
}

/// Refuses an older release than one that is there, unless it may be one.
fn check_counter(manifest: &Manifest, highest: Option<i64>) -> Result<()> {
    let counter = counter(manifest);
    match highest {
        Some(highest) if counter <= highest && !manifest.allow_rollback => Err(Error::refused(
            Refusal::ReleaseRollback,
            format!(
                "the bundle's releaseCounter {counter} is not above {highest}, the highest of device \
                 type {}: build it anew with a higher one, or, to go back on purpose, with \
                 --allow-rollback",
                manifest.device_type
            ),
        )),
        _ => Ok(()),
    }
}

/// At most 2^53 - 1, as the manifest's check says.
fn counter(manifest: &Manifest) -> i64 {
    i64::try_from(manifest.release_counter).unwrap_or(i64::MAX)
}

fn time(seconds: i64) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp(seconds, 0)
}

/// Locks the blobs' rows, which keeps the sweeper from deleting the files until the commit; by their
/// digests, so that uploads never wait for each other in a circle.
async fn put_blobs(tx: &mut Tx, files: &[Staged], now: DateTime<Utc>) -> Result<()> {
    let files: BTreeMap<&str, &Staged> = files.iter().map(|file| (&*file.sha256, file)).collect();
    for file in files.into_values() {
        tx.put_blob(&BlobRow {
            sha256: file.sha256.clone(),
            md5: file.md5.clone(),
            size: size(file),
            created_at: now,
        })
        .await?;
    }
    Ok(())
}

fn size(file: &Staged) -> i64 {
    i64::try_from(file.size).unwrap_or(i64::MAX)
}

fn firmware(
    firmware_id: Uuid,
    unpacked: &Unpacked,
    details: &BundleDetails,
    now: DateTime<Utc>,
) -> Result<Firmware> {
    let Unpacked {
        manifest,
        signer,
        manifest_file,
        signature_file,
        parts,
    } = unpacked;
    let (device_type, version) = (&manifest.device_type, &manifest.version);
    let file = |staged: &Staged, file_name: String| BundleFile {
        file_name,
        size: size(staged),
        sha256: staged.sha256.clone(),
    };
    let beside =
        |staged: &Staged, name: &str| file(staged, bundle_file_name(device_type, version, name));
    let parts: Vec<BundlePart> = (manifest.parts.iter().zip(parts).enumerate())
        .map(|(place, (part, staged))| BundlePart {
            name: part.name.clone(),
            partition: part.partition.clone(),
            file: match place {
                0 => file(staged, file_name(device_type, version)),
                _ => beside(staged, &part.name),
            },
            md5: staged.md5.clone(),
        })
        .collect();
    let first = parts.first().cloned();
    let (Some(first), Some(built_at)) = (first, time(manifest.created_at)) else {
        // The manifest's check has seen both.
        return Err(Error::refused(
            Refusal::InvalidManifest,
            "the manifest names no part, or a time that is none",
        ));
    };
    Ok(Firmware {
        firmware_id,
        device_type: device_type.clone(),
        version: version.clone(),
        file_name: first.file.file_name,
        file_size: first.file.size,
        md5: first.md5,
        sha256: first.file.sha256,
        description: details.description.clone(),
        changelog: manifest.changelog.clone(),
        status: FirmwareStatus::Draft,
        force_upgrade: details.force_upgrade,
        min_version: manifest.min_version.clone(),
        bundle: Some(Bundle {
            kind: manifest.kind(),
            target: manifest.target.clone(),
            release_counter: counter(manifest),
            allow_rollback: manifest.allow_rollback,
            built_at,
            expires_at: manifest.expires_at.and_then(time),
            signed_by: signer.clone(),
            manifest: beside(manifest_file, airlift_bundle::MANIFEST_NAME),
            signature: beside(signature_file, airlift_bundle::SIGNATURE_NAME),
            parts,
        }),
        package: None,
        release_date: None,
        created_at: now,
        updated_at: now,
    })
}
