//! Images of the file system SPIFFS, byte for byte as ESP-IDF's `spiffsgen.py` makes them with its
//! defaults, which are those of its firmwares: blocks of 4096 bytes, pages of 256, names of 32 with
//! the zero behind them, 4 bytes of metadata, a magic that depends on the length.
//!
//! The form, from the design paper of SPIFFS (github.com/pellepl/spiffs, `docs/TECH_SPEC`); numbers
//! are little-endian, what nobody wrote is 0xFF:
//!
//! - A file is an object with an id from 1. Its pages are numbered by span: first, second, …
//! - A block's first page is its look-up: for each page behind it the id of the object it belongs to
//!   (u16), with the top bit set for an index page. In the look-up's last place but one stands the
//!   magic: `0x20140529 ^ page size ^ (blocks − this block)`, 16 bits of it. So a file system of
//!   another size does not mount.
//! - Every other page begins with id (u16), span (u16) and flags (u8, a bit is 0 where it holds).
//! - A data page has 251 bytes of the file behind that.
//! - An index page has 3 bytes of padding, then the numbers (u16) of the file's data pages. In a
//!   file's first one its size (u32), type (u8), name and metadata go before them, packed: ESP-IDF
//!   does not align the numbers.
//!
//! A build gives the same bytes for the same files in the same order.

use std::collections::HashSet;

use thiserror::Error;

/// A file system has a whole number of these, bytes: the flash's erase unit.
pub const BLOCK_BYTES: u32 = 4096;
/// Longest name, bytes of UTF-8 with the slash it begins with.
pub const NAME_BYTES_MAX: usize = NAME_FIELD_BYTES - 1;

const PAGE_BYTES: usize = 256;
const PAGES_PER_BLOCK: usize = BLOCK_BYTES as usize / PAGE_BYTES;
/// All but the look-up.
const USABLE_PAGES_PER_BLOCK: usize = PAGES_PER_BLOCK - 1;
/// Page numbers are of 16 bits.
const SIZE_MAX: u32 = (1 << 16) * PAGE_BYTES as u32;

const HEADER_BYTES: usize = 5;
const CONTENT_BYTES: usize = PAGE_BYTES - HEADER_BYTES;
const NAME_FIELD_BYTES: usize = 32;
const METADATA_BYTES: usize = 4;
/// Behind an index page's header and padding.
const INDEX_BEGIN: usize = 8;
const NAME_AT: usize = INDEX_BEGIN + 5;
/// Where the page numbers begin in a file's first index page.
const FIRST_NUMBERS_AT: usize = NAME_AT + NAME_FIELD_BYTES + METADATA_BYTES;
const NUMBER_BYTES: usize = 2;
/// Data pages that a file's first index page has room for, and each further one.
const NUMBERS_IN_FIRST: usize = (PAGE_BYTES - FIRST_NUMBERS_AT) / NUMBER_BYTES;
const NUMBERS_IN_FURTHER: usize = (PAGE_BYTES - INDEX_BEGIN) / NUMBER_BYTES;

const INDEX_BIT: u16 = 0x8000;
/// Used and final.
const DATA_FLAGS: u8 = 0xFC;
/// Used, final, and an index.
const INDEX_FLAGS: u8 = 0xF8;
const TYPE_FILE: u8 = 1;
const MAGIC: u32 = 0x2014_0529;
const MAGIC_AT: usize = PAGE_BYTES - 2 * NUMBER_BYTES;

/// Why there is no image of these files, or why this is none.
#[derive(Debug, PartialEq, Eq, Error)]
pub enum SpiffsError {
    #[error(
        "a SPIFFS file system has a multiple of {BLOCK_BYTES} bytes, at most {SIZE_MAX}; {0} is none"
    )]
    Size(u32),
    #[error("names in SPIFFS have at most {NAME_BYTES_MAX} bytes with the folders and the slash at the front; too long: {}. Shorten them, or the folders they are in", list(.0))]
    NamesTooLong(Vec<String>),
    #[error("{0:?} is no name for a file in SPIFFS: it begins with a slash and holds no zero byte")]
    Name(String),
    #[error("the file {0} is there twice")]
    Twice(String),
    #[error("the files take {needed} bytes of flash, the file system has {size}")]
    Full { needed: u64, size: u32 },
    #[error("a file system of {found} bytes does not mount where one of {expected} is expected")]
    OtherSize { found: u64, expected: u32 },
    #[error(
        "no SPIFFS image of ESP-IDF's defaults: the magic of its block {0} is missing or for another size"
    )]
    NoImage(usize),
}

fn list(names: &[String]) -> String {
    let sized = names
        .iter()
        .map(|name| format!("{name} ({} bytes)", name.len()));
    sized.collect::<Vec<_>>().join(", ")
}

/// An image of exactly `size` bytes with these files, each its name (`/folder/name`) and contents.
///
/// # Errors
/// What hinders it: all names that are too long, or how much the files need.
pub fn build(files: &[(&str, &[u8])], size: u32) -> Result<Vec<u8>, SpiffsError> {
    if size == 0 || size > SIZE_MAX || !size.is_multiple_of(BLOCK_BYTES) {
        return Err(SpiffsError::Size(size));
    }
    check_names(files.iter().map(|(name, _)| *name))?;
    let needed = bytes_needed(files.iter().map(|(_, contents)| contents.len() as u64));
    if needed > u64::from(size) {
        return Err(SpiffsError::Full { needed, size });
    }
    let mut image = Image::new(size as usize);
    // Each file has a page or more, and the pages fit: ids stay below 0x7FFF.
    for (id, (name, contents)) in (1..).zip(files) {
        image.add(id, name, contents);
    }
    Ok(image.bytes)
}

/// The flash that files of these sizes take, bytes: the smallest file system that holds them.
pub fn bytes_needed(sizes: impl IntoIterator<Item = u64>) -> u64 {
    let pages: u64 = sizes.into_iter().map(pages_needed).sum();
    pages.div_ceil(USABLE_PAGES_PER_BLOCK as u64) * u64::from(BLOCK_BYTES)
}

/// Index and data pages of a file.
fn pages_needed(size: u64) -> u64 {
    let data = size.div_ceil(CONTENT_BYTES as u64);
    let beyond_first = data.saturating_sub(NUMBERS_IN_FIRST as u64);
    data + 1 + beyond_first.div_ceil(NUMBERS_IN_FURTHER as u64)
}

/// Whether these bytes are an image that mounts as a file system of `size` bytes: its length and the
/// magic of each block. What is in its files is not looked at.
///
/// # Errors
/// Why it does not mount.
pub fn check(image: &[u8], size: u32) -> Result<(), SpiffsError> {
    if size == 0 || size > SIZE_MAX || !size.is_multiple_of(BLOCK_BYTES) {
        return Err(SpiffsError::Size(size));
    }
    if image.len() as u64 != u64::from(size) {
        return Err(SpiffsError::OtherSize {
            found: image.len() as u64,
            expected: size,
        });
    }
    let blocks = image.chunks(BLOCK_BYTES as usize);
    let count = blocks.len();
    for (number, block) in blocks.enumerate() {
        let found = block.get(MAGIC_AT..MAGIC_AT + NUMBER_BYTES);
        if found != Some(&magic(count - number).to_le_bytes()[..]) {
            return Err(SpiffsError::NoImage(number));
        }
    }
    Ok(())
}

/// The magic of the block from which on there are so many.
fn magic(blocks: usize) -> u16 {
    // At most 4096 blocks, and the upper half is the same for all.
    (MAGIC as u16) ^ (PAGE_BYTES as u16) ^ (blocks as u16)
}

/// Whether files can have these names: all that are too long come in one error.
pub(crate) fn check_names<'n>(
    names: impl Iterator<Item = &'n str> + Clone,
) -> Result<(), SpiffsError> {
    let is_long = |name: &&str| name.len() > NAME_BYTES_MAX;
    let long: Vec<_> = names.clone().filter(is_long).map(str::to_owned).collect();
    if !long.is_empty() {
        return Err(SpiffsError::NamesTooLong(long));
    }
    let mut seen = HashSet::new();
    for name in names {
        if !name.starts_with('/') || name.len() == 1 || name.contains('\0') {
            return Err(SpiffsError::Name(name.to_owned()));
        }
        if !seen.insert(name) {
            return Err(SpiffsError::Twice(name.to_owned()));
        }
    }
    Ok(())
}

/// An image in the making, which has room for all that is added to it.
struct Image {
    bytes: Vec<u8>,
    next_page: usize,
}

impl Image {
    fn new(size: usize) -> Image {
        let mut image = Image {
            bytes: vec![0xFF; size],
            next_page: 0,
        };
        let blocks = size / BLOCK_BYTES as usize;
        for block in 0..blocks {
            let at = block * BLOCK_BYTES as usize + MAGIC_AT;
            image.put(at, &magic(blocks - block).to_le_bytes());
        }
        image
    }

    fn add(&mut self, id: u16, name: &str, contents: &[u8]) {
        let mut index_span = 0;
        let mut index = self.new_page(id | INDEX_BIT, index_span, INDEX_FLAGS);
        let size = contents.len() as u32;
        self.put(index + INDEX_BEGIN, &size.to_le_bytes());
        self.put(index + INDEX_BEGIN + 4, &[TYPE_FILE]);
        self.put(index + NAME_AT, &[0; NAME_FIELD_BYTES + METADATA_BYTES]);
        self.put(index + NAME_AT, name.as_bytes());
        let mut number_at = FIRST_NUMBERS_AT;
        for (span, piece) in (0..).zip(contents.chunks(CONTENT_BYTES)) {
            if number_at + NUMBER_BYTES > PAGE_BYTES {
                index_span += 1;
                index = self.new_page(id | INDEX_BIT, index_span, INDEX_FLAGS);
                number_at = INDEX_BEGIN;
            }
            let data = self.new_page(id, span, DATA_FLAGS);
            self.put(data + HEADER_BYTES, piece);
            let number = (data / PAGE_BYTES) as u16;
            self.put(index + number_at, &number.to_le_bytes());
            number_at += NUMBER_BYTES;
        }
    }

    /// Takes the next page and gives its offset.
    fn new_page(&mut self, id: u16, span: u16, flags: u8) -> usize {
        if self.next_page.is_multiple_of(PAGES_PER_BLOCK) {
            self.next_page += 1;
        }
        let page = self.next_page;
        self.next_page += 1;
        let look_up = page / PAGES_PER_BLOCK * BLOCK_BYTES as usize;
        let place = (page % PAGES_PER_BLOCK - 1) * NUMBER_BYTES;
        self.put(look_up + place, &id.to_le_bytes());
        let offset = page * PAGE_BYTES;
        self.put(offset, &id.to_le_bytes());
        self.put(offset + 2, &span.to_le_bytes());
        self.put(offset + 4, &[flags]);
        offset
    }

    fn put(&mut self, at: usize, bytes: &[u8]) {
        self.bytes[at..at + bytes.len()].copy_from_slice(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_that_are_no_file_system_are_refused() {
        for size in [0, 1, 4095, 4097, SIZE_MAX + BLOCK_BYTES] {
            assert_eq!(build(&[], size), Err(SpiffsError::Size(size)));
            assert_eq!(check(&[], size), Err(SpiffsError::Size(size)));
        }
        assert_eq!(build(&[], SIZE_MAX).map(|image| image.len()), Ok(16 << 20));
    }

    #[test]
    fn all_names_that_are_too_long_are_named_at_once() {
        let fits = format!("/{}", "n".repeat(30));
        let long = [
            format!("/{}", "n".repeat(31)),
            format!("/é{}", "n".repeat(29)),
        ];
        let files = [(&fits[..], &[][..]), (&long[0], &[]), (&long[1], &[])];
        assert!(build(&files[..1], BLOCK_BYTES).is_ok());
        let refused = build(&files, BLOCK_BYTES).unwrap_err();
        assert_eq!(refused, SpiffsError::NamesTooLong(long.to_vec()));
        let said = refused.to_string();
        assert!(
            said.contains(&format!("{} (32 bytes), ", long[0])),
            "{said}"
        );
        assert!(said.contains("at most 31 bytes"), "{said}");
    }

    #[test]
    fn a_name_is_absolute_and_there_once() {
        for name in ["", "/", "index.html", "/a\0b"] {
            let refused = build(&[(name, &[])], BLOCK_BYTES);
            assert_eq!(refused, Err(SpiffsError::Name(name.to_owned())));
        }
        let twice = build(&[("/a", b"1"), ("/b", b"2"), ("/a", b"1")], BLOCK_BYTES);
        assert_eq!(twice, Err(SpiffsError::Twice("/a".to_owned())));
    }

    #[test]
    fn files_fit_to_the_last_page_and_not_a_byte_more() {
        // One block: 15 pages, one of them the index.
        let most = vec![7; 14 * CONTENT_BYTES];
        let image = build(&[("/a", &most)], BLOCK_BYTES).unwrap();
        assert_eq!(image.len(), 4096);
        let more = vec![7; most.len() + 1];
        let refused = build(&[("/a", &more)], BLOCK_BYTES);
        let needed = u64::from(2 * BLOCK_BYTES);
        let size = BLOCK_BYTES;
        assert_eq!(refused, Err(SpiffsError::Full { needed, size }));
    }

    #[test]
    fn only_an_image_of_the_same_size_passes_the_check() {
        let image = build(&[("/a", b"text")], 8 * BLOCK_BYTES).unwrap();
        assert_eq!(check(&image, 8 * BLOCK_BYTES), Ok(()));
        let other = check(&image, 16 * BLOCK_BYTES).unwrap_err();
        assert!(matches!(other, SpiffsError::OtherSize { .. }), "{other}");
        // Of another length, and so with another magic, cut to this one.
        let longer = build(&[("/a", b"text")], 16 * BLOCK_BYTES).unwrap();
        let cut = check(&longer[..image.len()], 8 * BLOCK_BYTES);
        assert_eq!(cut, Err(SpiffsError::NoImage(0)));
        let mut last = image.clone();
        last[7 * 4096 + MAGIC_AT] ^= 1;
        assert_eq!(check(&last, 8 * BLOCK_BYTES), Err(SpiffsError::NoImage(7)));
        assert_eq!(
            check(&vec![0; image.len()], 8 * BLOCK_BYTES),
            Err(SpiffsError::NoImage(0))
        );
    }
}
