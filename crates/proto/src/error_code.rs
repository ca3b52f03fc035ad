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
