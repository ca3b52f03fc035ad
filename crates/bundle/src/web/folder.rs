//! The files of a folder and of all folders in it.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::{ENTRIES_MAX, LeftOut, WebError, left_out::Rules};

/// What a folder holds.
#[derive(Default)]
pub(super) struct Found {
    pub(super) files: Vec<FoundFile>,
    pub(super) left_out: Vec<LeftOut>,
}

/// A file for the board.
pub(super) struct FoundFile {
    pub(super) name: String,
    pub(super) path: PathBuf,
    /// Bytes.
    pub(super) size: u64,
}

/// Looks at all that is in `folder`, but for the folders that stay behind.
pub(super) fn walk(folder: &Path, rules: Rules) -> Result<Found, WebError> {
    let root = fs::canonicalize(folder).map_err(reading(folder))?;
    if !root.is_dir() {
        return Err(WebError::NoFolder(folder.to_path_buf()));
    }
    let mut walk = Walk {
        root: &root,
        rules,
        entries: 0,
        found: Found::default(),
    };
    // Folders yet to look into; not by recursion, as their depth is somebody else's.
    let mut folders = vec![(folder.to_path_buf(), "/".to_owned())];
    while let Some((path, prefix)) = folders.pop() {
        for entry in fs::read_dir(&path).map_err(reading(&path))? {
            let entry = entry.map_err(reading(&path))?;
            walk.entries += 1;
            if walk.entries > ENTRIES_MAX {
                return Err(WebError::TooMany(folder.to_path_buf()));
            }
            folders.extend(walk.look(&entry, &prefix)?);
        }
    }
    Ok(walk.found)
}

struct Walk<'r> {
    /// Without links.
    root: &'r Path,
    rules: Rules,
    entries: usize,
    found: Found,
}

impl Walk<'_> {
    /// Gives the folder that the entry is, if it is to be looked into.
    fn look(
        &mut self,
        entry: &fs::DirEntry,
        prefix: &str,
    ) -> Result<Option<(PathBuf, String)>, WebError> {
        let path = entry.path();
        let kind = entry.file_type().map_err(reading(&path))?;
        let own_name = entry.file_name();
        let Some(own_name) = own_name.to_str() else {
            return Err(WebError::NotUtf8(path));
        };
        let name = format!("{prefix}{own_name}");
        // A link may stand for either.
        let as_folder = kind.is_dir() || kind.is_symlink();
        let why = (as_folder.then(|| self.rules.folder(own_name)).flatten())
            .or_else(|| self.rules.file(own_name).filter(|_| !kind.is_dir()));
        if let Some(why) = why {
            let slash = if kind.is_dir() { "/" } else { "" };
            let name = format!("{name}{slash}");
            self.found.left_out.push(LeftOut { name, why });
            return Ok(None);
        }
        if kind.is_dir() {
            return Ok(Some((path, format!("{name}/"))));
        }
        if kind.is_symlink() {
            self.check_link(&path)?;
        }
        let about = fs::metadata(&path).map_err(reading(&path))?;
        if !about.is_file() {
            return Err(WebError::NoFile(path));
        }
        let size = about.len();
        self.found.files.push(FoundFile { name, path, size });
        Ok(None)
    }

    /// A link may lead to a file of the same folder alone: who built the pages put no other there.
    fn check_link(&self, path: &Path) -> Result<(), WebError> {
        let leads_to = fs::canonicalize(path);
        let is_ours = leads_to.is_ok_and(|it| it.starts_with(self.root) && it.is_file());
        match is_ours {
            true => Ok(()),
            false => Err(WebError::Link(path.to_path_buf())),
        }
    }
}

fn reading(path: &Path) -> impl FnOnce(std::io::Error) -> WebError + use<> {
    let path = path.to_path_buf();
    move |source| WebError::Read { path, source }
}
