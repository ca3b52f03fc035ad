use std::time::Duration;

use airlift_bundle::{Kind, Refusal};
use airlift_proto::{AVAILABLE_TOPIC, AlertSource, Available, SignatureFailure, Topics};
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::{Firmware, Task, TaskStatus};

/// Wait before an announcement that failed is tried again.
pub const ANNOUNCEMENT_RETRY_MIN: Duration = Duration::from_secs(5);
/// Longest wait between two attempts.
pub const ANNOUNCEMENT_RETRY_MAX: Duration = Duration::from_secs(300);
/// An alert that did not leave within this tells nobody anything new: it is dropped.
pub const ALERT_LIFETIME: TimeDelta = TimeDelta::days(1);
/// Alerts that may wait for the broker; those beyond it are dropped.
pub const ALERTS_WAITING_MAX: i64 = 10_000;
/// Longest message of an alert, characters; what is longer is cut.
const ALERT_TEXT_LENGTH_MAX: usize = 1024;
/// Longest device type or version of an alert, characters: at an upload nobody has checked them.
const ALERT_NAME_LENGTH_MAX: usize = 64;

/// What goes to everyone who listens to its topic, in the outbox until the broker has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announcement {
    pub announcement_id: Uuid,
    pub topic: String,
    /// JSON.
    pub payload: String,
    pub created_at: DateTime<Utc>,
    /// When it is due.
    pub next_send_at: DateTime<Utc>,
}

/// A bundle, or the upgrade to one, that was refused: what an operator is to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alert {
    pub refusal: Refusal,
    pub refused_by: RefusedBy,
    /// As far as it is known; at an upload nothing of the bundle may be.
    pub device_type: Option<String>,
    /// As far as it is known.
    pub version: Option<String>,
    /// What happened, for people; without secrets.
    pub message: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RefusedBy {
    /// At the upload.
    Server,
    /// The gateway with this id.
    Gateway(String),
}

impl Alert {
    /// What there is to tell of a task that has failed: its gateway refused the bundle.
    pub fn of_task(task: &Task) -> Option<Alert> {
        let code = task.error_code.as_deref()?;
        let refusal = Refusal::parse(code).filter(|_| task.status == TaskStatus::Failed)?;
        let message = task.error_message.clone();
        Some(Alert {
            refusal,
            refused_by: RefusedBy::Gateway(task.gateway_id.clone()),
            device_type: Some(task.device_type.clone()),
            version: Some(task.to_version.clone()),
            message: message.unwrap_or_else(|| format!("the gateway refused it: {code}")),
        })
    }

    pub fn source(&self) -> AlertSource {
        match self.refused_by {
            RefusedBy::Server => AlertSource::Server,
            RefusedBy::Gateway(_) => AlertSource::Gateway,
        }
    }

    /// As it goes out, standing for `suppressed` others like it.
    pub fn announcement(
        &self,
        announcement_id: Uuid,
        topics: &Topics,
        suppressed: u64,
        now: DateTime<Utc>,
    ) -> Announcement {
        let cut = |text: &str, length: usize| text.chars().take(length).collect::<String>();
        let name = |name: &Option<String>| {
            let name = name.as_deref()?;
            Some(cut(name, ALERT_NAME_LENGTH_MAX))
        };
        let alert: airlift_proto::Alert =
            airlift_proto::Alert::SignatureFailure(SignatureFailure {
                code: self.refusal.code().to_owned(),
                source: self.source(),
                gateway_id: match &self.refused_by {
                    RefusedBy::Server => None,
                    RefusedBy::Gateway(gateway_id) => Some(gateway_id.clone()),
                },
                device_type: name(&self.device_type),
                version: name(&self.version),
                message: cut(&self.message, ALERT_TEXT_LENGTH_MAX),
                suppressed,
                timestamp: now.timestamp(),
            });
        Announcement {
            announcement_id,
            topic: topics.alerts(),
            payload: serde_json::to_string(&alert).expect("it has only strings and numbers"),
            created_at: now,
            next_send_at: now,
        }
    }
}

/// Where the files of a release are.
pub struct ReleaseUrls {
    pub file: String,
    pub manifest: Option<String>,
    pub signature: Option<String>,
    pub changelog: String,
}

/// Tells everyone that a release can be had. It has one id as long as it is the same firmware: while
/// one waits for the broker, the next one takes its place.
pub fn release_announcement(
    firmware: &Firmware,
    urls: ReleaseUrls,
    now: DateTime<Utc>,
) -> Announcement {
    let bundle = firmware.bundle.as_ref();
    let released = firmware.release_date.unwrap_or(now);
    let available: Available = Available {
        version: firmware.version.clone(),
        device_type: firmware.device_type.clone(),
        kind: firmware.kind().unwrap_or(Kind::Firmware.as_str()).to_owned(),
        target: bundle.map(|bundle| bundle.target.clone()),
        release_counter: bundle.map(|bundle| bundle.release_counter),
        min_version: firmware.min_version.clone(),
        file_size: firmware.file_size.unsigned_abs(),
        sha256: firmware.sha256.clone(),
        file_url: urls.file,
        manifest_url: urls.manifest,
        signature_url: urls.signature,
        changelog_url: urls.changelog,
        release_date: released.to_rfc3339_opts(SecondsFormat::AutoSi, true),
        timestamp: now.timestamp(),
    };
    Announcement {
        announcement_id: release_announcement_id(firmware.firmware_id),
        topic: AVAILABLE_TOPIC.to_owned(),
        payload: serde_json::to_string(&available).expect("it has only strings and numbers"),
        created_at: now,
        next_send_at: now,
    }
}

/// The id of the announcement of a firmware.
pub fn release_announcement_id(firmware_id: Uuid) -> Uuid {
    let digest = Sha256::new()
        .chain_update(AVAILABLE_TOPIC)
        .chain_update(firmware_id)
        .finalize();
    let mut id = [0; 16];
    id.copy_from_slice(&digest[..16]);
    uuid::Builder::from_custom_bytes(id).into_uuid()
}

/// How long until the announcement is tried again that has waited for `age`: as long again, from
/// [`ANNOUNCEMENT_RETRY_MIN`] to [`ANNOUNCEMENT_RETRY_MAX`], less up to a quarter by `jitter` (0 to
/// 1).
pub fn announcement_retry_delay(age: TimeDelta, jitter: f64) -> Duration {
    let age = age.to_std().unwrap_or(Duration::ZERO);
    age.clamp(ANNOUNCEMENT_RETRY_MIN, ANNOUNCEMENT_RETRY_MAX)
        .mul_f64(1.0 - 0.25 * jitter.clamp(0.0, 1.0))
}

/// When a release that was announced `now` is announced again: after `interval`, less up to a tenth
/// by `jitter` (0 to 1), so that device types spread over the day.
pub fn next_announcement_at(now: DateTime<Utc>, interval: TimeDelta, jitter: f64) -> DateTime<Utc> {
    let seconds = interval.num_seconds() as f64 * (1.0 - 0.1 * jitter.clamp(0.0, 1.0));
    now + TimeDelta::seconds(seconds as i64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Bundle, BundleFile, BundlePart, FirmwareStatus};

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_770_000_000 + seconds, 0).unwrap()
    }

    fn released() -> Firmware {
        Firmware {
            firmware_id: Uuid::from_u128(1),
            device_type: "jxct".into(),
            version: "2.7.0".into(),
            file_name: "jxct_v2.7.0.bin".into(),
            file_size: 9,
            md5: "m".into(),
            sha256: "s".into(),
            description: String::new(),
            changelog: String::new(),
            status: FirmwareStatus::Released,
            force_upgrade: false,
            min_version: Some("2.6.0".into()),
            bundle: None,
            package: None,
            release_date: Some(at(0)),
            created_at: at(0),
            updated_at: at(0),
        }
    }

    fn bundle() -> Bundle {
        let file = BundleFile {
            file_name: "f".into(),
            size: 9,
            sha256: "s".into(),
        };
        Bundle {
            kind: Kind::FirmwareAndWeb,
            target: "esp32-wroom".into(),
            release_counter: 42,
            allow_rollback: false,
            built_at: at(0),
            expires_at: None,
            signed_by: None,
            manifest: file.clone(),
            signature: file.clone(),
            parts: vec![BundlePart {
                name: "firmware.bin".into(),
                partition: "app".into(),
                file,
                md5: "m".into(),
            }],
        }
    }

    #[test]
    fn a_bundle_is_announced_with_what_it_says_of_itself() {
        let mut firmware = released();
        firmware.bundle = Some(bundle());
        let urls = ReleaseUrls {
            file: "f".into(),
            manifest: Some("m".into()),
            signature: Some("s".into()),
            changelog: "c".into(),
        };
        let announcement = release_announcement(&firmware, urls, at(5));
        assert_eq!(announcement.topic, "/jxct/ota/available");
        assert_eq!(
            announcement.payload,
            r#"{"version":"2.7.0","deviceType":"jxct","kind":"firmware+web","target":"esp32-wroom","releaseCounter":42,"minVersion":"2.6.0","fileSize":9,"sha256":"s","fileUrl":"f","manifestUrl":"m","signatureUrl":"s","changelogUrl":"c","releaseDate":"2026-02-02T02:40:00Z","timestamp":1770000005}"#
        );
    }

    #[test]
    fn a_firmware_is_announced_under_an_id_of_its_own() {
        let id = |n| release_announcement_id(Uuid::from_u128(n));
        assert_eq!(id(1), id(1));
        assert_ne!(id(1), id(2));
    }

    #[test]
    fn the_wait_doubles_with_the_age_and_is_capped() {
        let delay = |seconds, jitter| {
            let age = TimeDelta::seconds(seconds);
            announcement_retry_delay(age, jitter).as_secs_f64()
        };
        assert_eq!(delay(0, 0.0), 5.0);
        assert_eq!(delay(-100, 0.0), 5.0);
        assert_eq!(delay(40, 0.0), 40.0);
        assert_eq!(delay(40, 1.0), 30.0);
        assert_eq!(delay(100_000, 0.0), 300.0);
    }

    #[test]
    fn no_day_goes_without_an_announcement() {
        let day = TimeDelta::hours(24);
        assert_eq!(next_announcement_at(at(0), day, 0.0), at(86_400));
        assert_eq!(next_announcement_at(at(0), day, 1.0), at(77_760));
        assert_eq!(next_announcement_at(at(0), day, 7.0), at(77_760));
    }
}
