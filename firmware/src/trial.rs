//! The boot trial: a new image must prove itself, or the old one comes back.
//!
//! Three records work together: [`Trial`] in the NVS says what is tried, otadata what boots next, and
//! the bootloader which image runs. What a power cut can leave of them is decided by [`at_boot`], the
//! first thing that runs, before there is a network. It works with both kinds of bootloader:
//!
//! | | stock bootloader | with `CONFIG_BOOTLOADER_APP_ROLLBACK_ENABLE` |
//! |---|---|---|
//! | who takes the choice back before the self-test | the new image, in its first act | the bootloader, at the next boot |
//! | a new image that dies before its first act | boots again and again | falls back |
//!
//! The old image counts what failed and tries again, at most [`ATTEMPTS_MAX`] times.

use embedded_storage::nor_flash::NorFlash;

use crate::{
    Broken, EspError, VERSION_BYTES_MAX,
    flash::{
        otadata::State,
        partition_table::{AppKind, Kind, Partition},
    },
    ota::Ota,
    saved::{Memory, Saved},
    stored::stored,
    text::Text,
};

/// Boots of a new image that may fail before the old one stays.
pub const ATTEMPTS_MAX: u8 = 3;

/// A new image that has still to prove itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trial {
    /// Number of its OTA slot.
    pub slot: u8,
    /// The number of the OTA slot that ran before; `None` if it was the factory app.
    pub previous: Option<u8>,
    pub version: Text<VERSION_BYTES_MAX>,
    /// `seq` of the otadata entry that makes it boot.
    pub seq: u32,
    /// The boot by that entry is counted in `attempts`.
    pub counted: bool,
    /// Boots of the new image.
    pub attempts: u8,
}

/// A new image that did not prove itself; the old one runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RolledBack {
    pub version: Text<VERSION_BYTES_MAX>,
    pub attempts: u8,
    /// The broker has a heartbeat that says so.
    pub told: bool,
}

stored! {
    Trial { slot previous version seq counted attempts }
    RolledBack { version attempts told }
}

/// What a boot turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// No trial.
    Normal,
    /// The new image runs and has to prove itself.
    OnTrial,
    /// The new image had proven itself; a cut kept it from being saved.
    Confirmed,
    /// The old image is to reboot at once into the next attempt.
    TryAgain,
    /// The old image stays.
    RolledBack,
}

/// Decides what this boot is, and does what must be done before anything else.
pub(crate) fn at_boot<F: NorFlash>(
    ota: &mut Ota<F>,
    memory: &mut Memory,
    saved: &mut Saved,
) -> Result<Verdict, Broken> {
    let Some(trial) = saved.trial.clone() else {
        return Ok(Verdict::Normal);
    };
    if slot_of(ota.get_running_partition()) != Some(trial.slot) {
        return old_runs(ota, memory, saved, trial);
    }
    if ota.is_confirmed()? {
        saved.trial = None;
        memory.save(ota.flash(), saved)?;
        return Ok(Verdict::Confirmed);
    }
    count(ota, memory, saved)?;
    if !ota.pending_verify()? && slot_of(&ota.get_boot_partition()?) == Some(trial.slot) {
        let previous = partition(ota, trial.previous)?;
        ota.select(&previous, State::Valid)?;
    }
    Ok(Verdict::OnTrial)
}

fn old_runs<F: NorFlash>(
    ota: &mut Ota<F>,
    memory: &mut Memory,
    saved: &mut Saved,
    trial: Trial,
) -> Result<Verdict, Broken> {
    let otadata = ota.otadata()?;
    let was_selected = otadata
        .entries
        .iter()
        .flatten()
        .any(|entry| entry.seq == trial.seq);
    if !was_selected && !trial.counted {
        return try_again(ota, memory, saved);
    }
    count(ota, memory, saved)?;
    let attempts = saved.trial.as_ref().map_or(0, |trial| trial.attempts);
    if attempts < ATTEMPTS_MAX {
        return try_again(ota, memory, saved);
    }
    roll_back(ota, memory, saved, attempts)
}

/// Counts the boot by the trial's entry, once.
fn count<F: NorFlash>(
    ota: &mut Ota<F>,
    memory: &mut Memory,
    saved: &mut Saved,
) -> Result<(), Broken> {
    if let Some(trial) = &mut saved.trial
        && !trial.counted
    {
        trial.counted = true;
        trial.attempts += 1;
        memory.save(ota.flash(), saved)?;
    }
    Ok(())
}

fn roll_back<F: NorFlash>(
    ota: &mut Ota<F>,
    memory: &mut Memory,
    saved: &mut Saved,
    attempts: u8,
) -> Result<Verdict, Broken> {
    // Where the new image did not even verify, the bootloader passed it over and otadata names it
    // still.
    let running = ota.get_running_partition().clone();
    if ota.get_boot_partition()? != running {
        ota.select(&running, State::Valid)?;
    }
    if let Some(trial) = saved.trial.take() {
        saved.rolled_back = Some(RolledBack {
            version: trial.version,
            attempts,
            told: false,
        });
    }
    memory.save(ota.flash(), saved)?;
    Ok(Verdict::RolledBack)
}

/// Selects the new image once more.
fn try_again<F: NorFlash>(
    ota: &mut Ota<F>,
    memory: &mut Memory,
    saved: &mut Saved,
) -> Result<Verdict, Broken> {
    match switch(ota, memory, saved) {
        Ok(()) => Ok(Verdict::TryAgain),
        Err(Broken::Ota(EspError::OtaValidateFailed)) => {
            let attempts = saved.trial.as_ref().map_or(0, |trial| trial.attempts);
            roll_back(ota, memory, saved, attempts)
        }
        Err(error) => Err(error),
    }
}

/// A trial of `slot`, to be saved before [`switch`].
pub(crate) fn arm<F: NorFlash>(
    ota: &mut Ota<F>,
    slot: u8,
    version: Text<VERSION_BYTES_MAX>,
) -> Result<Trial, EspError> {
    Ok(Trial {
        slot,
        previous: slot_of(ota.get_running_partition()),
        version,
        seq: ota.fresh_seq(slot)?,
        counted: false,
        attempts: 0,
    })
}

/// Makes the image on trial boot next. The reboot is the caller's.
pub(crate) fn switch<F: NorFlash>(
    ota: &mut Ota<F>,
    memory: &mut Memory,
    saved: &mut Saved,
) -> Result<(), Broken> {
    let Some(trial) = &mut saved.trial else {
        return Ok(());
    };
    let slot = trial.slot;
    // What runs must be an entry of its own, or there is nothing to go back to.
    let running = ota.get_running_partition().clone();
    if slot_of(&running).is_some() && !ota.is_selected()? {
        ota.select(&running, State::Valid)?;
    }
    let seq = ota.fresh_seq(slot)?;
    if trial.counted || trial.seq != seq {
        (trial.counted, trial.seq) = (false, seq);
        memory.save(ota.flash(), saved)?;
    }
    let new = partition(ota, Some(slot))?;
    Ok(ota.set_boot_partition(&new)?)
}

/// The new image works: from now on it boots.
pub(crate) fn confirm<F: NorFlash>(
    ota: &mut Ota<F>,
    memory: &mut Memory,
    saved: &mut Saved,
) -> Result<(), Broken> {
    ota.mark_app_valid_cancel_rollback()?;
    saved.trial = None;
    saved.rolled_back = None;
    Ok(memory.save(ota.flash(), saved)?)
}

/// The new image gives up; the old one boots next.
pub(crate) fn give_up<F: NorFlash>(ota: &mut Ota<F>) -> Result<(), Broken> {
    Ok(ota.mark_app_invalid_rollback_and_reboot()?)
}

fn partition<F: NorFlash>(ota: &Ota<F>, slot: Option<u8>) -> Result<Partition, EspError> {
    let table = ota.table();
    let found = match slot {
        Some(slot) => table.ota(slot),
        None => table.factory(),
    };
    found.cloned().ok_or(EspError::NotFound)
}

/// The number of an OTA slot; `None` for the factory app.
pub(crate) fn slot_of(partition: &Partition) -> Option<u8> {
    match partition.kind {
        Kind::App(AppKind::Ota(slot)) => Some(slot),
        _ => None,
    }
}
