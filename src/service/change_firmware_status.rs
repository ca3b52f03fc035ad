use serde_json::json;

use super::{Error, Result, Service, trust::admit, upload_firmware::check_device_type};
use crate::domain::{
    Caller, Event, Firmware, FirmwareStatus, latest, needs_upgrade, parse_version,
};

/// The latest release, seen from a device that may run an older one.
#[derive(Clone, Debug)]
pub struct LatestFirmware {
    pub firmware: Firmware,
    pub current_version: Option<String>,
    pub need_upgrade: bool,
}

impl Service {
    /// draft → testing → released → deprecated; any other step is a conflict that says why.
    pub async fn change_firmware_status(
        &self,
        caller: &Caller,
        device_type: &str,
        version: &str,
        to: FirmwareStatus,
    ) -> Result<Firmware> {
        check_device_type(device_type)?;
        let admission = match to.is_installable() {
            true => Some(self.admission().await?),
            false => None,
        };
        let mut tx = self.db.begin().await?;
        let mut firmware = tx
            .lock_firmware(device_type, version)
            .await?
            .ok_or_else(|| Error::no_firmware(device_type, version))?;
        let from = firmware.status;
        if !from.may_become(to) {
            let next: Vec<&str> = FirmwareStatus::ALL
                .into_iter()
                .filter(|status| from.may_become(*status))
                .map(FirmwareStatus::as_str)
                .collect();
            let next = match next.as_slice() {
                [] => "its last status".to_owned(),
                next => format!("from there it can only become {}", next.join(" or ")),
            };
            return Err(Error::conflict(
                "firmware_status",
                format!("firmware {version} is {from} and can't become {to}: {next}"),
            ));
        }
        if let Some(admission) = &admission {
            admit(&firmware, admission)?;
        }
        let now = self.clock.now();
        firmware.status = to;
        firmware.updated_at = now;
        if to == FirmwareStatus::Released {
            firmware.release_date = Some(now);
        }
        tx.update_firmware_status(&firmware).await?;
        tx.record(Event::firmware("status", &firmware, now));
        self.announce_status(&mut tx, &firmware, now).await?;
        let action = match to {
            FirmwareStatus::Released => "firmware.release",
            _ => "firmware.status",
        };
        let detail = json!({ "from": from.as_str(), "to": to.as_str() });
        tx.audit(&caller.did(action, firmware.subject(), detail, now))
            .await?;
        tx.commit().await?;
        self.announcements_queued.notify_one();
        tracing::info!(version, device_type, %from, %to, "firmware status changed");
        Ok(firmware)
    }

    /// The highest released version by SemVer precedence.
    pub async fn latest_firmware(
        &self,
        device_type: &str,
        current_version: Option<String>,
    ) -> Result<LatestFirmware> {
        check_device_type(device_type)?;
        if let Some(current) = current_version.as_deref()
            && parse_version(current).is_none()
        {
            return Err(Error::invalid(
                "invalid_version",
                format!("currentVersion {current:?} is not SemVer 2.0 such as 1.0.2"),
            ));
        }
        let mut tx = self.db.read().await?;
        let versions = tx.released_versions(device_type).await?;
        let nothing_released = || {
            Error::not_found(
                "no_release",
                format!("no firmware for device type {device_type} is released yet"),
            )
        };
        let version = latest(versions.iter().map(String::as_str)).ok_or_else(nothing_released)?;
        let firmware = tx
            .firmware(device_type, version)
            .await?
            .ok_or_else(nothing_released)?;
        Ok(LatestFirmware {
            need_upgrade: needs_upgrade(current_version.as_deref(), Some(version)),
            current_version,
            firmware,
        })
    }

    pub async fn firmware(&self, device_type: &str, version: &str) -> Result<Firmware> {
        check_device_type(device_type)?;
        let mut tx = self.db.read().await?;
        tx.firmware(device_type, version)
            .await?
            .ok_or_else(|| Error::no_firmware(device_type, version))
    }
}
