//! OpenPGP's packets (RFC 9580, section 4): old and new format, definite lengths only.

use super::armor::Octets;
use crate::Refusal;

/// Packet type of a signature.
pub(super) const SIGNATURE: u8 = 2;

/// The packets of a file of signatures, one after the other.
pub(crate) struct Packets<'a> {
    octets: Octets<'a>,
    /// Of the packet that is being read, bytes.
    left: u32,
}

impl<'a> Packets<'a> {
    pub fn new(file: &'a [u8]) -> Self {
        Self {
            octets: Octets::new(file),
            left: 0,
        }
    }

    /// Passes over the rest of a packet; gives the next one's type, `None` at the end of the file.
    pub fn next(&mut self) -> Result<Option<u8>, Refusal> {
        while self.left > 0 {
            self.octet()?;
        }
        let Some(head) = self.octets.next()? else {
            return Ok(None);
        };
        match head {
            0xC0.. => {
                self.left = match self.raw()? {
                    length @ ..192 => length.into(),
                    high @ 192..224 => (u32::from(high - 192) << 8) + u32::from(self.raw()?) + 192,
                    255 => self.number(4)?,
                    // A partial length, for streams of data.
                    _ => return Err(Refusal::BadSignature),
                };
                Ok(Some(head & 0x3F))
            }
            0x80.. => {
                self.left = match head & 3 {
                    // An indeterminate length.
                    3 => return Err(Refusal::BadSignature),
                    power => self.number(1 << power)?,
                };
                Ok(Some((head >> 2) & 0xF))
            }
            _ => Err(Refusal::BadSignature),
        }
    }

    /// An octet that must be there.
    fn raw(&mut self) -> Result<u8, Refusal> {
        self.octets.next()?.ok_or(Refusal::BadSignature)
    }

    fn number(&mut self, octets: u32) -> Result<u32, Refusal> {
        let mut number = 0;
        for _ in 0..octets {
            number = number << 8 | u32::from(self.raw()?);
        }
        Ok(number)
    }

    /// The next octet of the packet that is being read.
    pub fn octet(&mut self) -> Result<u8, Refusal> {
        self.left = self.left.checked_sub(1).ok_or(Refusal::BadSignature)?;
        self.raw()
    }

    pub fn pair(&mut self) -> Result<u16, Refusal> {
        Ok(u16::from_be_bytes([self.octet()?, self.octet()?]))
    }

    pub fn is_at_end(&self) -> bool {
        self.left == 0
    }
}
