//! How a gateway starts: what the board tells, what the flash tells, and what becomes of it.

use embedded_storage::nor_flash::NorFlash;
use heapless::Vec;

use crate::{
    BootError, Broken, Config, Effect, Gateway, Images, Notice, Now,
    attempts::Attempts,
    flash::partition_table::{Partition, PartitionTable},
    gateway::{Job, Proof, Restart, Turn},
    local::Local,
    ota::Ota,
    saved::{Memory, Saved},
    text::Text,
    trial::{self, Verdict},
    version,
};

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
        let (table, running) = find_running(&mut flash, boot.running)?;
        let nvs = table.find_nvs().cloned().ok_or(BootError::NoNvs)?;
        let mut ota = Ota::new(flash, table, running, config.images);
        let is_unproven = trial::first_act(&mut ota).map_err(Broken::from)?;
        let memory = Memory::mount(ota.flash(), &nvs);
        Self::put(place, ota, memory, config, now);
        let Some(gateway) = place else {
            return Err(BootError::NoRunningPartition);
        };
        gateway.load();
        let verdict = gateway.judge(is_unproven, boot.reason)?;
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
            attempts: Attempts::default(),
            authentication: None,
            release: None,
            download: None,
            local: Local::default(),
            restart: Restart::No,
        });
    }

    #[inline(never)]
    fn load(&mut self) {
        self.memory.load(self.ota.flash(), &mut self.saved);
    }

    /// Ends the gateway. Not inlined: it comes to lie on the stack once more.
    #[inline(never)]
    fn flash_of(place: &mut Option<Self>) -> Option<F> {
        Some(place.take()?.ota.into_flash())
    }

    /// Decides what this boot is.
    #[inline(never)]
    fn judge(&mut self, is_unproven: bool, reason: BootReason) -> Result<Verdict, Broken> {
        let (ota, memory, saved) = (&mut self.ota, &mut self.memory, &mut self.saved);
        let verdict = trial::at_boot(ota, memory, saved, is_unproven, reason)?;
        self.version = version::running_version(&mut self.ota, &self.saved, &self.config);
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

    /// The first act of a board, before it so much as reads its settings: if it runs a new image that
    /// no bootloader watches over, the image before is chosen again. [`Self::boot`] does it too, but
    /// only after the settings were read.
    pub fn first_act(flash: &mut F, running: Running) -> Result<(), BootError> {
        let (table, running) = find_running(flash, running)?;
        let mut ota = Ota::new(flash, table, running, Images::Any);
        trial::first_act(&mut ota).map_err(Broken::from)?;
        Ok(())
    }
}

/// The partition table, and the partition in it that runs.
fn find_running<F: NorFlash>(
    flash: &mut F,
    running: Running,
) -> Result<(PartitionTable, Partition), BootError> {
    let table = PartitionTable::read(flash).map_err(BootError::Table)?;
    let running = match running {
        Running::Factory => table.factory(),
        Running::Ota(slot) => table.ota(slot),
    };
    let running = running.cloned().ok_or(BootError::NoRunningPartition)?;
    Ok((table, running))
}

impl<F: NorFlash> Turn<'_, F> {
    fn booted(&mut self, verdict: Verdict) -> Result<(), Broken> {
        let gateway = &*self.gateway;
        (self.out)(Effect::Tell(Notice::Booted {
            version: &gateway.version,
            boot_reason: gateway.boot_reason.word(),
        }));
        if let Some(trial) = &gateway.saved.trial {
            (self.out)(Effect::Tell(Notice::OnTrial {
                version: &gateway.version,
                attempt: trial.attempts,
            }));
        }
        if verdict == Verdict::RolledBack {
            self.tell_rolled_back();
        }
        if verdict == Verdict::Confirmed {
            self.tell_confirmed();
        }
        if let Some(active) = &mut self.gateway.saved.active {
            let is_crash = matches!(
                self.gateway.boot_reason,
                BootReason::Panic | BootReason::Watchdog | BootReason::Brownout | BootReason::Other
            );
            if is_crash {
                active.crashes += 1;
                self.keep();
            }
            return self.resume();
        }
        self.begin_next()
    }

    pub(crate) fn tell_rolled_back(&mut self) {
        if let Some(back) = &self.gateway.saved.rolled_back {
            (self.out)(Effect::Tell(Notice::RolledBack {
                version: &back.version,
                attempts: back.attempts,
            }));
        }
    }
}
