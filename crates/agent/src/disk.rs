use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions, Permissions},
    io::{self, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt, symlink},
    path::{Path, PathBuf},
};

use rustix::fs::{CWD, RenameFlags, renameat_with};

/// One change of the system: a power cut or `kill -9` finds the device before it, or after it.
#[derive(Clone, Debug, PartialEq)]
pub enum Act {
    /// A file is made, or emptied; its bytes follow.
    Create {
        path: PathBuf,
    },
    /// Bytes go into a file; they are safe after [`Act::Sync`].
    Write {
        path: PathBuf,
    },
    /// Bytes go behind the end of a file.
    Append {
        path: PathBuf,
    },
    /// A file is cut to so many bytes.
    Truncate {
        path: PathBuf,
        length: u64,
    },
    /// A file's bytes and mode are made safe.
    Sync {
        path: PathBuf,
    },
    /// The names in a folder are made safe.
    SyncDir {
        path: PathBuf,
    },
    CreateDir {
        path: PathBuf,
    },
    Symlink {
        path: PathBuf,
        target: PathBuf,
    },
    Rename {
        from: PathBuf,
        to: PathBuf,
    },
    Exchange {
        a: PathBuf,
        b: PathBuf,
    },
    /// A file, a link or an empty folder.
    Remove {
        path: PathBuf,
    },
    SetMode {
        path: PathBuf,
        mode: u32,
    },
    /// A command of a package is started; after it, it runs.
    Script {
        package: String,
        stage: String,
    },
    /// Processes left behind by a script are killed.
    Kill {
        process: i32,
    },
}

/// Is told of every change. Tests use it to die, or to cut the power, at a chosen one.
pub trait Witness: Send + Sync {
    fn before(&self, act: &Act);
    fn after(&self, _act: &Act) {}
    /// Whether the act is to fail instead of being done: tests only.
    fn refusal(&self, _act: &Act) -> Option<io::Error> {
        None
    }
}

/// Looks away: production's.
pub struct Unwatched;

impl Witness for Unwatched {
    fn before(&self, _act: &Act) {}
}

/// Every change of the system that the agent makes goes through here.
pub struct Disk {
    witness: Box<dyn Witness>,
}

impl Default for Disk {
    fn default() -> Self {
        Disk::watched(Unwatched)
    }
}

impl Disk {
    pub fn watched(witness: impl Witness + 'static) -> Disk {
        Disk {
            witness: Box::new(witness),
        }
    }

    /// Does `act` by `what`, before the witness's eyes. An act that failed has no "after".
    pub fn act<T>(&self, act: Act, what: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        self.witness.before(&act);
        if let Some(error) = self.witness.refusal(&act) {
            return Err(error);
        }
        let done = what()?;
        self.witness.after(&act);
        Ok(done)
    }

    /// Replaces a file wholly or not at all; safe when this returns.
    pub fn write_synced(&self, path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
        let new = with_suffix(path, ".new");
        let replaced = self.write_new(&new, bytes, mode).and_then(|()| {
            self.rename(&new, path)?;
            self.sync_dir(folder_of(path))
        });
        if replaced.is_err() {
            // Also frees its space, when there is none left.
            let _ = self.remove_if_there(&new);
        }
        replaced
    }

    fn write_new(&self, path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
        let mut file = self.create(path, mode)?;
        self.write(&mut file, path, bytes)?;
        self.sync(&file, path)
    }

    /// Makes a file, or empties the one that is there. Neither name nor bytes are safe yet.
    pub fn create(&self, path: &Path, mode: u32) -> io::Result<File> {
        let act = Act::Create { path: path.into() };
        self.act(act, || {
            let file = OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(true)
                .mode(mode)
                .open(path)?;
            file.set_permissions(Permissions::from_mode(mode))?;
            Ok(file)
        })
    }

    pub fn write(&self, file: &mut File, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let act = Act::Write { path: path.into() };
        self.act(act, || file.write_all(bytes))
    }

    /// Writes behind the end and makes it safe. `file` stands at its end.
    pub fn append_synced(&self, file: &mut File, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let act = Act::Append { path: path.into() };
        self.act(act, || file.write_all(bytes))?;
        self.sync(file, path)
    }

    /// Cuts a file to `length` bytes. Safe after [`Disk::sync`].
    pub fn truncate(&self, file: &File, path: &Path, length: u64) -> io::Result<()> {
        let path = path.to_owned();
        self.act(Act::Truncate { path, length }, || file.set_len(length))
    }

    pub fn sync(&self, file: &File, path: &Path) -> io::Result<()> {
        let act = Act::Sync { path: path.into() };
        self.act(act, || file.sync_all())
    }

    pub fn sync_dir(&self, path: &Path) -> io::Result<()> {
        let act = Act::SyncDir { path: path.into() };
        self.act(act, || File::open(path)?.sync_all())
    }

    pub fn create_dir(&self, path: &Path) -> io::Result<()> {
        let act = Act::CreateDir { path: path.into() };
        self.act(act, || fs::create_dir(path))
    }

    /// Makes the folder and those above it that are missing; safe when this returns.
    pub fn create_dir_all_synced(&self, path: &Path) -> io::Result<()> {
        for missing in missing_folders(path) {
            match self.create_dir(&missing) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                _ => self.sync_dir(folder_of(&missing))?,
            }
        }
        Ok(())
    }

    pub fn symlink(&self, target: &Path, path: &Path) -> io::Result<()> {
        let act = Act::Symlink {
            path: path.into(),
            target: target.into(),
        };
        self.act(act, || symlink(target, path))
    }

    pub fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let act = Act::Rename {
            from: from.into(),
            to: to.into(),
        };
        self.act(act, || fs::rename(from, to))
    }

    /// Two names change places at once. Not every file system can: see [`cannot_exchange`].
    pub fn exchange(&self, a: &Path, b: &Path) -> io::Result<()> {
        let act = Act::Exchange {
            a: a.into(),
            b: b.into(),
        };
        self.act(act, || {
            Ok(renameat_with(CWD, a, CWD, b, RenameFlags::EXCHANGE)?)
        })
    }

    /// Removes a file, a link or an empty folder.
    pub fn remove(&self, path: &Path) -> io::Result<()> {
        let is_folder = fs::symlink_metadata(path)?.is_dir();
        let act = Act::Remove { path: path.into() };
        self.act(act, || match is_folder {
            true => fs::remove_dir(path),
            false => fs::remove_file(path),
        })
    }

    pub fn remove_if_there(&self, path: &Path) -> io::Result<()> {
        none_if_missing(self.remove(path)).map(|_| ())
    }

    /// Removes whatever is there, with all that is in it; fine if nothing is.
    pub fn remove_tree(&self, path: &Path) -> io::Result<()> {
        let Some(there) = none_if_missing(fs::symlink_metadata(path))? else {
            return Ok(());
        };
        if there.is_dir() {
            for entry in fs::read_dir(path)? {
                self.remove_tree(&entry?.path())?;
            }
        }
        self.remove_if_there(path)
    }

    pub fn set_mode(&self, path: &Path, mode: u32) -> io::Result<()> {
        let act = Act::SetMode {
            path: path.into(),
            mode,
        };
        self.act(act, || {
            fs::set_permissions(path, Permissions::from_mode(mode))
        })
    }
}

/// Whether an exchange failed because this file system, or kernel, has none.
pub fn cannot_exchange(error: &io::Error) -> bool {
    use rustix::io::Errno;
    [Errno::INVAL, Errno::NOSYS, Errno::NOTSUP]
        .map(|errno| Some(errno.raw_os_error()))
        .contains(&error.raw_os_error())
}

/// Whether there is no space left, or none that this user may use.
pub fn is_full(error: &io::Error) -> bool {
    use io::ErrorKind::{QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded)
}

/// `None` if what was asked about is not there.
pub fn none_if_missing<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// The folder that has `path`.
pub fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if folder.as_os_str().is_empty() => Path::new("."),
        Some(folder) => folder,
        None => Path::new("/"),
    }
}

/// `path` with `suffix` behind its last name.
pub fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

/// The folder and those above it that are missing, the topmost first.
pub fn missing_folders(path: &Path) -> Vec<PathBuf> {
    let mut missing: Vec<PathBuf> = path
        .ancestors()
        .take_while(|folder| !folder.as_os_str().is_empty() && !folder.exists())
        .map(Path::to_owned)
        .collect();
    missing.reverse();
    missing
}
