//! The boot trial: a new image must prove itself, or the old one comes back.
//!
//! Three records work together: [`Trial`] in the NVS says what is tried, otadata what boots next, and
//! the bootloader which image runs. What a power cut can leave of them is decided at each boot, before
//! there is a network. It works with both kinds of bootloader:
//!
//! | | stock bootloader | with `CONFIG_BOOTLOADER_APP_ROLLBACK_ENABLE` |
//! |---|---|---|
//! | who takes the choice back before the self-test | the new image, in its [`first_act`], by refusing its own entry | the bootloader, at the next boot |
//! | a new image that dies before its first act | boots again and again | falls back |
//!
//! The old image counts what failed and tries again, at most [`ATTEMPTS_MAX`] times. A power cut is
//! not the new image's fault, so there may be [`POWER_CUTS_MAX`] more of these. Where the flash does
//! not do what it is told, the old image stays and runs on.

use embedded_storage::nor_flash::NorFlash;

use crate::{
    BootReason, Broken, EspError, VERSION_BYTES_MAX,
    flash::partition_table::{AppKind, Kind, Partition},
    ota::Ota,
    saved::{Memory, Saved},
    stored::stored,
    text::Text,
};

/// Boots of a new image that may fail before the old one stays.
pub const ATTEMPTS_MAX: u8 = 3;
/// Power cuts during a trial that do not count as failed boots.
pub const POWER_CUTS_MAX: u8 = 10;
/// Times the old image selects the new one; more than attempts and cuts can need.
const SWITCHES_MAX: u8 = 40;

/// A new image that has still to prove itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trial {
    /// Number of its OTA slot.
    pub slot: u8,
    pub version: Text<VERSION_BYTES_MAX>,
    /// `seq` of the otadata entry that makes it boot.
    pub seq: u32,
    /// The boot by that entry is counted in `attempts`.
    pub counted: bool,
    /// Boots of the new image, without those that a power cut ended.
    pub attempts: u8,
    /// Boots that a power cut ended.
    pub power_cuts: u8,
    /// Times it was selected.
    pub switches: u8,
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
    Trial { slot version seq counted attempts power_cuts switches }
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

/// The first act of every boot. It needs nothing but the partition table and otadata, so that nothing
/// else can keep a new image from it. Tells whether the running image has still to prove itself.
pub(crate) fn first_act<F: NorFlash>(ota: &mut Ota<F>) -> Result<bool, EspError> {
    if ota.is_new()? {
        ota.take_back()?;
    }
    ota.is_unproven()
}

/// Decides what this boot is.
pub(crate) fn at_boot<F: NorFlash>(
    ota: &mut Ota<F>,
    memory: &mut Memory,
    saved: &mut Saved,
    is_unproven: bool,
    reason: BootReason,
) -> Result<Verdict, Broken> {
    let running = slot_of(ota.get_running_partition());
    match (&saved.trial, running) {
        (Some(trial), Some(slot)) if trial.slot == slot => {}
        (Some(_), _) => return Ok(old_runs(ota, memory, saved, reason)),
        // Its record is gone, or another firmware installed it: it must prove itself all the same.
        (None, Some(slot)) if is_unproven => {
            saved.trial = Some(Trial {
                slot,
                seq: ota.own_seq()?,
                ..Trial::default()
            });
        }
        (None, _) => return Ok(Verdict::Normal),
    }
    if ota.is_confirmed()? {
        saved.confirm_release();
        saved.trial = None;
        keep(ota, memory, saved);
        return Ok(Verdict::Confirmed);
    }
    count(saved);
    keep(ota, memory, saved);
    Ok(Verdict::OnTrial)
}

fn old_runs<F: NorFlash>(
    ota: &mut Ota<F>,
    memory: &mut Memory,
    saved: &mut Saved,
    reason: BootReason,
) -> Verdict {
    let otadata = ota.otadata();
    let was_selected = |seq| {
        let entries = otadata.as_ref().map(|otadata| otadata.entries);
        entries.is_ok_and(|entries| entries.iter().flatten().any(|one| one.seq == seq))
    };
    if let Some(trial) = &saved.trial
        && (trial.counted || was_selected(trial.seq))
    {
        count(saved);
        forgive_power_cut(saved, reason);
    }
    let attempts = saved.trial.as_ref().map_or(0, |trial| trial.attempts);
    if attempts < ATTEMPTS_MAX && switch(ota, memory, saved).is_ok() {
        return Verdict::TryAgain;
    }
    roll_back(ota, memory, saved);
    Verdict::RolledBack
}

/// Counts the boot by the trial's entry, once.
fn count(saved: &mut Saved) {
    if let Some(trial) = &mut saved.trial
        && !trial.counted
    {
        trial.counted = true;
        trial.attempts += 1;
    }
}

/// Takes back the count of a boot that the image is not to blame for.
fn forgive_power_cut(saved: &mut Saved, reason: BootReason) {
    if let Some(trial) = &mut saved.trial
        && reason == BootReason::PowerOn
        && trial.power_cuts < POWER_CUTS_MAX
    {
        trial.power_cuts += 1;
        trial.attempts = trial.attempts.saturating_sub(1);
    }
}

/// The old image stays, whatever the flash says to it.
pub(crate) fn roll_back<F: NorFlash>(ota: &mut Ota<F>, memory: &mut Memory, saved: &mut Saved) {
    // Where the new image did not even verify, the bootloader passed it over and otadata names it
    // still.
    let running = ota.get_running_partition().clone();
    if ota.get_boot_partition().is_ok_and(|boots| boots != running) {
        // If it fails, the next boot comes here again.
        let _ = ota.give_boot_to_running();
    }
    saved.release_on_trial = None;
    if let Some(trial) = saved.trial.take() {
        saved.rolled_back = Some(RolledBack {
            version: trial.version,
            attempts: trial.attempts,
            told: false,
        });
    }
    keep(ota, memory, saved);
}

/// A trial of `slot`, to be saved before [`switch`].
pub(crate) fn arm<F: NorFlash>(
    ota: &mut Ota<F>,
    slot: u8,
    version: Text<VERSION_BYTES_MAX>,
) -> Result<Trial, EspError> {
    Ok(Trial {
        slot,
        version,
        seq: ota.fresh_seq(slot)?,
        ..Trial::default()
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
    if trial.switches >= SWITCHES_MAX {
        return Err(Broken::Ota(EspError::OtaSelectInfoInvalid));
    }
    let slot = trial.slot;
    enter_running(ota)?;
    trial.seq = ota.fresh_seq(slot)?;
    trial.counted = false;
    trial.switches += 1;
    memory.save(ota.flash(), saved)?;
    let new = ota.table().ota(slot).cloned().ok_or(EspError::NotFound)?;
    Ok(ota.set_boot_partition(&new)?)
}

/// Makes `new` boot next where the NVS keeps no record: it will notice by otadata that it is on trial.
pub(crate) fn switch_unrecorded<F: NorFlash>(
    ota: &mut Ota<F>,
    new: &Partition,
) -> Result<(), EspError> {
    enter_running(ota)?;
    ota.set_boot_partition(new)
}

/// What runs must have an entry of its own, or there is nothing to go back to.
fn enter_running<F: NorFlash>(ota: &mut Ota<F>) -> Result<(), EspError> {
    if slot_of(ota.get_running_partition()).is_some() && !ota.is_selected()? {
        ota.give_boot_to_running()?;
    }
    Ok(())
}

/// The new image works: from now on it boots.
pub(crate) fn confirm<F: NorFlash>(
    ota: &mut Ota<F>,
    memory: &mut Memory,
    saved: &mut Saved,
) -> Result<(), EspError> {
    ota.mark_app_valid_cancel_rollback()?;
    saved.confirm_release();
    saved.trial = None;
    saved.rolled_back = None;
    keep(ota, memory, saved);
    Ok(())
}

/// Saves, if the NVS can: what is decided here follows from otadata at the next boot, too.
fn keep<F: NorFlash>(ota: &mut Ota<F>, memory: &mut Memory, saved: &mut Saved) {
    let _ = memory.save(ota.flash(), saved);
}

/// The number of an OTA slot; `None` for the factory app.
pub(crate) fn slot_of(partition: &Partition) -> Option<u8> {
    match partition.kind {
        Kind::App(AppKind::Ota(slot)) => Some(slot),
        _ => None,
    }
}
