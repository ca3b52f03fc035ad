use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Signer;

/// A version of a package for Linux devices, on a branch.
#[derive(Clone, Debug, PartialEq)]
pub struct Package {
    pub package_id: Uuid,
    pub name: String,
    pub branch: String,
    /// Unique within the branch; see [`airlift_package::Version`].
    pub version: String,
    /// `content.json`, byte for byte as it was uploaded.
    pub content: String,
    /// Bytes.
    pub file_size: i64,
    /// Lower-case hex.
    pub md5: String,
    /// Lower-case hex; the blob's name.
    pub sha256: String,
    /// Of `content`: the detached OpenPGP signature, armored.
    pub signature: Option<String>,
    /// The trusted key that made it.
    pub signed_by: Option<Signer>,
    /// Since when the branch's head is below it.
    pub withdrawn_at: Option<DateTime<Utc>>,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

/// A branch of a package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackageBranch {
    pub branch: String,
    /// The highest version that is not withdrawn.
    pub head: Option<String>,
    /// How many there are, with those that are withdrawn.
    pub versions: i64,
    pub withdrawn: i64,
}

/// The package's version that a firmware is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PackageOrigin {
    pub name: String,
    pub branch: String,
    /// Whether its `content.json` came with a signature, by whomever.
    #[serde(default)]
    pub has_signature: bool,
    /// The trusted key that signed its `content.json`.
    pub signed_by: Option<Signer>,
    /// Since when its server gives it to no device any more; looked up, not stored with it.
    #[serde(skip)]
    pub withdrawn_at: Option<DateTime<Utc>>,
}

impl Package {
    /// What the audit log calls it.
    pub fn subject(&self) -> String {
        format!("{}/{}", self.name, self.version)
    }

    /// What a firmware that is made of it says of it.
    pub fn origin(&self) -> PackageOrigin {
        PackageOrigin {
            name: self.name.clone(),
            branch: self.branch.clone(),
            has_signature: self.signature.is_some(),
            signed_by: self.signed_by.clone(),
            withdrawn_at: self.withdrawn_at,
        }
    }
}

impl PackageOrigin {
    /// What a command or an announcement calls it.
    pub const KIND: &str = "package";
}

/// What a task does to one package of a device.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PackageChange {
    pub name: String,
    /// `None`: it was not there.
    pub from_version: Option<String>,
    pub to_version: String,
}
