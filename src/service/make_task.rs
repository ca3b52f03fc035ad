use airlift_proto::{Command, Message, PartData, UpgradeData};
use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::Service;
use crate::{
    domain::{
        CommandKind, Event, EventKind, Firmware, Gateway, OutboundCommand, PackageOrigin, Task,
        TaskStatus,
    },
    store::Tx,
};

/// What a task is made of.
pub(super) struct NewTask<'n> {
    pub gateway: &'n Gateway,
    /// The first version of `path`.
    pub firmware: &'n Firmware,
    /// As [`crate::domain::plan_path`] gives it.
    pub path: Vec<String>,
    pub force_upgrade: bool,
    /// The command does not leave before.
    pub scheduled_at: Option<DateTime<Utc>>,
    pub rollout_id: Option<Uuid>,
    pub timeout_seconds: Option<i64>,
    /// The gateway is asked not to begin before.
    pub not_before: Option<DateTime<Utc>>,
    /// The gateway's newest task so far; the new one's id sorts after it.
    pub newest_task_id: Option<Uuid>,
}

/// The file that a task brings.
pub(super) struct TaskFile<'f> {
    /// What the device runs when it is done.
    pub version: &'f str,
    pub url: String,
    /// Lower-case hex.
    pub md5: &'f str,
    /// Lower-case hex.
    pub sha256: &'f str,
    /// Bytes.
    pub size: i64,
}

impl Service {
    /// A task and the command that brings it to the gateway; the caller stores both.
    pub(super) fn new_task(&self, new: NewTask, now: DateTime<Utc>) -> (Task, OutboundCommand) {
        let (gateway, firmware) = (new.gateway, new.firmware);
        let file = TaskFile {
            version: &firmware.version,
            url: self.firmware_url(firmware),
            md5: &firmware.md5,
            sha256: &firmware.sha256,
            size: firmware.file_size,
        };
        let mut task = Task {
            force_upgrade: new.force_upgrade || firmware.force_upgrade,
            scheduled_at: new.scheduled_at,
            start_time: new.scheduled_at.map_or(now, |at| at.max(now)),
            rollout_id: new.rollout_id,
            timeout_seconds: new.timeout_seconds,
            not_before: new.not_before,
            path: if new.path.len() > 1 {
                new.path
            } else {
                Vec::new()
            },
            ..self.plain_task(gateway, file, new.newest_task_id, now)
        };
        task.wait_for_answer(&self.settings.deadlines);
        let command = self.upgrade_command(&task, firmware);
        (task, command)
    }

    /// A task that begins now and waits for nothing yet.
    pub(super) fn plain_task(
        &self,
        gateway: &Gateway,
        file: TaskFile,
        newest_task_id: Option<Uuid>,
        now: DateTime<Utc>,
    ) -> Task {
        let task_id = self.clock.new_id_after(newest_task_id);
        Task {
            task_id,
            gateway_id: gateway.gateway_id.clone(),
            device_type: gateway.device_type.clone(),
            from_version: gateway.current_version.clone(),
            to_version: file.version.to_owned(),
            firmware_url: file.url,
            md5: file.md5.to_owned(),
            sha256: file.sha256.to_owned(),
            file_size: file.size,
            msg_id: format!("ota_{}", task_id.simple()),
            status: TaskStatus::Pending,
            progress: 0,
            error_code: None,
            error_message: None,
            force_upgrade: false,
            scheduled_at: None,
            start_time: now,
            complete_time: None,
            confirmed_at: None,
            deadline_at: None,
            completed_timestamp: None,
            rollout_id: None,
            timeout_seconds: None,
            not_before: None,
            path: Vec::new(),
            packages: Vec::new(),
            duration_ms: None,
            created_at: now,
            updated_at: now,
        }
    }

    /// Where devices download a firmware from.
    pub fn firmware_url(&self, firmware: &Firmware) -> String {
        self.file_url(&firmware.file_name)
    }

    /// Where devices download a file from.
    pub fn file_url(&self, file_name: &str) -> String {
        format!("{}/firmware/{file_name}", self.settings.public_url)
    }

    /// Of a bundle its manifest, of a package its `content.json`.
    pub fn manifest_url(&self, firmware: &Firmware) -> Option<String> {
        match &firmware.package {
            Some(package) => Some(self.package_query_url("getVersion", package, &firmware.version)),
            None => {
                let bundle = firmware.bundle.as_ref()?;
                Some(self.file_url(&bundle.manifest.file_name))
            }
        }
    }

    /// The signature of what [`Service::manifest_url`] names, if there is one.
    pub fn signature_url(&self, firmware: &Firmware) -> Option<String> {
        match &firmware.package {
            Some(package) => package
                .has_signature
                .then(|| self.package_query_url("getSignature", package, &firmware.version)),
            None => {
                let bundle = firmware.bundle.as_ref()?;
                Some(self.file_url(&bundle.signature.file_name))
            }
        }
    }

    fn package_query_url(&self, what: &str, package: &PackageOrigin, version: &str) -> String {
        let query = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("package", &package.name)
            .append_pair("branch", &package.branch)
            .append_pair("version", version)
            .finish();
        format!("{}/{what}?{query}", self.settings.public_url)
    }

    fn upgrade_command(&self, task: &Task, firmware: &Firmware) -> OutboundCommand {
        let parts = firmware.bundle.iter().flat_map(|bundle| &bundle.parts);
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
                not_before: task.not_before.map(|at| at.timestamp()),
                msg_id: Some(task.msg_id.clone()),
                manifest_url: self.manifest_url(firmware),
                signature_url: self.signature_url(firmware),
                kind: firmware.kind().map(str::to_owned),
                parts: parts
                    .map(|part| PartData {
                        name: part.name.clone(),
                        partition: part.partition.clone(),
                        url: self.file_url(&part.file.file_name),
                        size: part.file.size.unsigned_abs(),
                        sha256: part.file.sha256.clone(),
                        md5: part.md5.clone(),
                    })
                    .collect(),
            },
        });
        let command_id = self.clock.new_id();
        outbound(
            command_id,
            task,
            CommandKind::Upgrade,
            &command,
            task.start_time,
        )
    }
}

/// Tells of what changed in a task that the transaction stores; `before` is `None` for a new one.
pub(super) fn record_task(tx: &mut Tx, before: Option<&Task>, task: &Task, now: DateTime<Utc>) {
    let kind = match before {
        Some(before)
            if (before.status, before.confirmed_at) == (task.status, task.confirmed_at) =>
        {
            if before.progress == task.progress {
                return;
            }
            EventKind::TaskProgress
        }
        _ => EventKind::Task,
    };
    tx.record(Event::task(kind, task, now));
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
