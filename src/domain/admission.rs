use std::collections::BTreeSet;

use chrono::{DateTime, Utc};

use super::{Bundle, Firmware, PackageOrigin, Signer, rollout::time};

/// When a firmware must be signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignaturePolicy {
    /// As soon as a key is trusted.
    Auto,
    Always,
    Never,
}

impl SignaturePolicy {
    pub fn requires(self, any_key_is_trusted: bool) -> bool {
        match self {
            SignaturePolicy::Auto => any_key_is_trusted,
            SignaturePolicy::Always => true,
            SignaturePolicy::Never => false,
        }
    }
}

/// What a firmware must have so that it may be sent, whatever its status.
#[derive(Clone, Debug)]
pub struct Admission {
    pub now: DateTime<Utc>,
    /// Fingerprints, upper-case hex, of the keys that are trusted; `None` where no signature is
    /// required.
    pub trusted: Option<BTreeSet<String>>,
}

/// Why a firmware must not be sent, whatever its status.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Barred {
    #[error(
        "the firmware is not signed, and this server sends only what a trusted key has signed: \
         build a signed bundle of it (airlift bundle build) and upload that"
    )]
    Unsigned,
    #[error(
        "the package's content.json is not signed, and this server sends only what a trusted key has \
         signed: push it once more with a signature (PUT /update) and release it again"
    )]
    UnsignedPackage,
    #[error(
        "the firmware was signed by the key {name} ({fingerprint}), which is not among the trusted \
         keys any more: sign it with one that is, under a new version"
    )]
    UntrustedKey { name: String, fingerprint: String },
    #[error(
        "the bundle has expired at {}: build one with a later expiry, under a new version",
        time(*.at)
    )]
    Expired { at: DateTime<Utc> },
    #[error(
        "the package was withdrawn at {}, so devices can't fetch it: push it once more, or release \
         another version",
        time(*.at)
    )]
    Withdrawn { at: DateTime<Utc> },
}

impl Barred {
    /// The stable word.
    pub fn code(&self) -> &'static str {
        match self {
            Barred::Unsigned | Barred::UnsignedPackage => "unsigned",
            Barred::UntrustedKey { .. } => "untrusted_key",
            Barred::Expired { .. } => "bundle_expired",
            Barred::Withdrawn { .. } => "package_withdrawn",
        }
    }
}

impl Admission {
    /// Why a firmware must not be sent.
    pub fn bars(&self, firmware: &Firmware) -> Option<Barred> {
        match &firmware.package {
            Some(package) => self.bars_package(package),
            None => self.bars_bundle(firmware.bundle.as_ref()),
        }
    }

    /// The same of a firmware with this bundle, or with none.
    pub fn bars_bundle(&self, bundle: Option<&Bundle>) -> Option<Barred> {
        let signer = bundle.and_then(|bundle| bundle.signed_by.as_ref());
        let expired = || {
            let at = bundle?.expires_at?;
            (at <= self.now).then_some(Barred::Expired { at })
        };
        self.bars_signer(signer, Barred::Unsigned).or_else(expired)
    }

    /// The same of a firmware that is a package.
    pub fn bars_package(&self, package: &PackageOrigin) -> Option<Barred> {
        let withdrawn = || Some(Barred::Withdrawn { at: package.withdrawn_at? });
        self.bars_signer(package.signed_by.as_ref(), Barred::UnsignedPackage)
            .or_else(withdrawn)
    }

    fn bars_signer(&self, signer: Option<&Signer>, unsigned: Barred) -> Option<Barred> {
        let trusted = self.trusted.as_ref()?;
        let Some(signer) = signer else {
            return Some(unsigned);
        };
        (!trusted.contains(&signer.fingerprint)).then(|| Barred::UntrustedKey {
            name: signer.name.clone(),
            fingerprint: signer.fingerprint.clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    use airlift_bundle::Kind;
    use chrono::TimeDelta;

    use super::*;
    use crate::domain::{BundleFile, Signer};

    fn file(name: &str) -> BundleFile {
        BundleFile {
            file_name: name.to_owned(),
            size: 1,
            sha256: String::new(),
        }
    }

    fn bundle(signer: Option<&str>, expires_at: Option<DateTime<Utc>>) -> Bundle {
        Bundle {
            kind: Kind::Firmware,
            target: "raw".to_owned(),
            release_counter: 1,
            allow_rollback: false,
            built_at: DateTime::UNIX_EPOCH,
            expires_at,
            signed_by: signer.map(|fingerprint| Signer {
                name: "release".to_owned(),
                fingerprint: fingerprint.to_owned(),
            }),
            manifest: file("m"),
            signature: file("s"),
            parts: Vec::new(),
        }
    }

    #[test]
    fn only_what_a_trusted_key_signed_is_sent_where_signatures_are_required() {
        let now = DateTime::UNIX_EPOCH;
        let trusted = |fingerprints: &[&str]| Admission {
            now,
            trusted: Some(fingerprints.iter().map(|it| (*it).to_owned()).collect()),
        };
        let open = Admission { now, trusted: None };
        let (signed, unsigned) = (bundle(Some("AB"), None), bundle(None, None));
        for it in [None, Some(&unsigned), Some(&signed)] {
            assert_eq!(open.bars_bundle(it), None);
        }
        assert_eq!(trusted(&["AB"]).bars_bundle(None), Some(Barred::Unsigned));
        assert_eq!(
            trusted(&["AB"]).bars_bundle(Some(&unsigned)),
            Some(Barred::Unsigned)
        );
        assert_eq!(trusted(&["CD", "AB"]).bars_bundle(Some(&signed)), None);
        let other = trusted(&["CD"]).bars_bundle(Some(&signed)).unwrap();
        assert_eq!(other.code(), "untrusted_key");
        assert!(other.to_string().contains("release (AB)"), "{other}");
        // Required, and no key is there.
        assert!(trusted(&[]).bars_bundle(Some(&signed)).is_some());
    }

    #[test]
    fn a_bundle_is_sent_until_the_second_it_expires() {
        let expires_at = DateTime::UNIX_EPOCH + TimeDelta::seconds(100);
        let at = |seconds| Admission {
            now: DateTime::UNIX_EPOCH + TimeDelta::seconds(seconds),
            trusted: None,
        };
        let bundle = bundle(None, Some(expires_at));
        assert_eq!(at(99).bars_bundle(Some(&bundle)), None);
        let expired = at(100).bars_bundle(Some(&bundle)).unwrap();
        assert_eq!(expired, Barred::Expired { at: expires_at });
        assert!(
            expired.to_string().contains("1970-01-01T00:01:40Z"),
            "{expired}"
        );
    }

    fn package(signer: Option<&str>) -> PackageOrigin {
        PackageOrigin {
            name: "app".to_owned(),
            branch: "main".to_owned(),
            has_signature: signer.is_some(),
            signed_by: signer.map(|fingerprint| Signer {
                name: "release".to_owned(),
                fingerprint: fingerprint.to_owned(),
            }),
            withdrawn_at: None,
        }
    }

    #[test]
    fn a_package_is_sent_if_a_trusted_key_signed_it_and_nobody_withdrew_it() {
        let now = DateTime::UNIX_EPOCH;
        let open = Admission { now, trusted: None };
        let trusting = Admission {
            now,
            trusted: Some(BTreeSet::from(["AB".to_owned()])),
        };
        assert_eq!(open.bars_package(&package(None)), None);
        assert_eq!(trusting.bars_package(&package(Some("AB"))), None);
        let unsigned = trusting.bars_package(&package(None)).unwrap();
        assert_eq!(unsigned.code(), "unsigned");
        // A bundle is not what would help.
        assert!(unsigned.to_string().contains("PUT /update"), "{unsigned}");
        let other = trusting.bars_package(&package(Some("CD"))).unwrap();
        assert_eq!(other.code(), "untrusted_key");
        let mut withdrawn = package(None);
        withdrawn.withdrawn_at = Some(now);
        let barred = open.bars_package(&withdrawn).unwrap();
        assert_eq!(barred.code(), "package_withdrawn");
    }
}
