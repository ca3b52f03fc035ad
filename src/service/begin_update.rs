use std::collections::BTreeSet;

use airlift_package::{Version, is_branch, is_package_name};
use serde_json::json;

use super::{
    Error, Result, Service,
    make_task::{TaskFile, record_task},
    trigger_upgrade::check_gateway_id,
};
use crate::domain::{Caller, DEVICE_TYPE_LINUX, Event, Gateway, PackageChange, Task};

/// Packages that one update may change.
const PACKAGES_MAX: usize = 256;

/// An update that a Linux device begins on its own.
#[derive(Clone, Debug)]
pub struct BeginUpdate {
    /// The leading package: the last of those that change, in the order of their dependencies.
    pub name: String,
    pub branch: String,
    pub version: String,
    /// The device's version before it.
    pub from_version: Option<String>,
    /// The device's version after it.
    pub to_version: String,
    pub packages: Vec<PackageChange>,
}

impl BeginUpdate {
    fn check(&self) -> Result<()> {
        let refuse = |message: String| Err(Error::invalid("invalid_update", message));
        let name = |name: &str| match is_package_name(name) {
            true => Ok(()),
            false => refuse(format!("{name:?} is not a package's name")),
        };
        let version = |version: &str| match version.parse::<Version>() {
            Ok(_) => Ok(()),
            Err(error) => refuse(error.to_string()),
        };
        name(&self.name)?;
        if !is_branch(&self.branch) {
            return refuse(format!("{:?} is not a branch", self.branch));
        }
        version(&self.version)?;
        self.from_version.as_deref().map_or(Ok(()), version)?;
        version(&self.to_version)?;
        if !(1..=PACKAGES_MAX).contains(&self.packages.len()) {
            return refuse(format!(
                "packages has {} entries: name the 1 to {PACKAGES_MAX} that change",
                self.packages.len()
            ));
        }
        let mut names = BTreeSet::new();
        for change in &self.packages {
            name(&change.name)?;
            change.from_version.as_deref().map_or(Ok(()), version)?;
            version(&change.to_version)?;
            if !names.insert(&change.name) {
                return refuse(format!("packages names {} twice", change.name));
            }
        }
        Ok(())
    }

    /// Whether `task` is this update.
    fn is(&self, task: &Task) -> bool {
        task.to_version == self.to_version && task.packages == self.packages
    }
}

impl Service {
    /// Makes a task of an update that a device begins because it follows a branch. No command is
    /// queued: the device is at it. The same update again is the same task, so that a device whose
    /// answer was lost may ask again.
    pub async fn begin_update(
        &self,
        caller: &Caller,
        gateway_id: &str,
        update: BeginUpdate,
    ) -> Result<Task> {
        check_gateway_id(gateway_id)?;
        update.check()?;
        let now = self.clock.now();
        let mut tx = self.db.begin().await?;
        let (name, branch, version) = (&update.name, &update.branch, &update.version);
        let package = tx.package(name, branch, version).await?.ok_or_else(|| {
            Error::not_found(
                "package_not_found",
                format!(
                    "there is no version {version} of package {name} on branch {branch}: push it \
                     first, or name the server that has it as the package's remote"
                ),
            )
        })?;
        let before = tx
            .lock_gateway(&Gateway::new(gateway_id, DEVICE_TYPE_LINUX, now))
            .await?;
        let mut gateway = before.clone();
        gateway.heard(now);
        gateway.await_report(now);
        if gateway.current_version.is_none() {
            gateway.current_version.clone_from(&update.from_version);
        }
        let newest = tx.lock_newest_task(gateway_id).await?;
        let newest_task_id = newest.as_ref().map(|task| task.task_id);
        if let Some(task) = newest.filter(Task::is_under_way) {
            if task.status.is_active() && update.is(&task) {
                return Ok(task);
            }
            return Err(Error::conflict(
                "upgrade_in_progress",
                format!(
                    "gateway {gateway_id} is on its way to {} (task {}, {} at {} %): ask for its \
                     command, or wait until that has ended",
                    task.final_version(),
                    task.task_id,
                    task.status,
                    task.progress
                ),
            ));
        }
        tx.update_gateways(&[&gateway]).await?;
        let change = gateway.changes_since(&before);
        if !change.is_empty() {
            tx.record(Event::gateway(&gateway, &change, now));
        }
        let file = TaskFile {
            version: &update.to_version,
            url: self.package_url(&package),
            md5: &package.md5,
            sha256: &package.sha256,
            size: package.file_size,
        };
        let mut task = self.plain_task(&gateway, file, newest_task_id, now);
        task.begin_on_its_own(
            update.from_version,
            update.packages,
            now,
            &self.settings.deadlines,
        );
        tx.insert_tasks(std::slice::from_ref(&task)).await?;
        record_task(&mut tx, None, &task, now);
        let detail = json!({ "gatewayId": gateway_id, "version": task.to_version });
        tx.audit(&caller.did("task.begin", task.task_id.to_string(), detail, now))
            .await?;
        tx.commit().await?;
        tracing::info!(
            gateway_id,
            task_id = %task.task_id,
            package = package.name,
            version = package.version,
            to_version = task.to_version,
            "the device began an update on its own"
        );
        Ok(task)
    }
}
