//! The gateway: what it is, and which rule answers which event.

use alloc::{format, string::String, vec::Vec};

use airlift_proto::{Command, Status, TopicKind};

use crate::{
    Body, Effect, Event, Found, JobId, Notice, Now, Phase, PublishId, Saved, outbox::InFlight,
};

/// What stays the same while a gateway runs.
#[derive(Clone, Debug)]
pub struct Config {
    /// The gateway's id.
    pub id: String,
    /// Time between two heartbeats, milliseconds.
    pub heartbeat_ms: u64,
    /// Largest image the storage takes, bytes.
    pub image_bytes_max: u64,
}

/// A running gateway. All of it but [`Saved`] is gone after a crash.
#[derive(Debug)]
pub struct Gateway {
    pub(crate) config: Config,
    pub(crate) saved: Saved,
    /// Version of the image that runs; differs from `saved.version` between install and reboot.
    pub(crate) running_version: String,
    pub(crate) boot_reason: BootReason,
    /// Percent.
    pub(crate) battery: u8,
    pub(crate) connected: bool,
    pub(crate) publish_last: u32,
    /// The newest report of each upgrade that the broker has not acknowledged.
    pub(crate) in_flight: Vec<InFlight>,
    pub(crate) heartbeat_due_ms: u64,
    pub(crate) proof: Proof,
    pub(crate) job: Job,
    pub(crate) job_last: u32,
    /// Bytes of the partial download, durable or not.
    pub(crate) received: u64,
    /// The most bytes there ever were, so that starting over does not pass for progress.
    pub(crate) received_max: u64,
    /// Attempts in a row that added nothing to `received_max`.
    pub(crate) failures: u32,
    pub(crate) restart: Restart,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BootReason {
    PowerOn,
    Ota,
}

impl BootReason {
    pub(crate) fn word(self) -> &'static str {
        match self {
            BootReason::PowerOn => "power_on",
            BootReason::Ota => "ota",
        }
    }
}

/// The heartbeat that proves that an update runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Proof {
    /// No update to prove, or it is proven.
    None,
    Owed,
    Sent(PublishId),
}

/// The one thing under way. Every id is used once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Job {
    None,
    /// Until the next attempt to download.
    Waiting {
        until_ms: u64,
    },
    Fetching {
        id: JobId,
        /// The head of the answer came and was good.
        answered: bool,
    },
    Digesting(JobId),
    Installing(JobId),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Restart {
    No,
    /// The image is installed; the reboot waits until the broker has `completed` of this upgrade.
    /// No heartbeat goes out meanwhile: after `completed`, one with the old version means a
    /// rollback.
    AwaitsAck {
        msg_id: String,
    },
    /// Rebooting or shutting down; nothing counts any more.
    Halted,
}

impl Gateway {
    /// A gateway about to boot. The first event must be [`Event::Boot`].
    pub fn new(config: Config, saved: Saved, battery: u8) -> Self {
        Gateway {
            config,
            running_version: saved.version.clone(),
            saved,
            boot_reason: BootReason::PowerOn,
            battery,
            connected: false,
            publish_last: 0,
            in_flight: Vec::new(),
            heartbeat_due_ms: 0,
            proof: Proof::None,
            job: Job::None,
            job_last: 0,
            received: 0,
            received_max: 0,
            failures: 0,
            restart: Restart::No,
        }
    }

    /// What [`Effect::Save`] makes durable.
    pub fn saved(&self) -> &Saved {
        &self.saved
    }

    /// When the gateway wants [`Event::Tick`], on [`Now::ms`]'s clock; `None` if only an event from
    /// outside can move it.
    pub fn wake_ms(&self) -> Option<u64> {
        if self.restart == Restart::Halted {
            return None;
        }
        let heartbeat =
            (self.connected && self.restart == Restart::No).then_some(self.heartbeat_due_ms);
        let retry = match self.job {
            Job::Waiting { until_ms } => Some(until_ms),
            _ => None,
        };
        heartbeat.into_iter().chain(retry).min()
    }

    /// The gateway's status message; with `online` false it is also its last will.
    pub fn status(&self, online: bool) -> Status {
        Status {
            online,
            firmware_version: Some(self.running_version.clone()),
        }
    }
}

/// Takes one event, changes the gateway, and answers what is to be done about it, in order.
pub fn step<'e>(gateway: &mut Gateway, event: Event<'e>, now: Now) -> Vec<Effect<'e>> {
    let mut turn = Turn {
        gateway,
        now,
        effects: Vec::new(),
    };
    turn.take(event);
    turn.effects
}

/// One event being answered.
pub(crate) struct Turn<'g, 'e> {
    pub(crate) gateway: &'g mut Gateway,
    pub(crate) now: Now,
    pub(crate) effects: Vec<Effect<'e>>,
}

impl<'e> Turn<'_, 'e> {
    fn take(&mut self, event: Event<'e>) {
        if self.gateway.restart == Restart::Halted {
            return;
        }
        match event {
            Event::Boot(found) => self.boot(found),
            Event::Connected => self.connected(),
            Event::Disconnected => {
                self.gateway.connected = false;
                self.gateway.in_flight.clear();
                if let Proof::Sent(_) = self.gateway.proof {
                    self.gateway.proof = Proof::Owed;
                }
            }
            Event::Acked(id) => self.acked(id),
            Event::Command(Command::Upgrade(message)) => self.upgrade(message),
            Event::Command(Command::Cancel(message)) => self.cancel(&message.data.msg_id),
            Event::Battery(percent) => self.gateway.battery = percent,
            Event::Answer { job, answer } if self.is_fetching(job) => self.answer(job, answer),
            Event::Chunk { job, bytes } if self.is_fetching(job) => self.chunk(job, bytes),
            Event::FetchEnded { job, reason } if self.is_fetching(job) => self.fetch_ended(reason),
            Event::FetchImpossible { job, reason } if self.is_fetching(job) => {
                self.fetch_impossible(&reason);
            }
            Event::Digested { job, digests } if self.gateway.job == Job::Digesting(job) => {
                self.digested(&digests);
            }
            Event::Installed { job } if self.gateway.job == Job::Installing(job) => {
                self.installed();
            }
            Event::StorageFailed { job, reason } if job.is_none() || job == self.current_job() => {
                self.storage_failed(&reason);
            }
            Event::Answer { .. }
            | Event::Chunk { .. }
            | Event::FetchEnded { .. }
            | Event::FetchImpossible { .. }
            | Event::Digested { .. }
            | Event::Installed { .. }
            | Event::StorageFailed { .. } => {}
            Event::Tick => self.tick(),
            Event::Shutdown => self.shutdown(),
        }
    }

    fn boot(&mut self, found: Found) {
        let gateway = &mut *self.gateway;
        if gateway.saved.fresh_image {
            gateway.saved.fresh_image = false;
            gateway.boot_reason = BootReason::Ota;
            gateway.proof = Proof::Owed;
        }
        self.finish_interrupted_install(&found);
        self.tell(Notice::Booted {
            version: self.gateway.running_version.clone(),
            boot_reason: self.gateway.boot_reason.word(),
        });
        self.effects.push(Effect::Save);
        if self.gateway.saved.active.is_some() {
            self.resume(found.part_bytes);
            return;
        }
        if found.part_bytes.is_some() {
            self.effects.push(Effect::Discard);
        }
        self.begin_next();
    }

    fn connected(&mut self) {
        self.gateway.connected = true;
        self.gateway.in_flight.clear();
        self.effects.push(Effect::Subscribe);
        self.publish_status(true);
        // Reports before the heartbeat: the server takes a heartbeat as proof of an update only
        // after it has `completed`.
        self.publish_owed_reports();
        if self.gateway.restart == Restart::No {
            self.heartbeat();
        }
    }

    fn tick(&mut self) {
        let gateway = &*self.gateway;
        let now_ms = self.now.ms;
        if gateway.connected && gateway.restart == Restart::No && now_ms >= gateway.heartbeat_due_ms
        {
            self.heartbeat();
        }
        if let Job::Waiting { until_ms } = self.gateway.job
            && now_ms >= until_ms
        {
            self.fetch();
        }
    }

    fn shutdown(&mut self) {
        if let Some(job) = self.current_job() {
            // An install is left to end by itself; the next boot sees which image is there.
            if !matches!(self.gateway.job, Job::Installing(_)) {
                self.effects.push(Effect::Stop(job));
            }
        }
        self.checkpoint();
        self.publish_status(false);
        self.gateway.restart = Restart::Halted;
    }

    /// Says goodbye and restarts into what was saved.
    pub(crate) fn reboot(&mut self) {
        self.tell(Notice::Rebooting);
        self.publish_status(false);
        self.effects.push(Effect::Reboot);
        self.gateway.restart = Restart::Halted;
    }

    /// Makes durable how far the download is, if that changed.
    pub(crate) fn checkpoint(&mut self) {
        let received = self.gateway.received;
        if let Some(active) = &mut self.gateway.saved.active
            && active.phase == Phase::Downloading
            && active.offset != received
        {
            active.offset = received;
            self.effects.extend([Effect::Sync, Effect::Save]);
        }
    }

    pub(crate) fn next_job(&mut self) -> JobId {
        self.gateway.job_last = self.gateway.job_last.wrapping_add(1);
        JobId(self.gateway.job_last)
    }

    pub(crate) fn current_job(&self) -> Option<JobId> {
        match self.gateway.job {
            Job::None | Job::Waiting { .. } => None,
            Job::Fetching { id, .. } | Job::Digesting(id) | Job::Installing(id) => Some(id),
        }
    }

    fn is_fetching(&self, job: JobId) -> bool {
        matches!(self.gateway.job, Job::Fetching { id, .. } if id == job)
    }

    pub(crate) fn publish_status(&mut self, online: bool) {
        let status = self.gateway.status(online);
        self.publish(TopicKind::Status, Body::Status(status));
    }

    pub(crate) fn tell(&mut self, notice: Notice) {
        self.effects.push(Effect::Tell(notice));
    }

    pub(crate) fn ignore(&mut self, what: &str, why: &str) {
        self.tell(Notice::Ignored {
            reason: format!("{what}: {why}"),
        });
    }
}
