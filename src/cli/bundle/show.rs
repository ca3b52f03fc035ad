//! Bundles, for people.

use std::io::{self, Write};

use airlift_bundle::{Error, Kind, Manifest, PartName, image::FirmwareInfo, keys::Signer};

use super::{
    build::Built,
    extract::Extracted,
    parts::{PackedFolder, Prepared},
    read::Contents,
};
use crate::cli::{
    table::Table,
    text::{printable, unix_time},
};

pub fn built(built: &Built, out: &mut dyn Write) -> io::Result<()> {
    let Built {
        path,
        bytes,
        manifest,
        prepared,
        ..
    } = built;
    writeln!(
        out,
        "{} ({bytes} bytes): {}",
        path.display(),
        sentence(manifest)
    )?;
    writeln!(out)?;
    parts(manifest, |part| about_prepared(part, prepared), out)?;
    let packed = prepared.web.as_ref().and_then(|web| web.packed.as_ref());
    if let Some(PackedFolder { left_out, .. }) = packed
        && !left_out.is_empty()
    {
        writeln!(out)?;
        let mut table = Table::new(&["LEFT OUT OF THE WEB PART", "WHY"]);
        for it in left_out {
            table.row([printable(&it.name), it.why.to_owned()]);
        }
        table.write(out)?;
    }
    writeln!(out, "\nSigned, written and read back; {}", expiry(manifest))
}

pub fn inspected(contents: &Contents, out: &mut dyn Write) -> io::Result<()> {
    let manifest = &contents.manifest;
    let signed = match contents.signature.is_empty() {
        true => "no; no device that trusts a key takes it",
        false => "yes; `airlift bundle verify` says by whom",
    };
    let rollback = match manifest.allow_rollback {
        true => "allowed: devices go back to it from later releases",
        false => "not allowed",
    };
    let facts = [
        ("version", manifest.version.clone()),
        ("device type", manifest.device_type.clone()),
        ("target", manifest.target.clone()),
        ("kind", manifest.kind.clone()),
        ("counter", manifest.release_counter.to_string()),
        ("rollback", rollback.to_owned()),
        (
            "min version",
            manifest
                .min_version
                .clone()
                .unwrap_or_else(|| "-".to_owned()),
        ),
        ("created", unix_time(manifest.created_at)),
        (
            "expires",
            manifest
                .expires_at
                .map_or_else(|| "never".to_owned(), unix_time),
        ),
        ("signed", signed.to_owned()),
    ];
    for (name, fact) in facts {
        writeln!(out, "{name:<12} {}", printable(&fact))?;
    }
    writeln!(out)?;
    let about = |part| match part {
        PartName::Firmware => contents.firmware.as_ref().map(about_firmware),
        PartName::Web => None,
    };
    parts(manifest, |part| about(part).unwrap_or_default(), out)?;
    if !manifest.changelog.is_empty() {
        writeln!(out)?;
        for line in manifest.changelog.lines() {
            writeln!(out, "{}", printable(line))?;
        }
    }
    Ok(())
}

pub fn accepted(signer: &Signer, manifest: &Manifest, out: &mut dyn Write) -> io::Result<()> {
    writeln!(
        out,
        "accepted: {}\nsigned by {} ({}) at {}; {}",
        sentence(manifest),
        printable(&signer.name),
        signer.fingerprint,
        unix_time(signer.signed_at),
        expiry(manifest)
    )
}

pub fn extracted(extracted: &Extracted, out: &mut dyn Write) -> io::Result<()> {
    let Extracted {
        manifest,
        is_signed,
        paths,
    } = extracted;
    writeln!(out, "{}", sentence(manifest))?;
    for path in paths {
        writeln!(out, "{}", path.display())?;
    }
    let is_firmware = manifest.kind() == Kind::Firmware;
    writeln!(
        out,
        "\n{}",
        match (is_signed, is_firmware) {
            (false, _) => "It is not signed: no device that trusts a key takes it.",
            (true, false) =>
                "It has a web part: a device's upload page takes bundles of a firmware alone.",
            (true, true) => UPLOAD,
        }
    )
}

const UPLOAD: &str = "\
To a device's own page, in its folder:
  curl -u :PASSWORD -F manifest=@manifest.json -F signature=@manifest.json.asc \\
      -F firmware=@firmware.bin http://<ip>:8080/api/ota/upload";

pub fn refused(refused: &Error, out: &mut dyn Write) -> io::Result<()> {
    let message = printable(&refused.message);
    writeln!(out, "refused ({}): {message}", refused.refusal.word())
}

fn sentence(manifest: &Manifest) -> String {
    format!(
        "{} {} for {} on {}, release counter {}",
        manifest.kind,
        manifest.version,
        manifest.device_type,
        manifest.target,
        manifest.release_counter
    )
}

fn expiry(manifest: &Manifest) -> String {
    match manifest.expires_at {
        None => "it never expires".to_owned(),
        Some(at) => format!("it expires at {}", unix_time(at)),
    }
}

fn parts(
    manifest: &Manifest,
    about: impl Fn(PartName) -> String,
    out: &mut dyn Write,
) -> io::Result<()> {
    let mut table = Table::new(&["PART", " BYTES", "SHA-256", "HOLDS"]);
    for part in &manifest.parts {
        let about = PartName::parse(&part.name).map(&about).unwrap_or_default();
        let (size, sha256) = (part.size.to_string(), part.sha256.clone());
        table.row([part.name.clone(), size, sha256, about]);
    }
    table.write(out)
}

fn about_prepared(part: PartName, prepared: &Prepared) -> String {
    let packed = prepared.web.as_ref().and_then(|web| web.packed.as_ref());
    match (part, &prepared.firmware, packed) {
        (PartName::Firmware, Some(firmware), _) => about_firmware(&firmware.info),
        (PartName::Web, _, Some(PackedFolder { files, taken, .. })) => {
            format!("{files} files, {taken} bytes taken")
        }
        _ => String::new(),
    }
}

fn about_firmware(info: &FirmwareInfo) -> String {
    let texts = [&info.project, &info.version].into_iter().flatten();
    let texts: Vec<_> = texts.map(|text| printable(text)).collect();
    texts.join(" ")
}
