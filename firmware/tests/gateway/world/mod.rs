//! A world around the core that behaves as badly as the real one, and watches: a flash that tears
//! what is under way when the power goes, a bootloader, a broker that loses what was not
//! acknowledged, a server that lies. Whatever boots and whatever is told is held against the rules.

mod bundles;
mod files;
mod flash;
mod page;
mod peers;
mod webs;

use std::collections::{HashMap, VecDeque};

use airlift_bundle::{DEVICE_TYPE_BYTES_MAX, TARGET_BYTES_MAX, TrustedKey};
use airlift_firmware::{
    flash::{image::ChipId, partition_table::*},
    *,
};
use airlift_proto::{error_code::DIGEST_MISMATCH, *};
use airlift_simflash::{App, Bootloader, Kind as Loader, SimFlash};

pub use bundles::*;
pub use files::*;
pub use flash::{Flash, Wear, second_cut_stride};
pub use page::{NOW, Peer, request_of};
pub use webs::*;

pub const FIRST_VERSION: &str = "1.0.1";
/// Stands in every event that comes too late.
pub const STALE: &str = "a stale event";
/// An HTTP status no server sends; stands in an answer that comes too late.
pub const STALE_STATUS: u16 = 999;
/// Starts in a row without an app that stays up: more is a brick.
const STARTS_MAX: u32 = 40;
const TABLE: &str = "\
nvs,      data, nvs,     0x9000,  0x5000
otadata,  data, ota,     0xe000,  0x2000
app0,     app,  ota_0,   0x10000, 0x10000
app1,     app,  ota_1,   0x20000, 0x10000
";
const TABLE_WITH_FACTORY: &str = "\
nvs,      data, nvs,     0x9000,  0x5000
otadata,  data, ota,     0xe000,  0x2000
factory,  app,  factory, 0x10000, 0x10000
app0,     app,  ota_0,   0x20000, 0x10000
app1,     app,  ota_1,   0x30000, 0x10000
";
const FLASH_BYTES: usize = 0x4_0000;
/// Where the partitions lie.
pub const NVS: std::ops::Range<u32> = 0x9000..0xE000;
pub const OTADATA: std::ops::Range<u32> = 0xE000..0x1_0000;
pub const SLOTS: std::ops::Range<u32> = 0x1_0000..0x4_0000;

/// How an image fails its trial.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Death {
    /// It dies before a line of the core ran.
    BeforeFirstAct,
    /// It dies as soon as the core has booted.
    AfterBoot,
    /// It never reaches the broker.
    NoNetwork,
}

pub struct Fetching {
    pub job: JobId,
    pub offset: u32,
    pub etag: Option<String>,
    msg_id: String,
    /// Where the server is, once it answered.
    pub position: Option<u64>,
}

/// A message under way to the broker.
#[expect(clippy::large_enum_variant, reason = "there are few of them")]
pub enum Sent {
    Status(Status),
    Report(Report),
}

/// What the gateway said it wants, with a copy of what it lent.
#[expect(clippy::large_enum_variant, reason = "there are few of them")]
enum Wish {
    Subscribe,
    Publish(PublishId, bool, Sent),
    Fetch(Fetching),
    Stop(JobId),
    Reboot,
    Tell(String),
}

/// A file on the server.
pub struct File {
    pub kind: FileKind,
    pub version: String,
    pub bytes: usize,
}

pub struct World {
    pub flash: Flash,
    pub loader: Bootloader,
    pub gateway: Option<Gateway<Flash>>,
    /// The version of the image that runs, by its bytes.
    pub running: String,
    pub connected: bool,
    pub fetching: Option<Fetching>,
    pub unacked: VecDeque<(PublishId, Sent)>,
    pub now_ms: u64,
    pub unix_seconds: i64,
    pub files: HashMap<String, File>,
    /// Manifests and signatures, by name.
    pub documents: HashMap<String, Document>,
    pub trusted_keys: heapless::Vec<TrustedKey, TRUSTED_KEYS_MAX>,
    pub device_type: heapless::String<DEVICE_TYPE_BYTES_MAX>,
    pub target: heapless::String<TARGET_BYTES_MAX>,
    pub webs: Webs,
    pub dies: HashMap<String, Death>,
    /// A good file cannot come out wrong.
    pub files_are_honest: bool,
    pub battery: u8,
    pub mark_step_bytes: u32,
    pub image_bytes: usize,
    /// Flash operations until the next cut, counted from the start after the one before.
    pub cuts: VecDeque<(u64, u64)>,
    pub cuts_fired: u32,
    /// Why the next start happens.
    reason: BootReason,
    /// The version of every image that was started.
    pub booted: Vec<String>,
    forgets: bool,
    pub notices: Vec<String>,
    /// Every progress report published, by upgrade.
    pub reports: HashMap<String, Vec<ProgressData>>,
    /// The same since the last start.
    reports_of_life: HashMap<String, Vec<ProgressData>>,
    pub heartbeats: Vec<HeartbeatData>,
    pub fetches: u32,
    /// Of files, not of documents.
    pub bytes_served: u64,
    /// Versions whose `completed` the broker has.
    pub completed_acked: Vec<String>,
}

impl World {
    pub fn new() -> Self {
        World::with(Loader::Stock, false)
    }

    pub fn with(kind: Loader, factory: bool) -> Self {
        let table = if factory { TABLE_WITH_FACTORY } else { TABLE };
        World::on(kind, table, FLASH_BYTES)
    }

    /// A board with this partition table.
    fn on(kind: Loader, table: &str, flash_bytes: usize) -> Self {
        let table = PartitionTable::from_csv(table).unwrap();
        let mut binary = [0; PARTITION_TABLE_BYTES];
        table.to_binary(&mut binary);
        let mut flash = SimFlash::new(flash_bytes);
        flash.load(PARTITION_TABLE_OFFSET, &binary);
        let first = table.factory().or(table.ota(0)).unwrap();
        flash.load(first.offset, &image_of(FIRST_VERSION, FIRST_BYTES));
        World {
            flash: Flash::new(flash),
            loader: Bootloader {
                kind,
                chip_id: CHIP_ID,
                images: airlift_simflash::Images::Esp,
            },
            gateway: None,
            running: String::new(),
            connected: false,
            fetching: None,
            unacked: VecDeque::new(),
            now_ms: 0,
            unix_seconds: SENT_AT,
            files: HashMap::new(),
            documents: HashMap::new(),
            trusted_keys: heapless::Vec::new(),
            device_type: heapless::String::new(),
            target: heapless::String::new(),
            webs: Webs::default(),
            dies: HashMap::new(),
            files_are_honest: true,
            battery: 80,
            mark_step_bytes: 4096,
            image_bytes: 9_008,
            cuts: VecDeque::new(),
            cuts_fired: 0,
            reason: BootReason::PowerOn,
            booted: Vec::new(),
            forgets: false,
            notices: Vec::new(),
            reports: HashMap::new(),
            reports_of_life: HashMap::new(),
            heartbeats: Vec::new(),
            fetches: 0,
            bytes_served: 0,
            completed_acked: Vec::new(),
        }
    }

    /// A world whose gateway has started.
    pub fn started() -> Self {
        let mut world = World::new();
        world.start();
        world
    }

    fn now(&mut self) -> Now {
        self.now_ms += 1;
        Now {
            ms: self.now_ms,
            unix_seconds: self.unix_seconds,
            jitter: self.now_ms.wrapping_mul(0x9e37_79b9_7f4a_7c15),
        }
    }

    fn config(&self) -> Config {
        Config {
            id: "GW".try_into().unwrap(),
            heartbeat_ms: 30_000,
            self_test_ms: 300_000,
            images: Images::App(ChipId(CHIP_ID)),
            first_version: "0.0.0".try_into().unwrap(),
            battery: self.battery,
            mark_step_bytes: self.mark_step_bytes,
            trusted_keys: self.trusted_keys.clone(),
            device_type: self.device_type.clone(),
            target: self.target.clone(),
        }
    }

    /// Power comes on; starts until an app stays up.
    pub fn start(&mut self) {
        (self.gateway, self.fetching) = (None, None);
        self.connected = false;
        self.unacked.clear();
        self.reports_of_life.clear();
        for _ in 0..STARTS_MAX {
            if self.try_start() {
                return;
            }
        }
        panic!("a brick: it starts again and again");
    }

    fn try_start(&mut self) -> bool {
        self.power();
        let Ok(booted) = self.loader.boot(&mut self.flash) else {
            return self.was_cut();
        };
        let running = match booted.app {
            App::Factory => Running::Factory,
            App::Ota(slot) => Running::Ota(slot),
            App::None => panic!("a brick: {:?}", booted.refused),
        };
        self.running = self.identify(booted.offset);
        self.booted.push(self.running.clone());
        let death = self.dies.get(&self.running).copied();
        let reason = std::mem::replace(&mut self.reason, BootReason::Watchdog);
        if death == Some(Death::BeforeFirstAct) {
            return false;
        }
        if std::mem::take(&mut self.forgets) {
            let blank = [0xFF; (NVS.end - NVS.start) as usize];
            self.flash.sim.borrow_mut().load(NVS.start, &blank);
        }
        let (flash, config, now) = (self.flash.clone(), self.config(), self.now());
        let boot = Boot { running, reason };
        let mut wishes = Vec::new();
        let out = &mut |effect: Effect<'_>| wishes.push(wish(effect));
        match Gateway::boot(&mut self.gateway, flash, config, boot, now, out) {
            _ if self.is_cut() => self.was_cut(),
            Ok(Booted::Run) => {
                self.check_state();
                if [death, self.web_death()].contains(&Some(Death::AfterBoot)) {
                    self.reason = BootReason::Panic;
                    return false;
                }
                self.grant(wishes);
                true
            }
            Ok(Booted::Reboot(_)) => {
                self.reason = BootReason::Software;
                false
            }
            Err(error) => panic!("the gateway does not boot: {error}"),
        }
    }

    /// Power is on; the next cut is armed.
    fn power(&mut self) {
        let mut flash = self.flash.sim.borrow_mut();
        if flash.is_cut() {
            flash.power_on();
            if let Some((after, seed)) = self.cuts.pop_front() {
                flash.cut_after(after, seed);
            }
        }
    }

    fn was_cut(&mut self) -> bool {
        assert!(self.is_cut());
        self.reason = BootReason::PowerOn;
        self.cuts_fired += 1;
        false
    }

    pub fn is_cut(&self) -> bool {
        self.flash.sim.borrow().is_cut()
    }

    /// The NVS is blank at the next start.
    pub fn forget_at_next_start(&mut self) {
        self.forgets = true;
    }

    /// The gateway crashes.
    pub fn crash(&mut self) {
        self.reason = BootReason::Panic;
        self.start();
    }

    /// The power goes now.
    pub fn power_cut(&mut self) {
        self.flash.sim.borrow_mut().cut_after(0, 0);
        self.was_cut();
        self.start();
    }

    /// Which image lies at `offset`: the first one or one that was announced, in every byte.
    fn identify(&self, offset: u32) -> String {
        let flash = self.flash.sim.borrow();
        let lies = |image: &[u8]| flash.bytes(offset, image.len()) == image;
        if lies(&image_of(FIRST_VERSION, FIRST_BYTES)) {
            return FIRST_VERSION.into();
        }
        let known = self
            .files
            .values()
            .find(|file| lies(&announced(&file.version, file.kind, file.bytes)));
        known
            .map(|file| file.version.clone())
            .unwrap_or_else(|| panic!("neither old nor new boots at {offset:#x}"))
    }

    pub fn happens(&mut self, event: Event<'_>) {
        let now = self.now();
        let Some(gateway) = &mut self.gateway else {
            return;
        };
        let mut wishes = Vec::new();
        let result = gateway.step(event, now, &mut |effect| wishes.push(wish(effect)));
        if self.is_cut() {
            self.was_cut();
            return self.start();
        }
        result.expect("the flash works");
        self.grant(wishes);
    }

    fn grant(&mut self, wishes: Vec<Wish>) {
        for wish in wishes {
            match wish {
                Wish::Subscribe => assert!(self.connected),
                Wish::Publish(id, retain, sent) => {
                    assert!(self.connected, "published without a connection");
                    assert_eq!(retain, matches!(sent, Sent::Status(_)));
                    self.check_publish(&sent);
                    self.unacked.push_back((id, sent));
                }
                Wish::Fetch(fetching) => {
                    assert!(self.is_idle(), "a second fetch beside the first");
                    self.fetches += 1;
                    self.fetching = Some(fetching);
                }
                Wish::Stop(job) => {
                    self.fetching.take_if(|fetching| fetching.job == job);
                }
                Wish::Reboot => {
                    self.reason = BootReason::Software;
                    return self.start();
                }
                Wish::Tell(notice) => self.notices.push(notice),
            }
        }
    }

    fn check_publish(&mut self, sent: &Sent) {
        match sent {
            Sent::Status(status) => assert!(status.firmware_version.is_some()),
            Sent::Report(Report::Heartbeat(message)) => {
                let version = &message.data.firmware_version;
                assert!(self.is_version(version), "{version} is not what runs");
                self.heartbeats.push(message.data.clone());
            }
            Sent::Report(Report::Progress(message)) => {
                let msg_id = message.msg_id.clone().expect("a report names its upgrade");
                assert_eq!(message.uuid.as_deref(), Some("GW"));
                let error = message.data.error_message.as_deref().unwrap_or_default();
                let is_stale = error.contains(STALE) || error.contains("answered 999");
                assert!(!is_stale, "a stale event counted");
                let kind = self.files.get(&msg_id).map(|file| file.kind);
                let mismatch = message.data.error_code.as_deref() == Some(DIGEST_MISMATCH);
                let is_wrong = self.files_are_honest && kind == Some(FileKind::Good) && mismatch;
                assert!(!is_wrong, "a good file came out wrong: {error}");
                let life = self.reports_of_life.entry(msg_id.clone()).or_default();
                if let Some(last) = life.last() {
                    check_order(last, &message.data);
                }
                life.push(message.data.clone());
                let reports = self.reports.entry(msg_id).or_default();
                if let Some(end) = reports.iter().find(|report| is_final(report)) {
                    // The version that runs is another one after the reboot.
                    let mut again = message.data.clone();
                    again.current_version = end.current_version.clone();
                    assert_eq!(end, &again, "another report after the end");
                }
                reports.push(message.data.clone());
            }
        }
    }

    pub fn is_idle(&self) -> bool {
        self.fetching.is_none()
    }

    /// The last report of an upgrade, if it ended.
    pub fn end_of(&self, msg_id: &str) -> Option<&ProgressData> {
        let mut reports = self.reports.get(msg_id)?.iter();
        reports.find(|report| is_final(report))
    }

    pub fn saved(&self) -> &Saved {
        self.gateway.as_ref().expect("it runs").saved()
    }

    pub fn is_told(&self, part: &str) -> bool {
        self.notices.iter().any(|notice| notice.contains(part))
    }
}

/// Bytes of the first image.
const FIRST_BYTES: usize = 4_992;

fn wish(effect: Effect<'_>) -> Wish {
    match effect {
        Effect::Subscribe => Wish::Subscribe,
        Effect::Publish {
            id,
            kind,
            retain,
            payload,
            ..
        } => {
            assert!(payload.len() <= MESSAGE_BYTES_MAX);
            let sent = match kind {
                TopicKind::Status => Sent::Status(serde_json::from_slice(payload).unwrap()),
                TopicKind::Report => Sent::Report(serde_json::from_slice(payload).unwrap()),
                TopicKind::Command => panic!("a gateway gives no commands"),
            };
            Wish::Publish(id, retain, sent)
        }
        Effect::Fetch {
            job,
            url,
            offset,
            etag,
        } => Wish::Fetch(Fetching {
            job,
            offset,
            etag: etag.map(str::to_owned),
            msg_id: url.rsplit('/').next().unwrap().into(),
            position: None,
        }),
        Effect::Stop(job) => Wish::Stop(job),
        Effect::Reboot => Wish::Reboot,
        Effect::Tell(notice) => Wish::Tell(notice.to_string()),
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
