//! What a device keeps of a manifest.

use heapless::String;

use crate::{DEVICE_TYPE_BYTES_MAX, Kind, VERSION_BYTES_MAX};

/// Longest target, bytes.
pub const TARGET_BYTES_MAX: usize = 24;

/// A manifest without its changelog, and without an allocator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Release {
    pub device_type: String<DEVICE_TYPE_BYTES_MAX>,
    pub version: String<VERSION_BYTES_MAX>,
    pub target: String<TARGET_BYTES_MAX>,
    pub kind: Kind,
    pub release_counter: u64,
    pub allow_rollback: bool,
    pub min_version: Option<String<VERSION_BYTES_MAX>>,
    /// Unix seconds.
    pub created_at: i64,
    /// Unix seconds.
    pub expires_at: Option<i64>,
    /// There if the kind has it.
    pub firmware: Option<PartDigests>,
    /// There if the kind has it.
    pub web: Option<PartDigests>,
}

/// How a part is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartDigests {
    /// Bytes.
    pub size: u64,
    pub sha256: [u8; 32],
    pub md5: [u8; 16],
}
