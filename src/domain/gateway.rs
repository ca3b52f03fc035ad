use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{
    firmware::{is_device_type, version_key},
    report::{Heartbeat, Sent, sent},
    tags::Tags,
};

/// Between two reports of a gateway that reports over HTTP and does not say, in seconds.
const REPORT_SECONDS_DEFAULT: f64 = 300.0;
/// It counts as offline when it has missed so many.
const REPORTS_MISSED: f64 = 3.0;
/// But not before.
const SILENCE_MIN: TimeDelta = TimeDelta::seconds(30);
/// And from then on.
const SILENCE_MAX: TimeDelta = TimeDelta::days(1);
/// Shuffle numbers are below this prime.
const SHUFFLE_MODULUS: u32 = (1 << 31) - 1;

/// What is known of a gateway.
#[derive(Clone, Debug, PartialEq)]
pub struct Gateway {
    pub gateway_id: String,
    pub device_type: String,
    /// From its last heartbeat, status or report.
    pub current_version: Option<String>,
    pub online: bool,
    pub last_seen_at: Option<DateTime<Utc>>,
    /// The last heartbeat's `data`, as it came.
    pub attributes: Value,
    pub tags: Tags,
    /// Unix seconds by the gateway's clock, of the last heartbeat.
    pub heartbeat_timestamp: Option<i64>,
    /// Of one that reports over HTTP: it counts as offline from then on unless it reports before.
    /// `None`: the broker tells.
    pub offline_at: Option<DateTime<Utc>>,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

impl Gateway {
    /// A gateway nobody has heard of yet.
    pub fn new(gateway_id: &str, device_type: &str, now: DateTime<Utc>) -> Self {
        Gateway {
            gateway_id: gateway_id.to_owned(),
            device_type: device_type.to_owned(),
            current_version: None,
            online: false,
            last_seen_at: None,
            attributes: Value::Object(Default::default()),
            tags: Tags::new(),
            heartbeat_timestamp: None,
            offline_at: None,
            created_at: now,
            updated_at: now,
        }
    }

    /// Takes in a heartbeat; one that the gateway may have sent before the last one changes
    /// nothing but the sign of life and the device type. Whether it is news.
    pub fn heard_heartbeat(&mut self, heartbeat: &Heartbeat, now: DateTime<Utc>) -> bool {
        self.heard(now);
        if let Some(device_type) = heartbeat.attributes["deviceType"].as_str()
            && is_device_type(device_type)
        {
            self.device_type = device_type.to_owned();
        }
        let order = sent(
            heartbeat.timestamp,
            self.heartbeat_timestamp,
            heartbeat.late,
        );
        let may_be_older = matches!(order, Sent::Before | Sent::Unknown);
        if self.current_version.is_some() && may_be_older {
            return false;
        }
        self.current_version = Some(heartbeat.firmware_version.clone());
        self.attributes = heartbeat.attributes.clone();
        self.heartbeat_timestamp = heartbeat.timestamp;
        true
    }

    /// The current version as text that sorts; `None` if it is unknown or not SemVer.
    pub fn version_key(&self) -> Option<String> {
        self.current_version.as_deref().and_then(version_key)
    }

    /// What is told when it changes, by the names of the API's fields.
    pub fn changes_since(&self, before: &Gateway) -> Vec<&'static str> {
        [
            ("online", self.online != before.online),
            (
                "currentVersion",
                self.current_version != before.current_version,
            ),
            ("deviceType", self.device_type != before.device_type),
            ("tags", self.tags != before.tags),
        ]
        .into_iter()
        .filter_map(|(name, changed)| changed.then_some(name))
        .collect()
    }

    /// Whether it speaks HTTP: it asks for its commands, and nobody says when it is gone.
    pub fn speaks_http(&self) -> bool {
        self.offline_at.is_some()
    }

    /// It has said something over HTTP: the next word is awaited from now on.
    pub fn await_report(&mut self, now: DateTime<Utc>) {
        self.offline_at = Some(now + self.patience());
    }

    /// It is offline if the time by which it should have reported over HTTP has passed. What passed
    /// before `listening_since` passed while it may have found nobody to report to: it has that long
    /// again from then on.
    pub fn miss_report(&mut self, now: DateTime<Utc>, listening_since: DateTime<Utc>) {
        match self.offline_at {
            Some(at) if at < listening_since => {
                self.offline_at = Some(listening_since + self.patience());
            }
            Some(at) if at <= now && self.online => {
                self.online = false;
                self.updated_at = now;
            }
            _ => {}
        }
    }

    /// How long it may say nothing.
    fn patience(&self) -> TimeDelta {
        let seconds = self.attributes["reportSeconds"]
            .as_f64()
            .filter(|seconds| *seconds > 0.0)
            .unwrap_or(REPORT_SECONDS_DEFAULT);
        // Casts saturate.
        TimeDelta::try_seconds((seconds * REPORTS_MISSED) as i64)
            .unwrap_or(SILENCE_MAX)
            .clamp(SILENCE_MIN, SILENCE_MAX)
    }

    /// Any sign of life. One that came over HTTP goes on with [`Gateway::await_report`].
    pub fn heard(&mut self, now: DateTime<Utc>) {
        self.online = true;
        self.offline_at = None;
        self.last_seen_at = Some(now);
        self.updated_at = now;
    }
}

/// A hash of the id below 2^31 - 1, from which rollouts make their orders: the first four bytes of
/// the id's SHA-256 as a big-endian number, modulo 2^31 - 1.
pub fn shuffle(gateway_id: &str) -> i64 {
    let digest = Sha256::digest(gateway_id);
    let number = u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]]);
    i64::from(number % SHUFFLE_MODULUS)
}

#[cfg(test)]
mod tests {
    use super::{super::report::Vitals, *};

    fn heartbeat(version: &str, timestamp: Option<i64>) -> Heartbeat {
        Heartbeat {
            firmware_version: version.into(),
            vitals: Vitals::default(),
            timestamp,
            late: false,
            shared: false,
            attributes: serde_json::json!({ "firmwareVersion": version }),
        }
    }

    #[test]
    fn who_reports_over_http_is_offline_when_it_has_missed_three_reports() {
        let now = DateTime::UNIX_EPOCH + TimeDelta::days(100);
        for (report_seconds, patience) in [
            (serde_json::json!(60), 180),
            (serde_json::json!(0.5), 30),
            (serde_json::json!(1e300), 86_400),
            (serde_json::json!(u64::MAX), 86_400),
            (serde_json::json!(0), 900),
            (serde_json::json!(-60), 900),
            (serde_json::json!("60"), 900),
            (serde_json::json!(null), 900),
        ] {
            let mut gateway = Gateway::new("g", "linux", now);
            gateway.attributes = serde_json::json!({ "reportSeconds": report_seconds });
            gateway.heard(now);
            gateway.await_report(now);
            let patience = TimeDelta::seconds(patience);
            assert_eq!(gateway.offline_at, Some(now + patience), "{report_seconds}");
            let begun = now - TimeDelta::days(1);
            gateway.miss_report(now + patience - TimeDelta::milliseconds(1), begun);
            assert!(gateway.online, "{report_seconds}");
            gateway.miss_report(now + patience, begun);
            assert!(!gateway.online && gateway.speaks_http(), "{report_seconds}");
        }
    }

    #[test]
    fn what_passed_while_nobody_listened_is_granted_again() {
        let now = DateTime::UNIX_EPOCH + TimeDelta::days(100);
        let mut gateway = Gateway::new("g", "linux", now);
        gateway.heard(now);
        gateway.await_report(now);
        let back = now + TimeDelta::hours(5);
        gateway.miss_report(back, back);
        assert!(gateway.online);
        assert_eq!(gateway.offline_at, Some(back + TimeDelta::seconds(900)));
        gateway.miss_report(back + TimeDelta::seconds(900), back);
        assert!(!gateway.online);
    }

    #[test]
    fn a_late_heartbeat_does_not_bring_the_old_version_back() {
        let now = DateTime::UNIX_EPOCH;
        let mut gateway = Gateway::new("g", "gateway", now);
        assert!(gateway.heard_heartbeat(&heartbeat("1.0.2", Some(1_770_000_010)), now));
        assert!(!gateway.heard_heartbeat(&heartbeat("1.0.1", Some(1_770_000_000)), now));
        assert_eq!(gateway.current_version.as_deref(), Some("1.0.2"));
    }

    #[test]
    fn a_gateway_whose_clock_was_reset_is_believed() {
        let now = DateTime::UNIX_EPOCH;
        let mut gateway = Gateway::new("g", "gateway", now);
        gateway.heard_heartbeat(&heartbeat("1.0.1", Some(1_770_000_010)), now);
        gateway.heard_heartbeat(&heartbeat("1.0.2", Some(7)), now);
        assert_eq!(gateway.current_version.as_deref(), Some("1.0.2"));
    }

    #[test]
    fn the_shuffle_number_of_an_id_never_changes() {
        // The beginning of SHA-256("abc") is ba7816bf.
        assert_eq!(shuffle("abc"), 0xba78_16bf % 0x7fff_ffff);
    }
}
