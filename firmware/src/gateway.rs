//! The gateway: what it is, how it boots, and which rule answers which event.

use airlift_proto::{GATEWAY_ID_LENGTH_MAX, Status};
use embedded_storage::nor_flash::NorFlash;
use heapless::Vec;

use crate::{
    BootError, Broken, Effect, Event, Images, JobId, MSG_ID_BYTES_MAX, Notice, Now, PublishId,
    VERSION_BYTES_MAX,
    download::Download,
    flash::{
        descriptor,
        nvs::Nvs,
        partition_table::{Partition, PartitionTable},
    },
    local::Local,
    ota::Ota,
    outbox::{IN_FLIGHT_MAX, InFlight},
    saved::{Memory, Saved},
    text::{Text, text},
    trial::{self, Verdict},
    wire,
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
}

/// What the board knows of its start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Boot {
    pub running: Running,
    pub reason: BootReason,
}

/// Which app partition the bootloader started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Running {
    Factory,
    /// The number of the OTA slot.
    Ota(u8),
}

/// Why the gateway starts; `Ota` after an update overrules what the board saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BootReason {
    PowerOn,
    Software,
    Ota,
    Panic,
    Watchdog,
    Brownout,
    Other,
}

impl BootReason {
    pub(crate) fn word(self) -> &'static str {
        match self {
            BootReason::PowerOn => "power_on",
            BootReason::Software => "software",
            BootReason::Ota => "ota",
            BootReason::Panic => "panic",
            BootReason::Watchdog => "watchdog",
            BootReason::Brownout => "brownout",
            BootReason::Other => "other",
        }
    }
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
    },
    /// The image came over the upload page; the reboot waits until the page has answered.
    AwaitsPage,
    /// Rebooting or shutting down; nothing counts any more.
    Halted,
}

/// How a boot ends.
#[derive(Debug)]
pub enum Booted<F> {
    /// The gateway runs.
    Run,
    /// Reboot at once: the bootloader has another image to start.
    Reboot(F),
}

impl<F: NorFlash> Gateway<F> {
    /// The first thing that runs, before there is a network: decides what becomes of an image on
    /// trial, and goes on with what a power cut interrupted. The gateway comes to be in `place`, for
    /// it is too large for a small stack.
    pub fn boot(
        place: &mut Option<Self>,
        mut flash: F,
        config: Config,
        boot: Boot,
        now: Now,
        out: &mut dyn FnMut(Effect<'_>),
    ) -> Result<Booted<F>, BootError> {
        let table = PartitionTable::read(&mut flash).map_err(BootError::Table)?;
        let running = match boot.running {
            Running::Factory => table.factory(),
            Running::Ota(slot) => table.ota(slot),
        };
        let running = running.cloned().ok_or(BootError::NoRunningPartition)?;
        let nvs = table.find_nvs().cloned().ok_or(BootError::NoNvs)?;
        let nvs = Nvs::mount(&mut flash, &nvs).map_err(Broken::from)?;
        let ota = Ota::new(flash, table, running, config.images);
        Self::put(place, ota, Memory::new(nvs), config, now);
        let Some(gateway) = place else {
            return Err(BootError::NoRunningPartition);
        };
        gateway.load()?;
        let verdict = gateway.judge(boot.reason)?;
        if verdict == Verdict::TryAgain {
            return Ok(Self::flash_of(place).map_or(Booted::Run, Booted::Reboot));
        }
        let mut turn = Turn { gateway, now, out };
        turn.booted(verdict)?;
        Ok(Booted::Run)
    }

    /// A gateway that knows nothing yet.
    #[inline(never)]
    fn put(place: &mut Option<Self>, ota: Ota<F>, memory: Memory, config: Config, now: Now) {
        *place = Some(Gateway {
            battery: config.battery,
            proof_until_ms: now.ms.saturating_add(config.self_test_ms),
            config,
            ota,
            memory,
            saved: Saved::default(),
            version: Text::new(),
            boot_reason: BootReason::Other,
            free_heap: None,
            rssi: None,
            connected: false,
            publish_last: 0,
            in_flight: Vec::new(),
            heartbeat_due_ms: 0,
            proof: Proof::None,
            tells_rollback: false,
            rollback_told_by: None,
            job: Job::None,
            job_last: 0,
            download: None,
            local: Local::default(),
            restart: Restart::No,
        });
    }

    #[inline(never)]
    fn load(&mut self) -> Result<(), Broken> {
        Ok(self.memory.load(self.ota.flash(), &mut self.saved)?)
    }

    /// Decides what this boot is.
    #[inline(never)]
    fn judge(&mut self, reason: BootReason) -> Result<Verdict, Broken> {
        let verdict = trial::at_boot(&mut self.ota, &mut self.memory, &mut self.saved)?;
        self.version = running_version(&mut self.ota, &self.saved, &self.config);
        self.boot_reason = match verdict {
            Verdict::OnTrial | Verdict::Confirmed => BootReason::Ota,
            _ => reason,
        };
        if verdict == Verdict::OnTrial {
            self.proof = Proof::Owed;
        }
        let back = self.saved.rolled_back.as_ref();
        self.tells_rollback = back.is_some_and(|back| !back.told);
        Ok(verdict)
    }

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
        [heartbeat, job, proof].into_iter().flatten().min()
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

    /// Ends the gateway. Not inlined: it comes to lie on the stack once more.
    #[inline(never)]
    fn flash_of(place: &mut Option<Self>) -> Option<F> {
        Some(place.take()?.ota.into_flash())
    }
}

/// The version in the running slot: as it was installed, unless another image came by cable.
fn running_version<F: NorFlash>(
    ota: &mut Ota<F>,
    saved: &Saved,
    config: &Config,
) -> Text<VERSION_BYTES_MAX> {
    let running = ota.get_running_partition().clone();
    let slot = trial::slot_of(&running);
    let installed = saved.installed.iter().find(|one| Some(one.slot) == slot);
    if let Some(installed) = installed {
        let is_same = installed.image.is_none_or(|(size, sha256)| {
            let mut found = [0; 32];
            let at = (running.offset + size).saturating_sub(32);
            ota.flash().read(at, &mut found).is_ok() && found == sha256
        });
        if is_same {
            return installed.version.clone();
        }
    }
    let described = match config.images {
        Images::Any => None,
        Images::App(_) => descriptor::read_version(ota.flash(), running.offset),
    };
    described.map_or_else(
        || config.first_version.clone(),
        |version| text(format_args!("{version}")),
    )
}

/// One event being answered.
pub(crate) struct Turn<'t, F> {
    pub(crate) gateway: &'t mut Gateway<F>,
    pub(crate) now: Now,
    pub(crate) out: &'t mut dyn FnMut(Effect<'_>),
}

impl<F: NorFlash> Turn<'_, F> {
    fn booted(&mut self, verdict: Verdict) -> Result<(), Broken> {
        let gateway = &*self.gateway;
        (self.out)(Effect::Tell(Notice::Booted {
            version: &gateway.version,
            boot_reason: gateway.boot_reason.word(),
        }));
        match (&gateway.saved.trial, &gateway.saved.rolled_back) {
            (Some(trial), _) => (self.out)(Effect::Tell(Notice::OnTrial {
                version: &trial.version,
                attempt: trial.attempts,
            })),
            (None, Some(back)) if verdict == Verdict::RolledBack => {
                (self.out)(Effect::Tell(Notice::RolledBack {
                    version: &back.version,
                    attempts: back.attempts,
                }));
            }
            _ => {}
        }
        if verdict == Verdict::Confirmed {
            self.tell_confirmed();
        }
        if self.gateway.saved.active.is_some() {
            return self.resume();
        }
        self.begin_next()
    }

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
            Event::Answer { job, answer } if self.is_fetching(job) => self.answer(job, answer),
            Event::Chunk { job, bytes } if self.is_fetching(job) => self.chunk(job, bytes),
            Event::FetchEnded { job, reason } if self.is_fetching(job) => self.fetch_ended(reason),
            Event::FetchImpossible { job, reason } if self.is_fetching(job) => {
                self.fetch_impossible(reason)
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
            trial::give_up(&mut self.gateway.ota)?;
            self.reboot();
            return Ok(());
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
        trial::confirm(&mut gateway.ota, &mut gateway.memory, &mut gateway.saved)?;
        self.tell_confirmed();
        self.begin_next()
    }

    fn tell_confirmed(&mut self) {
        (self.out)(Effect::Tell(Notice::Confirmed {
            version: &self.gateway.version,
        }));
    }

    /// Makes the installed image boot next, and reboots.
    pub(crate) fn reboot_into_trial(&mut self) -> Result<(), Broken> {
        let gateway = &mut *self.gateway;
        trial::switch(&mut gateway.ota, &mut gateway.memory, &mut gateway.saved)?;
        self.reboot();
        Ok(())
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
        Ok(gateway
            .memory
            .save(gateway.ota.flash(), &mut gateway.saved)?)
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

    fn is_fetching(&self, job: JobId) -> bool {
        matches!(self.gateway.job, Job::Fetching { id, .. } if id == job)
    }
}
