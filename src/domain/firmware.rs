use std::{cmp::Ordering, fmt};

use chrono::{DateTime, Utc};
use semver::Version;
use uuid::Uuid;

use super::{Bundle, PackageOrigin};

pub const DEVICE_TYPE_DEFAULT: &str = "gateway";
/// The device type of those that run the agent.
pub const DEVICE_TYPE_LINUX: &str = "linux";
/// Longest device type, in bytes.
pub const DEVICE_TYPE_LENGTH_MAX: usize = 64;
/// Longest version, in bytes.
pub const VERSION_LENGTH_MAX: usize = 64;

/// A firmware image and what is known of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Firmware {
    pub firmware_id: Uuid,
    pub device_type: String,
    /// SemVer 2.0; unique within the device type.
    pub version: String,
    pub file_name: String,
    /// Bytes.
    pub file_size: i64,
    /// Lower-case hex.
    pub md5: String,
    /// Lower-case hex; the blob's name.
    pub sha256: String,
    pub description: String,
    /// Markdown.
    pub changelog: String,
    pub status: FirmwareStatus,
    pub force_upgrade: bool,
    /// The lowest version from which it may be installed.
    pub min_version: Option<String>,
    /// `None` for a plain image.
    pub bundle: Option<Bundle>,
    /// The package for Linux devices that it is.
    pub package: Option<PackageOrigin>,
    pub release_date: Option<DateTime<Utc>>,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

impl Firmware {
    /// What the audit log calls it.
    pub fn subject(&self) -> String {
        format!("{}/{}", self.device_type, self.version)
    }

    /// `package`, of a bundle `firmware`, `web` or `firmware+web`; of a plain image nothing.
    pub fn kind(&self) -> Option<&'static str> {
        match &self.package {
            Some(_) => Some(PackageOrigin::KIND),
            None => self.bundle.as_ref().map(Bundle::kind),
        }
    }
}

/// draft → testing → released → deprecated; testing may be skipped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FirmwareStatus {
    /// Uploaded; can be deleted, is never installed.
    Draft,
    /// Can be installed by naming its version; is nobody's latest.
    Testing,
    /// Can be the latest.
    Released,
    /// Is no longer installed.
    Deprecated,
}

impl FirmwareStatus {
    pub const ALL: [FirmwareStatus; 4] = [
        FirmwareStatus::Draft,
        FirmwareStatus::Testing,
        FirmwareStatus::Released,
        FirmwareStatus::Deprecated,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            FirmwareStatus::Draft => "draft",
            FirmwareStatus::Testing => "testing",
            FirmwareStatus::Released => "released",
            FirmwareStatus::Deprecated => "deprecated",
        }
    }

    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == word)
    }

    /// Whether a firmware may go from `self` to `to`: forward only, and what was never released
    /// cannot be deprecated.
    pub fn may_become(self, to: FirmwareStatus) -> bool {
        use FirmwareStatus::*;
        matches!(
            (self, to),
            (Draft, Testing) | (Draft, Released) | (Testing, Released) | (Released, Deprecated)
        )
    }

    /// Whether a gateway may be told to install it by version.
    pub fn is_installable(self) -> bool {
        matches!(self, FirmwareStatus::Testing | FirmwareStatus::Released)
    }
}

impl fmt::Display for FirmwareStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Whether `name` can be a device type: 1 to [`DEVICE_TYPE_LENGTH_MAX`] of `A-Z a-z 0-9 . _ -`,
/// first a letter or digit. It becomes part of a file name.
pub fn is_device_type(name: &str) -> bool {
    name.len() <= DEVICE_TYPE_LENGTH_MAX
        && name
            .as_bytes()
            .first()
            .is_some_and(u8::is_ascii_alphanumeric)
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
}

/// `None` if `version` is not SemVer 2.0 or longer than [`VERSION_LENGTH_MAX`].
pub fn parse_version(version: &str) -> Option<Version> {
    (version.len() <= VERSION_LENGTH_MAX)
        .then(|| Version::parse(version).ok())
        .flatten()
}

/// `<deviceType>_v<version>.bin`. A version has no `_`, so two firmwares never share a name.
pub fn file_name(device_type: &str, version: &str) -> String {
    format!("{device_type}_v{version}.bin")
}

/// A version as text that sorts (byte by byte) by SemVer precedence, for databases; `None` if it is
/// not SemVer. Versions that differ in build metadata alone share a key.
///
/// Numbers go as a letter for their length and their digits (`9` is `b9`, `10` is `c10`). Then `~`
/// for a release, or `-` and each identifier ended by `!`, numeric ones after `0`, others after `1`.
pub fn version_key(version: &str) -> Option<String> {
    let version = parse_version(version)?;
    let mut key = String::new();
    let push_number = |digits: &str, key: &mut String| {
        key.push(char::from(b'a' + u8::try_from(digits.len()).unwrap_or(25)));
        key.push_str(digits);
    };
    for number in [version.major, version.minor, version.patch] {
        push_number(&number.to_string(), &mut key);
    }
    if version.pre.is_empty() {
        key.push('~');
        return Some(key);
    }
    key.push('-');
    for identifier in version.pre.split('.') {
        if identifier.bytes().all(|byte| byte.is_ascii_digit()) {
            key.push('0');
            push_number(identifier, &mut key);
        } else {
            key.push('1');
            key.push_str(identifier);
        }
        key.push('!');
    }
    Some(key)
}

/// The version that a [`version_key`] was made of, without its build metadata.
pub(super) fn version_of_key(key: &str) -> Option<String> {
    fn number<'k>(rest: &mut &'k str) -> Option<&'k str> {
        let length = rest.bytes().next()?.checked_sub(b'a')?;
        let (digits, behind) = rest.get(1..)?.split_at_checked(length.into())?;
        *rest = behind;
        Some(digits)
    }
    let mut rest = key;
    let (major, minor, patch) = (number(&mut rest)?, number(&mut rest)?, number(&mut rest)?);
    let release = format!("{major}.{minor}.{patch}");
    let Some(identifiers) = rest.strip_prefix('-') else {
        return Some(release);
    };
    let identifiers =
        identifiers
            .split_terminator('!')
            .map(|identifier| match identifier.strip_prefix('0') {
                Some(mut numeric) => number(&mut numeric),
                None => identifier.strip_prefix('1'),
            });
    let identifiers: Vec<&str> = identifiers.collect::<Option<_>>()?;
    Some(format!("{release}-{}", identifiers.join(".")))
}

/// The highest of `versions` by SemVer precedence; those that are not SemVer are passed over.
pub fn latest<'v>(versions: impl IntoIterator<Item = &'v str>) -> Option<&'v str> {
    versions
        .into_iter()
        .filter_map(|version| Some((parse_version(version)?, version)))
        // Build metadata has no precedence; the full order only makes the choice stable.
        .max_by(|(a, _), (b, _)| a.cmp_precedence(b).then_with(|| a.cmp(b)))
        .map(|(_, version)| version)
}

/// The order of versions that a fleet runs: highest first by SemVer precedence, then those that are not
/// SemVer as texts, last the one that nobody knows.
pub fn highest_first(a: Option<&str>, b: Option<&str>) -> Ordering {
    match (a.and_then(parse_version), b.and_then(parse_version)) {
        (Some(a), Some(b)) => b.cmp_precedence(&a).then_with(|| b.cmp(&a)),
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (None, None) => a.is_none().cmp(&b.is_none()).then_with(|| a.cmp(&b)),
    }
}

/// Whether `latest` has a higher precedence than `current`. A current version that is unknown or
/// not SemVer is taken as older than any.
pub fn needs_upgrade(current: Option<&str>, latest: Option<&str>) -> bool {
    let Some(latest) = latest.and_then(parse_version) else {
        return false;
    };
    match current.and_then(parse_version) {
        Some(current) => current.cmp_precedence(&latest).is_lt(),
        None => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fleets_versions_go_from_the_highest_to_the_unknown() {
        let expected = [
            Some("1.10.0"),
            Some("1.9.0+b"),
            Some("1.9.0"),
            Some("1.9.0-rc.1"),
            Some("build 7"),
            Some("v2.0.0"),
            None,
        ];
        let mut versions = expected;
        versions.sort();
        versions.sort_by(|a, b| highest_first(*a, *b));
        assert_eq!(versions, expected);
    }

    #[test]
    fn status_only_moves_forward_and_says_each_step() {
        use FirmwareStatus::*;
        let allowed = [
            (Draft, Testing),
            (Draft, Released),
            (Testing, Released),
            (Released, Deprecated),
        ];
        for from in FirmwareStatus::ALL {
            for to in FirmwareStatus::ALL {
                assert_eq!(
                    from.may_become(to),
                    allowed.contains(&(from, to)),
                    "{from}→{to}"
                );
            }
            assert_eq!(FirmwareStatus::parse(from.as_str()), Some(from));
        }
    }

    #[test]
    fn latest_is_by_semver_precedence_not_by_text() {
        assert_eq!(latest(["1.9.0", "1.10.0", "1.10.0-rc.1"]), Some("1.10.0"));
        assert_eq!(
            latest(["1.0.0-alpha.2", "1.0.0-alpha.10"]),
            Some("1.0.0-alpha.10")
        );
        assert_eq!(latest(["junk"]), None);
        assert_eq!(latest([]), None);
    }

    #[test]
    fn version_keys_sort_by_semver_precedence() {
        let rising = [
            "0.0.1",
            "0.9.0",
            "0.10.0",
            "1.0.0-0",
            "1.0.0-2",
            "1.0.0-10",
            "1.0.0--",
            "1.0.0-alpha",
            "1.0.0-alpha.1",
            "1.0.0-alpha.beta",
            "1.0.0-alpha-x",
            "1.0.0-alphabet",
            "1.0.0",
            "1.0.18446744073709551615",
            "10.0.0",
        ];
        for (at, low) in rising.iter().enumerate() {
            let key = version_key(low).unwrap();
            assert_eq!(version_of_key(&key).as_deref(), Some(*low));
            for high in &rising[at + 1..] {
                let (a, b) = (parse_version(low).unwrap(), parse_version(high).unwrap());
                assert!(a.cmp_precedence(&b).is_lt(), "{low} {high}");
                assert!(version_key(low) < version_key(high), "{low} {high}");
            }
        }
        assert_eq!(version_key("1.0.0+a"), version_key("1.0.0+b"));
        assert_eq!(version_key("v1"), None);
        assert_eq!(version_of_key("v1"), None);
    }

    #[test]
    fn a_gateway_needs_an_upgrade_only_to_something_higher() {
        assert!(needs_upgrade(Some("1.0.1"), Some("1.0.2")));
        assert!(!needs_upgrade(Some("1.0.2"), Some("1.0.2")));
        assert!(!needs_upgrade(Some("1.0.2+b2"), Some("1.0.2+b1")));
        assert!(!needs_upgrade(Some("2.0.0"), Some("1.0.2")));
        assert!(needs_upgrade(None, Some("1.0.2")));
        assert!(!needs_upgrade(Some("1.0.2"), None));
    }

    #[test]
    fn device_types_are_safe_in_file_names() {
        for good in ["gateway", "esp32-wroom", "linux_arm.v7", "A"] {
            assert!(is_device_type(good), "{good}");
        }
        let long = "x".repeat(65);
        for bad in ["", ".", "..", "-x", "a/b", "a\\b", "a b", "ä", &long] {
            assert!(!is_device_type(bad), "{bad}");
        }
    }
}
