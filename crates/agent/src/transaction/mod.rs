use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use airlift_package::Content;
use serde::{Deserialize, Serialize};

use crate::{disk::Disk, folders::Folders, state::StateError};

/// One package of a transaction.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// The new one; `local` and `remote` are the device's where the device JSON says them.
    pub content: Content,
    /// SHA-256 of the bytes of its `content.json`, lower hex.
    pub content_digest: String,
    /// None if the package is new to the device.
    pub from_version: Option<String>,
    /// What `local` will point at: `releases/<sha256>`, or a plain file in it.
    pub release: PathBuf,
}

/// Packages that are updated together: all of them, or none.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Transaction {
    /// Of letters, digits, `-` and `_`.
    pub id: String,
    /// Of the command that asked for it.
    pub msg_id: Option<String>,
    /// A package comes after those it depends on.
    pub steps: Vec<Step>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Outcome {
    Updated,
    /// Everything is as it was.
    RolledBack(Failure),
}

/// Why a transaction was undone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Failure {
    pub package: String,
    pub version: String,
    /// One of `airlift_proto::error_code`.
    pub code: String,
    /// With the tail of the script's output.
    pub message: String,
    /// The agent, or the device, stopped in the middle.
    pub interrupted: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Finished {
    pub transaction: Transaction,
    pub outcome: Outcome,
    /// What went wrong without changing the outcome: `restore` scripts, leftovers.
    pub warnings: Vec<String>,
}

/// Hears how transactions go.
pub trait Audience {
    /// Keeps the outcome, so that it is reported though the agent dies right after. Called again
    /// for the same transaction after a crash.
    fn finished(&self, finished: &Finished) -> io::Result<()>;
    /// Work goes on: called at least every second while a script runs.
    fn beat(&self) {}
}

/// How long commands of packages may run.
#[derive(Clone, Debug, PartialEq)]
pub struct Limits {
    pub script: Duration,
    pub health: Duration,
    /// Between two tries of a health command.
    pub health_pause: Duration,
    /// From SIGTERM to SIGKILL.
    pub grace: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            script: Duration::from_secs(300),
            health: Duration::from_secs(60),
            health_pause: Duration::from_secs(1),
            grace: Duration::from_secs(5),
        }
    }
}

/// Carries transactions out, and ends those that were cut short.
pub struct Updater<'a> {
    pub folders: &'a Folders,
    pub disk: &'a Disk,
    pub limits: Limits,
    /// The device JSON's `device`.
    pub device: &'a str,
    pub audience: &'a dyn Audience,
    /// Runs command lines: `/bin/sh`.
    pub shell: &'a Path,
}

#[derive(Debug, thiserror::Error)]
pub enum UpdateError {
    #[error(transparent)]
    State(#[from] StateError),
    #[error("the outcome could not be kept for the report: {0}")]
    Audience(io::Error),
    /// Some packages are still new, others old again. The journal stays; [`Updater::recover`] tries
    /// again, and nothing else is begun before it succeeded.
    #[error("the update of {package} failed ({why}) and could not be undone yet: {problems}")]
    NotUndone {
        transaction: String,
        msg_id: Option<String>,
        package: String,
        why: String,
        problems: String,
    },
}

impl Updater<'_> {
    /// Ends what a crash or power cut interrupted: forward if it was committed, else back. To be
    /// called before anything else at every start, and before every [`Updater::run`]. `None` if
    /// there was nothing.
    pub fn recover(&self) -> Result<Option<Finished>, UpdateError> {
        todo!()
    }

    /// Carries out a transaction whose releases are all staged. `Err` means that it could not be
    /// ended: [`Updater::recover`] will.
    pub fn run(&self, _transaction: Transaction) -> Result<Finished, UpdateError> {
        todo!()
    }
}
