use airlift_bundle::keys::PublicKey;
use chrono::{DateTime, Utc};

use super::{Result, Service, trust};

/// The keys that bundles are checked with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SigningKeys {
    /// Whether a firmware must be signed by one of them.
    pub required: bool,
    /// By name.
    pub keys: Vec<SigningKey>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SigningKey {
    pub name: String,
    /// Upper-case hex.
    pub fingerprint: String,
    pub algorithm: String,
    /// Empty without one.
    pub user_id: String,
    pub created_at: DateTime<Utc>,
    pub expires_at: Option<DateTime<Utc>>,
    pub is_revoked: bool,
}

impl From<&PublicKey> for SigningKey {
    fn from(key: &PublicKey) -> Self {
        let time = |seconds| DateTime::from_timestamp(seconds, 0);
        SigningKey {
            name: key.name.clone(),
            fingerprint: key.fingerprint.clone(),
            algorithm: key.algorithm.clone(),
            user_id: key.user_id.clone(),
            // OpenPGP has 32 bits for it, which fit.
            created_at: time(key.created_at).unwrap_or_default(),
            expires_at: key.expires_at.and_then(time),
            is_revoked: key.is_revoked,
        }
    }
}

impl Service {
    /// As they lie in the folder now.
    pub async fn signing_keys(&self) -> Result<SigningKeys> {
        let folder = self.settings.trusted_keys.clone();
        let trusted = trust::blocking(move || trust::read_keys(folder.as_deref())).await?;
        Ok(SigningKeys {
            required: self.requires_signatures(&trusted),
            keys: trusted.keys().iter().map(SigningKey::from).collect(),
        })
    }
}
