//! A request body's framing (RFC 9112, 6 and 7), and what becomes of the upload in it.

use super::Upload;
use super::failure::Failure;
use super::merged::Watch;
use super::multipart::{Event, Field, Multipart};
use crate::Now;

/// Longest chunk extensions and trailers, bytes: nobody needs them, but they are legal.
const EXTRAS_BYTES: u16 = 1024;
/// Most hexadecimal digits of a chunk's size.
const SIZE_DIGITS: u8 = 8;

/// How a body's end is known.
pub(super) enum Framing {
    /// `Content-Length`: bytes still to come.
    Length(u64),
    Chunked(Chunk),
}

/// Where in a chunked body the next byte belongs.
#[derive(Clone, Copy)]
pub(super) enum Chunk {
    Size {
        value: u64,
        digits: u8,
    },
    Extension {
        value: u64,
        seen: u16,
    },
    SizeLf {
        value: u64,
    },
    Data {
        left: u64,
    },
    DataCr,
    DataLf,
    /// `seen` of all trailers, `line` of this one.
    Trailer {
        seen: u16,
        line: u16,
    },
    TrailerLf {
        seen: u16,
        line: u16,
    },
    End,
}

impl Chunk {
    pub(super) const START: Self = Self::Size {
        value: 0,
        digits: 0,
    };

    /// The place after `byte`, which is not data. `None`: the byte does not belong there.
    fn after(self, byte: u8) -> Option<Self> {
        Some(match (self, byte) {
            (Self::Size { value, digits }, b';' | b' ' | b'\t') if digits > 0 => {
                Self::Extension { value, seen: 0 }
            }
            (Self::Size { value, digits }, b'\r') if digits > 0 => Self::SizeLf { value },
            (Self::Size { value, digits }, _) if digits < SIZE_DIGITS => {
                let digit = char::from(byte).to_digit(16)?;
                Self::Size {
                    value: value * 16 + u64::from(digit),
                    digits: digits + 1,
                }
            }
            (Self::Extension { value, .. }, b'\r') => Self::SizeLf { value },
            (Self::Extension { value, seen }, byte) if byte != b'\n' && seen < EXTRAS_BYTES => {
                Self::Extension {
                    value,
                    seen: seen + 1,
                }
            }
            (Self::SizeLf { value: 0 }, b'\n') => Self::Trailer { seen: 0, line: 0 },
            (Self::SizeLf { value }, b'\n') => Self::Data { left: value },
            (Self::DataCr, b'\r') => Self::DataLf,
            (Self::DataLf, b'\n') => Self::START,
            (Self::Trailer { seen, line }, b'\r') => Self::TrailerLf { seen, line },
            (Self::Trailer { seen, line }, byte) if byte != b'\n' && seen < EXTRAS_BYTES => {
                Self::Trailer {
                    seen: seen + 1,
                    line: line + 1,
                }
            }
            (Self::TrailerLf { line: 0, .. }, b'\n') => Self::End,
            (Self::TrailerLf { seen, .. }, b'\n') => Self::Trailer { seen, line: 0 },
            _ => return None,
        })
    }
}

enum Frame<'b> {
    Data(&'b [u8]),
    More,
    End,
}

impl Framing {
    /// Takes the next piece of content off `bytes`.
    fn next<'b>(&mut self, bytes: &mut &'b [u8]) -> Result<Frame<'b>, Failure> {
        loop {
            let left = match self {
                Self::Length(0) | Self::Chunked(Chunk::End) => return Ok(Frame::End),
                Self::Length(left) | Self::Chunked(Chunk::Data { left }) => left,
                Self::Chunked(chunk) => {
                    let Some((byte, rest)) = bytes.split_first() else {
                        return Ok(Frame::More);
                    };
                    *bytes = rest;
                    *chunk = chunk.after(*byte).ok_or(BAD_CHUNKS)?;
                    continue;
                }
            };
            if bytes.is_empty() {
                return Ok(Frame::More);
            }
            let length = usize::try_from(*left).map_or(bytes.len(), |left| left.min(bytes.len()));
            let (data, rest) = bytes.split_at(length);
            *left -= length as u64;
            *bytes = rest;
            if let Self::Chunked(chunk @ Chunk::Data { left: 0 }) = self {
                *chunk = Chunk::DataCr;
            }
            return Ok(Frame::Data(data));
        }
    }
}

const BAD_CHUNKS: Failure = Failure::upload(400, "the body's chunks are malformed");

/// An upload's body, on its way into the session. The upload is admitted as long as this lives.
pub(super) struct Body {
    framing: Framing,
    multipart: Multipart,
    form: Form,
}

impl Body {
    pub(super) fn new(framing: Framing, multipart: Multipart, upload: &dyn Upload) -> Self {
        Self {
            framing,
            multipart,
            form: Form {
                wants_signature: upload.wants_signature(),
                last: None,
                empty: true,
                watch: Watch::new(upload.accepts_any()),
            },
        }
    }

    /// Takes what has arrived; `true` when the image is installed. Bytes after the body's end
    /// are nobody's: the connection closes.
    pub(super) fn take(
        &mut self,
        bytes: &[u8],
        now: Now,
        upload: &mut dyn Upload,
    ) -> Result<bool, Failure> {
        let Self {
            framing,
            multipart,
            form,
        } = self;
        let mut rest = bytes;
        loop {
            match framing.next(&mut rest)? {
                Frame::Data(data) => {
                    multipart.feed(data, &mut |event| form.take(event, now, upload))?
                }
                Frame::More => return Ok(false),
                Frame::End => break,
            }
        }
        if !multipart.closed() {
            return Err(Failure::upload(
                400,
                "the form's closing boundary is missing: the file is not whole",
            ));
        }
        form.finish(upload)?;
        Ok(true)
    }
}

const SIGNED_ONLY: Failure = Failure::upload(
    422,
    "this device takes signed bundles only; send manifest, signature, firmware: the files of \
     `airlift bundle extract`",
);
const OUT_OF_ORDER: Failure = Failure::upload(
    400,
    "send each part once and in this order: manifest, signature, firmware",
);

/// The parts that count, in their order. Where no signature is wanted, that is `firmware` alone.
struct Form {
    wants_signature: bool,
    /// The part that is here, or comes.
    last: Option<Field>,
    /// The firmware is, so far.
    empty: bool,
    watch: Watch,
}

impl Form {
    fn take(&mut self, event: Event<'_>, now: Now, upload: &mut dyn Upload) -> Result<(), Failure> {
        match event {
            Event::Begins(field) => {
                self.check_order(field)?;
                self.last = Some(field);
                if field == Field::Firmware {
                    upload.begin(now)?;
                }
            }
            Event::Data(bytes) => match self.last {
                Some(Field::Manifest) => upload.manifest(bytes)?,
                Some(Field::Signature) => upload.signature(bytes)?,
                Some(Field::Firmware) => {
                    self.empty = false;
                    if self.watch.look(bytes)? {
                        upload.write(bytes)?;
                    }
                }
                None => {}
            },
        }
        Ok(())
    }

    fn check_order(&self, next: Field) -> Result<(), Failure> {
        match (self.last, next) {
            (None, Field::Firmware) if !self.wants_signature => Ok(()),
            _ if !self.wants_signature => Err(Failure::upload(
                400,
                "the form has two parts named firmware",
            )),
            (None, Field::Manifest)
            | (Some(Field::Manifest), Field::Signature)
            | (Some(Field::Signature), Field::Firmware) => Ok(()),
            (None, Field::Firmware) => Err(SIGNED_ONLY),
            _ => Err(OUT_OF_ORDER),
        }
    }

    fn finish(&self, upload: &mut dyn Upload) -> Result<(), Failure> {
        match self.last {
            Some(Field::Firmware) => {}
            _ if self.wants_signature => return Err(SIGNED_ONLY),
            _ => {
                return Err(Failure::upload(
                    400,
                    "the form has no part named firmware: curl -F firmware=@firmware.bin",
                ));
            }
        }
        if self.empty {
            return Err(Failure::upload(
                400,
                "the file is empty, or none was chosen",
            ));
        }
        self.watch.finish()?;
        upload.end()?;
        Ok(())
    }
}
