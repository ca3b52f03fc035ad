//! `airlift bundle inspect` and `verify`: a bundle is read whole, as strictly as a server reads it.

use std::{
    fs::File,
    io::{BufReader, Read},
    path::Path,
};

use airlift_bundle::{
    Error, Manifest, PartName, ReadError, Refusal,
    archive::{Archive, PartReader},
    image::{FirmwareCheck, FirmwareInfo},
    keys::{Signer, TrustedKeys},
};
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::show;
use crate::{
    cli::{
        console::{Console, Outcome},
        progress::Progress,
        text::unix_time,
    },
    domain::Clock,
};

const READ_BYTES: usize = 64 << 10;

/// A bundle that was read to its end.
pub struct Contents {
    pub manifest: Manifest,
    pub signature: Vec<u8>,
    /// What the firmware says of itself, if there is one.
    pub firmware: Option<FirmwareInfo>,
}

pub fn inspect(path: &Path, json: bool, console: &mut Console<'_>) -> Result<Outcome> {
    let input = open(path, console)?;
    let read = Archive::open(input).and_then(|archive| to_end(archive, false));
    match or_refusal(read, path)? {
        Err(refused) => say_refused(&refused, json, console),
        Ok(read) => {
            match json {
                true => {
                    let signature = String::from_utf8(read.signature).ok();
                    let data = json!({
                        "manifest": read.manifest,
                        "signature": signature.filter(|it| !it.is_empty()),
                    });
                    writeln!(console.out, "{data}")?;
                }
                false => show::inspected(&read, console.out)?,
            }
            Ok(Outcome::Done)
        }
    }
}

pub fn verify(
    path: &Path,
    keys: &Path,
    json: bool,
    clock: &Clock,
    console: &mut Console<'_>,
) -> Result<Outcome> {
    let trusted = TrustedKeys::read(keys)?;
    ensure!(
        !trusted.is_empty(),
        "{} holds no key to trust: put public keys there, such as release-1.asc",
        keys.display()
    );
    let input = open(path, console)?;
    let now = clock.now().timestamp();
    let checked = Archive::open(input).and_then(|archive| check(archive, &trusted, now));
    match or_refusal(checked, path)? {
        Err(refused) => say_refused(&refused, json, console),
        Ok((signer, read)) => {
            match json {
                true => writeln!(console.out, "{}", accepted(&signer, &read.manifest))?,
                false => show::accepted(&signer, &read.manifest, console.out)?,
            }
            Ok(Outcome::Done)
        }
    }
}

fn accepted(signer: &Signer, manifest: &Manifest) -> Value {
    json!({
        "accepted": true,
        "signer": {
            "name": signer.name,
            "fingerprint": signer.fingerprint,
            "signedAt": signer.signed_at,
        },
        "manifest": manifest,
    })
}

/// Who signed comes before all else: what a stranger wrote is not even read.
fn check<R: Read>(
    archive: Archive<R>,
    trusted: &TrustedKeys,
    now: i64,
) -> Result<(Signer, Contents), ReadError> {
    let signer = trusted.verify(archive.manifest_bytes(), archive.signature(), now)?;
    let read = to_end(archive, true)?;
    if let Some(expired) = read.manifest.expires_at.filter(|at| *at <= now) {
        let message = format!(
            "the bundle expired at {}: build it anew if it is still good",
            unix_time(expired)
        );
        return Err(Error::new(Refusal::Expired, message).into());
    }
    Ok((signer, read))
}

/// Reads the parts; `strict`: the firmware must be one of the target.
fn to_end<R: Read>(archive: Archive<R>, strict: bool) -> Result<Contents, ReadError> {
    let signature = archive.signature().to_vec();
    let mut parts = archive.into_parts()?;
    let manifest = parts.manifest().clone();
    let mut firmware = None;
    while let Some(mut part) = parts.next_part()? {
        let is_firmware = part.part().name == PartName::Firmware.file_name();
        let mut check = is_firmware.then(|| FirmwareCheck::new(manifest.target()));
        let mut fault = None;
        each_chunk(&mut part, |bytes| {
            if let Some(check) = check.as_mut().filter(|_| fault.is_none()) {
                fault = check.update(bytes).err();
            }
            match fault.take_if(|_| strict) {
                Some(fault) => Err(fault.into()),
                None => Ok(()),
            }
        })?;
        let checked = check.filter(|_| fault.is_none()).map(FirmwareCheck::finish);
        firmware = match checked.transpose() {
            Err(fault) if strict => return Err(fault.into()),
            checked => checked.ok().flatten().or(firmware),
        };
    }
    Ok(Contents {
        manifest,
        signature,
        firmware,
    })
}

/// Reads a part to its end, which proves its digests.
pub fn each_chunk<R: Read>(
    part: &mut PartReader<'_, R>,
    mut take: impl FnMut(&[u8]) -> Result<(), ReadError>,
) -> Result<(), ReadError> {
    let mut buffer = vec![0; READ_BYTES];
    loop {
        match part.read_chunk(&mut buffer)? {
            0 => return Ok(()),
            count => take(&buffer[..count])?,
        }
    }
}

pub fn open(path: &Path, console: &Console<'_>) -> Result<impl Read + use<>> {
    let unread = || format!("can't read {}", path.display());
    let file = File::open(path).with_context(unread)?;
    let about = file.metadata().with_context(unread)?;
    ensure!(about.is_file(), "{} is no file", path.display());
    let progress = Progress::new(console);
    Ok(progress.over("reads the bundle", about.len(), BufReader::new(file)))
}

/// The bundle's own fault, apart from that of the disk.
pub fn or_refusal<T>(read: Result<T, ReadError>, path: &Path) -> Result<Result<T, Error>> {
    match read {
        Ok(read) => Ok(Ok(read)),
        Err(ReadError::Refused(refused)) => Ok(Err(refused)),
        Err(ReadError::Io(error)) => {
            Err(error).with_context(|| format!("can't read {}", path.display()))
        }
    }
}

pub fn say_refused(refused: &Error, json: bool, console: &mut Console<'_>) -> Result<Outcome> {
    let word = refused.refusal.word();
    match json {
        true => {
            let data = json!({ "accepted": false, "refusal": word, "message": refused.message });
            writeln!(console.out, "{data}")?;
        }
        false => show::refused(refused, console.out)?,
    }
    Ok(Outcome::Failures)
}
