//! A gateway's flash file: made when it is missing, kept between runs, in use by one process.

use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions},
    io::{self, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use airlift_firmware::flash::partition_table::{PartitionTable, TableError};
use anyhow::{Context, Result, anyhow, bail};

use crate::{
    board::Board,
    chip::{Chip, Durability},
};

/// Opens the flash in `path`; a missing or empty one becomes a fresh one of `board` that runs
/// `version`. With `durable` what it records survives a power cut, not only a killed process.
pub fn open(path: &Path, board: Board, version: &str, durable: bool) -> Result<Chip> {
    make_folder_of(path)?;
    let is_missing = match fs::metadata(path) {
        Ok(metadata) => metadata.len() == 0,
        Err(error) if error.kind() == io::ErrorKind::NotFound => true,
        Err(error) => return Err(error).with_context(|| cannot("read", path)),
    };
    if is_missing {
        refuse_older(path)?;
        make(path, board, version, durable).with_context(|| cannot("make", path))?;
    }
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .open(path)
        .with_context(|| cannot("open", path))?;
    let mut chip = Chip::new(file, board.flash_bytes());
    let table = match PartitionTable::read(&mut chip) {
        Ok(table) => table,
        Err(error @ (TableError::NoTable | TableError::Magic { .. })) => {
            refuse_older(path)?;
            bail!(
                "{} is no flash image: {error}. An earlier airlift-gateway kept the bare image \
                 there. Move the file away or give another --flash: a fresh one is made",
                path.display()
            );
        }
        Err(error) => {
            return Err(anyhow!("{error}")).with_context(|| {
                let path = path.display();
                format!(
                    "the flash in {path} does not suit the board; choose another --board or --flash"
                )
            });
        }
    };
    if durable {
        let records = [table.find_nvs(), table.find_otadata()];
        let records = records.into_iter().flatten();
        let records = records.map(|partition| partition.offset..partition.offset + partition.size);
        chip.keep(Durability {
            records: records.collect(),
        });
    }
    Ok(chip)
}

/// An earlier version of this program kept its state beside the image.
fn refuse_older(path: &Path) -> Result<()> {
    let state = with_suffix(path, ".state.json");
    if state.exists() {
        bail!(
            "{} is of an earlier airlift-gateway, which kept its state in files of its own. Remove \
             {} with its .state.json and .part to begin anew, or give another --flash",
            state.display(),
            path.display()
        );
    }
    Ok(())
}

/// Written beside and renamed, so that a killed process leaves no half of it.
fn make(path: &Path, board: Board, version: &str, durable: bool) -> Result<()> {
    let fresh = with_suffix(path, ".new");
    let mut file = File::create(&fresh)?;
    for (offset, bytes) in board.fresh(version)? {
        file.seek(SeekFrom::Start(offset.into()))?;
        file.write_all(&bytes)?;
    }
    if let Some(bytes) = board.file_bytes() {
        file.set_len(bytes.into())?;
    }
    if durable {
        file.sync_all()?;
    }
    fs::rename(&fresh, path)?;
    if durable && cfg!(unix) {
        File::open(folder_of(path))?.sync_all()?;
    }
    Ok(())
}

/// Keeps a second process off the same file while it lives.
pub fn lock(flash: &Path) -> Result<File> {
    make_folder_of(flash)?;
    let path = with_suffix(flash, ".lock");
    let file = File::create(&path).with_context(|| cannot("write", &path))?;
    file.try_lock().with_context(|| {
        format!(
            "{} is in use by another airlift-gateway; stop it or choose another --flash",
            flash.display()
        )
    })?;
    Ok(file)
}

fn cannot(what: &str, path: &Path) -> String {
    format!("cannot {what} {}", path.display())
}

fn make_folder_of(path: &Path) -> Result<()> {
    let folder = folder_of(path);
    fs::create_dir_all(folder)
        .with_context(|| format!("cannot make the folder {}", folder.display()))
}

pub fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

pub fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

#[cfg(test)]
mod tests;
