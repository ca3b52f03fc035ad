use airlift_bundle::Kind;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// What a signed bundle says of itself, and its files.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Bundle {
    pub kind: Kind,
    /// The board's name.
    pub target: String,
    /// Grows with each release of the device type.
    pub release_counter: i64,
    /// Devices that run a later release take it all the same.
    pub allow_rollback: bool,
    /// When it was built, by its builder's clock.
    pub built_at: DateTime<Utc>,
    /// After it no device begins the update.
    pub expires_at: Option<DateTime<Utc>>,
    /// `None`: taken in while no key was trusted.
    pub signed_by: Option<Signer>,
    pub manifest: BundleFile,
    pub signature: BundleFile,
    /// In the order of the manifest; the first is the file that the firmware names.
    pub parts: Vec<BundlePart>,
}

impl Bundle {
    /// `firmware`, `web` or `firmware+web`.
    pub fn kind(&self) -> &'static str {
        self.kind.as_str()
    }

    /// Its files beside the one that the firmware names.
    pub fn files_beside(&self) -> impl Iterator<Item = &BundleFile> {
        let parts = self.parts.iter().skip(1).map(|part| &part.file);
        [&self.manifest, &self.signature].into_iter().chain(parts)
    }
}

/// The name under `/firmware/` of a bundle's file that is not its first part; `name` is the one it
/// has in the bundle. Only SemVer stands before it, so it is no other firmware's.
pub fn bundle_file_name(device_type: &str, version: &str, name: &str) -> String {
    format!("{device_type}_v{version}.{name}")
}

/// A trusted key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Signer {
    /// The name of the key's file among the trusted keys.
    pub name: String,
    /// Upper-case hex.
    pub fingerprint: String,
}

/// A stored file of a bundle.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BundleFile {
    /// Under `/firmware/`.
    pub file_name: String,
    /// Bytes.
    pub size: i64,
    /// Lower-case hex; the blob's name.
    pub sha256: String,
}

/// A file that goes into the flash.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BundlePart {
    /// `firmware.bin` or `web_spiffs.bin`.
    pub name: String,
    /// `app` or a partition's label.
    pub partition: String,
    #[serde(flatten)]
    pub file: BundleFile,
    /// Lower-case hex.
    pub md5: String,
}
