use std::time::{Duration, Instant};

use airlift_proto::{Command, ReportState};

use crate::{
    control::{Control, Progress},
    notify::Pulse,
    stage::{StageError, download::Watch},
};

/// How often, at most, a download asks whether it was cancelled.
const CANCEL_CHECK: Duration = Duration::from_secs(5);
/// Of all files together, percent.
const DOWNLOADED: u64 = 90;
/// Between two reports, percent.
const STEP: u64 = 10;

/// Tells the server how far an update is, and hears from it whether it is to end.
pub struct Teller<'a> {
    pub control: &'a Control<'a>,
    pub pulse: &'a Pulse,
    pub msg_id: Option<String>,
    /// The device's.
    pub from: String,
    pub to: String,
    /// Which file of how many.
    pub file: u64,
    pub files: u64,
    told: Option<u64>,
    asked: Instant,
}

impl<'a> Teller<'a> {
    pub fn new(
        control: &'a Control<'a>,
        pulse: &'a Pulse,
        msg_id: Option<String>,
        (from, to): (String, String),
        files: u64,
    ) -> Self {
        Teller {
            control,
            pulse,
            msg_id,
            from,
            to,
            file: 0,
            files,
            told: None,
            asked: Instant::now(),
        }
    }

    /// Best effort: the last report alone must arrive.
    pub fn say(&self, state: ReportState, progress: u64) {
        self.pulse.beat();
        if self.msg_id.is_none() {
            return;
        }
        let report = Progress {
            device: self.control.device(),
            msg_id: self.msg_id.as_deref(),
            state,
            progress,
            current_version: &self.from,
            target_version: &self.to,
            error_code: None,
            error_message: None,
        };
        match self.control.report(&report.report()) {
            Ok(sent) => tracing::debug!(?sent, progress, "told"),
            Err(error) => tracing::debug!(%error, "progress was not told"),
        }
        self.pulse.beat();
    }

    /// Whether the server took this update back.
    pub fn check_cancelled(&mut self) -> Result<(), StageError> {
        self.asked = Instant::now();
        let Some(msg_id) = &self.msg_id else {
            return Ok(());
        };
        match self.control.command() {
            Ok(Some(Command::Cancel(cancel))) if cancel.data.msg_id == *msg_id => {
                Err(StageError::Cancelled)
            }
            _ => Ok(()),
        }
    }
}

impl Watch for Teller<'_> {
    fn progress(&mut self, done: u64, total: Option<u64>) -> Result<(), StageError> {
        self.pulse.beat();
        let total = total.unwrap_or(done).max(done).max(1);
        // In hundredths, so that files of any size can be added up.
        let part = u128::from(done) * 100 / u128::from(total);
        let part = u64::try_from(part).unwrap_or(100);
        let percent = (self.file * 100 + part) * DOWNLOADED / (self.files * 100);
        let step = percent / STEP;
        if self.told.is_none_or(|told| step > told) {
            self.told = Some(step);
            self.say(ReportState::Downloading, step * STEP);
            return self.check_cancelled();
        }
        match self.asked.elapsed() >= CANCEL_CHECK {
            true => self.check_cancelled(),
            false => Ok(()),
        }
    }

    fn beat(&mut self) {
        self.pulse.beat();
    }
}
