use serde_json::json;

use super::{Error, Result, Service, gateway_tokens::made_by, trigger_upgrade::check_gateway_id};
use crate::{
    domain::{
        Caller, ClaimDecision, DEVICE_TYPE_DEFAULT, Gateway, GatewayToken, ProvisioningKey, Secret,
        SecretKind, decide_claim, mosquitto_hash, secret_hash,
    },
    store,
};

/// What a gateway gets for its provisioning key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claimed {
    /// Shown this once; `None` if the gateway made its token itself.
    pub secret: Option<Secret>,
}

impl Service {
    /// Gives a gateway that never had a token its first: `own`, which it made itself, else a new
    /// one. The same claim again has the same answer.
    pub async fn claim_gateway_token(
        &self,
        caller: &Caller,
        gateway_id: &str,
        provisioning_key: Option<&str>,
        own: Option<&str>,
    ) -> Result<Claimed> {
        check_gateway_id(gateway_id)?;
        if own.is_some_and(|own| !SecretKind::GatewayToken.fits(own)) {
            return Err(Error::invalid(
                "invalid_token_form",
                "the body's token must be alg_ and 32 random bytes as base64url without padding",
            ));
        }
        let key_hash = provisioning_key
            .filter(|key| SecretKind::ProvisioningKey.fits(key))
            .map(secret_hash)
            .ok_or_else(bad_key)?;
        // Whoever guesses does not keep the database's writer.
        if !self
            .db
            .read()
            .await?
            .has_provisioning_key(&key_hash)
            .await?
        {
            return Err(bad_key());
        }
        let made = match own {
            Some(_) => None,
            None => Some(Secret::make(SecretKind::GatewayToken)),
        };
        let text = own
            .or(made.as_ref().map(Secret::reveal))
            .unwrap_or_default();
        let mut token = GatewayToken {
            token_id: self.clock.new_id(),
            gateway_id: gateway_id.to_owned(),
            hash: secret_hash(text),
            mosquitto_hash: mosquitto_hash(text),
            provisioning_key_id: None,
            created_by: String::new(),
            created_at: self.clock.now(),
            expires_at: None,
            revoked_at: None,
            last_used_at: None,
        };
        let refused = match self.store_claim(caller, &key_hash, &mut token).await {
            Ok(()) => return Ok(Claimed { secret: made }),
            Err(refused) => refused,
        };
        if let Error::Forbidden { code, .. } | Error::Conflict { code, .. } = &refused {
            let mut tx = self.db.begin().await?;
            tx.audit(&caller.did(
                "gateway_token.claim",
                gateway_id.to_owned(),
                json!({ "refused": code }),
                self.clock.now(),
            ))
            .await?;
            tx.commit().await?;
        }
        Err(refused)
    }

    async fn store_claim(
        &self,
        caller: &Caller,
        key_hash: &str,
        token: &mut GatewayToken,
    ) -> Result<()> {
        let gateway_id = token.gateway_id.clone();
        let mut tx = self.db.begin().await?;
        // In this order, as all do who change tokens: the gateway's tokens, the key, the gateway.
        let tokens = tx.lock_gateway_tokens(&gateway_id).await?;
        let key = tx.lock_provisioning_key_by_hash(key_hash).await?;
        let mut key = key.ok_or_else(bad_key)?;
        let now = self.clock.now();
        let decision = decide_claim(&tokens, Some(&token.hash), now);
        // What was granted stays granted, whatever has become of the key.
        if decision == ClaimDecision::Granted {
            return Ok(());
        }
        if !key.is_good(now) {
            return Err(bad_key());
        }
        refuse(decision, &gateway_id)?;
        if key.claims_max.is_some_and(|max| key.claims >= max) {
            return Err(Error::forbidden(
                "claims_used_up",
                format!(
                    "provisioning key {} has been used {} times, which is its limit: ask an \
                     administrator for another",
                    key.name, key.claims
                ),
            ));
        }
        if let Some(device_type) = &key.device_type {
            let unknown = Gateway::new(&gateway_id, device_type, now);
            let gateway = tx.lock_gateway(&unknown).await?;
            if gateway.device_type != *device_type {
                return Err(wrong_type(&gateway, &key));
            }
        } else {
            let unknown = Gateway::new(&gateway_id, DEVICE_TYPE_DEFAULT, now);
            tx.lock_gateway(&unknown).await?;
        }
        key.claims += 1;
        tx.update_provisioning_key(&key).await?;
        token.provisioning_key_id = Some(key.key_id);
        token.created_by = format!("provisioning key {}", key.name);
        token.created_at = now;
        match tx.insert_gateway_tokens(std::slice::from_ref(token)).await {
            Err(store::Error::Duplicate) => {
                return Err(Error::conflict(
                    "token_taken",
                    "this token is another gateway's: each makes its own, from random bytes",
                ));
            }
            other => other?,
        }
        tx.audit(&caller.did(
            "gateway_token.claim",
            gateway_id,
            json!({
                "tokenId": token.token_id,
                "provisioningKey": key.name,
                "provisioningKeyId": key.key_id,
                "by": made_by(caller),
            }),
            now,
        ))
        .await?;
        tx.close_doors(now).await?;
        tx.commit().await?;
        self.forget_credentials().await
    }
}

fn refuse(decision: ClaimDecision, gateway_id: &str) -> Result<()> {
    match decision {
        ClaimDecision::Grant | ClaimDecision::Granted => Ok(()),
        ClaimDecision::AlreadyClaimed => Err(Error::conflict(
            "already_claimed",
            format!(
                "gateway {gateway_id} has another token: if it has lost that, an administrator \
                 gives it a new one (airlift gateway rotate {gateway_id})"
            ),
        )),
        ClaimDecision::Revoked => Err(Error::forbidden(
            "gateway_revoked",
            format!(
                "an administrator has revoked gateway {gateway_id}'s token: it can't claim another \
                 until one adds it (airlift gateway add {gateway_id})"
            ),
        )),
    }
}

fn bad_key() -> Error {
    Error::unauthenticated(
        "invalid_provisioning_key",
        "this is no provisioning key that is good: send Authorization: Bearer alp_… as airlift \
         provisioning-key create shows it",
    )
}

fn wrong_type(gateway: &Gateway, key: &ProvisioningKey) -> Error {
    Error::forbidden(
        "wrong_device_type",
        format!(
            "gateway {} is of the device type {}: provisioning key {} is for others",
            gateway.gateway_id, gateway.device_type, key.name
        ),
    )
}
