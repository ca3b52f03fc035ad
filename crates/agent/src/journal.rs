use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::{
    disk::{Disk, folder_of},
    script::Stage,
    transaction::{Failure, Transaction},
};

/// What stood at a package's `local`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Was {
    Nothing,
    /// A symbolic link to this, word for word.
    Link(PathBuf),
    /// A file or folder of its own.
    Real,
}

/// One line of the journal. Each is safe on disk before what it announces begins.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(
    tag = "record",
    rename_all = "snake_case",
    rename_all_fields = "camelCase"
)]
pub enum Record {
    Begun {
        transaction: Transaction,
    },
    /// Work on a step begins; `missing` are the folders above its `local` that will be made.
    Step {
        step: usize,
        was: Was,
        missing: Vec<PathBuf>,
    },
    Script {
        step: usize,
        stage: Stage,
    },
    /// `local` will point at the release; if `kept`, what stands there goes to `.airlift-old`.
    Swap {
        step: usize,
        kept: bool,
    },
    /// It will be undone.
    Failed {
        failure: Failure,
    },
    /// All that had begun is as it was.
    Undone,
    /// All is new, at this time in Unix seconds.
    Committed {
        at: i64,
    },
    /// The step's `restore` is over.
    Restored {
        step: usize,
        warning: Option<String>,
    },
    /// Nothing is left to do.
    Ended,
}

#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    #[error("{path}: {error}")]
    Io { path: PathBuf, error: io::Error },
    #[error(
        "{path}, line {line}, makes no sense ({why}): an update was cut short and what it did cannot \
         be told. Look where `local` of each package named there points, put it right by hand, then \
         remove the file"
    )]
    Damaged {
        path: PathBuf,
        line: usize,
        why: String,
    },
}

impl JournalError {
    /// The cause, if it is the disk's.
    pub fn io(&self) -> Option<&io::Error> {
        match self {
            JournalError::Io { error, .. } => Some(error),
            JournalError::Damaged { .. } => None,
        }
    }
}

/// What the transaction under way has done so far: JSON lines, appended and made safe one by one.
pub struct Journal {
    path: PathBuf,
    file: File,
    /// Up to here the file makes sense.
    length: u64,
    /// An append failed half-way: something may stand behind `length`.
    torn: bool,
}

impl Journal {
    /// Opens it, makes it if it is missing, and says what is in it. What is in it is safe on disk
    /// then: also a record that was written, but not synced, before a crash.
    pub fn open(path: &Path, disk: &Disk) -> Result<(Journal, Vec<Record>), JournalError> {
        let (mut file, bytes) = open(path, disk).map_err(|error| io_error(path, error))?;
        let (records, length) = read(path, &bytes)?;
        let mut put_right = || -> io::Result<()> {
            if length < bytes.len() as u64 {
                disk.truncate(&file, path, length)?;
            }
            if !bytes.is_empty() {
                disk.sync(&file, path)?;
            }
            file.seek(SeekFrom::Start(length))?;
            Ok(())
        };
        put_right().map_err(|error| io_error(path, error))?;
        let journal = Journal {
            path: path.to_owned(),
            file,
            length,
            torn: false,
        };
        Ok((journal, records))
    }

    /// Adds a record; safe when this returns. If it fails, the record is not there.
    pub fn append(&mut self, disk: &Disk, record: &Record) -> Result<(), JournalError> {
        self.try_append(disk, record)
            .map_err(|error| io_error(&self.path, error))
    }

    fn try_append(&mut self, disk: &Disk, record: &Record) -> io::Result<()> {
        let mut line = serde_json::to_vec(record)?;
        line.push(b'\n');
        if self.torn {
            self.cut(disk)?;
        }
        match disk.append_synced(&mut self.file, &self.path, &line) {
            Ok(()) => {
                self.length += line.len() as u64;
                Ok(())
            }
            Err(error) => {
                self.torn = true;
                // Else a record that was refused could come back to life.
                let _ = self.cut(disk);
                Err(error)
            }
        }
    }

    /// Takes away what stands behind the last good record.
    fn cut(&mut self, disk: &Disk) -> io::Result<()> {
        disk.truncate(&self.file, &self.path, self.length)?;
        self.file.seek(SeekFrom::Start(self.length))?;
        disk.sync(&self.file, &self.path)?;
        self.torn = false;
        Ok(())
    }

    /// Empties it: the transaction has ended.
    pub fn clear(&mut self, disk: &Disk) -> Result<(), JournalError> {
        self.length = 0;
        self.torn = true;
        self.cut(disk).map_err(|error| io_error(&self.path, error))
    }
}

fn open(path: &Path, disk: &Disk) -> io::Result<(File, Vec<u8>)> {
    if !path.exists() {
        disk.create(path, 0o600)?;
    }
    // Also for one that was made right before a crash.
    disk.sync_dir(folder_of(path))?;
    let mut file = OpenOptions::new().read(true).write(true).open(path)?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok((file, bytes))
}

/// The records and how many bytes they take; a torn last line is none.
fn read(path: &Path, bytes: &[u8]) -> Result<(Vec<Record>, u64), JournalError> {
    let mut records = Vec::new();
    let mut length = 0;
    let lines: Vec<&[u8]> = bytes.split_inclusive(|byte| *byte == b'\n').collect();
    for (index, line) in lines.iter().enumerate() {
        let is_last = index + 1 == lines.len();
        let read = match line.strip_suffix(b"\n") {
            Some(whole) => serde_json::from_slice(whole).map_err(|error| error.to_string()),
            None => Err("it does not end".to_owned()),
        };
        match read {
            Ok(record) => {
                records.push(record);
                length += line.len();
            }
            // It was being written when the device stopped: what it announces had not begun.
            Err(_) if is_last => break,
            Err(why) => {
                return Err(JournalError::Damaged {
                    path: path.to_owned(),
                    line: index + 1,
                    why,
                });
            }
        }
    }
    Ok((records, length as u64))
}

fn io_error(path: &Path, error: io::Error) -> JournalError {
    let path = path.to_owned();
    JournalError::Io { path, error }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn swap(step: usize) -> Record {
        Record::Swap { step, kept: false }
    }

    fn reopened(path: &Path) -> Vec<Record> {
        Journal::open(path, &Disk::default()).unwrap().1
    }

    #[test]
    fn a_torn_last_line_is_no_record_and_the_next_one_takes_its_place() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let disk = Disk::default();
        for torn in [&b"{\"record\":\"sw"[..], b"\0\0\0\0", b"\0\0\0}\n", b"{}\n"] {
            let (mut journal, records) = Journal::open(&path, &disk).unwrap();
            assert_eq!(records, []);
            journal.append(&disk, &swap(0)).unwrap();
            drop(journal);
            let whole = fs::read(&path).unwrap();
            fs::write(&path, [&whole[..], torn].concat()).unwrap();
            let (mut journal, records) = Journal::open(&path, &disk).unwrap();
            assert_eq!(records, [swap(0)]);
            journal.append(&disk, &swap(1)).unwrap();
            assert_eq!(reopened(&path), [swap(0), swap(1)]);
            journal.clear(&disk).unwrap();
            assert_eq!(reopened(&path), []);
        }
    }

    #[test]
    fn garbage_before_the_last_line_is_an_error_that_says_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let line = serde_json::to_string(&swap(0)).unwrap();
        fs::write(&path, format!("{line}\nnonsense\n{line}\n")).unwrap();
        let error = Journal::open(&path, &Disk::default()).err().unwrap();
        let text = error.to_string();
        assert!(
            text.contains("line 2") && text.contains("by hand"),
            "{text}"
        );
    }
}
