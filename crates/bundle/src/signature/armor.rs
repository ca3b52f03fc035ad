//! ASCII armor (RFC 9580, section 6), read octet by octet: no room for the decoded file is needed.

use base64ct::{Base64, Encoding as _};

use crate::Refusal;

const BEGIN: &[u8] = b"-----BEGIN PGP SIGNATURE-----";
const END: &[u8] = b"-----END PGP SIGNATURE-----";
const CRC24_START: u32 = 0x00B7_04CE;
const CRC24_POLYNOMIAL: u32 = 0x0186_4CFB;

/// The octets of a file of signatures: as they are, or of one armored block after the other, as
/// `cat` joins the signatures of two signers.
pub(super) struct Octets<'a> {
    rest: &'a [u8],
    is_armored: bool,
    is_in_block: bool,
    /// An armored block has padding only at its end.
    is_padded: bool,
    crc: u32,
    decoded: [u8; 3],
    at: usize,
    length: usize,
}

impl<'a> Octets<'a> {
    pub fn new(file: &'a [u8]) -> Self {
        Self {
            rest: file,
            // Every packet begins with its highest bit set, which no text does.
            is_armored: file.first().is_some_and(u8::is_ascii),
            is_in_block: false,
            is_padded: false,
            crc: CRC24_START,
            decoded: [0; 3],
            at: 0,
            length: 0,
        }
    }

    /// The next octet; `None` at the end of the file.
    pub fn next(&mut self) -> Result<Option<u8>, Refusal> {
        if !self.is_armored {
            return Ok(self.rest.split_off_first().copied());
        }
        while self.at == self.length {
            if !self.is_in_block && !self.open_block()? {
                return Ok(None);
            }
            self.decode()?;
        }
        let octet = self.decoded[self.at];
        self.at += 1;
        Ok(Some(octet))
    }

    /// Passes over a block's head; false at the end of the file.
    fn open_block(&mut self) -> Result<bool, Refusal> {
        self.rest = self.rest.trim_ascii_start();
        if self.rest.is_empty() {
            return Ok(false);
        }
        if self.line() != Some(BEGIN) {
            return Err(Refusal::BadSignature);
        }
        loop {
            let header = self.line().ok_or(Refusal::BadSignature)?;
            if header.is_empty() {
                break;
            }
            if !header.contains(&b':') {
                return Err(Refusal::BadSignature);
            }
        }
        self.is_in_block = true;
        self.is_padded = false;
        self.crc = CRC24_START;
        Ok(true)
    }

    /// The next line, without white space at its end.
    fn line(&mut self) -> Option<&'a [u8]> {
        if self.rest.is_empty() {
            return None;
        }
        let end = self.rest.iter().position(|&byte| byte == b'\n');
        let (line, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
        self.rest = rest.get(1..).unwrap_or_default();
        Some(line.trim_ascii_end())
    }

    /// Decodes the next four characters, or closes the block.
    fn decode(&mut self) -> Result<(), Refusal> {
        let mut four = [0; 4];
        for (at, place) in four.iter_mut().enumerate() {
            self.rest = self.rest.trim_ascii_start();
            let character = *self.rest.first().ok_or(Refusal::BadSignature)?;
            if at == 0 && matches!(character, b'=' | b'-') {
                return self.close_block();
            }
            self.rest = &self.rest[1..];
            *place = character;
        }
        if self.is_padded {
            return Err(Refusal::BadSignature);
        }
        self.length = decode_four(&four, &mut self.decoded)?;
        self.at = 0;
        self.is_padded = self.length < self.decoded.len();
        for octet in &self.decoded[..self.length] {
            self.crc = crc24(self.crc, *octet);
        }
        Ok(())
    }

    /// The checksum, which may be absent, and the block's last line.
    fn close_block(&mut self) -> Result<(), Refusal> {
        let mut line = self.line();
        if let Some([b'=', checksum @ ..]) = line {
            let checksum = checksum.first_chunk().filter(|_| checksum.len() == 4);
            let mut octets = [0; 3];
            let length = decode_four(checksum.ok_or(Refusal::BadSignature)?, &mut octets)?;
            let [high, middle, low] = octets;
            if length != octets.len() || u32::from_be_bytes([0, high, middle, low]) != self.crc {
                return Err(Refusal::BadSignature);
            }
            line = self.line();
        }
        self.is_in_block = false;
        (line == Some(END))
            .then_some(())
            .ok_or(Refusal::BadSignature)
    }
}

fn decode_four(four: &[u8; 4], octets: &mut [u8; 3]) -> Result<usize, Refusal> {
    match Base64::decode(four, octets) {
        Ok(decoded) => Ok(decoded.len()),
        Err(_) => Err(Refusal::BadSignature),
    }
}

fn crc24(crc: u32, octet: u8) -> u32 {
    let mut crc = crc ^ (u32::from(octet) << 16);
    for _ in 0..8 {
        crc <<= 1;
        if crc & 0x0100_0000 != 0 {
            crc ^= CRC24_POLYNOMIAL;
        }
    }
    crc
}
