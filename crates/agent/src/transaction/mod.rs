//! Updates of packages that belong together: all new, or all as they were.

mod clean;
mod end;
mod forward;
mod progress;
mod run;
mod swap;

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use airlift_package::Content;
use airlift_proto::error_code;
use serde::{Deserialize, Serialize};

use crate::{
    disk::Disk,
    folders::Folders,
    journal::{Journal, JournalError, Record},
    script::Stage,
    state::StateError,
};

use progress::Progress;
use run::{Run, journal_code};

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
    Journal(#[from] JournalError),
    #[error(transparent)]
    State(#[from] StateError),
    #[error("an update before was not ended: recover comes first")]
    Unfinished,
    #[error("a transaction without packages")]
    Empty,
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
        clean::sweep(self.disk, self.folders);
        let (mut journal, progress) = self.open_journal()?;
        let Some(progress) = progress else {
            return Ok(None);
        };
        if progress.ended {
            journal.clear(self.disk)?;
            return Ok(None);
        }
        let run = Run {
            updater: self,
            journal,
            progress,
        };
        tracing::warn!(
            transaction = run.progress.transaction.id,
            "an update was cut short"
        );
        if (run.progress.committed.is_some() || run.progress.undone)
            && let Some(interrupted) = run
                .progress
                .script
                .filter(|(_, stage)| *stage == Stage::Restore)
            && !run.progress.restored.contains(&interrupted.0)
            && let Err(problem) = run.kill_left(Some(interrupted))
        {
            tracing::warn!("{problem}");
        }
        let finished = match run.progress.committed {
            Some(at) => run.complete(at),
            None => {
                let failure = run.progress.failure.clone();
                let failure = failure.unwrap_or_else(|| self.interruption(&run.progress));
                run.roll_back(failure)
            }
        };
        finished.map(Some)
    }

    /// Carries out a transaction whose releases are all staged. `Err` means that it could not be
    /// ended: [`Updater::recover`] will.
    pub fn run(&self, transaction: Transaction) -> Result<Finished, UpdateError> {
        let refused = forward::refusal(&transaction.steps)
            .map(|(step, code, message)| self.failure(step, code, message));
        if let Some(failure) = refused {
            return self.not_begun(transaction, failure);
        }
        let Some(first) = transaction.steps.first() else {
            return Err(UpdateError::Empty);
        };
        let begun = match self.begin(&transaction) {
            Ok(Some(begun)) => Ok(begun),
            Ok(None) => return Err(UpdateError::Unfinished),
            Err(error @ JournalError::Damaged { .. }) => return Err(error.into()),
            Err(error) => Err(self.failure(first, journal_code(&error), error.to_string())),
        };
        let mut run = match begun {
            Ok(run) => run,
            Err(failure) => return self.not_begun(transaction, failure),
        };
        match run.forward() {
            Ok(()) => match run.progress.committed {
                Some(at) => run.complete(at),
                None => Err(UpdateError::Unfinished),
            },
            Err(failure) => run.roll_back(failure),
        }
    }

    /// Opens the journal for a new transaction; `None` if an old one is in it.
    fn begin(&self, transaction: &Transaction) -> Result<Option<Run<'_>>, JournalError> {
        let (mut journal, progress) = self.open_journal()?;
        match progress {
            Some(progress) if !progress.ended => return Ok(None),
            Some(_) => journal.clear(self.disk)?,
            None => {}
        }
        let mut run = Run {
            updater: self,
            journal,
            progress: Progress::new(transaction.clone()),
        };
        let transaction = transaction.clone();
        run.note(Record::Begun { transaction })?;
        Ok(Some(run))
    }

    fn open_journal(&self) -> Result<(Journal, Option<Progress>), JournalError> {
        let path = self.folders.journal();
        let (journal, records) = Journal::open(&path, self.disk)?;
        let progress = Progress::of(records).map_err(|index| JournalError::Damaged {
            path,
            line: index + 1,
            why: "it cannot follow the lines before it".to_owned(),
        })?;
        Ok((journal, progress))
    }

    /// The end of a transaction that changed nothing.
    fn not_begun(
        &self,
        transaction: Transaction,
        failure: Failure,
    ) -> Result<Finished, UpdateError> {
        let finished = Finished {
            transaction,
            outcome: Outcome::RolledBack(failure),
            warnings: Vec::new(),
        };
        self.audience
            .finished(&finished)
            .map_err(UpdateError::Audience)?;
        Ok(finished)
    }

    fn interruption(&self, progress: &Progress) -> Failure {
        let steps = &progress.transaction.steps;
        let step = progress.begun.len().saturating_sub(1);
        let during = match progress.script {
            Some((of, stage)) if of == step => format!("; {stage} was the last command begun"),
            _ => String::new(),
        };
        let message = format!("the agent or the device stopped in the middle of it{during}");
        let failure = self.failure(&steps[step], error_code::INTERRUPTED, message);
        Failure {
            interrupted: true,
            ..failure
        }
    }
}
