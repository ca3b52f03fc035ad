//! What can happen to a gateway.

use alloc::string::String;

use airlift_proto::{Command, UpgradeData};

use crate::{JobId, PublishId};

/// Everything a step may know of time and chance.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// Milliseconds on a clock that never goes back; only differences count.
    pub ms: u64,
    /// Unix seconds, for the timestamps in messages. May be wrong.
    pub unix_seconds: i64,
    /// A fresh random number, to spread retries.
    pub jitter: u64,
}

/// Size and digests of an image as it lies in storage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Digests {
    /// Bytes.
    pub size: u64,
    /// Lower-case hex.
    pub md5: String,
    /// Lower-case hex.
    pub sha256: String,
}

impl Digests {
    /// What is wrong with this image, in words, if it is not the one the command announced.
    pub(crate) fn mismatch(&self, order: &UpgradeData) -> Option<String> {
        use alloc::format;
        if self.size != order.file_size {
            return Some(format!(
                "the file has {} bytes, the command announced {}",
                self.size, order.file_size
            ));
        }
        if !self.md5.eq_ignore_ascii_case(&order.md5) {
            return Some(format!(
                "the file's MD5 is {}, the command announced {}",
                self.md5, order.md5
            ));
        }
        let announced = order.sha256.as_deref().filter(|hex| !hex.is_empty())?;
        (!self.sha256.eq_ignore_ascii_case(announced)).then(|| {
            format!(
                "the file's SHA-256 is {}, the command announced {announced}",
                self.sha256
            )
        })
    }
}

/// The head of an HTTP answer to [`crate::Effect::Fetch`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    /// Where the body begins in the file, from `Content-Range`; 0 in a 200. Bytes.
    pub start: u64,
    /// The whole file's size, where the answer tells it. Bytes.
    pub total: Option<u64>,
    /// `ETag` as sent, quotes and all.
    pub etag: Option<String>,
    /// `Retry-After`, in milliseconds.
    pub retry_after_ms: Option<u64>,
}

/// What the shell finds in storage when it starts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Bytes of the partial download; `None` if there is none.
    pub part_bytes: Option<u64>,
    /// The running image, if [`crate::Saved::asks_running_digests`]; else `None`.
    pub running: Option<Digests>,
}

/// One thing that happened. Events of a job that is no longer the current one are ignored, so a
/// shell need not care what was already on its way when it stopped a job.
#[derive(Clone, Debug)]
pub enum Event<'e> {
    /// The gateway starts. Always the first event, once.
    Boot(Found),
    /// The broker accepted the connection.
    Connected,
    Disconnected,
    /// The broker acknowledged a publish.
    Acked(PublishId),
    Command(Command),
    /// Battery charge, percent.
    Battery(u8),
    /// The head of the answer; its body follows if the status is 200 or 206.
    Answer {
        job: JobId,
        answer: Answer,
    },
    /// The next bytes of the body.
    Chunk {
        job: JobId,
        bytes: &'e [u8],
    },
    /// The body ended or was cut, or the request failed: then with the reason.
    FetchEnded {
        job: JobId,
        reason: Option<String>,
    },
    /// No attempt can ever succeed: the URL is none.
    FetchImpossible {
        job: JobId,
        reason: String,
    },
    /// [`crate::Effect::Digest`] is done.
    Digested {
        job: JobId,
        digests: Digests,
    },
    /// [`crate::Effect::Install`] is done and durable.
    Installed {
        job: JobId,
    },
    /// Reading or writing the image failed: in this job, or, with none, in an effect done at once.
    StorageFailed {
        job: Option<JobId>,
        reason: String,
    },
    /// The time [`crate::Gateway::wake_ms`] asked for has come. Harmless at any other time.
    Tick,
    /// The process is to end; the next start continues where it was.
    Shutdown,
}
