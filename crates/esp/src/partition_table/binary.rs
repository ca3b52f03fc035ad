//! The binary form, as it lies in the flash: 32-byte entries, an MD5 over them, 0xFF.

use embedded_storage::nor_flash::{NorFlashError as _, ReadNorFlash};
use heapless::Vec;
use md5::{Digest as _, Md5};

use super::{
    Kind, Label, PARTITION_TABLE_OFFSET, PARTITIONS_MAX, Partition, PartitionTable, SUBTYPE_TEST,
    TYPE_APP, TYPE_DATA, TableError,
};
use crate::SECTOR_BYTES;

/// Bytes that the table takes in the flash.
pub const PARTITION_TABLE_BYTES: usize = 0xC00;

const ENTRY_BYTES: usize = 32;
/// A table's first entry, and the magic of what follows it.
pub(crate) const TABLE_BEGIN_BYTES: usize = ENTRY_BYTES + 2;
const LABEL_BYTES: usize = 16;
const TYPE_BOOTLOADER: u8 = 2;
const TYPE_TABLE: u8 = 3;
const TYPES_OF_USERS: core::ops::RangeInclusive<u8> = 0x40..=0xFE;
const ENTRIES_MAX: usize = PARTITION_TABLE_BYTES / ENTRY_BYTES;
const MAGIC: [u8; 2] = [0xAA, 0x50];
const DIGEST_MAGIC: [u8; 16] = {
    let mut magic = [0xFF; 16];
    magic[0] = 0xEB;
    magic[1] = 0xEB;
    magic
};
const ERASED: u8 = 0xFF;

impl PartitionTable {
    /// Reads the binary form. What follows its end mark is ignored.
    ///
    /// # Errors
    /// Names the entry, or the partition if the table as a whole is not sound.
    pub fn from_binary(bytes: &[u8]) -> Result<Self, TableError> {
        let mut reader = Reader::default();
        let (entries, _) = bytes.as_chunks::<ENTRY_BYTES>();
        for entry in entries.iter().take(ENTRIES_MAX) {
            if reader.read(entry)? {
                return reader.finish();
            }
        }
        Err(TableError::NoEnd)
    }

    /// Reads the table from its place in the flash; every partition must lie inside the flash.
    ///
    /// # Errors
    /// As [`Self::from_binary`], or the flash's own.
    #[inline(never)]
    pub fn read<F: ReadNorFlash>(flash: &mut F) -> Result<Self, TableError> {
        let mut reader = Reader::default();
        let mut entry = [0; ENTRY_BYTES];
        let offsets = (PARTITION_TABLE_OFFSET..).step_by(ENTRY_BYTES);
        for offset in offsets.take(ENTRIES_MAX) {
            flash
                .read(offset, &mut entry)
                .map_err(|error| TableError::Flash(error.kind()))?;
            if reader.read(&entry)? {
                let table = reader.finish()?;
                let flash_bytes = u32::try_from(flash.capacity()).unwrap_or(u32::MAX);
                table.validate(Some(flash_bytes))?;
                return Ok(table);
            }
        }
        Err(TableError::NoEnd)
    }

    /// Writes the binary form, with the MD5, and 0xFF behind it.
    pub fn to_binary(&self, out: &mut [u8; PARTITION_TABLE_BYTES]) {
        out.fill(ERASED);
        let mut digest = Md5::new();
        let (entries, _) = out.as_chunks_mut::<ENTRY_BYTES>();
        let mut entries = entries.iter_mut();
        for (partition, entry) in self.iter().zip(&mut entries) {
            *entry = to_entry(partition);
            digest.update(*entry);
        }
        if let Some([first, second]) = entries
            .next()
            .and_then(|entry| entry.as_chunks_mut::<16>().0.as_mut_array())
        {
            *first = DIGEST_MAGIC;
            *second = digest.finalize().into();
        }
    }
}

/// Takes a table entry by entry, so that it need not lie in memory.
#[derive(Default)]
struct Reader {
    partitions: Vec<Partition, PARTITIONS_MAX>,
    digest: Md5,
    /// Entries so far.
    entries: usize,
    has_digest: bool,
}

impl Reader {
    /// Whether this entry was the end.
    fn read(&mut self, entry: &[u8; ENTRY_BYTES]) -> Result<bool, TableError> {
        if entry.iter().all(|byte| *byte == ERASED) {
            return if self.entries == 0 {
                Err(TableError::NoTable)
            } else {
                Ok(true)
            };
        }
        let index = self.entries;
        self.entries += 1;
        if self.has_digest {
            return Err(TableError::BehindDigest { entry: index });
        }
        if let Some(digest) = entry.strip_prefix(&DIGEST_MAGIC) {
            self.has_digest = true;
            let ours: [u8; 16] = self.digest.clone().finalize().into();
            return if digest == ours {
                Ok(false)
            } else {
                Err(TableError::Digest)
            };
        }
        if !entry.starts_with(&MAGIC) {
            return Err(if index == 0 {
                TableError::NoTable
            } else {
                TableError::Magic { entry: index }
            });
        }
        self.digest.update(entry);
        let partition = from_entry(entry).ok_or(TableError::BadLabel { entry: index })?;
        self.partitions
            .push(partition)
            .map_err(|_| TableError::TooManyPartitions)?;
        Ok(false)
    }

    fn finish(self) -> Result<PartitionTable, TableError> {
        PartitionTable::checked(self.partitions)
    }
}

fn to_entry(partition: &Partition) -> [u8; ENTRY_BYTES] {
    let (type_, subtype) = partition.kind.to_bytes();
    let mut label = [0; 16];
    for (place, byte) in label.iter_mut().zip(partition.label.bytes()) {
        *place = byte;
    }
    let fields: [&[u8]; 6] = [
        &MAGIC,
        &[type_, subtype],
        &partition.offset.to_le_bytes(),
        &partition.size.to_le_bytes(),
        &label,
        &partition.flags.to_le_bytes(),
    ];
    let mut entry = [0; ENTRY_BYTES];
    for (place, byte) in entry.iter_mut().zip(fields.into_iter().flatten()) {
        *place = *byte;
    }
    entry
}

/// None if the name is not UTF-8.
fn from_entry(entry: &[u8; ENTRY_BYTES]) -> Option<Partition> {
    let (_, rest) = entry.split_first_chunk::<2>()?;
    let ([type_, subtype], rest) = rest.split_first_chunk::<2>()?;
    let (offset, rest) = rest.split_first_chunk::<4>()?;
    let (size, rest) = rest.split_first_chunk::<4>()?;
    let (label, rest) = rest.split_first_chunk::<16>()?;
    let (flags, _) = rest.split_first_chunk::<4>()?;
    let label = label.split(|byte| *byte == 0).next().unwrap_or_default();
    Some(Partition {
        label: Label::try_from(core::str::from_utf8(label).ok()?).ok()?,
        kind: Kind::from_bytes(*type_, *subtype),
        offset: u32::from_le_bytes(*offset),
        size: u32::from_le_bytes(*size),
        flags: u32::from_le_bytes(*flags),
    })
}

/// Whether a table begins with these bytes: what tells a merged image, which brings its own, from an
/// app. The magic alone stands in one of 65,536 apps by chance, so all of the entry must make sense.
pub(crate) fn begins_table(window: &[u8; TABLE_BEGIN_BYTES]) -> bool {
    let Some((entry, next)) = window.split_first_chunk::<ENTRY_BYTES>() else {
        return false;
    };
    let [_, _, type_, subtype, _, _, _, _, _, _, _, _, rest @ ..] = entry;
    let (type_, subtype) = (*type_, *subtype);
    let is_known = match type_ {
        TYPE_APP => subtype <= SUBTYPE_TEST,
        TYPE_DATA | TYPE_BOOTLOADER | TYPE_TABLE => true,
        _ => TYPES_OF_USERS.contains(&type_),
    };
    let label = rest.split_at(LABEL_BYTES).0;
    let length = label.iter().position(|byte| *byte == 0);
    let (text, zeros) = label.split_at(length.unwrap_or(LABEL_BYTES));
    let is_label = !text.is_empty()
        && text.iter().all(|byte| (b' '..=b'~').contains(byte))
        && zeros.iter().all(|byte| *byte == 0);
    entry.starts_with(&MAGIC)
        && is_known
        && is_label
        && from_entry(entry).is_some_and(|it| {
            it.offset != 0 && it.offset.is_multiple_of(SECTOR_BYTES) && it.size != 0
        })
        && [&MAGIC[..], &DIGEST_MAGIC[..2], &[ERASED; 2]].contains(&next)
}
