//! A key or subkey that signs manifests, and when.

use pgp::{
    crypto::hash::HashAlgorithm,
    packet::{self, PacketHeader, Signature, SignatureType},
    ser::Serialize as _,
    types::{EddsaLegacyPublicParams, Fingerprint, KeyDetails, PublicParams, Tag},
};

use crate::{Refusal, TrustedKey, Verification, signature::Claim};

/// Shortest RSA key that signs, bits.
const RSA_BITS_MIN: u16 = 2048;
/// What signs manifests and keys; the others are too weak or too rare.
const HASHES: [HashAlgorithm; 3] = [
    HashAlgorithm::Sha256,
    HashAlgorithm::Sha384,
    HashAlgorithm::Sha512,
];

#[derive(Clone, Debug)]
pub(super) enum Packet {
    Primary(packet::PublicKey),
    Subkey(packet::PublicSubkey),
}

/// See the module.
#[derive(Clone, Debug)]
pub(super) struct Part {
    pub packet: Packet,
    pub fingerprint: [u8; 20],
    /// Its point, if devices can check what it signs.
    pub ed25519: Option<[u8; 32]>,
    /// Unix seconds.
    pub valid_from: i64,
    /// Unix seconds.
    pub expires_at: Option<i64>,
    /// Unix seconds; `i64::MIN` if nothing that it ever signed counts.
    pub revoked_at: Option<i64>,
}

/// Whether its digest is long enough for signatures.
pub(super) fn is_strong(signature: &Signature) -> bool {
    signature
        .hash_alg()
        .is_some_and(|hash| HASHES.contains(&hash))
}

/// What people call a key's algorithm.
pub(super) fn algorithm(key: &impl KeyDetails) -> String {
    match key.public_params() {
        PublicParams::RSA(_) => format!("RSA {}", rsa_bits(key).unwrap_or(0)),
        _ if ed25519(key).is_some() => "Ed25519".to_owned(),
        _ => format!("{:?}", key.algorithm()),
    }
}

fn rsa_bits(key: &impl KeyDetails) -> Option<u16> {
    let PublicParams::RSA(params) = key.public_params() else {
        return None;
    };
    // The modulus comes first, and its length in bits before it.
    let bytes = params.to_bytes().ok()?;
    bytes.first_chunk().map(|bits| u16::from_be_bytes(*bits))
}

/// The point of an Ed25519 key with which not everybody can sign.
fn ed25519(key: &impl KeyDetails) -> Option<[u8; 32]> {
    let key = match key.public_params() {
        PublicParams::EdDSALegacy(EddsaLegacyPublicParams::Ed25519 { key }) => key,
        PublicParams::Ed25519(params) => &params.key,
        _ => return None,
    };
    (!key.is_weak()).then(|| key.to_bytes())
}

impl Part {
    /// `None` if its algorithm signs nothing here.
    pub fn new(packet: Packet) -> Option<Self> {
        let (fingerprint, created_at, ed25519, rsa_bits) = match &packet {
            Packet::Primary(key) => (
                key.fingerprint(),
                key.created_at(),
                ed25519(key),
                rsa_bits(key),
            ),
            Packet::Subkey(key) => (
                key.fingerprint(),
                key.created_at(),
                ed25519(key),
                rsa_bits(key),
            ),
        };
        let Fingerprint::V4(fingerprint) = fingerprint else {
            return None;
        };
        let is_usable = ed25519.is_some() || rsa_bits.is_some_and(|bits| bits >= RSA_BITS_MIN);
        is_usable.then(|| Self {
            packet,
            fingerprint,
            ed25519,
            valid_from: created_at.as_secs().into(),
            expires_at: None,
            revoked_at: None,
        })
    }

    /// When it signs no longer, Unix seconds.
    pub fn valid_until(&self) -> Option<i64> {
        earlier(self.expires_at, self.revoked_at)
    }

    /// Why what it signed at this time, Unix seconds, does not count.
    pub fn fault_at(&self, time: i64) -> Option<&'static str> {
        if self.revoked_at.is_some_and(|at| time >= at) {
            Some("it is revoked")
        } else if self.expires_at.is_some_and(|at| time >= at) {
            Some("it had expired")
        } else if time < self.valid_from {
            Some("it was not valid yet")
        } else {
            None
        }
    }

    /// As devices know it, but for its name; `None` if they cannot check it, or if nothing that it signs counts.
    pub fn for_devices(&self) -> Option<TrustedKey> {
        let valid_until = self.valid_until();
        if valid_until.is_some_and(|until| until <= self.valid_from) {
            return None;
        }
        Some(TrustedKey {
            name: Default::default(),
            public_key: self.ed25519?,
            fingerprint: self.fingerprint,
            valid_from: self.valid_from,
            valid_until,
        })
    }

    /// Checks the signature whose packet has this `body`; what is wrong with it, else.
    pub fn check(&self, claim: &Claim, body: &[u8], manifest: &[u8]) -> Result<(), &'static str> {
        if !HASHES.iter().any(|hash| u8::from(*hash) == claim.hash) {
            return Err("it is over a digest that is not SHA-256, SHA-384 or SHA-512");
        }
        let garbled = "it is garbled";
        // What is not signed is kept from the other reader of packets, which takes more notice of it.
        let (hashed, rest) = body.split_at_checked(claim.hashed.len()).ok_or(garbled)?;
        let (length, rest) = rest.split_first_chunk().ok_or(garbled)?;
        let signed = rest.get(usize::from(u16::from_be_bytes(*length))..);
        let body = [hashed, &[0, 0], signed.ok_or(garbled)?].concat();
        let header = PacketHeader::new_fixed(Tag::Signature, body.len() as u32);
        let mut rest = &body[..];
        let signature = Signature::try_from_reader(header, &mut rest).map_err(|_| garbled)?;
        if !rest.is_empty() || signature.typ() != Some(SignatureType::Binary) {
            return Err(garbled);
        }
        match &self.packet {
            Packet::Primary(key) => signature.verify(key, manifest),
            Packet::Subkey(key) => signature.verify(key, manifest),
        }
        .map_err(|_| "the manifest is not what was signed")
    }

    /// Whether a device takes it, too, if it can check such keys at all.
    pub fn check_as_device(&self, signatures: &[u8], manifest: &[u8]) -> Result<(), Refusal> {
        let Some(key) = self.for_devices() else {
            return Ok(());
        };
        let mut verification = Verification::begin(signatures, &[key])?;
        verification.update(manifest);
        verification.finish().map(drop)
    }
}

/// The earlier of two ends, of which `None` is never.
pub(super) fn earlier(one: Option<i64>, other: Option<i64>) -> Option<i64> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        _ => one.or(other),
    }
}
