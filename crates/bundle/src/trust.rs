//! Whom a device trusts.

use core::{fmt, str::FromStr};

use heapless::String;

use crate::field;

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

/// One line, as a board is provisioned with it: name, public key and fingerprint in hex, the first
/// second in which it signs, and, if it ends, the first in which it does not. [`FromStr`] reads it.
impl fmt::Display for TrustedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The words of a line are told apart by spaces.
        for (at, word) in self.name.split_ascii_whitespace().enumerate() {
            f.write_str(if at == 0 { "" } else { "_" })?;
            f.write_str(word)?;
        }
        f.write_str(" ")?;
        self.public_key
            .iter()
            .try_for_each(|byte| write!(f, "{byte:02x}"))?;
        f.write_str(" ")?;
        self.fingerprint
            .iter()
            .try_for_each(|byte| write!(f, "{byte:02x}"))?;
        write!(f, " {}", self.valid_from)?;
        self.valid_until
            .map_or(Ok(()), |valid_until| write!(f, " {valid_until}"))
    }
}

/// The text is no key's line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoKey;

impl FromStr for TrustedKey {
    type Err = NoKey;

    fn from_str(line: &str) -> Result<Self, NoKey> {
        let mut words = line.split_ascii_whitespace();
        let mut next = || words.next().ok_or(NoKey);
        let key = TrustedKey {
            name: next()?.try_into().map_err(|_| NoKey)?,
            public_key: field::digest(next()?).ok_or(NoKey)?,
            fingerprint: field::digest(next()?).ok_or(NoKey)?,
            valid_from: next()?.parse().map_err(|_| NoKey)?,
            valid_until: words
                .next()
                .map(|word| word.parse().map_err(|_| NoKey))
                .transpose()?,
        };
        words.next().map_or(Ok(key), |_| Err(NoKey))
    }
}

#[cfg(all(test, feature = "std"))]
mod tests {
    use std::{string::ToString, vec::Vec};

    use super::*;

    fn key() -> TrustedKey {
        TrustedKey {
            name: "release".try_into().unwrap(),
            public_key: core::array::from_fn(|at| at as u8),
            fingerprint: [0xAB; 20],
            valid_from: 1_770_000_000,
            valid_until: None,
        }
    }

    #[test]
    fn a_key_is_one_line_and_comes_back() {
        let ends = TrustedKey {
            valid_until: Some(1_870_000_000),
            ..key()
        };
        for key in [key(), ends] {
            assert_eq!(key.to_string().parse(), Ok(key));
        }
        assert!(key().to_string().starts_with("release 000102"));
    }

    #[test]
    fn a_name_with_spaces_stays_one_word() {
        let mut key = key();
        key.name = " my  key ".try_into().unwrap();
        let parsed: TrustedKey = key.to_string().parse().unwrap();
        assert_eq!(parsed.name, "my_key");
    }

    #[test]
    fn a_line_that_is_short_long_or_garbled_is_no_key() {
        let line = key().to_string();
        let words: Vec<&str> = line.split(' ').collect();
        for count in 0..words.len() {
            assert_eq!(words[..count].join(" ").parse::<TrustedKey>(), Err(NoKey));
        }
        for (one, other) in [
            ("release", "a-name-that-is-longer-than-a-key-has"),
            ("0001", "001"),
            ("abab", "xbab"),
            ("1770000000", "soon"),
            ("1770000000", "1770000000 later"),
            ("1770000000", "1770000000 1870000000 more"),
        ] {
            let line = line.replacen(one, other, 1);
            assert_eq!(line.parse::<TrustedKey>(), Err(NoKey), "{line}");
        }
    }
}
