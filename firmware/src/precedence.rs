//! Which of two versions is the older one, by SemVer 2.0.0, item 11.

use core::cmp::Ordering;

/// `None`: one of them is no version.
pub(crate) fn compare(one: &str, other: &str) -> Option<Ordering> {
    let (one, other) = (Version::parse(one)?, Version::parse(other)?);
    let numbers = one
        .numbers
        .iter()
        .zip(&other.numbers)
        .map(|(one, other)| compare_numbers(one, other))
        .find(|order| order.is_ne());
    Some(numbers.unwrap_or_else(|| compare_pre_releases(one.pre_release, other.pre_release)))
}

struct Version<'v> {
    /// Digits.
    numbers: [&'v str; 3],
    pre_release: Option<&'v str>,
}

impl<'v> Version<'v> {
    fn parse(text: &'v str) -> Option<Self> {
        // What stands behind the plus does not count.
        let text = text.split_once('+').map_or(text, |(version, _)| version);
        let (core, pre_release) = match text.split_once('-') {
            None => (text, None),
            Some((core, pre_release)) => (core, Some(pre_release)),
        };
        let mut parts = core.split('.');
        let numbers = [parts.next()?, parts.next()?, parts.next()?];
        let is_version = parts.next().is_none() && numbers.into_iter().all(is_number);
        is_version.then_some(Version {
            numbers,
            pre_release,
        })
    }
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Numbers of any length.
fn compare_numbers(one: &str, other: &str) -> Ordering {
    let (one, other) = (one.trim_start_matches('0'), other.trim_start_matches('0'));
    one.len().cmp(&other.len()).then_with(|| one.cmp(other))
}

fn compare_pre_releases(one: Option<&str>, other: Option<&str>) -> Ordering {
    let (one, other) = match (one, other) {
        (None, None) => return Ordering::Equal,
        (None, Some(_)) => return Ordering::Greater,
        (Some(_), None) => return Ordering::Less,
        (Some(one), Some(other)) => (one, other),
    };
    let (mut one, mut other) = (one.split('.'), other.split('.'));
    loop {
        let order = match (one.next(), other.next()) {
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => return Ordering::Less,
            (Some(_), None) => return Ordering::Greater,
            (Some(one), Some(other)) => match (is_number(one), is_number(other)) {
                (true, true) => compare_numbers(one, other),
                (true, false) => Ordering::Less,
                (false, true) => Ordering::Greater,
                (false, false) => one.cmp(other),
            },
        };
        if order.is_ne() {
            return order;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Versions that resemble each other.
    const VERSION: &str =
        r"(0|1|9|10)\.(0|2)\.(0|3)(-(0|1|10|a|1a|-)(\.(0|2|11|b|-1)){0,2})?(\+(b|001)){0,1}";

    proptest! {
        #[test]
        fn versions_are_ordered_as_the_semver_crate_orders_them(one in VERSION, other in VERSION) {
            let parsed = |text: &str| semver::Version::parse(text).unwrap();
            let expected = parsed(&one).cmp_precedence(&parsed(&other));
            prop_assert_eq!(compare(&one, &other), Some(expected));
        }
    }

    #[test]
    fn versions_are_ordered_as_semver_orders_its_examples() {
        let ascending = [
            "1.0.0-alpha",
            "1.0.0-alpha.1",
            "1.0.0-alpha.beta",
            "1.0.0-beta",
            "1.0.0-beta.2",
            "1.0.0-beta.11",
            "1.0.0-rc.1",
            "1.0.0",
            "2.0.0",
            "2.1.0",
            "2.1.1",
            "10.0.0",
            "99999999999999999999999.0.0",
        ];
        for (at, one) in ascending.iter().enumerate() {
            for (at_other, other) in ascending.iter().enumerate() {
                assert_eq!(
                    compare(one, other),
                    Some(at.cmp(&at_other)),
                    "{one} {other}"
                );
            }
        }
        assert_eq!(compare("1.0.0+a", "1.0.0+b-c.9"), Some(Ordering::Equal));
    }

    #[test]
    fn what_is_no_version_has_no_order() {
        for text in [
            "", "1", "1.0", "1.0.0.0", "1.0.x", "v1.0.0", "1..0", "-1.0.0",
        ] {
            assert_eq!(compare(text, "1.0.0"), None, "{text}");
            assert_eq!(compare("1.0.0", text), None, "{text}");
        }
    }
}
