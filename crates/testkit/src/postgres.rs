//! A PostgreSQL cluster of its own, made by `initdb`, for tests that kill it or need it alone. Tests
//! that only need an empty database take a [`crate::TestDatabase`], which is faster.

use std::fs;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::Signal;

use crate::user::User;
use crate::{Process, Scratch, free_port, programs};

const SUPERUSER: &str = "postgres";

/// Enough for every test of a run at once, each with a pool.
const CONNECTIONS_MAX: u32 = 400;

/// Recovery after a kill replays the log; slow disks take their time.
const READY_LIMIT: Duration = Duration::from_secs(60);
const STOP_LIMIT: Duration = Duration::from_secs(5);

/// Line of `postmaster.pid` that holds the key and the id of the shared memory, from 0.
const SHARED_MEMORY_LINE: usize = 6;

/// Whether a commit survives a kill.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// No fsync, commits not waited for: for tests of behaviour. It cannot be killed.
    Fast,
    /// As in production: for tests that kill it.
    Real,
}

/// A running cluster, open without password on 127.0.0.1 only.
#[derive(Debug)]
pub struct Postgres {
    process: Process,
    port: u16,
    durability: Durability,
    folder: PathBuf,
    data: PathBuf,
}

impl Postgres {
    /// Makes a cluster and waits until it answers, about a second.
    ///
    /// # Errors
    /// When PostgreSQL is not installed, or `initdb` or the start fails.
    pub fn start(durability: Durability) -> Result<Self> {
        let folder = programs::postgres_folder()?;
        let user = User::for_postgres()?;
        let scratch = Arc::new(Scratch::new("postgres")?);
        let data = scratch.path().join("data");
        fs::create_dir(&data)?;
        if let Some(user) = &user {
            chown(&data, Some(user.uid), Some(user.gid))
                .context("giving the data folder to PostgreSQL's user")?;
        }
        init(&folder, &data, user.as_ref())?;

        let port = free_port()?;
        let mut settings = vec![
            "listen_addresses=127.0.0.1".to_owned(),
            format!("port={port}"),
            format!("unix_socket_directories={}", data.display()),
            format!("max_connections={CONNECTIONS_MAX}"),
            // Shared memory as files in the data folder: nothing stays in /dev/shm after a kill.
            "dynamic_shared_memory_type=mmap".to_owned(),
        ];
        settings.extend(
            durability
                .settings()
                .iter()
                .map(|setting| (*setting).to_owned()),
        );
        let mut words = user.as_ref().map(User::prefix).unwrap_or_default();
        words.push(path_text(&folder.join("postgres"))?);
        words.extend(["-D".to_owned(), path_text(&data)?]);
        words.extend(
            settings
                .into_iter()
                .flat_map(|setting| ["-c".to_owned(), setting]),
        );
        let process = Process::spawn_in(scratch, &words[0], &words[1..], &[], "postgres")?;

        let mut postgres = Self {
            process,
            port,
            durability,
            folder,
            data,
        };
        postgres.wait_until_ready()?;
        Ok(postgres)
    }

    /// URL of the database `postgres` as superuser.
    #[must_use]
    pub fn url(&self) -> String {
        format!("postgres://{SUPERUSER}@127.0.0.1:{}/postgres", self.port)
    }

    /// The port, the same after [`Postgres::start_again`]; for a [`crate::FaultProxy`] before it.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Runs `sql` with `psql`; gives rows as lines, columns parted by `|`.
    ///
    /// # Errors
    /// With the server's words when the statement fails.
    pub fn psql(&self, sql: &str) -> Result<String> {
        psql(&self.url(), sql)
    }

    /// SIGKILL to the postmaster and all its children at once.
    ///
    /// # Errors
    /// When it is [`Durability::Fast`], which may lose commits by design, or has already ended.
    pub fn kill9(&mut self) -> Result<()> {
        if self.durability == Durability::Fast {
            bail!(
                "a PostgreSQL with Durability::Fast loses commits when killed: start it with Durability::Real"
            );
        }
        self.process.kill9()
    }

    /// Starts the killed cluster on its port and data, and waits until it has recovered.
    ///
    /// # Errors
    /// When it still runs or does not come up.
    pub fn start_again(&mut self) -> Result<()> {
        self.process.start_again()?;
        self.wait_until_ready()
    }

    /// A program beside the server's own, like `pgbench`.
    #[must_use]
    pub fn program(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// What the server has logged.
    #[must_use]
    pub fn log(&self) -> String {
        self.process.log()
    }

    fn wait_until_ready(&mut self) -> Result<()> {
        let (program, port) = (self.folder.join("pg_isready"), self.port.to_string());
        self.process
            .wait_until("accepting connections", READY_LIMIT, || {
                Command::new(&program)
                    .args(["-q", "-h", "127.0.0.1", "-p", &port, "-U", SUPERUSER])
                    .stdin(Stdio::null())
                    .status()
                    .is_ok_and(|status| status.success())
            })
    }

    /// A killed server leaves its small System V segment behind, which only a new start would take.
    fn release_shared_memory(&self) {
        let Ok(text) = fs::read_to_string(self.data.join("postmaster.pid")) else {
            return;
        };
        let Some(id) = text
            .lines()
            .nth(SHARED_MEMORY_LINE)
            .and_then(|line| line.split_whitespace().nth(1))
        else {
            return;
        };
        let _ = Command::new("ipcrm")
            .args(["-m", id])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // SIGQUIT is PostgreSQL's immediate shutdown: no checkpoint, but the segment is released.
        if matches!(self.process.is_running(), Ok(true)) {
            let _ = self.process.stop(Signal::QUIT, STOP_LIMIT);
        }
        self.release_shared_memory();
    }
}

impl Durability {
    fn settings(self) -> &'static [&'static str] {
        match self {
            Self::Fast => &[
                "fsync=off",
                "synchronous_commit=off",
                "full_page_writes=off",
            ],
            Self::Real => &["fsync=on", "synchronous_commit=on", "full_page_writes=on"],
        }
    }
}

/// Runs `sql` on the database at `url`.
pub(crate) fn psql(url: &str, sql: &str) -> Result<String> {
    let program = programs::postgres_folder()?.join("psql");
    let output = Command::new(program)
        .args([
            "-X",
            "-q",
            "-t",
            "-A",
            "-v",
            "ON_ERROR_STOP=1",
            "-d",
            url,
            "-c",
            sql,
        ])
        .env("PGCONNECT_TIMEOUT", "10")
        .stdin(Stdio::null())
        .output()
        .context("running psql")?;
    if !output.status.success() {
        bail!(
            "psql could not run `{sql}`: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(String::from_utf8(output.stdout)?.trim_end().to_owned())
}

fn init(folder: &Path, data: &Path, user: Option<&User>) -> Result<()> {
    let mut words = user.map(User::prefix).unwrap_or_default();
    words.push(path_text(&folder.join("initdb"))?);
    words.extend([
        "-D".to_owned(),
        path_text(data)?,
        "-U".to_owned(),
        SUPERUSER.to_owned(),
    ]);
    words.extend(["--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync"].map(str::to_owned));
    let output = Command::new(&words[0])
        .args(&words[1..])
        .current_dir(data)
        .stdin(Stdio::null())
        .output()
        .context("running initdb")?;
    if !output.status.success() {
        let error = String::from_utf8_lossy(&output.stderr);
        bail!(
            "initdb failed in {}: {}\nIf it may not enter the folder, set TMPDIR to one every user may pass, like /tmp",
            data.display(),
            error.trim()
        );
    }
    Ok(())
}

fn path_text(path: &Path) -> Result<String> {
    Ok(path
        .to_str()
        .with_context(|| format!("{} is not UTF-8", path.display()))?
        .to_owned())
}
