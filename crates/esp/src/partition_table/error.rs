//! What can be wrong with a partition table, each with the partition or line and what to do.

use core::fmt;

use embedded_storage::nor_flash::NorFlashErrorKind;

use super::{FREE_OFFSET, Label, PARTITION_TABLE_OFFSET, PARTITIONS_MAX};

/// Why a partition table is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TableError {
    /// A line of the CSV, counted from 1.
    Line {
        line: u32,
        fault: LineFault,
    },
    /// More than fit in memory.
    TooManyPartitions,
    NoPartitions,
    /// No table begins at the binary's first byte.
    NoTable,
    /// An entry of the binary, counted from 0, begins with none of the known marks.
    Magic {
        entry: usize,
    },
    /// An entry's name is no text.
    BadLabel {
        entry: usize,
    },
    /// The table's MD5 does not fit its entries.
    Digest,
    /// An entry behind the MD5, which does not cover it.
    BehindDigest {
        entry: usize,
    },
    /// The binary ends, and no end mark came.
    NoEnd,
    NoSize {
        label: Label,
    },
    /// `alignment` is what the offset should be a multiple of, bytes.
    Misaligned {
        label: Label,
        alignment: u32,
    },
    UnevenSize {
        label: Label,
    },
    BelowTable {
        label: Label,
    },
    Overlap {
        label: Label,
        other: Label,
    },
    DuplicateLabel {
        label: Label,
    },
    /// Two partitions of which there can be one: the same OTA slot, factory, otadata.
    DuplicateKind {
        label: Label,
        other: Label,
    },
    /// An OTA slot whose predecessor is missing.
    SlotGap {
        label: Label,
    },
    OtadataSize {
        label: Label,
    },
    NvsTooSmall {
        label: Label,
    },
    /// otadata and coredump are always written.
    Readonly {
        label: Label,
    },
    /// `end` and `flash_bytes` in bytes.
    OutOfFlash {
        label: Label,
        end: u64,
        flash_bytes: u32,
    },
    /// The flash could not be read.
    Flash(NorFlashErrorKind),
}

/// What is wrong with a line of CSV.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineFault {
    NoLabel,
    LabelTooLong,
    Type,
    Subtype,
    Offset,
    NoSize,
    Size,
    Flag,
    TooManyFields,
    /// The offset lies before `free`, the end of what came before, bytes.
    Overlap {
        free: u64,
    },
    /// No room is left below 4 GiB.
    Full,
}

impl fmt::Display for TableError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line { line, fault } => write!(f, "partition table, line {line}: {fault}"),
            Self::TooManyPartitions => {
                write!(
                    f,
                    "partition table: more than {PARTITIONS_MAX} partitions; remove some"
                )
            }
            Self::NoPartitions => {
                f.write_str("partition table: no partitions; list at least an app")
            }
            Self::NoTable => write!(
                f,
                "no partition table at {PARTITION_TABLE_OFFSET:#x}; flash the board's table there"
            ),
            Self::Magic { entry } => write!(
                f,
                "partition table, entry {entry}: neither a partition nor the end; flash the table again"
            ),
            Self::BadLabel { entry } => write!(
                f,
                "partition table, entry {entry}: the name is not UTF-8; flash the table again"
            ),
            Self::Digest => f.write_str(
                "partition table: the MD5 does not fit its entries; flash the table again",
            ),
            Self::BehindDigest { entry } => write!(
                f,
                "partition table, entry {entry}: lies behind the MD5, which must be the last entry"
            ),
            Self::NoEnd => {
                f.write_str("partition table: the end mark is missing; flash the table again")
            }
            Self::Flash(kind) => write!(f, "partition table: the flash cannot be read: {kind}"),
            _ => self.fmt_partition(f),
        }
    }
}

impl TableError {
    fn fmt_partition(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSize { label } => write!(f, "partition {label}: size 0; give it one"),
            Self::Misaligned { label, alignment } => write!(
                f,
                "partition {label}: move the offset to a multiple of {alignment:#x}"
            ),
            Self::UnevenSize { label } => {
                write!(f, "partition {label}: make the size a multiple of 0x1000")
            }
            Self::BelowTable { label } => write!(
                f,
                "partition {label}: lies on the bootloader or the partition table; begin at {FREE_OFFSET:#x} or later"
            ),
            Self::Overlap { label, other } => {
                write!(
                    f,
                    "partition {label}: overlaps {other}; move or shrink one of them"
                )
            }
            Self::DuplicateLabel { label } => {
                write!(
                    f,
                    "partition {label}: another one has the same name; rename one"
                )
            }
            Self::DuplicateKind { label, other } => write!(
                f,
                "partition {label}: has the same type and subtype as {other}; there can be only one"
            ),
            Self::SlotGap { label } => write!(
                f,
                "partition {label}: an OTA slot before it is missing; number them from ota_0 without a gap"
            ),
            Self::OtadataSize { label } => {
                write!(f, "partition {label}: otadata must have size 0x2000")
            }
            Self::NvsTooSmall { label } => write!(
                f,
                "partition {label}: NVS needs at least 0x3000, unless it is readonly"
            ),
            Self::Readonly { label } => {
                write!(
                    f,
                    "partition {label}: is always written; remove the flag readonly"
                )
            }
            Self::OutOfFlash {
                label,
                end,
                flash_bytes,
            } => write!(
                f,
                "partition {label}: ends at {end:#x}, behind the flash's {flash_bytes:#x} bytes; shrink or move it"
            ),
            _ => Ok(()),
        }
    }
}

impl core::error::Error for TableError {}

impl fmt::Display for LineFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoLabel => "no name; write name, type, subtype, offset, size, flags",
            Self::LabelTooLong => "the name is longer than 16 bytes; shorten it",
            Self::Type => "unknown type; write app, data or a number from 0 to 254",
            Self::Subtype => {
                "unknown subtype; write one that fits the type (factory, ota_0 … ota_15, test; ota, nvs, spiffs …) or a number from 0 to 254"
            }
            Self::Offset => "the offset is no number; write one like 0x10000 or 64K, or leave it blank",
            Self::NoSize => "no size; write one like 0x5000, 20K or 1M",
            Self::Size => "the size is no number; write one like 0x5000, 20K or 1M",
            Self::Flag => "unknown flag; write encrypted, readonly or encrypted:readonly",
            Self::TooManyFields => {
                "more than six fields; write name, type, subtype, offset, size, flags"
            }
            Self::Overlap { free } => {
                return write!(
                    f,
                    "begins before the end of what stands above; leave the offset blank, or use {free:#x} or more in the table's order"
                );
            }
            Self::Full => "no room is left; shrink what stands above",
        })
    }
}
