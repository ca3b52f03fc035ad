use serde::{Deserialize, Serialize};

use crate::Text;

/// Where releases are announced. The leading slash is part of it, and no prefix is.
pub const AVAILABLE_TOPIC: &str = "/jxct/ota/available";

/// Server to everyone, on [`AVAILABLE_TOPIC`]: a release that can be had. Not retained.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", bound(deserialize = "S: Deserialize<'de>"))]
pub struct Available<S = Text> {
    pub version: S,
    pub device_type: S,
    /// `firmware`, `web` or `firmware+web`.
    pub kind: S,
    /// Of a bundle: the board's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<S>,
    /// Of a bundle.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release_counter: Option<i64>,
    /// The lowest version from which it may be installed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_version: Option<S>,
    /// Bytes of the file at `file_url`: of a bundle, its first part.
    pub file_size: u64,
    /// Lower-case hex, of the same file.
    pub sha256: S,
    pub file_url: S,
    /// Of a bundle.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifest_url: Option<S>,
    /// Of a bundle.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature_url: Option<S>,
    /// Markdown.
    pub changelog_url: S,
    /// RFC 3339, UTC.
    pub release_date: S,
    /// Unix seconds of the announcement.
    pub timestamp: i64,
}

/// Server to operators, on [`crate::Topics::alerts`]. Not retained.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "alloc", derive(Deserialize))]
#[serde(tag = "alert")]
#[cfg_attr(feature = "alloc", serde(bound(deserialize = "S: Deserialize<'de>")))]
pub enum Alert<S = Text> {
    /// A bundle, or a command, was refused because it is not what a trusted key signed, or must not
    /// be installed.
    #[serde(rename = "signature_failure")]
    SignatureFailure(SignatureFailure<S>),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", bound(deserialize = "S: Deserialize<'de>"))]
pub struct SignatureFailure<S = Text> {
    /// One of [`crate::error_code`].
    pub code: S,
    pub source: AlertSource,
    /// The gateway that refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway_id: Option<S>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_type: Option<S>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<S>,
    /// What happened, for people.
    pub message: S,
    /// How many like it the server kept to itself since the last one it sent: same code, same
    /// device type.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub suppressed: u64,
    /// Unix seconds, by the server's clock.
    pub timestamp: i64,
}

/// Who refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AlertSource {
    /// At the upload.
    Server,
    /// Before the download, or after it.
    Gateway,
}

impl AlertSource {
    pub const fn as_str(self) -> &'static str {
        match self {
            AlertSource::Server => "server",
            AlertSource::Gateway => "gateway",
        }
    }
}

#[allow(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
fn is_zero(count: &u64) -> bool {
    *count == 0
}
