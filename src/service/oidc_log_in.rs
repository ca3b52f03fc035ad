//! Logins by OpenID Connect. What one is to fit stands in the browser's cookie, signed, so that any
//! server may end what another has begun.

use base64ct::{Base64UrlUnpadded, Encoding};
use chrono::{DateTime, TimeDelta, Utc};
use hmac::{Hmac, KeyInit, Mac};
use rand::{TryRngCore, rngs::OsRng};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::Sha256;

use super::{
    Error, LogIn, Result, Service,
    log_in::{forgive, subjects},
    users::add_user,
};
use crate::{
    domain::{Caller, Role, User, check_name, is_own_path, role_of},
    oidc::{self, Identity, OidcProvider, Proof},
    store::Tx,
};

/// Within this time a login is to come back from the provider.
pub const OIDC_LOG_IN_LIFETIME: TimeDelta = TimeDelta::minutes(10);
/// Of the key that cookies are signed with.
const SECRET_NAME: &str = "oidc_login";
const SECRET_BYTES: usize = 32;
/// Names tried for a new user: the first, and the first with a number.
const NAMES_MAX: usize = 100;
/// Of a provider's word for what went wrong.
const WORD_LENGTH_MAX: usize = 100;

/// Logins by a provider.
pub struct OidcLogIns {
    pub provider: OidcProvider,
    /// Of whom the provider gives none.
    pub default_role: Option<Role>,
    /// The claim that holds roles, for messages.
    pub role_claim: String,
}

/// A login on its way.
pub struct OidcDeparture {
    /// Where the browser is to go.
    pub url: String,
    /// What it is to bring back.
    pub cookie: String,
}

/// What the browser brings back from the provider.
#[derive(Clone, Debug, Default)]
pub struct OidcReturn {
    pub cookie: Option<String>,
    pub state: Option<String>,
    pub code: Option<String>,
    /// The provider's word for why there is no code.
    pub error: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct Ticket {
    #[serde(flatten)]
    proof: Proof,
    /// Where on this server to go on.
    next: String,
    expires_at: DateTime<Utc>,
}

impl Service {
    /// The same service, with a provider that people may log in with.
    pub fn with_oidc(mut self, log_ins: Option<OidcLogIns>) -> Service {
        self.oidc = log_ins;
        self
    }

    pub fn has_oidc(&self) -> bool {
        self.oidc.is_some()
    }

    /// Where there is a provider there are credentials: everybody whom it knows has one.
    pub async fn close_doors_for_oidc(&self) -> Result<()> {
        if self.oidc.is_some() {
            let mut tx = self.db.begin().await?;
            tx.close_doors(self.clock.now()).await?;
            tx.commit().await?;
        }
        Ok(())
    }

    /// Begins a login that is to go on to `next`, a path of this server.
    pub async fn begin_oidc_log_in(&self, next: Option<&str>) -> Result<OidcDeparture> {
        let log_ins = self.oidc_log_ins()?;
        let next = next.unwrap_or("/");
        if !is_own_path(next) {
            return Err(Error::invalid(
                "invalid_next",
                "next must be a path of this server, like /docs/",
            ));
        }
        let begun = log_ins.provider.begin().await.map_err(failure)?;
        let ticket = Ticket {
            proof: begun.proof,
            next: next.to_owned(),
            expires_at: self.clock.now() + OIDC_LOG_IN_LIFETIME,
        };
        let ticket = serde_json::to_vec(&ticket).map_err(|error| {
            Error::busy("log_in_failed", format!("the login can't be kept: {error}"))
        })?;
        let mut cookie = Base64UrlUnpadded::encode_string(&ticket);
        let signature = self.oidc_mac(&cookie).await?.finalize().into_bytes();
        cookie.push('.');
        cookie.push_str(&Base64UrlUnpadded::encode_string(&signature));
        Ok(OidcDeparture {
            url: begun.url,
            cookie,
        })
    }

    /// Lets in whom the provider vouches for; also says where to go on.
    pub async fn finish_oidc_log_in(
        &self,
        caller: &Caller,
        back: OidcReturn,
    ) -> Result<(LogIn, String)> {
        let log_ins = self.oidc_log_ins()?;
        let subjects = subjects(None, caller.address);
        self.count_attempt(&subjects).await?;
        let mut known = None;
        let done = self
            .try_oidc_log_in(caller, log_ins, back, &mut known)
            .await;
        if let Err(error @ (Error::Unauthenticated { .. } | Error::Forbidden { .. })) = &done {
            let subject = known
                .as_ref()
                .and_then(|known: &Identity| known.names.first());
            self.audit_oidc_refusal(caller, log_ins, subject, error)
                .await?;
            return done;
        }
        let mut tx = self.db.begin().await?;
        forgive(&mut tx, &subjects, self.clock.now()).await?;
        tx.commit().await?;
        done
    }

    async fn try_oidc_log_in(
        &self,
        caller: &Caller,
        log_ins: &OidcLogIns,
        back: OidcReturn,
        known: &mut Option<Identity>,
    ) -> Result<(LogIn, String)> {
        let ticket = self.read_ticket(back.cookie.as_deref()).await?;
        if back.state.as_deref() != Some(ticket.proof.state.as_str()) {
            return Err(refused(
                "the answer is not to the login that this browser began",
            ));
        }
        if let Some(word) = back.error {
            let word: String = word.chars().take(WORD_LENGTH_MAX).collect();
            return Err(refused(&format!("the provider says {word:?}")));
        }
        let code = back
            .code
            .ok_or_else(|| refused("the provider sent no code"))?;
        let now = self.clock.now();
        let finished = log_ins.provider.finish(code, ticket.proof, now).await;
        let identity = &*known.insert(finished.map_err(failure)?);
        let role = role_of(&identity.roles).or(log_ins.default_role);
        let role = role.ok_or_else(|| no_role(identity, &log_ins.role_claim))?;
        let mut tx = self.db.begin().await?;
        let user = self.oidc_user(&mut tx, caller, identity, role).await?;
        let by = format!("OpenID Connect, {}", identity.issuer);
        let (secret, expires_at) = self
            .begin_session(&mut tx, caller.address, &user, &by)
            .await?;
        tx.commit().await?;
        self.forget_credentials().await?;
        tracing::info!(user = user.name, issuer = identity.issuer, "logged in");
        let log_in = LogIn {
            user,
            secret,
            expires_at,
        };
        Ok((log_in, ticket.next))
    }

    /// The user of this identity, made at the first login; the role is what the provider says today.
    async fn oidc_user(
        &self,
        tx: &mut Tx,
        caller: &Caller,
        identity: &Identity,
        role: Role,
    ) -> Result<User> {
        let now = self.clock.now();
        let known = tx.oidc_user(&identity.issuer, &identity.subject).await?;
        let known = match known {
            Some(user_id) => tx.lock_user(user_id).await?,
            None => None,
        };
        let Some(mut user) = known else {
            let user = User {
                user_id: self.clock.new_id(),
                name: free_name(tx, identity).await?,
                role,
                password_hash: None,
                created_at: now,
                updated_at: now,
                disabled_at: None,
            };
            add_user(tx, caller, &user).await?;
            tx.link_oidc_user(user.user_id, &identity.issuer, &identity.subject)
                .await?;
            return Ok(user);
        };
        if user.disabled_at.is_some() {
            return Err(Error::forbidden(
                "user_disabled",
                format!("user {:?} is disabled: ask an administrator", user.name),
            ));
        }
        if user.role != role {
            tx.audit(&caller.did(
                "user.update",
                user.name.clone(),
                json!({
                    "userId": user.user_id,
                    "role": role.as_str(),
                    "roleBefore": user.role.as_str(),
                    "by": identity.issuer,
                }),
                now,
            ))
            .await?;
            user.role = role;
            user.updated_at = now;
            tx.update_user(&user).await?;
        }
        Ok(user)
    }

    async fn read_ticket(&self, cookie: Option<&str>) -> Result<Ticket> {
        let began_elsewhere =
            || refused("this browser has not begun a login here, or longer than 10 minutes ago");
        let (text, signature) = cookie
            .and_then(|cookie| cookie.split_once('.'))
            .ok_or_else(began_elsewhere)?;
        let signature = Base64UrlUnpadded::decode_vec(signature).map_err(|_| began_elsewhere())?;
        let mac = self.oidc_mac(text).await?;
        mac.verify_slice(&signature)
            .map_err(|_| began_elsewhere())?;
        let ticket = Base64UrlUnpadded::decode_vec(text).map_err(|_| began_elsewhere())?;
        let ticket: Ticket = serde_json::from_slice(&ticket).map_err(|_| began_elsewhere())?;
        match ticket.expires_at > self.clock.now() {
            true => Ok(ticket),
            false => Err(began_elsewhere()),
        }
    }

    async fn oidc_mac(&self, text: &str) -> Result<Hmac<Sha256>> {
        let mut fresh = [0; SECRET_BYTES];
        OsRng
            .try_fill_bytes(&mut fresh)
            .expect("the operating system has random numbers");
        let mut tx = self.db.begin().await?;
        tx.put_signing_secret(SECRET_NAME, &fresh, self.clock.now())
            .await?;
        let secret = tx.signing_secret(SECRET_NAME).await?.ok_or_else(|| {
            Error::busy("unavailable", "the key of logins was deleted: try again")
        })?;
        tx.commit().await?;
        let mut mac = Hmac::<Sha256>::new_from_slice(&secret)
            .unwrap_or_else(|_| unreachable!("HMAC takes keys of any length"));
        mac.update(text.as_bytes());
        Ok(mac)
    }

    async fn audit_oidc_refusal(
        &self,
        caller: &Caller,
        log_ins: &OidcLogIns,
        subject: Option<&String>,
        why: &Error,
    ) -> Result<()> {
        let mut tx = self.db.begin().await?;
        tx.audit(&caller.did(
            "session.log_in_failed",
            subject.cloned().unwrap_or_default(),
            json!({ "by": log_ins.provider.issuer(), "why": why.to_string() }),
            self.clock.now(),
        ))
        .await?;
        tx.commit().await?;
        tracing::warn!(address = ?caller.address, %why, "a login failed");
        Ok(())
    }

    fn oidc_log_ins(&self) -> Result<&OidcLogIns> {
        self.oidc.as_ref().ok_or_else(|| {
            Error::not_found(
                "no_login_provider",
                "this server has no OpenID Connect provider (--oidc-issuer): log in with a password",
            )
        })
    }
}

/// A name that nobody has: who comes from a provider never becomes somebody else by a name.
async fn free_name(tx: &mut Tx, identity: &Identity) -> Result<String> {
    let wanted = identity.names.iter().find(|name| check_name(name).is_ok());
    let wanted = wanted.map_or("user", String::as_str);
    for number in 1..=NAMES_MAX {
        let name = match number {
            1 => wanted.to_owned(),
            number => format!("{wanted} ({number})"),
        };
        if check_name(&name).is_ok() && tx.user_by_name(&name).await?.is_none() {
            return Ok(name);
        }
    }
    Err(Error::conflict(
        "user_exists",
        format!("too many users are called {wanted:?}: ask an administrator"),
    ))
}

fn refused(why: &str) -> Error {
    Error::unauthenticated("log_in_failed", format!("{why}: log in again"))
}

fn no_role(identity: &Identity, claim: &str) -> Error {
    let name = identity.names.first().unwrap_or(&identity.subject);
    Error::forbidden(
        "no_role",
        format!(
            "the provider knows you as {name:?} and gives you no role here: ask the administrator to \
             put airlift-viewer, airlift-publisher, airlift-operator or airlift-admin into your claim \
             {claim:?}, or to set --oidc-default-role"
        ),
    )
}

fn failure(error: oidc::Error) -> Error {
    match error {
        oidc::Error::Away(why) => {
            tracing::warn!(why, "no login by OpenID Connect");
            Error::busy(
                "login_provider_unavailable",
                format!("{why}: try again, or log in with a password"),
            )
        }
        oidc::Error::Refused(why) => refused(&why),
    }
}
