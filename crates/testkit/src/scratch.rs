//! A folder for one server, with a guard that outlives the test.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use tempfile::TempDir;

/// Others may pass through (PostgreSQL runs as another user when the tests run as root), not look.
const FOLDER_MODE: u32 = 0o711;

/// A dying server may still create files while its folder is being removed.
const REMOVE_ATTEMPTS_MAX: u32 = 20;
const REMOVE_PAUSE: Duration = Duration::from_millis(50);

/// Waits for the end of its input, which the kernel closes when the test process ends in whatever
/// way; then stops every process group named in the folder's `*.pid` files (politely, after 3 s by
/// force) and removes the folder. Unlike `PR_SET_PDEATHSIG`, which follows the *thread* that
/// spawned, it needs no unsafe code, works from short-lived threads and cleans up files as well.
const GUARD: &str = r#"
while read -r _; do :; done
each() { for file in "$folder"/*.pid; do [ -s "$file" ] && kill -s "$1" -- "-$(cat "$file")" && found=1; done 2>/dev/null; }
folder=$1
each TERM
tries=0
while [ $tries -lt 30 ]; do
  found=0; each 0; [ $found = 0 ] && break
  sleep 0.1; tries=$((tries + 1))
done
each KILL
tries=0
until rm -rf -- "$folder" 2>/dev/null || [ $tries = 20 ]; do sleep 0.1; tries=$((tries + 1)); done
"#;

/// A temporary folder that is removed when dropped, and also, together with the processes started
/// in it, when this process dies without dropping anything (SIGKILL, a test runner's timeout).
#[derive(Debug)]
pub struct Scratch {
    dir: Option<TempDir>,
    guard: Child,
}

impl Scratch {
    /// A new empty folder `airlift-<name>-…` in the system's temporary folder.
    ///
    /// # Errors
    /// When the folder or its guard (`sh`) cannot be made.
    pub fn new(name: &str) -> Result<Self> {
        let dir = tempfile::Builder::new()
            .prefix(&format!("airlift-{name}-"))
            .tempdir()
            .with_context(|| {
                format!("making a temporary folder for {name}; set TMPDIR to a writable folder")
            })?;
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(FOLDER_MODE))?;
        let guard = Command::new("sh")
            .args(["-c", GUARD, "airlift-testkit-guard"])
            .arg(dir.path())
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // Its own group: a runner that kills the test's whole group must not take the guard along.
            .process_group(0)
            .spawn()
            .context("starting `sh`, which cleans up if the test is killed")?;
        Ok(Self {
            dir: Some(dir),
            guard,
        })
    }

    /// The folder.
    ///
    /// # Panics
    /// Never: the folder exists until the drop.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.dir
            .as_ref()
            .expect("the folder lives as long as the scratch")
            .path()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Some(dir) = self.dir.take() {
            let path = dir.keep();
            for _ in 0..REMOVE_ATTEMPTS_MAX {
                match fs::remove_dir_all(&path) {
                    Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                        thread::sleep(REMOVE_PAUSE)
                    }
                    _ => break,
                }
            }
        }
        // Only now: had we been killed above, the guard would have finished the work.
        let _ = self.guard.kill();
        let _ = self.guard.wait();
    }
}
