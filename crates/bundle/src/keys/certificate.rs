//! One OpenPGP key with its subkeys, as its owner's own signatures describe it.

use std::io::Read as _;

use pgp::{
    armor::Dearmor,
    composed::{Deserializable as _, SignedPublicKey, SignedPublicSubKey},
    packet::{PacketParser, PacketTrait as _, RevocationCode, Signature, SignatureType},
    types::{Fingerprint, KeyDetails as _, Tag, Timestamp},
};

use super::part::{Packet, Part, algorithm, earlier, is_strong};

/// See the module.
#[derive(Debug)]
pub(super) struct Certificate {
    /// Upper-case hex.
    pub fingerprint: String,
    pub algorithm: String,
    pub user_id: String,
    /// Unix seconds.
    pub created_at: i64,
    /// Unix seconds.
    pub expires_at: Option<i64>,
    pub is_revoked: bool,
    /// The key and its subkeys, as far as they sign.
    pub parts: Vec<Part>,
}

/// Completes "… is no key to trust: ", or "…: ".
pub(super) type Fault = &'static str;

/// The public keys in a file, armored or binary. rpgp's own errors are left out: they may quote what
/// is in the file.
pub(super) fn read(bytes: &[u8]) -> Result<Vec<SignedPublicKey>, Fault> {
    let fault = "it is no OpenPGP public key: export one with `gpg --armor --export KEY`";
    if bytes.windows(17).any(|text| text == b"PRIVATE KEY BLOCK") {
        return Err(SECRET);
    }
    let mut decoded = Vec::new();
    if bytes.first().is_some_and(u8::is_ascii) {
        if bytes
            .windows(14)
            .filter(|text| text == b"-----BEGIN PGP")
            .count()
            > 1
        {
            return Err(SEVERAL);
        }
        Dearmor::new(bytes)
            .read_to_end(&mut decoded)
            .map_err(|_| fault)?;
    } else {
        decoded.extend_from_slice(bytes);
    }
    let is_secret = |tag| matches!(tag, Tag::SecretKey | Tag::SecretSubkey);
    if PacketParser::new(&decoded[..])
        .flatten()
        .any(|packet| is_secret(packet.tag()))
    {
        return Err(SECRET);
    }
    let keys = SignedPublicKey::from_bytes_many(&decoded[..]).map_err(|_| fault)?;
    let keys = keys.collect::<Result<Vec<_>, _>>().map_err(|_| fault)?;
    if keys.is_empty() {
        Err(fault)
    } else {
        Ok(keys)
    }
}

const SECRET: Fault = "it holds a secret key, which belongs on no server: take it away, treat it as stolen if \
     others could read it, and put the public key here (`gpg --armor --export KEY`)";
pub(super) const SEVERAL: Fault = "it holds several keys: put each into a file of its own";

impl Certificate {
    pub fn of(key: &SignedPublicKey) -> Result<Self, Fault> {
        let primary = &key.primary_key;
        let Fingerprint::V4(fingerprint) = primary.fingerprint() else {
            return Err("it is no version 4 key, and devices know no other");
        };
        let newest = newest(own_signatures(key))
            .ok_or("it has no valid signature of its own over SHA-256 or better")?;
        let created_at = i64::from(primary.created_at().as_secs());
        let expires_at = expiry(newest, primary.created_at());
        let revoked_at = revocation(&key.details.revocation_signatures, |signature| {
            signature.verify_key(primary).is_ok()
        });
        let mut parts = Vec::new();
        let may_sign = newest.key_flags().sign() || !has_key_flags(newest);
        parts.extend(
            Part::new(Packet::Primary(primary.clone()))
                .filter(|_| may_sign)
                .map(|part| Part {
                    expires_at,
                    revoked_at,
                    ..part
                }),
        );
        for subkey in &key.public_subkeys {
            parts.extend(signing_subkey(key, subkey).map(|part| Part {
                valid_from: part.valid_from.max(created_at),
                expires_at: earlier(part.expires_at, expires_at),
                revoked_at: earlier(part.revoked_at, revoked_at),
                ..part
            }));
        }
        if parts.is_empty() {
            return Err(
                "nothing of it signs: it takes an Ed25519 key, or RSA of 2048 bits or more, \
                 for signatures",
            );
        }
        Ok(Self {
            fingerprint: hex_upper(&fingerprint),
            algorithm: algorithm(primary),
            user_id: user_id(key),
            created_at,
            expires_at,
            is_revoked: revoked_at.is_some(),
            parts,
        })
    }
}

/// What the owner says of the whole key: on its user ids that are not revoked, or on the key itself.
fn own_signatures(key: &SignedPublicKey) -> impl Iterator<Item = &Signature> {
    let primary = &key.primary_key;
    let direct = key.details.direct_signatures.iter().filter(|signature| {
        signature.typ() == Some(SignatureType::Key) && signature.verify_key(primary).is_ok()
    });
    let users = key.details.users.iter().filter_map(|user| {
        let own = user.signatures.iter().filter(|signature| {
            is_strong(signature)
                && signature
                    .verify_certification(primary, Tag::UserId, &user.id)
                    .is_ok()
        });
        newest(own).filter(|own| own.typ() != Some(SignatureType::CertRevocation))
    });
    direct.chain(users).filter(|signature| is_strong(signature))
}

fn newest<'s>(signatures: impl Iterator<Item = &'s Signature>) -> Option<&'s Signature> {
    signatures.max_by_key(|signature| signature.created().map(Timestamp::as_secs))
}

fn has_key_flags(signature: &Signature) -> bool {
    use pgp::packet::SubpacketData;

    signature.config().is_some_and(|config| {
        config
            .hashed_subpackets()
            .any(|subpacket| matches!(subpacket.data, SubpacketData::KeyFlags(_)))
    })
}

/// When a key ends, Unix seconds: by the expiry that its signature gives it, or with the signature.
fn expiry(signature: &Signature, key_created: Timestamp) -> Option<i64> {
    let end = |from: Timestamp, lasts: Option<pgp::types::Duration>| {
        lasts
            .map(pgp::types::Duration::as_secs)
            .filter(|seconds| *seconds > 0)
            .map(|seconds| i64::from(from.as_secs()) + i64::from(seconds))
    };
    let of_signature = signature
        .created()
        .and_then(|at| end(at, signature.signature_expiration_time()));
    earlier(
        end(key_created, signature.key_expiration_time()),
        of_signature,
    )
}

/// Since when a key is revoked. A key that was only replaced or retired keeps what it had signed;
/// for any other reason, and where the revocation itself cannot be checked, nothing of it counts.
fn revocation(signatures: &[Signature], is_valid: impl Fn(&Signature) -> bool) -> Option<i64> {
    let since = |signature: &Signature| {
        let is_gentle = matches!(
            signature.revocation_reason_code(),
            Some(RevocationCode::KeySuperseded | RevocationCode::KeyRetired)
        );
        match signature.created() {
            Some(at) if is_gentle && is_valid(signature) => at.as_secs().into(),
            _ => i64::MIN,
        }
    };
    signatures.iter().map(since).min()
}

/// A subkey that the key has bound to itself to sign, and that agrees to it.
fn signing_subkey(key: &SignedPublicKey, subkey: &SignedPublicSubKey) -> Option<Part> {
    let primary = &key.primary_key;
    let is_valid = |signature: &Signature| {
        signature
            .verify_subkey_binding(primary, &subkey.key)
            .is_ok()
    };
    let of_type = |kind| {
        let is_it = move |signature: &&Signature| signature.typ() == Some(kind);
        subkey.signatures.iter().filter(is_it)
    };
    let bindings = of_type(SignatureType::SubkeyBinding);
    let binding = newest(bindings.filter(|signature| is_strong(signature) && is_valid(signature)))?;
    let agrees = binding.embedded_signature().is_some_and(|back| {
        is_strong(back)
            && back
                .verify_primary_key_binding(&subkey.key, primary)
                .is_ok()
    });
    if !binding.key_flags().sign() || !agrees {
        return None;
    }
    let revocations: Vec<Signature> = of_type(SignatureType::SubkeyRevocation).cloned().collect();
    Part::new(Packet::Subkey(subkey.key.clone())).map(|part| Part {
        expires_at: expiry(binding, subkey.key.created_at()),
        revoked_at: revocation(&revocations, is_valid),
        ..part
    })
}

/// The one that its owner calls primary, else the first.
fn user_id(key: &SignedPublicKey) -> String {
    let users = &key.details.users;
    let primary = users.iter().find(|user| user.is_primary());
    let id = primary.or(users.first()).map(|user| user.id.id());
    String::from_utf8_lossy(id.unwrap_or_default()).replace(char::is_control, " ")
}

pub(super) fn hex_upper(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02X}")).collect()
}
