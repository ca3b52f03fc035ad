//! Final reports that wait until the server has them, over crashes and restarts.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use serde_json::Value;

use crate::{
    control::{Control, Sent},
    disk::{Disk, none_if_missing},
    folders::Folders,
    http::HttpError,
};

/// Reports that are kept; then the oldest goes.
const REPORTS_MAX: usize = 256;

pub struct Outbox<'a> {
    pub folders: &'a Folders,
    pub disk: &'a Disk,
}

impl Outbox<'_> {
    /// Keeps a report; safe when this returns. The second one with the same `id` changes nothing.
    pub fn put(&self, id: &str, report: &Value) -> io::Result<()> {
        self.disk.create_dir_all_synced(&self.folders.outbox())?;
        let waiting = self.waiting()?;
        let ending = format!("-{id}.json");
        if waiting.iter().any(|it| file_name(it).ends_with(&ending)) {
            return Ok(());
        }
        let last = waiting.last().and_then(|it| number(it)).unwrap_or(0);
        let name = format!("{:010}{ending}", last + 1);
        let path = self.folders.outbox().join(name);
        let kept = self
            .disk
            .write_synced(&path, report.to_string().as_bytes(), 0o600);
        if waiting.len() >= REPORTS_MAX {
            tracing::warn!(report = %waiting[0].display(), "too many reports wait: the oldest goes");
            self.disk.remove_if_there(&waiting[0])?;
        }
        kept
    }

    /// Sends what waits, the oldest first.
    ///
    /// # Errors
    /// When the server cannot take reports now: it and those after it stay.
    pub fn flush(&self, control: &Control) -> Result<(), HttpError> {
        let setup = |error: io::Error| {
            let folder = self.folders.outbox();
            HttpError::Setup(format!("{}: {error}", folder.display()))
        };
        for path in self.waiting().map_err(setup)? {
            let bytes = fs::read(&path).map_err(setup)?;
            match serde_json::from_slice::<Value>(&bytes) {
                Ok(report) => {
                    if let Sent::Refused(why) = control.report(&report)? {
                        tracing::warn!(%report, why, "the server does not take a report: dropped");
                    }
                }
                Err(error) => tracing::warn!(report = %path.display(), %error, "damaged: dropped"),
            }
            self.disk.remove_if_there(&path).map_err(setup)?;
        }
        Ok(())
    }

    /// Files of reports, the oldest first.
    fn waiting(&self) -> io::Result<Vec<PathBuf>> {
        let Some(entries) = none_if_missing(fs::read_dir(self.folders.outbox()))? else {
            return Ok(Vec::new());
        };
        let mut files = Vec::new();
        for entry in entries {
            let path = entry?.path();
            if path.extension().is_some_and(|it| it == "json") && number(&path).is_some() {
                files.push(path);
            }
        }
        files.sort();
        Ok(files)
    }
}

fn file_name(path: &Path) -> &str {
    path.file_name()
        .and_then(|it| it.to_str())
        .unwrap_or_default()
}

fn number(path: &Path) -> Option<u64> {
    file_name(path).split('-').next()?.parse().ok()
}
