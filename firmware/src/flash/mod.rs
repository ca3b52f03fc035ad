//! What lies in the flash and how it is written: partition table, otadata, app images, NVS.

pub(crate) mod crc32;
pub mod descriptor;
pub mod image;
pub mod nvs;
pub mod otadata;
pub mod partition_table;

/// The flash's erase unit, bytes. Everything that must survive a power cut alone lies in a sector
/// of its own.
pub const SECTOR_BYTES: u32 = 4096;
