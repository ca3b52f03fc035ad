//! `/api/ota/task` and `/api/ota/tasks`

pub mod cancel;
pub mod events;
pub mod export;
pub mod list;
pub mod newest;
pub mod retry;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::domain::{PackageChange, Task, TaskStatus};

/// One upgrade of one gateway.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Task)]
pub struct TaskDto {
    pub task_id: Uuid,
    #[schema(examples("HQ2026TEST001"))]
    pub gateway_id: String,
    /// What the gateway ran before; null until it says so.
    pub from_version: Option<String>,
    pub to_version: String,
    pub firmware_url: String,
    /// Lower-case hex.
    pub md5: String,
    /// Lower-case hex.
    pub sha256: String,
    /// Bytes.
    pub file_size: i64,
    /// Names the task in MQTT messages.
    pub msg_id: String,
    pub status: TaskStatusDto,
    /// Percent; never falls.
    #[schema(minimum = 0, maximum = 100)]
    pub progress: i16,
    #[schema(examples("DIGEST_MISMATCH"))]
    pub error_code: Option<String>,
    pub error_message: Option<String>,
    pub force_upgrade: bool,
    pub scheduled_at: Option<DateTime<Utc>>,
    pub start_time: Option<DateTime<Utc>>,
    /// When it ended, however it did.
    pub complete_time: Option<DateTime<Utc>>,
    /// When a heartbeat with the target version proved that it runs.
    pub confirmed_at: Option<DateTime<Utc>>,
    /// Seconds from `startTime` to `completeTime`; null while it runs.
    pub duration: Option<f64>,
    /// The rollout that made it.
    pub rollout_id: Option<Uuid>,
    /// The gateway is asked not to begin before.
    pub not_before: Option<DateTime<Utc>>,
    /// The versions that it goes through, `toVersion` first; null if that is the last.
    pub path: Option<Vec<String>>,
    /// Of an update that a Linux device began on its own: what it does to each package.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub packages: Option<Vec<PackageChangeDto>>,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

/// What an update does to a package.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = PackageChange)]
pub struct PackageChangeDto {
    #[schema(examples("app"))]
    pub name: String,
    /// Null: it was not there.
    #[serde(default)]
    #[schema(examples("1.1.0"))]
    pub from_version: Option<String>,
    #[schema(examples("1.2.0"))]
    pub to_version: String,
}

impl From<PackageChange> for PackageChangeDto {
    fn from(change: PackageChange) -> Self {
        PackageChangeDto {
            name: change.name,
            from_version: change.from_version,
            to_version: change.to_version,
        }
    }
}

impl From<PackageChangeDto> for PackageChange {
    fn from(change: PackageChangeDto) -> Self {
        PackageChange {
            name: change.name,
            from_version: change.from_version,
            to_version: change.to_version,
        }
    }
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = TaskStatus)]
pub enum TaskStatusDto {
    Pending,
    Downloading,
    Verifying,
    Installing,
    Completed,
    Failed,
    Cancelled,
}

impl From<TaskStatus> for TaskStatusDto {
    fn from(status: TaskStatus) -> Self {
        match status {
            TaskStatus::Pending => TaskStatusDto::Pending,
            TaskStatus::Downloading => TaskStatusDto::Downloading,
            TaskStatus::Verifying => TaskStatusDto::Verifying,
            TaskStatus::Installing => TaskStatusDto::Installing,
            TaskStatus::Completed => TaskStatusDto::Completed,
            TaskStatus::Failed => TaskStatusDto::Failed,
            TaskStatus::Cancelled => TaskStatusDto::Cancelled,
        }
    }
}

impl From<TaskStatusDto> for TaskStatus {
    fn from(status: TaskStatusDto) -> Self {
        match status {
            TaskStatusDto::Pending => TaskStatus::Pending,
            TaskStatusDto::Downloading => TaskStatus::Downloading,
            TaskStatusDto::Verifying => TaskStatus::Verifying,
            TaskStatusDto::Installing => TaskStatus::Installing,
            TaskStatusDto::Completed => TaskStatus::Completed,
            TaskStatusDto::Failed => TaskStatus::Failed,
            TaskStatusDto::Cancelled => TaskStatus::Cancelled,
        }
    }
}

impl From<Task> for TaskDto {
    fn from(task: Task) -> Self {
        TaskDto {
            task_id: task.task_id,
            gateway_id: task.gateway_id,
            from_version: task.from_version,
            to_version: task.to_version,
            firmware_url: task.firmware_url,
            md5: task.md5,
            sha256: task.sha256,
            file_size: task.file_size,
            msg_id: task.msg_id,
            status: task.status.into(),
            progress: task.progress,
            error_code: task.error_code,
            error_message: task.error_message,
            force_upgrade: task.force_upgrade,
            scheduled_at: task.scheduled_at,
            start_time: Some(task.start_time),
            complete_time: task.complete_time,
            confirmed_at: task.confirmed_at,
            duration: task.duration_ms.map(|ms| ms as f64 / 1000.0),
            rollout_id: task.rollout_id,
            not_before: task.not_before,
            path: Some(task.path).filter(|path| !path.is_empty()),
            packages: (!task.packages.is_empty())
                .then(|| task.packages.into_iter().map(Into::into).collect()),
            created_at: task.created_at,
            updated_at: task.updated_at,
        }
    }
}
