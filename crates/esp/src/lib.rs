//! Formats of the ESP32 that a build machine, the server and the device share: application images,
//! partition tables, and the flash layouts of the boards that are known by name.
//!
//! To add a board: its table in `tables/`, a variant of [`Target`]; the compiler names the rest.
#![no_std]

pub mod image;
pub mod partition_table;
mod target;

pub use target::Target;

/// The flash's erase unit, bytes. Everything that must survive a power cut alone lies in a sector
/// of its own.
pub const SECTOR_BYTES: u32 = 4096;

/// Size of otadata, bytes: two entries, each in a sector of its own.
pub const OTADATA_BYTES: u32 = 2 * SECTOR_BYTES;
