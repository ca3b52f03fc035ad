//! What our programs said in a whole test run, and the secrets that the tests made: `test.sh` looks
//! afterwards that the one is free of the other.

use std::{
    collections::BTreeSet,
    env, fs,
    io::Write,
    path::{Path, PathBuf},
    process,
    sync::atomic::{AtomicU32, Ordering},
};

use anyhow::{Context, Result};
use memchr::memmem;

/// The environment variable that names the folder; without it nothing is kept.
pub const KEPT_LOGS: &str = "AIRLIFT_TEST_LOGS";
/// How secrets that airlift makes begin. The one-time link of a first start (`als_`) is not among
/// them: it is printed on purpose, and means nothing once it was used.
const KINDS: [&[u8]; 4] = [b"alt_", b"alg_", b"alp_", b"alc_"];
/// Characters behind the kind.
const SECRET_LENGTH: usize = 43;
/// Precedes what signs a download's address.
const SIGNATURE: &[u8] = b"signature=";
/// Characters of a signature by which it is told from an example.
const SIGNATURE_LENGTH_MIN: usize = 20;

static KEPT: AtomicU32 = AtomicU32::new(0);

/// What was looked through.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Sighting {
    pub logs: usize,
    pub bytes: usize,
    /// Secrets that tests have noted.
    pub secrets: usize,
    /// `<log>:<line>: <what>`, without the secret.
    pub leaks: Vec<String>,
}

fn folder() -> Option<PathBuf> {
    env::var_os(KEPT_LOGS).map(PathBuf::from)
}

/// Where this process may write a log that is looked through; none if none are kept.
#[must_use]
pub fn kept_log(name: &str) -> Option<PathBuf> {
    let number = KEPT.fetch_add(1, Ordering::Relaxed);
    folder().map(|folder| folder.join(format!("{}-{number}-{name}.log", process::id())))
}

/// Says that a test uses this secret: no log may have it.
pub fn note_secret(secret: &str) {
    let Some(folder) = folder() else { return };
    let path = folder.join(format!("{}.secrets", process::id()));
    let file = fs::OpenOptions::new().create(true).append(true).open(path);
    let written = file.and_then(|mut file| writeln!(file, "{secret}"));
    written.expect("the folder of kept logs can be written to");
}

/// Looks through all logs kept in a folder.
///
/// # Errors
/// When they cannot be read.
pub fn secrets_in_logs(folder: &Path) -> Result<Sighting> {
    let mut secrets = BTreeSet::new();
    let mut logs = Vec::new();
    let entries = fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))?;
    for entry in entries {
        let path = entry?.path();
        match path.extension().and_then(|it| it.to_str()) {
            Some("secrets") => {
                secrets.extend(fs::read_to_string(&path)?.lines().map(str::to_owned))
            }
            Some("log") => logs.push(path),
            _ => {}
        }
    }
    secrets.remove("");
    let mut sighting = Sighting {
        secrets: secrets.len(),
        ..Sighting::default()
    };
    for path in logs {
        let log = fs::read(&path)?;
        sighting.logs += 1;
        sighting.bytes += log.len();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        for (number, line) in log.split(|byte| *byte == b'\n').enumerate() {
            if let Some(what) = leak(line, &secrets) {
                sighting
                    .leaks
                    .push(format!("{name}:{}: {what}", number + 1));
            }
        }
    }
    Ok(sighting)
}

/// What of a secret stands in a line.
fn leak(line: &[u8], secrets: &BTreeSet<String>) -> Option<String> {
    let has = |needle: &[u8]| memmem::find(line, needle).is_some();
    if let Some(kind) = KINDS.into_iter().find(|kind| {
        memmem::find_iter(line, kind).any(|at| word(&line[at + kind.len()..]) >= SECRET_LENGTH)
    }) {
        return Some(format!("a secret {}…", String::from_utf8_lossy(kind)));
    }
    if memmem::find_iter(line, SIGNATURE)
        .any(|at| word(&line[at + SIGNATURE.len()..]) >= SIGNATURE_LENGTH_MIN)
    {
        return Some("a download's signature".to_owned());
    }
    let noted = secrets.iter().find(|secret| has(secret.as_bytes()));
    noted.map(|secret| format!("a noted secret of {} bytes", secret.len()))
}

/// How many characters of base64url the text begins with.
fn word(text: &[u8]) -> usize {
    let is_word = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    text.iter().take_while(|byte| is_word(byte)).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_in_a_log_is_found_and_not_shown() {
        let folder = tempfile::tempdir().unwrap();
        let token = format!("alt_{}", "x".repeat(SECRET_LENGTH));
        let lines = [
            "nothing here: alt_ alg_short signature=short als_".to_owned(),
            format!("authorization {token}"),
            format!("url /firmware/a?signature={}", "s".repeat(43)),
            "the password is open sesame".to_owned(),
        ];
        fs::write(folder.path().join("1-0-airlift.log"), lines.join("\n")).unwrap();
        fs::write(folder.path().join("1.secrets"), "open sesame\n").unwrap();
        let sighting = secrets_in_logs(folder.path()).unwrap();
        assert_eq!((sighting.logs, sighting.secrets), (1, 1));
        assert_eq!(
            sighting.leaks,
            [
                "1-0-airlift.log:2: a secret alt_…",
                "1-0-airlift.log:3: a download's signature",
                "1-0-airlift.log:4: a noted secret of 11 bytes",
            ]
        );
    }
}
