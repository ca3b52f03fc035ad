//! The first start on an address that others can reach.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;

use super::{Error, LogIn, NewUser, Result, Service, log_in, users::add_user};
use crate::domain::{Caller, Role, Secret, SecretKind, secret_hash};

/// For how long a link that makes the first administrator is good.
pub const SETUP_LINK_LIFETIME: TimeDelta = TimeDelta::hours(1);

/// What a server on an address that others can reach has to go by.
#[derive(Clone, Debug)]
pub enum FirstStart {
    /// There are credentials.
    Over,
    /// There are none, and a link that was made before is good until then.
    LinkWaits(DateTime<Utc>),
    /// There are none; this link makes the first administrator.
    LinkMade(Secret),
}

impl Service {
    /// What there is to know somebody by; makes a one-time link if there is nothing. While it is
    /// good every door asks.
    pub async fn first_start(&self, caller: &Caller) -> Result<FirstStart> {
        let now = self.clock.now();
        let mut tx = self.db.begin().await?;
        if tx.has_credentials(now).await? {
            return Ok(FirstStart::Over);
        }
        if let Some(end) = tx.newest_setup_link_end(now).await? {
            return Ok(FirstStart::LinkWaits(end));
        }
        let secret = Secret::make(SecretKind::SetupLink);
        let expires_at = now + SETUP_LINK_LIFETIME;
        tx.insert_setup_link(&secret.hash(), now, expires_at)
            .await?;
        tx.audit(&caller.did(
            "setup.create",
            "setup",
            json!({ "expiresAt": expires_at }),
            now,
        ))
        .await?;
        tx.commit().await?;
        self.forget_credentials().await?;
        Ok(FirstStart::LinkMade(secret))
    }

    /// From now on every door asks, whether there is a credential yet or not.
    pub async fn close_doors(&self) -> Result<()> {
        let mut tx = self.db.begin().await?;
        tx.close_doors(self.clock.now()).await?;
        tx.commit().await?;
        self.look_for_credentials().await
    }

    /// Links that wait make nobody an administrator any more, and close no door.
    pub async fn withdraw_setup_links(&self) -> Result<()> {
        let mut tx = self.db.begin().await?;
        tx.end_setup_links(self.clock.now()).await?;
        Ok(tx.commit().await?)
    }

    /// Makes the first administrator by a one-time link, and logs in.
    pub async fn set_up(
        &self,
        caller: &Caller,
        link: &str,
        name: String,
        password: String,
    ) -> Result<LogIn> {
        let subjects = log_in::subjects(None, caller.address);
        self.count_attempt(&subjects).await?;
        let hash = secret_hash(link);
        let mut tx = self.db.read().await?;
        let good = tx.setup_link_end(&hash, self.clock.now()).await?.is_some()
            && !tx.has_admin_user().await?;
        drop(tx);
        if !good {
            return Err(self.refuse_link(caller).await?);
        }
        let new = NewUser {
            name,
            role: Role::Admin,
            password,
        };
        let user = self.new_user(new).await?;
        let now = self.clock.now();
        let mut tx = self.db.begin().await?;
        if !tx.use_setup_link(&hash, now).await? || tx.has_admin_user().await? {
            drop(tx);
            return Err(self.refuse_link(caller).await?);
        }
        tx.end_setup_links(now).await?;
        add_user(&mut tx, caller, &user).await?;
        tx.audit(&caller.did(
            "setup.use",
            user.name.clone(),
            json!({ "userId": user.user_id }),
            now,
        ))
        .await?;
        log_in::forgive(&mut tx, &subjects, now).await?;
        let (secret, expires_at) = self
            .begin_session(&mut tx, caller.address, &user, "setup")
            .await?;
        tx.commit().await?;
        self.forget_credentials().await?;
        tracing::info!(user = user.name, "the first administrator is made");
        Ok(LogIn {
            user,
            secret,
            expires_at,
        })
    }

    /// Notes that a link was tried that is not good.
    async fn refuse_link(&self, caller: &Caller) -> Result<Error> {
        let mut tx = self.db.begin().await?;
        tx.audit(&caller.did("setup.use_failed", "setup", json!({}), self.clock.now()))
            .await?;
        tx.commit().await?;
        tracing::warn!(address = ?caller.address, "a setup link was tried that is not good");
        Ok(Error::forbidden(
            "invalid_setup_link",
            "this link is not good: it was used, has expired, or there is an administrator already; \
             airlift token create or airlift user create on the server makes a credential",
        ))
    }
}
