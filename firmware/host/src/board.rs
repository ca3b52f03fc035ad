//! The hardware a gateway can be: its flash, its partition table, what it takes for an image.

use airlift_esp::{
    Target,
    partition_table::{PARTITION_TABLE_BYTES, PARTITION_TABLE_OFFSET, PartitionTable},
};
use airlift_firmware::Images;
use airlift_simflash::{Bootloader, ImageBuilder, bootloader};
use anyhow::{Context, Result, ensure};
use clap::ValueEnum;

/// Longest version in an application descriptor, bytes.
const APP_VERSION_BYTES_MAX: usize = 31;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Board {
    /// Two slots of 1 GiB; any bytes are an image
    Raw,
    /// ESP32, 4 MB: two slots of 1.19 MiB
    Esp32Wroom,
    /// ESP32, 8 MB: two slots of 2 MiB
    Esp32Wrover,
    /// ESP32-C3, 4 MB: two slots of 1.875 MiB
    Esp32c3,
}

/// Which bootloader a board was delivered with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum BootloaderKind {
    /// As prebuilt by Espressif: it boots what is selected, good or bad
    Stock,
    /// With CONFIG_BOOTLOADER_APP_ROLLBACK_ENABLE: it takes an unproven image back
    Rollback,
}

/// A stretch of a fresh flash and its contents.
pub type Part = (u32, Vec<u8>);

impl Board {
    pub fn target(self) -> Target {
        match self {
            Board::Raw => Target::Raw,
            Board::Esp32Wroom => Target::Esp32Wroom,
            Board::Esp32Wrover => Target::Esp32Wrover,
            Board::Esp32c3 => Target::Esp32c3,
        }
    }

    /// Size of the flash chip, bytes.
    pub fn flash_bytes(self) -> u32 {
        self.target().flash_bytes()
    }

    /// Size of a fresh file, bytes; the raw board's grows with what is written.
    pub fn file_bytes(self) -> Option<u32> {
        (self != Board::Raw).then(|| self.flash_bytes())
    }

    /// What the core takes for an image.
    pub fn images(self) -> Images {
        self.target().chip().map_or(Images::Any, Images::App)
    }

    pub fn bootloader(self, kind: BootloaderKind) -> Bootloader {
        Bootloader {
            kind: match kind {
                BootloaderKind::Stock => bootloader::Kind::Stock,
                BootloaderKind::Rollback => bootloader::Kind::Rollback,
            },
            chip_id: self.target().chip().map_or(0, |chip| chip.0),
            images: match self.target().chip() {
                None => bootloader::Images::Any,
                Some(_) => bootloader::Images::Esp,
            },
        }
    }

    /// What a fresh flash holds, in order; the rest is erased. On a board whose images have a format
    /// an application of `version` is there, or it would not boot.
    pub fn fresh(self, version: &str) -> Result<Vec<Part>> {
        let table =
            PartitionTable::from_csv(self.target().table_csv()).context("the board's table")?;
        let mut binary = [0; PARTITION_TABLE_BYTES];
        table.to_binary(&mut binary);
        let first_slot = table.ota(0).context("the board's table has no ota_0")?;
        // The header of a flash: bootloader, table, NVS and otadata.
        let mut head = vec![0xFF; first_slot.offset as usize];
        let at = PARTITION_TABLE_OFFSET as usize;
        head[at..at + binary.len()].copy_from_slice(&binary);
        let mut parts = vec![(0, head)];
        if let Some(chip) = self.target().chip() {
            ensure!(
                version.len() <= APP_VERSION_BYTES_MAX,
                "--firmware-version has {} bytes, an ESP32 image holds {APP_VERSION_BYTES_MAX}",
                version.len()
            );
            let image = ImageBuilder::new(chip.0).version(version).build();
            parts.push((first_slot.offset, image));
        }
        Ok(parts)
    }
}
