use std::fmt;

use base64ct::{Base64UrlUnpadded, Encoding};
use rand::{TryRngCore, rngs::OsRng};
use sha2::{Digest, Sha256};

const SECRET_BYTES: usize = 32;

/// What a secret opens; its first letters say so, for people and for scanners of leaked secrets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecretKind {
    /// A person's or a machine's bearer token.
    Token,
    GatewayToken,
    ProvisioningKey,
    SetupLink,
    /// What the cookie of the web page holds.
    Session,
}

impl SecretKind {
    pub fn prefix(self) -> &'static str {
        match self {
            SecretKind::Token => "alt_",
            SecretKind::GatewayToken => "alg_",
            SecretKind::ProvisioningKey => "alp_",
            SecretKind::SetupLink => "als_",
            SecretKind::Session => "alc_",
        }
    }

    /// Whether this has the form of such a secret.
    pub fn fits(self, secret: &str) -> bool {
        let mut bytes = [0; SECRET_BYTES];
        let body = secret.strip_prefix(self.prefix());
        body.and_then(|body| Base64UrlUnpadded::decode(body, &mut bytes).ok())
            .is_some_and(|bytes| bytes.len() == SECRET_BYTES)
    }
}

/// A secret that was just made. It is shown to its owner once; only [`Secret::hash`] is kept.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// From the operating system's random numbers.
    pub fn make(kind: SecretKind) -> Secret {
        let mut bytes = [0; SECRET_BYTES];
        OsRng
            .try_fill_bytes(&mut bytes)
            .expect("the operating system has random numbers");
        let body = Base64UrlUnpadded::encode_string(&bytes);
        Secret(format!("{}{body}", kind.prefix()))
    }

    /// To be shown to its owner and nowhere else.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    pub fn hash(&self) -> String {
        secret_hash(&self.0)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// SHA-256 (hex): what is kept of a secret that is random enough to need nothing slower.
pub fn secret_hash(secret: &str) -> String {
    hex::encode(Sha256::digest(secret))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_tells_its_kind_and_nothing_shows_it() {
        let kinds = [
            SecretKind::Token,
            SecretKind::GatewayToken,
            SecretKind::ProvisioningKey,
            SecretKind::SetupLink,
            SecretKind::Session,
        ];
        for kind in kinds {
            let secret = Secret::make(kind);
            assert_eq!(secret.reveal().len(), 4 + 43);
            let fitting = kinds.map(|kind| kind.fits(secret.reveal()));
            assert_eq!(fitting, kinds.map(|other| other == kind));
            assert_eq!(format!("{secret:?}"), "Secret(…)");
            assert_eq!(secret.hash(), secret_hash(secret.reveal()));
            assert_ne!(secret, Secret::make(kind));
            let all = secret.reveal();
            assert!(!kind.fits(&all[..46]) && !kind.fits(&format!("{all}A")));
        }
        assert_eq!(
            secret_hash("abc"),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }
}
