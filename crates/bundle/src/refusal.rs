//! Why a bundle is refused: one word for each attack, the same on the server and on a device.

use airlift_proto::error_code;

/// Why a bundle is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// It has no signature.
    Unsigned,
    /// No trusted key that is valid at the time made one of its signatures.
    UntrustedKey,
    /// A trusted key is named, but the manifest is not what it signed, or the signature is garbled.
    BadSignature,
    /// The manifest, though signed, is not one: a field is missing, unknown or makes no sense.
    InvalidManifest,
    /// A part, or the command, is not what the manifest says: from another bundle, or altered.
    PartMismatch,
    /// An older release than the one that is there, and it does not say that it may.
    ReleaseRollback,
    /// Its time is over.
    Expired,
    /// More data than the format, the manifest or the limits allow.
    TooLarge,
    /// It ends early.
    Truncated,
    /// A member or part whose name is no plain name of a bundle's file.
    UnsafePath,
    /// The archive is none: not zstd, not tar, a member twice, unknown or out of order.
    Malformed,
    /// For another board or device type, or an image for another chip.
    WrongTarget,
    /// The version that runs is below the manifest's `minVersion`.
    MinVersion,
}

impl Refusal {
    pub const ALL: [Refusal; 13] = [
        Refusal::Unsigned,
        Refusal::UntrustedKey,
        Refusal::BadSignature,
        Refusal::InvalidManifest,
        Refusal::PartMismatch,
        Refusal::ReleaseRollback,
        Refusal::Expired,
        Refusal::TooLarge,
        Refusal::Truncated,
        Refusal::UnsafePath,
        Refusal::Malformed,
        Refusal::WrongTarget,
        Refusal::MinVersion,
    ];

    /// The word in a task's `errorCode`; the server's own answers write it in lower case.
    pub const fn code(self) -> &'static str {
        match self {
            Refusal::Unsigned => error_code::UNSIGNED,
            Refusal::UntrustedKey => error_code::UNTRUSTED_KEY,
            Refusal::BadSignature => error_code::BAD_SIGNATURE,
            Refusal::InvalidManifest => error_code::INVALID_MANIFEST,
            Refusal::PartMismatch => error_code::PART_MISMATCH,
            Refusal::ReleaseRollback => error_code::RELEASE_ROLLBACK,
            Refusal::Expired => error_code::BUNDLE_EXPIRED,
            Refusal::TooLarge => error_code::BUNDLE_TOO_LARGE,
            Refusal::Truncated => error_code::BUNDLE_TRUNCATED,
            Refusal::UnsafePath => error_code::UNSAFE_PATH,
            Refusal::Malformed => error_code::BUNDLE_MALFORMED,
            Refusal::WrongTarget => error_code::WRONG_TARGET,
            Refusal::MinVersion => error_code::MIN_VERSION,
        }
    }

    /// The word in the server's answers and metrics.
    pub const fn word(self) -> &'static str {
        match self {
            Refusal::Unsigned => "unsigned",
            Refusal::UntrustedKey => "untrusted_key",
            Refusal::BadSignature => "bad_signature",
            Refusal::InvalidManifest => "invalid_manifest",
            Refusal::PartMismatch => "part_mismatch",
            Refusal::ReleaseRollback => "release_rollback",
            Refusal::Expired => "bundle_expired",
            Refusal::TooLarge => "bundle_too_large",
            Refusal::Truncated => "bundle_truncated",
            Refusal::UnsafePath => "unsafe_path",
            Refusal::Malformed => "bundle_malformed",
            Refusal::WrongTarget => "wrong_target",
            Refusal::MinVersion => "min_version",
        }
    }

    pub fn parse(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|refusal| refusal.code() == code)
    }
}

#[cfg(all(test, feature = "std"))]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_one_word_on_the_server_and_the_device() {
        for refusal in Refusal::ALL {
            assert_eq!(refusal.word(), refusal.code().to_lowercase());
            assert_eq!(Refusal::parse(refusal.code()), Some(refusal));
        }
    }
}
