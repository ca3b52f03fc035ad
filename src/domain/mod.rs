//! Types and decisions, free of I/O: what a task may become, when a command is sent again, which
//! version is the latest. Everything here is a pure function of its arguments; time is one of them.
//!
//! To add a rule: write it here with its tests, then let a service apply it inside its transaction.

mod clock;
mod dispatch;
mod event;
mod firmware;
mod gateway;
mod gateway_query;
mod report;
mod tags;
mod task;
mod task_status;

pub use clock::Clock;
pub use dispatch::{
    CANCEL_SENDS_MAX, CommandKind, OutboundCommand, RESEND_DELAY_MAX, RESEND_DELAY_MIN,
    resend_delay,
};
pub use event::{Event, EventKind, REGISTERED};
pub use firmware::{
    DEVICE_TYPE_DEFAULT, DEVICE_TYPE_LENGTH_MAX, Firmware, FirmwareStatus, VERSION_LENGTH_MAX,
    file_name, is_device_type, latest, needs_upgrade, parse_version, version_key,
};
pub use gateway::{Gateway, shuffle};
pub use gateway_query::{
    Comparison, FILTER_LENGTH_MAX, FILTER_TERMS_MAX, GatewayQuery, GatewayTerm,
};
pub use report::{Heartbeat, Progress, ReportRefusal};
pub use tags::{
    TAG_KEY_LENGTH_MAX, TAG_VALUE_LENGTH_MAX, TAGS_MAX, TagChanges, Tags, change_tags,
    check_tag_key, check_tag_value,
};
pub use task::{Outcome, Task, TaskDeadlines, TriggerDecision, decide_trigger};
pub use task_status::TaskStatus;
