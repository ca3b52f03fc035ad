use std::ops::Range;

use super::{Error, Result, Service};
use crate::{
    blob::BlobStream,
    domain::{Firmware, FirmwareStatus},
};

/// A firmware's file, ready to be read.
#[derive(Clone, Debug)]
pub struct FirmwareFile {
    /// Lower-case hex.
    pub sha256: String,
    /// Bytes.
    pub size: u64,
    /// Whether this name will always mean these bytes: a draft may be deleted and uploaded anew.
    pub immutable: bool,
    pub firmware: Firmware,
}

impl Service {
    pub async fn firmware_file(&self, file_name: &str) -> Result<FirmwareFile> {
        let mut tx = self.db.read().await?;
        let firmware = tx.firmware_by_file_name(file_name).await?.ok_or_else(|| {
            Error::not_found(
                "file_not_found",
                format!("there is no file {file_name:?}; names are <deviceType>_v<version>.bin"),
            )
        })?;
        Ok(FirmwareFile {
            sha256: firmware.sha256.clone(),
            size: firmware.file_size.unsigned_abs(),
            immutable: firmware.status != FirmwareStatus::Draft,
            firmware,
        })
    }

    /// Bytes `range` of the file, which must lie within it.
    pub async fn read_firmware(
        &self,
        file: &FirmwareFile,
        range: Range<u64>,
    ) -> Result<BlobStream> {
        self.metrics.download_bytes.inc_by(range.end - range.start);
        Ok(self.blobs.read(&file.sha256, range).await?)
    }
}
