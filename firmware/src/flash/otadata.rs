//! otadata: which OTA slot boots. Two entries, each in a sector of its own, so that one stands
//! while the other is rewritten.
//!
//! Source: ESP-IDF, "Over The Air Updates (OTA)", `esp_ota_select_entry_t`.

use embedded_storage::nor_flash::{NorFlash, ReadNorFlash};

use super::{SECTOR_BYTES, crc32::crc32_le, partition_table::Partition};

/// Bytes of the otadata partition.
pub const PARTITION_BYTES: u32 = airlift_esp::OTADATA_BYTES;

/// Bytes of an entry, at the beginning of its sector.
pub const ENTRY_BYTES: usize = 32;

/// The sequence number of erased flash.
const SEQ_ERASED: u32 = u32::MAX;

/// How far the image that an entry selects has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Not booted yet.
    New,
    /// Booted once by a bootloader with rollback, not confirmed.
    PendingVerify,
    /// Confirmed.
    Valid,
    /// Refused by itself.
    Invalid,
    /// Not confirmed before the next boot.
    Aborted,
    /// Written without rollback.
    Undefined,
    Unknown(u32),
}

impl State {
    /// The state's word in the flash.
    #[must_use]
    pub fn to_u32(self) -> u32 {
        match self {
            Self::New => 0,
            Self::PendingVerify => 1,
            Self::Valid => 2,
            Self::Invalid => 3,
            Self::Aborted => 4,
            Self::Undefined => u32::MAX,
            Self::Unknown(word) => word,
        }
    }

    /// The state that a word in the flash means.
    #[must_use]
    pub fn from_u32(word: u32) -> Self {
        match word {
            0 => Self::New,
            1 => Self::PendingVerify,
            2 => Self::Valid,
            3 => Self::Invalid,
            4 => Self::Aborted,
            u32::MAX => Self::Undefined,
            word => Self::Unknown(word),
        }
    }

    /// Whether the bootloader passes over an entry of this state.
    #[must_use]
    pub fn is_refused(self) -> bool {
        matches!(self, Self::Invalid | Self::Aborted)
    }
}

/// One entry whose checksum fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The highest one boots; modulo the number of slots it names the slot.
    pub seq: u32,
    pub state: State,
}

impl Entry {
    /// As it lies in the flash. The label, which nobody reads, stays as erased.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; ENTRY_BYTES] {
        let seq = self.seq.to_le_bytes();
        let state = self.state.to_u32().to_le_bytes();
        let crc = checksum(self.seq).to_le_bytes();
        let mut bytes = [0xFF; ENTRY_BYTES];
        let end = [state, crc];
        let fields = seq
            .iter()
            .zip(0..)
            .chain(end.as_flattened().iter().zip(24..));
        for (byte, at) in fields {
            if let Some(place) = bytes.get_mut::<usize>(at) {
                *place = *byte;
            }
        }
        bytes
    }

    /// None if it is erased or its checksum does not fit.
    #[must_use]
    pub fn parse(bytes: &[u8; ENTRY_BYTES]) -> Option<Self> {
        let (seq, _) = bytes.split_first_chunk::<4>()?;
        let (rest, crc) = bytes.split_last_chunk::<4>()?;
        let (_, state) = rest.split_last_chunk::<4>()?;
        let seq = u32::from_le_bytes(*seq);
        let fits = seq != SEQ_ERASED && u32::from_le_bytes(*crc) == checksum(seq);
        fits.then(|| Self {
            seq,
            state: State::from_u32(u32::from_le_bytes(*state)),
        })
    }
}

/// The checksum covers the sequence number alone.
fn checksum(seq: u32) -> u32 {
    crc32_le(u32::MAX, &seq.to_le_bytes())
}

/// Both entries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Otadata {
    /// None: erased, or the checksum does not fit.
    pub entries: [Option<Entry>; 2],
}

impl Otadata {
    /// Reads both entries.
    ///
    /// # Errors
    /// The flash's own.
    pub fn read<F: ReadNorFlash>(flash: &mut F, partition: &Partition) -> Result<Self, F::Error> {
        let mut otadata = Self::default();
        let sectors = (partition.offset..).step_by(SECTOR_BYTES as usize);
        for (entry, offset) in otadata.entries.iter_mut().zip(sectors) {
            let mut bytes = [0; ENTRY_BYTES];
            flash.read(offset, &mut bytes)?;
            *entry = Entry::parse(&bytes);
        }
        Ok(otadata)
    }

    /// Which entry the bootloader goes by: the highest sequence number whose state is not refused;
    /// the first if both are alike. None: it boots the factory app, or `ota_0` without one.
    #[must_use]
    pub fn active(&self) -> Option<usize> {
        let seq = |entry: &Option<Entry>| entry.filter(|e| !e.state.is_refused()).map(|e| e.seq);
        let [first, second] = [0, 1].map(|which| self.entries.get(which).and_then(seq));
        match (first, second) {
            (None, None) => None,
            // An entry that counts is more than None.
            _ => Some(usize::from(second > first)),
        }
    }

    /// The entry to rewrite: never the active one.
    #[must_use]
    pub fn spare(&self) -> usize {
        self.active().map_or(0, |active| 1 - active)
    }

    /// The slot, counted from 0, that an entry selects among `slots`. None if there are none.
    #[must_use]
    pub fn slot(entry: Entry, slots: u8) -> Option<u8> {
        let slot = entry.seq.wrapping_sub(1).checked_rem(u32::from(slots))?;
        u8::try_from(slot).ok()
    }

    /// The smallest sequence number above the active one's that selects `slot` among `slots`;
    /// `slot + 1` if none is active. ESP-IDF's `esp_ota_set_boot_partition` computes the same for
    /// another slot than the active one; for the active one it repeats the number, which leaves it
    /// to chance which of two equal entries is the newer.
    ///
    /// At the end of the 32 bits, which no flash lives to see, counting starts over.
    #[must_use]
    pub fn next_seq(&self, slot: u8, slots: u8) -> u32 {
        let first = u64::from(slot) + 1;
        let slots = u64::from(slots.max(1));
        let active = self
            .active()
            .and_then(|which| self.entries.get(which).copied().flatten())
            .map_or(0, |entry| u64::from(entry.seq));
        let next = if first > active {
            first
        } else {
            first + ((active - first) / slots + 1) * slots
        };
        match u32::try_from(next) {
            Ok(seq) if seq != SEQ_ERASED => seq,
            _ => u32::from(slot) + 1,
        }
    }

    /// Erases the sector of entry `which` (0 or 1) and writes `entry` there. A power cut leaves it
    /// blank or its checksum wrong: write the [spare](Self::spare) one, and the other still counts.
    ///
    /// # Errors
    /// The flash's own.
    pub fn write<F: NorFlash>(
        &mut self,
        flash: &mut F,
        partition: &Partition,
        which: usize,
        entry: Entry,
    ) -> Result<(), F::Error> {
        let which = which & 1;
        let offset = if which == 0 {
            partition.offset
        } else {
            partition.offset + SECTOR_BYTES
        };
        self.set(which, None);
        flash.erase(offset, offset + SECTOR_BYTES)?;
        flash.write(offset, &entry.to_bytes())?;
        self.set(which, Some(entry));
        Ok(())
    }

    fn set(&mut self, which: usize, entry: Option<Entry>) {
        if let Some(place) = self.entries.get_mut(which) {
            *place = entry;
        }
    }
}
