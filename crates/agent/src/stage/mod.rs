//! Puts the file of a version where a transaction can swap it in: fetched, checked, unpacked.
//!
//! [`download`] keeps what it has over cuts and restarts, [`unpack`] makes a release of it, [`tree`]
//! is for archives.

pub mod download;
mod tree;
pub mod unpack;

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use airlift_package::Content;
use airlift_proto::error_code;

use crate::{
    disk::{Disk, is_full, none_if_missing},
    folders::Folders,
    state::State,
};

/// Why a version cannot be installed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Trouble {
    /// One of [`airlift_proto::error_code`].
    pub code: &'static str,
    pub message: String,
}

impl Trouble {
    pub fn new(code: &'static str, message: impl Into<String>) -> Trouble {
        Trouble {
            code,
            message: message.into(),
        }
    }

    /// Of an error of the file system, on the way to what `code` says.
    fn of_disk(code: &'static str, what: &str, error: &io::Error) -> Trouble {
        match is_full(error) {
            true => Trouble::new(
                error_code::DISK_FULL,
                format!("{what}: no space is left on the device; make room in the state folder"),
            ),
            false => Trouble::new(code, format!("{what}: {error}")),
        }
    }
}

/// Why nothing was staged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StageError {
    Trouble(Trouble),
    /// The agent is to end; what was fetched stays.
    Stopped,
    /// The server took its command back.
    Cancelled,
}

impl From<Trouble> for StageError {
    fn from(trouble: Trouble) -> Self {
        StageError::Trouble(trouble)
    }
}

/// A folder of releases that no package stands on: the file's digest, or with a number behind it if a
/// package stands on that. What is in it is removed first, so a release is never used twice: scripts
/// may have changed it.
pub fn free_release(
    folders: &Folders,
    disk: &Disk,
    used: &[PathBuf],
    sha256: &str,
) -> io::Result<PathBuf> {
    let mut path = folders.release(sha256);
    let mut number = 1;
    while is_stood_on(used, &path) {
        path = folders.release(&format!("{sha256}-{number}"));
        number += 1;
    }
    disk.remove_tree(&path)?;
    Ok(path)
}

/// Removes releases that no package stands on, and what was never unpacked to its end. Not to be
/// called while a transaction is open.
pub fn sweep(folders: &Folders, disk: &Disk, used: &[PathBuf]) -> io::Result<()> {
    for path in entries(&folders.releases())? {
        if !is_stood_on(used, &path) {
            disk.remove_tree(&path)?;
        }
    }
    Ok(())
}

/// Removes downloads that nobody goes on with.
pub fn sweep_downloads(folders: &Folders, disk: &Disk, wanted: &[String]) -> io::Result<()> {
    let wanted: Vec<PathBuf> = wanted.iter().map(|it| folders.download(it)).collect();
    for path in entries(&folders.downloads())? {
        if !wanted.contains(&path) {
            disk.remove_tree(&path)?;
        }
    }
    Ok(())
}

fn entries(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let Some(entries) = none_if_missing(fs::read_dir(folder))? else {
        return Ok(Vec::new());
    };
    entries.map(|entry| Ok(entry?.path())).collect()
}

/// What packages stand on: what the state says, and what is really at their places, though the state
/// may have been lost.
pub fn used(state: &State, listed: &[Content]) -> Vec<PathBuf> {
    let known = state.installed.values();
    let contents = known.clone().map(|it| &it.content).chain(listed);
    let links = contents.filter_map(|it| fs::read_link(&it.local).ok());
    let releases = known.flat_map(|it| [it.release.clone(), it.previous.clone()]);
    releases.flatten().chain(links).collect()
}

fn is_stood_on(used: &[PathBuf], release: &Path) -> bool {
    used.iter().any(|it| it.starts_with(release))
}
