use airlift_package::Content;
use chrono::{DateTime, Utc};
use serde_json::json;

use super::{
    Error, Result, Service,
    trust::admit,
    upload_firmware::{check_device_type, version_exists},
};
use crate::{
    domain::{Caller, Event, Firmware, FirmwareStatus, Package, file_name, parse_version},
    store,
};

impl Service {
    /// Makes a version of a package a released firmware of a device type, with the same file, so
    /// that all that goes for firmware goes for it. Again, it is the same firmware.
    pub async fn release_package(
        &self,
        caller: &Caller,
        name: &str,
        branch: &str,
        version: &str,
        device_type: &str,
    ) -> Result<Firmware> {
        check_device_type(device_type)?;
        let admission = self.admission().await?;
        let now = self.clock.now();
        let mut tx = self.db.begin().await?;
        // Nobody takes the package away or changes it meanwhile.
        tx.lock_branch(name, branch).await?;
        let package = tx.package(name, branch, version).await?.ok_or_else(|| {
            Error::not_found(
                "package_not_found",
                format!(
                    "there is no version {version} of package {name} on branch {branch}: push it \
                     first (PUT /update), or name the right branch"
                ),
            )
        })?;
        if parse_version(version).is_none() {
            return Err(Error::invalid(
                "invalid_version",
                format!(
                    "version {version:?} is not SemVer 2.0 such as 1.0.2, which the versions of a \
                     device type are: push the package with one that is; devices that follow its \
                     branch take any"
                ),
            ));
        }
        let known = tx.lock_firmware(device_type, version).await?;
        let is_new = known.is_none();
        let origin = known.as_ref().and_then(|known| known.package.clone());
        let firmware = match known {
            None => self.firmware_of(&package, device_type, now),
            Some(known) => again(known, &package)?,
        };
        admit(&firmware, &admission)?;
        let detail = json!({ "branch": branch, "deviceType": device_type });
        let audited = caller.did("package.release", package.subject(), detail, now);
        if !is_new {
            tx.update_firmware_package(&firmware).await?;
            if firmware.package != origin {
                tx.audit(&audited).await?;
            }
            tx.commit().await?;
            return Ok(firmware);
        }
        match tx.insert_firmware(&firmware).await {
            Err(store::Error::Duplicate) => return Err(version_exists(device_type, version)),
            other => other?,
        }
        tx.record(Event::firmware("uploaded", &firmware, now));
        tx.record(Event::firmware("status", &firmware, now));
        self.announce_status(&mut tx, &firmware, now).await?;
        tx.audit(&audited).await?;
        tx.commit().await?;
        self.announcements_queued.notify_one();
        tracing::info!(
            package = name,
            branch,
            version,
            device_type,
            "package released"
        );
        Ok(firmware)
    }

    fn firmware_of(&self, package: &Package, device_type: &str, now: DateTime<Utc>) -> Firmware {
        let content = Content::read(package.content.as_bytes()).unwrap_or_default();
        // Not a field of every content.json.
        let changelog = content.other.get("changelog");
        let changelog = changelog.and_then(|text| text.as_str()).unwrap_or_default();
        Firmware {
            firmware_id: self.clock.new_id(),
            device_type: device_type.to_owned(),
            version: package.version.clone(),
            file_name: file_name(device_type, &package.version),
            file_size: package.file_size,
            md5: package.md5.clone(),
            sha256: package.sha256.clone(),
            changelog: changelog.to_owned(),
            description: content.description,
            status: FirmwareStatus::Released,
            force_upgrade: false,
            min_version: None,
            bundle: None,
            package: Some(package.origin()),
            release_date: Some(now),
            created_at: now,
            updated_at: now,
        }
    }
}

/// The firmware that this package was released as before, as its signature is now.
fn again(mut known: Firmware, package: &Package) -> Result<Firmware> {
    let origin = package.origin();
    let is_same = known
        .package
        .as_ref()
        .is_some_and(|it| (&it.name, &it.branch) == (&origin.name, &origin.branch));
    if !is_same {
        return Err(version_exists(&known.device_type, &known.version));
    }
    if known.status != FirmwareStatus::Released {
        return Err(Error::conflict(
            "firmware_status",
            format!(
                "firmware {} for device type {} is this package and is {}: push a higher version \
                 and release that",
                known.version, known.device_type, known.status
            ),
        ));
    }
    known.package = Some(origin);
    Ok(known)
}
