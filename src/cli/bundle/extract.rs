//! `airlift bundle extract`: the files are written beside their places, and put there once all of the
//! bundle was read.

use std::{
    fs::{self, Permissions},
    io::{Read, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use airlift_bundle::{
    MANIFEST_NAME, Manifest, PartName, ReadError, SIGNATURE_NAME, archive::Archive,
};
use anyhow::{Context, Result, bail, ensure};
use serde_json::json;
use tempfile::NamedTempFile;

use super::{ExtractArgs, build::FILE_MODE, read, show};
use crate::cli::console::{Console, Outcome};

/// What the bundle holds.
pub struct Extracted {
    pub manifest: Manifest,
    pub is_signed: bool,
    /// In the order that a device wants them.
    pub paths: Vec<PathBuf>,
}

pub fn extract(args: &ExtractArgs, json: bool, console: &mut Console<'_>) -> Result<Outcome> {
    let path = &args.bundle.file;
    let input = read::open(path, console)?;
    let opened = Archive::open(input);
    let archive = match read::or_refusal(opened, path)? {
        Err(refused) => return read::say_refused(&refused, json, console),
        Ok(archive) => archive,
    };
    let folder = Folder {
        path: &args.out,
        force: args.force,
    };
    let (manifest, is_signed, files) = match read::or_refusal(folder.fill(archive)?, path)? {
        Err(refused) => return read::say_refused(&refused, json, console),
        Ok(read) => read,
    };
    let extracted = Extracted {
        manifest,
        is_signed,
        paths: folder.place(files)?,
    };
    match json {
        true => {
            let Extracted {
                manifest, paths, ..
            } = &extracted;
            let data = json!({ "files": paths, "signed": is_signed, "manifest": manifest });
            writeln!(console.out, "{data}")?;
        }
        false => show::extracted(&extracted, console.out)?,
    }
    Ok(Outcome::Done)
}

/// A file that is not in its place yet.
struct Waiting {
    name: &'static str,
    file: NamedTempFile,
}

type Filled = (Manifest, bool, Vec<Waiting>);

struct Folder<'a> {
    path: &'a Path,
    force: bool,
}

impl Folder<'_> {
    /// Reads the bundle to its end. The inner error is the bundle's fault, or that of reading it.
    fn fill<R: Read>(&self, archive: Archive<R>) -> Result<Result<Filled, ReadError>> {
        let (manifest, signature) = (archive.manifest_bytes(), archive.signature());
        let is_signed = !signature.is_empty();
        let mut files = vec![self.file(MANIFEST_NAME, manifest)?];
        if is_signed {
            files.push(self.file(SIGNATURE_NAME, signature)?);
        }
        let mut parts = match archive.into_parts() {
            Ok(parts) => parts,
            Err(error) => return Ok(Err(error)),
        };
        let manifest = parts.manifest().clone();
        loop {
            let mut part = match parts.next_part() {
                Ok(Some(part)) => part,
                Ok(None) => return Ok(Ok((manifest, is_signed, files))),
                Err(error) => return Ok(Err(error)),
            };
            let name = PartName::parse(&part.part().name).context("no such part")?;
            let mut waiting = self.file(name.file_name(), &[])?;
            let mut unwritten = None;
            let read = read::each_chunk(&mut part, |bytes| {
                if unwritten.is_none() {
                    unwritten = waiting.file.write_all(bytes).err();
                }
                Ok(())
            });
            if let Some(error) = unwritten {
                return Err(error).with_context(|| self.unwritten(waiting.name));
            }
            if let Err(error) = read {
                return Ok(Err(error));
            }
            files.push(waiting);
        }
    }

    /// A new file that holds these bytes, for a place that is free.
    fn file(&self, name: &'static str, bytes: &[u8]) -> Result<Waiting> {
        let place = self.path.join(name);
        ensure!(
            self.force || !place.exists(),
            "{} is there already: name another --out, or --force to replace it",
            place.display()
        );
        let unwritten = || self.unwritten(name);
        fs::create_dir_all(self.path).with_context(unwritten)?;
        let mut file = tempfile::Builder::new()
            .prefix(".airlift-")
            .permissions(Permissions::from_mode(FILE_MODE))
            .tempfile_in(self.path)
            .with_context(unwritten)?;
        file.write_all(bytes).with_context(unwritten)?;
        Ok(Waiting { name, file })
    }

    /// Puts all files in their places.
    fn place(&self, files: Vec<Waiting>) -> Result<Vec<PathBuf>> {
        let mut paths = Vec::new();
        for Waiting { name, file } in files {
            let place = self.path.join(name);
            let synced = file.as_file().sync_all();
            synced.with_context(|| self.unwritten(name))?;
            let placed = match self.force {
                true => file.persist(&place),
                false => file.persist_noclobber(&place),
            };
            if let Err(error) = placed {
                bail!("{}: {}", self.unwritten(name), error.error);
            }
            paths.push(place);
        }
        Ok(paths)
    }

    fn unwritten(&self, name: &str) -> String {
        format!("can't write {}", self.path.join(name).display())
    }
}
