use base64ct::{Base64, Encoding};
use chrono::{DateTime, TimeDelta, Utc};
use rand::{TryRngCore, rngs::OsRng};
use sha2::Sha512;
use uuid::Uuid;

/// The longest that a token stays good beside the one that takes its place.
pub const GRACE_MAX: TimeDelta = TimeDelta::days(7);
/// As `mosquitto_passwd` has it. Tokens are random: no number of iterations makes them safer.
const MOSQUITTO_ITERATIONS: u32 = 101;
const MOSQUITTO_SALT_BYTES: usize = 12;
const MOSQUITTO_HASH_BYTES: usize = 64;

/// What a gateway shows itself with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GatewayToken {
    pub token_id: Uuid,
    pub gateway_id: String,
    /// SHA-256 (hex).
    pub hash: String,
    /// As a password file of Mosquitto has it.
    pub mosquitto_hash: String,
    /// The key it was claimed with.
    pub provisioning_key_id: Option<Uuid>,
    pub created_by: String,
    pub created_at: DateTime<Utc>,
    pub expires_at: Option<DateTime<Utc>>,
    pub revoked_at: Option<DateTime<Utc>>,
    /// To within a day; null until it is first used.
    pub last_used_at: Option<DateTime<Utc>>,
}

impl GatewayToken {
    pub fn is_good(&self, now: DateTime<Utc>) -> bool {
        self.revoked_at.is_none() && self.expires_at.is_none_or(|at| at > now)
    }
}

/// When the good tokens of a gateway end that gets a new one now. One stays good for `grace`: that
/// which was used last, else the newest. `tokens` are the oldest first.
pub fn ends_of_predecessors(
    tokens: &[GatewayToken],
    now: DateTime<Utc>,
    grace: TimeDelta,
) -> Vec<(Uuid, DateTime<Utc>)> {
    let good = || tokens.iter().filter(|token| token.is_good(now));
    let stays = good().max_by_key(|token| (token.last_used_at, token.created_at));
    let stays = stays.map(|token| token.token_id);
    good()
        .map(|token| {
            let end = match Some(token.token_id) == stays {
                true => now + grace.min(GRACE_MAX),
                false => now,
            };
            (token.token_id, token.expires_at.unwrap_or(end).min(end))
        })
        .collect()
}

/// What becomes of a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClaimDecision {
    /// The gateway has never had a token: it gets this one.
    Grant,
    /// It is what was granted before; the answer may have been lost.
    Granted,
    /// It has another token.
    AlreadyClaimed,
    /// An administrator took its access away.
    Revoked,
}

/// `hash` is that of the token that the gateway made itself.
pub fn decide_claim(
    tokens: &[GatewayToken],
    hash: Option<&str>,
    now: DateTime<Utc>,
) -> ClaimDecision {
    let mut good = tokens.iter().filter(|token| token.is_good(now)).peekable();
    if tokens.is_empty() {
        ClaimDecision::Grant
    } else if good.peek().is_none() {
        ClaimDecision::Revoked
    } else if good.any(|token| Some(token.hash.as_str()) == hash) {
        ClaimDecision::Granted
    } else {
        ClaimDecision::AlreadyClaimed
    }
}

/// What lets a fleet's new gateways claim tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProvisioningKey {
    pub key_id: Uuid,
    pub name: String,
    /// SHA-256 (hex).
    pub hash: String,
    /// Only gateways of this type; those not known yet become of it.
    pub device_type: Option<String>,
    /// Gateways that may claim with it.
    pub claims_max: Option<i64>,
    pub claims: i64,
    pub created_by: String,
    pub created_at: DateTime<Utc>,
    pub expires_at: Option<DateTime<Utc>>,
    pub revoked_at: Option<DateTime<Utc>>,
}

impl ProvisioningKey {
    pub fn is_good(&self, now: DateTime<Utc>) -> bool {
        self.revoked_at.is_none() && self.expires_at.is_none_or(|at| at > now)
    }
}

/// A token as a password file of Mosquitto has it: `$7$<iterations>$<salt>$<hash>`.
pub fn mosquitto_hash(token: &str) -> String {
    let mut salt = [0; MOSQUITTO_SALT_BYTES];
    OsRng
        .try_fill_bytes(&mut salt)
        .expect("the operating system has random numbers");
    salted(token, &salt)
}

fn salted(token: &str, salt: &[u8]) -> String {
    let mut hash = [0; MOSQUITTO_HASH_BYTES];
    pbkdf2::pbkdf2_hmac::<Sha512>(token.as_bytes(), salt, MOSQUITTO_ITERATIONS, &mut hash);
    format!(
        "$7${MOSQUITTO_ITERATIONS}${}${}",
        Base64::encode_string(salt),
        Base64::encode_string(&hash)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_770_000_000 + second, 0).unwrap()
    }

    fn token(n: u128) -> GatewayToken {
        GatewayToken {
            token_id: Uuid::from_u128(n),
            gateway_id: "G1".into(),
            hash: format!("hash {n}"),
            mosquitto_hash: String::new(),
            provisioning_key_id: None,
            created_by: "admin".into(),
            created_at: at(n as i64),
            expires_at: None,
            revoked_at: None,
            last_used_at: None,
        }
    }

    #[test]
    fn of_the_predecessors_the_one_in_use_stays_for_the_grace() {
        let grace = TimeDelta::seconds(60);
        let (one, two) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let ends = |tokens: &[GatewayToken], grace| ends_of_predecessors(tokens, at(10), grace);
        assert_eq!(ends(&[], grace), []);
        assert_eq!(ends(&[token(1)], grace), [(one, at(70))]);
        assert_eq!(ends(&[token(1)], TimeDelta::zero()), [(one, at(10))]);
        let week = TimeDelta::days(7);
        assert_eq!(
            ends(&[token(1)], TimeDelta::days(30)),
            [(one, at(10) + week)]
        );
        // Nobody has used the second: the gateway has the first.
        let used = GatewayToken {
            last_used_at: Some(at(5)),
            expires_at: Some(at(30)),
            ..token(1)
        };
        assert_eq!(
            ends(&[used, token(2)], grace),
            [(one, at(30)), (two, at(10))]
        );
        // Neither was used: the newest counts.
        assert_eq!(
            ends(&[token(1), token(2)], grace),
            [(one, at(10)), (two, at(70))]
        );
        let revoked = GatewayToken {
            revoked_at: Some(at(9)),
            ..token(1)
        };
        assert_eq!(ends(&[revoked, token(2)], grace), [(two, at(70))]);
    }

    #[test]
    fn a_gateway_claims_once_and_may_ask_again_for_the_same() {
        let revoked = |n| GatewayToken {
            revoked_at: Some(at(9)),
            ..token(n)
        };
        for (tokens, hash, decision) in [
            (vec![], None, ClaimDecision::Grant),
            (vec![], Some("hash 1"), ClaimDecision::Grant),
            (vec![token(1)], Some("hash 1"), ClaimDecision::Granted),
            (
                vec![token(1)],
                Some("hash 2"),
                ClaimDecision::AlreadyClaimed,
            ),
            (vec![token(1)], None, ClaimDecision::AlreadyClaimed),
            (vec![revoked(1)], Some("hash 1"), ClaimDecision::Revoked),
            (vec![revoked(1)], Some("hash 2"), ClaimDecision::Revoked),
            (
                vec![revoked(1), token(2)],
                Some("hash 1"),
                ClaimDecision::AlreadyClaimed,
            ),
        ] {
            assert_eq!(decide_claim(&tokens, hash, at(10)), decision, "{tokens:?}");
        }
    }

    /// By `mosquitto_passwd` 2.0.11.
    #[test]
    fn a_hash_is_as_mosquitto_makes_it() {
        let line = include_str!("gateway_token/mosquitto_passwords.txt");
        let (_, made) = line.trim_end().split_once(':').unwrap();
        let salt = Base64::decode_vec(made.split('$').nth(3).unwrap()).unwrap();
        assert_eq!(salted("alg_test", &salt), made);
        assert_ne!(mosquitto_hash("alg_test"), mosquitto_hash("alg_test"));
    }
}
