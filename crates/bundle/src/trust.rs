//! Whom a device trusts.

use heapless::String;

/// Longest name of a key, bytes.
pub const KEY_NAME_BYTES_MAX: usize = 32;

/// A release key as a device knows it: an Ed25519 key with what OpenPGP says of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustedKey {
    pub name: String<KEY_NAME_BYTES_MAX>,
    pub public_key: [u8; 32],
    /// Of the OpenPGP v4 key or subkey that signs.
    pub fingerprint: [u8; 20],
    /// It signs from then on, Unix seconds.
    pub valid_from: i64,
    /// It signs no longer, Unix seconds.
    pub valid_until: Option<i64>,
}

impl TrustedKey {
    /// Whether what it signed at this time, Unix seconds, counts.
    pub fn is_valid_at(&self, signed_at: i64) -> bool {
        self.valid_from <= signed_at && self.valid_until.is_none_or(|until| signed_at < until)
    }
}
