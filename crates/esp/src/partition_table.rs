//! ESP-IDF's partition table: where in the flash the apps, otadata and NVS lie. A table in hand is a
//! sound one: every way to get one checks it, so that whoever erases by it harms no neighbour.
//!
//! Source: ESP-IDF, "Partition Tables", and what its `gen_esp32part` demands.

mod binary;
mod csv;
mod error;

use heapless::{String, Vec};

pub(crate) use self::binary::{TABLE_BEGIN_BYTES, begins_table};
pub use self::{
    binary::PARTITION_TABLE_BYTES,
    error::{LineFault, TableError},
};
use super::{OTADATA_BYTES, SECTOR_BYTES};

/// Where the table lies in the flash, bytes.
pub const PARTITION_TABLE_OFFSET: u32 = 0x8000;

/// Partitions kept in memory. The binary form has room for 95.
pub const PARTITIONS_MAX: usize = 16;

/// First byte behind the sector that holds the table.
const FREE_OFFSET: u32 = PARTITION_TABLE_OFFSET + SECTOR_BYTES;
/// Where an app may begin: the unit in which the MMU maps flash.
const APP_ALIGNMENT: u32 = 0x1_0000;
/// ESP-IDF mounts no smaller NVS for writing: two pages and one to move entries to.
const NVS_BYTES_MIN: u32 = 3 * SECTOR_BYTES;
/// OTA slots that subtypes 0x10 to 0x1F can tell apart.
const OTA_SLOTS_MAX: u8 = 16;

const TYPE_APP: u8 = 0;
const TYPE_DATA: u8 = 1;
const SUBTYPE_FACTORY: u8 = 0;
const SUBTYPE_OTA_0: u8 = 0x10;
const SUBTYPE_TEST: u8 = 0x20;

/// Content is encrypted if flash encryption is on.
pub const FLAG_ENCRYPTED: u32 = 1;
/// Never written after the factory.
pub const FLAG_READONLY: u32 = 2;

/// At most 16 bytes of UTF-8.
pub type Label = String<16>;

/// What a partition is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    App(AppKind),
    Data(DataKind),
    /// Neither an app nor data as ESP-IDF knows them: types of its own or the user's.
    Other {
        type_: u8,
        subtype: u8,
    },
}

/// Subtypes of an app partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AppKind {
    /// Flashed by cable; what runs when no OTA slot can.
    Factory,
    /// Slot `ota_0` to `ota_15`.
    Ota(u8),
    Test,
}

/// Subtypes of a data partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DataKind {
    /// otadata: which slot boots.
    Ota,
    Phy,
    Nvs,
    Coredump,
    NvsKeys,
    Efuse,
    Undefined,
    EspHttpd,
    Fat,
    Spiffs,
    LittleFs,
    Other(u8),
}

/// Every named data subtype: its number and its name in CSV.
const DATA_SUBTYPES: [(DataKind, u8, &str); 11] = [
    (DataKind::Ota, 0x00, "ota"),
    (DataKind::Phy, 0x01, "phy"),
    (DataKind::Nvs, 0x02, "nvs"),
    (DataKind::Coredump, 0x03, "coredump"),
    (DataKind::NvsKeys, 0x04, "nvs_keys"),
    (DataKind::Efuse, 0x05, "efuse"),
    (DataKind::Undefined, 0x06, "undefined"),
    (DataKind::EspHttpd, 0x80, "esphttpd"),
    (DataKind::Fat, 0x81, "fat"),
    (DataKind::Spiffs, 0x82, "spiffs"),
    (DataKind::LittleFs, 0x83, "littlefs"),
];

impl Kind {
    /// The kind that the table's type and subtype bytes mean.
    #[must_use]
    pub fn from_bytes(type_: u8, subtype: u8) -> Self {
        match (type_, subtype) {
            (TYPE_APP, SUBTYPE_FACTORY) => Self::App(AppKind::Factory),
            (TYPE_APP, SUBTYPE_TEST) => Self::App(AppKind::Test),
            (TYPE_APP, ota) if (SUBTYPE_OTA_0..SUBTYPE_OTA_0 + OTA_SLOTS_MAX).contains(&ota) => {
                Self::App(AppKind::Ota(ota - SUBTYPE_OTA_0))
            }
            (TYPE_DATA, _) => Self::Data(
                DATA_SUBTYPES
                    .iter()
                    .find(|(_, number, _)| *number == subtype)
                    .map_or(DataKind::Other(subtype), |(kind, ..)| *kind),
            ),
            _ => Self::Other { type_, subtype },
        }
    }

    /// The table's type and subtype bytes.
    #[must_use]
    pub fn to_bytes(self) -> (u8, u8) {
        match self {
            Self::App(AppKind::Factory) => (TYPE_APP, SUBTYPE_FACTORY),
            Self::App(AppKind::Ota(slot)) => (TYPE_APP, SUBTYPE_OTA_0.wrapping_add(slot)),
            Self::App(AppKind::Test) => (TYPE_APP, SUBTYPE_TEST),
            Self::Data(DataKind::Other(subtype)) => (TYPE_DATA, subtype),
            Self::Data(data) => {
                let named = DATA_SUBTYPES.iter().find(|(kind, ..)| *kind == data);
                (TYPE_DATA, named.map_or(0xFF, |(_, number, _)| *number))
            }
            Self::Other { type_, subtype } => (type_, subtype),
        }
    }

    /// Offsets of such a partition are multiples of this, bytes.
    fn alignment(self) -> u32 {
        if self.is_app() {
            APP_ALIGNMENT
        } else {
            SECTOR_BYTES
        }
    }

    fn is_app(self) -> bool {
        self.to_bytes().0 == TYPE_APP
    }

    /// Only one partition of such a kind makes sense.
    fn is_unique(self) -> bool {
        matches!(
            self,
            Self::App(AppKind::Factory | AppKind::Ota(_)) | Self::Data(DataKind::Ota)
        )
    }
}

/// One partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partition {
    pub label: Label,
    pub kind: Kind,
    /// From the flash's beginning, bytes.
    pub offset: u32,
    /// Bytes.
    pub size: u32,
    /// [`FLAG_ENCRYPTED`], [`FLAG_READONLY`].
    pub flags: u32,
}

impl Partition {
    /// First byte behind it.
    fn end(&self) -> u64 {
        u64::from(self.offset) + u64::from(self.size)
    }

    fn overlaps(&self, other: &Self) -> bool {
        u64::from(self.offset) < other.end() && u64::from(other.offset) < self.end()
    }

    fn is_readonly(&self) -> bool {
        self.flags & FLAG_READONLY != 0
    }

    fn validate(&self) -> Result<(), TableError> {
        let label = || self.label.clone();
        if self.size == 0 {
            return Err(TableError::NoSize { label: label() });
        }
        let alignment = self.kind.alignment();
        if !self.offset.is_multiple_of(alignment) {
            return Err(TableError::Misaligned {
                label: label(),
                alignment,
            });
        }
        if self.offset < FREE_OFFSET {
            return Err(TableError::BelowTable { label: label() });
        }
        if self.end() > 1 << 32 {
            return Err(TableError::OutOfFlash {
                label: label(),
                end: self.end(),
                flash_bytes: u32::MAX,
            });
        }
        let is_nvs = self.kind == Kind::Data(DataKind::Nvs);
        if (self.kind.is_app() || is_nvs) && !self.size.is_multiple_of(SECTOR_BYTES) {
            return Err(TableError::UnevenSize { label: label() });
        }
        if is_nvs && self.size < NVS_BYTES_MIN && !self.is_readonly() {
            return Err(TableError::NvsTooSmall { label: label() });
        }
        if self.kind == Kind::Data(DataKind::Ota) && self.size != OTADATA_BYTES {
            return Err(TableError::OtadataSize { label: label() });
        }
        let is_written = matches!(self.kind, Kind::Data(DataKind::Ota | DataKind::Coredump));
        if is_written && self.is_readonly() {
            return Err(TableError::Readonly { label: label() });
        }
        Ok(())
    }
}

/// All partitions of a flash, in the table's order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionTable {
    partitions: Vec<Partition, PARTITIONS_MAX>,
}

impl PartitionTable {
    fn checked(partitions: Vec<Partition, PARTITIONS_MAX>) -> Result<Self, TableError> {
        let table = Self { partitions };
        table.validate(None)?;
        Ok(table)
    }

    /// What `gen_esp32part` checks (alignment, overlap, unique names, otadata, sizes), and that OTA
    /// slots are numbered without a gap, as the bootloader's arithmetic needs. With `flash_bytes`
    /// also that everything lies inside the flash.
    ///
    /// # Errors
    /// Names the first partition that is wrong.
    pub fn validate(&self, flash_bytes: Option<u32>) -> Result<(), TableError> {
        if self.partitions.is_empty() {
            return Err(TableError::NoPartitions);
        }
        for (index, partition) in self.partitions.iter().enumerate() {
            partition.validate()?;
            let earlier = self.partitions.get(..index).unwrap_or_default();
            self.validate_against(partition, earlier)?;
            if let Some(flash_bytes) = flash_bytes
                && partition.end() > u64::from(flash_bytes)
            {
                return Err(TableError::OutOfFlash {
                    label: partition.label.clone(),
                    end: partition.end(),
                    flash_bytes,
                });
            }
        }
        Ok(())
    }

    fn validate_against(
        &self,
        partition: &Partition,
        earlier: &[Partition],
    ) -> Result<(), TableError> {
        let label = || partition.label.clone();
        for other in earlier {
            if other.label == partition.label {
                return Err(TableError::DuplicateLabel { label: label() });
            }
            if other.kind == partition.kind && partition.kind.is_unique() {
                return Err(TableError::DuplicateKind {
                    label: label(),
                    other: other.label.clone(),
                });
            }
            if partition.overlaps(other) {
                return Err(TableError::Overlap {
                    label: label(),
                    other: other.label.clone(),
                });
            }
        }
        if let Kind::App(AppKind::Ota(slot)) = partition.kind
            && slot >= self.ota_slots_count()
        {
            return Err(TableError::SlotGap { label: label() });
        }
        Ok(())
    }

    /// All partitions, in the table's order.
    pub fn iter(&self) -> core::slice::Iter<'_, Partition> {
        self.partitions.iter()
    }

    /// The partition of this name.
    #[must_use]
    pub fn find(&self, label: &str) -> Option<&Partition> {
        self.iter().find(|partition| partition.label == label)
    }

    fn find_kind(&self, kind: Kind) -> Option<&Partition> {
        self.iter().find(|partition| partition.kind == kind)
    }

    /// The first NVS partition.
    #[must_use]
    pub fn find_nvs(&self) -> Option<&Partition> {
        self.find_kind(Kind::Data(DataKind::Nvs))
    }

    /// The partition that says which slot boots.
    #[must_use]
    pub fn find_otadata(&self) -> Option<&Partition> {
        self.find_kind(Kind::Data(DataKind::Ota))
    }

    /// The app flashed by cable.
    #[must_use]
    pub fn factory(&self) -> Option<&Partition> {
        self.find_kind(Kind::App(AppKind::Factory))
    }

    /// OTA slot `slot`, counted from 0.
    #[must_use]
    pub fn ota(&self, slot: u8) -> Option<&Partition> {
        self.find_kind(Kind::App(AppKind::Ota(slot)))
    }

    /// OTA slots, numbered from 0 without a gap. The bootloader takes otadata modulo this.
    #[must_use]
    pub fn ota_slots_count(&self) -> u8 {
        let is_there = |slot: &u8| self.ota(*slot).is_some();
        (0..OTA_SLOTS_MAX).take_while(is_there).count() as u8
    }

    /// Slots that an update can go to while another app runs: none where the only OTA slot is the
    /// only app (`huge_app.csv`), or where no otadata could select one.
    #[must_use]
    pub fn update_slots_count(&self) -> u8 {
        let slots = self.ota_slots_count();
        let has_other_app = slots >= 2 || self.factory().is_some();
        if has_other_app && self.find_otadata().is_some() {
            slots
        } else {
            0
        }
    }
}

impl<'a> IntoIterator for &'a PartitionTable {
    type Item = &'a Partition;
    type IntoIter = core::slice::Iter<'a, Partition>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}
