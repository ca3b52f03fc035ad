//! Files with secrets: nobody else reads them, and none is overwritten by mistake.

use std::{
    fs::{self, File, OpenOptions},
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

const OWNER_ALONE: u32 = 0o600;

/// A new file; dropped before it is kept, it goes again.
pub struct PrivateFile {
    file: File,
    path: PathBuf,
    kept: bool,
}

impl PrivateFile {
    /// Makes it; one that is there already is left alone.
    pub fn create(path: &Path) -> Result<PrivateFile> {
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(OWNER_ALONE)
            .open(path)
            .with_context(|| {
                format!(
                    "can't make {}: it must not be there already, and its folder must",
                    path.display()
                )
            })?;
        Ok(PrivateFile {
            file,
            path: path.to_owned(),
            kept: false,
        })
    }

    /// Writes all of it, to the disk.
    pub fn keep(mut self, content: &[u8]) -> Result<()> {
        let written = self
            .file
            .write_all(content)
            .and_then(|()| self.file.sync_all());
        written.with_context(|| format!("can't write {}", self.path.display()))?;
        self.kept = true;
        Ok(())
    }
}

impl Drop for PrivateFile {
    fn drop(&mut self) {
        if !self.kept {
            // Empty or torn: nobody misses it.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Puts a file in the place of one that is there perhaps, at once.
pub fn replace(path: &Path, content: &[u8]) -> Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let staged = path.with_file_name(name);
    // What a command that was killed has left.
    let _ = fs::remove_file(&staged);
    PrivateFile::create(&staged)?.keep(content)?;
    fs::rename(&staged, path).with_context(|| format!("can't write {}", path.display()))
}
