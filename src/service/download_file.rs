use std::{
    collections::HashMap,
    ops::Range,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futures_util::{StreamExt, TryStreamExt};

use super::{Error, Result, Service};
use crate::{
    blob::BlobStream,
    domain::{DownloadBudget, Firmware, FirmwareStatus},
    metrics::Metrics,
};

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// A plain image, a part of a bundle, or a package's.
    Image,
    Manifest,
    Signature,
}

/// A file, ready to be read.
#[derive(Clone, Debug)]
pub struct StoredFile {
    pub name: String,
    pub kind: FileKind,
    /// Lower-case hex.
    pub sha256: String,
    /// Bytes.
    pub size: u64,
    /// Whether this name will always mean these bytes: a draft may be deleted and uploaded anew.
    pub immutable: bool,
}

/// Files of which is remembered what they are.
const KNOWN_FILES_MAX: usize = 1_000;

/// A firmware's file, and whose it is.
#[derive(Clone)]
pub(super) struct StoredFirmwareFile {
    pub file: StoredFile,
    pub device_type: String,
    pub version: String,
}

/// Files by their names, so that a fleet that fetches a release does not ask the database for each
/// gateway. Only of firmwares that are no drafts: these are never deleted, and their files never change.
#[derive(Default)]
pub(super) struct KnownFiles(Mutex<HashMap<String, StoredFirmwareFile>>);

impl KnownFiles {
    fn get(&self, file_name: &str) -> Option<StoredFirmwareFile> {
        self.lock().get(file_name).cloned()
    }

    fn note(&self, known: &StoredFirmwareFile) {
        if !known.file.immutable {
            return;
        }
        let mut files = self.lock();
        if files.len() >= KNOWN_FILES_MAX {
            files.clear();
        }
        files.insert(known.file.name.clone(), known.clone());
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, StoredFirmwareFile>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Service {
    pub(super) async fn firmware_file(&self, file_name: &str) -> Result<StoredFirmwareFile> {
        if let Some(known) = self.known_files.get(file_name) {
            return Ok(known);
        }
        let mut tx = self.db.read().await?;
        let firmware = tx.firmware_by_file_name(file_name).await?.ok_or_else(|| {
            Error::not_found(
                "file_not_found",
                format!("there is no file {file_name:?}; names are <deviceType>_v<version>.bin"),
            )
        })?;
        let (kind, sha256, size) = file_of(&firmware, file_name);
        let found = StoredFirmwareFile {
            file: StoredFile {
                name: file_name.to_owned(),
                kind,
                sha256: sha256.to_owned(),
                size: size.unsigned_abs(),
                immutable: firmware.status != FirmwareStatus::Draft,
            },
            device_type: firmware.device_type,
            version: firmware.version,
        };
        self.known_files.note(&found);
        Ok(found)
    }

    /// Bytes `range` of the file, which must lie within it. [`Error::OverBudget`] if the server
    /// sends as much as it may.
    pub async fn read_file(&self, file: &StoredFile, range: Range<u64>) -> Result<BlobStream> {
        let length = range.end - range.start;
        let mut charge = self.charge(length)?;
        self.metrics.download_bytes.inc_by(length);
        let stream = self.blobs.read(&file.sha256, range).await?;
        let counted = stream.inspect_ok(move |bytes| charge.sent(bytes.len() as u64));
        Ok(counted.boxed())
    }

    fn charge(&self, length: u64) -> Result<Charge> {
        if let Some(budget) = &self.download_budget {
            let mut budget = budget.lock().unwrap_or_else(PoisonError::into_inner);
            budget.take(length, self.clock.now()).map_err(|refusal| {
                self.metrics.downloads_refused.inc();
                Error::OverBudget(refusal)
            })?;
        }
        Ok(Charge {
            budget: self.download_budget.clone(),
            metrics: self.metrics.clone(),
            unsent: length,
        })
    }
}

/// Kind, SHA-256 and size of the firmware's file of this name.
pub(super) fn file_of<'f>(firmware: &'f Firmware, file_name: &str) -> (FileKind, &'f str, i64) {
    if let Some(bundle) = &firmware.bundle
        && let Some(file) = bundle.files_beside().find(|it| it.file_name == file_name)
    {
        let kind = match file {
            file if *file == bundle.manifest => FileKind::Manifest,
            file if *file == bundle.signature => FileKind::Signature,
            _ => FileKind::Image,
        };
        return (kind, &file.sha256, file.size);
    }
    (FileKind::Image, &firmware.sha256, firmware.file_size)
}

/// What a download was charged for; what is not sent when it ends goes back.
struct Charge {
    budget: Option<Arc<Mutex<DownloadBudget>>>,
    metrics: Arc<Metrics>,
    /// Bytes.
    unsent: u64,
}

impl Charge {
    fn sent(&mut self, bytes: u64) {
        self.unsent = self.unsent.saturating_sub(bytes);
        self.metrics.download_sent_bytes.inc_by(bytes);
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        if let Some(budget) = &self.budget {
            let mut budget = budget.lock().unwrap_or_else(PoisonError::into_inner);
            budget.refund(self.unsent);
        }
    }
}
