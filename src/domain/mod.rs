//! Types and decisions, free of I/O: what a task may become, when a command is sent again, which
//! version is the latest. Everything here is a pure function of its arguments; time is one of them.
//!
//! To add a rule: write it here with its tests, then let a service apply it inside its transaction.

mod clock;
mod dispatch;
mod download_budget;
mod event;
mod firmware;
mod gateway;
mod report;
mod task;
mod task_status;

pub use clock::Clock;
pub use dispatch::{
    CANCEL_SENDS_MAX, CommandKind, OutboundCommand, RESEND_DELAY_MAX, RESEND_DELAY_MIN,
    resend_delay,
};
pub use download_budget::{
    DOWNLOAD_BURST_SECONDS, DownloadBudget, OverBudget, RETURN_SPREAD_SECONDS_MAX,
};
pub use event::{Event, EventKind};
pub use firmware::{
    DEVICE_TYPE_DEFAULT, DEVICE_TYPE_LENGTH_MAX, Firmware, FirmwareStatus, VERSION_LENGTH_MAX,
    file_name, is_device_type, latest, needs_upgrade, parse_version, version_key,
};
pub use gateway::Gateway;
pub use report::{Heartbeat, Progress, ReportRefusal};
pub use task::{Outcome, Task, TaskDeadlines, TriggerDecision, decide_trigger};
pub use task_status::TaskStatus;
