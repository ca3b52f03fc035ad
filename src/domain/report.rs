use std::cmp::Ordering;

use airlift_proto::{ProgressData, ReportState};
use serde_json::Value;

use super::task_status::TaskStatus;

/// A gateway's clock is believed from here on (2020-01-01, Unix seconds): before it knows the time
/// it counts from 1970.
const CLOCK_SET_SINCE: i64 = 1_577_836_800;

/// In which order a gateway sent two messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sent {
    Before,
    /// In the same second, which is as fine as timestamps are: several servers may take in the two in
    /// any order.
    Together,
    After,
    Unknown,
}

/// When the message with `timestamp` was sent, seen from `other`, which arrived before it. The
/// gateway's own clock says; where it is missing or was not set, the order of arrival counts,
/// unless the message came `late`.
pub(super) fn sent(timestamp: Option<i64>, other: Option<i64>, late: bool) -> Sent {
    let set = |timestamp: &i64| *timestamp >= CLOCK_SET_SINCE;
    match (timestamp.filter(set), other.filter(set)) {
        (Some(timestamp), Some(other)) => match timestamp.cmp(&other) {
            Ordering::Less => Sent::Before,
            Ordering::Equal => Sent::Together,
            Ordering::Greater => Sent::After,
        },
        _ if late => Sent::Unknown,
        _ => Sent::After,
    }
}

/// A progress report whose fields make sense.
#[derive(Clone, Debug, PartialEq)]
pub struct Progress {
    pub status: TaskStatus,
    /// Percent, 0 to 100.
    pub progress: i16,
    pub current_version: Option<String>,
    pub error_code: Option<String>,
    pub error_message: Option<String>,
    /// Unix seconds by the gateway's clock.
    pub timestamp: Option<i64>,
}

/// A heartbeat as taken in.
#[derive(Clone, Debug, PartialEq)]
pub struct Heartbeat {
    pub firmware_version: String,
    /// Unix seconds by the gateway's clock.
    pub timestamp: Option<i64>,
    /// It may have waited in a queue while later messages of the gateway overtook it.
    pub late: bool,
    /// Several servers take in what the gateway says, each at its own pace.
    pub shared: bool,
    /// The whole `data` object.
    pub attributes: Value,
}

/// Why a message from a gateway is dropped; the word is the metric's label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum ReportRefusal {
    #[error("the topic is not a gateway's")]
    UnknownTopic,
    #[error("not JSON of the documented shape")]
    Malformed,
    #[error("the state is not one of downloading, verifying, installing, completed, failed")]
    UnknownState,
    #[error("progress is not between 0 and 100")]
    ProgressOutOfRange,
    #[error("its msgId is nobody's task")]
    UnknownTask,
    #[error("its msgId belongs to another gateway's task")]
    ForeignTask,
    #[error("it has no msgId and the gateway has no active task")]
    NoActiveTask,
}

impl ReportRefusal {
    pub fn label(self) -> &'static str {
        match self {
            ReportRefusal::UnknownTopic => "unknown_topic",
            ReportRefusal::Malformed => "malformed",
            ReportRefusal::UnknownState => "unknown_state",
            ReportRefusal::ProgressOutOfRange => "progress_out_of_range",
            ReportRefusal::UnknownTask => "unknown_task",
            ReportRefusal::ForeignTask => "foreign_task",
            ReportRefusal::NoActiveTask => "no_active_task",
        }
    }
}

impl Progress {
    /// Checks what came off the wire.
    pub fn check(data: ProgressData, timestamp: Option<i64>) -> Result<Progress, ReportRefusal> {
        let status = match data.state {
            ReportState::Downloading => TaskStatus::Downloading,
            ReportState::Verifying => TaskStatus::Verifying,
            ReportState::Installing => TaskStatus::Installing,
            ReportState::Completed => TaskStatus::Completed,
            ReportState::Failed => TaskStatus::Failed,
            ReportState::Unknown => return Err(ReportRefusal::UnknownState),
        };
        let progress = i16::try_from(data.progress)
            .ok()
            .filter(|progress| (0..=100).contains(progress))
            .ok_or(ReportRefusal::ProgressOutOfRange)?;
        Ok(Progress {
            status,
            progress,
            current_version: data.current_version,
            error_code: data.error_code,
            error_message: data.error_message,
            timestamp,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data(state: ReportState, progress: i64) -> ProgressData {
        ProgressData {
            state,
            progress,
            current_version: None,
            target_version: None,
            error_code: None,
            error_message: None,
        }
    }

    #[test]
    fn nonsense_is_refused_by_name() {
        use ReportRefusal::*;
        for (state, progress, refusal) in [
            (ReportState::Downloading, 400, ProgressOutOfRange),
            (ReportState::Downloading, -1, ProgressOutOfRange),
            (ReportState::Downloading, i64::MAX, ProgressOutOfRange),
            (ReportState::Unknown, 10, UnknownState),
        ] {
            assert_eq!(Progress::check(data(state, progress), None), Err(refusal));
        }
        assert!(Progress::check(data(ReportState::Completed, 100), None).is_ok());
        assert!(Progress::check(data(ReportState::Downloading, 0), None).is_ok());
    }

    #[test]
    fn order_is_told_by_the_gateways_clock_only_when_it_was_set() {
        const T: i64 = 1_770_000_000;
        for (timestamp, other, late, expected) in [
            (Some(T), Some(T + 1), false, Sent::Before),
            (Some(T), Some(T + 1), true, Sent::Before),
            (Some(T + 1), Some(T + 1), false, Sent::Together),
            (Some(T + 1), Some(T + 1), true, Sent::Together),
            (Some(T + 1), Some(T), true, Sent::After),
            (Some(5), Some(T), false, Sent::After),
            (Some(5), Some(T), true, Sent::Unknown),
            (None, Some(T), false, Sent::After),
            (None, Some(T), true, Sent::Unknown),
        ] {
            assert_eq!(sent(timestamp, other, late), expected);
        }
    }
}
