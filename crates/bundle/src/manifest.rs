//! `manifest.json`: what is signed.

use serde::{Deserialize, Serialize};

/// A bundle's manifest. Its canonical form is the JSON of this struct: no white space, members in
/// this order, those that are absent left out, `changelog` last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Manifest {
    /// [`crate::SCHEMA`].
    pub schema: u32,
    /// As firmwares have it, such as `gateway`.
    pub device_type: String,
    /// SemVer 2.0.
    pub version: String,
    /// The name of an [`airlift_esp::Target`].
    pub target: String,
    /// The word of a [`crate::Kind`].
    pub kind: String,
    /// Grows with each release of a device type, whatever its version; at least 1. A device takes
    /// none below the one it runs.
    pub release_counter: u64,
    /// A device takes this release although its counter is below the one it runs.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub allow_rollback: bool,
    /// The lowest version from which it may be installed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_version: Option<String>,
    /// Unix seconds.
    pub created_at: i64,
    /// Unix seconds; after it no device begins the update. `None`: it never expires.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<i64>,
    /// In the order of [`crate::Kind::parts`].
    pub parts: Vec<Part>,
    /// Markdown.
    #[serde(default)]
    pub changelog: String,
}

/// A file that goes into the flash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Part {
    /// [`crate::PartName::file_name`].
    pub name: String,
    /// [`crate::PartName::partition`].
    pub partition: String,
    /// Bytes.
    pub size: u64,
    /// Lower-case hex.
    pub sha256: String,
    /// Lower-case hex.
    pub md5: String,
}
