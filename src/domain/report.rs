use std::cmp::Ordering;

use airlift_proto::{HeartbeatData, ProgressData, ReportState};
use chrono::{DateTime, TimeDelta, Utc};
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

/// What a gateway measures of itself.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Vitals {
    /// Percent.
    pub battery: Option<f32>,
    /// Bytes.
    pub free_heap: Option<i64>,
    /// dBm.
    pub rssi: Option<f32>,
}

impl Vitals {
    /// What came off the wire, without numbers that no database holds.
    pub fn check(data: &HeartbeatData) -> Vitals {
        let finite = |number: &f32| number.is_finite();
        Vitals {
            battery: data.battery.filter(finite),
            free_heap: data.free_heap.and_then(|bytes| i64::try_from(bytes).ok()),
            rssi: data.rssi.filter(finite),
        }
    }
}

/// The first heartbeat of a gateway in an interval, for charts.
#[derive(Clone, Debug, PartialEq)]
pub struct KeptHeartbeat {
    pub gateway_id: String,
    /// When the interval began; whole seconds.
    pub at: DateTime<Utc>,
    pub firmware_version: String,
    pub vitals: Vitals,
}

impl KeptHeartbeat {
    /// Of a heartbeat that came at `now`. Intervals are counted from 1970 on.
    pub fn new(
        gateway_id: &str,
        heartbeat: &Heartbeat,
        now: DateTime<Utc>,
        interval: TimeDelta,
    ) -> KeptHeartbeat {
        let seconds = interval.num_seconds().max(1);
        let began = now.timestamp().div_euclid(seconds) * seconds;
        KeptHeartbeat {
            gateway_id: gateway_id.to_owned(),
            at: DateTime::from_timestamp(began, 0).unwrap_or(now),
            firmware_version: heartbeat.firmware_version.clone(),
            vitals: heartbeat.vitals,
        }
    }
}

/// A heartbeat as taken in.
#[derive(Clone, Debug, PartialEq)]
pub struct Heartbeat {
    pub firmware_version: String,
    pub vitals: Vitals,
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
    fn numbers_that_no_database_holds_are_left_out() {
        let json = r#"{"firmwareVersion":"1","battery":1e300,"freeHeap":18446744073709551615}"#;
        let data: HeartbeatData = serde_json::from_str(json).unwrap();
        assert_eq!(Vitals::check(&data), Vitals::default());
    }

    #[test]
    fn a_heartbeat_is_kept_under_the_beginning_of_its_interval() {
        let heartbeat = Heartbeat {
            firmware_version: "1.0.1".into(),
            vitals: Vitals::default(),
            timestamp: None,
            late: false,
            shared: false,
            attributes: Value::Null,
        };
        let kept = |now: &str, minutes| {
            let interval = TimeDelta::minutes(minutes);
            KeptHeartbeat::new("g", &heartbeat, now.parse().unwrap(), interval).at
        };
        for (now, minutes, at) in [
            ("2026-03-01T08:09:59.999Z", 10, "2026-03-01T08:00:00Z"),
            ("2026-03-01T08:10:00Z", 10, "2026-03-01T08:10:00Z"),
            ("2026-03-01T23:59:59Z", 24 * 60, "2026-03-01T00:00:00Z"),
        ] {
            let at: DateTime<Utc> = at.parse().unwrap();
            assert_eq!(kept(now, minutes), at, "{now}");
        }
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
