//! The server's three addresses for a device that speaks HTTP: what it reports, what it is
//! commanded, what it begins on its own.

use airlift_proto::{Command, HeartbeatData, Message, ProgressData, Report, ReportState};
use serde::Serialize;
use serde_json::{Value, json};

use crate::{
    clock,
    http::{Http, HttpError},
};

/// Longest `errorMessage`, characters.
pub const MESSAGE_CHARACTERS_MAX: usize = 1024;

/// The server, as one device sees it.
pub struct Control<'a> {
    http: &'a Http,
    /// None: nobody is told and nobody commands.
    base: Option<String>,
    device: &'a str,
}

/// What the device begins on its own.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NewTask {
    /// The leading package: the last in the order of dependencies.
    pub name: String,
    pub branch: String,
    pub version: String,
    /// The device's, before.
    pub from_version: String,
    /// The device's, after.
    pub to_version: String,
    pub packages: Vec<PackageChange>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PackageChange {
    pub name: String,
    pub from_version: Option<String>,
    pub to_version: String,
}

/// The server's answer to a new task.
#[derive(Clone, Debug, PartialEq)]
pub enum Begun {
    /// Reports carry this message id.
    Task(String),
    /// The server keeps no tasks: an old package server, or there is none.
    Untold,
    /// Another one is under way.
    Busy(String),
}

/// What became of a report.
#[derive(Clone, Debug, PartialEq)]
pub enum Sent {
    Taken,
    /// The server will never take it, and says why.
    Refused(String),
}

impl<'a> Control<'a> {
    pub fn new(http: &'a Http, base: Option<&str>, device: &'a str) -> Self {
        let base = base.map(|it| format!("{it}/api/ota/gateways/{device}"));
        Control { http, base, device }
    }

    /// Sends a report.
    ///
    /// # Errors
    /// When it may be taken later.
    pub fn report(&self, report: &Value) -> Result<Sent, HttpError> {
        let Some(base) = &self.base else {
            return Ok(Sent::Taken);
        };
        let url = format!("{base}/report");
        let sent = self.http.post(&url, report).and_then(|it| it.ok(&url));
        match sent {
            Ok(_) => Ok(Sent::Taken),
            // A token that is missing or wrong is put right without anything here being wrong.
            Err(error) if error.is_passing() || is_door(&error) => Err(error),
            Err(error) => Ok(Sent::Refused(error.to_string())),
        }
    }

    /// The command that waits.
    pub fn command(&self) -> Result<Option<Command>, HttpError> {
        let Some(base) = &self.base else {
            return Ok(None);
        };
        let url = format!("{base}/command");
        let body = match self.http.get(&url).and_then(|it| it.ok(&url)) {
            Ok(body) => body,
            // An old package server.
            Err(error) if error.status() == Some(404) => return Ok(None),
            Err(error) => return Err(error),
        };
        let answer: Value = serde_json::from_slice(&body).unwrap_or_default();
        if answer["data"].is_null() {
            return Ok(None);
        }
        match serde_json::from_value(answer["data"].clone()) {
            Ok(command) => Ok(Some(command)),
            Err(error) => {
                tracing::warn!(%error, "a command makes no sense and is left alone");
                Ok(None)
            }
        }
    }

    /// Tells the server that an update begins.
    pub fn begin(&self, task: &NewTask) -> Result<Begun, HttpError> {
        let Some(base) = &self.base else {
            return Ok(Begun::Untold);
        };
        let url = format!("{base}/task");
        let body = json!(task);
        let answer = match self.http.post(&url, &body).and_then(|it| it.ok(&url)) {
            Ok(answer) => answer,
            Err(error) if error.status() == Some(409) => return Ok(Begun::Busy(error.to_string())),
            Err(error) if matches!(error.status(), Some(404 | 405)) => return Ok(Begun::Untold),
            Err(error) => return Err(error),
        };
        let answer: Value = serde_json::from_slice(&answer).unwrap_or_default();
        match answer["data"]["msgId"].as_str() {
            Some(msg_id) => Ok(Begun::Task(msg_id.to_owned())),
            None => Ok(Begun::Untold),
        }
    }

    pub fn device(&self) -> &str {
        self.device
    }
}

fn is_door(error: &HttpError) -> bool {
    matches!(error.status(), Some(401 | 403))
}

/// What an update that is being installed has behind it.
pub const INSTALLING_PERCENT: u64 = 98;

/// One `ota_progress`.
#[derive(Clone, Debug)]
pub struct Progress<'a> {
    pub device: &'a str,
    pub msg_id: Option<&'a str>,
    pub state: ReportState,
    /// Percent.
    pub progress: u64,
    /// The device's.
    pub current_version: &'a str,
    pub target_version: &'a str,
    pub error_code: Option<&'a str>,
    /// Cut to what the server keeps.
    pub error_message: Option<&'a str>,
}

impl Progress<'_> {
    pub fn report(&self) -> Value {
        let text = |text: &str| Some(text.to_owned());
        let report: Report = Report::Progress(Message {
            msg_id: self.msg_id.map(str::to_owned),
            uuid: text(self.device),
            timestamp: Some(clock::unix_seconds()),
            data: ProgressData {
                state: self.state,
                progress: self.progress.cast_signed(),
                current_version: text(self.current_version),
                target_version: text(self.target_version),
                error_code: self.error_code.map(str::to_owned),
                error_message: self.error_message.map(cut),
            },
        });
        json!(report)
    }
}

/// What a heartbeat of an agent says.
#[derive(Clone, Debug)]
pub struct Heartbeat<'a> {
    pub device: &'a str,
    pub device_type: &'a str,
    /// The device's version.
    pub version: &'a str,
    pub report_seconds: u64,
    /// Package → version.
    pub packages: Value,
    /// The last update was undone.
    pub rollback: bool,
}

impl Heartbeat<'_> {
    pub fn report(&self) -> Value {
        let report: Report = Report::Heartbeat(Message {
            msg_id: None,
            uuid: Some(self.device.to_owned()),
            timestamp: Some(clock::unix_seconds()),
            data: HeartbeatData {
                firmware_version: self.version.to_owned(),
                rollback: self.rollback,
                ..HeartbeatData::default()
            },
        });
        let mut report = json!(report);
        report["data"]["deviceType"] = json!(self.device_type);
        report["data"]["agentVersion"] = json!(env!("CARGO_PKG_VERSION"));
        report["data"]["reportSeconds"] = json!(self.report_seconds);
        report["data"]["packages"] = self.packages.clone();
        report
    }
}

/// Shortens a message to what the server keeps: its first line says what happened, its end is a
/// script's last words, and the middle goes.
pub fn cut(message: &str) -> String {
    let length = message.chars().count();
    if length <= MESSAGE_CHARACTERS_MAX {
        return message.to_owned();
    }
    let first: String = message
        .lines()
        .next()
        .unwrap_or_default()
        .chars()
        .take(240)
        .collect();
    let left = MESSAGE_CHARACTERS_MAX - first.chars().count() - " …\n".chars().count();
    let tail: String = message.chars().skip(length - left).collect();
    format!("{first} …\n{tail}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_message_keeps_its_first_line_and_its_end() {
        let long = format!("AfterUpdate exited with 1\n{}the ünd", "x\n".repeat(4000));
        let short = cut(&long);
        assert_eq!(short.chars().count(), MESSAGE_CHARACTERS_MAX);
        assert!(
            short.starts_with("AfterUpdate exited with 1 …\n"),
            "{short}"
        );
        assert!(short.ends_with("the ünd"), "{short}");
        assert_eq!(cut("short"), "short");
    }

    #[test]
    fn a_heartbeat_says_what_the_server_counts_on() {
        let heartbeat = Heartbeat {
            device: "GW-1",
            device_type: "linux",
            version: "1.0.0",
            report_seconds: 60,
            packages: json!({"app": "1.0.0"}),
            rollback: true,
        };
        let report = heartbeat.report();
        assert_eq!(report["msgType"], "heartbeat");
        assert_eq!(report["data"]["firmwareVersion"], "1.0.0");
        assert_eq!(report["data"]["packages"]["app"], "1.0.0");
        assert_eq!(report["data"]["rollback"], true);
        assert_eq!(report["data"]["reportSeconds"], 60);
    }
}
