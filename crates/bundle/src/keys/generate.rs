//! New keys.

use std::time::Duration;

use pgp::{
    composed::{ArmorOptions, KeyType, SignedKeyDetails, SignedSecretKey},
    crypto::{hash::HashAlgorithm, sym::SymmetricKeyAlgorithm},
    packet::{
        Features, KeyFlags, PubKeyInner, PublicKey, SecretKey, SignatureConfig, SignatureType,
        Subpacket, SubpacketData, UserId,
    },
    types::{KeyDetails as _, KeyVersion, Password, Tag, Timestamp},
};
use rand::rngs::OsRng;

use super::KeyError;

/// Longest user id, bytes.
const USER_ID_BYTES_MAX: usize = 200;

/// Makes an Ed25519 key that gpg and devices know: the secret key, locked if there is a passphrase,
/// and the public key, both armored. It ends after `expires`, or never.
///
/// # Errors
/// When the user id is none, the passphrase is empty, or the key would end after all time.
pub fn generate(
    user_id: &str,
    expires: Option<Duration>,
    passphrase: Option<&str>,
) -> Result<(String, String), KeyError> {
    if user_id.trim().is_empty()
        || user_id.len() > USER_ID_BYTES_MAX
        || user_id.contains(char::is_control)
    {
        return Err(KeyError::new(format!(
            "a user id has 1 to {USER_ID_BYTES_MAX} bytes, such as \
             `Releases <releases@example.com>`: {user_id:?} is none"
        )));
    }
    if passphrase.is_some_and(str::is_empty) {
        return Err(KeyError::new(
            "the passphrase is empty: give one, or none at all for a key that is not locked",
        ));
    }
    let created_at = Timestamp::now();
    let lasts = expires.map(|lasts| lasts.as_secs());
    // Times of version 4 keys end in 2106.
    let ends = lasts.map(|lasts| u64::from(created_at.as_secs()).saturating_add(lasts));
    if lasts == Some(0) || ends.is_some_and(|ends| ends > u32::MAX.into()) {
        return Err(KeyError::new(
            "a key lasts 1 second or more, and until the year 2106 at most: give another end, or none",
        ));
    }
    let key = make(
        user_id,
        created_at,
        lasts.map(|lasts| lasts as u32),
        passphrase,
    )
    .map_err(|_| KeyError::new("the key could not be made"))?;
    let armored = |text: pgp::errors::Result<String>| {
        text.map_err(|_| KeyError::new("the key could not be written"))
    };
    Ok((
        armored(key.to_armored_string(ArmorOptions::default()))?,
        armored(
            key.to_public_key()
                .to_armored_string(ArmorOptions::default()),
        )?,
    ))
}

fn make(
    user_id: &str,
    created_at: Timestamp,
    lasts_seconds: Option<u32>,
    passphrase: Option<&str>,
) -> pgp::errors::Result<SignedSecretKey> {
    // The encoding that every gpg knows; RFC 9580's own is for newer ones.
    let kind = KeyType::Ed25519Legacy;
    let (public, secret) = kind.generate(OsRng)?;
    let inner = PubKeyInner::new(KeyVersion::V4, kind.to_alg(), created_at, None, public)?;
    let public = PublicKey::from_inner(inner)?;
    let mut key = SecretKey::new(public.clone(), secret)?;
    let user_id = UserId::from_str(Default::default(), user_id)?;
    let mut flags = KeyFlags::default();
    flags.set_certify(true);
    flags.set_sign(true);
    let mut features = Features::default();
    features.set_seipd_v1(true);
    let ciphers = [SymmetricKeyAlgorithm::AES256];
    let hashes = [HashAlgorithm::Sha512, HashAlgorithm::Sha256];
    let mut subpackets = vec![
        SubpacketData::SignatureCreationTime(created_at),
        SubpacketData::IssuerFingerprint(public.fingerprint()),
        SubpacketData::KeyFlags(flags),
        SubpacketData::Features(features),
        SubpacketData::PreferredSymmetricAlgorithms(ciphers[..].into()),
        SubpacketData::PreferredHashAlgorithms(hashes[..].into()),
        SubpacketData::IsPrimary(true),
    ];
    if let Some(seconds) = lasts_seconds {
        let lasts = pgp::types::Duration::from_secs(seconds);
        subpackets.push(SubpacketData::KeyExpirationTime(lasts));
    }
    let mut own = SignatureConfig::v4(
        SignatureType::CertPositive,
        kind.to_alg(),
        HashAlgorithm::Sha512,
    );
    let subpackets = subpackets.into_iter().map(Subpacket::regular);
    own.hashed_subpackets = subpackets.collect::<Result<_, _>>()?;
    let id = SubpacketData::IssuerKeyId(public.legacy_key_id());
    own.unhashed_subpackets = vec![Subpacket::regular(id)?];
    let own = own.sign_certification(&key, &public, &Password::empty(), Tag::UserId, &user_id)?;
    if let Some(passphrase) = passphrase {
        key.set_password(OsRng, &passphrase.into())?;
    }
    let users = vec![user_id.into_signed(own)];
    let details = SignedKeyDetails::new(Vec::new(), Vec::new(), users, Vec::new());
    Ok(SignedSecretKey::new(key, details, Vec::new(), Vec::new()))
}
