use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use airlift_package::Content;
use airlift_proto::error_code;
use serde::{Deserialize, Serialize};

use crate::{
    disk::{Disk, none_if_missing},
    folders::Folders,
};

/// `state.json`: what is installed, and what must not be tried again.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct State {
    /// By package.
    pub installed: BTreeMap<String, Installed>,
    /// By package: the version that failed last.
    pub failed: BTreeMap<String, FailedVersion>,
    /// By package: updates that the device did not live to see the end of.
    pub interruptions: BTreeMap<String, Interruption>,
}

/// A package as it stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Installed {
    pub content: Content,
    /// SHA-256 of the bytes of its `content.json`, lower hex.
    pub content_digest: String,
    /// What `local` points at; none if the agent did not install it.
    pub release: Option<PathBuf>,
    /// What `local` was before, kept until the next update: a release, or `<local>.airlift-old`.
    pub previous: Option<PathBuf>,
    /// Unix seconds.
    pub updated_at: i64,
}

/// A version that is not tried again until its content changes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FailedVersion {
    pub content_digest: String,
    pub version: String,
    /// One of `airlift_proto::error_code`.
    pub code: String,
    pub message: String,
    /// Unix seconds.
    pub failed_at: i64,
}

/// Whether a failure lies outside the version, so that the same one is tried again.
pub fn may_pass(code: &str) -> bool {
    [
        error_code::DISK_FULL,
        error_code::DOWNLOAD_FAILED,
        error_code::INSTALL_FAILED,
    ]
    .contains(&code)
}

/// How often in a row an update was cut short while this package was at it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Interruption {
    pub content_digest: String,
    /// The transaction that was counted last.
    pub transaction: String,
    pub times: u32,
}

#[derive(Debug, thiserror::Error)]
pub enum StateError {
    #[error("{path}: {error}")]
    Io { path: PathBuf, error: io::Error },
    #[error(
        "{path} is damaged: {error}. Put a copy back, or remove it: then the device JSON's versions count as installed"
    )]
    Damaged {
        path: PathBuf,
        error: serde_json::Error,
    },
}

impl State {
    /// What was kept last; nothing, on a new device.
    pub fn load(folders: &Folders) -> Result<State, StateError> {
        let path = folders.state_file();
        let bytes = none_if_missing(fs::read(&path)).map_err(|error| io_error(&path, error))?;
        match bytes {
            Some(bytes) => {
                serde_json::from_slice(&bytes).map_err(|error| StateError::Damaged { path, error })
            }
            None => Ok(State::default()),
        }
    }

    /// Keeps it; safe when this returns.
    pub fn save(&self, folders: &Folders, disk: &Disk) -> Result<(), StateError> {
        let path = folders.state_file();
        let mut bytes =
            serde_json::to_vec_pretty(self).map_err(|error| io_error(&path, error.into()))?;
        bytes.push(b'\n');
        disk.write_synced(&path, &bytes, 0o644)
            .map_err(|error| io_error(&path, error))
    }
}

fn io_error(path: &Path, error: io::Error) -> StateError {
    let path = path.to_owned();
    StateError::Io { path, error }
}
