//! The login: HTTP Basic (RFC 7617) with the device password. Any user name will do, so that
//! `curl -u :password` and the browser's own dialog both work.

use core::hint::black_box;

use base64ct::{Base64, Encoding};

use super::failure::{Failure, Header};

/// Wrong passwords in a row before the device stops listening for a while.
const WRONG_MAX: u8 = 5;
/// That while, ms.
const BLOCK_MS: u64 = 30_000;
/// A password's longest length, bytes.
const PASSWORD_BYTES: usize = 64;
/// Room for decoded `user:password`, bytes.
const CREDENTIALS_BYTES: usize = 192;

/// Counts wrong passwords over all connections.
#[derive(Default)]
pub(super) struct Login {
    wrong: u8,
    blocked_until_ms: u64,
}

impl Login {
    /// Lets a request pass or says why not.
    ///
    /// The count of wrong passwords lasts until the right one comes: after the first pause each
    /// further wrong one makes another. While blocked, even the right one is not looked at, or
    /// guessing could go on.
    pub(super) fn check(
        &mut self,
        password: Option<&str>,
        authorization: Option<&str>,
        now_ms: u64,
    ) -> Result<(), Failure> {
        let Some(password) = password.filter(|password| !password.is_empty()) else {
            return Err(Failure::new(
                403,
                "No password set",
                "this device has no password, so it takes no uploads: provision one, then log in with it",
            ));
        };
        if now_ms < self.blocked_until_ms {
            let seconds = (self.blocked_until_ms - now_ms).div_ceil(1000);
            return Err(Failure::with(
                429,
                "Too many wrong passwords",
                "wait until the pause is over, then log in with the device password",
                Header::RetryAfter(seconds),
            ));
        }
        let Some(encoded) = authorization.and_then(basic) else {
            return Err(challenge(
                "log in with the device password, such as: curl -u :password",
            ));
        };
        if matches(encoded, password) {
            self.wrong = 0;
            return Ok(());
        }
        self.wrong = self.wrong.saturating_add(1);
        if self.wrong >= WRONG_MAX {
            self.blocked_until_ms = now_ms.saturating_add(BLOCK_MS);
        }
        Err(challenge("the password is wrong"))
    }
}

fn challenge(cause: &'static str) -> Failure {
    Failure::with(401, "Login required", cause, Header::Challenge)
}

/// The credentials of an `Authorization` header, if they are of the scheme `Basic`.
fn basic(authorization: &str) -> Option<&str> {
    let (scheme, encoded) = authorization.split_once(' ')?;
    scheme
        .eq_ignore_ascii_case("Basic")
        .then_some(encoded.trim())
}

fn matches(encoded: &str, password: &str) -> bool {
    let mut buffer = [0; CREDENTIALS_BYTES];
    let Ok(credentials) = Base64::decode(encoded, &mut buffer) else {
        return false;
    };
    let Some(colon) = credentials.iter().position(|byte| *byte == b':') else {
        return false;
    };
    equal(&credentials[colon + 1..], password.as_bytes())
}

/// Takes the same time wherever the two differ, so that it tells nothing about the password.
fn equal(given: &[u8], wanted: &[u8]) -> bool {
    let mut difference = u8::from(given.len() != wanted.len());
    for index in 0..PASSWORD_BYTES {
        let given = given.get(index).copied().unwrap_or(0);
        let wanted = wanted.get(index).copied().unwrap_or(0);
        difference = black_box(difference | (given ^ wanted));
    }
    difference == 0
}
