//! The web part: one partition, and yet new and old at once until the new version has proven itself.
//!
//! What of the new web part differs is [staged](stage) in [room](room) that nobody needs. At the boot
//! of the new version it is [exchanged](swap) with what is in the partition, sector by sector, so that
//! the old content comes to lie in the room and can come back. The [record] says where all this lies.

mod changed;
mod record;
mod room;
mod stage;
mod swap;
mod trial;

use core::fmt;

use embedded_storage::nor_flash::NorFlash;

pub use self::trial::WebTrial;
pub(crate) use self::{
    changed::Changed,
    record::{Motion, Record},
    room::{Layout, Room},
    stage::{Stage, Staged},
    swap::{Side, Swap},
};
use crate::flash::SECTOR_BYTES;

/// Read and written at a time: a page of the flash chip.
const PAGE_BYTES: usize = 256;

/// Why a web part cannot be staged or exchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WebError {
    NoPartition,
    /// The partition is read-only or encrypted.
    Protected,
    /// Bytes.
    TooLarge {
        web: u32,
        limit: u32,
    },
    /// Sectors.
    NoRoom {
        changed: u32,
        room: u32,
    },
    /// The flash did not erase, write or read, or does not hold what was written.
    Flash,
    /// What would come into the partition is not what is to be there.
    Altered,
    /// The record cannot be saved.
    Memory,
}

impl fmt::Display for WebError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WebError::NoPartition => f.write_str("the partition table has no spiffs_web"),
            WebError::Protected => f.write_str("spiffs_web is read-only or encrypted"),
            WebError::TooLarge { web, limit } => {
                write!(f, "the web part has {web} bytes, spiffs_web takes {limit}")
            }
            WebError::NoRoom { changed, room } => write!(
                f,
                "{changed} or more sectors of the web part change, beside the firmware there is room for {room}"
            ),
            WebError::Flash => f.write_str("the flash does not hold what is written to it"),
            WebError::Altered => f.write_str("the flash does not hold the web part any more"),
            WebError::Memory => f.write_str("the NVS partition cannot be written"),
        }
    }
}

fn erase<F: NorFlash>(flash: &mut F, sector: u32) -> Result<(), WebError> {
    flash
        .erase(sector, sector + SECTOR_BYTES)
        .map_err(|_| WebError::Flash)
}

fn read<F: NorFlash>(flash: &mut F, from: u32, bytes: &mut [u8]) -> Result<(), WebError> {
    flash.read(from, bytes).map_err(|_| WebError::Flash)
}

/// Writes and reads back: a worn sector may not say that it did not take it.
fn write<F: NorFlash>(flash: &mut F, to: u32, page: &[u8; PAGE_BYTES]) -> Result<(), WebError> {
    if !is_blank(page) {
        flash.write(to, page).map_err(|_| WebError::Flash)?;
    }
    let mut back = [0; PAGE_BYTES];
    read(flash, to, &mut back)?;
    if back == *page {
        Ok(())
    } else {
        Err(WebError::Flash)
    }
}

/// Copies the first `bytes`, whole pages, of a sector to one that is erased.
fn copy<F: NorFlash>(flash: &mut F, from: u32, to: u32, bytes: u32) -> Result<(), WebError> {
    let mut page = [0; PAGE_BYTES];
    for at in (0..bytes).step_by(PAGE_BYTES) {
        read(flash, from + at, &mut page)?;
        write(flash, to + at, &page)?;
    }
    Ok(())
}

/// Fails unless two sectors begin with the same bytes, whole pages.
fn are_equal<F: NorFlash>(flash: &mut F, one: u32, other: u32, bytes: u32) -> Result<(), WebError> {
    let mut pages = [[0; PAGE_BYTES]; 2];
    for at in (0..bytes).step_by(PAGE_BYTES) {
        for (page, sector) in pages.iter_mut().zip([one, other]) {
            read(flash, sector + at, page)?;
        }
        if pages[0] != pages[1] {
            return Err(WebError::Flash);
        }
    }
    Ok(())
}

fn is_blank(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte == 0xFF)
}
