use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{firmware::Firmware, gateway::Gateway, package::Package, task::Task};

/// What an event is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EventKind {
    /// A task began, changed its status or was confirmed.
    Task,
    /// A task's progress moved within its status.
    TaskProgress,
    /// A rollout was made, changed its state or its wave.
    Rollout,
    /// A gateway was registered, went online or offline, changed its version or its tags.
    Gateway,
    /// A firmware was uploaded, changed its status or was deleted.
    Firmware,
    /// A version of a package was pushed, withdrawn or deleted.
    Package,
}

impl EventKind {
    pub const ALL: [EventKind; 6] = [
        EventKind::Task,
        EventKind::TaskProgress,
        EventKind::Rollout,
        EventKind::Gateway,
        EventKind::Firmware,
        EventKind::Package,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            EventKind::Task => "task",
            EventKind::TaskProgress => "task_progress",
            EventKind::Rollout => "rollout",
            EventKind::Gateway => "gateway",
            EventKind::Firmware => "firmware",
            EventKind::Package => "package",
        }
    }

    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }
}

/// The word of a gateway's event for one nobody had heard of before.
pub const REGISTERED: &str = "registered";

/// Something that happened, told to whoever listens. Its number is given when it is stored.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    pub kind: EventKind,
    pub gateway_id: Option<String>,
    pub task_id: Option<Uuid>,
    pub rollout_id: Option<Uuid>,
    /// A JSON object, by kind.
    pub data: Value,
    pub created_at: DateTime<Utc>,
}

impl Event {
    /// A task as it is now; `TaskProgress` if nothing but the progress moved.
    pub fn task(kind: EventKind, task: &Task, now: DateTime<Utc>) -> Event {
        Event {
            kind,
            gateway_id: Some(task.gateway_id.clone()),
            task_id: Some(task.task_id),
            rollout_id: task.rollout_id,
            data: json!({
                "status": task.status.as_str(),
                "progress": task.progress,
                "fromVersion": task.from_version,
                "toVersion": task.to_version,
                "errorCode": task.error_code,
                "errorMessage": task.error_message,
                "confirmedAt": task.confirmed_at,
            }),
            created_at: now,
        }
    }

    /// A gateway as it is now, and what has changed: [`REGISTERED`], or names of the data's fields.
    pub fn gateway(gateway: &Gateway, change: &[&str], now: DateTime<Utc>) -> Event {
        Event {
            kind: EventKind::Gateway,
            gateway_id: Some(gateway.gateway_id.clone()),
            task_id: None,
            rollout_id: None,
            data: json!({
                "change": change,
                "online": gateway.online,
                "currentVersion": gateway.current_version,
                "deviceType": gateway.device_type,
                "tags": gateway.tags,
            }),
            created_at: now,
        }
    }

    /// A firmware as it is now, and what has changed: `uploaded`, `status` or `deleted`.
    pub fn firmware(change: &str, firmware: &Firmware, now: DateTime<Utc>) -> Event {
        Event {
            kind: EventKind::Firmware,
            gateway_id: None,
            task_id: None,
            rollout_id: None,
            data: json!({
                "change": [change],
                "deviceType": firmware.device_type,
                "version": firmware.version,
                "status": firmware.status.as_str(),
                "fileSize": firmware.file_size,
                "sha256": firmware.sha256,
            }),
            created_at: now,
        }
    }

    /// A version of a package as it is now, and what has changed: `pushed`, `replaced`, `signed`,
    /// `withdrawn`, `restored` or `deleted`.
    pub fn package(change: &str, package: &Package, now: DateTime<Utc>) -> Event {
        Event {
            kind: EventKind::Package,
            gateway_id: None,
            task_id: None,
            rollout_id: None,
            data: json!({
                "change": [change],
                "name": package.name,
                "branch": package.branch,
                "version": package.version,
                "fileSize": package.file_size,
                "sha256": package.sha256,
                "withdrawnAt": package.withdrawn_at,
            }),
            created_at: now,
        }
    }
}
