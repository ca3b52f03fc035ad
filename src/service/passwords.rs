use std::{sync::Arc, time::Duration};

use argon2::{
    Algorithm, Argon2, Params, PasswordHash, PasswordHasher, PasswordVerifier, Version,
    password_hash::SaltString,
};
use base64ct::{Base64Unpadded, Encoding};
use tokio::{sync::Semaphore, time::timeout};

use super::{Error, Result, trust::blocking};

/// OWASP's parameters of argon2id: KiB, passes, lanes.
const MEMORY_KIB: u32 = 19_456;
const PASSES: u32 = 2;
const LANES: u32 = 1;
const SALT_BYTES: usize = 16;
const HASH_BYTES: usize = 32;
/// Each takes its memory, so that logins can't eat the server's.
const HASHES_AT_ONCE: usize = 4;
const HASH_WAIT_MAX: Duration = Duration::from_secs(10);

/// Turns for the hashing of passwords.
pub(super) struct Passwords {
    turns: Arc<Semaphore>,
}

impl Default for Passwords {
    fn default() -> Self {
        Passwords {
            turns: Arc::new(Semaphore::new(HASHES_AT_ONCE)),
        }
    }
}

impl Passwords {
    /// What is kept of a password, in PHC form.
    pub async fn hash(&self, password: String) -> Result<String> {
        self.in_turn(move || {
            let salt = Base64Unpadded::encode_string(&rand::random::<[u8; SALT_BYTES]>());
            let salt = SaltString::from_b64(&salt).expect("16 bytes are a salt");
            let hash = argon2id().hash_password(password.as_bytes(), &salt);
            hash.expect("its parameters are good").to_string()
        })
        .await
    }

    /// Whether this is the password; without a hash it takes as long to say no.
    pub async fn verify(&self, password: String, hash: Option<String>) -> Result<bool> {
        let hash = hash.unwrap_or_else(hash_of_nothing);
        self.in_turn(move || {
            PasswordHash::new(&hash).is_ok_and(|hash| {
                argon2id()
                    .verify_password(password.as_bytes(), &hash)
                    .is_ok()
            })
        })
        .await
    }

    async fn in_turn<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T> {
        let turn = timeout(HASH_WAIT_MAX, Arc::clone(&self.turns).acquire_owned()).await;
        let Ok(Ok(turn)) = turn else {
            return Err(Error::busy(
                "too_many_logins",
                "more people log in right now than this server takes on: try again in a moment",
            ));
        };
        // With the work, which goes on when who waits for it has gone.
        Ok(blocking(move || {
            let _turn = turn;
            work()
        })
        .await)
    }
}

fn argon2id() -> Argon2<'static> {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, Some(HASH_BYTES));
    let params = params.expect("its parameters are good");
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
}

/// Of no password, with the same parameters.
fn hash_of_nothing() -> String {
    let salt = Base64Unpadded::encode_string(&[0; SALT_BYTES]);
    let hash = Base64Unpadded::encode_string(&[0; HASH_BYTES]);
    format!("$argon2id$v=19$m={MEMORY_KIB},t={PASSES},p={LANES}${salt}${hash}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_password_fits_its_hash_and_no_other() {
        let passwords = Passwords::default();
        let hash = passwords.hash("correct horse".to_owned()).await.unwrap();
        assert!(
            hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"),
            "{hash}"
        );
        let again = passwords.hash("correct horse".to_owned()).await.unwrap();
        assert_ne!(hash, again, "each has its salt");
        let fits = async |password: &str, hash: Option<&str>| {
            let hash = hash.map(str::to_owned);
            passwords.verify(password.to_owned(), hash).await.unwrap()
        };
        assert!(fits("correct horse", Some(&hash)).await);
        assert!(!fits("correct horsf", Some(&hash)).await);
        assert!(!fits("", None).await);
    }

    #[test]
    fn who_has_no_password_costs_what_a_wrong_one_costs() {
        let nothing = hash_of_nothing();
        let parsed = PasswordHash::new(&nothing).unwrap();
        let params = Params::try_from(&parsed).unwrap();
        assert_eq!(params, *argon2id().params());
    }
}
