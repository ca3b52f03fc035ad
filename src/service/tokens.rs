use chrono::{DateTime, Utc};
use serde_json::json;
use uuid::Uuid;

use super::{Error, Page, Result, Service};
use crate::{
    domain::{Caller, Role, Secret, SecretKind, Token, check_name, too_far_ahead},
    store::{self, TokenFilter, Tx},
};

/// What is asked of a new token.
#[derive(Clone, Debug)]
pub struct NewToken {
    pub name: String,
    pub role: Role,
    /// None: never.
    pub expires_at: Option<DateTime<Utc>>,
}

/// Which token is meant.
#[derive(Clone, Debug)]
pub enum TokenRef {
    Id(Uuid),
    Name(String),
}

/// A change after which it may be that nobody is left who may do everything.
#[derive(Clone, Debug)]
pub struct Changed<T> {
    pub now: T,
    /// Whether an administrator is left, person or machine.
    pub admin_left: bool,
}

impl Service {
    /// Makes a token; its secret is in the answer and nowhere else.
    pub async fn create_token(&self, caller: &Caller, new: NewToken) -> Result<(Token, Secret)> {
        let now = self.clock.now();
        check_name(&new.name)
            .map_err(|why| Error::invalid("invalid_name", format!("name {why}")))?;
        if let Some(expires_at) = new.expires_at {
            let why = match expires_at <= now {
                true => Some("expiresAt has passed: name a time to come".to_owned()),
                false => too_far_ahead("expiresAt", expires_at, now),
            };
            if let Some(why) = why {
                return Err(Error::invalid("invalid_expires_at", why));
            }
        }
        let secret = Secret::make(SecretKind::Token);
        let token = Token {
            token_id: self.clock.new_id(),
            created_by: caller
                .actor
                .name()
                .unwrap_or(caller.actor.kind())
                .to_owned(),
            name: new.name,
            role: new.role,
            created_at: now,
            expires_at: new.expires_at,
            revoked_at: None,
            last_used_at: None,
        };
        let mut tx = self.db.begin().await?;
        tx.insert_token(&token, &secret.hash())
            .await
            .map_err(|error| match error {
                store::Error::Duplicate => Error::conflict(
                    "token_exists",
                    format!(
                        "there is a token named {:?} already: choose another name, or revoke that \
                         one first",
                        token.name
                    ),
                ),
                error => error.into(),
            })?;
        tx.close_doors(now).await?;
        tx.audit(&caller.did(
            "token.create",
            token.name.clone(),
            json!({
                "tokenId": token.token_id,
                "role": token.role.as_str(),
                "expiresAt": token.expires_at,
            }),
            now,
        ))
        .await?;
        tx.commit().await?;
        self.forget_credentials().await?;
        tracing::info!(token = token.name, role = token.role.as_str(), "token made");
        Ok((token, secret))
    }

    /// Newest first.
    pub async fn tokens(&self, mut filter: TokenFilter) -> Result<Page<Token>> {
        let limit = filter.limit;
        filter.limit += 1;
        let mut tx = self.db.read().await?;
        Ok(Page::cut(tx.tokens(&filter).await?, limit))
    }

    /// Ends a token, for ever. One that was revoked before stays as it is.
    pub async fn revoke_token(&self, caller: &Caller, token: TokenRef) -> Result<Changed<Token>> {
        let now = self.clock.now();
        let mut tx = self.db.begin().await?;
        let mut token = find(&mut tx, token).await?;
        if tx.revoke_token(token.token_id, now).await? {
            token.revoked_at = Some(now);
            tx.audit(&caller.did(
                "token.revoke",
                token.name.clone(),
                json!({ "tokenId": token.token_id, "role": token.role.as_str() }),
                now,
            ))
            .await?;
        }
        let admin_left = tx.has_admin(now).await?;
        tx.commit().await?;
        self.forget_credentials().await?;
        tracing::info!(token = token.name, "token revoked");
        Ok(Changed {
            now: token,
            admin_left,
        })
    }

    /// The time, for those who have to say whether a token has expired.
    pub fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }
}

async fn find(tx: &mut Tx, token: TokenRef) -> Result<Token> {
    let (found, what) = match token {
        TokenRef::Id(id) => (tx.token(id).await?, id.to_string()),
        TokenRef::Name(name) => (tx.token_by_name(&name).await?, format!("named {name:?}")),
    };
    found.ok_or_else(|| {
        Error::not_found(
            "token_not_found",
            format!("there is no token {what}: look at the list of tokens"),
        )
    })
}
