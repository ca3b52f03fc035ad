//! A manifest's detached OpenPGP signature, as far as a device needs it: version 4 signatures of a
//! document, by Ed25519 keys in both of OpenPGP's encodings, over SHA-256 or SHA-512. No allocator,
//! and the manifest passes through piece by piece.
//!
//! A file of signatures may hold several, one for each key that devices in the field may trust. The
//! first that names a trusted key, valid at the time of signing, counts: it must be good.
//!
//! Stricter than OpenPGP where that costs nobody anything: a signature with an expiry of its own is
//! refused (a device may have no clock, and the manifest has an expiry), as is one whose beginning is
//! longer than the room that is kept for it, or with a critical subpacket that is not understood.

mod armor;
mod claim;
mod packets;

use ed25519_dalek::{Signature, VerifyingKey};
use heapless::Vec;
use sha2::{Digest, Sha256, Sha512};

pub(crate) use claim::Claim;
use claim::{HASHED_BYTES_MAX, SHA256, SHA512};
use packets::{Packets, SIGNATURE};

use crate::{Refusal, SIGNATURE_BYTES_MAX, TrustedKey};

/// Version, marker and length that end what is hashed, bytes.
const TRAILER_BYTES: usize = 6;

/// A signature by a trusted key, while the manifest is still coming in.
#[derive(Clone, Debug)]
pub struct Verification {
    hasher: Hasher,
    /// Is hashed after the manifest.
    suffix: Vec<u8, { HASHED_BYTES_MAX + TRAILER_BYTES }>,
    digest_begins: [u8; 2],
    signature: [u8; 64],
    public_key: [u8; 32],
    signed: Signed,
}

/// Who signed, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signed {
    /// Place in the list of trusted keys.
    pub key: usize,
    /// Unix seconds, as the signer says.
    pub signed_at: i64,
}

/// A manifest that comes before its signature: until that tells which of the two it is over, both
/// are made.
#[derive(Clone, Debug, Default)]
pub struct ManifestDigests {
    sha256: Sha256,
    sha512: Sha512,
}

impl ManifestDigests {
    /// Takes the next piece of the manifest.
    pub fn update(&mut self, manifest: &[u8]) {
        self.sha256.update(manifest);
        self.sha512.update(manifest);
    }
}

#[derive(Clone, Debug)]
enum Hasher {
    Sha256(Sha256),
    Sha512(Sha512),
}

impl Verification {
    /// Finds the signature that counts in a file of them, armored or binary.
    ///
    /// # Errors
    /// [`Refusal::Unsigned`] for a file without signatures, [`Refusal::UntrustedKey`] if none is by a
    /// trusted key valid at the time, [`Refusal::TooLarge`], else [`Refusal::BadSignature`].
    pub fn begin(signatures: &[u8], keys: &[TrustedKey]) -> Result<Self, Refusal> {
        let chosen = choose(signatures, |claim| {
            for (at, key) in keys.iter().enumerate() {
                if !claim.is_by(&key.fingerprint) {
                    continue;
                }
                let signed_at = claim.signed_at()?;
                if key.is_valid_at(signed_at) {
                    return Ok(Some(Signed { key: at, signed_at }));
                }
            }
            Ok(None)
        })?;
        let claim = chosen.claim;
        let public_key = keys[chosen.key.key].public_key;
        // With a weak key anybody's signature is good.
        match VerifyingKey::from_bytes(&public_key) {
            Ok(key) if !key.is_weak() => {}
            _ => return Err(Refusal::UntrustedKey),
        }
        let hasher = match claim.hash {
            SHA256 => Hasher::Sha256(Sha256::new()),
            SHA512 => Hasher::Sha512(Sha512::new()),
            _ => return Err(Refusal::BadSignature),
        };
        let mut suffix = Vec::new();
        let length = claim.hashed.len() as u32;
        let trailer = [&claim.hashed, &[4, 0xFF][..], &length.to_be_bytes()];
        for part in trailer {
            suffix
                .extend_from_slice(part)
                .map_err(|_| Refusal::BadSignature)?;
        }
        Ok(Self {
            hasher,
            suffix,
            digest_begins: claim.digest_begins,
            signature: claim.ed25519.ok_or(Refusal::BadSignature)?,
            public_key,
            signed: chosen.key,
        })
    }

    /// Takes a whole manifest that came before the signature.
    pub fn take(&mut self, manifest: ManifestDigests) {
        self.hasher = match self.hasher {
            Hasher::Sha256(_) => Hasher::Sha256(manifest.sha256),
            Hasher::Sha512(_) => Hasher::Sha512(manifest.sha512),
        };
    }

    /// Takes the next piece of the manifest.
    pub fn update(&mut self, manifest: &[u8]) {
        match &mut self.hasher {
            Hasher::Sha256(hasher) => hasher.update(manifest),
            Hasher::Sha512(hasher) => hasher.update(manifest),
        }
    }

    /// Checks the signature, now that all of the manifest has come.
    ///
    /// # Errors
    /// [`Refusal::BadSignature`] if it is not what was signed.
    pub fn finish(mut self) -> Result<Signed, Refusal> {
        let suffix = core::mem::take(&mut self.suffix);
        self.update(&suffix);
        let is_good = match self.hasher.clone() {
            Hasher::Sha256(hasher) => self.is_good(&hasher.finalize()),
            Hasher::Sha512(hasher) => self.is_good(&hasher.finalize()),
        };
        if is_good {
            Ok(self.signed)
        } else {
            Err(Refusal::BadSignature)
        }
    }

    fn is_good(&self, digest: &[u8]) -> bool {
        let signature = Signature::from_bytes(&self.signature);
        digest.starts_with(&self.digest_begins)
            && VerifyingKey::from_bytes(&self.public_key)
                .and_then(|key| key.verify_strict(digest, &signature))
                .is_ok()
    }
}

/// The signature that counts, of a file of them.
pub(crate) struct Chosen<K> {
    pub claim: Claim,
    pub key: K,
    /// Among all signatures of the file.
    #[cfg(feature = "std")]
    pub place: usize,
}

/// The first signature for which `pick` knows a key. All others must be whole too.
pub(crate) fn choose<K>(
    signatures: &[u8],
    mut pick: impl FnMut(&Claim) -> Result<Option<K>, Refusal>,
) -> Result<Chosen<K>, Refusal> {
    if signatures.len() > SIGNATURE_BYTES_MAX {
        return Err(Refusal::TooLarge);
    }
    let mut count = 0;
    let mut chosen = None;
    let mut packets = Packets::new(signatures);
    while let Some(kind) = packets.next()? {
        if kind != SIGNATURE {
            continue;
        }
        let claim = Claim::read(&mut packets)?;
        if let Some(claim) = claim.filter(|_| chosen.is_none())
            && let Some(key) = pick(&claim)?
        {
            chosen = Some(Chosen {
                claim,
                key,
                #[cfg(feature = "std")]
                place: count,
            });
        }
        count += 1;
    }
    chosen.ok_or(match count {
        0 => Refusal::Unsigned,
        _ => Refusal::UntrustedKey,
    })
}

/// What is in the signature packets of a file, for another reader of them.
#[cfg(feature = "std")]
pub(crate) fn bodies(signatures: &[u8]) -> Result<std::vec::Vec<std::vec::Vec<u8>>, Refusal> {
    let mut bodies = std::vec::Vec::new();
    let mut packets = Packets::new(signatures);
    while let Some(kind) = packets.next()? {
        let mut body = std::vec::Vec::new();
        while kind == SIGNATURE && !packets.is_at_end() {
            body.push(packets.octet()?);
        }
        if kind == SIGNATURE {
            bodies.push(body);
        }
    }
    Ok(bodies)
}
