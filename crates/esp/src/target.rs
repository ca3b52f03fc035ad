//! The boards that are known by name.

use crate::image::ChipId;

const MIB: u32 = 1024 * 1024;

/// A board: which chip runs on it and how its flash is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Target {
    /// No chip: a gateway on a PC. Two slots of 1 GiB; any bytes are an image.
    Raw,
    /// ESP32, 4 MB: two slots of 1.19 MiB.
    Esp32Wroom,
    /// ESP32, 8 MB: two slots of 2 MiB.
    Esp32Wrover,
    /// ESP32-C3, 4 MB: two slots of 1.875 MiB.
    Esp32c3,
}

impl Target {
    pub const ALL: [Target; 4] = [
        Target::Raw,
        Target::Esp32Wroom,
        Target::Esp32Wrover,
        Target::Esp32c3,
    ];

    /// As commands and manifests write it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Target::Raw => "raw",
            Target::Esp32Wroom => "esp32-wroom",
            Target::Esp32Wrover => "esp32-wrover",
            Target::Esp32c3 => "esp32c3",
        }
    }

    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|target| target.name() == name)
    }

    /// The partition table, in ESP-IDF's CSV form.
    #[must_use]
    pub const fn table_csv(self) -> &'static str {
        match self {
            Target::Raw => include_str!("../tables/raw.csv"),
            Target::Esp32Wroom => include_str!("../tables/esp32-wroom.csv"),
            Target::Esp32Wrover => include_str!("../tables/esp32-wrover.csv"),
            Target::Esp32c3 => include_str!("../tables/esp32c3.csv"),
        }
    }

    /// The chip that images must be for; `None` where any bytes are an image.
    #[must_use]
    pub const fn chip(self) -> Option<ChipId> {
        match self {
            Target::Raw => None,
            Target::Esp32Wroom | Target::Esp32Wrover => Some(ChipId::ESP32),
            Target::Esp32c3 => Some(ChipId::ESP32_C3),
        }
    }

    /// Size of the flash chip, bytes.
    #[must_use]
    pub const fn flash_bytes(self) -> u32 {
        match self {
            // Where the last partition ends.
            Target::Raw => 0x8011_0000,
            Target::Esp32Wroom | Target::Esp32c3 => 4 * MIB,
            Target::Esp32Wrover => 8 * MIB,
        }
    }

    /// Largest firmware, bytes: the size of each OTA slot of the table.
    #[must_use]
    pub const fn slot_bytes(self) -> u32 {
        match self {
            Target::Raw => 1024 * MIB,
            Target::Esp32Wroom => 0x13_0000,
            Target::Esp32Wrover => 2 * MIB,
            Target::Esp32c3 => 0x1E_0000,
        }
    }

    /// Largest web part, bytes: the size of the SPIFFS file system that the firmware mounts at the
    /// beginning of the partition `spiffs_web`. On the WROOM that is less than the partition: what is
    /// behind it is room to change the web part in.
    #[must_use]
    pub const fn web_bytes_max(self) -> u32 {
        match self {
            Target::Raw | Target::Esp32Wroom => MIB,
            Target::Esp32Wrover => 3 * MIB,
            Target::Esp32c3 => 0x3_0000,
        }
    }
}
