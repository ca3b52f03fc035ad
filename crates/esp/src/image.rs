//! Application images: whether what was received, or lies in a slot, is a whole and unharmed app
//! for this chip. The bootloader looks again, but it takes an image without a SHA-256 on a checksum
//! of one byte; so here the SHA-256 is demanded.
//!
//! Source: ESP-IDF, "App Image Format".

mod error;
mod merged;
mod verifier;

use embedded_storage::nor_flash::ReadNorFlash;
use heapless::String;

pub use self::{
    error::{ImageError, VerifyError},
    merged::{Looks, MergedDetector},
    verifier::Verifier,
};

/// First byte of an image.
pub const MAGIC: u8 = 0xE9;

const HEADER_BYTES: usize = 24;
const SEGMENT_HEADER_BYTES: usize = 8;
/// The checksum is the last byte of a block of this many.
const BLOCK_BYTES: u32 = 16;
const HASH_BYTES: usize = 32;
const SEGMENTS_MAX: u8 = 16;
/// Bytes read from the flash at a time.
const READ_BYTES: usize = 256;

/// Which chip an image is for: the number in its header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ChipId(pub u16);

impl ChipId {
    pub const ESP32: Self = Self(0);
    pub const ESP32_S2: Self = Self(2);
    pub const ESP32_C3: Self = Self(5);
    pub const ESP32_S3: Self = Self(9);
    pub const ESP32_C2: Self = Self(12);
    pub const ESP32_C6: Self = Self(13);
    pub const ESP32_H2: Self = Self(16);
    pub const ESP32_P4: Self = Self(18);
    /// QEMU's RISC-V machine `virt`; a number of ours that no chip has.
    pub const VIRT: Self = Self(0xF001);

    /// As Espressif writes it; `None` for chips that are not listed here.
    #[must_use]
    pub const fn name(self) -> Option<&'static str> {
        Some(match self {
            Self::ESP32 => "ESP32",
            Self::ESP32_S2 => "ESP32-S2",
            Self::ESP32_C3 => "ESP32-C3",
            Self::ESP32_S3 => "ESP32-S3",
            Self::ESP32_C2 => "ESP32-C2",
            Self::ESP32_C6 => "ESP32-C6",
            Self::ESP32_H2 => "ESP32-H2",
            Self::ESP32_P4 => "ESP32-P4",
            Self::VIRT => "QEMU's virt",
            _ => return None,
        })
    }
}

/// What an app says about itself in `esp_app_desc_t`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppDescriptor {
    /// Counts up with each security fix that must not be undone.
    pub secure_version: u32,
    pub version: String<32>,
    pub project: String<32>,
}

/// What is known of an image that is sound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageInfo {
    /// Bytes, with the SHA-256 at its end.
    pub size: u32,
    /// The SHA-256 at its end.
    pub sha256: [u8; HASH_BYTES],
    /// None where the app was built without: old ones, and bootloaders.
    pub descriptor: Option<AppDescriptor>,
}

/// Verifies the image at `offset` of the flash, which may take `limit` bytes.
///
/// # Errors
/// What is wrong with the image, or the flash's own error.
pub fn verify<F: ReadNorFlash>(
    flash: &mut F,
    offset: u32,
    limit: u32,
    chip: ChipId,
) -> Result<ImageInfo, VerifyError<F::Error>> {
    // Images are whole blocks, and so every read stays aligned.
    let limit = limit - limit % BLOCK_BYTES;
    let mut verifier = Verifier::new(chip, limit);
    let mut buffer = [0; READ_BYTES];
    let mut done = 0;
    while done < limit && !verifier.is_complete() {
        let length = (limit - done).min(READ_BYTES as u32);
        let piece = buffer.get_mut(..length as usize).unwrap_or_default();
        flash
            .read(offset.saturating_add(done), piece)
            .map_err(VerifyError::Flash)?;
        verifier.update(piece).map_err(VerifyError::Image)?;
        done += length;
    }
    verifier.finish().map_err(VerifyError::Image)
}
