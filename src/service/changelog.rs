use super::{Error, Result, Service, upload_firmware::check_device_type};
use crate::domain::{Firmware, FirmwareStatus};

impl Service {
    /// The firmware whose changelog is for everybody: the named version, or the latest release.
    /// A draft's is not.
    pub async fn published_firmware(
        &self,
        device_type: &str,
        version: Option<&str>,
    ) -> Result<Firmware> {
        let Some(version) = version else {
            return Ok(self.latest_firmware(device_type, None).await?.firmware);
        };
        check_device_type(device_type)?;
        let mut tx = self.db.read().await?;
        let firmware = tx.firmware(device_type, version).await?;
        firmware
            .filter(|firmware| firmware.status != FirmwareStatus::Draft)
            .ok_or_else(|| {
                Error::not_found(
                    "firmware_not_found",
                    format!(
                        "there is no firmware {version} for device type {device_type} that is \
                         released or in testing"
                    ),
                )
            })
    }
}
