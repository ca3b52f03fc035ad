//! Takes an image as it comes, in pieces of any size, and keeps none of it: what is wrong is said
//! at the first byte that shows it.

use heapless::String;
use sha2::{Digest as _, Sha256};

use super::{
    AppDescriptor, BLOCK_BYTES, ChipId, HASH_BYTES, HEADER_BYTES, ImageError, ImageInfo, MAGIC,
    SEGMENT_HEADER_BYTES, SEGMENTS_MAX,
};

const CHECKSUM_START: u8 = 0xEF;
/// ESP-IDF takes no segment of this length or more, bytes.
const SEGMENT_BYTES_END: u32 = 16 << 20;

const SEGMENT_COUNT_AT: usize = 1;
const CHIP_ID_AT: usize = 12;
const HASH_APPENDED_AT: usize = 23;

const DESCRIPTOR_MAGIC: u32 = 0xABCD_5432;
/// Where the descriptor lies in the image: the first segment's beginning.
const DESCRIPTOR_AT: u32 = (HEADER_BYTES + SEGMENT_HEADER_BYTES) as u32;
const DESCRIPTOR_BYTES: u32 = 256;
/// As much of the descriptor as is kept: to the end of the project's name.
const DESCRIPTOR_KEPT_BYTES: usize = 0x50;
const VERSION_AT: usize = 16;
const PROJECT_AT: usize = 48;

/// Verifies one image.
#[derive(Clone)]
pub struct Verifier {
    chip: ChipId,
    limit: u32,
    /// Bytes taken so far, without what follows the image.
    position: u32,
    stage: Stage,
    segments_left: u8,
    first_segment_bytes: u32,
    checksum: u8,
    hash: Sha256,
    /// Headers and the SHA-256, until they are whole.
    buffer: [u8; HASH_BYTES],
    descriptor: [u8; DESCRIPTOR_KEPT_BYTES],
}

/// What the next byte belongs to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Header,
    SegmentHeader {
        start: u32,
    },
    Segment {
        end: u32,
    },
    /// Up to the checksum, which is the last byte before `end`.
    Padding {
        end: u32,
    },
    Hash {
        start: u32,
    },
    Complete,
}

impl Verifier {
    /// For an image of this chip that may take `limit` bytes.
    #[must_use]
    pub fn new(chip: ChipId, limit: u32) -> Self {
        Self {
            chip,
            limit,
            position: 0,
            stage: Stage::Header,
            segments_left: 0,
            first_segment_bytes: 0,
            checksum: CHECKSUM_START,
            hash: Sha256::new(),
            buffer: [0; HASH_BYTES],
            descriptor: [0; DESCRIPTOR_KEPT_BYTES],
        }
    }

    /// Takes the next bytes. What follows the image is ignored.
    ///
    /// # Errors
    /// What these bytes show to be wrong. Nothing more is to be fed then; finishing gives an error.
    pub fn update(&mut self, bytes: &[u8]) -> Result<(), ImageError> {
        let mut rest = bytes;
        loop {
            let end = self.stage_end();
            let wanted = (end - self.position) as usize;
            let (taken, remaining) = rest.split_at(wanted.min(rest.len()));
            self.take(taken)?;
            rest = remaining;
            if self.position < end || self.stage == Stage::Complete {
                return Ok(());
            }
            self.stage = self.next_stage()?;
        }
    }

    /// Whether the whole image was taken and is sound but for its SHA-256, which
    /// [`finish`](Self::finish) looks at.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.stage == Stage::Complete
    }

    /// What is known of the image.
    ///
    /// # Errors
    /// The image is not whole, or its SHA-256 is wrong.
    pub fn finish(self) -> Result<ImageInfo, ImageError> {
        if !self.is_complete() {
            return Err(ImageError::Truncated(self.position));
        }
        let descriptor = self.descriptor();
        let sha256: [u8; HASH_BYTES] = self.hash.finalize().into();
        if sha256 != self.buffer {
            return Err(ImageError::HashWrong);
        }
        Ok(ImageInfo {
            size: self.position,
            sha256,
            descriptor,
        })
    }

    fn stage_end(&self) -> u32 {
        match self.stage {
            Stage::Header => HEADER_BYTES as u32,
            Stage::SegmentHeader { start } => start + SEGMENT_HEADER_BYTES as u32,
            Stage::Segment { end } | Stage::Padding { end } => end,
            Stage::Hash { start } => start + HASH_BYTES as u32,
            Stage::Complete => self.position,
        }
    }

    /// Takes bytes that all belong to the stage.
    fn take(&mut self, bytes: &[u8]) -> Result<(), ImageError> {
        match self.stage {
            Stage::Header => {
                if let (0, Some(&first)) = (self.position, bytes.first())
                    && first != MAGIC
                {
                    return Err(ImageError::Magic(first));
                }
                keep(&mut self.buffer, self.position, bytes);
            }
            Stage::SegmentHeader { start } => {
                keep(&mut self.buffer, self.position - start, bytes);
            }
            Stage::Hash { start } => keep(&mut self.buffer, self.position - start, bytes),
            Stage::Segment { .. } => {
                self.checksum = bytes.iter().fold(self.checksum, |sum, byte| sum ^ byte);
                keep(&mut self.descriptor, self.position - DESCRIPTOR_AT, bytes);
            }
            Stage::Padding { end } => {
                if let Some(&found) = bytes.last()
                    && self.position + bytes.len() as u32 == end
                    && found != self.checksum
                {
                    return Err(ImageError::Checksum {
                        found,
                        expected: self.checksum,
                    });
                }
            }
            Stage::Complete => {}
        }
        if !matches!(self.stage, Stage::Hash { .. }) {
            self.hash.update(bytes);
        }
        self.position += bytes.len() as u32;
        Ok(())
    }

    /// The stage after the one that has just been taken wholly.
    fn next_stage(&mut self) -> Result<Stage, ImageError> {
        Ok(match self.stage {
            Stage::Header => {
                let segments = self.check_header()?;
                self.check_end(self.position, segments)?;
                self.segments_left = segments;
                Stage::SegmentHeader {
                    start: self.position,
                }
            }
            Stage::SegmentHeader { .. } => {
                let [.., a, b, c, d] = self.kept::<SEGMENT_HEADER_BYTES>();
                let length = u32::from_le_bytes([a, b, c, d]);
                if !length.is_multiple_of(4) || length >= SEGMENT_BYTES_END {
                    return Err(ImageError::SegmentLength(length));
                }
                let end = self.position.saturating_add(length);
                let segments_left = self.segments_left - 1;
                self.check_end(end, segments_left)?;
                self.segments_left = segments_left;
                if self.position == DESCRIPTOR_AT {
                    self.first_segment_bytes = length;
                }
                Stage::Segment { end }
            }
            Stage::Segment { .. } if self.segments_left > 0 => Stage::SegmentHeader {
                start: self.position,
            },
            Stage::Segment { .. } => Stage::Padding {
                end: (self.position / BLOCK_BYTES + 1) * BLOCK_BYTES,
            },
            Stage::Padding { end } => Stage::Hash { start: end },
            Stage::Hash { .. } | Stage::Complete => Stage::Complete,
        })
    }

    /// The number of segments.
    fn check_header(&self) -> Result<u8, ImageError> {
        let header = self.kept::<HEADER_BYTES>();
        let count = header[SEGMENT_COUNT_AT];
        if !(1..=SEGMENTS_MAX).contains(&count) {
            return Err(ImageError::SegmentCount(count));
        }
        let found = u16::from_le_bytes([header[CHIP_ID_AT], header[CHIP_ID_AT + 1]]);
        if found != self.chip.0 {
            return Err(ImageError::Chip {
                found,
                expected: self.chip.0,
            });
        }
        if header[HASH_APPENDED_AT] != 1 {
            return Err(ImageError::HashMissing);
        }
        Ok(count)
    }

    /// Whether there is room for what must follow `end`: the headers of this many segments, the
    /// checksum and the SHA-256.
    fn check_end(&self, end: u32, segments: u8) -> Result<(), ImageError> {
        let headers = u64::from(segments) * SEGMENT_HEADER_BYTES as u64;
        let block = u64::from(BLOCK_BYTES);
        let body = ((u64::from(end) + headers) / block + 1) * block;
        if body + HASH_BYTES as u64 > u64::from(self.limit) {
            return Err(ImageError::TooLong { limit: self.limit });
        }
        Ok(())
    }

    /// The buffer's first bytes.
    fn kept<const N: usize>(&self) -> [u8; N] {
        let mut kept = [0; N];
        for (to, from) in kept.iter_mut().zip(self.buffer) {
            *to = from;
        }
        kept
    }

    fn descriptor(&self) -> Option<AppDescriptor> {
        if self.first_segment_bytes < DESCRIPTOR_BYTES {
            return None;
        }
        let (magic, rest) = self.descriptor.split_first_chunk::<4>()?;
        let (secure_version, _) = rest.split_first_chunk::<4>()?;
        (u32::from_le_bytes(*magic) == DESCRIPTOR_MAGIC).then(|| AppDescriptor {
            secure_version: u32::from_le_bytes(*secure_version),
            version: text(self.descriptor.get(VERSION_AT..PROJECT_AT)),
            project: text(self.descriptor.get(PROJECT_AT..)),
        })
    }
}

/// Puts bytes into a buffer from `at` on; what does not fit is not needed.
fn keep(buffer: &mut [u8], at: u32, bytes: &[u8]) {
    let places = buffer.iter_mut().skip(at as usize);
    for (place, byte) in places.zip(bytes) {
        *place = *byte;
    }
}

/// The text up to the first NUL or to what is not UTF-8.
fn text(field: Option<&[u8]>) -> String<32> {
    let field = field.unwrap_or_default();
    let field = field.split(|byte| *byte == 0).next().unwrap_or_default();
    let valid = field.utf8_chunks().next().map_or("", |chunk| chunk.valid());
    String::try_from(valid).unwrap_or_default()
}
