//! Whom the server trusts: a folder of public keys.

use std::{collections::BTreeMap, fs, path::Path};

use super::{
    KeyError,
    certificate::{self, Certificate, hex_upper},
    part::Part,
    read_file,
};
use crate::{Error, KEY_NAME_BYTES_MAX, Refusal, TrustedKey, signature};

/// Files with these endings are keys; all others in the folder are left alone.
const ENDINGS: [&str; 4] = ["asc", "gpg", "pgp", "key"];
/// Most keys in a folder.
const KEYS_MAX: usize = 64;
/// A signer's clock may be ahead by so much, seconds.
const AHEAD_SECONDS_MAX: i64 = 600;

/// The keys whose signatures count, each with a name: its file's, without the ending.
#[derive(Clone, Debug, Default)]
pub struct TrustedKeys {
    keys: Vec<PublicKey>,
    /// With the place of the key that each belongs to.
    parts: Vec<(usize, Part)>,
}

/// A trusted key, as people look at it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey {
    pub name: String,
    /// Upper-case hex.
    pub fingerprint: String,
    /// Such as `Ed25519` or `RSA 3072`.
    pub algorithm: String,
    pub user_id: String,
    /// Unix seconds.
    pub created_at: i64,
    /// Unix seconds.
    pub expires_at: Option<i64>,
    pub is_revoked: bool,
}

/// Who signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signer {
    /// The key's.
    pub name: String,
    /// Of the key or subkey that signed, upper-case hex.
    pub fingerprint: String,
    /// Unix seconds, as the signer says.
    pub signed_at: i64,
}

impl TrustedKeys {
    /// Reads a folder: one public key for each file `NAME.asc`, `.gpg`, `.pgp` or `.key`.
    ///
    /// # Errors
    /// When the folder or a file cannot be read, or a file is no key to trust: it is named.
    pub fn read(folder: &Path) -> Result<Self, KeyError> {
        let failed = |error| KeyError::new(format!("{} cannot be read: {error}", folder.display()));
        let mut files = Vec::new();
        for entry in fs::read_dir(folder).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            if is_key_file(&path) {
                files.push(path);
            }
        }
        if files.len() > KEYS_MAX {
            return Err(KeyError::new(format!(
                "{} holds {} keys, more than {KEYS_MAX}: take away those that sign no longer",
                folder.display(),
                files.len()
            )));
        }
        files.sort();
        let mut trusted = Self::default();
        let (mut names, mut fingerprints) = (BTreeMap::new(), BTreeMap::new());
        for path in files {
            let name = name(&path)?;
            let bytes = read_file(&path)?;
            let certificate = match &certificate::read(&bytes).map_err(|why| fault(&path, why))?[..]
            {
                [key] => Certificate::of(key).map_err(|why| fault(&path, why))?,
                _ => return Err(fault(&path, certificate::SEVERAL)),
            };
            // Which of two says when the key ends would be left to chance.
            if let Some(other) = names.insert(name.clone(), path.clone()) {
                return Err(twice(&other, &path, "have the same name"));
            }
            for part in &certificate.parts {
                if let Some(other) = fingerprints.insert(part.fingerprint, path.clone()) {
                    return Err(twice(&other, &path, "hold the same key"));
                }
            }
            trusted.add(name, certificate);
        }
        Ok(trusted)
    }

    pub(super) fn add(&mut self, name: String, certificate: Certificate) {
        let place = self.keys.len();
        let parts = certificate.parts.into_iter();
        self.parts.extend(parts.map(|part| (place, part)));
        self.keys.push(PublicKey {
            name,
            fingerprint: certificate.fingerprint,
            algorithm: certificate.algorithm,
            user_id: certificate.user_id,
            created_at: certificate.created_at,
            expires_at: certificate.expires_at,
            is_revoked: certificate.is_revoked,
        });
    }

    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    pub fn keys(&self) -> &[PublicKey] {
        &self.keys
    }

    /// Fingerprints, upper-case hex, of the keys and subkeys that sign, without those that are revoked
    /// for good: of what they signed nothing counts any more.
    pub fn fingerprints(&self) -> impl Iterator<Item = String> {
        let parts = self.parts.iter().map(|(_, part)| part);
        parts
            .filter(|part| part.revoked_at != Some(i64::MIN))
            .map(|part| hex_upper(&part.fingerprint))
    }

    /// Checks a file of signatures, as devices do: the first by a key that is trusted and was valid
    /// when it signed counts, and must be good. Here RSA keys count too, and `now`, Unix seconds: what
    /// was signed in the future is refused. What a device that trusts the same Ed25519 key would
    /// refuse is refused.
    ///
    /// # Errors
    /// The refusals of [`crate::Verification`], with what is wrong.
    pub fn verify(&self, manifest: &[u8], signatures: &[u8], now: i64) -> Result<Signer, Error> {
        let mut others = Vec::new();
        let chosen = signature::choose(signatures, |claim| {
            let mut is_known = false;
            for (place, part) in &self.parts {
                if !claim.is_by(&part.fingerprint) {
                    continue;
                }
                let signed_at = claim.signed_at()?;
                let Some(fault) = part.fault_at(signed_at) else {
                    return Ok(Some((*place, part, signed_at)));
                };
                is_known = true;
                let name = &self.keys[*place].name;
                others.push(format!("by the key {name} when {fault}"));
            }
            if !is_known {
                others.push(match claim.issuer() {
                    Some(issuer) => format!("by {}, which is no trusted key", hex_upper(&issuer)),
                    None => "by a key that it does not name".to_owned(),
                });
            }
            Ok(None)
        });
        let chosen = chosen.map_err(|refusal| explain(refusal, &others))?;
        let (place, part, signed_at) = chosen.key;
        let name = &self.keys[place].name;
        let bad = |why: &str| {
            let message = format!("the signature by the key {name} is not good: {why}");
            Error::new(Refusal::BadSignature, message)
        };
        if signed_at > now.saturating_add(AHEAD_SECONDS_MAX) {
            return Err(bad(
                "it was made in the future: look at the clocks of the server and of who signed",
            ));
        }
        let bodies = signature::bodies(signatures).map_err(|refusal| explain(refusal, &[]))?;
        let body = bodies.get(chosen.place).map_or(&[][..], Vec::as_slice);
        part.check(&chosen.claim, body, manifest).map_err(bad)?;
        part.check_as_device(signatures, manifest).map_err(|_| {
            bad("devices would not take it: they check Ed25519 over SHA-256 or SHA-512")
        })?;
        Ok(Signer {
            name: name.clone(),
            fingerprint: hex_upper(&part.fingerprint),
            signed_at,
        })
    }

    /// What devices are to be told: the Ed25519 keys and subkeys, without those that are revoked for
    /// good.
    pub fn for_devices(&self) -> Vec<TrustedKey> {
        let keys = self.parts.iter().filter_map(|(place, part)| {
            // Names that are longer are not read.
            let name = self.keys[*place].name.as_str().try_into();
            let key = part.for_devices()?;
            Some(TrustedKey {
                name: name.unwrap_or_default(),
                ..key
            })
        });
        keys.collect()
    }
}

fn is_key_file(path: &Path) -> bool {
    let ending = path.extension().and_then(|ending| ending.to_str());
    ending.is_some_and(|ending| ENDINGS.contains(&ending)) && path.is_file()
}

fn name(path: &Path) -> Result<String, KeyError> {
    let stem = path.file_stem().and_then(|stem| stem.to_str());
    match stem {
        Some(name) if name.len() <= KEY_NAME_BYTES_MAX && !name.contains(char::is_control) => {
            Ok(name.to_owned())
        }
        _ => Err(KeyError::new(format!(
            "{}: a key is named after its file, so that may have {KEY_NAME_BYTES_MAX} bytes of \
             printable UTF-8 before its ending: rename it",
            path.display()
        ))),
    }
}

fn fault(path: &Path, why: &str) -> KeyError {
    KeyError::new(format!("{} is no key to trust: {why}", path.display()))
}

fn twice(one: &Path, other: &Path, what: &str) -> KeyError {
    let (one, other) = (one.display(), other.display());
    KeyError::new(format!("{one} and {other} {what}: keep one of them"))
}

fn explain(refusal: Refusal, others: &[String]) -> Error {
    let message = match refusal {
        Refusal::Unsigned => {
            "it has no signature: sign it with a trusted key (`airlift bundle build --sign KEY`)"
                .to_owned()
        }
        Refusal::UntrustedKey if others.is_empty() => {
            "it is signed, but with no version 4 signature: sign it with a trusted key".to_owned()
        }
        Refusal::UntrustedKey => format!("no signature of it counts: {}", others.join("; ")),
        Refusal::TooLarge => format!(
            "its signatures have more than {} bytes",
            crate::SIGNATURE_BYTES_MAX
        ),
        _ => "its signatures are garbled, or of a kind that devices do not take: a detached \
              signature of a binary document, without an expiry or critical subpackets of its own"
            .to_owned(),
    };
    Error::new(refusal, message)
}
