//! What can be wrong with an image, and what to do.

use core::fmt;

use super::SEGMENTS_MAX;

/// Why an image is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImageError {
    /// Not an image: the first byte, as found.
    Magic(u8),
    SegmentCount(u8),
    /// Chip numbers as in the header.
    Chip {
        found: u16,
        expected: u16,
    },
    /// Length of a segment, bytes, that is no multiple of 4 or larger than any chip's memory.
    SegmentLength(u32),
    /// Needs more than `limit` bytes.
    TooLong {
        limit: u32,
    },
    /// Ended after so many bytes.
    Truncated(u32),
    Checksum {
        found: u8,
        expected: u8,
    },
    /// Built without a SHA-256 at its end.
    HashMissing,
    HashWrong,
}

impl fmt::Display for ImageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Magic(found) => write!(
                f,
                "no application image: begins with {found:#04x} instead of 0xe9"
            ),
            Self::SegmentCount(count) => {
                write!(
                    f,
                    "bad image: {count} segments instead of 1 to {SEGMENTS_MAX}"
                )
            }
            Self::Chip { found, expected } => write!(
                f,
                "image for another chip: its chip id is {found}, this chip's is {expected}"
            ),
            Self::SegmentLength(length) => {
                write!(f, "bad image: a segment has the length {length}")
            }
            Self::TooLong { limit } => {
                write!(f, "image too long: only {limit} bytes are there for it")
            }
            Self::Truncated(length) => write!(f, "image cut off after {length} bytes"),
            Self::Checksum { found, expected } => write!(
                f,
                "bad image: its checksum is {found:#04x}, its content's {expected:#04x}"
            ),
            Self::HashMissing => f.write_str(
                "image without SHA-256; build it with one (esptool elf2image appends it)",
            ),
            Self::HashWrong => f.write_str("bad image: its SHA-256 does not fit its content"),
        }
    }
}

impl core::error::Error for ImageError {}

/// Why an image in the flash is refused, or could not be looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VerifyError<E> {
    Image(ImageError),
    Flash(E),
}

impl<E: fmt::Debug> fmt::Display for VerifyError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Image(error) => error.fmt(f),
            Self::Flash(error) => write!(f, "the flash cannot be read: {error:?}"),
        }
    }
}

impl<E: fmt::Debug> core::error::Error for VerifyError<E> {}
