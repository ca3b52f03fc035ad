use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;
use uuid::Uuid;

use super::{Error, Page, Result, Service, trigger_upgrade::check_gateway_id};
use crate::{
    domain::{
        AuditEntry, Caller, GRACE_MAX, GatewayToken, Secret, SecretKind, ends_of_predecessors,
        mosquitto_hash,
    },
    store::{BrokerLogin, Tx},
};

/// How exactly it is known when a token was last used.
const USE_NOTED: TimeDelta = TimeDelta::days(1);
/// Tokens that are stored together.
const TOKENS_PER_BATCH: usize = 1000;

/// Which gateways a token may be made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenIssue {
    /// One without a token.
    First,
    /// One that has a token.
    Rotation,
    /// Either.
    Any,
}

/// A token that was just made, with what is shown once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewGatewayToken {
    pub token: GatewayToken,
    pub secret: Secret,
    /// Until when the token before it is good, if it is not used before.
    pub predecessor_ends_at: Option<DateTime<Utc>>,
}

/// A line of a list of gateways that get tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GatewayIdLine {
    /// From 1.
    pub line: u64,
    pub gateway_id: String,
}

/// As rows that somebody makes name who made them.
pub(super) fn made_by(caller: &Caller) -> String {
    let actor = &caller.actor;
    actor.name().unwrap_or(actor.kind()).to_owned()
}

fn in_line(line: u64, why: impl std::fmt::Display) -> Error {
    Error::invalid("invalid_csv", format!("line {line}: {why}"))
}

fn has_token(gateway_id: &str) -> String {
    format!(
        "gateway {gateway_id} has a token already: rotate it (airlift gateway rotate), or revoke it \
         first"
    )
}

impl Service {
    /// Makes a gateway's token; the one before it stays good until the new one is first used, at
    /// latest for `grace`. The gateway need not be known.
    pub async fn issue_gateway_token(
        &self,
        caller: &Caller,
        gateway_id: &str,
        issue: TokenIssue,
        grace: Option<TimeDelta>,
    ) -> Result<NewGatewayToken> {
        check_gateway_id(gateway_id)?;
        let grace = grace.unwrap_or(GRACE_MAX);
        if grace < TimeDelta::zero() || grace > GRACE_MAX {
            return Err(Error::invalid(
                "invalid_grace",
                format!(
                    "graceSeconds must be 0 to {}: so long the old token stays good",
                    GRACE_MAX.num_seconds()
                ),
            ));
        }
        let secret = Secret::make(SecretKind::GatewayToken);
        let mosquitto_hash = mosquitto_hash(secret.reveal());
        let mut tx = self.db.begin().await?;
        let tokens = tx.lock_gateway_tokens(gateway_id).await?;
        let now = self.clock.now();
        let has_one = tokens.iter().any(|token| token.is_good(now));
        match issue {
            TokenIssue::First if has_one => {
                return Err(Error::conflict("gateway_has_token", has_token(gateway_id)));
            }
            TokenIssue::Rotation if !has_one => return Err(no_token(gateway_id)),
            _ => {}
        }
        let ends = ends_of_predecessors(&tokens, now, grace);
        for (token_id, at) in &ends {
            tx.end_gateway_token(*token_id, *at).await?;
        }
        let token = GatewayToken {
            token_id: self.clock.new_id(),
            gateway_id: gateway_id.to_owned(),
            hash: secret.hash(),
            mosquitto_hash,
            provisioning_key_id: None,
            created_by: made_by(caller),
            created_at: now,
            expires_at: None,
            revoked_at: None,
            last_used_at: None,
        };
        tx.insert_gateway_tokens(std::slice::from_ref(&token))
            .await?;
        let predecessor_ends_at = ends.iter().map(|(_, at)| *at).max();
        tx.audit(&caller.did(
            match has_one {
                true => "gateway_token.rotate",
                false => "gateway_token.create",
            },
            gateway_id.to_owned(),
            match predecessor_ends_at {
                Some(at) => json!({ "tokenId": token.token_id, "predecessorEndsAt": at }),
                None => json!({ "tokenId": token.token_id }),
            },
            now,
        ))
        .await?;
        tx.close_doors(now).await?;
        tx.commit().await?;
        self.forget_credentials().await?;
        Ok(NewGatewayToken {
            token,
            secret,
            predecessor_ends_at,
        })
    }

    /// Makes first tokens of many gateways, all or none; by id.
    pub async fn add_gateway_tokens(
        &self,
        caller: &Caller,
        lines: Vec<GatewayIdLine>,
    ) -> Result<Vec<(String, Secret)>> {
        let mut line_of = BTreeMap::new();
        for GatewayIdLine { line, gateway_id } in lines {
            check_gateway_id(&gateway_id).map_err(|error| in_line(line, error))?;
            if let Some(before) = line_of.insert(gateway_id.clone(), line) {
                let why =
                    format!("{gateway_id} stands in line {before} already: leave one of them");
                return Err(in_line(line, why));
            }
        }
        let ids: BTreeSet<String> = line_of.keys().cloned().collect();
        // Before the transaction: it takes its time.
        let made = tokio::task::spawn_blocking(move || {
            let make = |gateway_id| {
                let secret = Secret::make(SecretKind::GatewayToken);
                let mosquitto_hash = mosquitto_hash(secret.reveal());
                (gateway_id, secret, mosquitto_hash)
            };
            ids.into_iter().map(make).collect::<Vec<_>>()
        });
        let made = made.await.expect("hashing does not panic");
        let mut tx = self.db.begin().await?;
        tx.lock_all_gateway_tokens().await?;
        let now = self.clock.now();
        let created_by = made_by(caller);
        for batch in made.chunks(TOKENS_PER_BATCH) {
            let ids = batch.iter().map(|(id, ..)| id.clone()).collect();
            if let Some(taken) = tx.gateways_with_tokens(&ids, now).await?.first() {
                return Err(in_line(line_of[taken], has_token(taken)));
            }
            let token =
                |(gateway_id, secret, mosquitto_hash): &(String, Secret, String)| GatewayToken {
                    token_id: self.clock.new_id(),
                    gateway_id: gateway_id.clone(),
                    hash: secret.hash(),
                    mosquitto_hash: mosquitto_hash.clone(),
                    provisioning_key_id: None,
                    created_by: created_by.clone(),
                    created_at: now,
                    expires_at: None,
                    revoked_at: None,
                    last_used_at: None,
                };
            let tokens: Vec<GatewayToken> = batch.iter().map(token).collect();
            tx.insert_gateway_tokens(&tokens).await?;
            let entry = |token: &GatewayToken| {
                caller.did(
                    "gateway_token.create",
                    token.gateway_id.clone(),
                    json!({ "tokenId": token.token_id, "list": made.len() }),
                    now,
                )
            };
            let entries: Vec<AuditEntry> = tokens.iter().map(entry).collect();
            tx.audit_all(&entries).await?;
        }
        if !made.is_empty() {
            tx.close_doors(now).await?;
        }
        tx.commit().await?;
        self.forget_credentials().await?;
        let shown = made.into_iter().map(|(id, secret, _)| (id, secret));
        Ok(shown.collect())
    }

    /// Ends all tokens of a gateway at once; how many.
    pub async fn revoke_gateway_tokens(&self, caller: &Caller, gateway_id: &str) -> Result<u64> {
        check_gateway_id(gateway_id)?;
        let mut tx = self.db.begin().await?;
        tx.lock_gateway_tokens(gateway_id).await?;
        let now = self.clock.now();
        let revoked = tx.revoke_gateway_tokens(gateway_id, now).await?;
        if revoked == 0 {
            return Err(no_token(gateway_id));
        }
        tx.audit(&caller.did(
            "gateway_token.revoke",
            gateway_id.to_owned(),
            json!({ "tokens": revoked }),
            now,
        ))
        .await?;
        tx.commit().await?;
        self.forget_credentials().await?;
        Ok(revoked)
    }

    /// A gateway's tokens, ended ones too, the oldest first.
    pub async fn gateway_tokens(&self, gateway_id: &str) -> Result<Vec<GatewayToken>> {
        check_gateway_id(gateway_id)?;
        Ok(self.db.read().await?.gateway_tokens(gateway_id).await?)
    }

    /// Tokens of all gateways made before `before`, the newest first.
    pub async fn all_gateway_tokens(&self, before: Uuid, limit: i64) -> Result<Page<GatewayToken>> {
        let mut tx = self.db.read().await?;
        let tokens = tx.all_gateway_tokens(before, limit + 1).await?;
        Ok(Page::cut(tokens, limit))
    }

    /// What an outside broker is told of the gateways with an id behind `after`, by id.
    pub async fn broker_logins(&self, after: &str, limit: i64) -> Result<Page<BrokerLogin>> {
        let mut tx = self.db.read().await?;
        let logins = tx.broker_logins(after, self.clock.now(), limit + 1).await?;
        Ok(Page::cut(logins, limit))
    }

    /// Notes a token's first use, which ends those before it, and later uses once a day. `tx` has
    /// found that it is good.
    pub(super) async fn note_gateway_token_use(&self, mut tx: Tx, hash: &str) -> Result<()> {
        let now = self.clock.now();
        let Some(noted) = tx.gateway_token_use(hash).await? else {
            return Ok(());
        };
        // Who waits for a connection holds none.
        drop(tx);
        if noted.is_some_and(|at| now - at < USE_NOTED) {
            return Ok(());
        }
        let noted = async {
            let mut tx = self.db.begin().await?;
            tx.note_gateway_token_use(hash, now).await?;
            tx.commit().await
        };
        // The gateway may come in all the same; its next use is noted.
        if let Err(error) = noted.await {
            tracing::warn!(%error, "the use of a gateway's token is not noted");
        }
        Ok(())
    }
}

fn no_token(gateway_id: &str) -> Error {
    Error::not_found(
        "gateway_token_not_found",
        format!("gateway {gateway_id} has no token that is good: airlift gateway add makes one"),
    )
}
