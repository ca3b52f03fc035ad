//! The flash: 1 MB in sectors of 4096 bytes, as the core wants it, on the machine's two pflash units.
//!
//! Those erase 256 KiB at a time, so each 4096-byte sector has a whole one of theirs, of which it
//! uses the first 4096 bytes. Killed at any moment, QEMU leaves in the files what a power cut leaves
//! in a chip.

use embedded_storage::nor_flash::{
    ErrorType, NorFlash, NorFlashError, NorFlashErrorKind, ReadNorFlash, check_erase, check_read,
    check_write,
};

use crate::machine::{read, write};

/// Bytes erased at once.
pub const SECTOR_BYTES: u32 = 4096;
/// Bytes in all.
pub const FLASH_BYTES: u32 = SECTORS * SECTOR_BYTES;

/// Both units lie side by side.
const BASE: usize = 0x2000_0000;
const UNIT_SECTOR_BYTES: u32 = 256 * 1024;
const UNIT_BYTES: u32 = 32 * 1024 * 1024;
const SECTORS: u32 = 2 * UNIT_BYTES / UNIT_SECTOR_BYTES;
/// Bytes programmed at once; the chips' write buffer takes up to 2048 that lie in one such block.
const BUFFER_BYTES: usize = 512;

/// Each unit is two 16-bit chips (Intel's command set) beside each other: every command goes to both.
const fn both(chip: u16) -> u32 {
    (chip as u32) << 16 | chip as u32
}

const READ_ARRAY: u32 = both(0xFF);
const READ_STATUS: u32 = both(0x70);
const CLEAR_STATUS: u32 = both(0x50);
const ERASE: u32 = both(0x20);
const PROGRAM_BUFFERED: u32 = both(0xE8);
const CONFIRM: u32 = both(0xD0);
const READY: u32 = both(0x80);
/// Erase or program failed, or the sector is locked.
const FAILED: u32 = both(0x3A);

/// What the chips said to an erase or a write, or what was asked for is not in the flash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlashError {
    /// Outside the flash, or not aligned.
    Range(NorFlashErrorKind),
    /// The chips' status registers.
    Status(u32),
}

impl core::fmt::Display for FlashError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            FlashError::Range(kind) => write!(f, "{kind:?}"),
            FlashError::Status(status) => write!(f, "the flash reports status {status:#010x}"),
        }
    }
}

impl core::error::Error for FlashError {}

impl NorFlashError for FlashError {
    fn kind(&self) -> NorFlashErrorKind {
        match self {
            FlashError::Range(kind) => *kind,
            FlashError::Status(_) => NorFlashErrorKind::Other,
        }
    }
}

impl From<NorFlashErrorKind> for FlashError {
    fn from(kind: NorFlashErrorKind) -> Self {
        FlashError::Range(kind)
    }
}

/// The machine's flash. Have one only: two would talk over each other to the same chips.
#[derive(Debug, Default)]
pub struct VirtFlash(());

impl VirtFlash {
    /// The flash.
    pub fn new() -> Self {
        VirtFlash(())
    }

    /// At most [`BUFFER_BYTES`] that lie in one block of the write buffer.
    fn program(&mut self, offset: u32, bytes: &[u8]) -> Result<(), FlashError> {
        let at = address(offset);
        let count = bytes.len() / 4;
        let mut words = [0; BUFFER_BYTES / 4];
        let words = &mut words[..count];
        for (index, (word, new)) in words.iter_mut().zip(bytes.chunks_exact(4)).enumerate() {
            let new = u32::from_le_bytes([new[0], new[1], new[2], new[3]]);
            // QEMU stores what it is given; a chip can only turn ones into zeros.
            *word = new & read(at + 4 * index);
        }
        write(at, CLEAR_STATUS);
        write(at, PROGRAM_BUFFERED);
        wait(at);
        write(at, (count - 1) as u32);
        for (index, word) in words.iter().enumerate() {
            write(at + 4 * index, *word);
        }
        write(at, CONFIRM);
        finish(at)
    }
}

fn address(offset: u32) -> usize {
    let (sector, within) = (offset / SECTOR_BYTES, offset % SECTOR_BYTES);
    BASE + (sector * UNIT_SECTOR_BYTES + within) as usize
}

fn wait(at: usize) -> u32 {
    loop {
        let status = read(at);
        if status & READY == READY {
            return status;
        }
    }
}

fn finish(at: usize) -> Result<(), FlashError> {
    write(at, READ_STATUS);
    let status = wait(at);
    write(at, READ_ARRAY);
    if status & FAILED == 0 {
        Ok(())
    } else {
        Err(FlashError::Status(status))
    }
}

impl ErrorType for VirtFlash {
    type Error = FlashError;
}

impl ReadNorFlash for VirtFlash {
    const READ_SIZE: usize = 1;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), FlashError> {
        check_read(self, offset, bytes.len())?;
        for (byte, offset) in bytes.iter_mut().zip(offset..) {
            // SAFETY: inside the flash, which is memory to be read while it is in array mode; every
            // function here leaves it so.
            *byte = unsafe { (address(offset) as *const u8).read_volatile() };
        }
        Ok(())
    }

    fn capacity(&self) -> usize {
        FLASH_BYTES as usize
    }
}

impl NorFlash for VirtFlash {
    const WRITE_SIZE: usize = 4;
    const ERASE_SIZE: usize = SECTOR_BYTES as usize;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), FlashError> {
        check_erase(self, from, to)?;
        for sector in (from..to).step_by(SECTOR_BYTES as usize) {
            let at = address(sector);
            write(at, CLEAR_STATUS);
            write(at, ERASE);
            write(at, CONFIRM);
            finish(at)?;
        }
        Ok(())
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), FlashError> {
        check_write(self, offset, bytes.len())?;
        let mut offset = offset;
        let mut rest = bytes;
        while !rest.is_empty() {
            let room = BUFFER_BYTES - offset as usize % BUFFER_BYTES;
            let (now, later) = rest.split_at(room.min(rest.len()));
            self.program(offset, now)?;
            offset += now.len() as u32;
            rest = later;
        }
        Ok(())
    }
}
