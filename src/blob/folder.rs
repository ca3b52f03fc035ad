//! What `object_store` does not do for a local folder: write a file beside the network, put it under
//! its name with no more syncs than it takes, and read what is in memory without a thread.

use std::{
    fs::{self, File, TryLockError},
    io,
    path::PathBuf,
    sync::Arc,
};

use object_store::path::Path;

use super::{Error, Result};

/// A folder of blobs.
#[derive(Clone, Debug)]
pub struct Folder {
    root: PathBuf,
    /// Kept open: its lock says that a process uses this folder. `None`: another one does, too.
    _lock: Option<Arc<File>>,
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::StorageFull => Error::Full,
            _ => Error::Unavailable(error.to_string()),
        }
    }
}

impl Folder {
    pub fn open(root: PathBuf) -> io::Result<Folder> {
        fs::create_dir_all(&root)?;
        let lock = File::create(root.join(".lock"))?;
        let lock = match lock.try_lock() {
            Ok(()) => Some(Arc::new(lock)),
            Err(TryLockError::WouldBlock) => None,
            Err(TryLockError::Error(error)) => return Err(error),
        };
        if lock.is_some() {
            // Nobody else writes here, so what is being staged was interrupted by a crash.
            match fs::remove_dir_all(root.join("staging")) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(Folder { root, _lock: lock })
    }

    /// A new file.
    pub async fn create(&self, path: &Path) -> Result<File> {
        let path = self.root.join(path.as_ref());
        Ok(blocking(move || in_folder_of(&path, || File::create_new(&path))).await?)
    }

    /// Gives a file that is on disk another name, which is there after a power cut, too.
    pub async fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        let from = self.root.join(from.as_ref());
        let to = self.root.join(to.as_ref());
        Ok(blocking(move || {
            in_folder_of(&to, || fs::rename(&from, &to))?;
            sync_folder(to.parent())
        })
        .await?)
    }
}

/// Makes the folder, durably, if that is what is missing.
fn in_folder_of<T>(path: &std::path::Path, act: impl Fn() -> io::Result<T>) -> io::Result<T> {
    match act() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        other => return other,
    }
    let missing: Vec<_> = path
        .ancestors()
        .skip(1)
        .take_while(|folder| !folder.exists())
        .collect();
    if let Some(folder) = missing.first() {
        fs::create_dir_all(folder)?;
    }
    for folder in missing {
        sync_folder(folder.parent())?;
    }
    act()
}

fn sync_folder(folder: Option<&std::path::Path>) -> io::Result<()> {
    match folder {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await?
}
