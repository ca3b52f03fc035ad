//! Logins on the web page, which cost more the more of them fail.

use std::net::IpAddr;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;

use super::{Error, Presented, Result, Service};
use crate::{
    domain::{
        ACCOUNT_FAILURES_FREE, ADDRESS_FAILURES_FREE, Actor, AuditEntry, Caller, LOGIN_WAIT_MAX,
        NAME_LENGTH_MAX, Secret, SecretKind, User, login_wait, secret_hash,
    },
    store::Tx,
};

/// How long failures count after the last one.
const FAILURES_KEPT: TimeDelta = TimeDelta::hours(24);

/// A login that was let in.
#[derive(Clone, Debug)]
pub struct LogIn {
    pub user: User,
    /// For the cookie, and nowhere else.
    pub secret: Secret,
    pub expires_at: DateTime<Utc>,
}

/// Until when a credential is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CredentialEnd {
    /// None: for ever.
    pub expires_at: Option<DateTime<Utc>>,
}

/// Whose failed logins are counted, and how many are free.
type Subject = (String, i64);

/// The subject of failures of an account, whether there is one of this name or not.
pub(super) fn account(name: &str) -> String {
    let name: String = name.chars().take(NAME_LENGTH_MAX).collect();
    format!("account:{name}")
}

/// Of an address; who has one of IPv6 has 2⁶⁴.
fn address(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(address) => format!("address:{address}"),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            format!("address:{a:x}:{b:x}:{c:x}:{d:x}::/64")
        }
    }
}

/// Accounts first, so that two logins never wait for each other in a circle. All who come through a
/// proxy on this machine may have the address of this machine: it is not counted.
pub(super) fn subjects(name: Option<&str>, from: Option<IpAddr>) -> Vec<Subject> {
    let account = name.map(|name| (account(name), ACCOUNT_FAILURES_FREE));
    let from = from.filter(|from| !from.to_canonical().is_loopback());
    let address = from.map(|from| (address(from), ADDRESS_FAILURES_FREE));
    [account, address].into_iter().flatten().collect()
}

impl Service {
    /// Lets somebody in by name and password.
    pub async fn log_in(&self, caller: &Caller, name: &str, password: String) -> Result<LogIn> {
        let subjects = subjects(Some(name), caller.address);
        self.count_attempt(&subjects).await?;
        let user = self.db.read().await?.user_by_name(name).await?;
        let hash = user.as_ref().and_then(|user| user.password_hash.clone());
        let fits = match self.passwords.verify(password, hash).await {
            Ok(fits) => fits,
            Err(error) => {
                self.take_back_attempt(&subjects).await?;
                return Err(error);
            }
        };
        let user = user.filter(|user| fits && user.disabled_at.is_none());
        let Some(user) = user else {
            self.refuse_log_in(caller, name).await?;
            return Err(Error::unauthenticated(
                "log_in_failed",
                "name or password is wrong, or the user is disabled",
            ));
        };
        let mut tx = self.db.begin().await?;
        // The hash may be another since, or the user may be gone.
        let same = tx.lock_user(user.user_id).await?.filter(|it| *it == user);
        let Some(user) = same else {
            drop(tx);
            self.refuse_log_in(caller, name).await?;
            return Err(Error::unauthenticated(
                "log_in_failed",
                "the user was changed at this moment: try again",
            ));
        };
        forgive(&mut tx, &subjects, self.clock.now()).await?;
        let (secret, expires_at) = self
            .begin_session(&mut tx, caller.address, &user, "password")
            .await?;
        tx.commit().await?;
        tracing::info!(user = user.name, "logged in");
        Ok(LogIn {
            user,
            secret,
            expires_at,
        })
    }

    /// A session with a secret of its own; the line in the audit log is written, too. `by` says how
    /// the user was known.
    pub(super) async fn begin_session(
        &self,
        tx: &mut Tx,
        address: Option<IpAddr>,
        user: &User,
        by: &str,
    ) -> Result<(Secret, DateTime<Utc>)> {
        let now = self.clock.now();
        let secret = Secret::make(SecretKind::Session);
        let expires_at = now + self.settings.session_lifetime;
        tx.insert_user_session(&secret.hash(), user.user_id, now, expires_at)
            .await?;
        tx.audit(&AuditEntry {
            caller: Caller {
                actor: actor(user),
                address,
            },
            action: "session.log_in",
            subject: user.name.clone(),
            detail: json!({ "by": by }),
            created_at: now,
        })
        .await?;
        Ok((secret, expires_at))
    }

    /// Ends the session that a cookie is of.
    pub async fn log_out(&self, caller: &Caller, session: &str) -> Result<()> {
        let mut tx = self.db.begin().await?;
        if tx.delete_user_session(&secret_hash(session)).await? {
            tx.audit(&caller.did(
                "session.log_out",
                caller.actor.name().unwrap_or_default().to_owned(),
                json!({}),
                self.clock.now(),
            ))
            .await?;
        }
        tx.commit().await?;
        self.forget_credentials().await
    }

    /// Until when what who comes shows is good, as [`Service::authenticate`] found out.
    pub async fn credential_end(
        &self,
        presented: Presented<'_>,
        actor: &Actor,
    ) -> Result<CredentialEnd> {
        let mut tx = self.db.read().await?;
        let expires_at = match (actor, presented.session) {
            (Actor::Token { token_id, .. }, _) => {
                let token = tx.token(*token_id).await?;
                token.and_then(|token| token.expires_at)
            }
            (Actor::User { .. }, Some(session)) => {
                tx.user_session_end(&secret_hash(session)).await?
            }
            _ => None,
        };
        Ok(CredentialEnd { expires_at })
    }

    /// Gives who is logged in another password; all sessions end but a new one for who asks.
    pub async fn change_own_password(
        &self,
        caller: &Caller,
        old: String,
        new: String,
    ) -> Result<LogIn> {
        let Actor::User { user_id, name, .. } = &caller.actor else {
            return Err(Error::forbidden(
                "no_password",
                "only who is logged in as a user has a password to change",
            ));
        };
        // Whoever took over a session must not guess faster than who has none.
        let subjects = subjects(Some(name), caller.address);
        self.count_attempt(&subjects).await?;
        let user = self.db.read().await?.user_by_name(name).await?;
        let hash = user.and_then(|user| user.password_hash);
        let fits = self.passwords.verify(old, hash.clone()).await?;
        if !fits {
            self.refuse_log_in(caller, name).await?;
            return Err(Error::forbidden(
                "wrong_password",
                "the old password is not the one that this user has",
            ));
        }
        let new_hash = self.new_password(new).await;
        let now = self.clock.now();
        let mut tx = self.db.begin().await?;
        forgive(&mut tx, &subjects, now).await?;
        let new_hash = match new_hash {
            Ok(new_hash) => new_hash,
            Err(error) => {
                tx.commit().await?;
                return Err(error);
            }
        };
        let user = tx.lock_user(*user_id).await?;
        let user = user.filter(|user| user.password_hash == hash && user.disabled_at.is_none());
        let mut user = user.ok_or_else(|| {
            Error::conflict(
                "user_changed",
                "the user was changed at this moment: log in and try again",
            )
        })?;
        user.password_hash = Some(new_hash);
        user.updated_at = now;
        tx.update_user(&user).await?;
        tx.delete_user_sessions(user.user_id).await?;
        tx.audit(&caller.did(
            "user.change_own_password",
            user.name.clone(),
            json!({ "userId": user.user_id }),
            now,
        ))
        .await?;
        let (secret, expires_at) = self
            .begin_session(&mut tx, caller.address, &user, "password")
            .await?;
        tx.commit().await?;
        self.forget_credentials().await?;
        Ok(LogIn {
            user,
            secret,
            expires_at,
        })
    }

    /// Counts an attempt as failed until it succeeds, so that many at once are no way around the
    /// wait. Refuses it, before anything costly, while the account or the address has to wait.
    pub(super) async fn count_attempt(&self, subjects: &[Subject]) -> Result<()> {
        let now = self.clock.now();
        let mut tx = self.db.read().await?;
        for (subject, _) in subjects {
            let until = tx.login_blocked_until(subject).await?;
            refuse_until(until.unwrap_or(now), now)?;
        }
        drop(tx);
        let mut tx = self.db.begin().await?;
        for (subject, free) in subjects {
            let (failures, blocked_until) = tx.lock_login_failures(subject, now).await?;
            refuse_until(blocked_until, now)?;
            let failures = failures.saturating_add(1);
            let blocked_until = now + login_wait(failures, *free);
            tx.put_login_failures(subject, failures, blocked_until, now)
                .await?;
        }
        tx.commit().await?;
        Ok(())
    }

    /// Of an attempt that came to nothing through no fault of who tried.
    async fn take_back_attempt(&self, subjects: &[Subject]) -> Result<()> {
        let now = self.clock.now();
        let mut tx = self.db.begin().await?;
        for (subject, _) in subjects {
            take_back(&mut tx, subject, now).await?;
        }
        Ok(tx.commit().await?)
    }

    pub(super) async fn refuse_log_in(&self, caller: &Caller, name: &str) -> Result<()> {
        let name: String = name.chars().take(NAME_LENGTH_MAX).collect();
        let mut tx = self.db.begin().await?;
        tx.audit(&caller.did("session.log_in_failed", name, json!({}), self.clock.now()))
            .await?;
        tx.commit().await?;
        tracing::warn!(address = ?caller.address, "a login failed");
        Ok(())
    }

    /// Sessions that have ended and failures that count no more go.
    pub async fn sweep_sessions(&self) -> Result<u64> {
        let now = self.clock.now();
        let mut tx = self.db.begin().await?;
        let sessions = tx.delete_expired_user_sessions(now).await?;
        let failures = tx.delete_old_login_failures(now - FAILURES_KEPT).await?;
        tx.commit().await?;
        Ok(sessions + failures)
    }
}

pub(super) fn actor(user: &User) -> Actor {
    Actor::User {
        user_id: user.user_id,
        name: user.name.clone(),
        role: user.role,
    }
}

/// A success: the account begins anew, the address is given back this attempt alone, since others
/// are behind it.
pub(super) async fn forgive(tx: &mut Tx, subjects: &[Subject], now: DateTime<Utc>) -> Result<()> {
    for (subject, _) in subjects {
        match subject.starts_with("account:") {
            true => tx.delete_login_failures(subject).await?,
            false => take_back(tx, subject, now).await?,
        }
    }
    Ok(())
}

async fn take_back(tx: &mut Tx, subject: &str, now: DateTime<Utc>) -> Result<()> {
    let (failures, _) = tx.lock_login_failures(subject, now).await?;
    match failures {
        ..=1 => tx.delete_login_failures(subject).await?,
        failures => {
            tx.put_login_failures(subject, failures - 1, now, now)
                .await?;
        }
    }
    Ok(())
}

fn refuse_until(blocked_until: DateTime<Utc>, now: DateTime<Utc>) -> Result<()> {
    // A clock that was set back must not make it longer.
    let left = (blocked_until - now).min(LOGIN_WAIT_MAX);
    if left <= TimeDelta::zero() {
        return Ok(());
    }
    let seconds = u64::try_from(left.num_milliseconds()).map_or(1, |left| left.div_ceil(1000));
    Err(Error::TooMany {
        code: "too_many_log_ins",
        message: format!("too many logins have failed: try again in {seconds} s"),
        retry_after_seconds: seconds,
    })
}
