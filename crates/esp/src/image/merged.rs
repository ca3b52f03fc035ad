//! Merged images: bootloader, partition table and app in one file, for flashing by cable, which
//! build tools write beside the app. One begins like an app on most chips, it would even verify (as
//! the bootloader that it begins with), and it could never boot from a slot. Its partition table
//! gives it away.
//!
//! Source: ESP-IDF, "Partition Tables", and esptool, "Firmware Image Format".

use super::MAGIC;
use crate::partition_table::{TABLE_BEGIN_BYTES, begins_table};

/// What a merged image is filled with where nothing lies.
const PADDING: u8 = 0xFF;
/// Where the bootloader lies on chips that do not have it at 0: the ESP32, and the ESP32-P4.
const BOOTLOADER_OFFSETS: [u32; 2] = [0x1000, 0x2000];
/// Partition tables lie on sector borders: at 0x8000 unless configured otherwise, 0x1000 lower
/// in an ESP32 image that was merged without the padding.
const TABLE_STEP: u32 = crate::SECTOR_BYTES;
const TABLE_FIRST: u32 = 0x7000;
const TABLE_LAST: u32 = 0x1_0000;

/// What a file looks like, as far as it went by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Looks {
    /// Nothing yet but 0xFF, with which no app begins and many a merged image.
    Padding,
    /// Like an app, so far.
    App,
    Merged,
    /// Like neither: its first byte.
    Other(u8),
}

/// Watches a file go by, in pieces of any size, for the marks of a merged image.
#[derive(Clone)]
pub struct MergedDetector {
    position: u32,
    looks: Looks,
    window: [u8; TABLE_BEGIN_BYTES],
}

impl Default for MergedDetector {
    fn default() -> Self {
        Self {
            position: 0,
            looks: Looks::Padding,
            window: [0; TABLE_BEGIN_BYTES],
        }
    }
}

impl MergedDetector {
    /// Takes the next bytes, and says what the file looks like with them.
    pub fn update(&mut self, bytes: &[u8]) -> Looks {
        if let (0, Some(&first)) = (self.position, bytes.first()) {
            self.looks = match first {
                PADDING => Looks::Padding,
                MAGIC => Looks::App,
                other => Looks::Other(other),
            };
        }
        match self.looks {
            Looks::Padding => self.look_past_padding(bytes),
            Looks::App => self.look_for_table(bytes),
            Looks::Merged | Looks::Other(_) => {}
        }
        // Far beyond the last table the exact place no longer matters.
        let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        self.position = self.position.saturating_add(length);
        self.looks
    }

    /// What the file looks like.
    #[must_use]
    pub fn looks(&self) -> Looks {
        self.looks
    }

    /// Whether the answer stands: nothing that follows can change it.
    #[must_use]
    pub fn is_decided(&self) -> bool {
        match self.looks {
            Looks::Padding => false,
            Looks::App => self.is_past_tables(),
            Looks::Merged | Looks::Other(_) => true,
        }
    }

    fn is_past_tables(&self) -> bool {
        self.position >= TABLE_LAST + TABLE_BEGIN_BYTES as u32
    }

    fn look_past_padding(&mut self, bytes: &[u8]) {
        for (byte, offset) in bytes.iter().zip(self.position..) {
            let is_bootloader = *byte == MAGIC && BOOTLOADER_OFFSETS.contains(&offset);
            if is_bootloader {
                self.looks = Looks::Merged;
            } else if *byte != PADDING || BOOTLOADER_OFFSETS.iter().all(|it| offset >= *it) {
                self.looks = Looks::Other(PADDING);
            }
            if self.looks != Looks::Padding {
                return;
            }
        }
    }

    /// Copies each place where a table might begin and judges it when it is whole.
    fn look_for_table(&mut self, bytes: &[u8]) {
        if self.is_past_tables() {
            return;
        }
        for (byte, offset) in bytes.iter().zip(self.position..) {
            let within = (offset % TABLE_STEP) as usize;
            if !(TABLE_FIRST..TABLE_LAST + TABLE_STEP).contains(&offset) {
                continue;
            }
            let Some(place) = self.window.get_mut(within) else {
                continue;
            };
            *place = *byte;
            if within == TABLE_BEGIN_BYTES - 1 && begins_table(&self.window) {
                self.looks = Looks::Merged;
                return;
            }
        }
    }
}
