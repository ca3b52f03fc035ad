use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// `sha256=` and, in lower-case hex, the HMAC-SHA256 of `timestamp.body` under `secret`: the time
/// is signed too, so that a receiver can refuse an old request that somebody sends again.
pub fn signature(secret: &str, timestamp: i64, body: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes())
        .unwrap_or_else(|_| unreachable!("HMAC takes keys of any length"));
    mac.update(timestamp.to_string().as_bytes());
    mac.update(b".");
    mac.update(body.as_bytes());
    format!("sha256={}", hex::encode(mac.finalize().into_bytes()))
}
