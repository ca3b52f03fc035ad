//! Looks at an upload as it passes and stops what is no application image.
//!
//! The mistake worth catching is the *merged* image, which build tools write beside the
//! application image: bootloader, partition table and application in one file. It begins like an
//! application image on most chips, it would even verify (as the bootloader that it begins with),
//! and it could never boot from a slot. Its partition table gives it away.
//!
//! Formats: ESP-IDF's pages "Partition Tables" and esptool's "Firmware Image Format".

use super::failure::Failure;

/// First byte of every bootloader and application image.
const IMAGE_MAGIC: u8 = 0xE9;
/// What a merged image is filled with where nothing lies.
const PADDING: u8 = 0xFF;
/// Where the bootloader lies on chips that do not have it at 0: the ESP32, and the ESP32-P4.
const BOOTLOADER_OFFSETS: [u32; 2] = [0x1000, 0x2000];
/// Partition tables lie on sector borders: at 0x8000 unless configured otherwise, 0x1000 lower
/// in an ESP32 image that was merged without the padding.
const TABLE_STEP: u32 = 0x1000;
const TABLE_FIRST: u32 = 0x7000;
const TABLE_LAST: u32 = 0x10000;
const ENTRY_BYTES: usize = 32;
/// An entry, and the magic of the next.
const WINDOW_BYTES: usize = ENTRY_BYTES + 2;
const ENTRY_MAGIC: [u8; 2] = [0xAA, 0x50];
const MD5_MAGIC: [u8; 2] = [0xEB, 0xEB];

const MERGED: Failure = Failure::upload(
    422,
    "this is a merged image (bootloader and partition table): upload the application image alone",
);

/// The watch over one upload.
pub(super) struct Watch {
    any: bool,
    offset: u32,
    padding: bool,
    window: [u8; WINDOW_BYTES],
}

impl Watch {
    /// `any`: nothing is refused.
    pub(super) fn new(any: bool) -> Self {
        Self {
            any,
            offset: 0,
            padding: false,
            window: [0; WINDOW_BYTES],
        }
    }

    /// Looks at the next bytes; `true` when they may be written.
    pub(super) fn look(&mut self, bytes: &[u8]) -> Result<bool, Failure> {
        let Some(&first) = bytes.first().filter(|_| !self.any) else {
            return Ok(true);
        };
        if self.offset == 0 {
            self.padding = first == PADDING;
            if !self.padding && first != IMAGE_MAGIC {
                return Err(Failure::NotAnImage(first));
            }
        }
        if self.padding {
            self.look_past_padding(bytes)?;
        } else {
            self.look_for_table(bytes)?;
        }
        self.advance(bytes);
        Ok(!self.padding)
    }

    /// The upload is complete.
    pub(super) fn finish(&self) -> Result<(), Failure> {
        if self.padding {
            Err(Failure::NotAnImage(PADDING))
        } else {
            Ok(())
        }
    }

    /// Far beyond the last table the exact offset no longer matters.
    fn advance(&mut self, bytes: &[u8]) {
        self.offset = self
            .offset
            .saturating_add(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
    }

    fn look_past_padding(&self, bytes: &[u8]) -> Result<(), Failure> {
        for (byte, offset) in bytes.iter().zip(self.offset..) {
            if *byte == IMAGE_MAGIC && BOOTLOADER_OFFSETS.contains(&offset) {
                return Err(MERGED);
            }
            if *byte != PADDING || offset >= BOOTLOADER_OFFSETS[1] {
                return Err(Failure::NotAnImage(PADDING));
            }
        }
        Ok(())
    }

    /// Copies each place where a table might begin and judges it when it is whole.
    fn look_for_table(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        if self.offset > TABLE_LAST + TABLE_STEP {
            return Ok(());
        }
        for (byte, offset) in bytes.iter().zip(self.offset..) {
            let within = (offset % TABLE_STEP) as usize;
            if within >= WINDOW_BYTES || !(TABLE_FIRST..TABLE_LAST + TABLE_STEP).contains(&offset) {
                continue;
            }
            self.window[within] = *byte;
            if within == WINDOW_BYTES - 1 && begins_table(&self.window) {
                return Err(MERGED);
            }
        }
        Ok(())
    }
}

/// Whether this is a partition table's first entry. The magic alone stands in one of 65,536 app
/// images by chance, so all of the entry must make sense.
fn begins_table(window: &[u8; WINDOW_BYTES]) -> bool {
    let word = |at: usize| {
        u32::from_le_bytes([window[at], window[at + 1], window[at + 2], window[at + 3]])
    };
    let (kind, subtype, offset, size) = (window[2], window[3], word(4), word(8));
    let kind_known = match kind {
        0x00 => subtype <= 0x20,
        0x01 | 0x02 | 0x03 | 0x40..=0xFE => true,
        _ => false,
    };
    let label = &window[12..28];
    let length = label
        .iter()
        .position(|byte| *byte == 0)
        .unwrap_or(label.len());
    let label_fine = length > 0
        && label[..length]
            .iter()
            .all(|byte| (b' '..=b'~').contains(byte))
        && label[length..].iter().all(|byte| *byte == 0);
    let next = [window[ENTRY_BYTES], window[ENTRY_BYTES + 1]];
    window[..2] == ENTRY_MAGIC
        && kind_known
        && offset != 0
        && offset.is_multiple_of(TABLE_STEP)
        && size != 0
        && label_fine
        && [ENTRY_MAGIC, MD5_MAGIC, [PADDING; 2]].contains(&next)
}
