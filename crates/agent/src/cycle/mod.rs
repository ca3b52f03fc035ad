//! One poll: what waits is told, commands are asked for, what is to change is planned and done.
//!
//! [`command`] is for what the server commands, [`update`] for one transaction from its first byte to
//! its last report, [`desk`] for what is kept until the server has it.

mod command;
mod desk;
mod update;
mod watch;

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use airlift_bundle::keys::TrustedKeys;
use serde::{Deserialize, Serialize};
use serde_json::json;

use self::desk::Desk;
pub use self::desk::device_version;
use crate::{
    clock,
    config::{Config, Updates},
    control::{Control, Heartbeat},
    disk::{Disk, none_if_missing},
    folders::Folders,
    http::Http,
    notify::Pulse,
    outbox::Outbox,
    plan::{self, Plan, Present, World},
    remote::Remote,
    stage,
    state::{State, StateError},
    transaction::{Finished, Limits, Outcome, UpdateError, Updater},
};

/// Longest wait before something that failed for want of space or of the server is tried again.
const PATIENCE_MAX: Duration = Duration::from_secs(15 * 60);

/// What one poll did, for people.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Summary {
    pub updated: Vec<String>,
    pub failed: Vec<String>,
    /// Versions that cannot be had.
    pub refused: Vec<String>,
    /// Servers that could not be asked.
    pub unreachable: Vec<String>,
    /// What comes later.
    pub waiting: Vec<String>,
}

impl Summary {
    pub fn is_good(&self) -> bool {
        self.failed.is_empty() && self.refused.is_empty() && self.unreachable.is_empty()
    }

    pub fn has_changed_something(&self) -> bool {
        !self.updated.is_empty() || !self.failed.is_empty()
    }
}

/// `poll.json`: what the last poll that found something new found, for `status`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Found {
    /// Package → its branch's highest version.
    pub heads: BTreeMap<String, String>,
    /// Package → why its highest version is not installed.
    pub refused: BTreeMap<String, String>,
    /// Package → why its server could not be asked.
    pub unreachable: BTreeMap<String, String>,
}

/// Nothing can be done before somebody, or a later poll, puts it right.
#[derive(Debug, thiserror::Error)]
pub enum CycleError {
    #[error(transparent)]
    State(#[from] StateError),
    #[error(transparent)]
    Update(#[from] UpdateError),
    #[error("the state folder {}: {error}", folder.display())]
    Folder { folder: PathBuf, error: io::Error },
}

/// The agent between two polls.
pub struct Cycle<'a> {
    pub config: &'a Config,
    pub folders: &'a Folders,
    pub disk: &'a Disk,
    pub http: &'a Http,
    /// Set: no new work is begun, and a download ends.
    pub stop: &'a AtomicBool,
    pub pulse: &'a Pulse,
    /// Before a download is tried the second time.
    pub pause: Duration,
    memory: Memory,
}

/// What is forgotten at a restart.
#[derive(Debug, Default)]
struct Memory {
    /// By what is to change: how often it failed for now, and until when it waits.
    patience: RefCell<BTreeMap<String, (u32, Instant)>>,
    /// The last update was undone: heartbeats say so until one succeeds.
    rolled_back: Cell<bool>,
    found: RefCell<Option<Found>>,
}

impl<'a> Cycle<'a> {
    pub fn new(
        config: &'a Config,
        folders: &'a Folders,
        disk: &'a Disk,
        http: &'a Http,
        stop: &'a AtomicBool,
        pulse: &'a Pulse,
    ) -> Self {
        Cycle {
            config,
            folders,
            disk,
            http,
            stop,
            pulse,
            pause: Duration::from_secs(1),
            memory: Memory::default(),
        }
    }

    /// Ends what a crash interrupted, and removes what is left over. Before anything else.
    pub fn recover(&self, summary: &mut Summary) -> Result<(), CycleError> {
        let desk = self.desk();
        if let Some(finished) = self.updater(&desk).recover()? {
            tracing::warn!(
                transaction = finished.transaction.id,
                "an interrupted update was ended"
            );
            self.note(&finished, summary);
            self.forget_under_way()
                .map_err(|it| self.folder_error(it))?;
        }
        self.sweep_releases()
    }

    fn sweep_releases(&self) -> Result<(), CycleError> {
        let used = stage::used(&State::load(self.folders)?, &self.config.packages);
        let swept = stage::sweep(self.folders, self.disk, &used);
        swept.map_err(|error| self.folder_error(error))
    }

    /// One poll.
    pub fn poll(&self) -> Result<Summary, CycleError> {
        let mut summary = Summary::default();
        self.pulse.beat();
        self.recover(&mut summary)?;
        self.take_retries()?;
        let control = self.control();
        self.tell(&control, &mut summary);
        match self.next_command(&control, &mut summary)? {
            Some(command) => self.execute(&control, &command, &mut summary)?,
            None if self.config.updates == Updates::Branch => {
                self.follow(&control, &mut summary)?;
            }
            None => {}
        }
        if summary.has_changed_something() {
            self.tell_outcome(&control, &mut summary);
        }
        Ok(summary)
    }

    /// Goes to the heads of the branches.
    fn follow(&self, control: &Control, summary: &mut Summary) -> Result<(), CycleError> {
        let remote = Remote::new(self.http);
        let world = self.world(&State::load(self.folders)?);
        let plan = match plan::follow(&world, &remote) {
            Ok(plan) => plan,
            Err(error) => {
                summary.unreachable.push(error.to_string());
                return Ok(());
            }
        };
        self.keep_found(&plan, summary);
        if plan.unknown.is_empty() {
            self.sweep_downloads(&plan);
        }
        if plan.transactions.is_empty() && plan.unknown.is_empty() {
            self.give_up_task(control, "nothing is to be done any more")?;
        }
        for offers in plan.transactions {
            if self.stop.load(Ordering::SeqCst) {
                break;
            }
            self.follow_one(control, &remote, offers, summary)?;
        }
        Ok(())
    }

    fn control(&self) -> Control<'a> {
        Control::new(
            self.http,
            self.config.server.as_deref(),
            &self.config.device,
        )
    }

    fn desk(&self) -> Desk<'a> {
        Desk {
            config: self.config,
            folders: self.folders,
            disk: self.disk,
            pulse: self.pulse,
        }
    }

    fn outbox(&self) -> Outbox<'a> {
        Outbox {
            folders: self.folders,
            disk: self.disk,
        }
    }

    fn updater<'b>(&'b self, desk: &'b Desk) -> Updater<'b> {
        Updater {
            folders: self.folders,
            disk: self.disk,
            limits: Limits {
                script: self.config.script_timeout,
                health: self.config.health_timeout,
                ..Limits::default()
            },
            device: &self.config.device,
            audience: desk,
            shell: Path::new("/bin/sh"),
        }
    }

    /// Read each time: keys come and go while the agent runs.
    fn trusted_keys(&self) -> Result<TrustedKeys, String> {
        match &self.config.trusted_keys {
            None => Ok(TrustedKeys::default()),
            Some(folder) => {
                TrustedKeys::read(folder).map_err(|error| format!("trustedKeys: {error}"))
            }
        }
    }

    /// What stands on the device: what the state says, else what the device JSON says and is there.
    fn world(&self, state: &State) -> World {
        let mut installed = BTreeMap::new();
        for listed in &self.config.packages {
            let is_there = !listed.version.is_empty()
                && !listed.local.is_empty()
                && fs::symlink_metadata(&listed.local).is_ok();
            if is_there {
                let present = Present {
                    content: listed.clone(),
                    digest: None,
                };
                installed.insert(listed.package.clone(), present);
            }
        }
        for (package, known) in &state.installed {
            let present = Present {
                content: known.content.clone(),
                digest: Some(known.content_digest.clone()),
            };
            installed.insert(package.clone(), present);
        }
        let failed = state.failed.iter();
        World {
            listed: self.config.packages.clone(),
            installed,
            failed: failed
                .map(|(package, it)| (package.clone(), it.content_digest.clone()))
                .collect(),
            downgrade: self.config.downgrade,
        }
    }

    /// Sends what waits, and a heartbeat.
    fn tell(&self, control: &Control, summary: &mut Summary) {
        let told = self.outbox().flush(control).and_then(|()| {
            let state = State::load(self.folders).unwrap_or_default();
            let world = self.world(&state);
            let versions = world.installed.iter();
            let versions = versions.map(|(name, it)| (name.clone(), json!(it.content.version)));
            let heartbeat = Heartbeat {
                device: &self.config.device,
                device_type: &self.config.device_type,
                version: &device_version(self.config, &state),
                report_seconds: self.config.poll.as_secs(),
                packages: versions.collect::<serde_json::Map<_, _>>().into(),
                rollback: self.memory.rolled_back.get(),
            };
            control.report(&heartbeat.report())
        });
        self.pulse.beat();
        if let Err(error) = told {
            summary.unreachable.push(format!("report: {error}"));
        }
    }

    /// The server believes an outcome by a heartbeat of a later second.
    fn tell_outcome(&self, control: &Control, summary: &mut Summary) {
        if self.config.server.is_none() {
            return;
        }
        let now = clock::unix_seconds();
        let patience = Instant::now() + Duration::from_secs(2);
        while clock::unix_seconds() == now && Instant::now() < patience {
            thread::sleep(Duration::from_millis(20));
        }
        self.tell(control, summary);
    }

    fn note(&self, finished: &Finished, summary: &mut Summary) {
        for warning in &finished.warnings {
            tracing::warn!("{warning}");
        }
        match &finished.outcome {
            Outcome::Updated => {
                self.memory.rolled_back.set(false);
                for step in &finished.transaction.steps {
                    let (name, to) = (&step.content.package, &step.content.version);
                    let from = step.from_version.as_deref().unwrap_or("none");
                    summary.updated.push(format!("{name} {from} → {to}"));
                    tracing::info!(package = name, from, to, "updated");
                }
            }
            Outcome::RolledBack(failure) => {
                self.memory.rolled_back.set(true);
                let (name, version, code) = (&failure.package, &failure.version, &failure.code);
                let line = format!("{name} {version}: {code}: {}", failure.message);
                tracing::error!("{line}");
                summary.failed.push(line);
            }
        }
    }

    /// Keeps what `status` shows, when it is new: flash wears out.
    fn keep_found(&self, plan: &Plan, summary: &mut Summary) {
        let refused = plan.refused.iter();
        let unknown = plan.unknown.iter();
        let found = Found {
            heads: plan.heads.clone(),
            refused: refused
                .map(|it| (it.package.clone(), it.message.clone()))
                .collect(),
            unreachable: unknown
                .map(|(name, it)| (name.clone(), it.to_string()))
                .collect(),
        };
        summary.refused.extend(found.refused.values().cloned());
        summary
            .unreachable
            .extend(found.unreachable.values().cloned());
        let mut last = self.memory.found.borrow_mut();
        if last.as_ref() == Some(&found) {
            return;
        }
        for why in found.refused.values().chain(found.unreachable.values()) {
            tracing::warn!("{why}");
        }
        let bytes = serde_json::to_vec_pretty(&found).unwrap_or_default();
        let path = found_file(self.folders);
        if fs::read(&path).ok().as_ref() != Some(&bytes)
            && let Err(error) = self.disk.write_synced(&path, &bytes, 0o644)
        {
            tracing::warn!(file = %path.display(), %error, "cannot be kept for status");
        }
        *last = Some(found);
    }

    fn sweep_downloads(&self, plan: &Plan) {
        let offers = plan.transactions.iter().flatten();
        let wanted: Vec<String> = offers.map(|it| it.content.sha256()).collect();
        if let Err(error) = stage::sweep_downloads(self.folders, self.disk, &wanted) {
            tracing::warn!(%error, "old downloads cannot be removed");
        }
    }

    /// Forgets failures that somebody said to forget.
    fn take_retries(&self) -> Result<(), CycleError> {
        let failed = |error| self.folder_error(error);
        let markers = none_if_missing(fs::read_dir(retry_folder(self.folders))).map_err(failed)?;
        let Some(markers) = markers else {
            return Ok(());
        };
        let mut state = State::load(self.folders)?;
        let mut paths = Vec::new();
        for marker in markers {
            let marker = marker.map_err(failed)?;
            let package = marker.file_name().to_string_lossy().into_owned();
            match package.as_str() {
                RETRY_ALL => state.failed.clear(),
                _ => {
                    state.failed.remove(&package);
                }
            }
            paths.push(marker.path());
        }
        if !paths.is_empty() {
            state.save(self.folders, self.disk)?;
            self.memory.patience.borrow_mut().clear();
        }
        for path in paths {
            self.disk.remove_if_there(&path).map_err(failed)?;
        }
        Ok(())
    }

    fn folder_error(&self, error: io::Error) -> CycleError {
        CycleError::Folder {
            folder: self.folders.root().to_owned(),
            error,
        }
    }
}

/// In [`retry_folder`]: all packages. No package can have this name.
pub const RETRY_ALL: &str = ".all";

/// Where `retry` leaves the names of packages for the agent that runs.
pub fn retry_folder(folders: &Folders) -> PathBuf {
    folders.root().join("retry")
}

pub fn found_file(folders: &Folders) -> PathBuf {
    folders.root().join("poll.json")
}
