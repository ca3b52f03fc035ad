//! What a signature packet says of itself (RFC 9580, section 5.2.3): of this nothing is known to be
//! true before the signature is verified.

use heapless::Vec;

use super::packets::Packets;
use crate::Refusal;

/// Longest beginning of a signature packet that is signed with the manifest, bytes. Those of gpg are
/// about 40; notations may make them longer.
pub(crate) const HASHED_BYTES_MAX: usize = 256;

/// The only version of signatures that is known.
const VERSION: u8 = 4;
/// Of a fingerprint in the issuer's subpacket.
const FINGERPRINT_VERSION: u8 = 4;
/// Of a binary document.
const DOCUMENT: u8 = 0;
const CRITICAL: u8 = 0x80;
/// The longest subpacket that is read: a version and a fingerprint, bytes.
const VALUE_BYTES_MAX: usize = 21;

/// Public key algorithms.
pub(crate) const EDDSA_LEGACY: u8 = 22;
pub(crate) const ED25519: u8 = 27;
/// Hash algorithms.
pub(crate) const SHA256: u8 = 8;
pub(crate) const SHA512: u8 = 10;

/// Subpackets.
const CREATED: u8 = 2;
const EXPIRES: u8 = 3;
const ISSUER: u8 = 16;
const POLICY_URL: u8 = 26;
const SIGNERS_USER_ID: u8 = 28;
const ISSUER_FINGERPRINT: u8 = 33;

/// A version 4 signature.
#[derive(Default)]
pub(crate) struct Claim {
    /// From its version to the end of its hashed area.
    pub hashed: Vec<u8, HASHED_BYTES_MAX>,
    pub algorithm: u8,
    pub hash: u8,
    /// The first two octets of the digest.
    pub digest_begins: [u8; 2],
    /// R and S, if the algorithm is Ed25519 in one of its encodings.
    pub ed25519: Option<[u8; 64]>,
    /// Unix seconds.
    signed_at: Option<u32>,
    fingerprint: Option<[u8; 20]>,
    key_id: Option<[u8; 8]>,
    is_by_another_version: bool,
    is_too_long: bool,
    /// It has a subpacket that must be understood and is not.
    is_not_understood: bool,
    expires: bool,
}

impl Claim {
    /// Reads the signature packet that has begun; `None` for another version.
    pub fn read(packets: &mut Packets<'_>) -> Result<Option<Self>, Refusal> {
        let mut claim = Self::default();
        let mut head = Area {
            claim: &mut claim,
            packets,
            left: 6,
            is_hashed: true,
        };
        if head.octet()? != VERSION {
            return Ok(None);
        }
        let kind = head.octet()?;
        let [algorithm, hash] = [head.octet()?, head.octet()?];
        let hashed_bytes = u16::from_be_bytes([head.octet()?, head.octet()?]);
        claim.algorithm = algorithm;
        claim.hash = hash;
        claim.is_not_understood = kind != DOCUMENT;
        claim.read_area(packets, hashed_bytes, true)?;
        let unhashed_bytes = packets.pair()?;
        claim.read_area(packets, unhashed_bytes, false)?;
        claim.digest_begins = packets.pair()?.to_be_bytes();
        claim.ed25519 = match algorithm {
            EDDSA_LEGACY => legacy_ed25519(packets)?,
            ED25519 => Some(native_ed25519(packets)?),
            _ => None,
        };
        if claim.ed25519.is_some() && !packets.is_at_end() {
            return Err(Refusal::BadSignature);
        }
        Ok(Some(claim))
    }

    fn read_area(
        &mut self,
        packets: &mut Packets<'_>,
        bytes: u16,
        is_hashed: bool,
    ) -> Result<(), Refusal> {
        let mut area = Area {
            claim: self,
            packets,
            left: bytes,
            is_hashed,
        };
        while area.left > 0 {
            area.subpacket()?;
        }
        Ok(())
    }

    /// Whether it names the version 4 key with this fingerprint as its maker. The key's id, which
    /// need not be signed, counts where there is no fingerprint.
    pub fn is_by(&self, fingerprint: &[u8; 20]) -> bool {
        match (self.fingerprint, self.key_id) {
            _ if self.is_by_another_version => false,
            (Some(named), _) => named == *fingerprint,
            (None, Some(id)) => fingerprint.ends_with(&id),
            (None, None) => false,
        }
    }

    /// Whom it names as its maker: a fingerprint, or the end of one.
    #[cfg(feature = "std")]
    pub fn issuer(&self) -> Option<std::vec::Vec<u8>> {
        let fingerprint = self.fingerprint.map(|octets| octets.to_vec());
        fingerprint.or(self.key_id.map(|octets| octets.to_vec()))
    }

    /// When it was made, Unix seconds, if it is of a kind that may count: of a document, understood,
    /// and without an expiry of its own, as devices may have no clock and a manifest has one.
    pub fn signed_at(&self) -> Result<i64, Refusal> {
        match self.signed_at {
            Some(at) if !self.is_too_long && !self.is_not_understood && !self.expires => {
                Ok(at.into())
            }
            _ => Err(Refusal::BadSignature),
        }
    }
}

/// R and S as numbers without leading zeros, with their lengths in bits; `None` if they are too
/// large for this curve.
fn legacy_ed25519(packets: &mut Packets<'_>) -> Result<Option<[u8; 64]>, Refusal> {
    let mut both = [0; 64];
    for number in both.chunks_exact_mut(32) {
        let bits = u32::from(packets.pair()?);
        let Some(zeros) = 32_usize.checked_sub(bits.div_ceil(8) as usize) else {
            return Ok(None);
        };
        let octets = &mut number[zeros..];
        for octet in octets.iter_mut() {
            *octet = packets.octet()?;
        }
        let spare_bits = octets.len() as u32 * 8 - bits;
        if octets
            .first()
            .is_some_and(|octet| octet.leading_zeros() != spare_bits)
        {
            return Err(Refusal::BadSignature);
        }
    }
    Ok(Some(both))
}

fn native_ed25519(packets: &mut Packets<'_>) -> Result<[u8; 64], Refusal> {
    let mut both = [0; 64];
    for octet in &mut both {
        *octet = packets.octet()?;
    }
    Ok(both)
}

/// A part of a signature packet with a length of its own.
struct Area<'c, 'a> {
    claim: &'c mut Claim,
    packets: &'c mut Packets<'a>,
    /// Bytes.
    left: u16,
    is_hashed: bool,
}

impl Area<'_, '_> {
    fn octet(&mut self) -> Result<u8, Refusal> {
        self.left = self.left.checked_sub(1).ok_or(Refusal::BadSignature)?;
        let octet = self.packets.octet()?;
        if self.is_hashed && self.claim.hashed.push(octet).is_err() {
            self.claim.is_too_long = true;
        }
        Ok(octet)
    }

    fn subpacket(&mut self) -> Result<(), Refusal> {
        let length = match self.octet()? {
            length @ ..192 => length.into(),
            high @ 192..255 => (u32::from(high - 192) << 8) + u32::from(self.octet()?) + 192,
            255 => u32::from_be_bytes([self.octet()?, self.octet()?, self.octet()?, self.octet()?]),
        };
        let length = length.checked_sub(1).ok_or(Refusal::BadSignature)?;
        let head = self.octet()?;
        let mut value = [0; VALUE_BYTES_MAX];
        for at in 0..length as usize {
            let octet = self.octet()?;
            if let Some(place) = value.get_mut(at) {
                *place = octet;
            }
        }
        let value = value.get(..length as usize).unwrap_or(&value);
        if self.is_hashed {
            self.hashed_subpacket(head, value, length)
        } else {
            if head & !CRITICAL == ISSUER && self.claim.key_id.is_none() {
                self.claim.key_id = value.try_into().ok();
            }
            Ok(())
        }
    }

    fn hashed_subpacket(&mut self, head: u8, value: &[u8], length: u32) -> Result<(), Refusal> {
        let number = || value.try_into().map(u32::from_be_bytes);
        let bad = Refusal::BadSignature;
        match (head & !CRITICAL, length) {
            (CREATED, _) if self.claim.signed_at.is_some() => return Err(bad),
            (CREATED, _) => self.claim.signed_at = Some(number().map_err(|_| bad)?),
            (EXPIRES, _) => self.claim.expires |= number().map_err(|_| bad)? != 0,
            (ISSUER, _) => self.claim.key_id = Some(value.try_into().map_err(|_| bad)?),
            (ISSUER_FINGERPRINT, _) if self.claim.fingerprint.is_some() => return Err(bad),
            (ISSUER_FINGERPRINT, 21) if value[0] == FINGERPRINT_VERSION => {
                self.claim.fingerprint = value[1..].try_into().ok();
            }
            (ISSUER_FINGERPRINT, _) => self.claim.is_by_another_version = true,
            (POLICY_URL | SIGNERS_USER_ID, _) => {}
            _ => self.claim.is_not_understood |= head & CRITICAL != 0,
        }
        Ok(())
    }
}
