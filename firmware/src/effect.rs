//! What a gateway wants done.

use alloc::string::String;
use core::fmt;

use airlift_proto::{Report, ReportState, Status, TopicKind};
use serde::Serialize;

/// Names one publish, until the broker acknowledges it or the connection is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublishId(pub u32);

/// Names one fetch, digest or install. At most one runs at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobId(pub u32);

/// The payload of a publish; serializes as the message it holds.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Body {
    Status(Status),
    Report(Report),
}

/// One thing to do. Effects are performed in their order, each done before the next is begun, but
/// for `Fetch`, `Digest` and `Install`: these are begun, and end in an event.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect<'e> {
    /// Subscribe to the gateway's command topic with QoS 1.
    Subscribe,
    /// Publish with QoS 1; the broker's acknowledgement comes back as `Event::Acked(id)`.
    Publish {
        id: PublishId,
        kind: TopicKind,
        retain: bool,
        body: Body,
    },
    /// Make [`crate::Gateway::saved`] durable, all of it or nothing.
    Save,
    /// GET `url` from byte `offset` on. With an offset: `Range: bytes=<offset>-` and, with an etag,
    /// `If-Range: <etag>`.
    Fetch {
        job: JobId,
        url: String,
        /// Bytes.
        offset: u64,
        etag: Option<String>,
    },
    /// Stop this job; nothing more of it is wanted.
    Stop(JobId),
    /// Put `bytes` at `offset` into the partial download.
    Write { offset: u64, bytes: &'e [u8] },
    /// Cut the partial download to this many bytes, making it if need be.
    Truncate { bytes: u64 },
    /// Make the partial download durable.
    Sync,
    /// Read the partial download back and digest it.
    Digest { job: JobId },
    /// Make the partial download the image that boots next, durably, or change nothing.
    Install { job: JobId },
    /// Remove the partial download.
    Discard,
    /// Leave the broker, restart, and begin anew with what was saved.
    Reboot,
    /// Tell the person watching.
    Tell(Notice),
}

/// What a person watching wants to read. `Display` is one line.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(
    tag = "event",
    rename_all = "snake_case",
    rename_all_fields = "camelCase"
)]
pub enum Notice {
    Booted {
        version: String,
        boot_reason: &'static str,
    },
    Heartbeat {
        version: String,
    },
    /// An upgrade begins, or goes on after a restart.
    Accepted {
        msg_id: String,
        version: String,
        /// Bytes already here.
        offset: u64,
        /// Bytes of the whole file.
        file_size: u64,
    },
    Progress {
        state: ReportState,
        /// Percent.
        progress: u8,
    },
    /// The server continues the file at this byte.
    Resumed {
        offset: u64,
    },
    /// The server sends the file from its beginning although part of it was here.
    StartedOver,
    Retry {
        reason: String,
        /// Retries in a row without a byte of progress, this one included.
        attempt: u32,
        delay_ms: u64,
    },
    /// A command that was seen before; its last report is sent again.
    Repeated {
        msg_id: String,
    },
    /// The upgrade waits for the one being installed.
    Held {
        msg_id: String,
    },
    Ignored {
        reason: String,
    },
    /// An upgrade ended.
    Finished {
        msg_id: String,
        state: ReportState,
        error_code: Option<String>,
        error_message: Option<String>,
    },
    /// The broker has the report of an upgrade's end.
    Delivered {
        msg_id: String,
        state: ReportState,
    },
    Rebooting,
    /// The broker has the new version's first heartbeat.
    Confirmed {
        version: String,
    },
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Notice::Booted {
                version,
                boot_reason,
            } => write!(f, "boots version {version} ({boot_reason})"),
            Notice::Heartbeat { version } => write!(f, "heartbeat, version {version}"),
            Notice::Accepted {
                msg_id,
                version,
                offset: 0,
                file_size,
            } => write!(f, "upgrades to {version}, {file_size} bytes ({msg_id})"),
            Notice::Accepted {
                msg_id,
                version,
                offset,
                file_size,
            } => write!(
                f,
                "goes on upgrading to {version}, {offset} of {file_size} bytes are here ({msg_id})"
            ),
            Notice::Progress { state, progress } => write!(f, "{} {progress} %", word(*state)),
            Notice::Resumed { offset } => write!(f, "resumes the download at byte {offset}"),
            Notice::StartedOver => {
                write!(
                    f,
                    "starts the download over: the server sends the whole file"
                )
            }
            Notice::Retry {
                reason,
                attempt,
                delay_ms,
            } => write!(
                f,
                "download interrupted ({reason}); retry {attempt} in {}.{} s",
                delay_ms / 1_000,
                delay_ms % 1_000 / 100
            ),
            Notice::Repeated { msg_id } => write!(f, "knows {msg_id}; repeats its last report"),
            Notice::Held { msg_id } => {
                write!(f, "holds {msg_id} until the running upgrade is installed")
            }
            Notice::Ignored { reason } => write!(f, "ignores {reason}"),
            Notice::Finished {
                msg_id,
                state,
                error_code: Some(code),
                error_message,
            } => {
                write!(f, "{} {code}", word(*state))?;
                if let Some(message) = error_message {
                    write!(f, ": {message}")?;
                }
                write!(f, " ({msg_id})")
            }
            Notice::Finished { msg_id, state, .. } => {
                write!(f, "{} 100 % ({msg_id})", word(*state))
            }
            Notice::Delivered { msg_id, state } => {
                write!(f, "the broker has the report {} of {msg_id}", word(*state))
            }
            Notice::Rebooting => write!(f, "reboots"),
            Notice::Confirmed { version } => {
                write!(f, "runs version {version}; the broker has the heartbeat")
            }
        }
    }
}

fn word(state: ReportState) -> &'static str {
    match state {
        ReportState::Downloading => "downloading",
        ReportState::Verifying => "verifying",
        ReportState::Installing => "installing",
        ReportState::Completed => "completed",
        ReportState::Failed => "failed",
        ReportState::Unknown => "unknown",
    }
}
