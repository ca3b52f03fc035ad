//! The exchange of old and new web part, in steps that a power cut cannot harm.
//!
//! The partition holds web sectors W, the room places R. With n changed sectors there are n + 1 places:
//! one is spare, and the spare place wanders. Upwards, for k = 0 to n - 1:
//!
//! | position | step | |
//! |---|---|---|
//! | 2k → 2k + 1 | W(k) → R(k) | the old content to the spare place |
//! | 2k + 1 → 2k + 2 | R(k + 1) → W(k) | the new one in its stead; R(k + 1) is spare from then on |
//!
//! So at position 0 the web part is the old one and R(1) to R(n) hold the new content; at 2n it is the
//! new one and R(0) to R(n - 1) hold the old content. Downwards the same is undone:
//!
//! | position | step |
//! |---|---|
//! | 2k + 2 → 2k + 1 | W(k) → R(k + 1) |
//! | 2k + 1 → 2k | R(k) → W(k) |
//!
//! No step writes to what it reads, nor to what the position before or behind it needs: whatever a step
//! that was cut has left, it can be done again or undone. Each that is done is a word in the journal,
//! programmed to zero; a torn word is not zero. A pass erases no sector more than once.

#[cfg(test)]
mod tests;

use embedded_storage::nor_flash::NorFlash;
use sha2::{Digest, Sha256};

use super::{
    Motion, PAGE_BYTES, Record, Room, WebError, are_equal, copy, erase, is_blank, read,
    room::{STEPS_PER_SECTOR, WORD_BYTES},
};
use crate::{
    flash::{SECTOR_BYTES, partition_table::PartitionTable},
    saved::Memory,
};

/// A step is done.
const DONE: [u8; WORD_BYTES as usize] = [0; WORD_BYTES as usize];

/// Which web part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Old,
    New,
}

/// An exchange under way.
pub(crate) struct Swap<'s, F> {
    flash: &'s mut F,
    memory: &'s mut Memory,
    room: Room,
    record: &'s mut Record,
}

impl<'s, F: NorFlash> Swap<'s, F> {
    pub(crate) fn new(
        flash: &'s mut F,
        memory: &'s mut Memory,
        table: &PartitionTable,
        record: &'s mut Record,
    ) -> Result<Self, WebError> {
        let room = Room::new(table, &record.layout)?;
        let changed = record.changed.count();
        if changed > room.changes_max() {
            let room = room.changes_max();
            return Err(WebError::NoRoom { changed, room });
        }
        Ok(Swap {
            flash,
            memory,
            room,
            record,
        })
    }

    /// Brings the web part of that side into the partition, from wherever a power cut has left it.
    /// Nothing is begun that would not end well: what is to come must be there in every byte. False:
    /// it was in the partition already.
    pub(crate) fn go(&mut self, side: Side) -> Result<bool, WebError> {
        let (motion, end) = match side {
            Side::Old => (Motion::Down, 0),
            Side::New => (Motion::Up, STEPS_PER_SECTOR * self.record.changed.count()),
        };
        let mut at = self.position()?;
        if self.record.motion != motion {
            if self.record.motion != Motion::Rest {
                // The journal is to be erased, so the record must say how far it was.
                self.note(Motion::Rest, at)?;
            }
            if at == end {
                return Ok(false);
            }
            self.check(side, at)?;
            self.erase_journal()?;
            self.note(motion, at)?;
        }
        let begun = u32::from(self.record.position);
        if at != begun {
            // The power may have gone while it was written, so that it would not stay.
            self.mark(at.abs_diff(begun) - 1)?;
        }
        while at != end {
            at = match motion {
                Motion::Down => self.step_down(at)?,
                _ => self.step_up(at)?,
            };
            self.mark(at.abs_diff(begun) - 1)?;
        }
        self.check(side, end)?;
        // If it fails, the next boot finds the pass at its end all the same.
        let _ = self.note(Motion::Rest, end);
        Ok(true)
    }

    /// Steps from the old content to where it is.
    fn position(&mut self) -> Result<u32, WebError> {
        let begun = u32::from(self.record.position);
        let end = STEPS_PER_SECTOR * self.record.changed.count();
        if begun > end {
            return Err(WebError::Altered);
        }
        match self.record.motion {
            Motion::Rest => Ok(begun),
            Motion::Up => Ok(begun + self.steps_done(end - begun)?),
            Motion::Down => Ok(begun - self.steps_done(begun)?),
        }
    }

    /// Steps that the journal knows of, of at most `limit`. The last one counts: all before it were
    /// done, too.
    fn steps_done(&mut self, limit: u32) -> Result<u32, WebError> {
        let mut word = [0xFF; WORD_BYTES as usize];
        for step in (0..limit).rev() {
            read(self.flash, self.room.word(step)?, &mut word)?;
            if word == DONE {
                return Ok(step + 1);
            }
        }
        Ok(0)
    }

    /// Notes that a step is done.
    fn mark(&mut self, step: u32) -> Result<(), WebError> {
        let at = self.room.word(step)?;
        self.flash.write(at, &DONE).map_err(|_| WebError::Flash)?;
        let mut back = [0xFF; WORD_BYTES as usize];
        read(self.flash, at, &mut back)?;
        if back == DONE {
            Ok(())
        } else {
            Err(WebError::Flash)
        }
    }

    fn erase_journal(&mut self) -> Result<(), WebError> {
        for sector in self.room.journal() {
            let sector = sector?;
            erase(self.flash, sector)?;
            let mut page = [0; PAGE_BYTES];
            for at in (0..SECTOR_BYTES).step_by(PAGE_BYTES) {
                read(self.flash, sector + at, &mut page)?;
                if !is_blank(&page) {
                    return Err(WebError::Flash);
                }
            }
        }
        Ok(())
    }

    /// Makes the motion and its beginning durable.
    fn note(&mut self, motion: Motion, position: u32) -> Result<(), WebError> {
        let before = (self.record.motion, self.record.position);
        (self.record.motion, self.record.position) = (motion, position as u16);
        let saved = self.memory.save_web(self.flash, self.record);
        saved.map_err(|_| {
            (self.record.motion, self.record.position) = before;
            WebError::Memory
        })
    }

    fn step_up(&mut self, at: u32) -> Result<u32, WebError> {
        let k = at / STEPS_PER_SECTOR;
        let web = self.web(k)?;
        if at.is_multiple_of(STEPS_PER_SECTOR) {
            self.replace(self.room.place(k)?, web)?;
        } else {
            self.replace(web, self.room.place(k + 1)?)?;
        }
        Ok(at + 1)
    }

    fn step_down(&mut self, at: u32) -> Result<u32, WebError> {
        let to = at - 1;
        let k = to / STEPS_PER_SECTOR;
        let web = self.web(k)?;
        if to.is_multiple_of(STEPS_PER_SECTOR) {
            self.replace(web, self.room.place(k)?)?;
        } else {
            self.replace(self.room.place(k + 1)?, web)?;
        }
        Ok(to)
    }

    /// Where the changed sector `k` of the web part lies.
    fn web(&self, k: u32) -> Result<u32, WebError> {
        let sector = self.record.changed.sectors().nth(k as usize);
        Ok(self.room.web(sector.ok_or(WebError::Altered)?))
    }

    /// A sector that takes nothing any more may hold the right bytes all the same: what did not let
    /// the new web part in still holds the old one.
    fn replace(&mut self, to: u32, from: u32) -> Result<(), WebError> {
        erase(self.flash, to)
            .and_then(|()| copy(self.flash, from, to, SECTOR_BYTES))
            .or_else(|_| are_equal(self.flash, from, to, SECTOR_BYTES))
    }

    /// Whether all of that side's web part is there, where it has to be at this position.
    fn check(&mut self, side: Side, at: u32) -> Result<(), WebError> {
        let mut sha256 = Sha256::new();
        let mut page = [0; PAGE_BYTES];
        let mut k = 0;
        for sector in 0..self.record.layout.sectors() {
            let mut from = self.room.web(sector);
            if self.record.changed.has(sector) {
                let begins = STEPS_PER_SECTOR * k;
                match side {
                    Side::Old if at > begins => from = self.room.place(k)?,
                    Side::New if at < begins + STEPS_PER_SECTOR => from = self.room.place(k + 1)?,
                    _ => {}
                }
                k += 1;
            }
            for at in (0..SECTOR_BYTES).step_by(PAGE_BYTES) {
                read(self.flash, from + at, &mut page)?;
                sha256.update(page);
            }
        }
        let expected = match side {
            Side::Old => self.record.old,
            Side::New => self.record.new,
        };
        if sha256.finalize()[..] == expected {
            Ok(())
        } else {
            Err(WebError::Altered)
        }
    }
}
