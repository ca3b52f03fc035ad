use std::{
    fs::{File, OpenOptions},
    io::{self, Read},
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use airlift_proto::error_code;
use sha2::{Digest, Sha256};
use ureq::{Body, http::Response};

use super::{StageError, Trouble};
use crate::{
    disk::{Disk, is_full},
    folders::Folders,
    http::{Http, HttpError},
};

/// Read and written at once, bytes.
const BLOCK_BYTES: usize = 64 << 10;
/// Tries in a row that brought nothing.
const TRIES_MAX: u32 = 5;
/// Connections for one file in one poll, however much each brought.
const CONNECTIONS_MAX: u32 = 200;
/// Longest pause between two tries.
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// While it waits, how often it looks whether it is to stop.
const TICK: Duration = Duration::from_millis(100);

/// A file to fetch.
#[derive(Clone, Debug)]
pub struct Wanted {
    pub url: String,
    /// Lower-case hex.
    pub sha256: String,
    /// What it is, for errors.
    pub name: String,
}

/// Hears how far a download is.
pub trait Watch {
    /// Bytes that are there, and all of them if known. Called for every block; an error ends it.
    fn progress(&mut self, done: u64, total: Option<u64>) -> Result<(), StageError>;
    /// It goes on, though no byte came.
    fn beat(&mut self);
}

/// Fetches files.
pub struct Download<'a> {
    pub http: &'a Http,
    pub folders: &'a Folders,
    pub disk: &'a Disk,
    pub stop: &'a AtomicBool,
    /// Before the second try; doubled before each further one.
    pub pause: Duration,
}

/// The file that grows, and its digest so far.
struct Part {
    path: PathBuf,
    file: File,
    length: u64,
    digest: Sha256,
}

/// How a connection ended.
enum End {
    /// All bytes are there, as far as the server says.
    Whole,
    /// It may go on later.
    Cut(String),
}

impl Download<'_> {
    /// Fetches a file and checks its digest. What an earlier try left is gone on with.
    pub fn run(&self, wanted: &Wanted, watch: &mut dyn Watch) -> Result<PathBuf, StageError> {
        let disk_trouble = |error: io::Error| self.disk_trouble(wanted, &error);
        let folder = self.folders.downloads();
        let made = self.disk.create_dir_all_synced(&folder);
        made.map_err(disk_trouble)?;
        let mut part = self.open(wanted, watch).map_err(disk_trouble)?;
        let mut was_there = part.length > 0;
        if was_there && hex::encode(part.digest.clone().finalize()) == wanted.sha256 {
            return Ok(part.path);
        }
        loop {
            self.fetch(wanted, &mut part, watch)?;
            let found = hex::encode(part.digest.clone().finalize());
            if found == wanted.sha256 {
                return Ok(part.path);
            }
            if !was_there {
                self.disk
                    .remove_if_there(&part.path)
                    .map_err(disk_trouble)?;
                return Err(Trouble::new(
                    error_code::DIGEST_MISMATCH,
                    format!(
                        "{}: the file's SHA-256 is {found}, not {}; push the package again",
                        wanted.name, wanted.sha256
                    ),
                )
                .into());
            }
            // A power cut may have left blocks that were never written.
            tracing::warn!(
                file = wanted.name,
                "what was there is damaged: from the beginning"
            );
            self.empty(&mut part).map_err(disk_trouble)?;
            was_there = false;
        }
    }

    /// Opens what is there, and digests it.
    fn open(&self, wanted: &Wanted, watch: &mut dyn Watch) -> io::Result<Part> {
        let path = self.folders.download(&wanted.sha256);
        if !path.try_exists()? {
            drop(self.disk.create(&path, 0o600)?);
        }
        let mut file = OpenOptions::new().read(true).append(true).open(&path)?;
        let (mut digest, mut length) = (Sha256::new(), 0);
        let mut block = vec![0; BLOCK_BYTES];
        loop {
            let count = file.read(&mut block)?;
            if count == 0 {
                break;
            }
            digest.update(&block[..count]);
            length += count as u64;
            watch.beat();
        }
        Ok(Part {
            path,
            file,
            length,
            digest,
        })
    }

    fn empty(&self, part: &mut Part) -> io::Result<()> {
        self.disk.truncate(&part.file, &part.path, 0)?;
        part.length = 0;
        part.digest = Sha256::new();
        Ok(())
    }

    /// Connects until all is there, or it makes no sense any more.
    fn fetch(
        &self,
        wanted: &Wanted,
        part: &mut Part,
        watch: &mut dyn Watch,
    ) -> Result<(), StageError> {
        let mut tries = 0;
        let mut connections = 0;
        loop {
            let before = part.length;
            let why = match self.connect(wanted, part, watch)? {
                End::Whole => return Ok(()),
                End::Cut(why) => why,
            };
            connections += 1;
            tries = match part.length > before {
                true => 1,
                false => tries + 1,
            };
            tracing::warn!(
                file = wanted.name,
                at = part.length,
                why,
                "the download was cut"
            );
            if tries >= TRIES_MAX || connections >= CONNECTIONS_MAX {
                return Err(failed(wanted, &why).into());
            }
            let pause = self.pause.saturating_mul(1 << (tries - 1)).min(PAUSE_MAX);
            self.wait(pause, watch)?;
        }
    }

    fn wait(&self, pause: Duration, watch: &mut dyn Watch) -> Result<(), StageError> {
        let mut left = pause;
        while !left.is_zero() {
            self.stop_if_told()?;
            let tick = left.min(TICK);
            thread::sleep(tick);
            left -= tick;
            watch.beat();
        }
        self.stop_if_told()
    }

    fn stop_if_told(&self) -> Result<(), StageError> {
        match self.stop.load(Ordering::SeqCst) {
            true => Err(StageError::Stopped),
            false => Ok(()),
        }
    }

    /// One connection.
    fn connect(
        &self,
        wanted: &Wanted,
        part: &mut Part,
        watch: &mut dyn Watch,
    ) -> Result<End, StageError> {
        self.stop_if_told()?;
        watch.beat();
        let opened = self.http.open(&wanted.url, part.length, &wanted.sha256);
        let response = match opened {
            Ok(response) => response,
            Err(error) if error.is_passing() => return Ok(End::Cut(error.to_string())),
            Err(error) => return Err(refused(wanted, &error).into()),
        };
        let status = response.status().as_u16();
        let (begin, whole) = content_range(&response);
        if status == 416 {
            if whole == Some(part.length) {
                return Ok(End::Whole);
            }
            // More is there than the server has: not this file.
            let emptied = self.empty(part);
            emptied.map_err(|error| self.disk_trouble(wanted, &error))?;
            return Ok(End::Cut("what was there is longer than the file".into()));
        }
        if status != 206 || begin != Some(part.length) {
            if status == 206 && begin != Some(0) {
                return Ok(End::Cut("the server sends another range".into()));
            }
            // Ranges are not for every server: from the beginning.
            let emptied = self.empty(part);
            emptied.map_err(|error| self.disk_trouble(wanted, &error))?;
        }
        let total = match status {
            206 => whole,
            _ => response.body().content_length(),
        };
        if let Some(total) = total {
            self.check_space(wanted, total.saturating_sub(part.length))?;
        }
        self.copy(wanted, part, response, total, watch)
    }

    fn copy(
        &self,
        wanted: &Wanted,
        part: &mut Part,
        response: Response<Body>,
        total: Option<u64>,
        watch: &mut dyn Watch,
    ) -> Result<End, StageError> {
        let mut reader = response.into_body().into_reader();
        let mut block = vec![0; BLOCK_BYTES];
        loop {
            self.stop_if_told()?;
            let count = match reader.read(&mut block) {
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Ok(End::Cut(error.to_string())),
            };
            if count == 0 {
                break;
            }
            let written = self.disk.write(&mut part.file, &part.path, &block[..count]);
            written.map_err(|error| self.disk_trouble(wanted, &error))?;
            part.digest.update(&block[..count]);
            part.length += count as u64;
            watch.progress(part.length, total)?;
        }
        Ok(match total {
            Some(total) if part.length < total => {
                End::Cut(format!("{} of {total} bytes came", part.length))
            }
            _ => End::Whole,
        })
    }

    fn check_space(&self, wanted: &Wanted, needed: u64) -> Result<(), StageError> {
        let free = free_bytes(&self.folders.downloads());
        let free = free.map_err(|error| self.disk_trouble(wanted, &error))?;
        if needed <= free {
            return Ok(());
        }
        let path = self.folders.download(&wanted.sha256);
        let _ = self.disk.remove_if_there(&path);
        Err(Trouble::new(
            error_code::DISK_FULL,
            format!(
                "{}: {needed} bytes are to come, {free} are free; make room in {}",
                wanted.name,
                self.folders.root().display()
            ),
        )
        .into())
    }

    /// What is there is removed when the space is used up: others need it too.
    fn disk_trouble(&self, wanted: &Wanted, error: &io::Error) -> Trouble {
        if is_full(error) {
            let path = self.folders.download(&wanted.sha256);
            let _ = self.disk.remove_if_there(&path);
        }
        Trouble::of_disk(error_code::DOWNLOAD_FAILED, &wanted.name, error)
    }
}

/// Bytes that this user may still write where `path` is.
pub fn free_bytes(path: &Path) -> io::Result<u64> {
    let space = rustix::fs::statvfs(path)?;
    Ok(space.f_bavail.saturating_mul(space.f_frsize))
}

fn refused(wanted: &Wanted, error: &HttpError) -> Trouble {
    let advice = match error.status() {
        Some(401 | 403) => "; give the device a token by tokenFile",
        Some(404) => "; push the package again",
        _ => "",
    };
    failed(wanted, &format!("{error}{advice}"))
}

fn failed(wanted: &Wanted, why: &str) -> Trouble {
    let message = format!("{}: the file could not be fetched: {why}", wanted.name);
    Trouble::new(error_code::DOWNLOAD_FAILED, message)
}

/// Where what comes begins, and how long the whole file is: `bytes 5-9/10`, `bytes */10`.
fn content_range(response: &Response<Body>) -> (Option<u64>, Option<u64>) {
    let value = response.headers().get("content-range");
    let Some(text) = value.and_then(|value| value.to_str().ok()) else {
        return (None, None);
    };
    let text = text.trim_start_matches("bytes").trim();
    let Some((range, whole)) = text.split_once('/') else {
        return (None, None);
    };
    let begin = range.split('-').next().unwrap_or_default();
    (begin.parse().ok(), whole.parse().ok())
}
