use chrono::{DateTime, Utc};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{
    firmware::version_key,
    report::{Heartbeat, Sent, sent},
    tags::Tags,
};

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
            created_at: now,
            updated_at: now,
        }
    }

    /// Takes in a heartbeat; one that the gateway may have sent before the last one changes
    /// nothing but the sign of life.
    pub fn heard_heartbeat(&mut self, heartbeat: &Heartbeat, now: DateTime<Utc>) {
        self.heard(now);
        let order = sent(
            heartbeat.timestamp,
            self.heartbeat_timestamp,
            heartbeat.late,
        );
        let may_be_older = matches!(order, Sent::Before | Sent::Unknown);
        if self.current_version.is_some() && may_be_older {
            return;
        }
        self.current_version = Some(heartbeat.firmware_version.clone());
        self.attributes = heartbeat.attributes.clone();
        self.heartbeat_timestamp = heartbeat.timestamp;
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

    /// Any sign of life.
    pub fn heard(&mut self, now: DateTime<Utc>) {
        self.online = true;
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
    use super::*;

    fn heartbeat(version: &str, timestamp: Option<i64>) -> Heartbeat {
        Heartbeat {
            firmware_version: version.into(),
            timestamp,
            late: false,
            attributes: serde_json::json!({ "firmwareVersion": version }),
        }
    }

    #[test]
    fn a_late_heartbeat_does_not_bring_the_old_version_back() {
        let now = DateTime::UNIX_EPOCH;
        let mut gateway = Gateway::new("g", "gateway", now);
        gateway.heard_heartbeat(&heartbeat("1.0.2", Some(1_770_000_010)), now);
        gateway.heard_heartbeat(&heartbeat("1.0.1", Some(1_770_000_000)), now);
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
