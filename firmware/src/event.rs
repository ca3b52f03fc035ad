//! What can happen to a gateway.

use crate::{JobId, PublishId};

/// Everything a step may know of time and chance.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// Milliseconds on a clock that never goes back; only differences count.
    pub ms: u64,
    /// Unix seconds. May be wrong; 0 if there is no clock.
    pub unix_seconds: i64,
    /// A fresh random number, to spread retries.
    pub jitter: u64,
}

/// The head of an HTTP answer to [`crate::Effect::Fetch`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Answer<'e> {
    pub status: u16,
    /// Where the body begins in the file, from `Content-Range`; 0 in a 200. Bytes.
    pub start: u64,
    /// The whole file's size, where the answer tells it. Bytes.
    pub total: Option<u64>,
    /// `ETag` as sent, quotes and all.
    pub etag: Option<&'e str>,
    /// `Retry-After`, in milliseconds.
    pub retry_after_ms: Option<u64>,
}

/// One thing that happened. Events of a job that is no longer the current one are ignored, so a
/// shell need not care what was already on its way when it stopped a job.
#[derive(Clone, Copy, Debug)]
pub enum Event<'e> {
    /// The broker accepted the connection.
    Connected,
    Disconnected,
    /// The broker acknowledged a publish.
    Acked(PublishId),
    /// A message on the command topic. To be acknowledged to the broker after the step.
    Message(&'e [u8]),
    /// Battery charge, percent.
    Battery(u8),
    /// What the next heartbeats tell: free heap in bytes, signal in dBm.
    Vitals {
        free_heap: Option<u32>,
        rssi: Option<i8>,
    },
    /// The head of the answer; its body follows if the status is 200 or 206.
    Answer {
        job: JobId,
        answer: Answer<'e>,
    },
    /// The next bytes of the body.
    Chunk {
        job: JobId,
        bytes: &'e [u8],
    },
    /// The body ended or was cut, or the request failed: then with the reason.
    FetchEnded {
        job: JobId,
        reason: Option<&'e str>,
    },
    /// No attempt can ever succeed: the URL is none.
    FetchImpossible {
        job: JobId,
        reason: &'e str,
    },
    /// The upload page has answered that it installed an image.
    LocalDone,
    /// The time [`crate::Gateway::wake_ms`] asked for has come. Harmless at any other time.
    Tick,
    /// The process is to end; the next start continues where it was.
    Shutdown,
}

/// Of a `Content-Range` (RFC 9110, 14.4): first byte and whole size, where told: `bytes 5-9/10`, `bytes 5-9/*`, `bytes */10`.
pub fn content_range(value: &str) -> (Option<u64>, Option<u64>) {
    let Some((range, total)) = value
        .strip_prefix("bytes ")
        .and_then(|rest| rest.split_once('/'))
    else {
        return (None, None);
    };
    let start = range
        .split_once('-')
        .and_then(|(start, _)| start.trim().parse().ok());
    (start, total.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_range_is_read_in_all_its_forms() {
        assert_eq!(content_range("bytes 5-9/10"), (Some(5), Some(10)));
        assert_eq!(content_range("bytes 5-9/*"), (Some(5), None));
        assert_eq!(content_range("bytes */10"), (None, Some(10)));
        assert_eq!(content_range("lines 1-2/3"), (None, None));
    }
}
