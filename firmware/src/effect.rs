//! What a gateway wants done.

use core::fmt;

use airlift_proto::{ReportState, TopicKind};
use serde::Serialize;

/// Names one publish, until the broker acknowledges it or the connection is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublishId(pub u32);

/// Names one fetch. At most one runs at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobId(pub u32);

/// One thing to do. Effects come in their order; what they borrow is gone after the call.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect<'a> {
    /// Subscribe to the gateway's command topic with QoS 1.
    Subscribe,
    /// Publish with QoS 1; the broker's acknowledgement comes back as `Event::Acked(id)`.
    Publish {
        id: PublishId,
        kind: TopicKind,
        retain: bool,
        /// The report of an upgrade. Somebody must hear it: if the broker answers that it has nobody
        /// for it, it is sent again.
        needs_ears: bool,
        /// At most [`crate::MESSAGE_BYTES_MAX`] bytes.
        payload: &'a [u8],
    },
    /// GET `url` from byte `offset` on. With an offset: `Range: bytes=<offset>-` and, with an etag,
    /// `If-Range: <etag>`.
    Fetch {
        job: JobId,
        url: &'a str,
        /// Bytes.
        offset: u32,
        etag: Option<&'a str>,
    },
    /// Stop this job; nothing more of it is wanted.
    Stop(JobId),
    /// Leave the broker and restart; the bootloader chooses the image.
    Reboot,
    /// Tell the person watching.
    Tell(Notice<'a>),
}

/// What a person watching wants to read. `Display` is one line.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(
    tag = "event",
    rename_all = "snake_case",
    rename_all_fields = "camelCase"
)]
pub enum Notice<'a> {
    Booted {
        version: &'a str,
        boot_reason: &'static str,
    },
    /// A new image runs and has to prove itself.
    OnTrial {
        version: &'a str,
        attempt: u8,
    },
    /// The new image did not prove itself; this is the old one again.
    RolledBack {
        version: &'a str,
        attempts: u8,
    },
    Heartbeat {
        version: &'a str,
    },
    /// An upgrade begins, or goes on after a restart.
    Accepted {
        msg_id: &'a str,
        version: &'a str,
        /// Bytes already here.
        offset: u64,
        /// Bytes of the whole file.
        file_size: u64,
    },
    /// A bundle's signature and manifest are looked at before anything of it is fetched.
    Authenticates {
        msg_id: &'a str,
        version: &'a str,
    },
    /// The signature is good; whether the release is for this gateway is still to be judged.
    Authentic {
        version: &'a str,
        release_counter: u64,
        /// The name of the key; `None` where no key is trusted, so that nothing was checked.
        key: Option<&'a str>,
    },
    Progress {
        state: ReportState,
        /// Percent.
        progress: u8,
    },
    /// The download waits until the server's chosen moment.
    Waits {
        delay_ms: u64,
    },
    /// The server continues the file at this byte.
    Resumed {
        offset: u64,
    },
    /// The server sends the file from its beginning although part of it was here.
    StartedOver,
    Retry {
        reason: &'a str,
        /// Retries in a row without a byte of progress, this one included.
        attempt: u32,
        delay_ms: u64,
    },
    /// A command that was seen before; its last report is sent again.
    Repeated {
        msg_id: &'a str,
    },
    /// The upgrade waits for the one being installed or proven.
    Held {
        msg_id: &'a str,
    },
    Ignored {
        reason: &'a str,
    },
    /// An upgrade ended.
    Finished {
        msg_id: &'a str,
        state: ReportState,
        error_code: Option<&'a str>,
        error_message: Option<&'a str>,
    },
    /// The broker has the report of an upgrade's end.
    Delivered {
        msg_id: &'a str,
        state: ReportState,
    },
    /// The upload page installed an image.
    Uploaded {
        version: &'a str,
    },
    Rebooting,
    /// The new version has proven itself: the broker has its first heartbeat, and it boots from now
    /// on.
    Confirmed {
        version: &'a str,
    },
}

impl fmt::Display for Notice<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Notice::Booted {
                version,
                boot_reason,
            } => write!(f, "boots version {version} ({boot_reason})"),
            Notice::OnTrial { version, attempt } => {
                write!(f, "tries version {version}, attempt {attempt}")
            }
            Notice::RolledBack { version, attempts } => write!(
                f,
                "is back: version {version} did not prove itself in {attempts} boots"
            ),
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
            Notice::Authenticates { msg_id, version } => {
                write!(f, "looks at the bundle of {version} ({msg_id})")
            }
            Notice::Authentic {
                version,
                release_counter,
                key: Some(key),
            } => write!(
                f,
                "the bundle of {version}, release {release_counter}, is signed by {key}"
            ),
            Notice::Authentic {
                version,
                release_counter,
                key: None,
            } => write!(
                f,
                "takes the bundle of {version}, release {release_counter}, unchecked: it trusts no keys"
            ),
            Notice::Progress { state, progress } => write!(f, "{} {progress} %", word(*state)),
            Notice::Waits { delay_ms } => {
                write!(f, "begins the download in ")?;
                seconds(f, *delay_ms)
            }
            Notice::Resumed { offset } => write!(f, "resumes the download at byte {offset}"),
            Notice::StartedOver => {
                f.write_str("starts the download over: the server sends the whole file")
            }
            Notice::Retry {
                reason,
                attempt,
                delay_ms,
            } => {
                write!(f, "download interrupted ({reason}); retry {attempt} in ")?;
                seconds(f, *delay_ms)
            }
            Notice::Repeated { msg_id } => write!(f, "knows {msg_id}; repeats its last report"),
            Notice::Held { msg_id } => {
                write!(f, "holds {msg_id} until the upgrade before it is proven")
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
            Notice::Finished { msg_id, state, .. } => write!(f, "{} ({msg_id})", word(*state)),
            Notice::Delivered { msg_id, state } => {
                write!(f, "the broker has {} ({msg_id})", word(*state))
            }
            Notice::Uploaded { version } => write!(f, "version {version} was uploaded"),
            Notice::Rebooting => f.write_str("reboots"),
            Notice::Confirmed { version } => write!(f, "version {version} is confirmed"),
        }
    }
}

fn seconds(f: &mut fmt::Formatter<'_>, ms: u64) -> fmt::Result {
    write!(f, "{}.{} s", ms / 1_000, ms % 1_000 / 100)
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
