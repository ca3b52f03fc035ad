use std::{fs, io, path::PathBuf};

use airlift_package::Content;
use airlift_proto::ReportState;
use serde_json::Value;

use crate::{
    config::Config,
    control::{INSTALLING_PERCENT, Progress},
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
                self.keep(
                    &finished.transaction,
                    ReportState::Completed,
                    100,
                    None,
                    warning,
                )
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
                    INSTALLING_PERCENT,
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
        progress: u64,
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
            progress,
            current_version: if is_new { &to } else { &from },
            target_version: &to,
            error_code,
            error_message,
        };
        self.put(&transaction.id, &report.report())?;
        // Before the transaction is forgotten: what has an outcome is under way no more, and must not
        // be taken for given up.
        self.disk.remove_if_there(&under_way_file(self.folders))
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

/// What the server knows to be under way.
pub fn under_way_file(folders: &Folders) -> PathBuf {
    folders.root().join("under_way.json")
}

/// The device's version: that of the first package of its JSON.
pub fn device_version(config: &Config, state: &State) -> String {
    let first = &config.packages[0];
    match state.installed.get(&first.package) {
        Some(installed) => installed.content.version.clone(),
        None if came_with_device(first) => first.version.clone(),
        None => NO_VERSION.into(),
    }
}

/// Whether a package that the agent did not install is there, in the version that the device JSON says.
pub fn came_with_device(listed: &Content) -> bool {
    !listed.version.is_empty()
        && !listed.local.is_empty()
        && fs::symlink_metadata(&listed.local).is_ok()
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
