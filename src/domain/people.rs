//! People and machines: their tokens, users and logins.

use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use super::Role;

/// Characters of the name of a token or a user, at most.
pub const NAME_LENGTH_MAX: usize = 100;
pub const PASSWORD_LENGTH_MIN: usize = 12;
pub const PASSWORD_LENGTH_MAX: usize = 128;

/// Failed logins in a row that an account has free.
pub const ACCOUNT_FAILURES_FREE: i64 = 5;
/// Failed logins that an address has free: many people may be behind one.
pub const ADDRESS_FAILURES_FREE: i64 = 20;
/// Longest wait after failed logins.
pub const LOGIN_WAIT_MAX: TimeDelta = TimeDelta::minutes(15);

/// A person's or machine's token; its secret is nowhere kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    pub token_id: Uuid,
    pub name: String,
    pub role: Role,
    /// Who made it.
    pub created_by: String,
    pub created_at: DateTime<Utc>,
    /// None: never.
    pub expires_at: Option<DateTime<Utc>>,
    pub revoked_at: Option<DateTime<Utc>>,
    /// To about a minute.
    pub last_used_at: Option<DateTime<Utc>>,
}

/// Whether a token opens anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenState {
    Good,
    Expired,
    Revoked,
}

impl Token {
    pub fn state(&self, now: DateTime<Utc>) -> TokenState {
        match (self.revoked_at, self.expires_at) {
            (Some(_), _) => TokenState::Revoked,
            (None, Some(at)) if at <= now => TokenState::Expired,
            _ => TokenState::Good,
        }
    }
}

/// Somebody who logs in on the web page.
#[derive(Clone, PartialEq, Eq)]
pub struct User {
    pub user_id: Uuid,
    pub name: String,
    pub role: Role,
    /// argon2id in PHC form; none for who logs in by OpenID Connect alone.
    pub password_hash: Option<String>,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
    pub disabled_at: Option<DateTime<Utc>>,
}

impl std::fmt::Debug for User {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("User")
            .field("user_id", &self.user_id)
            .field("name", &self.name)
            .field("role", &self.role)
            .field("disabled_at", &self.disabled_at)
            .finish_non_exhaustive()
    }
}

/// Why this can't be a name, as the end of a sentence that begins with what is named.
pub fn check_name(name: &str) -> Result<(), String> {
    let fits = (1..=NAME_LENGTH_MAX).contains(&name.chars().count())
        && name.trim() == name
        && !name.chars().any(char::is_control);
    match fits {
        true => Ok(()),
        false => Err(format!(
            "must have 1 to {NAME_LENGTH_MAX} characters, none of them a control character, and no \
             blank at either end"
        )),
    }
}

/// Why this can't be a password. Length is what makes one good; nothing else is asked.
pub fn check_password(password: &str) -> Result<(), String> {
    let length = password.chars().count();
    match (PASSWORD_LENGTH_MIN..=PASSWORD_LENGTH_MAX).contains(&length) {
        true => Ok(()),
        false => Err(format!(
            "a password must have {PASSWORD_LENGTH_MIN} to {PASSWORD_LENGTH_MAX} characters: \
             several words are easy to keep in mind"
        )),
    }
}

/// How long the next login has to wait after so many failures, of which some were free.
pub fn login_wait(failures: i64, free: i64) -> TimeDelta {
    let beyond = failures - free;
    if beyond < 0 {
        return TimeDelta::zero();
    }
    let seconds = 1_i64 << beyond.min(20);
    TimeDelta::seconds(seconds).min(LOGIN_WAIT_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_after_the_free_failures_up_to_the_longest() {
        let waits: Vec<i64> = (1..=17)
            .map(|failures| login_wait(failures, 5).num_seconds())
            .collect();
        assert_eq!(
            waits,
            [
                0, 0, 0, 0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900, 900
            ]
        );
        assert_eq!(login_wait(i64::MAX, 5), LOGIN_WAIT_MAX);
    }

    #[test]
    fn names_and_passwords_have_lengths() {
        for name in ["ci", "Zoë Müller", &"x".repeat(100)] {
            assert_eq!(check_name(name), Ok(()), "{name}");
        }
        for name in ["", " ci", "ci ", "a\nb", "a\0", &"x".repeat(101)] {
            assert!(check_name(name).is_err(), "{name:?}");
        }
        assert!(check_password("elevenchars").is_err());
        assert_eq!(check_password("zwölf zeichn"), Ok(()));
        assert_eq!(check_password(&"ü".repeat(128)), Ok(()));
        assert!(check_password(&"u".repeat(129)).is_err());
    }

    #[test]
    fn a_user_is_shown_without_the_hash_of_the_password() {
        let user = User {
            user_id: Uuid::nil(),
            name: "ann".to_owned(),
            role: Role::Admin,
            password_hash: Some("$argon2id$x".to_owned()),
            created_at: DateTime::UNIX_EPOCH,
            updated_at: DateTime::UNIX_EPOCH,
            disabled_at: None,
        };
        assert!(!format!("{user:?}").contains("argon2id"));
    }
}
