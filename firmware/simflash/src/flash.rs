//! A NOR flash that forgives nothing: bits are only cleared by a write and only set by an erase, every
//! operation can be the one in which the power goes, and what was torn stays torn.

use std::sync::Arc;

use embedded_storage::nor_flash::{
    ErrorType, MultiwriteNorFlash, NorFlash, NorFlashError, NorFlashErrorKind, ReadNorFlash,
};

use crate::Random;

/// Bytes erased at once.
pub const SECTOR_BYTES: usize = 4096;

/// Bytes a chip programs in one operation at most; such a page starts at a multiple of its size.
pub const PAGE_BYTES: usize = 256;

const WORD_BYTES: usize = 4;
const ERASED: u8 = 0xFF;

type Sector = [u8; SECTOR_BYTES];

/// Why the flash refused an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SimError {
    /// The power is gone; nothing answers until [`SimFlash::power_on`].
    #[error("the power is cut")]
    PowerCut,
    /// The chip takes no more writes and erases, see [`SimFlash::fail_writes`].
    #[error("the flash is worn out: no write or erase succeeds any more")]
    WornOut,
    /// Address or length is not a multiple of the operation's unit.
    #[error("{length} bytes at {address:#x} are not aligned")]
    NotAligned {
        /// Where the operation was to begin.
        address: u32,
        /// Bytes it was to cover.
        length: usize,
    },
    /// The operation reaches beyond the end of the flash.
    #[error("{length} bytes at {address:#x} reach beyond the end of the flash")]
    OutOfBounds {
        /// Where the operation was to begin.
        address: u32,
        /// Bytes it was to cover.
        length: usize,
    },
}

impl NorFlashError for SimError {
    fn kind(&self) -> NorFlashErrorKind {
        match self {
            Self::PowerCut | Self::WornOut => NorFlashErrorKind::Other,
            Self::NotAligned { .. } => NorFlashErrorKind::NotAligned,
            Self::OutOfBounds { .. } => NorFlashErrorKind::OutOfBounds,
        }
    }
}

/// What the flash has been asked to do since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Calls of `read`.
    pub reads: u64,
    /// Bytes read.
    pub bytes_read: u64,
    /// Page programs: a write counts once per page of [`PAGE_BYTES`] that it touches.
    pub writes: u64,
    /// Bytes in all page programs, torn ones included.
    pub bytes_written: u64,
    /// Sector erases: an erase counts once per sector.
    pub erases: u64,
}

#[derive(Clone, Debug)]
struct Cut {
    at_operation: u64,
    random: Random,
}

/// How one write or erase goes.
enum Fate {
    Done,
    Torn(Random),
}

/// A simulated NOR flash.
///
/// A clone is an independent flash with the same contents, counters and armed faults. Sectors are shared
/// between clones until one of them changes, so cloning costs little.
///
/// A write or erase that a chip would accept and silently spoil, setting a bit that is 0, is a mistake of
/// the code under test: it panics with the address.
#[derive(Clone, Debug)]
pub struct SimFlash {
    /// `None` is a wholly erased sector.
    sectors: Vec<Option<Arc<Sector>>>,
    erases: Vec<u32>,
    counters: Counters,
    cut: Option<Cut>,
    is_cut: bool,
    cuts_fired: u32,
    fails_at: Option<u64>,
    failures_fired: u32,
}

impl SimFlash {
    /// An erased flash of `size` bytes.
    ///
    /// # Panics
    /// If `size` is 0 or no multiple of [`SECTOR_BYTES`].
    pub fn new(size: usize) -> Self {
        assert!(
            size > 0 && size.is_multiple_of(SECTOR_BYTES),
            "a flash consists of whole sectors, not of {size} bytes"
        );
        Self {
            sectors: vec![None; size / SECTOR_BYTES],
            erases: vec![0; size / SECTOR_BYTES],
            counters: Counters::default(),
            cut: None,
            is_cut: false,
            cuts_fired: 0,
            fails_at: None,
            failures_fired: 0,
        }
    }

    /// A flash with the given contents, erased from their end to the end of the last sector.
    ///
    /// # Panics
    /// If `bytes` is empty.
    pub fn from_bytes(bytes: &[u8]) -> Self {
        let mut flash = Self::new(bytes.len().next_multiple_of(SECTOR_BYTES));
        flash.load(0, bytes);
        flash
    }

    /// Size in bytes.
    pub fn size(&self) -> usize {
        self.sectors.len() * SECTOR_BYTES
    }

    /// All contents, as a programmer's clip on the chip would read them: works without power, counts
    /// nothing.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.bytes(0, self.size())
    }

    /// `length` bytes from `address` on, read like [`Self::to_bytes`].
    ///
    /// # Panics
    /// If they reach beyond the end.
    pub fn bytes(&self, address: u32, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        self.copy_out(address as usize, &mut bytes);
        bytes
    }

    /// Puts any contents at any address, as a cable does before delivery: no rules, nothing counted, no
    /// fault fires.
    ///
    /// # Panics
    /// If they reach beyond the end.
    pub fn load(&mut self, address: u32, bytes: &[u8]) {
        let (mut address, mut rest) = (address as usize, bytes);
        assert!(address + bytes.len() <= self.size(), "loaded past the end");
        while !rest.is_empty() {
            let within = address % SECTOR_BYTES;
            let length = rest.len().min(SECTOR_BYTES - within);
            let (now, later) = rest.split_at(length);
            let number = address / SECTOR_BYTES;
            if self.sectors[number].is_some() || now.iter().any(|&byte| byte != ERASED) {
                self.sector_mut(number)[within..within + length].copy_from_slice(now);
            }
            (address, rest) = (address + length, later);
        }
    }

    /// Turns one bit over, as an ageing cell does.
    ///
    /// # Panics
    /// If `address` is beyond the end or `bit` above 7.
    pub fn flip_bit(&mut self, address: u32, bit: u8) {
        assert!(bit < 8, "a byte has no bit {bit}");
        let address = address as usize;
        self.sector_mut(address / SECTOR_BYTES)[address % SECTOR_BYTES] ^= 1 << bit;
    }

    /// What has been done since the flash was made.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Operations that change the flash: page programs and sector erases, torn ones included.
    pub fn operations(&self) -> u64 {
        self.counters.writes + self.counters.erases
    }

    /// How often each sector has been erased.
    pub fn erase_counts(&self) -> &[u32] {
        &self.erases
    }

    /// Cuts the power in the `n_operations`-th next operation that changes the flash (1: the very next
    /// one; 0: at once, between operations). `seed` chooses what the torn operation leaves behind.
    pub fn cut_after(&mut self, n_operations: u64, seed: u64) {
        if n_operations == 0 {
            self.cut = None;
            self.lose_power();
        } else {
            self.cut = Some(Cut {
                at_operation: self.operations() + n_operations,
                random: Random::new(seed),
            });
        }
    }

    /// Forgets a cut that has not fired.
    pub fn cancel_cut(&mut self) {
        self.cut = None;
    }

    /// Whether the power is off.
    pub fn is_cut(&self) -> bool {
        self.is_cut
    }

    /// How many cuts have happened.
    pub fn cuts_fired(&self) -> u32 {
        self.cuts_fired
    }

    /// Gives the flash power again. Contents are what the cut left.
    pub fn power_on(&mut self) {
        self.is_cut = false;
    }

    /// Lets every write and erase fail without effect, from the `from_operation`-th next one on (1: the
    /// very next one), until [`Self::stop_failing`].
    pub fn fail_writes(&mut self, from_operation: u64) {
        self.fails_at = Some(self.operations() + from_operation);
    }

    /// Ends what [`Self::fail_writes`] began.
    pub fn stop_failing(&mut self) {
        self.fails_at = None;
    }

    /// How many writes and erases have failed through [`Self::fail_writes`].
    pub fn failures_fired(&self) -> u32 {
        self.failures_fired
    }

    fn copy_out(&self, mut address: usize, mut bytes: &mut [u8]) {
        assert!(address + bytes.len() <= self.size(), "read past the end");
        while !bytes.is_empty() {
            let within = address % SECTOR_BYTES;
            let length = bytes.len().min(SECTOR_BYTES - within);
            let (now, later) = bytes.split_at_mut(length);
            match &self.sectors[address / SECTOR_BYTES] {
                Some(sector) => now.copy_from_slice(&sector[within..within + length]),
                None => now.fill(ERASED),
            }
            (address, bytes) = (address + length, later);
        }
    }

    fn sector_mut(&mut self, number: usize) -> &mut Sector {
        Arc::make_mut(self.sectors[number].get_or_insert_with(|| Arc::new([ERASED; SECTOR_BYTES])))
    }

    fn lose_power(&mut self) {
        self.is_cut = true;
        self.cuts_fired += 1;
    }

    fn check(&self, address: u32, length: usize, unit: usize) -> Result<(), SimError> {
        if self.is_cut {
            return Err(SimError::PowerCut);
        }
        if !(address as usize).is_multiple_of(unit) || !length.is_multiple_of(unit) {
            return Err(SimError::NotAligned { address, length });
        }
        match (address as usize).checked_add(length) {
            Some(end) if end <= self.size() => Ok(()),
            _ => Err(SimError::OutOfBounds { address, length }),
        }
    }

    /// Decides how the next operation goes; the caller counts it.
    fn next_fate(&mut self) -> Result<Fate, SimError> {
        let operation = self.operations() + 1;
        if self.fails_at.is_some_and(|at| operation >= at) {
            self.failures_fired += 1;
            return Err(SimError::WornOut);
        }
        match self.cut.take_if(|cut| operation >= cut.at_operation) {
            None => Ok(Fate::Done),
            Some(cut) => {
                self.lose_power();
                Ok(Fate::Torn(cut.random))
            }
        }
    }

    /// A write that would have to set a bit is a mistake that a chip hides until the data is read.
    fn refuse_to_set_bits(&self, address: u32, bytes: &[u8]) {
        let held = self.bytes(address, bytes.len());
        if let Some(at) = (0..bytes.len()).find(|&at| bytes[at] & !held[at] != 0) {
            panic!(
                "write of {:#04x} over {:#04x} at {:#x} would set a bit: the sector must be erased first",
                bytes[at],
                held[at],
                address as usize + at
            );
        }
    }

    /// Programs bytes within one page.
    fn program(&mut self, address: usize, bytes: &[u8]) -> Result<(), SimError> {
        let fate = self.next_fate()?;
        self.counters.writes += 1;
        self.counters.bytes_written += bytes.len() as u64;
        let within = address % SECTOR_BYTES;
        let sector = self.sector_mut(address / SECTOR_BYTES);
        let held = &mut sector[within..within + bytes.len()];
        match fate {
            Fate::Done => {
                held.copy_from_slice(bytes);
                Ok(())
            }
            Fate::Torn(random) => {
                tear_write(held, bytes, random);
                Err(SimError::PowerCut)
            }
        }
    }

    fn erase_sector(&mut self, number: usize) -> Result<(), SimError> {
        let fate = self.next_fate()?;
        self.counters.erases += 1;
        self.erases[number] += 1;
        match fate {
            Fate::Done => {
                self.sectors[number] = None;
                Ok(())
            }
            Fate::Torn(random) => {
                tear_erase(self.sector_mut(number), random);
                Err(SimError::PowerCut)
            }
        }
    }
}

/// Leaves nothing, all, or a prefix of words and a word of which only some bits were cleared.
fn tear_write(held: &mut [u8], bytes: &[u8], mut random: Random) {
    let words = bytes.len() / WORD_BYTES;
    match random.below(8) {
        0 => {}
        1 => held.copy_from_slice(bytes),
        kind => {
            let whole = random.below(words) * WORD_BYTES;
            held[..whole].copy_from_slice(&bytes[..whole]);
            if kind > 3 {
                for at in whole..whole + WORD_BYTES {
                    held[at] &= bytes[at] | random.byte();
                }
            }
        }
    }
}

/// Leaves nothing, all, or a mix of erased, unchanged and undefined bytes.
fn tear_erase(sector: &mut Sector, mut random: Random) {
    match random.below(8) {
        0 => {}
        1 => sector.fill(ERASED),
        2 => {
            let erased = random.below(SECTOR_BYTES);
            sector[..erased].fill(ERASED);
        }
        _ => {
            for byte in sector.iter_mut() {
                match random.below(3) {
                    0 => {}
                    1 => *byte = ERASED,
                    _ => *byte = random.byte(),
                }
            }
        }
    }
}

impl ErrorType for SimFlash {
    type Error = SimError;
}

impl ReadNorFlash for SimFlash {
    const READ_SIZE: usize = 1;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), SimError> {
        self.check(offset, bytes.len(), Self::READ_SIZE)?;
        self.counters.reads += 1;
        self.counters.bytes_read += bytes.len() as u64;
        self.copy_out(offset as usize, bytes);
        Ok(())
    }

    fn capacity(&self) -> usize {
        self.size()
    }
}

impl NorFlash for SimFlash {
    const WRITE_SIZE: usize = WORD_BYTES;
    const ERASE_SIZE: usize = SECTOR_BYTES;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), SimError> {
        let length = to.checked_sub(from).ok_or(SimError::OutOfBounds {
            address: from,
            length: 0,
        })?;
        self.check(from, length as usize, Self::ERASE_SIZE)?;
        let sectors = from as usize / SECTOR_BYTES..to as usize / SECTOR_BYTES;
        for number in sectors {
            self.erase_sector(number)?;
        }
        Ok(())
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), SimError> {
        self.check(offset, bytes.len(), Self::WRITE_SIZE)?;
        self.refuse_to_set_bits(offset, bytes);
        let (mut address, mut rest) = (offset as usize, bytes);
        while !rest.is_empty() {
            let length = rest.len().min(PAGE_BYTES - address % PAGE_BYTES);
            let (now, later) = rest.split_at(length);
            self.program(address, now)?;
            (address, rest) = (address + length, later);
        }
        Ok(())
    }
}

impl MultiwriteNorFlash for SimFlash {}
