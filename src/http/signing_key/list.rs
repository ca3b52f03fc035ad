use std::sync::Arc;

use axum::extract::State;
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    http::{
        envelope::{Envelope, ErrorEnvelope},
        error::ApiError,
    },
    service::{Service, SigningKey, SigningKeys},
};

/// The keys that the server trusts.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = SigningKeys)]
pub struct SigningKeysDto {
    /// Whether a firmware must be signed by one of them to be released and sent.
    pub required: bool,
    /// By name.
    pub items: Vec<SigningKeyDto>,
}

/// A key that the server trusts.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = SigningKey)]
pub struct SigningKeyDto {
    /// Its file's, without the ending.
    #[schema(examples("release-1"))]
    pub name: String,
    /// Upper-case hex.
    pub fingerprint: String,
    /// Its owner's, the one that is called primary or the first; empty without one.
    pub user_ids: Vec<String>,
    #[schema(examples("Ed25519", "RSA 3072"))]
    pub algorithm: String,
    pub created_at: DateTime<Utc>,
    /// What was signed afterwards does not count; null: never.
    pub expires_at: Option<DateTime<Utc>>,
    /// It was taken back by its owner.
    pub revoked: bool,
}

impl From<SigningKey> for SigningKeyDto {
    fn from(key: SigningKey) -> Self {
        SigningKeyDto {
            name: key.name,
            fingerprint: key.fingerprint,
            user_ids: Some(key.user_id)
                .into_iter()
                .filter(|user_id| !user_id.is_empty())
                .collect(),
            algorithm: key.algorithm,
            created_at: key.created_at,
            expires_at: key.expires_at,
            revoked: key.is_revoked,
        }
    }
}

impl From<SigningKeys> for SigningKeysDto {
    fn from(keys: SigningKeys) -> Self {
        SigningKeysDto {
            required: keys.required,
            items: keys.keys.into_iter().map(SigningKeyDto::from).collect(),
        }
    }
}

/// List the keys that are trusted
///
/// As they lie in the folder of `--trusted-keys` now; without one the list is empty.
#[utoipa::path(
    get,
    path = "/api/ota/signing-keys",
    tag = "firmware",
    responses(
        (status = 200, description = "The keys", body = Envelope<SigningKeysDto>),
        (status = 503, description = "The folder can't be read", body = ErrorEnvelope),
    )
)]
pub async fn list(
    State(service): State<Arc<Service>>,
) -> Result<Envelope<SigningKeysDto>, ApiError> {
    Ok(Envelope::of(service.signing_keys().await?.into()))
}
