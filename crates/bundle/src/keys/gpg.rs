//! Signing through a running gpg: it knows smart cards and asks for passphrases.

use std::{
    io::{ErrorKind, Read, Write as _},
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use pgp::types::Timestamp;

use super::{
    KeyError, TrustedKeys,
    certificate::{self, Certificate},
};

/// Somebody may have to find the card, and the PIN.
const WAIT_MAX: Duration = Duration::from_secs(600);
const POLL: Duration = Duration::from_millis(20);
/// More than a signature or a key that many have signed, bytes.
const OUTPUT_BYTES_MAX: u64 = 1 << 20;
/// What is quoted of what gpg says, characters.
const SAYS_CHARS_MAX: usize = 600;

/// A key that gpg has.
#[derive(Debug)]
pub struct GpgKey {
    /// As gpg finds it: a key id, a fingerprint or a user id.
    name: String,
    /// What its signatures are checked with.
    public: TrustedKeys,
}

impl GpgKey {
    pub(super) fn open(name: &str) -> Result<Self, KeyError> {
        if name.trim().is_empty() {
            return Err(KeyError::new(
                "`gpg:` needs the key's id, its fingerprint or its user id after it",
            ));
        }
        let exported = run(&["--export", "--", name], &[])
            .map_err(|why| KeyError::new(format!("gpg does not give the key {name:?}: {why}")))?;
        if exported.is_empty() {
            return Err(KeyError::new(format!(
                "gpg has no key {name:?}: `gpg --list-secret-keys` shows those it has"
            )));
        }
        let unfit = |why| KeyError::new(format!("the key {name:?} of gpg cannot sign: {why}"));
        let mut public = TrustedKeys::default();
        let mut fault = None;
        for key in certificate::read(&exported).map_err(unfit)? {
            match Certificate::of(&key) {
                Ok(key) => public.add(key.fingerprint.clone(), key),
                Err(why) => fault = Some(why),
            }
        }
        match fault {
            Some(why) if public.is_empty() => Err(unfit(why)),
            _ => Ok(Self {
                name: name.to_owned(),
                public,
            }),
        }
    }

    pub(super) fn sign(&self, manifest: &[u8]) -> Result<String, KeyError> {
        let unsigned =
            |why| KeyError::new(format!("gpg does not sign with {:?}: {why}", self.name));
        let arguments = [
            "--yes",
            "--local-user",
            &self.name,
            "--digest-algo",
            "SHA512",
        ];
        let arguments = [&arguments[..], &["--detach-sign", "--armor"]].concat();
        let signature = String::from_utf8(run(&arguments, manifest).map_err(unsigned)?)
            .map_err(|_| unsigned("what it gave is no text".to_owned()))?;
        let now = i64::from(Timestamp::now().as_secs());
        self.public
            .verify(manifest, signature.as_bytes(), now)
            .map_err(|error| {
                unsigned(format!(
                    "{error} (what it gave would be refused: look at gpg.conf)"
                ))
            })?;
        Ok(signature)
    }
}

/// Runs `gpg --batch`; gives what it prints, or why it failed.
fn run(arguments: &[&str], input: &[u8]) -> Result<Vec<u8>, String> {
    let mut child = Command::new("gpg")
        .arg("--batch")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| match error.kind() {
            ErrorKind::NotFound => "gpg is not installed, or not in PATH".to_owned(),
            _ => format!("it cannot be started: {error}"),
        })?;
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    thread::scope(|scope| {
        // It may end without reading all of it, which its status tells.
        scope.spawn(move || stdin.map(|mut stdin| stdin.write_all(input)));
        let printed = scope.spawn(move || read(stdout));
        let said = scope.spawn(move || read(stderr));
        let status = wait(&mut child);
        let printed = printed.join().unwrap_or_default();
        let said = String::from_utf8_lossy(&said.join().unwrap_or_default()).into_owned();
        match status {
            Ok(status) if status.success() => Ok(printed),
            Ok(status) => Err(format!("it ended with {status} and said: {}", short(&said))),
            Err(why) => Err(why),
        }
    })
}

fn read(pipe: Option<impl Read>) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Some(pipe) = pipe {
        // What was read before an error is looked at; gpg's status tells of the error.
        let _ = pipe.take(OUTPUT_BYTES_MAX).read_to_end(&mut bytes);
    }
    bytes
}

fn wait(child: &mut Child) -> Result<ExitStatus, String> {
    let start = Instant::now();
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Ok(status),
            Ok(None) if start.elapsed() < WAIT_MAX => thread::sleep(POLL),
            Ok(None) => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(format!("it did not end within {} s", WAIT_MAX.as_secs()));
            }
            Err(error) => return Err(format!("waiting for it failed: {error}")),
        }
    }
}

fn short(text: &str) -> String {
    let text = text.trim();
    let mut short: String = text.chars().take(SAYS_CHARS_MAX).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short.replace('\n', "; ")
}
