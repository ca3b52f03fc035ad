use std::time::Duration;

use airlift_bundle::{Kind, Refusal};
use airlift_proto::{AVAILABLE_TOPIC, AlertSource, Available, SignatureFailure, Topics};
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::{Firmware, FirmwareStatus, Task, TaskStatus};

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
        kind: bundle
            .map_or(Kind::Firmware, |bundle| bundle.kind)
            .as_str()
            .to_owned(),
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

/// Whether a device would take this firmware now: who is told of one that is refused is misled.
pub fn is_available(firmware: &Firmware, now: DateTime<Utc>) -> bool {
    let expires_at = firmware
        .bundle
        .as_ref()
        .and_then(|bundle| bundle.expires_at);
    firmware.status == FirmwareStatus::Released && expires_at.is_none_or(|at| now < at)
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
