//! A flash chip in a file: what the core writes lies there as a NOR chip would hold it, so that the
//! file can be read by, and come from, the tools for real boards.

mod fault;

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom, Write},
    ops::Range,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use airlift_firmware::flash::SECTOR_BYTES;
use embedded_storage::nor_flash::{
    ErrorType, NorFlash, NorFlashError, NorFlashErrorKind, ReadNorFlash,
};

use self::fault::Power;
pub use self::fault::PowerCut;

/// Bytes a chip programs in one operation at most.
const PAGE_BYTES: usize = 256;
const WORD_BYTES: usize = 4;
const ERASED: u8 = 0xFF;

/// Why the chip did not do as it was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChipError {
    /// A fault of ours: nothing answers until [`Chip::power_on`].
    PowerCut,
    /// The file cannot be read or written; [`Chip::failure`] has the words.
    File,
    NotAligned,
    OutOfBounds,
}

impl NorFlashError for ChipError {
    fn kind(&self) -> NorFlashErrorKind {
        match self {
            ChipError::PowerCut | ChipError::File => NorFlashErrorKind::Other,
            ChipError::NotAligned => NorFlashErrorKind::NotAligned,
            ChipError::OutOfBounds => NorFlashErrorKind::OutOfBounds,
        }
    }
}

/// Which writes must survive a power cut of the PC, and in which order.
///
/// A sector is a page of the system's cache, which goes to the disk as a whole: within one sector
/// the order keeps itself. It has to be forced where writing moves on to another sector and one of
/// the two holds records (NVS, otadata), or it is not the next one, as when web parts change places;
/// and before anything recorded is told to the world.
#[derive(Clone, Debug, Default)]
pub struct Durability {
    /// Where records lie, bytes. Empty: nothing is ever forced.
    pub records: Vec<Range<u32>>,
}

impl Durability {
    fn holds_records(&self, address: u32) -> bool {
        self.records.iter().any(|range| range.contains(&address))
    }
}

/// What was written and may not be on the disk yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unsynced {
    Nothing,
    /// Sectors up to this one, in their order.
    Slots(u32),
    /// This sector of records.
    Record(u32),
}

impl Unsynced {
    /// Whether this must be on the disk before `next` is written.
    fn is_before(self, next: Unsynced) -> bool {
        match (self, next) {
            (Unsynced::Nothing, _) => false,
            (Unsynced::Slots(last), Unsynced::Slots(next)) => !(last..=last + 1).contains(&next),
            (last, next) => last != next,
        }
    }
}

/// The one handle to a gateway's flash; clones are the same chip.
#[derive(Clone, Debug)]
pub struct Chip(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// Bytes.
    size: u32,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    file: File,
    durability: Durability,
    unsynced: Unsynced,
    power: Power,
    failure: Option<String>,
}

impl Chip {
    /// A chip of `size` bytes whose contents are `file`; what lies beyond the file's end is erased.
    /// Nothing is durable before [`Self::keep`] says what is to be.
    pub fn new(file: File, size: u32) -> Self {
        Chip(Arc::new(Inner {
            size,
            state: Mutex::new(State {
                file,
                durability: Durability::default(),
                unsynced: Unsynced::Nothing,
                power: Power::default(),
                failure: None,
            }),
        }))
    }

    /// Says what must survive.
    pub fn keep(&self, durability: Durability) {
        self.state().durability = durability;
    }

    /// Makes durable what is recorded. Cheap when there is nothing to do.
    pub fn settle(&self) -> io::Result<()> {
        let mut state = self.state();
        match state.unsynced {
            Unsynced::Record(_) => state.sync(),
            Unsynced::Nothing | Unsynced::Slots(_) => Ok(()),
        }
    }

    /// Begins a life of the chip, with a power cut to come or without.
    pub fn power_on(&self, cut: Option<PowerCut>) {
        self.state().power = Power::on(cut);
    }

    /// Whether the power was cut since it was switched on.
    pub fn is_cut(&self) -> bool {
        self.state().power.is_off()
    }

    /// What the system said when the file could not be read or written.
    pub fn failure(&self) -> Option<String> {
        self.state().failure.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic elsewhere leaves no half-done state that a power cut would not leave.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn check(&self, address: u32, length: usize, unit: usize) -> Result<(), ChipError> {
        if !(address as usize).is_multiple_of(unit) || !length.is_multiple_of(unit) {
            return Err(ChipError::NotAligned);
        }
        if u64::from(address) + length as u64 > u64::from(self.0.size) {
            return Err(ChipError::OutOfBounds);
        }
        Ok(())
    }
}

impl State {
    /// Waits until what must be on the disk before a write to `address` is there.
    fn keep_order(&mut self, address: u32) -> Result<(), ChipError> {
        if self.durability.records.is_empty() {
            return Ok(());
        }
        let sector = address / SECTOR_BYTES;
        let next = if self.durability.holds_records(address) {
            Unsynced::Record(sector)
        } else {
            Unsynced::Slots(sector)
        };
        if self.unsynced.is_before(next) {
            let synced = self.sync();
            self.done(synced)?;
        }
        self.unsynced = next;
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        self.file.sync_data()?;
        self.unsynced = Unsynced::Nothing;
        Ok(())
    }

    fn done(&mut self, result: io::Result<()>) -> Result<(), ChipError> {
        result.map_err(|error| {
            self.failure.get_or_insert(error.to_string());
            ChipError::File
        })
    }

    fn read(&mut self, address: u32, bytes: &mut [u8]) -> Result<(), ChipError> {
        let mut read = || -> io::Result<()> {
            self.file.seek(SeekFrom::Start(address.into()))?;
            let mut filled = 0;
            while filled < bytes.len() {
                match self.file.read(&mut bytes[filled..]) {
                    Ok(0) => break,
                    Ok(count) => filled += count,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(error),
                }
            }
            bytes[filled..].fill(ERASED);
            Ok(())
        };
        let result = read();
        self.done(result)
    }

    fn write(&mut self, address: u32, bytes: &[u8]) -> Result<(), ChipError> {
        let mut write = || -> io::Result<()> {
            self.file.seek(SeekFrom::Start(address.into()))?;
            self.file.write_all(bytes)
        };
        let result = write();
        self.done(result)
    }

    /// Programs bytes within one page: bits are only cleared.
    fn program(&mut self, address: u32, bytes: &[u8]) -> Result<(), ChipError> {
        let fate = self.power.next_operation()?;
        let mut page = [0; PAGE_BYTES];
        let held = &mut page[..bytes.len()];
        self.read(address, held)?;
        match fate {
            None => {
                for (held, byte) in held.iter_mut().zip(bytes) {
                    *held &= byte;
                }
                self.write(address, held)
            }
            Some(random) => {
                fault::tear_write(held, bytes, random);
                self.write(address, held)?;
                Err(ChipError::PowerCut)
            }
        }
    }

    fn erase(&mut self, address: u32) -> Result<(), ChipError> {
        let fate = self.power.next_operation()?;
        let mut sector = [ERASED; SECTOR_BYTES as usize];
        match fate {
            None => self.write(address, &sector),
            Some(random) => {
                self.read(address, &mut sector)?;
                fault::tear_erase(&mut sector, random);
                self.write(address, &sector)?;
                Err(ChipError::PowerCut)
            }
        }
    }
}

impl ErrorType for Chip {
    type Error = ChipError;
}

impl ReadNorFlash for Chip {
    const READ_SIZE: usize = 1;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), ChipError> {
        self.check(offset, bytes.len(), Self::READ_SIZE)?;
        let mut state = self.state();
        if state.power.is_off() {
            return Err(ChipError::PowerCut);
        }
        state.read(offset, bytes)
    }

    fn capacity(&self) -> usize {
        self.0.size as usize
    }
}

impl NorFlash for Chip {
    const WRITE_SIZE: usize = WORD_BYTES;
    const ERASE_SIZE: usize = SECTOR_BYTES as usize;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), ChipError> {
        let length = to.checked_sub(from).ok_or(ChipError::OutOfBounds)?;
        self.check(from, length as usize, Self::ERASE_SIZE)?;
        let mut state = self.state();
        for address in (from..to).step_by(Self::ERASE_SIZE) {
            state.keep_order(address)?;
            state.erase(address)?;
        }
        Ok(())
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), ChipError> {
        self.check(offset, bytes.len(), Self::WRITE_SIZE)?;
        let mut state = self.state();
        let (mut address, mut rest) = (offset, bytes);
        while !rest.is_empty() {
            let length = rest.len().min(PAGE_BYTES - address as usize % PAGE_BYTES);
            let (now, later) = rest.split_at(length);
            state.keep_order(address)?;
            state.program(address, now)?;
            (address, rest) = (address + length as u32, later);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
