//! Application images in the ESP format, made without a compiler, and ways to damage them.
//!
//! Source of the format: ESP-IDF Programming Guide, "App Image Format".

use sha2::{Digest, Sha256};

use crate::Random;
use crate::table::{self, TABLE_OFFSET, u32_at};

/// Chip id of the ESP32.
pub const ESP32: u16 = 0;
/// Chip id of the ESP32-C3.
pub const ESP32C3: u16 = 5;
/// Chip id of the ESP32-S3.
pub const ESP32S3: u16 = 9;
/// Chip id of the ESP32-C6.
pub const ESP32C6: u16 = 13;

/// Where the application descriptor lies in an image.
pub const DESCRIPTOR_AT: usize = 0x20;
/// Where the version lies in an image: text ended by a zero byte, 32 bytes.
pub const VERSION_AT: usize = 0x30;
/// Where the project's name lies in an image: text ended by a zero byte, 32 bytes.
pub const PROJECT_AT: usize = 0x50;

const CHIP_AT: usize = 12;
const HASH_APPENDED_AT: usize = 23;
const HEADER_BYTES: usize = 24;
const SEGMENTS_MAX: usize = 16;
const DESCRIPTOR_MAGIC: u32 = 0xABCD_5432;
const DESCRIPTOR_BYTES: usize = 256;
const TEXT_BYTES: usize = 32;
const HASH_BYTES: usize = 32;
/// The second segment stands for the code that is copied to RAM.
const CODE_BYTES: usize = 16;
/// Header, two segment headers, descriptor, code.
const OVERHEAD_BYTES: usize = HEADER_BYTES + 8 + DESCRIPTOR_BYTES + 8 + CODE_BYTES;

/// Why no image can be made of what was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ImageError {
    /// Neither header nor segments make sense, or the end is missing.
    #[error("the bytes are no complete ESP image")]
    NotAnImage,
    /// There is no application descriptor at [`DESCRIPTOR_AT`].
    #[error("the image has no application descriptor")]
    NoDescriptor,
    /// The format holds at most 16 segments.
    #[error("{0} segments are too many for an image")]
    TooManySegments(usize),
    /// Version and project hold at most 31 bytes.
    #[error("a version or project of {0} bytes is too long")]
    TextTooLong(usize),
}

/// Start of the flash-mapped read-only data and of the executable RAM.
fn addresses(chip_id: u16) -> (u32, u32) {
    match chip_id {
        ESP32 => (0x3F40_0000, 0x4008_0000),
        ESP32C3 => (0x3C00_0000, 0x4038_0000),
        ESP32S3 => (0x3C00_0000, 0x4037_8000),
        ESP32C6 => (0x4200_0000, 0x4080_0000),
        _ => (0x2200_0000, 0x8000_0000),
    }
}

/// Makes valid images.
///
/// Without further wishes: version `0.0.0`, project `airlift`, an empty payload, SHA-256 appended.
#[derive(Clone, Debug)]
pub struct ImageBuilder {
    chip_id: u16,
    version: String,
    project: String,
    payload: Vec<u8>,
    size: Option<(usize, u64)>,
    hash: bool,
}

impl ImageBuilder {
    /// An image for the chip of this id.
    pub fn new(chip_id: u16) -> Self {
        Self {
            chip_id,
            version: "0.0.0".to_owned(),
            project: "airlift".to_owned(),
            payload: Vec::new(),
            size: None,
            hash: true,
        }
    }

    /// Sets the version in the application descriptor.
    pub fn version(mut self, version: &str) -> Self {
        self.version = version.to_owned();
        self
    }

    /// Sets the project's name in the application descriptor.
    pub fn project(mut self, project: &str) -> Self {
        self.project = project.to_owned();
        self
    }

    /// Sets what follows the descriptor, filled up with zeros to whole words.
    pub fn payload(mut self, bytes: &[u8]) -> Self {
        self.payload = bytes.to_vec();
        self
    }

    /// Sets a payload of `length` random bytes.
    pub fn random_payload(mut self, length: usize, seed: u64) -> Self {
        self.payload = vec![0; length];
        Random::new(seed).fill(&mut self.payload);
        self
    }

    /// Makes the whole image exactly `total` bytes long: random bytes follow the payload.
    pub fn size(mut self, total: usize, seed: u64) -> Self {
        self.size = Some((total, seed));
        self
    }

    /// Leaves the SHA-256 away, so that the bootloader has only the checksum to go by.
    pub fn without_hash(mut self) -> Self {
        self.hash = false;
        self
    }

    /// The image.
    ///
    /// # Panics
    /// If version or project is longer than 31 bytes, or if the size wished for is no multiple of 16 or
    /// too small.
    pub fn build(mut self) -> Vec<u8> {
        let hash_bytes = if self.hash { HASH_BYTES } else { 0 };
        self.payload
            .resize(self.payload.len().next_multiple_of(4), 0);
        if let Some((total, seed)) = self.size {
            assert!(total.is_multiple_of(16), "no image has {total} bytes");
            // The last word before the hash ends with the checksum.
            let length = total
                .checked_sub(OVERHEAD_BYTES + 4 + hash_bytes)
                .filter(|&length| length >= self.payload.len())
                .unwrap_or_else(|| panic!("{total} bytes are too few for this image"));
            let mut rest = vec![0; length - self.payload.len()];
            Random::new(seed).fill(&mut rest);
            self.payload.extend(rest);
        }
        let (data_address, code_address) = addresses(self.chip_id);
        let mut data = descriptor(&self.version, &self.project)
            .unwrap_or_else(|error| panic!("no such image can be built: {error}"));
        data.extend(&self.payload);
        // What esptool calls the ELF's digest: here a digest of what differs between images.
        let digest = Sha256::digest(&data);
        data[144..176].copy_from_slice(&digest);
        let code = [0x13, 0, 0, 0].repeat(CODE_BYTES / 4);
        let segments = [
            // The cache maps pages of 64 KiB: address and place in the file agree modulo that.
            (data_address + DESCRIPTOR_AT as u32, &data[..]),
            (code_address, &code[..]),
        ];
        assemble(self.chip_id, code_address, &segments, self.hash)
    }
}

/// An image from a program's load segments, in the order given, with its SHA-256.
///
/// If the first segment begins with an application descriptor, that one is kept, with `version` and
/// `project` put into it unless they are empty. Otherwise a descriptor of its own goes first, as a segment
/// with load address 0: such segments are padding and loaded nowhere. Segments are filled up with zeros to
/// whole words, empty ones left away.
///
/// # Errors
/// If there are too many segments, or version or project is too long.
pub fn from_elf_segments(
    chip_id: u16,
    entry: u32,
    segments: &[(u32, &[u8])],
    version: &str,
    project: &str,
) -> Result<Vec<u8>, ImageError> {
    let mut owned: Vec<(u32, Vec<u8>)> = segments
        .iter()
        .filter(|(_, bytes)| !bytes.is_empty())
        .map(|&(address, bytes)| (address, bytes.to_vec()))
        .collect();
    match owned.first_mut() {
        Some((_, first)) if is_descriptor(first) => {
            for (text, at) in [(version, VERSION_AT), (project, PROJECT_AT)] {
                if !text.is_empty() {
                    put_text(&mut first[at - DESCRIPTOR_AT..], text)?;
                }
            }
        }
        _ => owned.insert(0, (0, descriptor(version, project)?)),
    }
    if owned.len() > SEGMENTS_MAX {
        return Err(ImageError::TooManySegments(owned.len()));
    }
    let borrowed: Vec<_> = owned
        .iter()
        .map(|(address, bytes)| (*address, &bytes[..]))
        .collect();
    Ok(assemble(chip_id, entry, &borrowed, true))
}

/// An image like a second stage bootloader: only RAM segments, no application descriptor.
pub fn bootloader_like(chip_id: u16) -> Vec<u8> {
    let (_, code_address) = addresses(chip_id);
    let mut code = vec![0; 8 * 1024];
    Random::new(u64::from(chip_id)).fill(&mut code);
    assemble(chip_id, code_address, &[(code_address, &code)], true)
}

/// One file for the whole flash: bootloader, partition table and application where the chip expects them,
/// 0xFF between. The application goes to the table's factory partition, without one to its first OTA slot.
///
/// # Panics
/// If the table has no application or the parts overlap.
pub fn merged(bootloader: &[u8], table: &[u8], app: &[u8]) -> Vec<u8> {
    let entries = table::parse(table, u32::MAX as usize).expect("a valid partition table");
    let app_offset = entries
        .iter()
        .filter(|entry| entry.kind == table::APP)
        .min_by_key(|entry| entry.subtype)
        .expect("a table with an application")
        .offset;
    let mut file = Vec::new();
    for (offset, part) in [
        (bootloader_offset(chip_id(bootloader)), bootloader),
        (TABLE_OFFSET as usize, table),
        (app_offset as usize, app),
    ] {
        assert!(file.len() <= offset, "parts overlap at {offset:#x}");
        file.resize(offset, 0xFF);
        file.extend(part);
    }
    file
}

/// Where the second stage bootloader of this chip lies: 0x1000 on the ESP32 and ESP32-S2, else 0.
fn bootloader_offset(chip_id: u16) -> usize {
    if matches!(chip_id, ESP32 | 2) {
        0x1000
    } else {
        0
    }
}

/// The chip id in an image's header.
///
/// # Panics
/// If the image is shorter than that.
pub fn chip_id(image: &[u8]) -> u16 {
    u16::from_le_bytes([image[CHIP_AT], image[CHIP_AT + 1]])
}

/// Makes an image one for another chip that is valid there.
///
/// # Errors
/// If it is no complete image.
pub fn set_chip(image: &mut [u8], chip_id: u16) -> Result<(), ImageError> {
    end_of_segments(image)?;
    image[CHIP_AT..CHIP_AT + 2].copy_from_slice(&chip_id.to_le_bytes());
    seal(image)
}

/// The version in an image's application descriptor.
pub fn version(image: &[u8]) -> Option<String> {
    if !is_descriptor(image.get(DESCRIPTOR_AT..)?) {
        return None;
    }
    let text = image.get(VERSION_AT..VERSION_AT + TEXT_BYTES)?;
    let text = text.split(|&byte| byte == 0).next()?;
    Some(String::from_utf8_lossy(text).into_owned())
}

/// Puts another version into a valid image, which stays valid and of the same size.
///
/// # Errors
/// If it is no complete image, has no descriptor, or the version is too long. The image is unchanged
/// then.
pub fn set_version(image: &mut [u8], version: &str) -> Result<(), ImageError> {
    let end = end_of_segments(image)?;
    if end < DESCRIPTOR_AT + DESCRIPTOR_BYTES || !is_descriptor(&image[DESCRIPTOR_AT..]) {
        return Err(ImageError::NoDescriptor);
    }
    put_text(&mut image[VERSION_AT..], version)?;
    seal(image)
}

/// Computes checksum and, where one is appended, SHA-256 anew. Bytes after the image stay.
///
/// # Errors
/// If it is no complete image.
pub fn seal(image: &mut [u8]) -> Result<(), ImageError> {
    let end = end_of_segments(image)?;
    let mut checksum = 0xEF;
    let mut at = HEADER_BYTES;
    for _ in 0..image[1] {
        let length = u32_at(image, at + 4) as usize;
        let data = &image[at + 8..at + 8 + length];
        checksum = data.iter().fold(checksum, |sum, byte| sum ^ byte);
        at += 8 + length;
    }
    let sealed = (end + 1).next_multiple_of(16);
    image[sealed - 1] = checksum;
    if image[HASH_APPENDED_AT] != 0 {
        let digest = Sha256::digest(&image[..sealed]);
        image[sealed..sealed + HASH_BYTES].copy_from_slice(&digest);
    }
    Ok(())
}

/// Turns one bit over.
///
/// # Panics
/// If `at` is beyond the end or `bit` above 7.
pub fn flip(image: &mut [u8], at: usize, bit: u8) {
    assert!(bit < 8, "a byte has no bit {bit}");
    image[at] ^= 1 << bit;
}

/// Turns the same bit over in two bytes of segment data: the checksum does not change.
///
/// # Panics
/// As [`flip`], and if both are the same byte.
pub fn flip_unseen_by_checksum(image: &mut [u8], at: [usize; 2], bit: u8) {
    assert_ne!(at[0], at[1], "two flips of one bit change nothing");
    flip(image, at[0], bit);
    flip(image, at[1], bit);
}

fn is_descriptor(bytes: &[u8]) -> bool {
    bytes.len() >= DESCRIPTOR_BYTES && u32_at(bytes, 0) == DESCRIPTOR_MAGIC
}

fn descriptor(version: &str, project: &str) -> Result<Vec<u8>, ImageError> {
    let mut bytes = vec![0; DESCRIPTOR_BYTES];
    bytes[..4].copy_from_slice(&DESCRIPTOR_MAGIC.to_le_bytes());
    put_text(&mut bytes[VERSION_AT - DESCRIPTOR_AT..], version)?;
    put_text(&mut bytes[PROJECT_AT - DESCRIPTOR_AT..], project)?;
    // Any revision of the eFuses, and pages of 2^16 bytes.
    bytes[178..180].copy_from_slice(&u16::MAX.to_le_bytes());
    bytes[180] = 16;
    Ok(bytes)
}

fn put_text(field: &mut [u8], text: &str) -> Result<(), ImageError> {
    if text.len() >= TEXT_BYTES {
        return Err(ImageError::TextTooLong(text.len()));
    }
    field[..TEXT_BYTES].fill(0);
    field[..text.len()].copy_from_slice(text.as_bytes());
    Ok(())
}

fn assemble(chip_id: u16, entry: u32, segments: &[(u32, &[u8])], hash: bool) -> Vec<u8> {
    let mut image = vec![0; HEADER_BYTES];
    image[0] = 0xE9;
    image[1] = u8::try_from(segments.len()).expect("at most 16 segments");
    // Flash mode DIO, 4 MB at 40 MHz; no write-protect pin; any chip revision.
    image[2] = 2;
    image[3] = 0x20;
    image[4..8].copy_from_slice(&entry.to_le_bytes());
    image[8] = 0xEE;
    image[CHIP_AT..CHIP_AT + 2].copy_from_slice(&chip_id.to_le_bytes());
    image[17..19].copy_from_slice(&u16::MAX.to_le_bytes());
    image[HASH_APPENDED_AT] = u8::from(hash);
    for (address, data) in segments {
        let length = data.len().next_multiple_of(4);
        image.extend(address.to_le_bytes());
        image.extend(u32::try_from(length).expect("below 4 GiB").to_le_bytes());
        image.extend(*data);
        image.resize(image.len() + length - data.len(), 0);
    }
    let sealed = (image.len() + 1).next_multiple_of(16);
    image.resize(sealed + if hash { HASH_BYTES } else { 0 }, 0);
    seal(&mut image).expect("a complete image");
    image
}

/// Where the segments of a complete image end.
fn end_of_segments(image: &[u8]) -> Result<usize, ImageError> {
    if image.len() < HEADER_BYTES || image[0] != 0xE9 || usize::from(image[1]) > SEGMENTS_MAX {
        return Err(ImageError::NotAnImage);
    }
    let mut end = HEADER_BYTES;
    for _ in 0..image[1] {
        let header = image.get(end..end + 8).ok_or(ImageError::NotAnImage)?;
        end = end
            .checked_add(8 + u32_at(header, 4) as usize)
            .ok_or(ImageError::NotAnImage)?;
    }
    let hash_bytes = if image[HASH_APPENDED_AT] == 0 {
        0
    } else {
        HASH_BYTES
    };
    match (end + 1).next_multiple_of(16) + hash_bytes <= image.len() {
        true => Ok(end),
        false => Err(ImageError::NotAnImage),
    }
}
