use std::{fmt, str::FromStr};

use crate::{Version, VersionError};

/// What a dependency asks of a version: comparisons that must all hold, separated by commas.
/// `>=1.2, <2`, `^1.2`, `~1.2.3`, `1.2.*`, `*`; a bare version is that version. Empty text is any.
///
/// `<2` and what `^` and `~` are bounded by keep pre-releases of the bound out: `2.0.0-rc.1` is not
/// below `2`.
///
/// `^`, `~` and `.*` mean what they mean to Cargo, but for pre-releases: Cargo lets them in only beside
/// a bound of the same numbers, here they are versions as any other, so that a branch of pre-releases
/// can be followed. The others differ, too: `1.2`, `=1.2`, `>1.2` and `<=1.2` are about the version
/// 1.2.0 alone, which to Cargo are all of `1.2.*`, and a bare `1.2` is no `^1.2`.
#[derive(Clone, Debug)]
pub struct Requirement {
    text: String,
    bounds: Vec<Bound>,
}

#[derive(Clone, Debug)]
enum Bound {
    Equal(Version),
    AtLeast(Version),
    Above(Version),
    Below(Version),
    AtMost(Version),
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequirementError {
    #[error(transparent)]
    Version(#[from] VersionError),
    #[error("{0:?}: ^, ~ and .* need a version that begins with numbers")]
    NoNumbers(String),
}

impl Requirement {
    pub fn allows(&self, version: &Version) -> bool {
        self.bounds.iter().all(|bound| bound.allows(version))
    }

    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl Bound {
    fn allows(&self, version: &Version) -> bool {
        match self {
            Bound::Equal(bound) => version == bound,
            Bound::AtLeast(bound) => version >= bound,
            Bound::Above(bound) => version > bound,
            Bound::AtMost(bound) => version <= bound,
            Bound::Below(bound) => {
                let is_bounds_pre_release = version.is_pre_release()
                    && !bound.is_pre_release()
                    && same_numbers(version.numbers(), bound.numbers());
                version < bound && !is_bounds_pre_release
            }
        }
    }
}

fn same_numbers(a: &[u64], b: &[u64]) -> bool {
    (0..a.len().max(b.len())).all(|i| a.get(i).unwrap_or(&0) == b.get(i).unwrap_or(&0))
}

impl FromStr for Requirement {
    type Err = RequirementError;

    fn from_str(text: &str) -> Result<Self, RequirementError> {
        let mut bounds = Vec::new();
        for part in text.split(',').map(str::trim) {
            read_comparison(part, &mut bounds)?;
        }
        Ok(Requirement {
            text: text.trim().to_owned(),
            bounds,
        })
    }
}

fn read_comparison(part: &str, bounds: &mut Vec<Bound>) -> Result<(), RequirementError> {
    if part.is_empty() || part == "*" {
        return Ok(());
    }
    if let Some(prefix) = part.strip_suffix(".*") {
        return between(prefix.trim_start_matches('='), part, usize::MAX, bounds);
    }
    for (operator, bound) in [
        (">=", Bound::AtLeast as fn(Version) -> Bound),
        ("<=", Bound::AtMost),
        ("==", Bound::Equal),
        (">", Bound::Above),
        ("<", Bound::Below),
        ("=", Bound::Equal),
    ] {
        if let Some(version) = part.strip_prefix(operator) {
            bounds.push(bound(version.trim().parse()?));
            return Ok(());
        }
    }
    if let Some(version) = part.strip_prefix('~') {
        return between(version, part, 1, bounds);
    }
    if let Some(version) = part.strip_prefix('^') {
        let version = version.trim();
        let numbers = version.parse::<Version>()?.numbers().to_vec();
        let first_not_zero = numbers.iter().position(|number| *number != 0);
        let kept = first_not_zero.unwrap_or(numbers.len().saturating_sub(1));
        return between(version, part, kept, bounds);
    }
    bounds.push(Bound::Equal(part.parse()?));
    Ok(())
}

/// From `version` on, up to where the number at `kept`, or the last one if there are fewer, is one
/// more.
fn between(
    version: &str,
    part: &str,
    kept: usize,
    bounds: &mut Vec<Bound>,
) -> Result<(), RequirementError> {
    let version: Version = version.trim().parse()?;
    // The number after the highest that a version has is one, too.
    let mut numbers: Vec<u128> = version.numbers().iter().map(|it| (*it).into()).collect();
    let no_numbers = || RequirementError::NoNumbers(part.to_owned());
    let last = numbers.len().checked_sub(1).ok_or_else(no_numbers)?;
    numbers.truncate(kept.min(last) + 1);
    let number = numbers.last_mut().ok_or_else(no_numbers)?;
    *number += 1;
    let end: Vec<String> = numbers.iter().map(u128::to_string).collect();
    bounds.push(Bound::AtLeast(version));
    bounds.push(Bound::Below(end.join(".").parse()?));
    Ok(())
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.text.is_empty() {
            true => f.write_str("*"),
            false => f.write_str(&self.text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requirements_allow_what_they_say() {
        for (requirement, allowed, refused) in [
            ("", vec!["0.1", "9"], vec![]),
            ("*", vec!["0.1", "1.0-rc1"], vec![]),
            ("1.2.0", vec!["1.2", "1.2.0"], vec!["1.2.1", "1.1"]),
            (
                ">=1.2, <2",
                vec!["1.2", "1.10"],
                vec!["1.1", "2.0", "2.0.0-rc.1"],
            ),
            ("^1.2", vec!["1.2", "1.9.9"], vec!["1.1.9", "2"]),
            ("^0.2.3", vec!["0.2.3", "0.2.9"], vec!["0.3", "0.2.2"]),
            ("^0.0.3", vec!["0.0.3"], vec!["0.0.4"]),
            ("~1.2.3", vec!["1.2.3", "1.2.9"], vec!["1.3", "1.2.2"]),
            ("~1", vec!["1.0", "1.9"], vec!["2"]),
            ("1.2.*", vec!["1.2", "1.2.7"], vec!["1.3", "1.1"]),
            (">1.2", vec!["1.2.1"], vec!["1.2", "1.2.0"]),
            ("<=1.2", vec!["1.2", "1.0"], vec!["1.2.1"]),
            ("<2.0.0-rc.1", vec!["2.0.0-beta"], vec!["2.0.0-rc.1"]),
            ("^1.2", vec!["1.3.0-rc.1"], vec!["1.2.0-rc.1", "2.0-rc1"]),
            ("~1.0.2k", vec!["1.0.2k", "1.0.9"], vec!["1.0.2", "1.1"]),
            (
                "^18446744073709551615",
                vec!["18446744073709551615.1"],
                vec!["18446744073709551616"],
            ),
        ] {
            let parsed: Requirement = requirement.parse().unwrap();
            for version in allowed {
                assert!(
                    parsed.allows(&version.parse().unwrap()),
                    "{requirement} {version}"
                );
            }
            for version in refused {
                assert!(
                    !parsed.allows(&version.parse().unwrap()),
                    "{requirement} {version}"
                );
            }
        }
    }

    #[test]
    fn what_is_no_requirement_is_refused() {
        for text in [">=", "^x", "1 2", "~", "=>1", ">=1 <2"] {
            assert!(text.parse::<Requirement>().is_err(), "{text:?}");
        }
    }
}
