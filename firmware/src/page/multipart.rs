//! Splits `multipart/form-data` (RFC 7578 over RFC 2046, 5.1) as it streams by.
//!
//! The delimiter `CR LF -- boundary` has its only CR in front, so no part of it can begin another
//! match: while searching, it is enough to know how many of its bytes have been seen. If they
//! turn out to be file content they are given out from the delimiter itself; nothing is buffered.

use heapless::Vec;

use super::failure::Failure;

/// Longest boundary, bytes (RFC 2046).
const BOUNDARY_BYTES: usize = 70;
const DELIMITER_BYTES: usize = BOUNDARY_BYTES + 4;
/// Room for one part's headers, bytes: enough for the longest file name, escaped.
const PART_HEAD_BYTES: usize = 1024;
const PART_HEADERS: usize = 8;

/// A part that counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    Manifest,
    Signature,
    /// The image.
    Firmware,
}

impl Field {
    fn named(name: &[u8]) -> Option<Self> {
        Some(match name {
            b"manifest" => Self::Manifest,
            b"signature" => Self::Signature,
            b"firmware" => Self::Firmware,
            _ => return None,
        })
    }
}

/// What a form is made of, as far as an upload cares.
pub(super) enum Event<'b> {
    /// A part that counts begins.
    Begins(Field),
    /// Its next bytes, never none.
    Data(&'b [u8]),
}

#[derive(Clone, Copy)]
enum Place {
    /// Content; so many of the delimiter's bytes have been seen.
    Content {
        matched: usize,
    },
    /// After a delimiter.
    Delimited,
    /// After a delimiter and `-`.
    Dash,
    /// After a delimiter and CR.
    Cr,
    Head,
    /// After the closing delimiter: the epilogue says nothing.
    Closed,
}

pub(super) struct Multipart {
    delimiter: Vec<u8, DELIMITER_BYTES>,
    place: Place,
    /// Manifest and signature count, too.
    signed: bool,
    /// Whether content belongs to a part that counts; everything else is skipped.
    counts: bool,
    head: Vec<u8, PART_HEAD_BYTES>,
}

type Each<'e> = dyn FnMut(Event<'_>) -> Result<(), Failure> + 'e;

impl Multipart {
    /// For the boundary that `content_type` names; `signed`: manifest and signature count, too.
    pub(super) fn new(content_type: Option<&str>, signed: bool) -> Result<Self, Failure> {
        let value = content_type.unwrap_or_default().as_bytes();
        let media_type = value
            .split(|byte| *byte == b';')
            .next()
            .unwrap_or_default()
            .trim_ascii();
        if !media_type.eq_ignore_ascii_case(b"multipart/form-data") {
            return Err(Failure::upload(
                415,
                "send the image as a form: curl -F firmware=@firmware.bin",
            ));
        }
        let boundary = parameter(value, b"boundary").unwrap_or_default();
        let mut delimiter = Vec::new();
        let fits = delimiter
            .extend_from_slice(b"\r\n--")
            .and_then(|()| delimiter.extend_from_slice(boundary));
        let fine = boundary.iter().all(|byte| (b' '..=b'~').contains(byte));
        if boundary.is_empty() || fits.is_err() || !fine {
            return Err(Failure::upload(
                400,
                "the form's boundary is missing or not one",
            ));
        }
        // A body may begin with the first delimiter, whose CR LF is then not there.
        Ok(Self {
            delimiter,
            place: Place::Content { matched: 2 },
            signed,
            counts: false,
            head: Vec::new(),
        })
    }

    /// The most that a form with the image alone adds to it, bytes.
    pub(super) fn overhead(&self) -> u64 {
        (2 * (self.delimiter.len() + 4) + PART_HEAD_BYTES) as u64
    }

    /// Whether the closing delimiter has come.
    pub(super) fn closed(&self) -> bool {
        matches!(self.place, Place::Closed)
    }

    /// Splits the next bytes of the body.
    pub(super) fn feed(&mut self, bytes: &[u8], each: &mut Each<'_>) -> Result<(), Failure> {
        let mut rest = bytes;
        while let Some((&byte, after)) = rest.split_first() {
            rest = match self.place {
                Place::Content { matched: 0 } => self.search(rest, each)?,
                Place::Content { matched } if byte == self.delimiter[matched] => {
                    let whole = matched + 1 == self.delimiter.len();
                    self.place = if whole {
                        Place::Delimited
                    } else {
                        Place::Content {
                            matched: matched + 1,
                        }
                    };
                    after
                }
                Place::Content { matched } => {
                    self.place = Place::Content { matched: 0 };
                    self.give(&self.delimiter[..matched], each)?;
                    rest
                }
                Place::Delimited | Place::Dash | Place::Cr => self.delimited(byte, rest, each)?,
                Place::Head => {
                    self.head_byte(byte, each)?;
                    after
                }
                Place::Closed => return Ok(()),
            };
        }
        Ok(())
    }

    fn give(&self, bytes: &[u8], each: &mut Each<'_>) -> Result<(), Failure> {
        if self.counts && !bytes.is_empty() {
            each(Event::Data(bytes))
        } else {
            Ok(())
        }
    }

    /// Gives out everything before a CR.
    fn search<'b>(&mut self, bytes: &'b [u8], each: &mut Each<'_>) -> Result<&'b [u8], Failure> {
        let end = bytes
            .iter()
            .position(|byte| *byte == b'\r')
            .unwrap_or(bytes.len());
        let (content, rest) = bytes.split_at(end);
        self.give(content, each)?;
        if rest.is_empty() {
            return Ok(rest);
        }
        self.place = Place::Content { matched: 1 };
        Ok(&rest[1..])
    }

    /// A delimiter counts only if CR LF or `--` follows: a line of the file that merely begins
    /// like it is content.
    fn delimited<'b>(
        &mut self,
        byte: u8,
        rest: &'b [u8],
        each: &mut Each<'_>,
    ) -> Result<&'b [u8], Failure> {
        match (self.place, byte) {
            (Place::Delimited, b'-') => self.place = Place::Dash,
            (Place::Delimited, b'\r') => self.place = Place::Cr,
            (Place::Dash, b'-') => {
                self.place = Place::Closed;
                self.counts = false;
            }
            (Place::Cr, b'\n') => {
                self.place = Place::Head;
                self.counts = false;
                self.head.clear();
            }
            (place, _) => {
                self.give(&self.delimiter, each)?;
                if matches!(place, Place::Dash) {
                    self.give(b"-", each)?;
                }
                self.place = Place::Content {
                    matched: usize::from(matches!(place, Place::Cr)),
                };
                return Ok(rest);
            }
        }
        Ok(&rest[1..])
    }

    fn head_byte(&mut self, byte: u8, each: &mut Each<'_>) -> Result<(), Failure> {
        self.head
            .push(byte)
            .map_err(|_| Failure::upload(400, "a part of the form has headers over 1024 bytes"))?;
        if byte != b'\n' {
            return Ok(());
        }
        let mut headers = [httparse::EMPTY_HEADER; PART_HEADERS];
        let named = match httparse::parse_headers(&self.head, &mut headers) {
            Ok(httparse::Status::Partial) => return Ok(()),
            Ok(httparse::Status::Complete((_, headers))) => field(headers),
            Err(_) => {
                return Err(Failure::upload(
                    400,
                    "a part of the form has malformed headers",
                ));
            }
        };
        self.place = Place::Content { matched: 0 };
        let field = named.filter(|field| self.signed || *field == Field::Firmware);
        self.counts = field.is_some();
        field.map_or(Ok(()), |field| each(Event::Begins(field)))
    }
}

fn field(headers: &[httparse::Header<'_>]) -> Option<Field> {
    headers
        .iter()
        .filter(|header| header.name.eq_ignore_ascii_case("Content-Disposition"))
        .find_map(|header| Field::named(parameter(header.value, b"name")?))
}

/// A parameter of a header value such as `form-data; name="firmware"`, without its quotes.
fn parameter<'v>(value: &'v [u8], name: &[u8]) -> Option<&'v [u8]> {
    let mut rest = value;
    loop {
        let semicolon = rest.iter().position(|byte| *byte == b';')?;
        let after = &rest[semicolon + 1..];
        let end = after
            .iter()
            .position(|byte| matches!(byte, b'=' | b';'))
            .unwrap_or(after.len());
        let (key, after) = after.split_at(end);
        let Some((b'=', after)) = after.split_first() else {
            rest = after;
            continue;
        };
        let (found, after) = parameter_value(after);
        if key.trim_ascii().eq_ignore_ascii_case(name) {
            return Some(found);
        }
        rest = after;
    }
}

/// A token or a quoted string, and what follows it.
fn parameter_value(bytes: &[u8]) -> (&[u8], &[u8]) {
    let bytes = bytes.trim_ascii_start();
    let Some((b'"', quoted)) = bytes.split_first() else {
        let end = bytes
            .iter()
            .position(|byte| *byte == b';')
            .unwrap_or(bytes.len());
        return (bytes[..end].trim_ascii(), &bytes[end..]);
    };
    let mut escaped = false;
    for (index, byte) in quoted.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return (&quoted[..index], &quoted[index + 1..]),
            _ => {}
        }
    }
    (quoted, &[])
}
