use serde_json::json;

use super::{Error, Result, Service, upload_firmware::check_device_type};
use crate::domain::{Bundle, Caller, Event, Firmware, FirmwareStatus};

impl Service {
    /// Deletes a draft, and its files unless another firmware or a package has the same bytes.
    pub async fn delete_firmware(
        &self,
        caller: &Caller,
        device_type: &str,
        version: &str,
    ) -> Result<Firmware> {
        check_device_type(device_type)?;
        let mut tx = self.db.begin().await?;
        let firmware = tx
            .lock_firmware(device_type, version)
            .await?
            .ok_or_else(|| Error::no_firmware(device_type, version))?;
        if firmware.status != FirmwareStatus::Draft {
            return Err(Error::conflict(
                "firmware_not_draft",
                format!(
                    "firmware {version} is {}: only a draft can be deleted; deprecate a release \
                     instead, its tasks refer to it",
                    firmware.status
                ),
            ));
        }
        tx.delete_firmware(firmware.firmware_id).await?;
        let now = self.clock.now();
        tx.record(Event::firmware("deleted", &firmware, now));
        let detail = json!({ "sha256": firmware.sha256 });
        tx.audit(&caller.did("firmware.delete", firmware.subject(), detail, now))
            .await?;
        tx.commit().await?;
        self.delete_blob_if_unused(&firmware.sha256).await?;
        let beside = firmware.bundle.iter().flat_map(Bundle::files_beside);
        for file in beside {
            self.delete_blob_if_unused(&file.sha256).await?;
        }
        tracing::info!(version, device_type, "firmware deleted");
        Ok(firmware)
    }
}
