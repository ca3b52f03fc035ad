//! Room for a change of the web part: sectors that nobody needs while it is under way.
//!
//! First a journal, then one sector more than change. Where each lies follows from the partition table
//! and a [`Layout`] alone, so that the new image finds what the old one has put there. Their order
//! therefore never changes:
//!
//! 1. the end of the OTA slot that did not run when the update began, behind the new firmware; of an
//!    update without firmware the whole slot;
//! 2. the end of `spiffs_web`, behind the largest web part;
//! 3. the flash behind the partition table that is in no partition, in ascending order.

use airlift_bundle::PartName;
use heapless::Vec;

use super::{WebError, changed::SECTORS_MAX};
use crate::flash::{
    SECTOR_BYTES,
    partition_table::{
        FLAG_ENCRYPTED, FLAG_READONLY, PARTITION_TABLE_OFFSET, PARTITIONS_MAX, Partition,
        PartitionTable,
    },
};

/// A journal's word, bytes: the flash's smallest write.
pub(super) const WORD_BYTES: u32 = 4;
const WORDS_PER_SECTOR: u32 = SECTOR_BYTES / WORD_BYTES;
/// Steps that exchange one sector.
pub(super) const STEPS_PER_SECTOR: u32 = 2;
/// The slot's end, the web partition's end, and a gap before each partition and behind the last.
const AREAS_MAX: usize = PARTITIONS_MAX + 3;

/// What the places depend on, beside the partition table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Layout {
    /// Number of the OTA slot that did not run when the update began.
    pub(crate) slot: Option<u8>,
    /// Size of the new firmware in it; 0 if the update has none.
    pub(crate) firmware_bytes: u32,
    pub(crate) web_bytes: u32,
    /// Most bytes of a web part; 0 for as many as the partition has.
    pub(crate) web_bytes_max: u32,
    pub(crate) flash_bytes: u32,
}

impl Layout {
    /// Whether the update has firmware.
    pub(crate) fn has_firmware(&self) -> bool {
        self.firmware_bytes > 0
    }

    pub(super) fn sectors(&self) -> u32 {
        self.web_bytes.div_ceil(SECTOR_BYTES)
    }
}

#[derive(Clone, Copy, Debug)]
struct Area {
    offset: u32,
    sectors: u32,
}

/// The sectors of the web part and those of its room.
#[derive(Clone, Debug)]
pub(crate) struct Room {
    /// Where the web part lies.
    web: u32,
    journal_sectors: u32,
    areas: Vec<Area, AREAS_MAX>,
}

impl Room {
    pub(crate) fn new(table: &PartitionTable, layout: &Layout) -> Result<Self, WebError> {
        let web = PartName::Web.partition();
        let web = table.find(web).ok_or(WebError::NoPartition)?;
        if web.flags & (FLAG_ENCRYPTED | FLAG_READONLY) != 0 {
            return Err(WebError::Protected);
        }
        let whole = web.size.min(SECTORS_MAX * SECTOR_BYTES) / SECTOR_BYTES * SECTOR_BYTES;
        let limit = match layout.web_bytes_max {
            0 => whole,
            most => most.min(whole),
        };
        if layout.web_bytes > limit {
            return Err(WebError::TooLarge {
                web: layout.web_bytes,
                limit,
            });
        }
        let steps = STEPS_PER_SECTOR * layout.sectors();
        let mut room = Room {
            web: web.offset,
            journal_sectors: steps.div_ceil(WORDS_PER_SECTOR),
            areas: Vec::new(),
        };
        if let Some(slot) = layout.slot.and_then(|slot| table.ota(slot)) {
            room.add(slot.offset.saturating_add(layout.firmware_bytes), end(slot));
        }
        room.add(web.offset.saturating_add(limit), end(web));
        room.add_gaps(table, layout.flash_bytes);
        Ok(room)
    }

    /// What is in no partition.
    fn add_gaps(&mut self, table: &PartitionTable, flash_bytes: u32) {
        let mut from = PARTITION_TABLE_OFFSET + SECTOR_BYTES;
        loop {
            let behind = table.iter().filter(|one| one.offset >= from);
            let Some(next) = behind.min_by_key(|one| one.offset) else {
                break;
            };
            self.add(from, next.offset.min(flash_bytes));
            from = end(next);
        }
        self.add(from, flash_bytes);
    }

    /// Adds the whole sectors between two addresses, if there are any.
    fn add(&mut self, from: u32, to: u32) {
        let first = from.div_ceil(SECTOR_BYTES);
        let sectors = (to / SECTOR_BYTES).saturating_sub(first);
        if sectors > 0 {
            // There is a place for each that there can be.
            let _ = self.areas.push(Area {
                offset: first * SECTOR_BYTES,
                sectors,
            });
        }
    }

    /// Sectors of the web part that may change.
    pub(crate) fn changes_max(&self) -> u32 {
        let sectors: u32 = self.areas.iter().map(|area| area.sectors).sum();
        sectors.saturating_sub(self.journal_sectors + 1)
    }

    /// Where a sector of the web part lies.
    pub(super) fn web(&self, sector: u32) -> u32 {
        self.web + sector * SECTOR_BYTES
    }

    /// Where the room's sector `index` lies, from 0 to [`Self::changes_max`].
    pub(super) fn place(&self, index: u32) -> Result<u32, WebError> {
        self.sector(self.journal_sectors + index)
    }

    /// Where the journal's sectors lie.
    pub(super) fn journal(&self) -> impl Iterator<Item = Result<u32, WebError>> + '_ {
        (0..self.journal_sectors).map(|index| self.sector(index))
    }

    /// Where the journal's word for a step lies.
    pub(super) fn word(&self, step: u32) -> Result<u32, WebError> {
        let sector = self.sector(step / WORDS_PER_SECTOR)?;
        Ok(sector + step % WORDS_PER_SECTOR * WORD_BYTES)
    }

    fn sector(&self, mut index: u32) -> Result<u32, WebError> {
        for area in &self.areas {
            if index < area.sectors {
                return Ok(area.offset + index * SECTOR_BYTES);
            }
            index -= area.sectors;
        }
        Err(WebError::NoRoom {
            changed: index,
            room: self.changes_max(),
        })
    }
}

/// First byte behind a partition. A sound table's last one may end where 32 bits do.
fn end(partition: &Partition) -> u32 {
    partition.offset.saturating_add(partition.size)
}
