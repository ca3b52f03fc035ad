//! A folder as one file: tar under zstd, the same bytes for the same files wherever and whenever it
//! is packed.

use std::{
    fs::{self, DirEntry, File, Metadata},
    io::{self, Read, Seek, Write},
    os::unix::{ffi::OsStrExt, fs::MetadataExt},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use sha2::{Digest, Sha256};
use tar::{Builder, EntryType, Header};
use zstd::Encoder;

use crate::cli::progress::{Bar, Progress};

/// zstd's highest level with a window of at most 8 MiB, which is what unpacking takes of a
/// device's memory.
pub const LEVEL_MAX: i32 = 19;
/// Set-user-id and the like included.
const MODE_MASK: u32 = 0o7777;

/// A file to be uploaded.
pub struct Packed {
    /// At its beginning.
    pub file: File,
    pub bytes: u64,
    /// Lower-case hex.
    pub sha256: String,
    /// What a folder held; `None` for a file, which goes as it is.
    pub folder: Option<Folder>,
}

pub struct Folder {
    /// Files and links.
    pub files: usize,
    /// Of the files.
    pub bytes: u64,
}

/// An entry of the archive.
struct Member {
    /// Below the folder.
    name: PathBuf,
    path: PathBuf,
    about: Metadata,
}

/// Packs a folder, or takes a file as it is.
pub fn pack(path: &Path, level: i32, progress: &Progress) -> Result<Packed> {
    let shown = path.display();
    let about = fs::metadata(path).with_context(|| format!("can't read {shown}"))?;
    if about.is_dir() {
        return folder(path, level, progress);
    }
    ensure!(
        about.is_file(),
        "{shown} is neither a folder nor a file: name one of them"
    );
    let unread = || format!("can't read {shown}");
    let mut file = File::open(path).with_context(unread)?;
    let mut digest = Sha256::new();
    let mut input = progress.over("reads the file", about.len(), &mut file);
    let bytes = io::copy(
        &mut input,
        &mut Digesting {
            digest: &mut digest,
            out: io::sink(),
        },
    )
    .with_context(unread)?;
    drop(input);
    ensure!(bytes > 0, "{shown} is an empty file");
    file.rewind().with_context(unread)?;
    Ok(Packed {
        file,
        bytes,
        sha256: hex::encode(digest.finalize()),
        folder: None,
    })
}

fn folder(path: &Path, level: i32, progress: &Progress) -> Result<Packed> {
    let mut members = Vec::new();
    collect(path, Path::new(""), &mut members)?;
    let files = || members.iter().filter(|it| !it.about.is_dir());
    ensure!(
        files().next().is_some(),
        "{} holds no file: there is nothing to pack",
        path.display()
    );
    let regular = members.iter().filter(|it| it.about.is_file());
    let of = Folder {
        files: files().count(),
        bytes: regular.map(|it| it.about.len()).sum(),
    };
    let unpacked = || "can't write the packed file into the folder of temporary files (TMPDIR)";
    let mut file = tempfile::tempfile().with_context(unpacked)?;
    let mut digest = Sha256::new();
    let mut encoder = Encoder::new(
        Digesting {
            digest: &mut digest,
            out: &mut file,
        },
        level,
    )
    .with_context(unpacked)?;
    encoder.include_checksum(true).with_context(unpacked)?;
    let mut archive = Builder::new(encoder);
    let bar = progress.bar("packs the folder", of.bytes);
    for member in &members {
        let shown = member.path.display();
        append(&mut archive, member, &bar).with_context(|| format!("can't pack {shown}"))?;
    }
    drop(bar);
    let encoder = archive.into_inner().with_context(unpacked)?;
    encoder.finish().with_context(unpacked)?;
    let bytes = file.stream_position().with_context(unpacked)?;
    file.rewind().with_context(unpacked)?;
    Ok(Packed {
        file,
        bytes,
        sha256: hex::encode(digest.finalize()),
        folder: Some(of),
    })
}

/// What is in a folder, each folder before what it holds, names in the order of their bytes.
fn collect(folder: &Path, name: &Path, members: &mut Vec<Member>) -> Result<()> {
    let unread = || format!("can't read {}", folder.display());
    let entries = fs::read_dir(folder).with_context(unread)?;
    let entries: io::Result<Vec<DirEntry>> = entries.collect();
    let mut entries = entries.with_context(unread)?;
    entries.sort_by(|a, b| {
        let (a, b) = (a.file_name(), b.file_name());
        a.as_bytes().cmp(b.as_bytes())
    });
    for entry in entries {
        let path = entry.path();
        let name = name.join(entry.file_name());
        // Of a link, not of what it leads to.
        let about = entry
            .metadata()
            .with_context(|| format!("can't read {}", path.display()))?;
        let kind = about.file_type();
        ensure!(
            kind.is_dir() || kind.is_file() || kind.is_symlink(),
            "{} is no file, folder or symbolic link, and can't be packed",
            path.display()
        );
        members.push(Member {
            name: name.clone(),
            path: path.clone(),
            about,
        });
        if kind.is_dir() {
            collect(&path, &name, members)?;
        }
    }
    Ok(())
}

fn append(archive: &mut Builder<impl Write>, member: &Member, bar: &Bar) -> Result<()> {
    let about = &member.about;
    let kind = about.file_type();
    // Owner and time stay zero: they would differ from one build machine to the next.
    let mut header = Header::new_gnu();
    header.set_mode(about.mode() & MODE_MASK);
    header.set_size(0);
    if kind.is_symlink() {
        header.set_entry_type(EntryType::Symlink);
        // The mode of a link means nothing, and not every system has the same.
        header.set_mode(0o777);
        let target = fs::read_link(&member.path)?;
        archive.append_link(&mut header, &member.name, target)?;
    } else if kind.is_dir() {
        header.set_entry_type(EntryType::Directory);
        // With a slash at its end, as tar's own are.
        archive.append_data(&mut header, member.name.join(""), io::empty())?;
    } else {
        header.set_entry_type(EntryType::Regular);
        header.set_size(about.len());
        let mut input = Exact {
            input: File::open(&member.path)?,
            left: about.len(),
            bar,
        };
        archive.append_data(&mut header, &member.name, &mut input)?;
        ensure!(
            input.input.read(&mut [0])? == 0,
            "it grew while it was packed: try again when nothing writes to it"
        );
    }
    Ok(())
}

/// As many bytes of a file as its header says, or an error.
struct Exact<'b> {
    input: File,
    left: u64,
    bar: &'b Bar,
}

impl Read for Exact<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = usize::try_from(self.left).map_or(buffer.len(), |it| it.min(buffer.len()));
        let count = self.input.read(&mut buffer[..wanted])?;
        if count == 0 && wanted > 0 {
            return Err(io::Error::other(
                "it shrank while it was packed: try again when nothing writes to it",
            ));
        }
        self.left -= count as u64;
        self.bar.add(count);
        Ok(count)
    }
}

/// Digests what it passes on.
struct Digesting<'d, W> {
    digest: &'d mut Sha256,
    out: W,
}

impl<W: Write> Write for Digesting<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.out.write(bytes)?;
        self.digest.update(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::{
        fs::Permissions,
        os::unix::fs::{PermissionsExt, symlink},
        process::{Command, Stdio},
    };

    use tempfile::TempDir;

    use super::*;

    const LONG: &str = "a-name-that-is-longer-than-the-hundred-bytes-which-a-header-of-tar-has-room-for-so-that-it-goes-on";

    /// A folder of everything that a package may hold, its files made in this order.
    fn tree(order: &[usize]) -> TempDir {
        let folder = tempfile::tempdir().unwrap();
        let below = |name: &str| folder.path().join(name);
        for name in ["bin", "empty", "share/deep", LONG] {
            fs::create_dir_all(below(name)).unwrap();
        }
        let files = [
            ("bin/run", "#!/bin/sh\n", 0o4755),
            ("b.txt", "b", 0o600),
            ("B.txt", "B", 0o644),
            ("share/deep/größe", "x", 0o644),
        ];
        for at in order {
            let (name, text, mode) = files[*at];
            fs::write(below(name), text).unwrap();
            fs::set_permissions(below(name), Permissions::from_mode(mode)).unwrap();
        }
        fs::write(below(LONG).join(LONG), "long").unwrap();
        for (at, target) in ["./../bin//run", "/etc/hostname", "nowhere", LONG]
            .iter()
            .enumerate()
        {
            symlink(target, below(&format!("link{at}"))).unwrap();
        }
        fs::set_permissions(below("empty"), Permissions::from_mode(0o1700)).unwrap();
        folder
    }

    fn packed(path: &Path, level: i32) -> (Vec<u8>, Packed) {
        let mut packed = pack(path, level, &Progress::hidden()).unwrap();
        let mut bytes = Vec::new();
        packed.file.read_to_end(&mut bytes).unwrap();
        assert_eq!(packed.bytes, bytes.len() as u64);
        assert_eq!(packed.sha256, hex::encode(Sha256::digest(&bytes)));
        (bytes, packed)
    }

    /// What the real tar does with an archive.
    fn tar(arguments: &[&str], archive: &[u8]) -> String {
        let mut child = Command::new("tar")
            .args(arguments)
            .args(["--zstd", "-f", "-"])
            .env("LC_ALL", "C.UTF-8")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(archive).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    #[test]
    fn the_real_tar_unpacks_what_was_packed() {
        let folder = tree(&[0, 1, 2, 3]);
        let (archive, about) = packed(folder.path(), LEVEL_MAX);
        let of = about.folder.unwrap();
        assert_eq!((of.files, of.bytes), (9, 17));
        let listed = tar(&["-t", "--quoting-style=literal"], &archive);
        let listed: Vec<&str> = listed.lines().collect();
        let deep = format!("{LONG}/");
        let deeper = format!("{LONG}/{LONG}");
        assert_eq!(
            listed,
            [
                "B.txt",
                &deep,
                &deeper,
                "b.txt",
                "bin/",
                "bin/run",
                "empty/",
                "link0",
                "link1",
                "link2",
                "link3",
                "share/",
                "share/deep/",
                "share/deep/größe",
            ]
        );
        let target = tempfile::tempdir().unwrap();
        let into = ["-xp", "-C", target.path().to_str().unwrap()];
        tar(&into, &archive);
        let differences = Command::new("diff")
            .args(["-r", "--no-dereference"])
            .args([folder.path(), target.path()])
            .output()
            .unwrap();
        assert!(differences.status.success(), "{differences:?}");
        for (name, mode) in [
            ("bin/run", 0o4755),
            ("b.txt", 0o600),
            ("B.txt", 0o644),
            ("empty", 0o1700),
        ] {
            let about = fs::metadata(target.path().join(name)).unwrap();
            assert_eq!(about.mode() & MODE_MASK, mode, "{name}");
        }
        for link in ["link0", "link1", "link2", "link3"] {
            let of = |folder: &TempDir| fs::read_link(folder.path().join(link)).unwrap();
            assert_eq!(of(&target), of(&folder), "{link}");
        }
    }

    #[test]
    fn neither_time_nor_owner_nor_order_of_making_changes_a_byte() {
        let (one, other) = (tree(&[0, 1, 2, 3]), tree(&[3, 2, 1, 0]));
        let touched = Command::new("touch")
            .args(["-d", "2001-02-03"])
            .arg(other.path().join("b.txt"))
            .status();
        assert!(touched.unwrap().success());
        assert!(packed(one.path(), 9).0 == packed(other.path(), 9).0);
        let listed = tar(
            &["-tv", "--numeric-owner", "--utc"],
            &packed(one.path(), 9).0,
        );
        for line in listed.lines() {
            assert!(
                line.contains(" 0/0 ") && line.contains(" 1970-01-01 00:00 "),
                "{line}"
            );
        }
    }

    #[test]
    fn the_window_is_at_most_8_mib_at_the_highest_level() {
        let folder = tempfile::tempdir().unwrap();
        let mut state = 1_u32;
        let noise: Vec<u8> = std::iter::repeat_with(|| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        })
        .take(9 << 20)
        .collect();
        fs::write(folder.path().join("noise"), noise).unwrap();
        let (archive, _) = packed(folder.path(), LEVEL_MAX);
        let mut decoder = zstd::Decoder::new(archive.as_slice()).unwrap();
        decoder.window_log_max(23).unwrap();
        io::copy(&mut decoder, &mut io::sink()).unwrap();
        let mut small = zstd::Decoder::new(archive.as_slice()).unwrap();
        small.window_log_max(22).unwrap();
        assert!(io::copy(&mut small, &mut io::sink()).is_err());
    }

    #[test]
    fn a_file_goes_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("app.bin");
        fs::write(&path, b"anything").unwrap();
        let (bytes, about) = packed(&path, LEVEL_MAX);
        assert_eq!(bytes, b"anything");
        assert!(about.folder.is_none());
    }

    #[test]
    fn what_no_device_could_unpack_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let refused = |path: &Path| {
            let refused = pack(path, 1, &Progress::hidden()).map(drop).unwrap_err();
            format!("{refused:#}")
        };
        assert!(refused(folder.path()).contains("holds no file"));
        fs::create_dir(folder.path().join("a")).unwrap();
        assert!(refused(folder.path()).contains("holds no file"));
        let pipe = folder.path().join("a/pipe");
        assert!(
            Command::new("mkfifo")
                .arg(&pipe)
                .status()
                .unwrap()
                .success()
        );
        assert!(refused(folder.path()).contains("a/pipe is no file"));
        assert!(refused(&pipe).contains("neither a folder nor a file"));
        assert!(refused(&folder.path().join("b")).contains("can't read"));
        fs::write(folder.path().join("b"), "").unwrap();
        assert!(refused(&folder.path().join("b")).contains("is an empty file"));
    }
}
