//! The gateway: what it is, how it boots, and which rule answers which event.

use airlift_bundle::{DEVICE_TYPE_BYTES_MAX, Release, TARGET_BYTES_MAX, TrustedKey};
use airlift_proto::{GATEWAY_ID_LENGTH_MAX, Status};
use embedded_storage::nor_flash::NorFlash;
use heapless::Vec;

use crate::{
    BootReason, Broken, Effect, Event, Images, JobId, MSG_ID_BYTES_MAX, Notice, Now, PublishId,
    TRUSTED_KEYS_MAX, VERSION_BYTES_MAX,
    attempts::Attempts,
    authenticate::Authentication,
    download::Download,
    flash::partition_table::Partition,
    local::Local,
    ota::Ota,
    outbox::{IN_FLIGHT_MAX, InFlight},
    saved::{Memory, Saved},
    text::Text,
    trial, wire,
};

/// What stays the same while a gateway runs.
#[derive(Clone, Debug)]
pub struct Config {
    /// The gateway's id.
    pub id: Text<GATEWAY_ID_LENGTH_MAX>,
    /// Time between two heartbeats, milliseconds.
    pub heartbeat_ms: u64,
    /// How long a new image may take to prove itself, milliseconds.
    pub self_test_ms: u64,
    pub images: Images,
    /// The version where nothing tells it: no upgrade yet, and no app descriptor in the image.
    pub first_version: Text<VERSION_BYTES_MAX>,
    /// Percent.
    pub battery: u8,
    /// The download's place is made durable each time so many bytes have come: what a power cut
    /// costs at most, against wear. [`crate::MARK_STEP_BYTES`] suits a board.
    pub mark_step_bytes: u32,
    /// Whose bundles are taken; with none, anyone's, and plain images too.
    pub trusted_keys: Vec<TrustedKey, TRUSTED_KEYS_MAX>,
    /// What bundles must be for; empty: anything.
    pub device_type: Text<DEVICE_TYPE_BYTES_MAX>,
    /// The board that bundles must be for; empty: any.
    pub target: Text<TARGET_BYTES_MAX>,
}

/// A running gateway. What counts after a crash lies in the flash.
pub struct Gateway<F> {
    pub(crate) config: Config,
    pub(crate) ota: Ota<F>,
    pub(crate) memory: Memory,
    pub(crate) saved: Saved,
    /// The version that runs.
    pub(crate) version: Text<VERSION_BYTES_MAX>,
    pub(crate) boot_reason: BootReason,
    /// Percent.
    pub(crate) battery: u8,
    /// Bytes.
    pub(crate) free_heap: Option<u32>,
    /// dBm.
    pub(crate) rssi: Option<i8>,
    pub(crate) connected: bool,
    pub(crate) publish_last: u32,
    /// The newest report of each upgrade that the broker has not acknowledged.
    pub(crate) in_flight: Vec<InFlight, IN_FLIGHT_MAX>,
    pub(crate) heartbeat_due_ms: u64,
    pub(crate) proof: Proof,
    /// When a new image must have proven itself.
    pub(crate) proof_until_ms: u64,
    /// Heartbeats of this boot say that an image was rolled back.
    pub(crate) tells_rollback: bool,
    pub(crate) rollback_told_by: Option<PublishId>,
    pub(crate) job: Job,
    pub(crate) job_last: u32,
    pub(crate) attempts: Attempts,
    /// A bundle is being looked at.
    pub(crate) authentication: Option<Authentication>,
    /// What the running upgrade installs, if it is a bundle: it has been looked at.
    pub(crate) release: Option<Release>,
    pub(crate) download: Option<Download>,
    pub(crate) local: Local,
    pub(crate) restart: Restart,
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
    /// Reading the image back, a slice at each tick.
    Verifying,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Restart {
    No,
    /// The image is installed; the reboot waits until the broker has `completed` of this upgrade.
    /// No heartbeat goes out meanwhile: after `completed`, one with the old version means a
    /// rollback.
    AwaitsAck {
        msg_id: Text<MSG_ID_BYTES_MAX>,
        /// But not for ever.
        until_ms: u64,
    },
    /// The image came over the upload page; the reboot waits until the page has answered.
    AwaitsPage,
    /// Rebooting or shutting down; nothing counts any more.
    Halted,
}

impl<F: NorFlash> Gateway<F> {
    /// Takes one event and hands out what is to be done about it, in order. After an error the flash
    /// does not keep what must be kept: restart.
    #[inline(never)]
    pub fn step(
        &mut self,
        event: Event<'_>,
        now: Now,
        out: &mut dyn FnMut(Effect<'_>),
    ) -> Result<(), Broken> {
        let mut turn = Turn {
            gateway: self,
            now,
            out,
        };
        turn.take(event)
    }

    /// When the gateway wants [`Event::Tick`], on [`Now::ms`]'s clock; `None` if only an event from
    /// outside can move it.
    pub fn wake_ms(&self) -> Option<u64> {
        if self.restart == Restart::Halted {
            return None;
        }
        let heartbeat =
            (self.connected && self.restart == Restart::No).then_some(self.heartbeat_due_ms);
        let job = match self.job {
            Job::Waiting { until_ms } => Some(until_ms),
            Job::Verifying => Some(0),
            Job::None | Job::Fetching { .. } => None,
        };
        let proof = (self.proof != Proof::None).then_some(self.proof_until_ms);
        let restart = match self.restart {
            Restart::AwaitsAck { until_ms, .. } => Some(until_ms),
            _ => None,
        };
        [heartbeat, job, proof, restart].into_iter().flatten().min()
    }

    /// The payload of the gateway's last will.
    pub fn will<'b>(&self, buffer: &'b mut [u8]) -> &'b [u8] {
        let status = Status {
            online: false,
            firmware_version: Some(self.version.as_str()),
        };
        wire::status(&status, buffer).unwrap_or_default()
    }

    /// The version that runs.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// What is remembered over a power cut.
    pub fn saved(&self) -> &Saved {
        &self.saved
    }

    /// Bytes of the running download that are here.
    pub fn downloaded(&self) -> Option<u32> {
        self.download.as_ref().map(|download| download.received)
    }

    /// The partition that runs.
    pub fn running(&self) -> &Partition {
        self.ota.get_running_partition()
    }
}

/// One event being answered.
pub(crate) struct Turn<'t, F> {
    pub(crate) gateway: &'t mut Gateway<F>,
    pub(crate) now: Now,
    pub(crate) out: &'t mut dyn FnMut(Effect<'_>),
}

impl<F: NorFlash> Turn<'_, F> {
    fn take(&mut self, event: Event<'_>) -> Result<(), Broken> {
        if self.gateway.restart == Restart::Halted {
            return Ok(());
        }
        match event {
            Event::Connected => self.connected(),
            Event::Disconnected => {
                self.gateway.connected = false;
                self.gateway.in_flight.clear();
                self.gateway.rollback_told_by = None;
                if let Proof::Sent(_) = self.gateway.proof {
                    self.gateway.proof = Proof::Owed;
                }
                Ok(())
            }
            Event::Acked(id) => self.acked(id),
            Event::Message(payload) => self.obey(payload),
            Event::Battery(percent) => {
                self.gateway.battery = percent;
                Ok(())
            }
            Event::Vitals { free_heap, rssi } => {
                (self.gateway.free_heap, self.gateway.rssi) = (free_heap, rssi);
                Ok(())
            }
            Event::Answer { job, answer } if self.is_fetching(job) => match self.is_authentic() {
                false => self.proof_answer(job, answer),
                true => self.answer(job, answer),
            },
            Event::Chunk { job, bytes } if self.is_fetching(job) => match self.is_authentic() {
                false => self.proof_chunk(job, bytes),
                true => self.chunk(job, bytes),
            },
            Event::FetchEnded { job, reason } if self.is_fetching(job) => {
                match self.is_authentic() {
                    false => self.proof_ended(reason),
                    true => self.fetch_ended(reason),
                }
            }
            Event::FetchImpossible { job, reason } if self.is_fetching(job) => {
                match self.is_authentic() {
                    false => self.proof_impossible(reason),
                    true => self.fetch_impossible(reason),
                }
            }
            Event::Answer { .. }
            | Event::Chunk { .. }
            | Event::FetchEnded { .. }
            | Event::FetchImpossible { .. } => Ok(()),
            Event::LocalDone => self.local_done(),
            Event::Tick => self.tick(),
            Event::Shutdown => {
                self.publish_status(false);
                self.gateway.restart = Restart::Halted;
                Ok(())
            }
        }
    }

    fn connected(&mut self) -> Result<(), Broken> {
        self.gateway.connected = true;
        self.gateway.in_flight.clear();
        (self.out)(Effect::Subscribe);
        self.publish_status(true);
        // Reports before the heartbeat: the server takes a heartbeat as proof of an update only
        // after it has `completed`.
        self.publish_owed_reports();
        if self.gateway.restart == Restart::No {
            self.heartbeat();
        }
        Ok(())
    }

    fn tick(&mut self) -> Result<(), Broken> {
        let now_ms = self.now.ms;
        let gateway = &*self.gateway;
        if gateway.proof != Proof::None && now_ms >= gateway.proof_until_ms {
            // If it fails, the bootloader's or the first act's choice stands.
            let _ = self.gateway.ota.mark_app_invalid_rollback_and_reboot();
            self.reboot();
            return Ok(());
        }
        if matches!(gateway.restart, Restart::AwaitsAck { until_ms, .. } if now_ms >= until_ms) {
            return self.reboot_into_trial();
        }
        if gateway.connected && gateway.restart == Restart::No && now_ms >= gateway.heartbeat_due_ms
        {
            self.heartbeat();
        }
        match self.gateway.job {
            Job::Waiting { until_ms } if now_ms >= until_ms => self.fetch(),
            Job::Verifying => self.verify_slice(),
            _ => Ok(()),
        }
    }

    /// The broker has the new image's heartbeat: it stays.
    pub(crate) fn confirm(&mut self) -> Result<(), Broken> {
        let gateway = &mut *self.gateway;
        let (ota, memory, saved) = (&mut gateway.ota, &mut gateway.memory, &mut gateway.saved);
        if trial::confirm(ota, memory, saved).is_err() {
            // The next heartbeat tries again, until the trial's deadline.
            gateway.proof = Proof::Owed;
            return Ok(());
        }
        self.tell_confirmed();
        self.begin_next()
    }

    pub(crate) fn tell_confirmed(&mut self) {
        (self.out)(Effect::Tell(Notice::Confirmed {
            version: &self.gateway.version,
        }));
    }

    /// Makes the installed image boot next, and reboots.
    pub(crate) fn reboot_into_trial(&mut self) -> Result<(), Broken> {
        let gateway = &mut *self.gateway;
        let (ota, memory, saved) = (&mut gateway.ota, &mut gateway.memory, &mut gateway.saved);
        if trial::switch(ota, memory, saved).is_ok() {
            self.reboot();
            return Ok(());
        }
        trial::roll_back(ota, memory, saved);
        gateway.tells_rollback = true;
        gateway.restart = Restart::No;
        self.tell_rolled_back();
        if self.gateway.connected {
            self.heartbeat();
        }
        self.begin_next()
    }

    /// Says goodbye and restarts.
    fn reboot(&mut self) {
        (self.out)(Effect::Tell(Notice::Rebooting));
        self.publish_status(false);
        (self.out)(Effect::Reboot);
        self.gateway.restart = Restart::Halted;
    }

    pub(crate) fn save(&mut self) -> Result<(), Broken> {
        let gateway = &mut *self.gateway;
        gateway.memory.save(gateway.ota.flash(), &mut gateway.saved)
    }

    /// Saves what would be good to know after a restart, but does no harm if it is not.
    pub(crate) fn keep(&mut self) {
        let _ = self.save();
    }

    pub(crate) fn next_job(&mut self) -> JobId {
        self.gateway.job_last = self.gateway.job_last.wrapping_add(1);
        JobId(self.gateway.job_last)
    }

    /// Nothing of the fetch under way is wanted any more.
    pub(crate) fn stop_job(&mut self) {
        if let Job::Fetching { id, .. } = self.gateway.job {
            (self.out)(Effect::Stop(id));
        }
        self.gateway.job = Job::None;
    }

    /// What is fetched is a part, not what shows that it may be.
    fn is_authentic(&self) -> bool {
        self.gateway.authentication.is_none()
    }

    fn is_fetching(&self, job: JobId) -> bool {
        matches!(self.gateway.job, Job::Fetching { id, .. } if id == job)
    }
}
