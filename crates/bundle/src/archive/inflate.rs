use std::io::{self, Read};

use zstd::stream::raw::{DParameter, Decoder, Operation};

use crate::{ReadError, Refusal};

/// How a frame begins. Others are skippable ones, and those of zstd before 0.8.
const FRAME_MAGIC: [u8; 4] = [0x28, 0xB5, 0x2F, 0xFD];
/// Greatest window, as a power of two, bytes: 8 MiB, what `zstd -19` needs and what RFC 8878 asks of
/// every reader. It is the greater part of the memory that a bundle takes.
const WINDOW_LOG_MAX: u32 = 23;
/// Compressed bytes read at a time.
const INPUT_BYTES: usize = 32 << 10;
/// A frame of blocks that hold nothing would be read for ever: so many compressed bytes may be ahead
/// of twice those that came of them. A block is at most 128 KiB.
const AHEAD_BYTES_MAX: u64 = 256 << 10;

/// One zstd frame, and nothing before or behind it.
pub(super) struct Inflate<R> {
    input: R,
    decoder: Decoder<'static>,
    buffer: Box<[u8]>,
    /// What of the buffer is still to be read.
    begin: usize,
    end: usize,
    /// Bytes.
    taken: u64,
    given: u64,
    has_begun: bool,
    has_ended: bool,
}

impl<R: Read> Inflate<R> {
    pub(super) fn new(input: R) -> io::Result<Self> {
        let mut decoder = Decoder::new()?;
        decoder.set_parameter(DParameter::WindowLogMax(WINDOW_LOG_MAX))?;
        Ok(Self {
            input,
            decoder,
            buffer: vec![0; INPUT_BYTES].into_boxed_slice(),
            begin: 0,
            end: 0,
            taken: 0,
            given: 0,
            has_begun: false,
            has_ended: false,
        })
    }

    /// Up to as many bytes as there is room for; 0 once the frame has ended, or without room.
    pub(super) fn read(&mut self, out: &mut [u8]) -> Result<usize, ReadError> {
        if !self.has_begun {
            self.begin()?;
        }
        if out.is_empty() {
            return Ok(0);
        }
        while !self.has_ended {
            let input = &self.buffer[self.begin..self.end];
            // What the decoder still holds comes first: it may need no more input.
            let step = self.decoder.run_on_buffers(input, out).map_err(|error| {
                ReadError::refused(
                    Refusal::Malformed,
                    format!("the bundle is not zstd as bundles have it: {error}. Build it anew"),
                )
            })?;
            self.begin += step.bytes_read;
            self.taken += step.bytes_read as u64;
            self.given += step.bytes_written as u64;
            self.has_ended = step.remaining == 0;
            if step.bytes_written > 0 {
                return Ok(step.bytes_written);
            }
            if self.taken > 2 * self.given + AHEAD_BYTES_MAX {
                return Err(ReadError::refused(
                    Refusal::TooLarge,
                    "the bundle goes on for ever without holding anything",
                ));
            }
            if !self.has_ended && self.begin == self.end && self.refill()? == 0 {
                return Err(truncated());
            }
        }
        Ok(0)
    }

    /// All of `out`.
    pub(super) fn fill(&mut self, out: &mut [u8]) -> Result<(), ReadError> {
        match out.is_empty() || self.fill_or_end(out)? {
            true => Ok(()),
            false => Err(truncated()),
        }
    }

    /// All of `out`; `false` if the frame has ended right before it.
    pub(super) fn fill_or_end(&mut self, out: &mut [u8]) -> Result<bool, ReadError> {
        let mut filled = 0;
        while filled < out.len() {
            match self.read(&mut out[filled..])? {
                0 if filled == 0 => return Ok(false),
                0 => return Err(truncated()),
                count => filled += count,
            }
        }
        Ok(true)
    }

    /// Bytes that came out so far.
    #[cfg(test)]
    pub(super) fn given(&self) -> u64 {
        self.given
    }

    /// Whether nothing follows a frame that has ended.
    pub(super) fn finish(&mut self) -> Result<(), ReadError> {
        match self.begin == self.end && self.refill()? == 0 {
            true => Ok(()),
            false => Err(ReadError::refused(
                Refusal::TooLarge,
                "the bundle goes on behind its end: build it anew",
            )),
        }
    }

    fn begin(&mut self) -> Result<(), ReadError> {
        while self.end < FRAME_MAGIC.len() {
            let count = self.append()?;
            let known = self.end.min(FRAME_MAGIC.len());
            if self.buffer[..known] != FRAME_MAGIC[..known] {
                return Err(ReadError::refused(
                    Refusal::Malformed,
                    "this is no bundle: it does not begin as zstd does",
                ));
            }
            if count == 0 {
                return Err(truncated());
            }
        }
        self.has_begun = true;
        Ok(())
    }

    /// The count of bytes that are new in the buffer, of which all has been read.
    fn refill(&mut self) -> io::Result<usize> {
        (self.begin, self.end) = (0, 0);
        self.append()
    }

    fn append(&mut self) -> io::Result<usize> {
        loop {
            match self.input.read(&mut self.buffer[self.end..]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
                Ok(count) => {
                    self.end += count;
                    return Ok(count);
                }
            }
        }
    }
}

fn truncated() -> ReadError {
    ReadError::refused(
        Refusal::Truncated,
        "the bundle ends early: transfer it again",
    )
}
