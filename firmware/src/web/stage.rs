//! A new web part on its way into its room: sectors that are in the partition already are passed over.

use embedded_storage::nor_flash::NorFlash;
use sha2::{Digest, Sha256};

use super::{Changed, Layout, PAGE_BYTES, Record, Room, WebError, copy, erase, read, write};
use crate::{
    VERSION_BYTES_MAX,
    flash::{SECTOR_BYTES, partition_table::PartitionTable},
    text::Text,
};

/// A web part being staged.
#[derive(Debug)]
pub(crate) struct Stage {
    room: Room,
    layout: Layout,
    /// Bytes taken.
    received: u32,
    changed: Changed,
    /// The sector being written differs from the one in the partition.
    differs: bool,
    /// The page being filled.
    page: [u8; PAGE_BYTES],
    reading: Option<Reading>,
}

/// How far the reading back is.
#[derive(Debug, Default)]
struct Reading {
    sector: u32,
    /// Changed sectors before it.
    k: u32,
    old: Sha256,
    new: Sha256,
    /// Of the web part without what fills its last sector.
    exact: Option<[u8; 32]>,
}

/// A web part that was read back from the flash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Staged {
    /// Of the web part.
    pub(crate) sha256: [u8; 32],
    old: [u8; 32],
    new: [u8; 32],
}

impl Stage {
    /// Begins, or goes on at `offset`, whole sectors, with what had [changed](Self::changed) by then.
    pub(crate) fn open(
        table: &PartitionTable,
        layout: Layout,
        offset: u32,
        changed: Changed,
    ) -> Result<Self, WebError> {
        Ok(Stage {
            room: Room::new(table, &layout)?,
            layout,
            received: offset,
            changed,
            differs: false,
            page: [0xFF; PAGE_BYTES],
            reading: None,
        })
    }

    /// What differs from the partition, of the sectors that came.
    pub(crate) fn changed(&self) -> &Changed {
        &self.changed
    }

    /// Takes the next bytes. The last ones complete it.
    pub(crate) fn write<F: NorFlash>(
        &mut self,
        flash: &mut F,
        mut bytes: &[u8],
    ) -> Result<(), WebError> {
        let limit = self.layout.web_bytes;
        if bytes.len() as u64 > u64::from(limit - self.received) {
            let web = self.received.saturating_add(bytes.len() as u32);
            return Err(WebError::TooLarge { web, limit });
        }
        while !bytes.is_empty() {
            let at = self.received as usize % PAGE_BYTES;
            let (now, later) = bytes.split_at(bytes.len().min(PAGE_BYTES - at));
            self.page[at..at + now.len()].copy_from_slice(now);
            self.received += now.len() as u32;
            bytes = later;
            if at + now.len() == PAGE_BYTES || self.received == limit {
                self.flush(flash, self.received.div_ceil(PAGE) * PAGE - PAGE)?;
            }
        }
        if self.received == limit {
            for start in (limit.next_multiple_of(PAGE)..limit.next_multiple_of(SECTOR_BYTES))
                .step_by(PAGE_BYTES)
            {
                self.flush(flash, start)?;
            }
        }
        Ok(())
    }

    /// Compares the page at `start` with the partition's, or writes it where its sector differs.
    fn flush<F: NorFlash>(&mut self, flash: &mut F, start: u32) -> Result<(), WebError> {
        let (sector, within) = (start / SECTOR_BYTES, start % SECTOR_BYTES);
        let web = self.room.web(sector);
        self.differs &= within > 0;
        if !self.differs {
            let mut here = [0; PAGE_BYTES];
            read(flash, web + within, &mut here)?;
            if here != self.page {
                self.take_place(flash)?;
                let to = self.room.place(self.changed.count() + 1)?;
                erase(flash, to)?;
                copy(flash, web, to, within)?;
                self.changed.add(sector);
                self.differs = true;
            }
        }
        if self.differs {
            let to = self.room.place(self.changed.count())?;
            write(flash, to + within, &self.page)?;
        }
        self.page = [0xFF; PAGE_BYTES];
        Ok(())
    }

    /// There must be a place for one sector more.
    fn take_place<F: NorFlash>(&mut self, flash: &mut F) -> Result<(), WebError> {
        let (changed, room) = (self.changed.count() + 1, self.room.changes_max());
        if changed > room {
            return Err(WebError::NoRoom { changed, room });
        }
        if changed == 1 && !self.layout.has_firmware() {
            // The room may be a slot with an image in it, which must not look bootable any more.
            if let Some(first) = self.room.journal().next() {
                erase(flash, first?)?;
            }
        }
        Ok(())
    }

    /// Reads at most about `budget` bytes back. `None`: not all is read yet.
    pub(crate) fn verify<F: NorFlash>(
        &mut self,
        flash: &mut F,
        budget: u32,
    ) -> Result<Option<Staged>, WebError> {
        let reading = self.reading.get_or_insert_default();
        let end = reading.sector.saturating_add(budget / SECTOR_BYTES);
        let sectors = self.layout.sectors();
        while reading.sector < sectors.min(end) {
            reading.take(flash, &self.room, &self.layout, &self.changed)?;
        }
        if reading.sector < sectors {
            return Ok(None);
        }
        let (old, new) = (reading.old.clone(), reading.new.clone());
        let new: [u8; 32] = new.finalize().into();
        Ok(Some(Staged {
            sha256: reading.exact.unwrap_or(new),
            old: old.finalize().into(),
            new,
        }))
    }

    /// The record of what is staged and read back.
    pub(crate) fn record(&self, staged: &Staged, version: Text<VERSION_BYTES_MAX>) -> Record {
        Record {
            layout: self.layout.clone(),
            changed: self.changed.clone(),
            old: staged.old,
            new: staged.new,
            version,
            ..Record::default()
        }
    }
}

const PAGE: u32 = PAGE_BYTES as u32;

impl Reading {
    /// Reads the next sector, old and new.
    fn take<F: NorFlash>(
        &mut self,
        flash: &mut F,
        room: &Room,
        layout: &Layout,
        changed: &Changed,
    ) -> Result<(), WebError> {
        let web = room.web(self.sector);
        let is_changed = changed.has(self.sector);
        self.k += u32::from(is_changed);
        let staged = if is_changed { room.place(self.k)? } else { web };
        let mut page = [0; PAGE_BYTES];
        for at in (0..SECTOR_BYTES).step_by(PAGE_BYTES) {
            read(flash, web + at, &mut page)?;
            self.old.update(page);
            if is_changed {
                read(flash, staged + at, &mut page)?;
            }
            let start = self.sector * SECTOR_BYTES + at;
            let rest = layout.web_bytes.saturating_sub(start);
            if (1..PAGE).contains(&rest) || (rest == 0 && self.exact.is_none()) {
                let (last, _) = page.split_at(rest as usize);
                let exact = self.new.clone().chain_update(last);
                self.exact = Some(exact.finalize().into());
            }
            self.new.update(page);
        }
        self.sector += 1;
        Ok(())
    }
}
