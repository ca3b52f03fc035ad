//! Releases that nothing needs any more.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use airlift_package::is_sha256;

use crate::{
    disk::{Disk, folder_of, none_if_missing},
    folders::Folders,
    state::State,
};

/// Behind the name of a release that is being removed: half a release must not look like one.
const GOING: &str = ".going";

/// What the packages that are installed need: their release and the one before.
pub fn used_by(state: &State) -> Vec<PathBuf> {
    let installed = state.installed.values();
    installed
        .flat_map(|installed| {
            let link = fs::read_link(&installed.content.local).ok();
            [&installed.release, &installed.previous, &link].map(Clone::clone)
        })
        .flatten()
        .collect()
}

/// Removes the releases that none of `used` is or lies in, and finishes removals cut short.
pub fn releases(disk: &Disk, folders: &Folders, used: &[PathBuf]) {
    let releases = folders.releases();
    let is_used = |release: &Path| used.iter().any(|used| used.starts_with(release));
    for release in entries(&releases) {
        let name = release.file_name().unwrap_or_default().to_string_lossy();
        if is_sha256(&name) && !is_used(&release) {
            let going = releases.join(format!("{name}{GOING}"));
            let moved = disk.rename(&release, &going);
            or_warn(&release, moved.and_then(|()| disk.sync_dir(&releases)));
        }
    }
    sweep(disk, folders);
}

/// Finishes removals that were cut short.
pub fn sweep(disk: &Disk, folders: &Folders) {
    for going in entries(&folders.releases()) {
        if going.to_string_lossy().ends_with(GOING) {
            or_warn(&going, remove_beside(disk, &going));
        }
    }
}

/// Removes `path` and all in it, and makes that safe.
pub fn remove_beside(disk: &Disk, path: &Path) -> io::Result<()> {
    disk.remove_tree(path)?;
    disk.sync_dir(folder_of(path))
}

pub fn or_warn(path: &Path, result: io::Result<()>) {
    if let Err(error) = result {
        tracing::warn!(path = %path.display(), %error, "could not be removed");
    }
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    match none_if_missing(fs::read_dir(folder)) {
        Ok(entries) => entries
            .into_iter()
            .flatten()
            .filter_map(|entry| Some(entry.ok()?.path()))
            .collect(),
        Err(error) => {
            or_warn(folder, Err(error));
            Vec::new()
        }
    }
}
