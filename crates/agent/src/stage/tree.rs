//! Tar archives, from people who may have made mistakes or worse: nothing lands outside the folder.

use std::{
    fs::{self, File},
    io::{self, Read},
    os::unix::fs::{PermissionsExt, lchown},
    path::{Component, Path, PathBuf},
    time::{Duration, SystemTime},
};

use tar::{Archive, Entry, EntryType, Header};

use super::unpack::copy;
use crate::disk::{Act, Disk, none_if_missing};

/// Folders that the archive does not list.
const FOLDER_MODE: u32 = 0o755;

/// Whether a tar archive begins so: its first header's checksum is right.
pub fn is_header(head: &[u8]) -> bool {
    let Ok(bytes) = <&[u8; 512]>::try_from(head) else {
        return false;
    };
    let header = Header::from_byte_slice(bytes);
    let Ok(written) = header.cksum() else {
        return false;
    };
    let blanks = 8 * u32::from(b' ');
    let sum = |bytes: &[u8]| bytes.iter().map(|byte| u32::from(*byte)).sum::<u32>();
    written != blanks && written == sum(&bytes[..148]) + blanks + sum(&bytes[156..])
}

/// Unpacks an archive into a folder that is there and empty.
pub fn unpack(
    disk: &Disk,
    stream: &mut dyn Read,
    root: &Path,
    beat: &mut dyn FnMut(),
) -> io::Result<()> {
    let mut archive = Archive::new(stream);
    let mut tree = Tree {
        disk,
        root,
        is_root: rustix::process::geteuid().is_root(),
        folders: Vec::new(),
    };
    for entry in archive.entries()? {
        let mut entry = entry?;
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        tree.add(&mut entry, beat)
            .map_err(|error| named(&name, error))?;
        beat();
    }
    tree.finish_folders()
}

/// An error with the entry's name; its kind, and whether the disk is full, stays.
fn named(name: &str, error: io::Error) -> io::Error {
    match error.raw_os_error() {
        Some(_) if crate::disk::is_full(&error) => error,
        _ => io::Error::new(error.kind(), format!("{name:?} in the archive: {error}")),
    }
}

struct Tree<'a> {
    disk: &'a Disk,
    root: &'a Path,
    /// Only root can give files away.
    is_root: bool,
    /// Their modes come last: some could not be written into any more.
    folders: Vec<(PathBuf, Owner)>,
}

/// Mode and owner, as the archive says.
struct Owner {
    mode: u32,
    user: u32,
    group: u32,
}

impl Tree<'_> {
    fn add(&mut self, entry: &mut Entry<&mut dyn Read>, beat: &mut dyn FnMut()) -> io::Result<()> {
        let kind = entry.header().entry_type();
        if kind == EntryType::XGlobalHeader {
            return Ok(());
        }
        refuse_sparse(entry)?;
        let inside = inside(&entry.path()?)?;
        let path = self.root.join(&inside);
        let owner = self.owner(entry.header())?;
        if kind == EntryType::Directory {
            self.folder(&inside)?;
            self.folders.push((path, owner));
            return Ok(());
        }
        let Some(above) = inside.parent() else {
            return Err(refusal("has no name"));
        };
        self.folder(above)?;
        self.make_way(&path)?;
        match kind {
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
                let mut file = self.disk.create(&path, 0o600)?;
                let time = entry.header().mtime().unwrap_or_default();
                copy(self.disk, entry, &mut file, &path, beat)?;
                set_time(&file, time);
                self.give(&path, &owner)
            }
            EntryType::Symlink => {
                let target = entry.link_name()?;
                let target = target.ok_or_else(|| refusal("leads nowhere"))?;
                self.disk.symlink(&target, &path)?;
                match self.is_root {
                    true => lchown(&path, Some(owner.user), Some(owner.group)),
                    false => Ok(()),
                }
            }
            EntryType::Link => {
                let target = entry.link_name()?;
                let target = target.ok_or_else(|| refusal("leads nowhere"))?;
                self.hard_link(&inside_of_link(&target)?, &path)
            }
            EntryType::Char | EntryType::Block | EntryType::Fifo => Err(refusal(
                "is a device or pipe; make it in AfterUpdate if it is needed",
            )),
            other => Err(refusal(&format!("is of the unknown kind {other:?}"))),
        }
    }

    fn owner(&self, header: &Header) -> io::Result<Owner> {
        // Who cannot give files away must not make them act as somebody else either.
        let bits = if self.is_root { 0o7777 } else { 0o777 };
        // Some writers leave the owner blank.
        let number = |id: io::Result<u64>| {
            u32::try_from(id.unwrap_or(0)).map_err(|_| refusal("has no possible owner"))
        };
        Ok(Owner {
            mode: header.mode()? & bits,
            user: number(header.uid())?,
            group: number(header.gid())?,
        })
    }

    /// Makes a folder and those above it. None of them may be a link: it could lead anywhere.
    fn folder(&self, inside: &Path) -> io::Result<()> {
        let mut path = self.root.to_owned();
        for name in inside.components() {
            path.push(name);
            match none_if_missing(fs::symlink_metadata(&path))? {
                None => {
                    self.disk.create_dir(&path)?;
                    self.disk.set_mode(&path, FOLDER_MODE)?;
                }
                Some(there) if there.is_dir() => {}
                Some(there) if there.is_symlink() => {
                    return Err(refusal("goes through a symbolic link of the archive"));
                }
                Some(_) => return Err(refusal("goes through a file of the archive")),
            }
        }
        Ok(())
    }

    /// An entry that comes twice counts the second time.
    fn make_way(&self, path: &Path) -> io::Result<()> {
        match none_if_missing(fs::symlink_metadata(path))? {
            None => Ok(()),
            Some(there) if there.is_dir() => Err(refusal("is a folder and something else")),
            Some(_) => self.disk.remove(path),
        }
    }

    fn hard_link(&self, target: &Path, path: &Path) -> io::Result<()> {
        let mut from = self.root.to_owned();
        for name in target.components() {
            let is_through_link = fs::symlink_metadata(&from)?.is_symlink();
            if is_through_link {
                return Err(refusal("is linked through a symbolic link"));
            }
            from.push(name);
        }
        let there = none_if_missing(fs::symlink_metadata(&from))?;
        if !there.is_some_and(|it| it.is_file()) {
            return Err(refusal("is linked to what is no file before it"));
        }
        let act = Act::Create { path: path.into() };
        self.disk.act(act, || fs::hard_link(&from, path))
    }

    fn give(&self, path: &Path, owner: &Owner) -> io::Result<()> {
        let act = Act::SetMode {
            path: path.into(),
            mode: owner.mode,
        };
        self.disk.act(act, || {
            if self.is_root {
                lchown(path, Some(owner.user), Some(owner.group))?;
            }
            // After the owner: giving a file away takes its setuid bit.
            fs::set_permissions(path, fs::Permissions::from_mode(owner.mode))
        })
    }

    fn finish_folders(&self) -> io::Result<()> {
        // The inner ones first, while the outer ones still let us in.
        for (path, owner) in self.folders.iter().rev() {
            self.give(path, owner)?;
        }
        Ok(())
    }
}

fn refusal(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why.to_owned())
}

/// The name without `./`; names that lead out are refused.
fn inside(path: &Path) -> io::Result<PathBuf> {
    let mut inside = PathBuf::new();
    for part in path.components() {
        match part {
            Component::Normal(name) => inside.push(name),
            Component::CurDir => {}
            _ => {
                return Err(refusal(
                    "leads out of the package; pack with relative names",
                ));
            }
        }
    }
    Ok(inside)
}

fn inside_of_link(target: &Path) -> io::Result<PathBuf> {
    inside(target).map_err(|_| refusal("is linked to something outside of the package"))
}

/// Sparse files in the POSIX form would come out garbled.
fn refuse_sparse(entry: &mut Entry<&mut dyn Read>) -> io::Result<()> {
    let Some(extensions) = entry.pax_extensions()? else {
        return Ok(());
    };
    for extension in extensions {
        if extension?.key_bytes().starts_with(b"GNU.sparse.") {
            return Err(refusal(
                "is sparse in a form that is not understood; pack with tar --format=gnu",
            ));
        }
    }
    Ok(())
}

fn set_time(file: &File, seconds: u64) {
    let time = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds));
    // A time that the file system cannot keep is no reason to refuse a package.
    let _ = time.map(|time| file.set_modified(time));
}
