use std::{
    collections::BTreeMap,
    path::{Component, Path, PathBuf},
    time::Instant,
};

use airlift_package::Content;
use airlift_proto::{ReportState, error_code};

use super::{Cycle, CycleError, PATIENCE_MAX, Summary, command::UnderWay, desk, watch::Teller};
use crate::{
    clock,
    control::{Begun, Control, INSTALLING_PERCENT, NewTask, PackageChange},
    plan::Offer,
    remote::{Remote, file_url},
    signature,
    stage::{
        self, StageError, Trouble,
        download::{Download, Wanted},
        unpack::Unpack,
    },
    state::{FailedVersion, State, may_pass},
    transaction::{Outcome, Step, Transaction},
};

/// For whom an update is done, and where its leading package is if not in the usual places.
#[derive(Clone, Debug, Default)]
pub struct Errand {
    pub msg_id: Option<String>,
    pub file_url: Option<String>,
    pub signature_url: Option<String>,
}

impl Cycle<'_> {
    /// Begins an update on the device's own account, and does it.
    pub(super) fn follow_one(
        &self,
        control: &Control,
        remote: &Remote,
        offers: Vec<Offer>,
        summary: &mut Summary,
    ) -> Result<(), CycleError> {
        let key = key(&offers);
        if self.is_waiting(&key) {
            let names = names(&offers);
            summary
                .waiting
                .push(format!("{names}: is tried again later"));
            return Ok(());
        }
        let task = self.task(&offers, &State::load(self.folders)?);
        self.pulse.beat();
        let mut begun = control.begin(&task);
        self.pulse.beat();
        if matches!(begun, Ok(Begun::Busy(_))) && self.under_way().is_some() {
            self.give_up_task(control, "another version came meanwhile")?;
            begun = control.begin(&task);
        }
        let msg_id = match begun {
            Ok(Begun::Task(msg_id)) => Some(msg_id),
            Ok(Begun::Untold) => None,
            Ok(Begun::Busy(why)) => {
                summary.waiting.push(format!("{}: {why}", names(&offers)));
                return Ok(());
            }
            Err(error) => {
                summary.unreachable.push(format!("task: {error}"));
                return Ok(());
            }
        };
        if let Some(msg_id) = &msg_id {
            self.keep_under_way(&UnderWay::Task(msg_id.clone()))?;
        }
        let errand = Errand {
            msg_id,
            ..Errand::default()
        };
        self.update(control, remote, offers, &errand, summary)
    }

    /// One transaction, from its first byte to its last report.
    pub(super) fn update(
        &self,
        control: &Control,
        remote: &Remote,
        offers: Vec<Offer>,
        errand: &Errand,
        summary: &mut Summary,
    ) -> Result<(), CycleError> {
        let key = key(&offers);
        self.pulse.status(&format!("updates {}", names(&offers)));
        let state = State::load(self.folders)?;
        let mut transaction = self.transaction(&offers, &state, errand);
        let staged = self.stage(control, remote, &offers, errand, &state, &mut transaction);
        let ended = match staged {
            Ok(()) => {
                let desk = self.desk();
                let finished = self.updater(&desk).run(transaction)?;
                match finished.outcome {
                    Outcome::Updated => {
                        self.memory.patience.borrow_mut().remove(&key);
                    }
                    // What is not this version's fault is tried again, but not at once.
                    Outcome::RolledBack(_) => self.wait_longer(key),
                }
                self.note(&finished, summary);
                true
            }
            Err((_, StageError::Stopped)) => {
                summary
                    .waiting
                    .push(format!("{}: goes on at the next start", names(&offers)));
                false
            }
            Err((_, StageError::Cancelled)) => {
                summary
                    .failed
                    .push(format!("{}: the server cancelled it", names(&offers)));
                self.cancel(errand.msg_id.as_deref().unwrap_or_default())?;
                self.sweep_downloads(&[]);
                true
            }
            Err((place, StageError::Trouble(trouble))) => {
                self.fail(&transaction, &offers[place], &trouble, summary)?;
                self.wait_longer(key);
                true
            }
        };
        self.pulse.status("waits");
        self.sweep_releases()?;
        match ended {
            true => self.forget_under_way().map_err(|it| self.folder_error(it)),
            false => Ok(()),
        }
    }

    /// Checks, fetches and unpacks all files; what goes wrong comes with whose fault it is.
    fn stage(
        &self,
        control: &Control,
        remote: &Remote,
        offers: &[Offer],
        errand: &Errand,
        state: &State,
        transaction: &mut Transaction,
    ) -> Result<(), (usize, StageError)> {
        for (place, offer) in offers.iter().enumerate() {
            let checked = self.check(remote, offer, transaction, place, errand);
            checked.map_err(|trouble| (place, trouble.into()))?;
        }
        let versions = desk::versions(self.config, state, transaction);
        let count = offers.len() as u64;
        let msg_id = errand.msg_id.clone();
        let mut teller = Teller::new(control, self.pulse, msg_id, versions, count);
        let download = Download {
            http: self.http,
            folders: self.folders,
            disk: self.disk,
            stop: self.stop,
            pause: self.pause,
        };
        let wanted: Vec<Wanted> = offers.iter().map(|it| self.wanted(it, errand)).collect();
        let mut files = Vec::new();
        for (place, wanted) in wanted.iter().enumerate() {
            teller.file = place as u64;
            let fetched = download.run(wanted, &mut teller);
            files.push(fetched.map_err(|error| (place, error))?);
        }
        teller.say(ReportState::Verifying, 95);
        let mut used = stage::used(state, &self.config.packages);
        for (place, (wanted, file)) in wanted.iter().zip(files).enumerate() {
            // Gone if a package before it had the same file.
            let file = match file.exists() {
                true => Ok(file),
                false => download.run(wanted, &mut teller),
            };
            let unpacked = file.and_then(|file| {
                let release = self.unpack(wanted, &file, transaction, place, &used)?;
                used.push(release.clone());
                transaction.steps[place].release = release;
                Ok(())
            });
            unpacked.map_err(|error| (place, error))?;
        }
        let cancelled = teller.check_cancelled();
        cancelled.map_err(|error| (0, error))?;
        if self.stop.load(std::sync::atomic::Ordering::SeqCst) {
            return Err((0, StageError::Stopped));
        }
        teller.say(ReportState::Installing, INSTALLING_PERCENT);
        Ok(())
    }

    fn unpack(
        &self,
        wanted: &Wanted,
        file: &Path,
        transaction: &Transaction,
        place: usize,
        used: &[PathBuf],
    ) -> Result<PathBuf, Trouble> {
        let sha256 = &wanted.sha256;
        let release = stage::free_release(self.folders, self.disk, used, sha256);
        let release = release.map_err(|error| {
            Trouble::new(
                error_code::UNPACK_FAILED,
                format!("{}: {error}", wanted.name),
            )
        })?;
        let local = &transaction.steps[place].content.local;
        let mut unpack = Unpack {
            disk: self.disk,
            file,
            release: &release,
            local: Path::new(local),
            name: &wanted.name,
            beat: &mut || self.pulse.beat(),
        };
        unpack.run()
    }

    /// What must be right before any download.
    fn check(
        &self,
        remote: &Remote,
        offer: &Offer,
        transaction: &Transaction,
        place: usize,
        errand: &Errand,
    ) -> Result<(), Trouble> {
        self.pulse.beat();
        let name = name(offer);
        let content = &transaction.steps[place].content;
        if content.sha256.is_empty() {
            let message = format!("{name}: its content.json names no sha256; push it again");
            return Err(Trouble::new(error_code::INVALID_MANIFEST, message));
        }
        self.check_local(content, transaction)?;
        if !self.config.require_signature {
            return Ok(());
        }
        let keys = self.trusted_keys();
        let keys = keys.map_err(|error| Trouble::new(error_code::INSTALL_FAILED, error))?;
        let signature = match self
            .is_leading(offer, errand)
            .then_some(&errand.signature_url)
        {
            Some(Some(url)) => self.http.get(url).and_then(|it| it.ok(url)).map(Some),
            _ => remote.signature(offer),
        };
        let signature = signature.map_err(|error| {
            let message = format!("{name}: its signature could not be fetched: {error}");
            Trouble::new(error_code::DOWNLOAD_FAILED, message)
        })?;
        signature::check(&name, &offer.bytes, signature.as_deref(), &keys)
    }

    /// Two packages in one place would take each other away.
    fn check_local(&self, content: &Content, transaction: &Transaction) -> Result<(), Trouble> {
        let wrong = |why: String| {
            let (package, version) = (&content.package, &content.version);
            let message = format!("{package} {version}: local {:?} {why}", content.local);
            Trouble::new(error_code::INVALID_MANIFEST, message)
        };
        let local = Path::new(&content.local);
        let is_plain = local.is_absolute()
            && local.file_name().is_some()
            && local.components().all(|it| it != Component::ParentDir);
        if !is_plain {
            let why = "is no absolute path; set it in content.json or in the device JSON";
            return Err(wrong(why.into()));
        }
        let listed = self.config.packages.iter();
        let others = listed.chain(transaction.steps.iter().map(|step| &step.content));
        for other in others.filter(|it| it.package != content.package && !it.local.is_empty()) {
            let place = Path::new(&other.local);
            if place.starts_with(local) || local.starts_with(place) {
                return Err(wrong(format!(
                    "is not apart from that of {}; give one of them another place",
                    other.package
                )));
            }
        }
        if self.folders.root().starts_with(local) || local.starts_with(self.folders.root()) {
            return Err(wrong("is where the agent keeps its own files".into()));
        }
        Ok(())
    }

    /// Reports and remembers what kept a transaction from beginning.
    fn fail(
        &self,
        transaction: &Transaction,
        offer: &Offer,
        trouble: &Trouble,
        summary: &mut Summary,
    ) -> Result<(), CycleError> {
        let line = format!("{}: {trouble}", trouble.code);
        tracing::error!("{line}");
        summary.failed.push(line);
        if !may_pass(trouble.code) {
            let mut state = State::load(self.folders)?;
            let failed = FailedVersion {
                content_digest: offer.digest.clone(),
                version: offer.content.version.clone(),
                code: trouble.code.to_owned(),
                message: trouble.message.clone(),
                failed_at: clock::unix_seconds(),
            };
            state.failed.insert(offer.content.package.clone(), failed);
            state.save(self.folders, self.disk)?;
        }
        let (code, message) = (Some(trouble.code), Some(trouble.message.as_str()));
        let desk = self.desk();
        let kept = desk.keep(transaction, ReportState::Failed, 0, code, message);
        kept.map_err(|error| self.folder_error(error))
    }

    fn transaction(&self, offers: &[Offer], state: &State, errand: &Errand) -> Transaction {
        let world = self.world(state);
        let from = |name: &str| {
            let present = world.installed.get(name)?;
            Some(present.content.version.clone())
        };
        let steps = offers.iter().map(|offer| Step {
            content: self.content(offer),
            content_digest: offer.digest.clone(),
            from_version: from(&offer.content.package),
            release: PathBuf::new(),
        });
        Transaction {
            id: format!("{}-{:016x}", clock::unix_seconds(), fastrand::u64(..)),
            msg_id: errand.msg_id.clone(),
            steps: steps.collect(),
        }
    }

    /// Where a package stands and where it comes from is for the device to say.
    fn content(&self, offer: &Offer) -> Content {
        let mut content = offer.content.clone();
        content.remote = offer.source.remote.clone();
        if let Some(listed) = self.config.listed(&content.package)
            && !listed.local.is_empty()
        {
            content.local = listed.local.clone();
        }
        content
    }

    fn wanted(&self, offer: &Offer, errand: &Errand) -> Wanted {
        let sha256 = offer.content.sha256();
        let usual = file_url(&offer.source, &sha256);
        let commanded = errand.file_url.clone();
        Wanted {
            url: commanded
                .filter(|_| self.is_leading(offer, errand))
                .unwrap_or(usual),
            sha256,
            name: name(offer),
        }
    }

    /// Commands are about the device's first package.
    fn is_leading(&self, offer: &Offer, errand: &Errand) -> bool {
        errand.file_url.is_some() && offer.content.package == self.config.packages[0].package
    }

    fn task(&self, offers: &[Offer], state: &State) -> NewTask {
        let transaction = self.transaction(offers, state, &Errand::default());
        let (from_version, to_version) = desk::versions(self.config, state, &transaction);
        let leading = offers.last().map(|it| &it.content);
        let text = |of: fn(&Content) -> &String| leading.map(of).cloned().unwrap_or_default();
        let packages = transaction.steps.into_iter().map(|step| PackageChange {
            name: step.content.package,
            from_version: step.from_version,
            to_version: step.content.version,
        });
        NewTask {
            name: text(|it| &it.package),
            branch: text(|it| &it.branch),
            version: text(|it| &it.version),
            from_version,
            to_version,
            packages: packages.collect(),
        }
    }

    fn is_waiting(&self, key: &str) -> bool {
        let patience: &BTreeMap<_, _> = &self.memory.patience.borrow();
        patience
            .get(key)
            .is_some_and(|(_, until)| *until > Instant::now())
    }

    fn wait_longer(&self, key: String) {
        let mut patience = self.memory.patience.borrow_mut();
        let (times, until) = patience.entry(key).or_insert((0, Instant::now()));
        let pause = self.config.poll.saturating_mul(1 << (*times).min(16));
        *times += 1;
        *until = Instant::now() + pause.min(PATIENCE_MAX);
    }
}

fn name(offer: &Offer) -> String {
    format!("{} {}", offer.content.package, offer.content.version)
}

fn names(offers: &[Offer]) -> String {
    let names: Vec<String> = offers.iter().map(name).collect();
    names.join(", ")
}

fn key(offers: &[Offer]) -> String {
    let digests: Vec<&str> = offers.iter().map(|it| it.digest.as_str()).collect();
    digests.join(" ")
}
