//! How long the gateway goes on trying to fetch what an upgrade needs.

use crate::{DOWNLOAD_MS_MAX, STALL_MS_MAX};

/// The attempts of one upgrade since the gateway started, over all files that it needs.
#[derive(Debug, Default)]
pub(crate) struct Attempts {
    /// Those in a row that brought nothing new.
    failures: u32,
    /// When the first one began.
    begun_at_ms: Option<u64>,
    /// When the last new byte came, or the server asked for patience.
    grown_at_ms: u64,
}

/// There were enough of them.
pub(crate) struct GivenUp {
    pub(crate) failures: u32,
    /// Time without a new byte.
    pub(crate) stalled_ms: u64,
}

impl Attempts {
    /// An attempt begins.
    pub(crate) fn begin(&mut self, now_ms: u64) {
        if self.begun_at_ms.is_none() {
            // What the server wanted to be waited for is over.
            (self.begun_at_ms, self.grown_at_ms) = (Some(now_ms), now_ms);
        }
    }

    /// Something new came.
    pub(crate) fn grow(&mut self, now_ms: u64) {
        (self.failures, self.grown_at_ms) = (0, now_ms);
    }

    /// An attempt failed; how many in a row, or that it was the last.
    pub(crate) fn fail(&mut self, now_ms: u64, asked_for_patience: bool) -> Result<u32, GivenUp> {
        self.failures += 1;
        if asked_for_patience {
            self.grown_at_ms = now_ms;
        }
        let stalled_ms = now_ms.saturating_sub(self.grown_at_ms);
        let lasts_ms = now_ms.saturating_sub(self.begun_at_ms.unwrap_or(now_ms));
        if stalled_ms >= STALL_MS_MAX || lasts_ms >= DOWNLOAD_MS_MAX {
            let failures = self.failures;
            return Err(GivenUp {
                failures,
                stalled_ms,
            });
        }
        Ok(self.failures)
    }
}
