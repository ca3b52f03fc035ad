use std::{collections::BTreeSet, fs, io, path::Path, thread, time::Instant};

use airlift_proto::error_code::{HEALTH_FAILED, INSTALL_FAILED, SCRIPT_FAILED, SCRIPT_TIMEOUT};

use crate::{
    clock,
    disk::{folder_of, missing_folders},
    journal::{JournalError, Record, Was},
    script::Stage,
};

use super::{
    Failure, Step,
    run::{Run, code_of, journal_code},
    swap,
};

impl Run<'_> {
    /// Does every step, and commits.
    pub fn forward(&mut self) -> Result<(), Failure> {
        let steps = self.progress.transaction.steps.len();
        for step in 0..steps {
            self.step_forward(step)?;
        }
        let at = clock::unix_seconds();
        self.note(Record::Committed { at })
            .map_err(|error| self.journal_failure(steps - 1, &error))
    }

    fn step_forward(&mut self, step: usize) -> Result<(), Failure> {
        self.begin(step)
            .map_err(|error| self.disk_failure(step, &error))?;
        let content = self.step(step).content.clone();
        self.update_script(step, Stage::Before, &content.before_update)?;
        self.swap(step)?;
        self.update_script(step, Stage::After, &content.after_update)?;
        self.health(step, &content.health)
    }

    fn begin(&mut self, step: usize) -> io::Result<()> {
        let local = self.local(step);
        let release = &self.step(step).release;
        fs::symlink_metadata(release).map_err(|error| {
            let path = release.display();
            io::Error::new(error.kind(), format!("the release {path}: {error}"))
        })?;
        self.refuse_inside_state(local)?;
        let was = swap::look(local)?;
        let missing = missing_folders(folder_of(local));
        self.note(Record::Step { step, was, missing })
            .map_err(io_of)
    }

    /// A package inside of another's release would change what others rely on.
    fn refuse_inside_state(&self, local: &Path) -> io::Result<()> {
        let there = folder_of(local).ancestors().find(|folder| folder.exists());
        let there = fs::canonicalize(there.unwrap_or(Path::new("/")))?;
        match there.starts_with(fs::canonicalize(self.updater.folders.root())?) {
            true => Err(io::Error::other(
                "`local` lies inside another package, or in the agent's own folder: give it a place of its own",
            )),
            false => Ok(()),
        }
    }

    fn update_script(&mut self, step: usize, stage: Stage, line: &str) -> Result<(), Failure> {
        if line.trim().is_empty() {
            return Ok(());
        }
        self.note(Record::Script { step, stage })
            .map_err(|error| self.journal_failure(step, &error))?;
        let ran = self.script(step, stage, line, self.updater.limits.script);
        let code = match ran.timed_out() {
            true => SCRIPT_TIMEOUT,
            false => SCRIPT_FAILED,
        };
        match ran.succeeded() {
            true => Ok(()),
            false => Err(self.failure(step, code, format!("{stage} {ran}"))),
        }
    }

    fn swap(&mut self, step: usize) -> Result<(), Failure> {
        self.try_swap(step)
            .map_err(|error| self.disk_failure(step, &error))
    }

    fn try_swap(&mut self, step: usize) -> io::Result<()> {
        let local = self.local(step).to_owned();
        let release = self.step(step).release.clone();
        let disk = self.updater.disk;
        let was = swap::look(&local)?;
        if was == Was::Link(release.clone()) {
            return Ok(());
        }
        disk.create_dir_all_synced(folder_of(&local))?;
        let kept = was == Was::Real;
        if kept {
            swap::make_room(disk, &local)?;
        }
        self.note(Record::Swap { step, kept }).map_err(io_of)?;
        swap::point(disk, &local, &release)
    }

    /// Asks the health command until it says yes, or the time is over.
    fn health(&mut self, step: usize, line: &str) -> Result<(), Failure> {
        if line.trim().is_empty() {
            return Ok(());
        }
        let stage = Stage::Health;
        self.note(Record::Script { step, stage })
            .map_err(|error| self.journal_failure(step, &error))?;
        let limits = &self.updater.limits;
        let deadline = Instant::now() + limits.health;
        let left = || deadline.saturating_duration_since(Instant::now());
        for tries in 1.. {
            let ran = self.script(step, stage, line, left());
            if ran.succeeded() {
                return Ok(());
            }
            self.updater.audience.beat();
            thread::sleep(limits.health_pause.min(left()));
            if left().is_zero() {
                let seconds = limits.health.as_secs_f32();
                let message = format!(
                    "health did not succeed within {seconds} s; of {tries} tries the last {ran}"
                );
                return Err(self.failure(step, HEALTH_FAILED, message));
            }
        }
        Ok(())
    }

    fn disk_failure(&self, step: usize, error: &io::Error) -> Failure {
        let local = self.local(step).display();
        self.failure(
            step,
            code_of(error),
            format!("{local} could not be replaced: {error}"),
        )
    }

    fn journal_failure(&self, step: usize, error: &JournalError) -> Failure {
        let message = format!("the journal could not be written: {error}");
        self.failure(step, journal_code(error), message)
    }
}

/// What keeps a transaction from being begun at all.
pub fn refusal(steps: &[Step]) -> Option<(&Step, &'static str, String)> {
    let mut places = BTreeSet::new();
    steps.iter().find_map(|step| {
        let local = Path::new(&step.content.local);
        let why = if !local.is_absolute() || local.file_name().is_none() {
            "is no absolute path of a file or folder"
        } else if !places.insert(local) {
            "is another package's too"
        } else {
            return None;
        };
        Some((step, INSTALL_FAILED, format!("`local` {local:?} {why}")))
    })
}

fn io_of(error: JournalError) -> io::Error {
    match error {
        JournalError::Io { path, error } => {
            io::Error::new(error.kind(), format!("{}: {error}", path.display()))
        }
        error => io::Error::other(error),
    }
}
