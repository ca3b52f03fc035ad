//! The update session, with the names, order and errors of ESP-IDF's `esp_ota_ops.h`.
//!
//! It differs where a power cut asks for it: sectors are erased just ahead of the write and not at
//! `begin`, the image's first 16 bytes are written after all is verified, so that a half-written slot
//! never looks bootable, and otadata is read back after it is written.

mod session;

use embedded_storage::nor_flash::NorFlash;

pub use self::session::HEAD_BYTES;
use self::session::Session;
use crate::{
    EspError, VERSION_BYTES_MAX,
    flash::{
        SECTOR_BYTES,
        image::ChipId,
        otadata::{Entry, Otadata, State},
        partition_table::{AppKind, Kind, Partition, PartitionTable},
    },
    text::Text,
};

/// What counts as an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Images {
    /// Any bytes.
    Any,
    /// An application image for this chip.
    App(ChipId),
}

/// How large the image will be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImageSize {
    /// `OTA_SIZE_UNKNOWN`.
    Unknown,
    /// `OTA_WITH_SEQUENTIAL_WRITES`: not known either; bytes come in order, as they always do here.
    SequentialWrites,
    /// So many bytes.
    Bytes(u32),
}

/// Names one session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handle(u32);

/// What an image turned out to be when it was read back from the flash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// Bytes written.
    pub bytes: u32,
    /// Of all bytes written.
    pub sha256: [u8; 32],
    /// The version in the app descriptor.
    pub version: Option<Text<VERSION_BYTES_MAX>>,
    /// The application image's size and own SHA-256.
    pub image: Option<(u32, [u8; 32])>,
}

/// The flash, and at most one session that writes to it.
pub struct Ota<F> {
    flash: F,
    table: PartitionTable,
    otadata: Option<Partition>,
    running: Partition,
    images: Images,
    session: Option<Session>,
    handle_last: u32,
    /// This slot was verified and not written to since.
    verified: Option<u8>,
}

impl<F: NorFlash> Ota<F> {
    /// `running` must be an app partition of `table`.
    pub fn new(flash: F, table: PartitionTable, running: Partition, images: Images) -> Self {
        Ota {
            flash,
            otadata: table.find_otadata().cloned(),
            table,
            running,
            images,
            session: None,
            handle_last: 0,
            verified: None,
        }
    }

    pub fn get_running_partition(&self) -> &Partition {
        &self.running
    }

    /// The partition that boots next, as otadata tells it.
    pub fn get_boot_partition(&mut self) -> Result<Partition, EspError> {
        let otadata = self.otadata()?;
        let selected = otadata
            .active()
            .and_then(|at| otadata.entries[at])
            .and_then(|entry| self.table.ota(self.slot(entry)?));
        let default = self.table.factory().or_else(|| self.table.ota(0));
        selected
            .or(default)
            .cloned()
            .ok_or(EspError::OtaSelectInfoInvalid)
    }

    /// The OTA slot after `start_from`, by default after the running one; never the running one.
    pub fn get_next_update_partition(&self, start_from: Option<&Partition>) -> Option<&Partition> {
        let slots = self.table.ota_slots_count();
        let first = match start_from.unwrap_or(&self.running).kind {
            Kind::App(AppKind::Ota(slot)) => slot + 1,
            _ => 0,
        };
        (0..slots)
            .filter_map(|step| self.table.ota((first + step) % slots))
            .find(|partition| **partition != self.running)
    }

    /// Makes `partition` boot next, after verifying it. The factory app is chosen by erasing
    /// otadata.
    pub fn set_boot_partition(&mut self, partition: &Partition) -> Result<(), EspError> {
        if !matches!(partition.kind, Kind::App(_)) {
            return Err(EspError::InvalidArg);
        }
        self.verify_partition(partition)?;
        self.select(partition, State::New)
    }

    /// Whether `partition` holds a valid image.
    fn verify_partition(&mut self, partition: &Partition) -> Result<(), EspError> {
        let Images::App(chip) = self.images else {
            return Ok(());
        };
        if matches!(partition.kind, Kind::App(AppKind::Ota(slot)) if self.verified == Some(slot)) {
            return Ok(());
        }
        crate::flash::image::verify(&mut self.flash, partition.offset, partition.size, chip)
            .map(drop)
            .map_err(|_| EspError::OtaValidateFailed)
    }

    /// The running app works: it boots from now on.
    pub fn mark_app_valid_cancel_rollback(&mut self) -> Result<(), EspError> {
        let running = self.running.clone();
        match (self.running_slot(), self.running_entry()?) {
            (None, _) | (_, Some((_, State::Valid))) => Ok(()),
            // In place, as ESP-IDF does it: the other entry is the old app's, and all there is to
            // fall back to.
            (_, Some((at, State::PendingVerify))) => self.restate(at, State::Valid),
            _ => self.select(&running, State::Valid),
        }
    }

    /// The running app does not work: the one before boots from now on. The caller reboots.
    pub fn mark_app_invalid_rollback_and_reboot(&mut self) -> Result<(), EspError> {
        let otadata = self.otadata()?;
        let running = self.running_slot().ok_or(EspError::OtaRollbackFailed)?;
        let is_other = |entry: &Entry| self.slot(*entry) != Some(running);
        let mut counting = otadata
            .entries
            .iter()
            .flatten()
            .filter(|entry| !entry.state.is_refused());
        if self.table.factory().is_none() && !counting.any(is_other) {
            return Err(EspError::OtaRollbackFailed);
        }
        match self.running_entry()? {
            Some((at, _)) => self.restate(at, State::Invalid),
            None => Ok(()),
        }
    }

    /// Makes `partition` boot next, whatever it holds.
    fn select(&mut self, partition: &Partition, state: State) -> Result<(), EspError> {
        let Kind::App(AppKind::Ota(slot)) = partition.kind else {
            let place = self.otadata.as_ref().ok_or(EspError::NotFound)?;
            let (from, to) = (place.offset, place.offset + 2 * SECTOR_BYTES);
            let erased = self.flash.erase(from, to);
            return erased.map_err(|_| EspError::FlashOpFail);
        };
        let seq = self.fresh_seq(slot)?;
        let which = self.otadata()?.spare();
        self.write_entry(which, Entry { seq, state })
    }

    /// Gives an entry another state, where it is.
    fn restate(&mut self, which: usize, state: State) -> Result<(), EspError> {
        let entry = self.otadata()?.entries[which].ok_or(EspError::NotFound)?;
        self.write_entry(which, Entry { state, ..entry })
    }

    /// Writes an entry and reads it back: a worn sector may not say that it did not take it.
    fn write_entry(&mut self, which: usize, entry: Entry) -> Result<(), EspError> {
        let place = self.otadata.clone().ok_or(EspError::NotFound)?;
        let mut otadata = self.otadata()?;
        otadata
            .write(&mut self.flash, &place, which, entry)
            .map_err(|_| EspError::FlashOpFail)?;
        match self.otadata()?.entries[which] == Some(entry) {
            true => Ok(()),
            false => Err(EspError::FlashOpFail),
        }
    }

    /// Whether the running app was selected as new and no bootloader watches over it.
    pub(crate) fn is_new(&mut self) -> Result<bool, EspError> {
        Ok(matches!(self.running_entry()?, Some((_, State::New))))
    }

    /// Whether the running app has still to prove itself, by its newest entry.
    pub(crate) fn is_unproven(&mut self) -> Result<bool, EspError> {
        let entry = self.own_entry()?;
        // Refused, and yet it runs: its choice was taken back.
        Ok(entry.is_some_and(|one| !matches!(one.state, State::Valid | State::Undefined)))
    }

    /// The number of the running slot's newest entry.
    pub(crate) fn own_seq(&mut self) -> Result<u32, EspError> {
        Ok(self.own_entry()?.ok_or(EspError::NotFound)?.seq)
    }

    fn own_entry(&mut self) -> Result<Option<Entry>, EspError> {
        let (Some(_), Some(running)) = (&self.otadata, self.running_slot()) else {
            return Ok(None);
        };
        let otadata = self.otadata()?;
        let own = otadata.entries.iter().flatten();
        let own = own.filter(|entry| self.slot(**entry) == Some(running));
        Ok(own.max_by_key(|entry| entry.seq).copied())
    }

    /// The app before the running one boots from now on: in place, for the other entry is its only one.
    pub(crate) fn take_back(&mut self) -> Result<(), EspError> {
        let Some((active, _)) = self.running_entry()? else {
            return Ok(());
        };
        let other = self.otadata()?.entries[1 - active];
        let is_before = other.is_some_and(|entry| !entry.state.is_refused());
        if is_before || self.table.factory().is_some() {
            self.restate(active, State::Invalid)?;
        }
        Ok(())
    }

    /// The running app boots from now on. For the factory app the others are refused, not erased:
    /// their numbers tell what was tried.
    pub(crate) fn give_boot_to_running(&mut self) -> Result<(), EspError> {
        let running = self.running.clone();
        if self.running_slot().is_some() {
            return self.select(&running, State::Valid);
        }
        for _ in 0..2 {
            if let Some(at) = self.otadata()?.active() {
                self.restate(at, State::Invalid)?;
            }
        }
        Ok(())
    }

    /// Whether otadata says that the running slot boots and has proven itself.
    pub(crate) fn is_confirmed(&mut self) -> Result<bool, EspError> {
        Ok(matches!(self.running_entry()?, Some((_, State::Valid))))
    }

    /// Whether otadata names the running slot.
    pub(crate) fn is_selected(&mut self) -> Result<bool, EspError> {
        Ok(self.running_entry()?.is_some())
    }

    /// Whether the bootloader waits for the running app's word.
    fn pending_verify(&mut self) -> Result<bool, EspError> {
        let entry = self.running_entry()?;
        Ok(matches!(entry, Some((_, State::PendingVerify))))
    }

    fn running_slot(&self) -> Option<u8> {
        match self.running.kind {
            Kind::App(AppKind::Ota(slot)) => Some(slot),
            _ => None,
        }
    }

    /// Place and state of the entry that boots next, if it is the running slot's.
    fn running_entry(&mut self) -> Result<Option<(usize, State)>, EspError> {
        let (Some(_), Some(running)) = (&self.otadata, self.running_slot()) else {
            return Ok(None);
        };
        let otadata = self.otadata()?;
        let found = || {
            let at = otadata.active()?;
            let entry = otadata.entries[at]?;
            (self.slot(entry) == Some(running)).then_some((at, entry.state))
        };
        Ok(found())
    }

    /// A sequence number that selects `slot` and that no entry has had, refused ones neither: it
    /// tells whether a trial's entry was ever written.
    pub(crate) fn fresh_seq(&mut self, slot: u8) -> Result<u32, EspError> {
        let mut otadata = self.otadata()?;
        for entry in otadata.entries.iter_mut().flatten() {
            entry.state = State::Valid;
        }
        Ok(otadata.next_seq(slot, self.table.ota_slots_count()))
    }

    fn slot(&self, entry: Entry) -> Option<u8> {
        Otadata::slot(entry, self.table.ota_slots_count())
    }

    pub(crate) fn otadata(&mut self) -> Result<Otadata, EspError> {
        let partition = self.otadata.as_ref().ok_or(EspError::NotFound)?;
        Otadata::read(&mut self.flash, partition).map_err(|_| EspError::FlashOpFail)
    }

    pub(crate) fn table(&self) -> &PartitionTable {
        &self.table
    }

    pub(crate) fn images(&self) -> Images {
        self.images
    }

    pub(crate) fn flash(&mut self) -> &mut F {
        &mut self.flash
    }

    /// Size of the flash, bytes.
    pub(crate) fn capacity(&self) -> usize {
        self.flash.capacity()
    }

    /// Gives the flash back.
    pub fn into_flash(self) -> F {
        self.flash
    }
}
