//! The stable words in a task's `errorCode`.

/// Gateway: under [`crate::BATTERY_PERCENT_MIN`] percent of charge.
pub const BATTERY_LOW: &str = "BATTERY_LOW";
/// Gateway: another upgrade is running, and this one is not forced.
pub const BUSY: &str = "BUSY";
/// Gateway: the file's size, MD5 or SHA-256 is not the one in the command. The old version runs on.
pub const DIGEST_MISMATCH: &str = "DIGEST_MISMATCH";
/// Gateway: the file could not be fetched.
pub const DOWNLOAD_FAILED: &str = "DOWNLOAD_FAILED";
/// Gateway: the verified image could not be installed.
pub const INSTALL_FAILED: &str = "INSTALL_FAILED";
/// Gateway: an `ota_cancel` ended the upgrade.
pub const CANCELLED: &str = "CANCELLED";
/// Server: the gateway reported `failed` without a code.
pub const UNSPECIFIED: &str = "UNSPECIFIED";
/// Server: the gateway fell silent past the task's deadline.
pub const TIMEOUT: &str = "TIMEOUT";
/// Server: after `completed`, no heartbeat proved the new version in time.
pub const UNCONFIRMED: &str = "UNCONFIRMED";
/// Server: after `completed`, the gateway came back with another version.
pub const ROLLED_BACK: &str = "ROLLED_BACK";

// Of packages on Linux devices: the agent reports them.

/// A `BeforeUpdate` or `AfterUpdate` command exited with another code than 0.
pub const SCRIPT_FAILED: &str = "SCRIPT_FAILED";
/// A command of the package ran longer than it may.
pub const SCRIPT_TIMEOUT: &str = "SCRIPT_TIMEOUT";
/// The health command did not confirm the new version.
pub const HEALTH_FAILED: &str = "HEALTH_FAILED";
/// The device has too little space. Tried again.
pub const DISK_FULL: &str = "DISK_FULL";
/// The file is none of the archives that are understood, or would leave its folder.
pub const UNPACK_FAILED: &str = "UNPACK_FAILED";
/// No version of a package satisfies what others require of it.
pub const DEPENDENCY_UNMET: &str = "DEPENDENCY_UNMET";
/// Packages require each other in a circle.
pub const DEPENDENCY_CYCLE: &str = "DEPENDENCY_CYCLE";
/// The device stopped in the middle of the update, time after time.
pub const INTERRUPTED: &str = "INTERRUPTED";

// Of signed bundles: the gateway reports them, the server answers them in lower case.

/// The bundle, or the command, has no signature, and this gateway trusts keys alone.
pub const UNSIGNED: &str = "UNSIGNED";
/// Signed, but by no key that is trusted at the time.
pub const UNTRUSTED_KEY: &str = "UNTRUSTED_KEY";
/// The manifest is not what the trusted key signed.
pub const BAD_SIGNATURE: &str = "BAD_SIGNATURE";
/// The signed manifest makes no sense.
pub const INVALID_MANIFEST: &str = "INVALID_MANIFEST";
/// A part, or the command, is not what the signed manifest says.
pub const PART_MISMATCH: &str = "PART_MISMATCH";
/// An older release than the one that is there.
pub const RELEASE_ROLLBACK: &str = "RELEASE_ROLLBACK";
/// The manifest's `expiresAt` has passed.
pub const BUNDLE_EXPIRED: &str = "BUNDLE_EXPIRED";
/// More data than announced or allowed.
pub const BUNDLE_TOO_LARGE: &str = "BUNDLE_TOO_LARGE";
/// The data ends early.
pub const BUNDLE_TRUNCATED: &str = "BUNDLE_TRUNCATED";
/// A name that could lead out of the bundle.
pub const UNSAFE_PATH: &str = "UNSAFE_PATH";
/// No archive of a bundle's form.
pub const BUNDLE_MALFORMED: &str = "BUNDLE_MALFORMED";
/// For another board, chip or device type.
pub const WRONG_TARGET: &str = "WRONG_TARGET";
/// The version that runs is below the release's `minVersion`.
pub const MIN_VERSION: &str = "MIN_VERSION";
