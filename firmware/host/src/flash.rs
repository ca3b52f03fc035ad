//! A gateway's storage: the running image, the partial download and the saved state, three files
//! side by side. Whatever replaces a file is written beside it, made durable and renamed over it.

use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use airlift_firmware::{Digests, Found, Saved};
use anyhow::{Context, Result};
use md5::Md5;
use sha2::{Digest, Sha256};

/// Largest image a gateway on a PC takes, bytes.
pub const IMAGE_BYTES_MAX: u64 = 1 << 30;
/// Read at a time while digesting, bytes.
const DIGEST_READ_BYTES: usize = 64 * 1024;

/// The files of one gateway.
#[derive(Debug)]
pub struct Flash {
    image: PathBuf,
    part: PathBuf,
    state: PathBuf,
    /// Whether files must survive a power cut, not only a killed process.
    durable: bool,
    /// The partial download, while it is being written.
    writing: Option<File>,
}

impl Flash {
    /// The files that belong to `image`; its folder is made if it is missing.
    pub fn open(image: &Path, durable: bool) -> Result<Self> {
        make_folder_of(image)?;
        Ok(Flash {
            image: image.to_path_buf(),
            part: with_suffix(image, ".part"),
            state: with_suffix(image, ".state.json"),
            durable,
            writing: None,
        })
    }

    /// What the last run saved; at the very first, a gateway that runs `version`.
    pub fn load(&self, version: &str) -> Result<Saved> {
        let path = self.state.display();
        match fs::read(&self.state) {
            Ok(json) => serde_json::from_slice(&json)
                .with_context(|| format!("cannot understand {path}; delete it to begin anew")),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Saved::new(version)),
            Err(error) => Err(error).with_context(|| format!("cannot read {path}")),
        }
    }

    /// What is in storage at the start.
    pub fn found(&self, saved: &Saved) -> Result<Found> {
        let part_bytes = match fs::metadata(&self.part) {
            Ok(metadata) => Some(metadata.len()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => {
                return Err(error).with_context(|| format!("cannot read {}", self.part.display()));
            }
        };
        let running = if saved.asks_running_digests() {
            match digest(&self.image) {
                Ok(digests) => Some(digests),
                Err(error) if error.kind() == io::ErrorKind::NotFound => None,
                Err(error) => {
                    let path = self.image.display();
                    return Err(error).with_context(|| format!("cannot read {path}"));
                }
            }
        } else {
            None
        };
        Ok(Found {
            part_bytes,
            running,
        })
    }

    pub fn save(&self, saved: &Saved) -> Result<()> {
        let write = || -> io::Result<()> {
            let fresh = with_suffix(&self.state, ".new");
            let mut file = File::create(&fresh)?;
            file.write_all(&serde_json::to_vec_pretty(saved)?)?;
            if self.durable {
                file.sync_all()?;
            }
            replace(&fresh, &self.state, self.durable)
        };
        write().with_context(|| {
            format!(
                "cannot save {}; make room or give the right to write, then start again",
                self.state.display()
            )
        })
    }

    /// Cuts the partial download to `bytes`, making it if need be.
    pub fn truncate(&mut self, bytes: u64) -> io::Result<()> {
        self.part_file()?.set_len(bytes)
    }

    pub fn write(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let file = self.part_file()?;
        file.seek(SeekFrom::Start(offset))?;
        file.write_all(bytes)
    }

    pub fn sync(&mut self) -> io::Result<()> {
        if self.durable {
            self.part_file()?.sync_all()?;
        }
        Ok(())
    }

    /// Removes the partial download, if there is one.
    pub fn discard(&mut self) -> io::Result<()> {
        self.writing = None;
        match fs::remove_file(&self.part) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// The work of digesting the partial download; it blocks.
    pub fn digest(&mut self) -> impl FnOnce() -> io::Result<Digests> + Send + use<> {
        self.writing = None;
        let part = self.part.clone();
        move || digest(&part)
    }

    /// The work of making the partial download the image; it blocks.
    pub fn install(&mut self) -> impl FnOnce() -> io::Result<()> + Send + use<> {
        self.writing = None;
        let (part, image, durable) = (self.part.clone(), self.image.clone(), self.durable);
        move || {
            if durable {
                File::open(&part)?.sync_all()?;
            }
            replace(&part, &image, durable)
        }
    }

    fn part_file(&mut self) -> io::Result<&mut File> {
        if self.writing.is_none() {
            let mut options = OpenOptions::new();
            options.read(true).write(true).create(true).truncate(false);
            self.writing = Some(options.open(&self.part)?);
        }
        self.writing
            .as_mut()
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

/// Keeps a second process off the same files while it lives.
pub fn lock(image: &Path) -> Result<File> {
    make_folder_of(image)?;
    let path = with_suffix(image, ".lock");
    let file = File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
    file.try_lock().with_context(|| {
        format!(
            "{} is in use by another airlift-gateway; stop it or choose another --flash",
            image.display()
        )
    })?;
    Ok(file)
}

fn digest(path: &Path) -> io::Result<Digests> {
    let mut file = File::open(path)?;
    let (mut md5, mut sha256, mut size) = (Md5::new(), Sha256::new(), 0);
    let mut buffer = vec![0; DIGEST_READ_BYTES];
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            break;
        }
        size += read as u64;
        md5.update(&buffer[..read]);
        sha256.update(&buffer[..read]);
    }
    Ok(Digests {
        size,
        md5: hex::encode(md5.finalize()),
        sha256: hex::encode(sha256.finalize()),
    })
}

/// Renames `from` over `to`; with `durable` the rename itself is too.
fn replace(from: &Path, to: &Path, durable: bool) -> io::Result<()> {
    fs::rename(from, to)?;
    if durable && cfg!(unix) {
        File::open(folder_of(to))?.sync_all()?;
    }
    Ok(())
}

fn make_folder_of(path: &Path) -> Result<()> {
    let folder = folder_of(path);
    fs::create_dir_all(folder)
        .with_context(|| format!("cannot make the folder {}", folder.display()))
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flash(folder: &tempfile::TempDir) -> Flash {
        Flash::open(&folder.path().join("new").join("x.img"), true).unwrap()
    }

    #[test]
    fn what_was_saved_is_loaded() {
        let folder = tempfile::tempdir().unwrap();
        let flash = flash(&folder);
        assert_eq!(flash.load("1.0.1").unwrap(), Saved::new("1.0.1"));
        flash.save(&Saved::new("1.0.2")).unwrap();
        assert_eq!(flash.load("1.0.1").unwrap(), Saved::new("1.0.2"));
    }

    #[test]
    fn a_part_is_written_digested_and_installed() {
        let folder = tempfile::tempdir().unwrap();
        let mut flash = flash(&folder);
        flash.truncate(0).unwrap();
        flash.write(0, b"abX").unwrap();
        flash.truncate(2).unwrap();
        flash.write(2, b"c").unwrap();
        flash.sync().unwrap();
        assert_eq!(flash.found(&Saved::new("1")).unwrap().part_bytes, Some(3));
        let digests = flash.digest()().unwrap();
        assert_eq!(digests.size, 3);
        assert_eq!(digests.md5, "900150983cd24fb0d6963f7d28e17f72");
        assert!(digests.sha256.starts_with("ba7816bf"));
        flash.install()().unwrap();
        assert_eq!(fs::read(&flash.image).unwrap(), b"abc");
        assert_eq!(flash.found(&Saved::new("1")).unwrap().part_bytes, None);
        flash.discard().unwrap();
    }

    #[test]
    fn two_processes_cannot_share_an_image() {
        let folder = tempfile::tempdir().unwrap();
        let image = folder.path().join("x.img");
        let held = lock(&image).unwrap();
        assert!(lock(&image).unwrap_err().to_string().contains("in use"));
        drop(held);
        lock(&image).unwrap();
    }
}
