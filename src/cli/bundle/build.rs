//! `airlift bundle build`.

use std::{
    fs::{self, File, Permissions},
    io::{BufReader, BufWriter, Read, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use airlift_bundle::{
    CHANGELOG_BYTES_MAX, Kind, Manifest, SCHEMA,
    archive::{self, Archive},
};
use airlift_esp::Target;
use anyhow::{Context, Result, bail, ensure};
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;

use super::{BuildArgs, EXPIRES_IN_DAYS, parts::Prepared, read, show};
use crate::{
    cli::{
        console::{Console, Outcome},
        progress::Progress,
        signing::signing_key,
    },
    domain::Clock,
};

/// Others may read what was built; the umask takes away what it should not be.
pub const FILE_MODE: u32 = 0o666;

/// What was built.
pub struct Built {
    pub path: PathBuf,
    /// Of the file.
    pub bytes: u64,
    pub manifest: Manifest,
    pub prepared: Prepared,
    pub warnings: Vec<String>,
}

pub fn build(
    args: BuildArgs,
    json: bool,
    clock: &Clock,
    console: &mut Console<'_>,
) -> Result<Outcome> {
    let target = Target::parse(&args.target).context("no such target")?;
    // What a person is asked for comes first.
    let key = signing_key(&args.sign)?;
    let changelog = changelog(&args.changelog, console.input)?;
    let progress = Progress::new(console);
    let prepared = Prepared::read(&args, target, &progress)?;
    let manifest = manifest(&args, target, changelog, &prepared, clock.now())?;
    let path = (args.out.clone())
        .unwrap_or_else(|| format!("{}_v{}.jota", manifest.device_type, manifest.version).into());
    let signature = key.sign(&manifest.to_json())?;
    let bytes = write(&path, &manifest, signature.as_bytes(), &prepared, &progress)?;
    let built = Built {
        path,
        bytes,
        warnings: warnings(&manifest, &prepared),
        manifest,
        prepared,
    };
    match json {
        true => writeln!(console.out, "{}", as_json(&built))?,
        false => show::built(&built, console.out)?,
    }
    for warning in &built.warnings {
        writeln!(console.notes, "warning: {warning}")?;
    }
    Ok(Outcome::Done)
}

fn changelog(path: &Path, stdin: &mut dyn Read) -> Result<String> {
    let shown = path.display();
    let unread = || format!("can't read --changelog {shown}");
    let mut bytes = Vec::new();
    let limit = CHANGELOG_BYTES_MAX as u64 + 1;
    match path.as_os_str() == "-" {
        true => stdin.take(limit).read_to_end(&mut bytes),
        false => File::open(path).and_then(|file| file.take(limit).read_to_end(&mut bytes)),
    }
    .with_context(unread)?;
    ensure!(
        bytes.len() <= CHANGELOG_BYTES_MAX,
        "--changelog {shown} has more than {CHANGELOG_BYTES_MAX} bytes: keep to what changed in this version"
    );
    String::from_utf8(bytes).with_context(|| format!("--changelog {shown} is not UTF-8"))
}

fn manifest(
    args: &BuildArgs,
    target: Target,
    changelog: String,
    prepared: &Prepared,
    now: DateTime<Utc>,
) -> Result<Manifest> {
    let kind = match (&prepared.firmware, &prepared.web) {
        (Some(_), Some(_)) => Kind::FirmwareAndWeb,
        (Some(_), None) => Kind::Firmware,
        (None, Some(_)) => Kind::Web,
        (None, None) => bail!("there is nothing to put in: name --firmware, --web or --web-image"),
    };
    let days = args.expires_in_days.unwrap_or(EXPIRES_IN_DAYS);
    let expires_at = now + TimeDelta::days(days.into());
    let manifest = Manifest {
        schema: SCHEMA,
        device_type: args.device_type.clone(),
        version: args.version.clone(),
        target: target.name().to_owned(),
        kind: kind.as_str().to_owned(),
        release_counter: args
            .release_counter
            .unwrap_or(now.timestamp().unsigned_abs()),
        allow_rollback: args.allow_rollback,
        min_version: args.min_version.clone(),
        created_at: now.timestamp(),
        expires_at: (!args.no_expiry).then(|| expires_at.timestamp()),
        parts: prepared.parts(),
        changelog,
    };
    manifest.check()?;
    Ok(manifest)
}

/// Writes the bundle beside its place, reads it back, and puts it there: its size. A bundle that was
/// there before stays until then.
fn write(
    path: &Path,
    manifest: &Manifest,
    signature: &[u8],
    prepared: &Prepared,
    progress: &Progress,
) -> Result<u64> {
    let unwritten = || format!("can't write {}", path.display());
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let file = tempfile::Builder::new()
        .prefix(".airlift-")
        .permissions(Permissions::from_mode(FILE_MODE))
        .tempfile_in(folder)
        .with_context(unwritten)?;
    let out = BufWriter::new(file.as_file());
    let mut open = |name| prepared.open(name, progress);
    let written = archive::write(out, manifest, signature, &mut open);
    let flushed = written.and_then(|mut out| out.flush());
    flushed.with_context(unwritten)?;
    file.as_file().sync_all().with_context(unwritten)?;
    let bytes = read_back(file.path(), manifest, signature, progress)
        .with_context(|| format!("{} was not written as it should be", path.display()))?;
    file.persist(path)
        .map_err(|error| error.error)
        .with_context(unwritten)?;
    Ok(bytes)
}

fn read_back(
    path: &Path,
    manifest: &Manifest,
    signature: &[u8],
    progress: &Progress,
) -> Result<u64> {
    let bytes = fs::metadata(path)?.len();
    let input = progress.over("reads it back", bytes, BufReader::new(File::open(path)?));
    let archive = Archive::open(input)?;
    ensure!(
        archive.manifest_bytes() == manifest.to_json() && archive.signature() == signature,
        "it holds another manifest or signature"
    );
    let mut parts = archive.into_parts()?;
    while let Some(mut part) = parts.next_part()? {
        read::each_chunk(&mut part, |_| Ok(()))?;
    }
    Ok(bytes)
}

fn warnings(manifest: &Manifest, prepared: &Prepared) -> Vec<String> {
    let own = prepared
        .firmware
        .iter()
        .filter_map(|it| it.info.version.as_deref());
    let other = own.filter(|own| own.strip_prefix('v').unwrap_or(own) != manifest.version);
    other
        .map(|own| {
            format!(
                "the firmware calls itself {own}, the bundle {}: a gateway that reports what the \
                 firmware says is never seen to run the new version",
                manifest.version
            )
        })
        .collect()
}

fn as_json(built: &Built) -> serde_json::Value {
    let packed = built
        .prepared
        .web
        .as_ref()
        .and_then(|web| web.packed.as_ref());
    let left_out = packed.map(|packed| {
        let left_out = packed.left_out.iter();
        let left_out = left_out.map(|it| json!({ "name": it.name, "why": it.why }));
        left_out.collect::<Vec<_>>()
    });
    json!({
        "path": built.path,
        "bytes": built.bytes,
        "manifest": built.manifest,
        "leftOut": left_out.unwrap_or_default(),
        "warnings": built.warnings,
    })
}
