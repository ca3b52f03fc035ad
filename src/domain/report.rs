use airlift_proto::{ProgressData, ReportState};

use super::task::TaskStatus;

/// A gateway's clock is believed from here on (2020-01-01, Unix seconds): before it knows the time
/// it counts from 1970.
const CLOCK_SET_SINCE: i64 = 1_577_836_800;

/// Whether the gateway's own clock says that `a` was sent before `b`. False where either clock
/// reading is missing or was not set: then the order of arrival counts.
pub(super) fn is_earlier(a: Option<i64>, b: Option<i64>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => a >= CLOCK_SET_SINCE && b >= CLOCK_SET_SINCE && a < b,
        _ => false,
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
        assert!(is_earlier(Some(1_770_000_000), Some(1_770_000_001)));
        assert!(!is_earlier(Some(1_770_000_001), Some(1_770_000_001)));
        assert!(!is_earlier(Some(5), Some(1_770_000_001)));
        assert!(!is_earlier(None, Some(1_770_000_001)));
    }
}
