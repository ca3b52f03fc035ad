//! The version an image in the flash gives itself, without reading the whole image.

use core::ffi::CStr;

use embedded_storage::nor_flash::ReadNorFlash;

use crate::text::{Text, text};

/// Where the app descriptor lies in an image.
const DESCRIPTOR_AT: u32 = 0x20;
/// First word of an app descriptor.
const MAGIC: [u8; 4] = 0xABCD_5432_u32.to_le_bytes();
/// Where the version lies in the descriptor.
const VERSION_AT: usize = 16;
const VERSION_BYTES: usize = 32;

/// The version in the app descriptor of the image at `offset`; `None` if there is none.
pub fn read_version<F: ReadNorFlash>(flash: &mut F, offset: u32) -> Option<Text<VERSION_BYTES>> {
    let mut bytes = [0; VERSION_AT + VERSION_BYTES];
    flash
        .read(offset.checked_add(DESCRIPTOR_AT)?, &mut bytes)
        .ok()?;
    let (version, is_descriptor) = (&bytes[VERSION_AT..], bytes.starts_with(&MAGIC));
    let version = CStr::from_bytes_until_nul(version).map_or(version, CStr::to_bytes);
    let version = core::str::from_utf8(version).ok()?;
    (is_descriptor && !version.is_empty()).then(|| text(format_args!("{version}")))
}
