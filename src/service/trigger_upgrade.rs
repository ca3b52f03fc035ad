use airlift_proto::{GATEWAY_ID_LENGTH_MAX, is_gateway_id};
use chrono::{DateTime, Utc};
use serde_json::json;
use uuid::Uuid;

use super::{
    Error, Result, Service,
    make_task::{NewTask, record_task},
    trust::admit,
};
use crate::{
    domain::{
        Admission, AuditEntry, Caller, Candidate, DEVICE_TYPE_DEFAULT, Firmware, FirmwareStatus,
        Gateway, Task, TaskStatus, TriggerDecision, VersionRefusal, decide_trigger, is_downgrade,
        latest, plan_path, too_far_ahead,
    },
    store::Tx,
};

/// Which version a gateway is to get, and when.
#[derive(Clone, Debug, Default)]
pub struct TriggerUpgrade {
    /// `None`: the latest release.
    pub version: Option<String>,
    pub force_upgrade: bool,
    pub scheduled_at: Option<DateTime<Utc>>,
}

/// Refuses what can't name a gateway.
pub(super) fn check_gateway_id(gateway_id: &str) -> Result<()> {
    if is_gateway_id(gateway_id) {
        return Ok(());
    }
    Err(Error::invalid(
        "invalid_gateway_id",
        format!(
            "{gateway_id:?} is not a gateway id: use 1 to {GATEWAY_ID_LENGTH_MAX} of \
             A-Z a-z 0-9 . _ : -"
        ),
    ))
}

impl Service {
    /// Stores a task together with its command; the dispatcher sends it. A second trigger for the
    /// same version returns the same task. Where the firmware's minimum asks for it, the task leads
    /// to the first of several versions; each that is confirmed makes the task of the next.
    pub async fn trigger_upgrade(
        &self,
        caller: &Caller,
        gateway_id: &str,
        trigger: TriggerUpgrade,
    ) -> Result<Task> {
        self.trigger(gateway_id, trigger, |task, now| {
            let detail = json!({
                "taskId": task.task_id,
                "version": task.final_version(),
                "forceUpgrade": task.force_upgrade,
            });
            caller.did("upgrade.trigger", gateway_id, detail, now)
        })
        .await
    }

    /// `audit` says what the audit log has of a new task.
    async fn trigger(
        &self,
        gateway_id: &str,
        trigger: TriggerUpgrade,
        audit: impl FnOnce(&Task, DateTime<Utc>) -> AuditEntry + Send,
    ) -> Result<Task> {
        check_gateway_id(gateway_id)?;
        let now = self.clock.now();
        let scheduled_at = trigger.scheduled_at;
        if let Some(message) = scheduled_at.and_then(|at| too_far_ahead("scheduledAt", at, now)) {
            return Err(Error::invalid("time_too_far", message));
        }
        let admission = self.admission().await?;
        let mut tx = self.db.begin().await?;
        let gateway = tx
            .lock_gateway(&Gateway::new(gateway_id, DEVICE_TYPE_DEFAULT, now))
            .await?;
        let version = trigger.version.as_deref();
        let firmware =
            installable_firmware(&mut tx, &gateway.device_type, version, &admission).await?;
        let newest = tx.lock_newest_task(gateway_id).await?;
        let newest_task_id = newest.as_ref().map(|task| task.task_id);
        let under_way = newest.filter(Task::is_under_way);
        let decision = decide_trigger(under_way.as_ref(), &firmware.version, trigger.force_upgrade);
        match (decision, under_way) {
            (TriggerDecision::Return, Some(task)) => return Ok(task),
            (TriggerDecision::Conflict, Some(task)) => {
                return Err(Error::conflict(
                    "upgrade_in_progress",
                    format!(
                        "gateway {gateway_id} is on its way to {} (task {}, {} at {} %): wait for \
                         it, cancel it, or set forceUpgrade to replace it",
                        task.final_version(),
                        task.task_id,
                        task.status,
                        task.progress
                    ),
                ));
            }
            (TriggerDecision::Replace, Some(mut task)) => {
                self.cancel_locked(&mut tx, &mut task, now).await?;
            }
            _ => {}
        }
        let firmwares = tx.candidates(&gateway.device_type, &admission).await?;
        let forced = trigger.force_upgrade;
        let (path, firmware) = first_step(&mut tx, &gateway, firmware, &firmwares, forced).await?;
        let new = NewTask {
            gateway: &gateway,
            firmware: &firmware,
            path,
            force_upgrade: trigger.force_upgrade,
            scheduled_at: trigger.scheduled_at,
            rollout_id: None,
            timeout_seconds: None,
            not_before: None,
            newest_task_id,
        };
        let (task, command) = self.new_task(new, now);
        tx.insert_tasks(std::slice::from_ref(&task)).await?;
        tx.insert_commands(&[command]).await?;
        record_task(&mut tx, None, &task, now);
        tx.audit(&audit(&task, now)).await?;
        tx.commit().await?;
        self.commands_queued.notify_one();
        tracing::info!(
            gateway_id,
            task_id = %task.task_id,
            to_version = task.to_version,
            path = ?task.path,
            "upgrade triggered"
        );
        Ok(task)
    }

    /// A new task for the same gateway and version as one that failed or was cancelled.
    pub async fn retry_upgrade(&self, caller: &Caller, task_id: Uuid) -> Result<Task> {
        let task = self.task(task_id).await?;
        if !matches!(task.status, TaskStatus::Failed | TaskStatus::Cancelled) {
            return Err(Error::conflict(
                "task_not_retryable",
                format!(
                    "task {task_id} is {}: only a failed or cancelled one can be tried again",
                    task.status
                ),
            ));
        }
        if task.is_its_own() {
            return Err(Error::conflict(
                "task_not_retryable",
                format!(
                    "gateway {} began task {task_id} on its own, as it follows a branch: \
                     `airlift-agent retry` on the device tries again",
                    task.gateway_id
                ),
            ));
        }
        let trigger = TriggerUpgrade {
            version: Some(task.final_version().to_owned()),
            force_upgrade: task.force_upgrade,
            scheduled_at: None,
        };
        self.trigger(&task.gateway_id, trigger, |new, now| {
            let detail = json!({
                "gatewayId": new.gateway_id,
                "taskId": new.task_id,
                "version": new.final_version(),
            });
            caller.did("task.retry", task_id.to_string(), detail, now)
        })
        .await
    }
}

/// The way to a firmware, and the firmware it begins with.
async fn first_step(
    tx: &mut Tx,
    gateway: &Gateway,
    target: Firmware,
    firmwares: &[Candidate],
    forced: bool,
) -> Result<(Vec<String>, Firmware)> {
    let current = gateway.current_version.as_deref();
    let refused = |refusal: VersionRefusal| {
        Error::conflict(
            refusal.code(),
            format!(
                "gateway {} can't get firmware {}: {refusal}",
                gateway.gateway_id, target.version
            ),
        )
    };
    if !forced && is_downgrade(current, &target.version) {
        return Err(refused(VersionRefusal::NewerRuns));
    }
    let path = plan_path(current, &target.version, firmwares).map_err(refused)?;
    let first = match path.first() {
        Some(first) if *first != target.version => {
            tx.firmware(&target.device_type, first)
                .await?
                .ok_or_else(|| Error::no_firmware(&target.device_type, first))?
        }
        _ => target,
    };
    Ok((path, first))
}

/// The named version, or the latest release; refuses one that must not be sent.
pub(super) async fn installable_firmware(
    tx: &mut Tx,
    device_type: &str,
    version: Option<&str>,
    admission: &Admission,
) -> Result<Firmware> {
    let released;
    let version = match version {
        Some(version) => version,
        None => {
            released = tx.released_versions(device_type).await?;
            latest(released.iter().map(String::as_str)).ok_or_else(|| {
                Error::not_found(
                    "no_release",
                    format!(
                        "no firmware for device type {device_type} is released: release one, or \
                         name a version"
                    ),
                )
            })?
        }
    };
    let firmware = tx
        .firmware(device_type, version)
        .await?
        .ok_or_else(|| Error::no_firmware(device_type, version))?;
    if firmware.status.is_installable() {
        admit(&firmware, admission)?;
        return Ok(firmware);
    }
    let advice = match firmware.status {
        FirmwareStatus::Draft => format!(
            "release it with POST /api/ota/firmware/{version}/release, or set its status to testing"
        ),
        _ => "choose a version that is released".to_owned(),
    };
    Err(Error::conflict(
        "firmware_not_installable",
        format!("firmware {version} is {}: {advice}", firmware.status),
    ))
}
