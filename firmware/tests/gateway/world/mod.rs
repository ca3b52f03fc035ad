//! A world around the core that behaves as badly as the real one, and watches: storage that loses
//! what was not synced, a broker that loses what was not acknowledged, a server that lies, and a
//! power cut after any effect. Whatever the core does is held against the rules on the way.

mod files;
mod peers;

use std::collections::HashMap;

use airlift_firmware::*;
use airlift_proto::{error_code::DIGEST_MISMATCH, *};

pub use files::*;

pub const FIRST_VERSION: &str = "1.0.1";
pub const FIRST_IMAGE: &[u8] = b"the first image";

/// Stands in every event that comes too late.
pub const STALE: &str = "a stale event";
/// An HTTP status no server sends; stands in an answer that comes too late.
pub const STALE_STATUS: u16 = 999;

pub struct Fetching {
    pub job: JobId,
    pub offset: u64,
    pub etag: Option<String>,
    msg_id: String,
    /// Where the server is, once it answered.
    pub position: Option<u64>,
}

pub struct World {
    pub gateway: Gateway,
    saved_json: String,
    pub image: Vec<u8>,
    pub part: Option<Vec<u8>>,
    part_synced: Option<Vec<u8>>,
    pub connected: bool,
    pub fetching: Option<Fetching>,
    digesting: Option<JobId>,
    installing: Option<JobId>,
    pub unacked: Vec<(PublishId, Body)>,
    pub now_ms: u64,
    pub kinds: HashMap<String, FileKind>,
    pub battery: u8,
    /// The server and the digests tell the truth about good files.
    pub is_honest: bool,
    /// Power fails after so many more effects.
    pub cut_after: Option<usize>,
    pub notices: Vec<Notice>,
    /// Every progress report published, by upgrade.
    pub reports: HashMap<String, Vec<ProgressData>>,
    pub heartbeats: Vec<HeartbeatData>,
    /// After a `completed`: the only version a heartbeat may name.
    proven_version: Option<String>,
    completed_acked: Option<String>,
}

fn config() -> Config {
    Config {
        id: "GW".into(),
        heartbeat_ms: 30_000,
        image_bytes_max: 1_000_000,
    }
}

impl World {
    pub fn new() -> Self {
        let saved = Saved::new(FIRST_VERSION);
        let mut world = World {
            gateway: Gateway::new(config(), saved.clone(), 80),
            saved_json: serde_json::to_string(&saved).unwrap(),
            image: FIRST_IMAGE.to_vec(),
            part: None,
            part_synced: None,
            connected: false,
            fetching: None,
            digesting: None,
            installing: None,
            unacked: Vec::new(),
            now_ms: 0,
            kinds: HashMap::new(),
            battery: 80,
            is_honest: true,
            cut_after: None,
            notices: Vec::new(),
            reports: HashMap::new(),
            heartbeats: Vec::new(),
            proven_version: None,
            completed_acked: None,
        };
        world.boot();
        world
    }

    fn boot(&mut self) {
        let saved: Saved = serde_json::from_str(&self.saved_json).unwrap();
        let found = Found {
            part_bytes: self.part.as_ref().map(|part| part.len() as u64),
            running: saved.asks_running_digests().then(|| digests(&self.image)),
        };
        self.gateway = Gateway::new(config(), saved, self.battery);
        (self.fetching, self.digesting, self.installing) = (None, None, None);
        self.connected = false;
        self.unacked.clear();
        self.happens(Event::Boot(found));
    }

    /// What is not durable is gone, though its length may be there; the rest boots.
    pub fn power_cut(&mut self) {
        self.cut_after = None;
        self.part = self.part.take().map(|mut part| {
            let synced = self.part_synced.as_deref().unwrap_or(&[]);
            for (at, byte) in part.iter_mut().enumerate() {
                *byte = synced.get(at).copied().unwrap_or(0);
            }
            part
        });
        self.boot();
    }

    /// Someone deletes the partial download; then the power fails.
    pub fn lose_part(&mut self) {
        self.part = None;
        self.power_cut();
    }

    pub fn happens(&mut self, event: Event<'_>) {
        let now = Now {
            ms: self.now_ms,
            unix_seconds: 1_770_000_000,
            jitter: self.now_ms.wrapping_mul(0x9e37_79b9_7f4a_7c15),
        };
        for effect in step(&mut self.gateway, event, now) {
            match &mut self.cut_after {
                Some(0) => return self.power_cut(),
                Some(left) => *left -= 1,
                None => {}
            }
            if effect == Effect::Reboot {
                self.check_reboot();
                return self.boot();
            }
            self.perform(effect);
        }
    }

    fn perform(&mut self, effect: Effect<'_>) {
        match effect {
            Effect::Subscribe => assert!(self.connected),
            Effect::Publish {
                id,
                kind,
                retain,
                body,
            } => {
                assert!(self.connected, "published without a connection");
                assert_eq!(retain, kind == TopicKind::Status);
                self.check_publish(&body);
                self.unacked.push((id, body));
            }
            Effect::Save => {
                self.saved_json = serde_json::to_string(self.gateway.saved()).unwrap();
            }
            Effect::Fetch {
                job,
                url,
                offset,
                etag,
            } => {
                assert!(self.is_idle(), "a second job beside the first");
                assert_eq!(offset, self.part.as_ref().unwrap().len() as u64);
                self.fetching = Some(Fetching {
                    job,
                    offset,
                    etag,
                    msg_id: url.rsplit('/').next().unwrap().into(),
                    position: None,
                });
            }
            Effect::Stop(job) => {
                self.fetching.take_if(|fetching| fetching.job == job);
                self.digesting.take_if(|id| *id == job);
                assert_ne!(self.installing, Some(job), "an install cannot be stopped");
            }
            Effect::Write { offset, bytes } => {
                let part = self.part.as_mut().expect("write without a part");
                assert_eq!(part.len() as u64, offset, "a gap or an overlap");
                part.extend_from_slice(bytes);
                let active = self.gateway.saved().active.as_ref().unwrap();
                let size = active.order.upgrade.file_size;
                assert!(part.len() as u64 <= size, "more than announced was written");
            }
            Effect::Truncate { bytes } => {
                let part = self.part.get_or_insert_default();
                part.resize(bytes as usize, 0);
            }
            Effect::Sync => self.part_synced = self.part.clone(),
            Effect::Digest { job } => {
                assert!(self.is_idle(), "a second job beside the first");
                self.digesting = Some(job);
            }
            Effect::Install { job } => {
                assert!(self.is_idle(), "a second job beside the first");
                self.installing = Some(job);
            }
            Effect::Discard => self.part = None,
            Effect::Reboot => unreachable!("taken by the caller"),
            Effect::Tell(notice) => {
                if let Notice::Accepted { msg_id, .. } = &notice {
                    assert!(
                        self.end_of(msg_id).is_none(),
                        "{msg_id} began after its end"
                    );
                }
                self.notices.push(notice);
            }
        }
    }

    fn check_publish(&mut self, body: &Body) {
        match body {
            Body::Status(status) => assert!(status.firmware_version.is_some()),
            Body::Report(Report::Heartbeat(message)) => {
                if let Some(version) = &self.proven_version {
                    assert_eq!(
                        &message.data.firmware_version, version,
                        "looks like a rollback"
                    );
                }
                self.heartbeats.push(message.data.clone());
            }
            Body::Report(Report::Progress(message)) => {
                let msg_id = message.msg_id.clone().expect("a report names its upgrade");
                assert_eq!(message.uuid.as_deref(), Some("GW"));
                let target = message.data.target_version.clone();
                assert_eq!(target, Some(version_of(&msg_id)));
                let error = message.data.error_message.as_deref().unwrap_or_default();
                assert!(
                    !error.contains(STALE) && !error.contains("999"),
                    "a stale event counted"
                );
                let good = self.kinds.get(&msg_id) == Some(&FileKind::Good);
                let mismatch = message.data.error_code.as_deref() == Some(DIGEST_MISMATCH);
                assert!(
                    !(good && mismatch && self.is_honest),
                    "a good file came out wrong"
                );
                let reports = self.reports.entry(msg_id).or_default();
                if let Some(last) = reports.last() {
                    check_order(last, &message.data);
                }
                if message.data.state == ReportState::Completed && !reports.iter().any(is_final) {
                    self.proven_version = target;
                }
                reports.push(message.data.clone());
            }
        }
    }

    fn check_reboot(&self) {
        let version = &self.gateway.saved().version;
        assert_eq!(
            self.completed_acked.as_ref(),
            Some(version),
            "rebooted too early"
        );
    }

    pub fn is_idle(&self) -> bool {
        self.fetching.is_none() && self.digesting.is_none() && self.installing.is_none()
    }

    /// The last report of an upgrade, if it ended.
    pub fn end_of(&self, msg_id: &str) -> Option<&ProgressData> {
        self.reports
            .get(msg_id)?
            .iter()
            .find(|report| is_final(report))
    }
}

/// Progress never runs backwards, and an end stays the end.
fn check_order(last: &ProgressData, next: &ProgressData) {
    if is_final(last) {
        assert_eq!(last, next, "another report after the end");
    } else if next.state != ReportState::Failed {
        assert!(last.progress <= next.progress, "{last:?} then {next:?}");
        assert!(
            last.state as u8 <= next.state as u8,
            "{last:?} then {next:?}"
        );
    }
}
