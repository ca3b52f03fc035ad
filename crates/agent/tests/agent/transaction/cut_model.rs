//! What a power cut does to a file system with a journal (ext4, XFS, btrfs, F2FS), as these promise
//! it and no more.
//!
//! - Names (make, link, rename, exchange, remove) are changed in memory first. Each change is kept
//!   or lost as a whole; a rename is never half. What was not made safe is kept or lost by lot, in
//!   any combination, except that a change is lost with an earlier one it builds on: one of the
//!   same name, or of a folder above or below it. ext4 itself keeps their order; others do not.
//! - A sync of a folder makes the changes of its names safe, and what those build on. Nothing else:
//!   a sync of a file does not keep its name (with ext4 it would).
//! - A file's bytes are safe as of its last sync. Later ones are kept, lost, cut short or zeros
//!   from some byte on, whether or not its name is kept: so a rename may arrive before the bytes.
//! - A link's target goes with its name. What scripts write themselves is their own affair: it is
//!   kept here.

use std::{
    collections::HashMap,
    fs, io,
    os::unix::fs::{MetadataExt, PermissionsExt, symlink},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard},
};

use airlift_agent::disk::{Act, Witness};
use rustix::fs::{CWD, RenameFlags, renameat_with};

use super::child::die;

/// Cuts the power at a moment, the end of everything among them.
#[derive(Clone)]
pub struct Cutter(Arc<Mutex<Model>>);

struct Model {
    at: usize,
    moment: usize,
    lot: fastrand::Rng,
    /// Syncs of what ends with this are left out.
    forgotten: Option<String>,
    changes: Vec<Change>,
    /// By inode.
    files: HashMap<u64, Bytes>,
    /// What the act under way will replace or remove.
    replaced: Option<Thing>,
    was_there: bool,
}

/// A change of names.
struct Change {
    act: Act,
    replaced: Option<Thing>,
    is_safe: bool,
}

/// A file's bytes that are safe, and where it is.
struct Bytes {
    path: PathBuf,
    safe: Vec<u8>,
}

/// What had a name, to be brought back.
enum Thing {
    File(Vec<u8>, u32),
    Link(PathBuf),
    Folder(u32),
}

impl Cutter {
    pub fn new(at: usize, seed: u64, forgotten: Option<&str>) -> Cutter {
        Cutter(Arc::new(Mutex::new(Model {
            at,
            moment: 0,
            lot: fastrand::Rng::with_seed(seed),
            forgotten: forgotten.map(str::to_owned),
            changes: Vec::new(),
            files: HashMap::new(),
            replaced: None,
            was_there: false,
        })))
    }

    fn model(&self) -> MutexGuard<'_, Model> {
        self.0.lock().unwrap()
    }

    /// The cut after everything, if it has not come before.
    pub fn end(&self) {
        self.model().cut();
    }
}

impl Witness for Cutter {
    fn before(&self, act: &Act) {
        let mut model = self.model();
        if model.moment == model.at {
            model.cut();
        }
        model.moment += 1;
        model.remember(act).unwrap();
    }

    fn after(&self, act: &Act) {
        self.model().record(act);
    }
}

impl Model {
    fn remember(&mut self, act: &Act) -> io::Result<()> {
        self.replaced = match act {
            Act::Rename { to: path, .. } | Act::Remove { path } => thing(path)?,
            _ => None,
        };
        match act {
            Act::Create { path } => {
                self.was_there = path.exists();
                self.know(path)
            }
            Act::Write { path } | Act::Append { path } | Act::Truncate { path, .. } => {
                self.know(path)
            }
            _ => Ok(()),
        }
    }

    /// Takes a file's bytes as safe if it was not met before.
    fn know(&mut self, path: &Path) -> io::Result<()> {
        if let Ok(there) = fs::metadata(path) {
            let (path, safe) = (path.to_owned(), fs::read(path)?);
            self.files
                .entry(there.ino())
                .or_insert(Bytes { path, safe });
        }
        Ok(())
    }

    fn record(&mut self, act: &Act) {
        let forgets = |path: &Path| {
            let forgotten = self.forgotten.as_deref();
            forgotten.is_some_and(|end| path.to_string_lossy().ends_with(end))
        };
        match act {
            Act::Sync { path } if !forgets(path) => {
                let inode = fs::metadata(path).unwrap().ino();
                let safe = fs::read(path).unwrap();
                let path = path.clone();
                self.files.insert(inode, Bytes { path, safe });
            }
            Act::SyncDir { path } if !forgets(path) => self.make_safe(path),
            Act::Create { path } if !self.was_there => {
                let inode = fs::metadata(path).unwrap().ino();
                let (path, safe) = (path.clone(), Vec::new());
                self.files.insert(inode, Bytes { path, safe });
                self.change(act);
            }
            Act::Rename { from, to } => {
                for file in self.files.values_mut().filter(|file| file.path == *from) {
                    file.path.clone_from(to);
                }
                self.change(act);
            }
            Act::CreateDir { .. }
            | Act::Symlink { .. }
            | Act::Exchange { .. }
            | Act::Remove { .. } => self.change(act),
            _ => {}
        }
    }

    fn change(&mut self, act: &Act) {
        self.changes.push(Change {
            act: act.clone(),
            replaced: self.replaced.take(),
            is_safe: false,
        });
    }

    fn make_safe(&mut self, folder: &Path) {
        for index in (0..self.changes.len()).rev() {
            let change = &self.changes[index];
            let is_in = |path: &&PathBuf| path.parent() == Some(folder);
            let later = &self.changes[index + 1..];
            let needed = later.iter().any(|it| it.is_safe && it.builds_on(change));
            if needed || change.touches().iter().any(is_in) {
                self.changes[index].is_safe = true;
            }
        }
    }

    /// Loses what may be lost, and dies.
    fn cut(&mut self) -> ! {
        // Some cuts lose all they can, and some nothing but bytes.
        let odds = [0.0, 0.2, 0.5, 0.8, 1.0][self.lot.usize(..5)];
        self.tear(odds).unwrap();
        let mut lost: Vec<usize> = Vec::new();
        for index in 0..self.changes.len() {
            let change = &self.changes[index];
            let with_earlier = lost.iter().any(|it| change.builds_on(&self.changes[*it]));
            if !change.is_safe && (with_earlier || self.lot.f64() < odds) {
                lost.push(index);
            }
        }
        for index in lost.into_iter().rev() {
            self.changes[index].undo().unwrap();
        }
        die();
    }

    fn tear(&mut self, odds: f64) -> io::Result<()> {
        let mut files: Vec<&Bytes> = self.files.values().collect();
        files.sort_by(|a, b| a.path.cmp(&b.path));
        for file in files {
            let Ok(mut bytes) = fs::read(&file.path) else {
                continue;
            };
            if bytes == file.safe || self.lot.f64() >= odds {
                continue;
            }
            let pairs = bytes.iter().zip(&file.safe);
            let common = pairs.take_while(|(a, b)| a == b).count();
            let from = self.lot.usize(common..=bytes.len());
            match self.lot.u8(..3) {
                0 => bytes.clone_from(&file.safe),
                1 => bytes.truncate(from),
                _ => bytes[from..].fill(0),
            }
            fs::write(&file.path, bytes)?;
        }
        Ok(())
    }
}

impl Change {
    fn touches(&self) -> Vec<&PathBuf> {
        match &self.act {
            Act::Rename { from, to } => vec![from, to],
            Act::Exchange { a, b } => vec![a, b],
            Act::Create { path }
            | Act::CreateDir { path }
            | Act::Symlink { path, .. }
            | Act::Remove { path } => vec![path],
            other => panic!("{other:?} changes no name"),
        }
    }

    fn builds_on(&self, earlier: &Change) -> bool {
        let related = |a: &PathBuf, b: &PathBuf| a.starts_with(b) || b.starts_with(a);
        let earlier = earlier.touches();
        let own = self.touches();
        own.iter()
            .any(|own| earlier.iter().any(|earlier| related(own, earlier)))
    }

    fn undo(&self) -> io::Result<()> {
        match &self.act {
            Act::Create { path } | Act::Symlink { path, .. } => fs::remove_file(path),
            Act::CreateDir { path } => fs::remove_dir(path),
            Act::Rename { from, to } => {
                fs::rename(to, from)?;
                self.bring_back(to)
            }
            Act::Exchange { a, b } => Ok(renameat_with(CWD, a, CWD, b, RenameFlags::EXCHANGE)?),
            Act::Remove { path } => self.bring_back(path),
            other => panic!("{other:?} changes no name"),
        }
    }

    fn bring_back(&self, path: &Path) -> io::Result<()> {
        let mode = match &self.replaced {
            None => return Ok(()),
            Some(Thing::Link(target)) => return symlink(target, path),
            Some(Thing::File(bytes, mode)) => {
                fs::write(path, bytes)?;
                *mode
            }
            Some(Thing::Folder(mode)) => {
                fs::create_dir(path)?;
                *mode
            }
        };
        fs::set_permissions(path, fs::Permissions::from_mode(mode))
    }
}

fn thing(path: &Path) -> io::Result<Option<Thing>> {
    let Ok(there) = fs::symlink_metadata(path) else {
        return Ok(None);
    };
    let mode = there.permissions().mode() & 0o7777;
    Ok(Some(if there.is_symlink() {
        Thing::Link(fs::read_link(path)?)
    } else if there.is_dir() {
        Thing::Folder(mode)
    } else {
        Thing::File(fs::read(path)?, mode)
    }))
}
