use std::{
    fs::{self, File},
    io::{self, BufReader, Read, Seek, SeekFrom},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use airlift_proto::error_code;
use flate2::bufread::MultiGzDecoder;

use super::{Trouble, tree};
use crate::disk::{Act, Disk, folder_of, with_suffix};

/// Read at once, bytes.
pub const BLOCK_BYTES: usize = 64 << 10;
/// Largest window of a zstd file, as a power of two: 8 MiB, which is that of level 19.
const WINDOW_LOG_MAX: u32 = 23;
/// One header of a tar archive, bytes.
const HEADER_BYTES: usize = 512;
/// Of a file that can be run.
const MODE_RUN: u32 = 0o755;
const MODE_PLAIN: u32 = 0o644;

/// Makes a release of a file.
pub struct Unpack<'a> {
    pub disk: &'a Disk,
    /// The file; it is gone when this succeeded.
    pub file: &'a Path,
    /// The folder to be: nothing is there yet.
    pub release: &'a Path,
    /// Where the package stands on the device. Gives a plain file its name, and its mode.
    pub local: &'a Path,
    /// What it is, for errors.
    pub name: &'a str,
    /// Called for every block.
    pub beat: &'a mut dyn FnMut(),
}

impl Unpack<'_> {
    /// Unpacks by what the file begins with: tar, alone or in gzip or zstd, is a folder; everything
    /// else, unpacked from gzip or zstd, is a file. All of it is on the disk when this returns; else
    /// nothing is left of it.
    pub fn run(&mut self) -> Result<PathBuf, Trouble> {
        let new = with_suffix(self.release, ".new");
        let unpacked = self.into(&new);
        match unpacked {
            Ok(plain) => {
                let removed = self.disk.remove_if_there(self.file);
                removed.map_err(|error| self.trouble(&error))?;
                Ok(match plain {
                    Some(name) => self.release.join(name),
                    None => self.release.to_owned(),
                })
            }
            Err(error) => {
                let _ = self.disk.remove_tree(&new);
                let _ = self.disk.remove_if_there(self.file);
                Err(self.trouble(&error))
            }
        }
    }

    fn trouble(&self, error: &io::Error) -> Trouble {
        Trouble::of_disk(error_code::UNPACK_FAILED, self.name, error)
    }

    /// The name of the file, if it is one and no folder.
    fn into(&mut self, new: &Path) -> io::Result<Option<String>> {
        self.disk.create_dir_all_synced(folder_of(new))?;
        self.disk.remove_tree(new)?;
        self.disk.create_dir(new)?;
        let mut file = File::open(self.file)?;
        let (packing, head) = look(&mut file)?;
        let plain = if tree::is_header(&head) {
            let mut stream = packing.open(file)?;
            tree::unpack(self.disk, &mut stream, new, self.beat)?;
            None
        } else {
            let name = self.plain_name()?;
            let path = new.join(&name);
            match packing {
                Packing::None => self.disk.rename(self.file, &path)?,
                _ => self.copy(&mut packing.open(file)?, &path)?,
            }
            self.disk.set_mode(&path, self.mode(&head))?;
            Some(name)
        };
        self.make_safe(new)?;
        self.disk.rename(new, self.release)?;
        self.disk.sync_dir(folder_of(self.release))?;
        Ok(plain)
    }

    fn plain_name(&self) -> io::Result<String> {
        let name = self.local.file_name().and_then(|name| name.to_str());
        let missing = || io::Error::other(format!("{} names no file", self.local.display()));
        Ok(name.ok_or_else(missing)?.to_owned())
    }

    fn mode(&self, head: &[u8]) -> u32 {
        if head.starts_with(b"\x7fELF") || head.starts_with(b"#!") {
            return MODE_RUN;
        }
        let there = fs::metadata(self.local).ok().filter(fs::Metadata::is_file);
        there.map_or(MODE_PLAIN, |it| it.permissions().mode() & 0o7777)
    }

    fn copy(&mut self, stream: &mut dyn Read, path: &Path) -> io::Result<()> {
        let mut file = self.disk.create(path, MODE_PLAIN)?;
        copy(self.disk, stream, &mut file, path, self.beat)
    }

    /// Everything that was written is on the disk.
    fn make_safe(&mut self, new: &Path) -> io::Result<()> {
        (self.beat)();
        let folder = File::open(new)?;
        let act = Act::Sync { path: new.into() };
        self.disk.act(act, || Ok(rustix::fs::syncfs(&folder)?))?;
        (self.beat)();
        Ok(())
    }
}

/// Copies block by block.
pub fn copy(
    disk: &Disk,
    from: &mut dyn Read,
    to: &mut File,
    path: &Path,
    beat: &mut dyn FnMut(),
) -> io::Result<()> {
    let mut block = vec![0; BLOCK_BYTES];
    loop {
        let count = match from.read(&mut block) {
            Ok(0) => return Ok(()),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        disk.write(to, path, &block[..count])?;
        beat();
    }
}

/// Around the bytes that are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Packing {
    None,
    Gzip,
    Zstd,
}

impl Packing {
    fn of(head: &[u8]) -> Packing {
        match head {
            [0x1f, 0x8b, 8, ..] => Packing::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Packing::Zstd,
            // A frame that is to be skipped, before others: what pzstd writes.
            [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Packing::Zstd,
            _ => Packing::None,
        }
    }

    fn open(self, file: File) -> io::Result<Box<dyn Read>> {
        let file = BufReader::with_capacity(BLOCK_BYTES, file);
        Ok(match self {
            Packing::None => Box::new(file),
            Packing::Gzip => Box::new(Told(MultiGzDecoder::new(file))),
            Packing::Zstd => {
                let mut decoder = zstd::stream::read::Decoder::with_buffer(file)?;
                decoder.window_log_max(WINDOW_LOG_MAX)?;
                Box::new(Told(decoder))
            }
        })
    }
}

/// What the file is packed in, and how what is in it begins. The file stands at its beginning.
fn look(file: &mut File) -> io::Result<(Packing, Vec<u8>)> {
    let head = read_head(file)?;
    file.seek(SeekFrom::Start(0))?;
    let packing = Packing::of(&head);
    if packing == Packing::None {
        return Ok((packing, head));
    }
    let again = file.try_clone()?;
    let head = read_head(&mut packing.open(again)?)?;
    // The clone shares our place in the file.
    file.seek(SeekFrom::Start(0))?;
    Ok((packing, head))
}

fn read_head(from: &mut dyn Read) -> io::Result<Vec<u8>> {
    let mut head = Vec::with_capacity(HEADER_BYTES);
    from.take(HEADER_BYTES as u64).read_to_end(&mut head)?;
    Ok(head)
}

/// Says of errors in what is packed what to do about them.
struct Told<R>(R);

impl<R: Read> Read for Told<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer).map_err(|error| {
            if error.kind() == io::ErrorKind::Interrupted || error.raw_os_error().is_some() {
                return error;
            }
            let text = error.to_string();
            match text.contains("too much memory") {
                true => io::Error::other(
                    "its zstd window is larger than 8 MiB; pack it with a level of at most 19 and \
                     without --ultra and --long",
                ),
                false => {
                    io::Error::new(error.kind(), format!("the packed file is damaged: {text}"))
                }
            }
        })
    }
}
