//! Versions and requirements beside the crate that knows SemVer.

use std::cmp::Ordering;

use airlift_package::{Requirement, VERSION_LENGTH_MAX, Version};
use proptest::prelude::*;

fn number() -> impl Strategy<Value = u64> {
    prop_oneof![0..3_u64, 0..200_u64, any::<u64>(), Just(u64::MAX)]
}

/// Of a pre-release: a number without leading zeros, or text with something that is no digit.
fn identifier() -> impl Strategy<Value = String> {
    prop_oneof![
        number().prop_map(|it| it.to_string()),
        "[0-9a-cA-C-]{0,3}[a-cA-C-][0-9a-cA-C-]{0,3}",
        "(alpha|beta|rc)[0-9]{0,2}",
    ]
}

/// Any version of SemVer 2.0 that is not too long.
fn semver() -> impl Strategy<Value = String> {
    let core = (number(), number(), number());
    let pre = prop::collection::vec(identifier(), 0..4);
    let build = prop::option::of("[0-9A-Za-z-]{1,4}(\\.[0-9a-z-]{1,4})?");
    (core, pre, build)
        .prop_map(|((major, minor, patch), pre, build)| {
            let mut text = format!("{major}.{minor}.{patch}");
            if !pre.is_empty() {
                text = format!("{text}-{}", pre.join("."));
            }
            build.map_or(text.clone(), |build| format!("{text}+{build}"))
        })
        .prop_filter("too long", |text| text.len() <= VERSION_LENGTH_MAX)
}

fn version(text: &str) -> Version {
    text.parse().unwrap_or_else(|error| panic!("{error}"))
}

/// Numbers as a version's core, and without the zeros that say nothing.
fn core() -> impl Strategy<Value = (String, Vec<u64>)> {
    let core = prop::collection::vec(number(), 1..4).prop_map(|numbers| {
        let texts: Vec<String> = numbers.iter().map(u64::to_string).collect();
        let mut trimmed = numbers;
        while trimmed.len() > 1 && trimmed.last() == Some(&0) {
            trimmed.pop();
        }
        (texts.join("."), trimmed)
    });
    core.prop_filter("no room for more", |(text, _)| {
        text.len() <= VERSION_LENGTH_MAX - 8
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn semver_sorts_by_its_own_precedence(a in semver(), b in semver()) {
        let expected = semver::Version::parse(&a)
            .unwrap()
            .cmp_precedence(&semver::Version::parse(&b).unwrap());
        prop_assert_eq!(version(&a).cmp(&version(&b)), expected, "{} {}", a, b);
        prop_assert_eq!(version(&a).key().cmp(version(&b).key()), expected);
    }

    #[test]
    fn numbers_sort_as_numbers_however_many((a, x) in core(), (b, y) in core()) {
        prop_assert_eq!(version(&a).cmp(&version(&b)), x.cmp(&y), "{} {}", a, b);
    }

    #[test]
    fn what_is_added_to_a_core_moves_it_as_it_should((core, numbers) in core(), n in 1..99_u64) {
        let base = version(&core);
        for same in [format!("v{core}"), format!("{core}+x.{n}"), format!("{core}.0")] {
            prop_assert_eq!(version(&same).cmp(&base), Ordering::Equal, "{}", same);
        }
        for lower in [format!("{core}-{n}"), format!("{core}~x"), format!("{core}rc{n}")] {
            prop_assert!(version(&lower) < base, "{}", lower);
            prop_assert!(version(&lower).is_pre_release());
        }
        let mut next = numbers;
        for higher in [format!("{core}.0.{n}"), format!("{core}k{n}")] {
            prop_assert!(version(&higher) > base, "{}", higher);
        }
        if let Some(last) = next.last_mut().filter(|last| **last < u64::MAX) {
            *last += 1;
            let next: Vec<String> = next.iter().map(u64::to_string).collect();
            let next = version(&next.join("."));
            let between = version(&format!("{core}.0.{n}"));
            prop_assert!(between < next, "{} {}", between, next);
            prop_assert!(next > base);
        }
        let candidates = [n, n + 1].map(|n| version(&format!("{core}rc{n}")));
        prop_assert!(candidates[0] < candidates[1]);
    }

    /// Whatever the text: a key of printable ASCII, and an order in which all agree.
    #[test]
    fn any_texts_are_in_one_order(
        texts in prop::array::uniform3("[0-9a-cvrR][0-9a-c._~+-]{0,8}"),
    ) {
        let mut versions = texts.map(|text| version(&text));
        for version in &versions {
            prop_assert!(version.key().bytes().all(|b| b.is_ascii_graphic()));
        }
        versions.sort();
        prop_assert!(versions[0] <= versions[1] && versions[1] <= versions[2]);
        prop_assert!(versions[0] <= versions[2]);
        let [a, b, _] = &versions;
        prop_assert_eq!(a == b, a.key() == b.key());
        prop_assert_eq!(a.cmp(b), b.cmp(a).reverse());
    }

    #[test]
    fn caret_tilde_and_star_allow_what_cargo_does(
        operator in prop_oneof![Just("^"), Just("~"), Just("*")],
        numbers in prop::collection::vec(prop_oneof![0..3_u64, Just(u64::MAX)], 1..4),
        pre in prop::option::of(identifier()),
        asked in semver(),
        near in (prop::array::uniform3(0..4_u64), prop::option::of(identifier())),
    ) {
        let texts: Vec<String> = numbers.iter().map(u64::to_string).collect();
        let mut bound = texts.join(".");
        let requirement = match operator {
            "*" if numbers.len() == 3 => return Ok(()),
            "*" => format!("{bound}.*"),
            operator => {
                if let Some(pre) = pre.filter(|_| numbers.len() == 3) {
                    bound = format!("{bound}-{pre}");
                }
                format!("{operator}{bound}")
            }
        };
        let ([major, minor, patch], near_pre) = near;
        let near_pre = near_pre.map_or(String::new(), |pre| format!("-{pre}"));
        prop_assume!(bound.len() <= VERSION_LENGTH_MAX - 4);
        let ours: Requirement = requirement.parse().unwrap();
        let cargos = semver::VersionReq::parse(&requirement).unwrap();
        for text in [asked, format!("{major}.{minor}.{patch}{near_pre}"), format!("{bound}.0.0")] {
            let Ok(parsed) = semver::Version::parse(&text) else {
                continue;
            };
            let (allowed, expected) = (ours.allows(&version(&text)), cargos.matches(&parsed));
            if parsed.pre.is_empty() {
                prop_assert_eq!(allowed, expected, "{} {}", requirement, text);
            } else {
                // Ours lets more pre-releases in, never fewer.
                prop_assert!(allowed || !expected, "{} {}", requirement, text);
            }
        }
    }

    #[test]
    fn comparisons_allow_what_the_order_says(a in semver(), b in semver()) {
        let (at, bound) = (version(&a), version(&b));
        let allows = |operator: &str| {
            let requirement: Requirement = format!("{operator} {b}").parse().unwrap();
            requirement.allows(&at)
        };
        prop_assert_eq!(allows(">="), at >= bound);
        prop_assert_eq!(allows(">"), at > bound);
        prop_assert_eq!(allows("<="), at <= bound);
        prop_assert_eq!(allows("="), at == bound);
        prop_assert_eq!(allows(""), at == bound);
        // Pre-releases of the bound are neither below nor above it.
        prop_assert!(!allows("<") || at < bound);
    }
}
