//! The flash that `esp-bootloader-esp-idf` brings for hosts: 256 KiB, one for the whole process.

use std::sync::{Mutex, PoisonError};

use esp_bootloader_esp_idf::partitions::FlashStorage;

pub const BYTES: u32 = 256 * 1024;

static LOCK: Mutex<()> = Mutex::new(());

/// An erased flash with these bytes at these offsets, for as long as `judge` takes.
pub fn with<R>(
    contents: &[(u32, &[u8])],
    judge: impl FnOnce(&mut FlashStorage<'static>) -> R,
) -> R {
    // A judge that panicked leaves nothing behind that is not erased here.
    let _alone = LOCK.lock().unwrap_or_else(PoisonError::into_inner);
    let mut flash = FlashStorage::new();
    flash.erase(0, BYTES).unwrap();
    for (offset, bytes) in contents {
        flash.write(*offset, bytes).unwrap();
    }
    judge(&mut flash)
}
