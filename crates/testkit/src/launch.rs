//! How a child starts: its log, its process id on file, its environment.

use std::env;
use std::fs::{self, File, OpenOptions};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result};

use crate::scratch::Scratch;

/// Writes its process id, which `exec` keeps, before the program runs: so the folder's guard knows
/// of it from its first moment, and a folder that is already gone starts nothing.
const LAUNCHER: &str = r#"echo $$ >"$1" && shift && exec "$@""#;

fn log_path(scratch: &Scratch, name: &str) -> PathBuf {
    scratch.path().join(format!("{name}.log"))
}

/// What has been printed so far; nothing when there is no log.
pub(crate) fn read_log(scratch: &Scratch, name: &str) -> Vec<u8> {
    fs::read(log_path(scratch, name)).unwrap_or_default()
}

pub(crate) fn pid_path(scratch: &Scratch, name: &str) -> PathBuf {
    scratch.path().join(format!("{name}.pid"))
}

pub(crate) fn launch(
    scratch: &Scratch,
    name: &str,
    program: &Path,
    args: &[String],
    env: &[(String, String)],
) -> Result<Child> {
    let log: File = OpenOptions::new()
        .create(true)
        .append(true)
        .open(log_path(scratch, name))?;
    let mut command = Command::new("sh");
    command
        .args(["-c", LAUNCHER, "airlift-testkit-launcher"])
        .arg(pid_path(scratch, name))
        .arg(program)
        .args(args);
    for (key, _) in env::vars_os() {
        if key.to_str().is_some_and(is_private) {
            command.env_remove(&key);
        }
    }
    command
        .envs(env.iter().map(|(key, value)| (key, value)))
        .current_dir(scratch.path())
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .process_group(0)
        .spawn()
        .with_context(|| format!("starting {name} ({})", program.display()))
}

fn is_private(key: &str) -> bool {
    key.starts_with("AIRLIFT_")
        || key.starts_with("AWS_")
        || key.to_ascii_lowercase().ends_with("_proxy")
}
