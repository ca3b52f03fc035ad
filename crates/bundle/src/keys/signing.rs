//! What a build machine signs with.

use std::{fmt, path::Path};

use pgp::{
    composed::{ArmorOptions, Deserializable as _, DetachedSignature, SignedSecretKey},
    crypto::hash::HashAlgorithm,
    types::{Fingerprint, KeyDetails as _, Password, Timestamp},
};
use rand::rngs::OsRng;

use super::{
    KeyError,
    certificate::{Certificate, hex_upper},
    gpg::GpgKey,
    part::Part,
    read_file,
};

/// A key that signs manifests: in a file, or wherever `gpg` has it, as on a smart card.
#[derive(Debug)]
pub enum SigningKey {
    File(FileKey),
    Gpg(GpgKey),
}

impl SigningKey {
    /// `key` is the path of a file with a secret key, or `gpg:` and a key id, a fingerprint or a user
    /// id. A file's key may be locked with a passphrase; gpg asks for its own.
    ///
    /// # Errors
    /// When there is no such key, or it cannot sign: with what to do, and nothing that is secret.
    pub fn open(key: &str, passphrase: Option<&str>) -> Result<Self, KeyError> {
        match key.strip_prefix("gpg:") {
            Some(name) => GpgKey::open(name).map(Self::Gpg),
            None => FileKey::open(Path::new(key), passphrase).map(Self::File),
        }
    }

    /// An armored detached signature of a manifest, made now: by this machine's clock, or gpg's.
    ///
    /// # Errors
    /// When it cannot sign: with what to do, and nothing that is secret.
    pub fn sign(&self, manifest: &[u8]) -> Result<String, KeyError> {
        match self {
            Self::File(key) => key.sign(manifest),
            Self::Gpg(key) => key.sign(manifest),
        }
    }
}

/// A secret key from a file, that can sign.
pub struct FileKey {
    key: Box<SignedSecretKey>,
    /// Of the key or subkey that signs.
    fingerprint: [u8; 20],
    password: Password,
}

impl fmt::Debug for FileKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FileKey({})", hex_upper(&self.fingerprint))
    }
}

impl FileKey {
    fn open(path: &Path, passphrase: Option<&str>) -> Result<Self, KeyError> {
        let refused = |why: &str| KeyError::new(format!("{} cannot sign: {why}", path.display()));
        let bytes = read_file(path)?;
        let no_key = "it holds no OpenPGP secret key: export one with \
            `gpg --armor --export-secret-keys KEY`, or sign with `gpg:KEY`";
        let (keys, _) =
            SignedSecretKey::from_reader_many(&bytes[..]).map_err(|_| refused(no_key))?;
        let keys = keys
            .collect::<Result<Vec<_>, _>>()
            .map_err(|_| refused(no_key))?;
        let key = match <[SignedSecretKey; 1]>::try_from(keys) {
            Ok([key]) => key,
            Err(keys) if keys.is_empty() => return Err(refused(no_key)),
            Err(_) => return Err(refused(super::certificate::SEVERAL)),
        };
        let certificate = Certificate::of(&key.to_public_key()).map_err(refused)?;
        let fingerprint = choose(&key, &certificate.parts).map_err(refused)?;
        let opened = Self {
            key: Box::new(key),
            fingerprint,
            password: passphrase.map_or_else(Password::empty, Password::from),
        };
        match (opened.unlock(), passphrase) {
            (true, _) => Ok(opened),
            (false, Some(_)) => Err(refused("the passphrase does not unlock its key")),
            (false, None) => Err(refused(
                "its key is locked with a passphrase, which was not given; or it is on a smart card: \
                 sign with `gpg:KEY` then",
            )),
        }
    }

    fn unlock(&self) -> bool {
        let primary = &self.key.primary_key;
        if self.is_it(&primary.fingerprint()) {
            return matches!(primary.unlock(&self.password, |_, _| Ok(())), Ok(Ok(())));
        }
        let mut subkeys = self.key.secret_subkeys.iter();
        subkeys
            .find(|subkey| self.is_it(&subkey.key.fingerprint()))
            .is_some_and(|subkey| {
                matches!(subkey.key.unlock(&self.password, |_, _| Ok(())), Ok(Ok(())))
            })
    }

    fn is_it(&self, fingerprint: &Fingerprint) -> bool {
        *fingerprint == Fingerprint::V4(self.fingerprint)
    }

    fn sign(&self, manifest: &[u8]) -> Result<String, KeyError> {
        let hash = HashAlgorithm::Sha512;
        let primary = &self.key.primary_key;
        let mut subkeys = self.key.secret_subkeys.iter();
        let subkey = subkeys.find(|subkey| self.is_it(&subkey.key.fingerprint()));
        let password = &self.password;
        match subkey {
            Some(subkey) => {
                DetachedSignature::sign_binary_data(OsRng, &subkey.key, password, hash, manifest)
            }
            None => DetachedSignature::sign_binary_data(OsRng, primary, password, hash, manifest),
        }
        .and_then(|signature| signature.to_armored_string(ArmorOptions::default()))
        .map_err(|_| {
            let fingerprint = hex_upper(&self.fingerprint);
            KeyError::new(format!("the key {fingerprint} does not sign"))
        })
    }
}

/// The newest part that may sign now and whose secret is there.
fn choose(key: &SignedSecretKey, parts: &[Part]) -> Result<[u8; 20], &'static str> {
    let now = i64::from(Timestamp::now().as_secs());
    let has_secret = |part: &&Part| {
        let fingerprint = Fingerprint::V4(part.fingerprint);
        let mut subkeys = key.secret_subkeys.iter();
        key.primary_key.fingerprint() == fingerprint
            || subkeys.any(|subkey| subkey.key.fingerprint() == fingerprint)
    };
    let valid = |part: &&Part| part.fault_at(now).is_none();
    parts
        .iter()
        .filter(has_secret)
        .filter(valid)
        .max_by_key(|part| part.valid_from)
        .map(|part| part.fingerprint)
        .ok_or_else(|| match parts.iter().find_map(|part| part.fault_at(now)) {
            Some("it had expired") => "its key has expired: give it a new end, or make a new key",
            Some("it is revoked") => "its key is revoked: make a new one",
            Some(_) => "its key is not valid yet: look at this machine's clock",
            None => "the secret of its key that signs is not in it",
        })
}
