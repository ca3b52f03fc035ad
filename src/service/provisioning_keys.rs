use chrono::{DateTime, Utc};
use serde_json::json;
use uuid::Uuid;

use super::{Error, Page, Result, Service, gateway_tokens::made_by};
use crate::{
    domain::{
        Caller, DEVICE_TYPE_LENGTH_MAX, ProvisioningKey, Secret, SecretKind, is_device_type,
        too_far_ahead,
    },
    store,
};

const NAME_LENGTH_MAX: usize = 100;
const CLAIMS_MAX: i64 = 1_000_000_000;

/// What an administrator says of a new key.
#[derive(Clone, Debug)]
pub struct ProvisioningKeyDetails {
    pub name: String,
    pub device_type: Option<String>,
    pub claims_max: Option<i64>,
    pub expires_at: Option<DateTime<Utc>>,
}

/// A key that was just made, with what is shown once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewProvisioningKey {
    pub key: ProvisioningKey,
    pub secret: Secret,
}

impl ProvisioningKeyDetails {
    fn check(&self, now: DateTime<Utc>) -> Result<()> {
        let name = &self.name;
        if name.is_empty()
            || name.len() > NAME_LENGTH_MAX
            || name.trim() != name
            || name.chars().any(char::is_control)
        {
            return Err(Error::invalid(
                "invalid_name",
                format!(
                    "name must have 1 to {NAME_LENGTH_MAX} bytes, no control characters and no \
                     blanks around it"
                ),
            ));
        }
        if let Some(device_type) = &self.device_type
            && !is_device_type(device_type)
        {
            return Err(Error::invalid(
                "invalid_device_type",
                format!(
                    "{device_type:?} is not a device type: use 1 to {DEVICE_TYPE_LENGTH_MAX} of \
                     A-Z a-z 0-9 . _ - that begin with a letter or digit"
                ),
            ));
        }
        if self
            .claims_max
            .is_some_and(|max| !(1..=CLAIMS_MAX).contains(&max))
        {
            return Err(Error::invalid(
                "invalid_claims_max",
                format!("claimsMax must be 1 to {CLAIMS_MAX}: so many gateways may claim"),
            ));
        }
        let Some(expires_at) = self.expires_at else {
            return Ok(());
        };
        if expires_at <= now {
            return Err(Error::invalid(
                "invalid_expiry",
                "expiresAt is over already: give a time to come, or leave it out",
            ));
        }
        match too_far_ahead("expiresAt", expires_at, now) {
            Some(message) => Err(Error::invalid("time_too_far", message)),
            None => Ok(()),
        }
    }
}

impl Service {
    pub async fn create_provisioning_key(
        &self,
        caller: &Caller,
        details: ProvisioningKeyDetails,
    ) -> Result<NewProvisioningKey> {
        let now = self.clock.now();
        details.check(now)?;
        let secret = Secret::make(SecretKind::ProvisioningKey);
        let key = ProvisioningKey {
            key_id: self.clock.new_id(),
            name: details.name,
            hash: secret.hash(),
            device_type: details.device_type,
            claims_max: details.claims_max,
            claims: 0,
            created_by: made_by(caller),
            created_at: now,
            expires_at: details.expires_at,
            revoked_at: None,
        };
        let mut tx = self.db.begin().await?;
        match tx.insert_provisioning_key(&key).await {
            Err(store::Error::Duplicate) => {
                return Err(Error::conflict(
                    "name_taken",
                    format!(
                        "there is a provisioning key {:?} already: take another name, or revoke it",
                        key.name
                    ),
                ));
            }
            other => other?,
        }
        tx.audit(&caller.did(
            "provisioning_key.create",
            key.name.clone(),
            json!({
                "keyId": key.key_id,
                "deviceType": key.device_type,
                "claimsMax": key.claims_max,
                "expiresAt": key.expires_at,
            }),
            now,
        ))
        .await?;
        tx.close_doors(now).await?;
        tx.commit().await?;
        self.forget_credentials().await?;
        Ok(NewProvisioningKey { key, secret })
    }

    /// Keys made before `before`, the newest first.
    pub async fn provisioning_keys(
        &self,
        before: Uuid,
        limit: i64,
    ) -> Result<Page<ProvisioningKey>> {
        let mut tx = self.db.read().await?;
        let keys = tx.provisioning_keys(before, limit + 1).await?;
        Ok(Page::cut(keys, limit))
    }

    /// From now on nobody claims with it; gateways that have keep their tokens.
    pub async fn revoke_provisioning_key(
        &self,
        caller: &Caller,
        key_id: Uuid,
    ) -> Result<ProvisioningKey> {
        let mut tx = self.db.begin().await?;
        let key = tx.lock_provisioning_key(key_id).await?;
        let key = key.filter(|key| key.revoked_at.is_none());
        let mut key = key.ok_or_else(|| {
            Error::not_found(
                "provisioning_key_not_found",
                format!(
                    "there is no provisioning key {key_id} that is not revoked: GET \
                     /api/ota/provisioning-keys lists those there are"
                ),
            )
        })?;
        let now = self.clock.now();
        key.revoked_at = Some(now);
        tx.update_provisioning_key(&key).await?;
        tx.audit(&caller.did(
            "provisioning_key.revoke",
            key.name.clone(),
            json!({ "keyId": key_id, "claims": key.claims }),
            now,
        ))
        .await?;
        tx.commit().await?;
        self.forget_credentials().await?;
        Ok(key)
    }
}
