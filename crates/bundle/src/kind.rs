//! What a bundle updates.

use serde::{Deserialize, Serialize};

/// The operation kind: which parts a bundle has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Kind {
    #[serde(rename = "firmware")]
    Firmware,
    #[serde(rename = "web")]
    Web,
    #[serde(rename = "firmware+web")]
    FirmwareAndWeb,
}

impl Kind {
    pub const ALL: [Kind; 3] = [Kind::Firmware, Kind::Web, Kind::FirmwareAndWeb];

    /// As manifests and commands write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Kind::Firmware => "firmware",
            Kind::Web => "web",
            Kind::FirmwareAndWeb => "firmware+web",
        }
    }

    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }

    /// The parts, in the order of a bundle.
    pub const fn parts(self) -> &'static [PartName] {
        match self {
            Kind::Firmware => &[PartName::Firmware],
            Kind::Web => &[PartName::Web],
            Kind::FirmwareAndWeb => &[PartName::Firmware, PartName::Web],
        }
    }
}

/// One of the files that go into the flash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PartName {
    /// The application image, for the OTA slot that does not run.
    Firmware,
    /// The SPIFFS image of the device's web pages.
    Web,
}

impl PartName {
    pub const ALL: [PartName; 2] = [PartName::Firmware, PartName::Web];

    /// The part's name in a bundle, its manifest and a command.
    pub const fn file_name(self) -> &'static str {
        match self {
            PartName::Firmware => "firmware.bin",
            PartName::Web => "web_spiffs.bin",
        }
    }

    /// Where it goes: `app` is the OTA slot that does not run, the other a partition's label.
    pub const fn partition(self) -> &'static str {
        match self {
            PartName::Firmware => "app",
            PartName::Web => "spiffs_web",
        }
    }

    pub fn parse(file_name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|part| part.file_name() == file_name)
    }
}
