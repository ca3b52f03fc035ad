//! What lies in the flash and how it is written: partition table, otadata, app images, NVS.

pub(crate) mod crc32;
pub mod descriptor;
pub mod nvs;
pub mod otadata;

pub use airlift_esp::{SECTOR_BYTES, image, partition_table};
