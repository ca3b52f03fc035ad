use airlift_proto::{Command, GATEWAY_ID_LENGTH_MAX, Message, UpgradeData, is_gateway_id};
use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{Error, Result, Service};
use crate::{
    domain::{
        CommandKind, DEVICE_TYPE_DEFAULT, Firmware, FirmwareStatus, Gateway, OutboundCommand, Task,
        TaskStatus, TriggerDecision, decide_trigger, latest,
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
    /// same version returns the same task.
    pub async fn trigger_upgrade(&self, gateway_id: &str, trigger: TriggerUpgrade) -> Result<Task> {
        check_gateway_id(gateway_id)?;
        let now = self.clock.now();
        let mut tx = self.db.begin().await?;
        let gateway = tx
            .lock_gateway(&Gateway::new(gateway_id, DEVICE_TYPE_DEFAULT, now))
            .await?;
        let firmware =
            installable_firmware(&mut tx, &gateway.device_type, trigger.version.as_deref()).await?;
        let newest = tx.lock_newest_task(gateway_id).await?;
        let task_id = self
            .clock
            .new_id_after(newest.as_ref().map(|task| task.task_id));
        let active = newest.filter(|task| task.status.is_active());
        let decision = decide_trigger(active.as_ref(), &firmware.version, trigger.force_upgrade);
        match (decision, active) {
            (TriggerDecision::Return, Some(task)) => return Ok(task),
            (TriggerDecision::Conflict, Some(task)) => {
                return Err(Error::conflict(
                    "upgrade_in_progress",
                    format!(
                        "gateway {gateway_id} is on its way to {} (task {}, {} at {} %): wait for \
                         it, cancel it, or set forceUpgrade to replace it",
                        task.to_version, task.task_id, task.status, task.progress
                    ),
                ));
            }
            (TriggerDecision::Replace, Some(mut task)) => {
                self.cancel_locked(&mut tx, &mut task, now).await?;
            }
            _ => {}
        }
        let task = self.new_task(task_id, &gateway, &firmware, &trigger, now);
        tx.insert_tasks(std::slice::from_ref(&task)).await?;
        tx.insert_commands(&[upgrade_command(self.clock.new_id(), &task)])
            .await?;
        tx.commit().await?;
        self.commands_queued.notify_one();
        tracing::info!(
            gateway_id,
            task_id = %task.task_id,
            to_version = task.to_version,
            "upgrade triggered"
        );
        Ok(task)
    }

    /// A new task for the same gateway and version as one that failed or was cancelled.
    pub async fn retry_upgrade(&self, task_id: Uuid) -> Result<Task> {
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
        let trigger = TriggerUpgrade {
            version: Some(task.to_version),
            force_upgrade: task.force_upgrade,
            scheduled_at: None,
        };
        self.trigger_upgrade(&task.gateway_id, trigger).await
    }

    fn new_task(
        &self,
        task_id: Uuid,
        gateway: &Gateway,
        firmware: &Firmware,
        trigger: &TriggerUpgrade,
        now: DateTime<Utc>,
    ) -> Task {
        let start_time = trigger.scheduled_at.map_or(now, |at| at.max(now));
        Task {
            task_id,
            gateway_id: gateway.gateway_id.clone(),
            device_type: gateway.device_type.clone(),
            from_version: gateway.current_version.clone(),
            to_version: firmware.version.clone(),
            firmware_url: self.firmware_url(firmware),
            md5: firmware.md5.clone(),
            sha256: firmware.sha256.clone(),
            file_size: firmware.file_size,
            msg_id: format!("ota_{}", task_id.simple()),
            status: TaskStatus::Pending,
            progress: 0,
            error_code: None,
            error_message: None,
            force_upgrade: trigger.force_upgrade || firmware.force_upgrade,
            scheduled_at: trigger.scheduled_at,
            start_time,
            complete_time: None,
            confirmed_at: None,
            deadline_at: Some(start_time + self.settings.deadlines.pending),
            completed_timestamp: None,
            rollout_id: None,
            timeout_seconds: None,
            not_before: None,
            path: Vec::new(),
            duration_ms: None,
            created_at: now,
            updated_at: now,
        }
    }

    /// Where devices download a firmware from.
    pub fn firmware_url(&self, firmware: &Firmware) -> String {
        format!(
            "{}/firmware/{}",
            self.settings.public_url, firmware.file_name
        )
    }
}

/// The named version, or the latest release.
async fn installable_firmware(
    tx: &mut Tx,
    device_type: &str,
    version: Option<&str>,
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

fn upgrade_command(command_id: Uuid, task: &Task) -> OutboundCommand {
    let command = Command::Upgrade(Message {
        msg_id: Some(task.msg_id.clone()),
        uuid: Some(task.gateway_id.clone()),
        timestamp: Some(task.start_time.timestamp()),
        data: UpgradeData {
            version: task.to_version.clone(),
            firmware_url: task.firmware_url.clone(),
            md5: task.md5.clone(),
            sha256: Some(task.sha256.clone()),
            file_size: task.file_size.unsigned_abs(),
            force_upgrade: task.force_upgrade,
            not_before: None,
            msg_id: Some(task.msg_id.clone()),
        },
    });
    outbound(
        command_id,
        task,
        CommandKind::Upgrade,
        &command,
        task.start_time,
    )
}

pub(super) fn outbound(
    command_id: Uuid,
    task: &Task,
    kind: CommandKind,
    command: &Command,
    next_send_at: DateTime<Utc>,
) -> OutboundCommand {
    OutboundCommand {
        command_id,
        task_id: task.task_id,
        gateway_id: task.gateway_id.clone(),
        kind,
        payload: serde_json::to_string(command).expect("a command has only strings and numbers"),
        sends: 0,
        next_send_at,
    }
}
