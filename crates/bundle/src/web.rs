//! The web part from a folder: which of its files go to the board, and whether they fit.

mod folder;
mod left_out;

use std::{fs::File, io, io::Read, path::Path, path::PathBuf};

use airlift_esp::Target;
use thiserror::Error;

use self::folder::Found;
use crate::spiffs::{self, SpiffsError};

/// Most files and folders that are looked at; no board has room for so many.
pub const ENTRIES_MAX: usize = 20_000;
/// Files that an error names when they do not fit, the largest first.
const NAMED_MAX: usize = 10;

/// A folder as a SPIFFS image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packed {
    pub image: Vec<u8>,
    /// What is in it, by name.
    pub included: Vec<Included>,
    /// What is not, by name.
    pub left_out: Vec<LeftOut>,
    /// Of the image, so many bytes are taken by the files.
    pub taken: u64,
}

/// A file of the web part.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Included {
    /// As on the board, such as `/css/style.css`.
    pub name: String,
    /// Bytes.
    pub size: u64,
}

/// A file or folder that stays behind.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LeftOut {
    /// As it would be on the board; a folder ends with a slash.
    pub name: String,
    pub why: &'static str,
}

/// Why a folder cannot be packed.
#[derive(Debug, Error)]
pub enum WebError {
    #[error("can't read {path}: {source}")]
    Read { path: PathBuf, source: io::Error },
    #[error("{0} is no folder; --web takes the folder with the built web pages")]
    NoFolder(PathBuf),
    #[error("{0} is neither a file nor a folder; take it out of the folder")]
    NoFile(PathBuf),
    #[error(
        "{0} is a link that leads out of the folder, to a folder, or nowhere; put the file itself there"
    )]
    Link(PathBuf),
    #[error("{0:?} is not UTF-8; rename it")]
    NotUtf8(PathBuf),
    #[error(
        "{0} holds more than {ENTRIES_MAX} files and folders; --web takes the folder with the built web pages"
    )]
    TooMany(PathBuf),
    #[error("{0} holds no file for the board{1}")]
    Empty(PathBuf, &'static str),
    #[error("{}", too_large(.0))]
    TooLarge(TooLarge),
    #[error(transparent)]
    Spiffs(#[from] SpiffsError),
}

/// Files that do not fit on the board.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TooLarge {
    pub target: Target,
    /// Flash that they take, bytes.
    pub needed: u64,
    /// Flash that there is for them, bytes.
    pub room: u32,
    /// Every file, the largest first.
    pub files: Vec<Included>,
}

fn too_large(what: &TooLarge) -> String {
    let TooLarge {
        target,
        needed,
        room,
        files,
    } = what;
    let named = files.iter().take(NAMED_MAX);
    let named: Vec<_> = named
        .map(|file| format!("{} ({} bytes)", file.name, file.size))
        .collect();
    let more = match files.len().saturating_sub(NAMED_MAX) {
        0 => String::new(),
        more => format!(" and {more} smaller ones"),
    };
    let over = needed.saturating_sub(u64::from(*room));
    format!(
        "the web part does not fit on {}: its files take {needed} bytes of flash, {over} more than \
         the {room} that are there. The largest: {}{more}. Leave files out or make them smaller, \
         such as with gzip where the firmware serves .gz",
        target.name(),
        named.join(", "),
    )
}

/// Packs a folder for a board, into an image of all the bytes that the board has for it.
///
/// Boards with 4 MB, and `raw`, get no source maps and nothing that only the build needs; an
/// ESP32-WROVER gets all but packages, version control and secrets.
///
/// # Errors
/// What hinders it; of files that do not fit the largest by name.
pub fn pack(folder: &Path, target: Target) -> Result<Packed, WebError> {
    let Found {
        mut files,
        mut left_out,
    } = folder::walk(folder, left_out::Rules::of(target))?;
    left_out.sort();
    files.sort_by(|a, b| a.name.cmp(&b.name));
    if files.is_empty() {
        let hint = match left_out.is_empty() {
            true => "",
            false => "; everything in it is left out",
        };
        return Err(WebError::Empty(folder.to_path_buf(), hint));
    }
    spiffs::check_names(files.iter().map(|file| &file.name[..]))?;
    let room = target.web_bytes_max();
    let taken = spiffs::bytes_needed(files.iter().map(|file| file.size));
    let mut included: Vec<_> = files
        .iter()
        .map(|file| Included {
            name: file.name.clone(),
            size: file.size,
        })
        .collect();
    if taken > u64::from(room) {
        included.sort_by(|a, b| b.size.cmp(&a.size).then_with(|| a.name.cmp(&b.name)));
        return Err(WebError::TooLarge(TooLarge {
            target,
            needed: taken,
            room,
            files: included,
        }));
    }
    let mut contents = Vec::new();
    for file in &files {
        contents.push(read(&file.path, room)?);
    }
    for (file, bytes) in included.iter_mut().zip(&contents) {
        file.size = bytes.len() as u64;
    }
    let named = files.iter().zip(&contents);
    let named: Vec<_> = named
        .map(|(file, bytes)| (&file.name[..], &bytes[..]))
        .collect();
    Ok(Packed {
        image: spiffs::build(&named, room)?,
        included,
        left_out,
        taken,
    })
}

/// A file that grew meanwhile is not read without end.
fn read(path: &Path, limit: u32) -> Result<Vec<u8>, WebError> {
    let mut bytes = Vec::new();
    let file = File::open(path);
    file.and_then(|file| file.take(u64::from(limit) + 1).read_to_end(&mut bytes))
        .map_err(|source| WebError::Read {
            path: path.to_path_buf(),
            source,
        })?;
    Ok(bytes)
}
