//! What stands at `local`, and what takes its place.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use crate::{
    disk::{Disk, cannot_exchange, folder_of, none_if_missing, with_suffix},
    journal::Was,
};

/// Where a file or folder of its own that stood at `local` is kept.
pub fn kept(local: &Path) -> PathBuf {
    with_suffix(local, ".airlift-old")
}

/// A link on its way to `local`.
fn coming(local: &Path) -> PathBuf {
    with_suffix(local, ".airlift-new")
}

/// What stands at `path`.
pub fn look(path: &Path) -> io::Result<Was> {
    let there = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => None,
        there => none_if_missing(there)?,
    };
    Ok(match there {
        None => Was::Nothing,
        Some(there) if there.is_symlink() => Was::Link(fs::read_link(path)?),
        Some(_) => Was::Real,
    })
}

/// Takes away what was kept of an earlier update, for what stands at `local` now.
pub fn make_room(disk: &Disk, local: &Path) -> io::Result<()> {
    if look(&kept(local))? == Was::Nothing {
        return Ok(());
    }
    disk.remove_tree(&kept(local))?;
    disk.sync_dir(folder_of(local))
}

/// Makes `local` a link to `target`, at once: whoever looks finds the old or the new. A file or
/// folder that stood there is kept; [`make_room`] comes first. Safe when this returns.
pub fn point(disk: &Disk, local: &Path, target: &Path) -> io::Result<()> {
    let (coming, kept) = (coming(local), kept(local));
    if look(local)? == Was::Real {
        disk.symlink(target, &kept)?;
        match disk.exchange(&kept, local) {
            Ok(()) => return disk.sync_dir(folder_of(local)),
            Err(error) => disk.remove(&kept).and_then(|()| match error {
                error if cannot_exchange(&error) => Ok(()),
                error => Err(error),
            })?,
        }
        disk.rename(local, &kept)?;
    }
    disk.remove_tree(&coming)?;
    disk.symlink(target, &coming)?;
    disk.rename(&coming, local)?;
    disk.sync_dir(folder_of(local))
}

/// Makes `local` what it was, whatever stands there now. It may have been begun before and cut
/// short anywhere. `swapped`: whether the swap had been announced. Safe when this returns; says if
/// something is lost that a script took away.
pub fn put_back(disk: &Disk, local: &Path, was: &Was, swapped: bool) -> io::Result<Option<String>> {
    let mut lost = None;
    match was {
        Was::Link(target) if look(local)? != *was => {
            if look(local)? == Was::Real {
                make_room(disk, local)?;
            }
            point(disk, local, target)?;
        }
        Was::Link(_) => {}
        Was::Nothing => match look(local)? {
            Was::Nothing => {}
            Was::Link(_) => disk.remove(local)?,
            Was::Real => {
                make_room(disk, local)?;
                disk.rename(local, &kept(local))?;
            }
        },
        Was::Real if swapped => lost = put_kept_back(disk, local)?,
        Was::Real if look(local)? != Was::Real => {
            lost = Some(format!(
                "what stood at {} was taken away by BeforeUpdate and cannot be put back",
                local.display()
            ));
        }
        Was::Real => {}
    }
    if look(folder_of(local))? != Was::Nothing {
        disk.remove_tree(&coming(local))?;
        // Also if nothing was to be done: it may have been done, and not made safe, before a crash.
        disk.sync_dir(folder_of(local))?;
    }
    Ok(lost)
}

/// Before the swap `kept` was free. So what is there is nothing or a link, as long as the file or
/// folder stands at `local`; else the file or folder.
fn put_kept_back(disk: &Disk, local: &Path) -> io::Result<Option<String>> {
    let kept = kept(local);
    if look(&kept)? != Was::Real {
        disk.remove_if_there(&kept)?;
        return Ok((look(local)? != Was::Real).then(|| {
            format!(
                "what stood at {} was taken away from {} by a script and cannot be put back",
                local.display(),
                kept.display()
            )
        }));
    }
    match look(local)? {
        Was::Nothing => {}
        Was::Link(_) => match disk.exchange(&kept, local) {
            Ok(()) => return disk.remove(&kept).map(|()| None),
            Err(error) if cannot_exchange(&error) => disk.remove(local)?,
            Err(error) => return Err(error),
        },
        // A script of the new version replaced the link.
        Was::Real => {
            disk.remove_tree(&coming(local))?;
            disk.rename(local, &coming(local))?;
        }
    }
    disk.rename(&kept, local)?;
    Ok(None)
}
