//! The real gpg, with keys of its own.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread;

use anyhow::{Context, Result, bail};

use crate::Scratch;
use crate::programs::program;

/// gpg takes no folder that others may enter for a home.
const HOME_MODE: u32 = 0o700;
/// The agent's socket may stand in its home, and a socket's path has 107 bytes at most.
const HOME_BYTES_MAX: usize = 80;

/// A gpg home: keys without passphrases, unless they are made otherwise. Its agent ends with it; if
/// the test is killed, the agent sees its folder vanish and ends too.
#[derive(Debug)]
pub struct Gpg {
    scratch: Scratch,
    program: PathBuf,
    /// What gpg takes for the present, as `20250131T000000`.
    time: Option<String>,
}

impl Gpg {
    /// An empty home.
    ///
    /// # Errors
    /// When gpg is not installed or the folder cannot be made.
    pub fn new() -> Result<Self> {
        let program = program("gpg", "gnupg")?;
        let scratch = Scratch::new("gpg")?;
        if scratch.path().as_os_str().len() > HOME_BYTES_MAX {
            bail!(
                "{} is too long for the socket of gpg's agent: set TMPDIR to a shorter folder",
                scratch.path().display()
            );
        }
        fs::set_permissions(scratch.path(), fs::Permissions::from_mode(HOME_MODE))?;
        Ok(Self {
            scratch,
            program,
            time: None,
        })
    }

    /// The folder, for `GNUPGHOME`.
    #[must_use]
    pub fn home(&self) -> &Path {
        self.scratch.path()
    }

    /// From now on gpg takes `time`, as `20250131T000000`, for the present; `None`: the clock's.
    pub fn set_time(&mut self, time: Option<&str>) {
        self.time = time.map(str::to_owned);
    }

    /// Runs `gpg --batch` with `arguments` and `input`; gives what it prints.
    ///
    /// # Errors
    /// When gpg fails, with what it said.
    pub fn run(&self, arguments: &[&str], input: &[u8]) -> Result<Vec<u8>> {
        let output = self.output(arguments, input)?;
        if !output.status.success() {
            bail!(
                "gpg {} failed ({}): {}",
                arguments.join(" "),
                output.status,
                String::from_utf8_lossy(&output.stderr)
            );
        }
        Ok(output.stdout)
    }

    /// Runs `gpg --batch`, whatever its end.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn output(&self, arguments: &[&str], input: &[u8]) -> Result<Output> {
        let mut command = Command::new(&self.program);
        command
            .args([
                "--batch",
                "--yes",
                "--no-tty",
                "--pinentry-mode",
                "loopback",
            ])
            .env("GNUPGHOME", self.home())
            .env("LC_ALL", "C")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        if let Some(time) = &self.time {
            command.args(["--faked-system-time", &format!("{time}!")]);
        }
        let mut child = command.args(arguments).spawn().context("starting gpg")?;
        let mut stdin = child.stdin.take().context("gpg's input")?;
        thread::scope(|scope| {
            // It may end without reading all of it.
            scope.spawn(move || stdin.write_all(input));
            child.wait_with_output().context("waiting for gpg")
        })
    }

    /// Makes a key: `algorithm` such as `ed25519` or `rsa3072`, `expires` such as `never`, `2d` or
    /// `2030-01-31`. It signs, and may get subkeys. Gives its fingerprint.
    ///
    /// # Errors
    /// When gpg fails.
    pub fn generate(&self, user_id: &str, algorithm: &str, expires: &str) -> Result<String> {
        self.generate_with(&[], [user_id, algorithm, "sign,cert", expires])
    }

    /// Makes a key, with more arguments: its user id, algorithm, usage and expiry as
    /// `--quick-generate-key` takes them. Gives its fingerprint.
    ///
    /// # Errors
    /// When gpg fails.
    pub fn generate_with(&self, more: &[&str], key: [&str; 4]) -> Result<String> {
        let make = ["--passphrase", "", "--quick-generate-key"];
        self.run(&[more, &make, &key].concat(), &[])?;
        self.fingerprint(key[0], "pub")
    }

    /// Adds a subkey that signs; gives its fingerprint.
    ///
    /// # Errors
    /// When gpg fails.
    pub fn add_subkey(&self, fingerprint: &str, algorithm: &str, expires: &str) -> Result<String> {
        let make = ["--passphrase", "", "--quick-add-key"];
        let key = [fingerprint, algorithm, "sign", expires];
        self.run(&[&make[..], &key].concat(), &[])?;
        self.fingerprint(fingerprint, "sub")
    }

    /// The fingerprint of the last `pub` or `sub` key that `name` finds.
    fn fingerprint(&self, name: &str, record: &str) -> Result<String> {
        let listed = self.run(&["--with-colons", "--list-keys", name], &[])?;
        let mut of = "";
        let mut found = None;
        for line in str::from_utf8(&listed)?.lines() {
            let mut fields = line.split(':');
            match fields.next() {
                Some("fpr") if of == record => found = fields.nth(8).map(str::to_owned),
                Some(kind @ ("pub" | "sub")) => of = kind,
                _ => {}
            }
        }
        found.with_context(|| format!("gpg lists no {record} of {name}"))
    }

    /// The armored public key.
    ///
    /// # Errors
    /// When gpg fails.
    pub fn export(&self, name: &str) -> Result<Vec<u8>> {
        self.run(&["--armor", "--export", name], &[])
    }

    /// An armored detached signature by all of these keys.
    ///
    /// # Errors
    /// When gpg fails.
    pub fn sign(&self, names: &[&str], data: &[u8]) -> Result<Vec<u8>> {
        self.sign_with(&["--armor"], names, data)
    }

    /// A detached signature, with more arguments.
    ///
    /// # Errors
    /// When gpg fails.
    pub fn sign_with(&self, more: &[&str], names: &[&str], data: &[u8]) -> Result<Vec<u8>> {
        let names = names.iter().flat_map(|name| ["--local-user", name]);
        let arguments: Vec<&str> = more.iter().copied().chain(names).collect();
        self.run(&[&arguments[..], &["--detach-sign"]].concat(), data)
    }

    /// Whether gpg finds the signature good.
    ///
    /// # Errors
    /// When gpg cannot be run.
    pub fn verifies(&self, signature: &[u8], data: &[u8]) -> Result<bool> {
        let file = self.home().join("signature");
        fs::write(&file, signature)?;
        let file = file.to_str().context("a plain path")?;
        Ok(self
            .output(&["--verify", file, "-"], data)?
            .status
            .success())
    }
}

impl Drop for Gpg {
    fn drop(&mut self) {
        let _ = Command::new("gpgconf")
            .args(["--kill", "all"])
            .env("GNUPGHOME", self.home())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
    }
}
