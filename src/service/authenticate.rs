use std::{
    collections::HashMap,
    fmt,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use super::{Error, Result, Service};
use crate::domain::{Actor, secret_hash};

/// How long a credential that was looked up counts as good: so long may another server's revocation
/// take to be felt here.
pub const CREDENTIAL_KEPT: Duration = Duration::from_secs(1);
/// Credentials remembered at most.
const CREDENTIALS_MAX: usize = 10_000;
/// Between two notes of a token's use, at least.
const USE_NOTED_EVERY: TimeDelta = TimeDelta::minutes(1);
const USE_REMEMBERED: TimeDelta = TimeDelta::hours(1);

/// What who comes shows.
#[derive(Clone, Copy, Default)]
pub struct Presented<'p> {
    /// Of `Authorization: Bearer`.
    pub token: Option<&'p str>,
    /// Of the web page's cookie.
    pub session: Option<&'p str>,
    /// The gateway named by a certificate that the device CA has signed.
    pub certified_gateway: Option<&'p str>,
}

/// What is known of credentials without asking the database.
#[derive(Default)]
pub(super) struct Credentials {
    closed: AtomicBool,
    /// By the credential's hash.
    known: Mutex<HashMap<String, (Instant, Actor)>>,
    /// By the token's id.
    uses: Mutex<HashMap<Uuid, TokenUse>>,
}

/// When a token was used last, as far as this server knows.
#[derive(Clone, Copy)]
struct TokenUse {
    used_at: DateTime<Utc>,
    noted_at: Option<DateTime<Utc>>,
}

impl fmt::Debug for Presented<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Presented")
            .field("token", &self.token.is_some())
            .field("session", &self.session.is_some())
            .field("certified_gateway", &self.certified_gateway)
            .finish()
    }
}

impl Credentials {
    fn recall(&self, hash: &str) -> Option<Actor> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let (looked_up, actor) = known.get(hash)?;
        (looked_up.elapsed() < CREDENTIAL_KEPT).then(|| actor.clone())
    }

    fn remember(&self, hash: String, actor: &Actor) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= CREDENTIALS_MAX {
            known.retain(|_, (looked_up, _)| looked_up.elapsed() < CREDENTIAL_KEPT);
        }
        if known.len() < CREDENTIALS_MAX {
            known.insert(hash, (Instant::now(), actor.clone()));
        }
    }

    fn note_use(&self, actor: &Actor, now: DateTime<Utc>) {
        let Actor::Token { token_id, .. } = actor else {
            return;
        };
        let mut uses = self.uses.lock().unwrap_or_else(PoisonError::into_inner);
        let noted_at = uses.get(token_id).and_then(|it| it.noted_at);
        let used_at = now;
        uses.insert(*token_id, TokenUse { used_at, noted_at });
    }

    /// The uses that are to be written, which then count as written.
    fn take_uses(&self, now: DateTime<Utc>) -> Vec<(Uuid, DateTime<Utc>)> {
        let mut uses = self.uses.lock().unwrap_or_else(PoisonError::into_inner);
        uses.retain(|_, it| now - it.used_at < USE_REMEMBERED);
        let mut due = Vec::new();
        for (token_id, it) in uses.iter_mut() {
            let is_new = it
                .noted_at
                .is_none_or(|at| at < it.used_at && now - at >= USE_NOTED_EVERY);
            if is_new {
                it.noted_at = Some(it.used_at);
                due.push((*token_id, it.used_at));
            }
        }
        due
    }
}

impl Service {
    /// Who shows this.
    pub async fn authenticate(&self, presented: Presented<'_>) -> Result<Actor> {
        if !self.is_closed() {
            return Ok(Actor::Anyone);
        }
        let key = match presented {
            Presented {
                token: Some(secret),
                ..
            }
            | Presented {
                certified_gateway: None,
                session: Some(secret),
                ..
            } => secret_hash(secret),
            Presented {
                certified_gateway: Some(gateway_id),
                ..
            } => format!("certificate:{gateway_id}"),
            _ => return Ok(Actor::Nobody),
        };
        if let Some(actor) = self.credentials.recall(&key) {
            return Ok(actor);
        }
        // Boxed: every request would carry the room that this takes.
        let actor = Box::pin(self.look_up(presented, &key)).await?;
        if actor != Actor::Nobody {
            self.credentials.remember(key, &actor);
        }
        Ok(actor)
    }

    /// `key` is the hash of the token or session.
    async fn look_up(&self, presented: Presented<'_>, key: &str) -> Result<Actor> {
        let now = self.clock.now();
        let mut tx = self.db.read().await?;
        if presented.token.is_some() {
            let actor = tx.actor_by_token(key, now).await?.ok_or_else(|| {
                Error::unauthenticated(
                    "invalid_token",
                    "this token is unknown, has expired or was revoked: ask an administrator for \
                     another",
                )
            })?;
            self.credentials.note_use(&actor, now);
            if matches!(actor, Actor::Gateway { .. }) {
                self.note_gateway_token_use(tx, key).await?;
            }
            return Ok(actor);
        }
        let Some(gateway_id) = presented.certified_gateway else {
            // One that has ended is as if there were no cookie.
            let actor = tx.actor_by_session(key, now).await?;
            return Ok(actor.unwrap_or(Actor::Nobody));
        };
        // A certificate is good until the gateway's access is taken away.
        if tx.is_gateway_revoked(gateway_id, now).await? {
            return Err(Error::unauthenticated(
                "gateway_revoked",
                format!(
                    "the access of gateway {gateway_id} was revoked: an administrator can give it \
                     a new token"
                ),
            ));
        }
        Ok(Actor::Gateway {
            gateway_id: gateway_id.to_owned(),
        })
    }

    /// Whether doors ask for credentials.
    pub fn is_closed(&self) -> bool {
        self.credentials.closed.load(Ordering::Relaxed)
    }

    /// Looks whether there is a credential by now; doors that are closed stay closed.
    pub async fn look_for_credentials(&self) -> Result<()> {
        if !self.is_closed() && self.db.read().await?.is_closed(self.clock.now()).await? {
            self.credentials.closed.store(true, Ordering::Relaxed);
            tracing::info!("there are credentials now: every door asks for one");
        }
        Ok(())
    }

    /// To be called after every change of credentials: this server feels it at once.
    pub async fn forget_credentials(&self) -> Result<()> {
        let known = &self.credentials.known;
        known.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.look_for_credentials().await
    }

    /// Writes down which tokens were used, each at most once a minute over all servers.
    pub async fn note_token_uses(&self) -> Result<usize> {
        let uses = self.credentials.take_uses(self.clock.now());
        if uses.is_empty() {
            return Ok(0);
        }
        let mut noted = 0;
        let mut tx = self.db.begin().await?;
        for (token_id, used_at) in uses {
            let written = tx
                .note_token_use(token_id, used_at, used_at - USE_NOTED_EVERY)
                .await?;
            noted += usize::from(written);
        }
        tx.commit().await?;
        Ok(noted)
    }
}
