//! The hardware under a gateway, simulated, so that its firmware can be judged without a board.
//!
//! A test of flash code is worth only as much as the flash under it: this one is as strict as a NOR
//! chip, tears the operation in progress when the power goes, and counts the wear. The bootloader model
//! and the image builder know the ESP-IDF formats by themselves and share no code with the firmware, so
//! that a mistake there is not repeated here.
//!
//! ```
//! use airlift_simflash::{SimError, SimFlash};
//! use embedded_storage::nor_flash::NorFlash;
//!
//! let mut flash = SimFlash::new(64 * 1024);
//! flash.write(0, &[0x0F; 4]).unwrap();
//! flash.cut_after(1, 42);
//! assert_eq!(flash.erase(0, 4096), Err(SimError::PowerCut));
//! assert_eq!(flash.cuts_fired(), 1);
//! flash.power_on();
//! flash.erase(0, 4096).unwrap();
//! ```

pub mod bootloader;
mod flash;
pub mod image;
mod random;
pub mod table;

pub use bootloader::{App, Booted, Bootloader, Images, Kind};
pub use flash::{Counters, PAGE_BYTES, SECTOR_BYTES, SimError, SimFlash};
pub use image::ImageBuilder;
pub use random::Random;
