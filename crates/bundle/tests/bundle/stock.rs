//! Bundles and stock tools: what we write they unpack, what they pack we read.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use airlift_bundle::{Kind, Refusal};
use airlift_testkit::{Scratch, program};
use anyhow::{Result, ensure};

use crate::fuzz::samples::{Bundle, bundle};

fn run(folder: &Path, name: &str, package: &str, arguments: &[&str]) -> Result<Output> {
    let output = Command::new(program(name, package)?)
        .args(arguments)
        .current_dir(folder)
        .output()?;
    let words = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{name} {arguments:?}: {words}");
    Ok(output)
}

/// tar with zstd, which it starts by its name.
fn tar(folder: &Path, arguments: &[&str]) -> Result<Output> {
    program("zstd", "zstd")?;
    run(folder, "tar", "tar", arguments)
}

/// A folder with the bundle's members as files; their names in order.
fn unpacked(bundle: &Bundle) -> Result<(Scratch, Vec<String>)> {
    let folder = Scratch::new("stock")?;
    for (name, bytes) in bundle.members() {
        fs::write(folder.path().join(name), bytes)?;
    }
    let names = bundle.members().into_iter().map(|(name, _)| name);
    Ok((folder, names.collect()))
}

fn read(path: PathBuf) -> Result<Result<Bundle, Refusal>> {
    let read = Bundle::read(fs::File::open(path)?, 4096);
    Ok(read.map_err(|error| error.refusal().expect("the file can be read")))
}

#[test]
fn stock_tar_unpacks_a_bundle() -> Result<()> {
    let bundle = bundle(Kind::FirmwareAndWeb);
    let folder = Scratch::new("stock")?;
    fs::write(folder.path().join("a.jota"), bundle.write())?;
    let list = tar(
        folder.path(),
        &["--zstd", "--utc", "--full-time", "-tvf", "a.jota"],
    )?;
    let list = String::from_utf8(list.stdout)?;
    let lines: Vec<_> = list.lines().collect();
    assert_eq!(lines.len(), 4, "{list}");
    for (line, (name, bytes)) in lines.iter().zip(bundle.members()) {
        let words: Vec<_> = line.split_whitespace().collect();
        let size = bytes.len().to_string();
        let expected = ["-rw-r--r--", "0/0", &size, "2023-11-14", "22:13:20", &name];
        assert_eq!(words, expected);
    }
    let into = folder.path().join("into");
    fs::create_dir(&into)?;
    tar(&into, &["--zstd", "-xf", "../a.jota"])?;
    assert_eq!(fs::read_dir(&into)?.count(), 4);
    for (name, bytes) in bundle.members() {
        assert_eq!(fs::read(into.join(&name))?, bytes, "{name}");
    }
    run(folder.path(), "zstd", "zstd", &["--test", "-q", "a.jota"])?;
    Ok(())
}

#[test]
fn what_stock_tar_packs_is_a_bundle() -> Result<()> {
    for kind in Kind::ALL {
        let bundle = bundle(kind);
        for options in [
            &["--zstd"][..],
            &["--zstd", "--format=ustar"],
            &["--zstd", "--format=gnu", "--mtime=1970-01-01"],
            &["--zstd", "-b", "1"],
            &["-I", "zstd -19"],
            &["-I", "zstd --fast --no-check"],
        ] {
            let (folder, names) = unpacked(&bundle)?;
            let names = names.iter().map(String::as_str);
            let arguments: Vec<_> = options
                .iter()
                .copied()
                .chain(["-cf", "a.jota"])
                .chain(names)
                .collect();
            tar(folder.path(), &arguments)?;
            assert_eq!(
                read(folder.path().join("a.jota"))?,
                Ok(bundle.clone()),
                "{options:?}"
            );
        }
    }
    Ok(())
}

#[test]
fn stock_tar_can_also_pack_what_is_no_bundle() -> Result<()> {
    let bundle = bundle(Kind::Firmware);
    for (options, names, refusal) in [
        (&["--zstd", "--format=pax"][..], None, Refusal::Malformed),
        (&["--gzip"], None, Refusal::Malformed),
        (&["--zstd"], Some(["."]), Refusal::UnsafePath),
        (
            &["--zstd", "-P", "--transform", "s,^,/tmp/,"],
            None,
            Refusal::UnsafePath,
        ),
        (
            &["--zstd", "-P", "--transform", "s,^,../,"],
            None,
            Refusal::UnsafePath,
        ),
        (&["--zstd", "-b", "64"], None, Refusal::TooLarge),
    ] {
        let (folder, all) = unpacked(&bundle)?;
        let out = Scratch::new("stock")?;
        let file = out.path().join("a.jota");
        let file_name = file.to_str().expect("UTF-8");
        let all = all.iter().map(String::as_str).collect();
        let names = names.map_or(all, |names| names.to_vec());
        let arguments: Vec<_> = options
            .iter()
            .copied()
            .chain(["-cf", file_name])
            .chain(names)
            .collect();
        tar(folder.path(), &arguments)?;
        assert_eq!(read(file)?, Err(refusal), "{options:?}");
    }
    Ok(())
}

#[test]
fn pythons_tarfile_reads_and_writes_bundles() -> Result<()> {
    const CONVERT: &str = r#"
import io, sys, tarfile
read = tarfile.open("a.tar", "r:")
for form in ("USTAR", "GNU"):
    write = tarfile.open(form + ".tar", "w", format=getattr(tarfile, form + "_FORMAT"))
    for member in read.getmembers():
        assert member.isreg() and member.mode == 0o644 and member.mtime == 1700000000, member
        info = tarfile.TarInfo(member.name)
        info.size, info.mtime = member.size, 1234567890
        write.addfile(info, io.BytesIO(read.extractfile(member).read()))
    write.close()
"#;
    let bundle = bundle(Kind::FirmwareAndWeb);
    let folder = Scratch::new("stock")?;
    fs::write(folder.path().join("a.tar.zst"), bundle.write())?;
    run(folder.path(), "zstd", "zstd", &["-q", "-d", "a.tar.zst"])?;
    run(folder.path(), "python3", "python3", &["-c", CONVERT])?;
    for form in ["USTAR", "GNU"] {
        run(
            folder.path(),
            "zstd",
            "zstd",
            &["-q", &format!("{form}.tar")],
        )?;
        let read = read(folder.path().join(format!("{form}.tar.zst")))?;
        assert_eq!(read, Ok(bundle.clone()), "{form}");
    }
    Ok(())
}
