use std::{cmp::Ordering, fmt, str::FromStr};

/// Longest version, in bytes.
pub const VERSION_LENGTH_MAX: usize = 64;

/// What follows a number or word of a key's core, in rising order: a pre-release, nothing, a further
/// segment, letters behind the segment's number.
const PRE_RELEASE: char = '-';
const RELEASE: char = '.';
const SEGMENT: char = '/';
const SUFFIX: char = ':';
/// Before a number, and before a word: numbers are lower (SemVer 2.0, 11.4.3).
const NUMBER: char = '0';
const WORD: char = '1';
/// Ends a word of a key; lower than anything a word has.
const WORD_END: char = '!';
/// Letters that make what they stand before a release a pre-release, without a `-`, too.
const PRE_RELEASE_WORDS: [&str; 7] = ["alpha", "beta", "dev", "pre", "preview", "rc", "snapshot"];

/// A version of a package: SemVer's precedence where it is SemVer, and what people would expect
/// where it is not: `1.9` < `1.10`, `1.0` = `1.0.0`, `2026.11.2` < `2026.11.10`, `1.0-rc1` < `1.0`,
/// `1.0rc9` < `1.0rc10` < `1.0`, `1.0.2` < `1.0.2k` < `1.0.3`, `v1.2` = `1.2`.
///
/// Ordered by precedence; versions that differ in build metadata, trailing zeros or a leading `v`
/// alone are equal. Their texts need not be. SemVer compares words as text, so `1.0.0-rc10` is below
/// `1.0.0-rc9`; `1.0.0-rc.10` is what is meant.
#[derive(Clone, Debug)]
pub struct Version {
    text: String,
    key: String,
    numbers: Vec<u64>,
    is_pre_release: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is not a version: use 1 to {VERSION_LENGTH_MAX} of A-Z a-z 0-9 . _ ~ + - and begin with \
     a letter or digit"
)]
pub struct VersionError {
    text: String,
}

impl Version {
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Text that sorts, byte by byte, as versions do; equal for versions of equal precedence.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The leading numbers: 1, 2 and 3 of `1.2.3-rc.1`.
    pub fn numbers(&self) -> &[u64] {
        &self.numbers
    }

    pub fn is_pre_release(&self) -> bool {
        self.is_pre_release
    }
}

impl FromStr for Version {
    type Err = VersionError;

    fn from_str(text: &str) -> Result<Self, VersionError> {
        let fits = text.len() <= VERSION_LENGTH_MAX
            && text.starts_with(|c: char| c.is_ascii_alphanumeric())
            && text
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"._~+-".contains(&b));
        if !fits {
            return Err(VersionError {
                text: text.to_owned(),
            });
        }
        let is_semver = semver::Version::parse(text).is_ok();
        let without_build = text.split('+').next().unwrap_or_default();
        let without_v = match without_build.strip_prefix(['v', 'V']) {
            Some(rest) if rest.starts_with(|c: char| c.is_ascii_digit()) => rest,
            _ => without_build,
        };
        let (core, pre) = split_core(without_v);
        let mut segments: Vec<&str> = core.split(['.', '_']).collect();
        let numbers = segments.iter().map_while(|it| it.parse().ok()).collect();
        while segments.len() > 1 && segments.last().is_some_and(|it| is_zero(it)) {
            segments.pop();
        }
        let mut key = String::new();
        for (index, segment) in segments.iter().enumerate() {
            if index > 0 {
                key.push(SEGMENT);
            }
            push_segment(segment, &mut key);
        }
        match pre {
            None => key.push(RELEASE),
            Some(pre) => {
                key.push(PRE_RELEASE);
                for identifier in pre.split(['.', '_', '~']) {
                    match is_semver {
                        true => push_identifier(identifier, &mut key),
                        false => push_pieces(identifier, &mut key),
                    }
                }
            }
        }
        Ok(Version {
            text: text.to_owned(),
            key,
            numbers,
            is_pre_release: pre.is_some(),
        })
    }
}

/// Core and pre-release: at the first `-` or `~`, or, in `1.0rc1`, before the letters.
fn split_core(text: &str) -> (&str, Option<&str>) {
    if let Some((core, pre)) = text.split_once(['-', '~']) {
        return (core, Some(pre));
    }
    let last = text.rfind(['.', '_']).map_or(0, |at| at + 1);
    let digits = count(&text[last..], u8::is_ascii_digit);
    let letters = &text[last + digits..];
    let word = &letters[..count(letters, u8::is_ascii_alphabetic)];
    let is_pre = digits > 0
        && PRE_RELEASE_WORDS
            .iter()
            .any(|known| known.eq_ignore_ascii_case(word));
    match is_pre {
        true => (&text[..last + digits], Some(letters)),
        false => (text, None),
    }
}

/// How many bytes at the beginning are of a kind.
fn count(text: &str, is_of_kind: impl Fn(&u8) -> bool) -> usize {
    text.bytes().take_while(is_of_kind).count()
}

fn is_zero(segment: &str) -> bool {
    segment.bytes().all(|b| b == b'0')
}

/// Between dots of the core: a number, one with letters behind, or a word.
fn push_segment(segment: &str, key: &mut String) {
    let digits = count(segment, u8::is_ascii_digit);
    if digits > 0 || segment.is_empty() {
        key.push(NUMBER);
        push_number(&segment[..digits], key);
        if digits == segment.len() {
            return;
        }
        key.push(SUFFIX);
    }
    key.push(WORD);
    let mut rest = &segment[digits..];
    while !rest.is_empty() {
        let letters = count(rest, |b| !b.is_ascii_digit());
        key.push_str(&rest[..letters]);
        rest = &rest[letters..];
        let digits = count(rest, u8::is_ascii_digit);
        if digits > 0 {
            // Letters are none of these, so that `r0` is not `raa`.
            key.push(NUMBER);
            push_number(&rest[..digits], key);
            rest = &rest[digits..];
        }
    }
    key.push(WORD_END);
}

/// Of a pre-release, as SemVer has it: a number, or text.
fn push_identifier(identifier: &str, key: &mut String) {
    if !identifier.is_empty() && identifier.bytes().all(|b| b.is_ascii_digit()) {
        key.push(NUMBER);
        push_number(identifier, key);
    } else {
        key.push(WORD);
        key.push_str(identifier);
        key.push(WORD_END);
    }
}

/// Of a pre-release that is not SemVer: digits and letters are identifiers of their own, so that `rc9`
/// is lower than `rc10`.
fn push_pieces(identifier: &str, key: &mut String) {
    for part in identifier.split('-') {
        let mut rest = part;
        while !rest.is_empty() {
            let digits = count(rest, u8::is_ascii_digit);
            let length = match digits {
                0 => count(rest, |b| !b.is_ascii_digit()),
                digits => digits,
            };
            push_identifier(&rest[..length], key);
            rest = &rest[length..];
        }
    }
}

/// Digits of any length, longer ones greater: lengths are at most [`VERSION_LENGTH_MAX`].
fn push_number(digits: &str, key: &mut String) {
    let digits = digits.trim_start_matches('0');
    let length = u8::try_from(digits.len()).unwrap_or(u8::MAX);
    // Two letters, so that each length has its own and all of them are text.
    key.push(char::from(b'a' + length / 26));
    key.push(char::from(b'a' + length % 26));
    key.push_str(digits);
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl PartialEq for Version {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}

impl Eq for Version {}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Version {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key.cmp(&other.key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(text: &str) -> Version {
        text.parse().unwrap()
    }

    #[test]
    fn versions_sort_as_people_expect() {
        let sorted = [
            "0.9",
            "1.0.0-alpha",
            "1.0.0-alpha.1",
            "1.0.0-alpha.beta",
            "1.0.0-beta",
            "1.0.0-beta.2",
            "1.0.0-beta.11",
            "1.0-rc9",
            "1.0-rc10",
            "1.0.0-rc.11",
            "1.0.0-rc10",
            "1.0.0-rc9",
            "1.0.0",
            "1.0.0.1",
            "1.0.1",
            "1.0.2rc9",
            "1.0.2rc10",
            "1.0.2",
            "1.0.2.1",
            "1.0.2a",
            "1.0.2k",
            "1.0.2k9",
            "1.0.2k10",
            "1.0.3",
            "1.9",
            "1.10",
            "1.10.1",
            "2.0",
            "10",
            "2026.11.2",
            "2026.11.10",
            "20261110120000000000000000",
            "bookworm",
            "r9",
            "r10",
            "raa",
        ];
        for pair in sorted.windows(2) {
            assert!(
                version(pair[0]) < version(pair[1]),
                "{} < {}",
                pair[0],
                pair[1]
            );
        }
    }

    #[test]
    fn what_says_the_same_is_equal() {
        for (a, b) in [
            ("1.0", "1.0.0"),
            ("v1.2", "1.2"),
            ("1.2.3+a", "1.2.3+b"),
            ("01.2", "1.2"),
            ("1.", "1"),
            ("1.0-rc10", "1.0.0-rc.10"),
            ("1.0rc10", "1.0.0-rc.10"),
        ] {
            assert_eq!(version(a), version(b));
        }
        // The second of each once had the key of the first.
        for (a, b) in [("1.0-rc1", "1.0"), ("raa", "r0"), ("1-xaa", "1-x0")] {
            assert_ne!(version(a), version(b));
        }
    }

    #[test]
    fn what_is_no_version_is_refused() {
        for text in ["", "-1", ".1", "1 2", "1/2", "ü", "1\n", &"1".repeat(65)] {
            assert!(text.parse::<Version>().is_err(), "{text:?}");
        }
    }
}
