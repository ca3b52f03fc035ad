use std::{
    ffi::OsString,
    fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use airlift_proto::error_code;

use crate::{
    disk::{folder_of, is_full},
    journal::{Journal, JournalError, Record, Was},
    script::{Ran, Script, Stage},
};

use super::{Failure, Progress, Step, Updater, swap};

/// A transaction under way.
pub struct Run<'a> {
    pub updater: &'a Updater<'a>,
    pub journal: Journal,
    pub progress: Progress,
}

impl Run<'_> {
    /// Writes into the journal what comes next.
    pub fn note(&mut self, record: Record) -> Result<(), JournalError> {
        self.journal.append(self.updater.disk, &record)?;
        self.progress.add(record);
        Ok(())
    }

    /// Like [`Run::note`], where the journal is not needed to go on: without the record, recovery
    /// does the same once more.
    pub fn try_to_note(&mut self, record: Record) {
        if let Err(error) = self.journal.append(self.updater.disk, &record) {
            tracing::warn!(%error, "the journal could not be written: going on without");
        }
        self.progress.add(record);
    }

    pub fn step(&self, step: usize) -> &Step {
        &self.progress.transaction.steps[step]
    }

    pub fn local(&self, step: usize) -> &Path {
        Path::new(&self.step(step).content.local)
    }

    pub fn failure(&self, step: usize, code: &str, message: String) -> Failure {
        self.updater.failure(self.step(step), code, message)
    }

    /// Runs a command line of a step's package.
    pub fn script(&self, step: usize, stage: Stage, line: &str, limit: std::time::Duration) -> Ran {
        let command = vec![self.updater.shell.into(), "-c".into(), line.into()];
        self.command(step, stage, command, limit)
    }

    /// Runs the script whose path is `path`; one that is not executable is given to the shell.
    pub fn script_file(&self, step: usize, path: &Path) -> Ran {
        let is_executable =
            |path| fs::metadata(path).is_ok_and(|it| it.permissions().mode() & 0o111 != 0);
        let shell: OsString = self.updater.shell.into();
        let command = match is_executable(path) {
            true => vec![shell, "-c".into(), "exec \"$0\"".into(), path.into()],
            false => vec![shell, path.into()],
        };
        self.command(step, Stage::Restore, command, self.updater.limits.script)
    }

    fn command(
        &self,
        step: usize,
        stage: Stage,
        command: Vec<OsString>,
        limit: std::time::Duration,
    ) -> Ran {
        let script = Script {
            package: self.step(step).content.package.clone(),
            stage,
            command,
            folder: self.working_folder(step),
            environment: self.environment(step, stage),
            limit,
            grace: self.updater.limits.grace,
        };
        script.run(self.updater.disk, &|| self.updater.audience.beat())
    }

    /// `local` if it is a folder, else the folder it is in, else `/`.
    fn working_folder(&self, step: usize) -> PathBuf {
        let local = self.local(step);
        [local, folder_of(local)]
            .into_iter()
            .find(|folder| folder.is_dir())
            .unwrap_or(Path::new("/"))
            .to_owned()
    }

    fn environment(&self, step: usize, stage: Stage) -> Vec<(&'static str, OsString)> {
        let Step {
            content,
            from_version,
            release,
            ..
        } = self.step(step);
        let mut environment: Vec<(&'static str, OsString)> = vec![
            ("OTA_DEVICE", self.updater.device.into()),
            ("OTA_PACKAGE", (&content.package).into()),
            ("OTA_VERSION", (&content.version).into()),
            (
                "OTA_FROM_VERSION",
                from_version.as_deref().unwrap_or_default().into(),
            ),
            ("OTA_BRANCH", (&content.branch).into()),
            ("OTA_LOCAL", (&content.local).into()),
            ("OTA_RELEASE", release.into()),
            (
                "OTA_PREVIOUS",
                self.previous(step).unwrap_or_default().into(),
            ),
            ("OTA_STAGE", stage.as_str().into()),
            ("OTA_TRANSACTION", (&self.progress.transaction.id).into()),
        ];
        if stage == Stage::Restore {
            let result = match self.progress.committed {
                Some(_) => "updated",
                None => "rolled_back",
            };
            environment.push(("OTA_RESULT", result.into()));
        }
        environment
    }

    /// Where what stood at `local` before the step can be found now.
    pub fn previous(&self, step: usize) -> Option<PathBuf> {
        let local = self.local(step);
        let begun = self.progress.begun.get(step)?;
        let is_away = begun.swap == Some(true) && !self.progress.undone;
        match &begun.was {
            _ if is_away => Some(swap::kept(local)),
            Was::Nothing => None,
            Was::Link(target) => Some(folder_of(local).join(target)),
            Was::Real => Some(local.to_owned()),
        }
    }
}

impl Updater<'_> {
    pub fn failure(&self, step: &Step, code: &str, message: String) -> Failure {
        Failure {
            package: step.content.package.clone(),
            version: step.content.version.clone(),
            code: code.to_owned(),
            message,
            interrupted: false,
        }
    }
}

/// The code of a step that the disk stopped.
pub fn code_of(error: &io::Error) -> &'static str {
    match is_full(error) {
        true => error_code::DISK_FULL,
        false => error_code::INSTALL_FAILED,
    }
}

/// The code of a step that the journal stopped.
pub fn journal_code(error: &JournalError) -> &'static str {
    error.io().map_or(error_code::INSTALL_FAILED, code_of)
}
