//! The binary partition table, read as the second stage bootloader reads it and written for tests.
//!
//! Source of the format: ESP-IDF Programming Guide, "Partition Tables".

use embedded_storage::nor_flash::ReadNorFlash;
use md5::{Digest, Md5};

/// Where the table lies in the flash.
pub const TABLE_OFFSET: u32 = 0x8000;
/// Bytes of the table with the unused rest.
pub const TABLE_BYTES: usize = 0xC00;
/// Type of partitions that hold an application.
pub const APP: u8 = 0x00;
/// Type of partitions that hold data.
pub const DATA: u8 = 0x01;
/// Subtype of the application a device is delivered with.
pub const APP_FACTORY: u8 = 0x00;
/// Subtype of the first OTA slot; the others follow.
pub const APP_OTA_0: u8 = 0x10;
/// Subtype of the partition that tells which OTA slot to boot.
pub const DATA_OTA: u8 = 0x00;
/// Subtype of the key-value store.
pub const DATA_NVS: u8 = 0x02;

const ENTRY_BYTES: usize = 32;
const MAGIC: [u8; 2] = [0xAA, 0x50];
const MD5_MAGIC: [u8; 2] = [0xEB, 0xEB];

/// One partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// [`APP`], [`DATA`] or another type.
    pub kind: u8,
    /// Meaning within the type.
    pub subtype: u8,
    /// Start in the flash.
    pub offset: u32,
    /// Size in bytes.
    pub size: u32,
    /// Name, at most 16 bytes.
    pub label: String,
}

impl Entry {
    /// A partition named `label`.
    pub fn new(label: &str, kind: u8, subtype: u8, offset: u32, size: u32) -> Self {
        Self {
            kind,
            subtype,
            offset,
            size,
            label: label.to_owned(),
        }
    }
}

/// The table's bytes with its MD5 entry.
///
/// # Panics
/// If the entries do not fit or a label is too long.
pub fn to_binary(entries: &[Entry]) -> Vec<u8> {
    assert!(entries.len() <= 94, "too many partitions");
    let mut bytes = Vec::with_capacity(TABLE_BYTES);
    for entry in entries {
        assert!(entry.label.len() <= 16, "label {:?} too long", entry.label);
        let mut label = [0; 16];
        label[..entry.label.len()].copy_from_slice(entry.label.as_bytes());
        bytes.extend(MAGIC);
        bytes.extend([entry.kind, entry.subtype]);
        bytes.extend(entry.offset.to_le_bytes());
        bytes.extend(entry.size.to_le_bytes());
        bytes.extend(label);
        bytes.extend([0; 4]);
    }
    let digest = Md5::digest(&bytes);
    bytes.extend(MD5_MAGIC);
    bytes.extend([0xFF; 14]);
    bytes.extend(digest);
    bytes.resize(TABLE_BYTES, 0xFF);
    bytes
}

/// Reads the table from `flash` like [`parse`].
pub(crate) fn read<F: ReadNorFlash>(
    flash: &mut F,
) -> Result<Result<Vec<Entry>, &'static str>, F::Error> {
    let mut bytes = vec![0; TABLE_BYTES];
    flash.read(TABLE_OFFSET, &mut bytes)?;
    Ok(parse(&bytes, flash.capacity()))
}

/// The partitions of a table for a flash of `flash_bytes` bytes, or why the bootloader refuses it.
pub fn parse(bytes: &[u8], flash_bytes: usize) -> Result<Vec<Entry>, &'static str> {
    let mut entries = Vec::new();
    let mut md5_seen = false;
    for (number, raw) in bytes.chunks_exact(ENTRY_BYTES).enumerate() {
        if raw[..2] == MAGIC {
            let entry = parse_entry(raw);
            if u64::from(entry.offset) + u64::from(entry.size) > flash_bytes as u64 {
                return Err("a partition ends beyond the flash");
            }
            entries.push(entry);
        } else if raw[..2] == MD5_MAGIC {
            if std::mem::replace(&mut md5_seen, true) {
                return Err("the table has two MD5 entries");
            }
            if Md5::digest(&bytes[..number * ENTRY_BYTES])[..] != raw[16..] {
                return Err("the table's MD5 is wrong");
            }
        } else if raw[..4] == [0xFF; 4] {
            return Ok(entries);
        } else {
            return Err("an entry of the table has a wrong magic number");
        }
    }
    Err("the table has no end")
}

fn parse_entry(raw: &[u8]) -> Entry {
    let label = raw[12..28].split(|&byte| byte == 0).next();
    Entry {
        kind: raw[2],
        subtype: raw[3],
        offset: u32_at(raw, 4),
        size: u32_at(raw, 8),
        label: String::from_utf8_lossy(label.unwrap_or_default()).into_owned(),
    }
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries() -> Vec<Entry> {
        vec![
            Entry::new("nvs", DATA, DATA_NVS, 0x9000, 0x5000),
            Entry::new("a_label_of_16_by", APP, APP_OTA_0, 0x1_0000, 0x1_0000),
        ]
    }

    #[test]
    fn a_written_table_is_read_back() {
        let bytes = to_binary(&entries());
        assert_eq!(bytes.len(), TABLE_BYTES);
        assert_eq!(parse(&bytes, 0x2_0000), Ok(entries()));
    }

    #[test]
    fn a_table_without_md5_is_read_and_a_wrong_md5_refused() {
        let mut bytes = to_binary(&entries());
        bytes[2 * ENTRY_BYTES + 16] ^= 1;
        assert_eq!(parse(&bytes, 0x2_0000), Err("the table's MD5 is wrong"));
        bytes[2 * ENTRY_BYTES..3 * ENTRY_BYTES].fill(0xFF);
        assert_eq!(parse(&bytes, 0x2_0000), Ok(entries()));
    }

    #[test]
    fn a_second_md5_entry_refuses_the_table() {
        let mut bytes = to_binary(&entries());
        bytes.copy_within(2 * ENTRY_BYTES..3 * ENTRY_BYTES, 3 * ENTRY_BYTES);
        let reason = "the table has two MD5 entries";
        assert_eq!(parse(&bytes, 0x2_0000), Err(reason));
    }

    #[test]
    fn a_partition_beyond_the_flash_and_a_strange_entry_refuse_the_table() {
        let mut bytes = to_binary(&entries());
        assert!(parse(&bytes, 0x1_F000).is_err());
        bytes[3 * ENTRY_BYTES] = 0x12;
        assert!(parse(&bytes, 0x2_0000).is_err());
        assert!(parse(&[0xFF; 16], 0x2_0000).is_err());
    }
}
