use std::{
    fs,
    io::Write,
    os::unix::fs::{MetadataExt, PermissionsExt, symlink},
    path::{Path, PathBuf},
    process::Command,
};

use airlift_agent::{
    disk::Disk,
    stage::{Trouble, unpack::Unpack},
};
use flate2::{Compression, write::GzEncoder};
use tar::{Builder, EntryType, Header};
use tempfile::TempDir;

use super::device::tar;

/// Unpacks `file`; what comes out, in a folder that lives as long as the first.
fn unpack(file: &[u8]) -> (TempDir, Result<PathBuf, Trouble>) {
    let folder = tempfile::tempdir().unwrap();
    let unpacked = unpack_in(folder.path(), file);
    (folder, unpacked)
}

fn unpack_in(folder: &Path, file: &[u8]) -> Result<PathBuf, Trouble> {
    let part = folder.join("part");
    fs::write(&part, file).unwrap();
    let mut unpack = Unpack {
        disk: &Disk::default(),
        file: &part,
        release: &folder.join("releases/r"),
        local: &folder.join("app"),
        name: "app 1.0.0",
        beat: &mut || (),
    };
    let unpacked = unpack.run();
    assert!(!part.exists(), "the download stays");
    let left: Vec<_> = fs::read_dir(folder.join("releases")).unwrap().collect();
    assert_eq!(left.len(), usize::from(unpacked.is_ok()), "{left:?}");
    unpacked
}

fn refused(file: &[u8]) -> String {
    let (_folder, unpacked) = unpack(file);
    let trouble = unpacked.unwrap_err();
    assert_eq!(trouble.code, "UNPACK_FAILED");
    assert!(trouble.message.starts_with("app 1.0.0: "), "{trouble}");
    trouble.message
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777
}

/// An archive of entries whose names are not looked at.
fn entries(entries: &[(EntryType, &str, &str)]) -> Vec<u8> {
    let mut builder = Builder::new(Vec::new());
    for (kind, name, target) in entries {
        let mut header = Header::new_old();
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.as_old_mut().linkname[..target.len()].copy_from_slice(target.as_bytes());
        header.set_entry_type(*kind);
        header.set_mode(0o644);
        header.set_size(0);
        header.set_cksum();
        builder.append(&header, std::io::empty()).unwrap();
    }
    builder.into_inner().unwrap()
}

#[test]
fn a_tree_comes_out_alike_whatever_it_is_packed_in() {
    let archive = tar(&[("a/b", b"one"), ("c", &[7; 100_000])]);
    let zstd = zstd::encode_all(&archive[..], 3).unwrap();
    let split = archive.len() / 2;
    let members = [gzip(&archive[..split]), gzip(&archive[split..])].concat();
    let mut skippable = vec![0x50, 0x2a, 0x4d, 0x18, 2, 0, 0, 0, 1, 1];
    skippable.extend(&zstd);
    for file in [archive.clone(), gzip(&archive), members, zstd, skippable] {
        let (_folder, unpacked) = unpack(&file);
        let release = unpacked.unwrap();
        assert!(release.ends_with("releases/r"));
        assert_eq!(fs::read(release.join("a/b")).unwrap(), b"one");
        assert_eq!(fs::read(release.join("c")).unwrap(), [7; 100_000]);
    }
}

#[test]
fn what_is_no_archive_is_a_file_under_the_name_it_will_have() {
    for (file, bytes, expected) in [
        (b"#!/bin/sh\n".to_vec(), b"#!/bin/sh\n".to_vec(), 0o755),
        (b"\x7fELF..".to_vec(), b"\x7fELF..".to_vec(), 0o755),
        (b"text".to_vec(), b"text".to_vec(), 0o644),
        (gzip(b"#!x"), b"#!x".to_vec(), 0o755),
        (
            zstd::encode_all(&b"text"[..], 1).unwrap(),
            b"text".to_vec(),
            0o644,
        ),
        (Vec::new(), Vec::new(), 0o644),
    ] {
        let (_folder, unpacked) = unpack(&file);
        let path = unpacked.unwrap();
        assert!(path.ends_with("releases/r/app"), "{}", path.display());
        assert_eq!(fs::read(&path).unwrap(), bytes);
        assert_eq!(mode(&path), expected);
    }
}

#[test]
fn a_plain_file_takes_the_mode_of_the_one_it_replaces() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("app"), "old").unwrap();
    fs::set_permissions(folder.path().join("app"), PermissionsExt::from_mode(0o640)).unwrap();
    let path = unpack_in(folder.path(), b"new").unwrap();
    assert_eq!(mode(&path), 0o640);
}

#[test]
fn modes_links_times_and_long_names_are_kept() {
    let source = tempfile::tempdir().unwrap();
    let inside = source.path();
    let long = format!("{}/{}", "d".repeat(120), "f".repeat(120));
    fs::create_dir(inside.join("d".repeat(120))).unwrap();
    fs::write(inside.join(&long), "long").unwrap();
    fs::write(inside.join("run"), "x").unwrap();
    fs::set_permissions(inside.join("run"), PermissionsExt::from_mode(0o750)).unwrap();
    fs::hard_link(inside.join("run"), inside.join("twin")).unwrap();
    symlink("/etc/app.conf", inside.join("conf")).unwrap();
    fs::create_dir(inside.join("shut")).unwrap();
    fs::write(inside.join("shut/in"), "y").unwrap();
    fs::set_permissions(inside.join("shut"), PermissionsExt::from_mode(0o555)).unwrap();
    let sparse = fs::File::create(inside.join("sparse")).unwrap();
    sparse.set_len(3 << 20).unwrap();
    for format in ["gnu", "pax"] {
        let archive = inside.with_extension(format);
        let mut command = Command::new("tar");
        command
            .arg(format!("--format={format}"))
            .arg("-C")
            .arg(inside);
        // The sparse form of pax is refused; see below.
        command.args(if format == "gnu" { &["-S"][..] } else { &[] });
        let status = command.arg("-cf").arg(&archive).arg(".").status().unwrap();
        assert!(status.success());
        let (_folder, unpacked) = unpack(&fs::read(&archive).unwrap());
        fs::remove_file(&archive).unwrap();
        let release = unpacked.unwrap();
        assert_eq!(fs::read(release.join(&long)).unwrap(), b"long");
        assert_eq!(mode(&release.join("run")), 0o750);
        let (run, twin) = (release.join("run"), release.join("twin"));
        assert_eq!(
            fs::metadata(&run).unwrap().ino(),
            fs::metadata(&twin).unwrap().ino()
        );
        let packed = fs::metadata(inside.join("run")).unwrap();
        assert_eq!(fs::metadata(&run).unwrap().mtime(), packed.mtime());
        assert_eq!(
            fs::read_link(release.join("conf")).unwrap(),
            Path::new("/etc/app.conf")
        );
        assert_eq!(mode(&release.join("shut")), 0o555);
        assert_eq!(fs::metadata(release.join("sparse")).unwrap().len(), 3 << 20);
        assert!(
            fs::read(release.join("sparse"))
                .unwrap()
                .iter()
                .all(|byte| *byte == 0)
        );
        // So that the folders can be removed by others than root.
        fs::set_permissions(release.join("shut"), PermissionsExt::from_mode(0o755)).unwrap();
    }
    let archive = inside.with_extension("sparse");
    let mut command = Command::new("tar");
    command.args(["--format=pax", "-S", "-C"]).arg(inside);
    assert!(
        command
            .arg("-cf")
            .arg(&archive)
            .arg(".")
            .status()
            .unwrap()
            .success()
    );
    let why = refused(&fs::read(&archive).unwrap());
    fs::remove_file(&archive).unwrap();
    assert!(why.contains("tar --format=gnu"), "{why}");
}

#[test]
fn nothing_lands_outside_of_the_package() {
    use EntryType::{Block, Char, Directory, Fifo, Link, Regular, Symlink};
    for (archive, why) in [
        (entries(&[(Regular, "../evil", "")]), "leads out"),
        (entries(&[(Regular, "/etc/evil", "")]), "leads out"),
        (entries(&[(Regular, "a/../../evil", "")]), "leads out"),
        (entries(&[(Directory, "..", "")]), "leads out"),
        (
            entries(&[(Symlink, "a", "/tmp"), (Regular, "a/evil", "")]),
            "symbolic link",
        ),
        (
            entries(&[(Symlink, "a", "."), (Directory, "a/b", "")]),
            "symbolic link",
        ),
        (
            entries(&[(Symlink, "a", ".."), (Symlink, "a/b", "x")]),
            "symbolic link",
        ),
        (entries(&[(Link, "a", "/etc/passwd")]), "outside"),
        (entries(&[(Link, "a", "../../part")]), "outside"),
        (entries(&[(Link, "a", "missing")]), "no file"),
        (
            entries(&[(Symlink, "a", "/etc/passwd"), (Link, "b", "a")]),
            "no file",
        ),
        (
            entries(&[(Symlink, "a", "/etc"), (Link, "b", "a/passwd")]),
            "symbolic link",
        ),
        (entries(&[(Char, "null", "")]), "device or pipe"),
        (entries(&[(Block, "disk", "")]), "device or pipe"),
        (entries(&[(Fifo, "pipe", "")]), "device or pipe"),
        (
            entries(&[(Directory, "a", ""), (Regular, "a", "")]),
            "a folder and something",
        ),
        (
            entries(&[(Regular, "a", ""), (Regular, "a/b", "")]),
            "through a file",
        ),
        (entries(&[(Regular, "./", "")]), "no name"),
    ] {
        let message = refused(&archive);
        assert!(message.contains(why), "{message}");
    }
}

#[test]
fn an_entry_that_comes_twice_counts_the_second_time() {
    let archive = tar(&[("a", b"one"), ("a", b"two")]);
    let (_folder, unpacked) = unpack(&archive);
    assert_eq!(fs::read(unpacked.unwrap().join("a")).unwrap(), b"two");
    // Also where the first is a link that leads out: it is replaced, not followed.
    let link = entries(&[
        (EntryType::Symlink, "a", "/tmp/evil"),
        (EntryType::Regular, "a", ""),
    ]);
    let (_folder, unpacked) = unpack(&link);
    assert!(
        fs::symlink_metadata(unpacked.unwrap().join("a"))
            .unwrap()
            .is_file()
    );
}

#[test]
fn what_is_damaged_is_refused() {
    let archive = tar(&[("a", &[1; 50_000])]);
    let zipped = gzip(&archive);
    let squeezed = zstd::encode_all(&archive[..], 3).unwrap();
    let garbled = [&squeezed[..30], &[0xff; 30], &squeezed[60..]].concat();
    for file in [
        &zipped[..zipped.len() - 20],
        &squeezed[..squeezed.len() - 5],
        &garbled,
        &archive[..20_000],
    ] {
        refused(file);
    }
}

#[test]
fn a_window_that_needs_too_much_memory_is_refused_with_what_to_do() {
    let bytes = vec![1; 20 << 20];
    let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
    encoder.window_log(24).unwrap();
    encoder.write_all(&bytes).unwrap();
    let why = refused(&encoder.finish().unwrap());
    assert!(why.contains("level of at most 19"), "{why}");
    let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
    encoder.window_log(23).unwrap();
    encoder.write_all(&bytes).unwrap();
    let (_folder, unpacked) = unpack(&encoder.finish().unwrap());
    assert_eq!(fs::metadata(unpacked.unwrap()).unwrap().len(), 20 << 20);
}
