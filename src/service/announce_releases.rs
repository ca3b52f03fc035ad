use std::cmp::Reverse;

use chrono::{DateTime, TimeDelta, Utc};

use super::{Result, Service};
use crate::{
    domain::{
        Admission, Firmware, FirmwareStatus, ReleaseUrls, next_announcement_at,
        release_announcement, release_announcement_id, version_key,
    },
    store::Tx,
};

/// Device types announced, or given a time to be, per transaction.
const DEVICE_TYPES_BATCH_MAX: i64 = 100;

impl Service {
    /// Keeps the announcements true to a firmware whose status changes: a release is announced, and
    /// from then on its device type's newest one regularly; what waits to be announced and is no
    /// longer to be had is withdrawn.
    pub(super) async fn announce_status(
        &self,
        tx: &mut Tx,
        firmware: &Firmware,
        now: DateTime<Utc>,
    ) -> Result<()> {
        match firmware.status {
            FirmwareStatus::Released => {
                self.announce_firmware(tx, firmware, now).await?;
                self.schedule_announcement(tx, &firmware.device_type, now)
                    .await
            }
            _ => {
                let id = release_announcement_id(firmware.firmware_id);
                Ok(tx.withdraw_announcement(id).await?)
            }
        }
    }

    /// Announces each device type's newest release whose time has come; how many device types were
    /// looked at. Claiming one sets its next time, so that of several servers one announces it.
    pub async fn announce_releases(&self) -> Result<usize> {
        let Some(interval) = self.settings.announce_interval else {
            return Ok(0);
        };
        let admission = self.admission().await?;
        let now = self.clock.now();
        let mut tx = self.db.begin().await?;
        let unannounced = tx.unannounced_device_types(DEVICE_TYPES_BATCH_MAX).await?;
        for device_type in &unannounced {
            // Any time within the interval: they all come at once, after an upgrade of the server.
            let in_a_while = interval.as_seconds_f64() * rand::random::<f64>();
            let next_at = now + TimeDelta::seconds(in_a_while as i64);
            tx.set_release_announcement(device_type, next_at).await?;
        }
        let due = tx
            .lock_due_release_announcements(now, now + interval, DEVICE_TYPES_BATCH_MAX)
            .await?;
        let mut announced = false;
        for (device_type, at) in &due {
            if *at <= now {
                announced |= self
                    .announce_newest(&mut tx, device_type, &admission)
                    .await?;
            } else {
                // Set while the interval was longer.
                self.schedule_announcement(&mut tx, device_type, now)
                    .await?;
            }
        }
        tx.commit().await?;
        if announced {
            self.announcements_queued.notify_one();
        }
        Ok(unannounced.len() + due.len())
    }

    /// Whether there is one that may be sent: who is told of another is misled.
    async fn announce_newest(
        &self,
        tx: &mut Tx,
        device_type: &str,
        admission: &Admission,
    ) -> Result<bool> {
        let now = admission.now;
        let mut versions = tx.released_versions(device_type).await?;
        if versions.is_empty() {
            tx.delete_release_announcement(device_type).await?;
            return Ok(false);
        }
        self.schedule_announcement(tx, device_type, now).await?;
        versions.sort_by_cached_key(|version| Reverse(version_key(version)));
        for version in &versions {
            if let Some(firmware) = tx.firmware(device_type, version).await?
                && admission.bars(&firmware).is_none()
            {
                self.announce_firmware(tx, &firmware, now).await?;
                return Ok(true);
            }
        }
        Ok(false)
    }

    async fn announce_firmware(
        &self,
        tx: &mut Tx,
        firmware: &Firmware,
        now: DateTime<Utc>,
    ) -> Result<()> {
        let query = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("version", &firmware.version)
            .append_pair("deviceType", &firmware.device_type)
            .finish();
        let urls = ReleaseUrls {
            file: self.firmware_url(firmware),
            manifest: self.manifest_url(firmware),
            signature: self.signature_url(firmware),
            changelog: format!("{}/ota/changelog?{query}", self.settings.public_url),
        };
        let announcement = release_announcement(firmware, urls, now);
        Ok(tx.put_announcement(&announcement).await?)
    }

    async fn schedule_announcement(
        &self,
        tx: &mut Tx,
        device_type: &str,
        now: DateTime<Utc>,
    ) -> Result<()> {
        if let Some(interval) = self.settings.announce_interval {
            let next_at = next_announcement_at(now, interval, rand::random());
            tx.set_release_announcement(device_type, next_at).await?;
        }
        Ok(())
    }
}
