//! Merged images: bootloader, partition table and app in one file, for flashing by cable. Written
//! into an app slot one would even verify on some chips, as its bootloader is an image like any
//! other; so the upload page asks here, to refuse it and say what to upload instead.

use super::MAGIC;
use crate::partition_table::{PARTITION_TABLE_OFFSET, begins_table};

/// Where a bootloader begins in the flash: newer chips, ESP32 and S2, P4 and C5.
const BOOTLOADER_OFFSETS: [u32; 3] = [0, 0x1000, 0x2000];
const ERASED: u8 = 0xFF;
const ENTRY_BYTES: usize = 32;

/// So many bytes from its beginning tell whether a file is a merged image.
pub const MERGED_BYTES_MIN: usize = PARTITION_TABLE_OFFSET as usize + ENTRY_BYTES;

/// Watches an upload go by, in pieces of any size, for the marks of a merged image.
#[derive(Clone)]
pub struct MergedDetector {
    position: u32,
    /// Whether the first byte that is not 0xFF begins an image where a bootloader belongs.
    bootloader: Bootloader,
    entry: [u8; ENTRY_BYTES],
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Bootloader {
    Sought,
    Found,
    Absent,
}

impl Default for MergedDetector {
    fn default() -> Self {
        Self {
            position: 0,
            bootloader: Bootloader::Sought,
            entry: [ERASED; ENTRY_BYTES],
        }
    }
}

impl MergedDetector {
    /// Takes the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        if self.bootloader == Bootloader::Sought
            && let Some(at) = bytes.iter().position(|byte| *byte != ERASED)
        {
            let offset = self.position.saturating_add(at as u32);
            let is_image = bytes.get(at) == Some(&MAGIC);
            self.bootloader = if is_image && BOOTLOADER_OFFSETS.contains(&offset) {
                Bootloader::Found
            } else {
                Bootloader::Absent
            };
        }
        let skipped = PARTITION_TABLE_OFFSET.saturating_sub(self.position) as usize;
        let at = self.position.saturating_sub(PARTITION_TABLE_OFFSET) as usize;
        let places = self.entry.iter_mut().skip(at);
        for (place, byte) in places.zip(bytes.iter().skip(skipped)) {
            *place = *byte;
        }
        self.position = self.position.saturating_add(bytes.len() as u32);
    }

    /// Whether the answer stands: nothing that follows can change it.
    #[must_use]
    pub fn is_decided(&self) -> bool {
        self.bootloader == Bootloader::Absent || self.has_entry()
    }

    /// Whether what went by is a merged image.
    #[must_use]
    pub fn is_merged(&self) -> bool {
        self.bootloader == Bootloader::Found && self.has_entry() && begins_table(&self.entry)
    }

    fn has_entry(&self) -> bool {
        self.position as usize >= MERGED_BYTES_MIN
    }
}

/// Whether a file that begins with `first`, at least [`MERGED_BYTES_MIN`] bytes of it, is a merged
/// image.
#[must_use]
pub fn looks_merged(first: &[u8]) -> bool {
    let mut detector = MergedDetector::default();
    detector.update(first);
    detector.is_merged()
}
