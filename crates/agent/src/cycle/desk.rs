use std::io;

use airlift_proto::ReportState;
use serde_json::Value;

use crate::{
    config::Config,
    control::Progress,
    disk::Disk,
    folders::Folders,
    notify::Pulse,
    outbox::Outbox,
    state::State,
    transaction::{Audience, Finished, Outcome, Transaction},
};

/// Keeps outcomes until the server has them.
pub struct Desk<'a> {
    pub config: &'a Config,
    pub folders: &'a Folders,
    pub disk: &'a Disk,
    pub pulse: &'a Pulse,
}

impl Audience for Desk<'_> {
    fn finished(&self, finished: &Finished) -> io::Result<()> {
        let warnings = finished.warnings.join("\n");
        match &finished.outcome {
            Outcome::Updated => {
                let warning = (!warnings.is_empty()).then_some(warnings.as_str());
                self.keep(&finished.transaction, ReportState::Completed, None, warning)
            }
            Outcome::RolledBack(failure) => {
                let mut message = format!(
                    "{} {}: {}",
                    failure.package, failure.version, failure.message
                );
                if !warnings.is_empty() {
                    message = format!("{message}\n{warnings}");
                }
                let code = Some(failure.code.as_str());
                self.keep(
                    &finished.transaction,
                    ReportState::Failed,
                    code,
                    Some(&message),
                )
            }
        }
    }

    fn beat(&self) {
        self.pulse.beat();
    }
}

impl Desk<'_> {
    /// Keeps the last report of a transaction, if the server knows of it.
    pub fn keep(
        &self,
        transaction: &Transaction,
        state: ReportState,
        error_code: Option<&str>,
        error_message: Option<&str>,
    ) -> io::Result<()> {
        let Some(msg_id) = transaction.msg_id.as_deref() else {
            return Ok(());
        };
        let known = State::load(self.folders).unwrap_or_default();
        let (from, to) = versions(self.config, &known, transaction);
        let is_new = state == ReportState::Completed;
        let report = Progress {
            device: &self.config.device,
            msg_id: Some(msg_id),
            state,
            progress: if is_new { 100 } else { 0 },
            current_version: if is_new { &to } else { &from },
            target_version: &to,
            error_code,
            error_message,
        };
        self.put(&transaction.id, &report.report())
    }

    pub fn put(&self, id: &str, report: &Value) -> io::Result<()> {
        if self.config.server.is_none() {
            return Ok(());
        }
        let outbox = Outbox {
            folders: self.folders,
            disk: self.disk,
        };
        outbox.put(id, report)
    }
}

/// The device's version: that of the first package of its JSON.
pub fn device_version(config: &Config, state: &State) -> String {
    let first = &config.packages[0];
    match state.installed.get(&first.package) {
        Some(installed) => installed.content.version.clone(),
        None if first.version.is_empty() => NO_VERSION.into(),
        None => first.version.clone(),
    }
}

/// Of a device that has not got its first package yet.
const NO_VERSION: &str = "0.0.0";

/// The device's version before and after a transaction.
pub fn versions(config: &Config, state: &State, transaction: &Transaction) -> (String, String) {
    let first = &config.packages[0].package;
    let mut steps = transaction.steps.iter();
    match steps.find(|step| step.content.package == *first) {
        Some(step) => (
            step.from_version.clone().unwrap_or(NO_VERSION.into()),
            step.content.version.clone(),
        ),
        None => {
            let version = device_version(config, state);
            (version.clone(), version)
        }
    }
}
