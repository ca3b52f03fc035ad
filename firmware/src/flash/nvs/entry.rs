//! The 32 bytes that everything in NVS is made of: an item's head, with a number in it or a
//! description of the bytes in the entries behind it.

use crate::flash::crc32::crc32_le;

pub(super) const ENTRY_BYTES: usize = 32;
/// What ESP-IDF starts every checksum of NVS with.
pub(super) const CRC_INITIAL: u32 = 0xffff_ffff;
/// Chunk index of everything that is no chunk.
pub(super) const NO_CHUNK: u8 = 0xff;
/// Chunk indexes of a blob's second version start here, those of its first at 0: an update leaves
/// the chunks of the value before it alone.
pub(super) const SECOND_VERSION: u8 = 0x80;
/// Longest name of a namespace or a key.
pub(super) const NAME_BYTES_MAX: usize = 15;

pub(super) const U8: u8 = 0x01;
pub(super) const U16: u8 = 0x02;
pub(super) const U32: u8 = 0x04;
pub(super) const U64: u8 = 0x08;
pub(super) const I8: u8 = 0x11;
pub(super) const I16: u8 = 0x12;
pub(super) const I32: u8 = 0x14;
pub(super) const I64: u8 = 0x18;
pub(super) const TEXT: u8 = 0x21;
/// A blob as the format's first version has it: one item, no index.
pub(super) const OLD_BLOB: u8 = 0x41;
pub(super) const BLOB_CHUNK: u8 = 0x42;
pub(super) const BLOB_INDEX: u8 = 0x48;

/// Name of a namespace or a key: up to 15 bytes, the rest zero.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Name([u8; 16]);

impl Name {
    pub(super) fn new(text: &str) -> Option<Self> {
        let bytes = text.as_bytes();
        if bytes.is_empty() || bytes.len() > NAME_BYTES_MAX || bytes.contains(&0) {
            return None;
        }
        let mut name = [0; 16];
        name[..bytes.len()].copy_from_slice(bytes);
        Some(Self(name))
    }
}

/// One entry, read as an item's head.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Entry(pub(super) [u8; ENTRY_BYTES]);

impl Entry {
    fn new(namespace: u8, kind: u8, span: u8, chunk: u8, name: &Name, data: [u8; 8]) -> Self {
        let mut bytes = [0; ENTRY_BYTES];
        bytes[..4].copy_from_slice(&[namespace, kind, span, chunk]);
        bytes[8..24].copy_from_slice(&name.0);
        bytes[24..].copy_from_slice(&data);
        let mut entry = Self(bytes);
        let crc = entry.crc();
        entry.0[4..8].copy_from_slice(&crc.to_le_bytes());
        entry
    }

    pub(super) fn number(namespace: u8, kind: u8, name: &Name, data: [u8; 8]) -> Self {
        Self::new(namespace, kind, 1, NO_CHUNK, name, data)
    }

    /// Head of `size` bytes in the entries behind it.
    pub(super) fn sized(
        namespace: u8,
        kind: u8,
        chunk: u8,
        name: &Name,
        size: u16,
        crc: u32,
    ) -> Self {
        let mut data = [0xff; 8];
        data[..2].copy_from_slice(&size.to_le_bytes());
        data[4..].copy_from_slice(&crc.to_le_bytes());
        let span = 1 + entries_of(usize::from(size));
        Self::new(namespace, kind, span as u8, chunk, name, data)
    }

    pub(super) fn blob_index(
        namespace: u8,
        name: &Name,
        size: u32,
        chunks: u8,
        first_chunk: u8,
    ) -> Self {
        let mut data = [0xff; 8];
        data[..4].copy_from_slice(&size.to_le_bytes());
        data[4] = chunks;
        data[5] = first_chunk;
        Self::new(namespace, BLOB_INDEX, 1, NO_CHUNK, name, data)
    }

    fn crc(&self) -> u32 {
        crc32_le(crc32_le(CRC_INITIAL, &self.0[..4]), &self.0[8..])
    }

    /// Whether this was written as an item's head, and wholly.
    pub(super) fn is_item(&self) -> bool {
        let crc = u32::from_le_bytes([self.0[4], self.0[5], self.0[6], self.0[7]]);
        self.span() != 0 && crc == self.crc()
    }

    pub(super) fn is_blank(&self) -> bool {
        self.0 == [0xff; ENTRY_BYTES]
    }

    pub(super) fn namespace(&self) -> u8 {
        self.0[0]
    }

    pub(super) fn kind(&self) -> u8 {
        self.0[1]
    }

    /// Entries this item takes, with its head.
    pub(super) fn span(&self) -> u8 {
        self.0[2]
    }

    pub(super) fn chunk(&self) -> u8 {
        self.0[3]
    }

    pub(super) fn is_named(&self, namespace: u8, name: &Name) -> bool {
        // The name's end is its first zero; what follows it does not count.
        let own = self.0[8..24].split(|byte| *byte == 0).next();
        let other = name.0.split(|byte| *byte == 0).next();
        self.namespace() == namespace && own == other
    }

    pub(super) fn name(&self) -> Name {
        let mut name = [0; 16];
        let own = self.0[8..23].split(|byte| *byte == 0).next().unwrap_or(&[]);
        name[..own.len()].copy_from_slice(own);
        Name(name)
    }

    /// The number in it, little-endian.
    pub(super) fn data(&self) -> [u8; 8] {
        let mut data = [0; 8];
        data.copy_from_slice(&self.0[24..]);
        data
    }

    /// Whether bytes follow in further entries.
    pub(super) fn is_sized(&self) -> bool {
        matches!(self.kind(), TEXT | OLD_BLOB | BLOB_CHUNK)
    }

    /// Bytes in the entries behind this head.
    pub(super) fn size(&self) -> usize {
        usize::from(u16::from_le_bytes([self.0[24], self.0[25]]))
    }

    pub(super) fn data_crc(&self) -> u32 {
        u32::from_le_bytes([self.0[28], self.0[29], self.0[30], self.0[31]])
    }

    pub(super) fn blob_bytes(&self) -> usize {
        u32::from_le_bytes([self.0[24], self.0[25], self.0[26], self.0[27]]) as usize
    }

    pub(super) fn blob_chunks(&self) -> u8 {
        self.0[28]
    }

    pub(super) fn blob_first_chunk(&self) -> u8 {
        self.0[29]
    }

    /// Whether this index's blob has a chunk of that index.
    pub(super) fn has_chunk(&self, chunk: u8) -> bool {
        self.kind() == BLOB_INDEX
            && chunk
                .checked_sub(self.blob_first_chunk())
                .is_some_and(|number| number < self.blob_chunks())
    }
}

/// Entries that so many bytes take, without their head.
pub(super) fn entries_of(bytes: usize) -> usize {
    bytes.div_ceil(ENTRY_BYTES)
}
