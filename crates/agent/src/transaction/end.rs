use std::{
    io,
    path::{Path, PathBuf},
};

use crate::{
    disk::folder_of,
    journal::Record,
    processes::kill_marked,
    script::Stage,
    state::{FailedVersion, Installed, Interruption, State, may_pass},
};

use super::{Failure, Finished, Outcome, UpdateError, run::Run, swap};

/// So many interruptions in a row make a version count as failed.
const INTERRUPTIONS_MAX: u32 = 3;

impl Run<'_> {
    /// What follows the commit, however often it is begun.
    pub fn complete(mut self, at: i64) -> Result<Finished, UpdateError> {
        let mut state = State::load(self.updater.folders)?;
        for step in 0..self.progress.transaction.steps.len() {
            self.install(&mut state, step, at);
        }
        state.save(self.updater.folders, self.updater.disk)?;
        for step in 0..self.progress.transaction.steps.len() {
            self.restore(step);
        }
        self.finish(Outcome::Updated)
    }

    fn install(&self, state: &mut State, step: usize, at: i64) {
        let found = self.step(step);
        let package = &found.content.package;
        let begun = &self.progress.begun[step];
        let previous = match begun.swap {
            None => state
                .installed
                .get(package)
                .and_then(|installed| installed.previous.clone()),
            Some(_) => self.previous(step),
        };
        let installed = Installed {
            content: found.content.clone(),
            content_digest: found.content_digest.clone(),
            release: Some(found.release.clone()),
            previous,
            updated_at: at,
        };
        state.failed.remove(package);
        state.interruptions.remove(package);
        state.installed.insert(package.clone(), installed);
    }

    /// Undoes what began, in reverse order, however often it is begun.
    pub fn roll_back(mut self, failure: Failure) -> Result<Finished, UpdateError> {
        tracing::warn!(
            package = failure.package,
            code = failure.code,
            "the update is undone: {}",
            failure.message
        );
        if self.progress.failure.is_none() {
            let failure = failure.clone();
            self.try_to_note(Record::Failed { failure });
        }
        if !self.progress.undone {
            self.undo(&failure)?;
            self.try_to_note(Record::Undone);
        }
        self.mark(&failure)?;
        for step in (0..self.progress.begun.len()).rev() {
            self.restore(step);
        }
        self.finish(Outcome::RolledBack(failure))
    }

    fn undo(&mut self, failure: &Failure) -> Result<(), UpdateError> {
        let mut problems = Vec::new();
        if let Err(problem) = self.kill_left(None) {
            problems.push(problem);
        }
        for step in (0..self.progress.begun.len()).rev() {
            match self.put_back(step) {
                Ok(lost) => self.progress.warnings.extend(lost),
                Err(error) => problems.push(format!("{}: {error}", self.local(step).display())),
            }
        }
        match problems.is_empty() {
            true => Ok(()),
            false => Err(UpdateError::NotUndone {
                transaction: self.progress.transaction.id.clone(),
                msg_id: self.progress.transaction.msg_id.clone(),
                package: failure.package.clone(),
                why: failure.message.clone(),
                problems: problems.join("; "),
            }),
        }
    }

    fn put_back(&self, step: usize) -> io::Result<Option<String>> {
        let begun = &self.progress.begun[step];
        let disk = self.updater.disk;
        let local = self.local(step);
        let lost = swap::put_back(disk, local, &begun.was, begun.swap.is_some())?;
        for folder in begun.missing.iter().rev() {
            // One that a script put something into stays.
            if disk.remove_if_there(folder).is_err() {
                break;
            }
            // The one above it may be gone already: a second undo.
            if folder_of(folder).exists() {
                disk.sync_dir(folder_of(folder))?;
            }
        }
        Ok(lost)
    }

    /// Kills what the transaction's commands left running; of one command alone if it is given.
    pub fn kill_left(&self, of: Option<(usize, Stage)>) -> Result<(), String> {
        let mut marks = vec![(
            "OTA_TRANSACTION",
            self.progress.transaction.id.as_str().into(),
        )];
        if let Some((step, stage)) = of {
            marks.push(("OTA_PACKAGE", (&self.step(step).content.package).into()));
            marks.push(("OTA_STAGE", stage.as_str().into()));
        }
        match kill_marked(self.updater.disk, &marks) {
            Ok(0) => Ok(()),
            Ok(left) => Err(format!("{left} processes of its scripts cannot be killed")),
            Err(error) => Err(format!("/proc cannot be read: {error}")),
        }
    }

    /// Keeps what must not be tried again.
    fn mark(&self, failure: &Failure) -> Result<(), UpdateError> {
        let mut state = State::load(self.updater.folders)?;
        let before = state.clone();
        let steps = &self.progress.transaction.steps;
        let Some(step) = steps
            .iter()
            .find(|step| step.content.package == failure.package)
        else {
            return Ok(());
        };
        let digest = &step.content_digest;
        let mut is_final = !may_pass(&failure.code);
        if failure.interrupted {
            is_final = !self.progress.begun.is_empty()
                && self.count_interruption(&mut state, &failure.package, digest);
        }
        let known = state.failed.get(&failure.package);
        if is_final && known.is_none_or(|failed| failed.content_digest != *digest) {
            let failed = FailedVersion {
                content_digest: digest.clone(),
                version: failure.version.clone(),
                code: failure.code.clone(),
                message: failure.message.clone(),
                failed_at: crate::clock::unix_seconds(),
            };
            state.failed.insert(failure.package.clone(), failed);
        }
        if state != before {
            state.save(self.updater.folders, self.updater.disk)?;
        }
        Ok(())
    }

    /// Counts this transaction, once; whether it was one too many.
    fn count_interruption(&self, state: &mut State, package: &str, digest: &str) -> bool {
        let transaction = &self.progress.transaction.id;
        let counted = state.interruptions.get(package);
        let times = match counted.filter(|counted| counted.content_digest == digest) {
            Some(counted) if counted.transaction == *transaction => counted.times,
            Some(counted) => counted.times + 1,
            None => 1,
        };
        let interruption = Interruption {
            content_digest: digest.to_owned(),
            transaction: transaction.clone(),
            times,
        };
        state.interruptions.insert(package.to_owned(), interruption);
        times >= INTERRUPTIONS_MAX
    }

    /// Runs a step's `restore`, if it is not over. Its failure is a warning.
    fn restore(&mut self, step: usize) {
        let content = &self.step(step).content;
        let path = content.restore.trim().to_owned();
        if path.is_empty() || self.progress.restored.contains(&step) {
            return;
        }
        let package = content.package.clone();
        let stage = Stage::Restore;
        self.try_to_note(Record::Script { step, stage });
        let ran = self.script_file(step, &self.restore_path(step, Path::new(&path)));
        let warning = (!ran.succeeded()).then(|| format!("restore of {package} {ran}"));
        if let Some(warning) = &warning {
            tracing::warn!("{warning}");
        }
        self.try_to_note(Record::Restored { step, warning });
    }

    /// A relative path is inside `local`. Where the version put back has none, the new one's is
    /// taken.
    fn restore_path(&self, step: usize, path: &Path) -> PathBuf {
        let release = &self.step(step).release;
        [self.local(step), release.as_path()]
            .map(|base| match base.is_dir() {
                true => base.join(path),
                false => folder_of(base).join(path),
            })
            .into_iter()
            .find(|path| path.exists())
            .unwrap_or_else(|| self.local(step).join(path))
    }

    /// Hands the outcome over, clears up, and ends the journal.
    fn finish(mut self, outcome: Outcome) -> Result<Finished, UpdateError> {
        let finished = Finished {
            transaction: self.progress.transaction.clone(),
            outcome,
            warnings: self.progress.warnings.clone(),
        };
        self.updater
            .audience
            .finished(&finished)
            .map_err(UpdateError::Audience)?;
        self.clear_up();
        self.try_to_note(Record::Ended);
        self.journal.clear(self.updater.disk)?;
        Ok(finished)
    }

    /// Removes what was kept for the update before. The releases are for who staged them. What
    /// cannot be removed is tried again with the next update.
    fn clear_up(&self) {
        let disk = self.updater.disk;
        for (step, begun) in self.progress.begun.iter().enumerate() {
            let local = self.local(step);
            if self.progress.committed.is_some()
                && begun.swap == Some(false)
                && let Err(error) = swap::make_room(disk, local)
            {
                let path = swap::kept(local);
                tracing::warn!(path = %path.display(), %error, "could not be removed");
            }
        }
    }
}
