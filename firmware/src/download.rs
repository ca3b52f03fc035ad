//! Fetching the file: from where it stopped, again and again, but not for ever.

use alloc::{
    format,
    string::{String, ToString},
};

use airlift_proto::{
    ReportState,
    error_code::{DIGEST_MISMATCH, DOWNLOAD_FAILED},
};

use crate::{
    Answer, DOWNLOAD_ATTEMPTS_MAX, Effect, JobId, Notice, RETRY_AFTER_MS_MAX, RETRY_MS_MAX,
    RETRY_MS_MIN, backoff_ms,
    gateway::{Job, Turn},
};

/// A report at every so many percent of the download.
const REPORT_STEP_PERCENT: u64 = 10;
/// Highest progress of `downloading`, percent: the rest is for verifying and installing.
const DOWNLOADING_PERCENT_MAX: u64 = 90;

impl<'e> Turn<'_, 'e> {
    /// Begins the next attempt, or verifies if all is here.
    pub(crate) fn fetch(&mut self) {
        let offset = self.gateway.received;
        let Some(active) = &self.gateway.saved.active else {
            return;
        };
        if offset >= active.order.upgrade.file_size {
            return self.verify();
        }
        let url = active.order.upgrade.firmware_url.clone();
        let etag = active.etag.clone().filter(|_| offset > 0);
        let job = self.next_job();
        self.gateway.job = Job::Fetching {
            id: job,
            answered: false,
        };
        self.effects.push(Effect::Fetch {
            job,
            url,
            offset,
            etag,
        });
    }

    pub(crate) fn answer(&mut self, job: JobId, answer: Answer) {
        let Some(active) = &self.gateway.saved.active else {
            return;
        };
        let size = active.order.upgrade.file_size;
        if let (200 | 206 | 416, Some(total)) = (answer.status, answer.total)
            && total != size
        {
            let why = format!("the server's file has {total} bytes, the command announced {size}");
            return self.end_active(DIGEST_MISMATCH, why);
        }
        match answer.status {
            200 => self.body_from(job, 0, &answer),
            206 => self.body_from(job, answer.start, &answer),
            416 if self.gateway.received > 0 => {
                self.forget_part();
                self.retry("the server refuses to continue the file".into(), None);
            }
            408 | 425 | 429 | 500..=599 => {
                let reason = format!("the server answered {}", answer.status);
                self.retry(reason, answer.retry_after_ms);
            }
            status => {
                let why = format!("the server answered {status} for the firmware URL");
                self.end_active(DOWNLOAD_FAILED, why);
            }
        }
    }

    /// A body comes that begins at `start`.
    fn body_from(&mut self, job: JobId, start: u64, answer: &Answer) {
        let received = self.gateway.received;
        let Some(active) = &mut self.gateway.saved.active else {
            return;
        };
        // A weak tag may stand for other bytes, so it is no ground to continue on.
        let etag = answer.etag.clone().filter(|etag| !etag.starts_with("W/"));
        let other_file =
            matches!((&active.etag, &etag), (Some(ours), Some(theirs)) if ours != theirs);
        if start > 0 && (start != received || other_file) {
            self.forget_part();
            return self.retry("the server continues another file or place".into(), None);
        }
        let new_etag = active.etag != etag;
        active.etag = etag;
        if start != received {
            self.gateway.received = 0;
            active.offset = 0;
            self.effects.push(Effect::Truncate { bytes: 0 });
            self.tell(Notice::StartedOver);
        } else if start > 0 {
            self.tell(Notice::Resumed { offset: start });
        }
        if new_etag || start != received {
            self.effects.push(Effect::Save);
        }
        self.gateway.job = Job::Fetching {
            id: job,
            answered: true,
        };
    }

    /// Nothing of what is here can be continued.
    fn forget_part(&mut self) {
        self.gateway.received = 0;
        if let Some(active) = &mut self.gateway.saved.active {
            active.etag = None;
            active.offset = 0;
        }
        self.effects
            .extend([Effect::Truncate { bytes: 0 }, Effect::Save]);
    }

    pub(crate) fn chunk(&mut self, job: JobId, bytes: &'e [u8]) {
        let offset = self.gateway.received;
        let Some(active) = &mut self.gateway.saved.active else {
            return;
        };
        if self.gateway.job
            != (Job::Fetching {
                id: job,
                answered: true,
            })
        {
            return;
        }
        let size = active.order.upgrade.file_size;
        let received = offset + bytes.len() as u64;
        if received > size {
            let why = format!("the file is larger than the {size} bytes the command announced");
            return self.end_active(DIGEST_MISMATCH, why);
        }
        self.effects.push(Effect::Write { offset, bytes });
        self.gateway.received = received;
        if received > self.gateway.received_max {
            self.gateway.received_max = received;
            self.gateway.failures = 0;
        }
        let percent = percent_of(received, size);
        if percent > active.progress {
            active.progress = percent;
            self.checkpoint();
            self.tell(Notice::Progress {
                state: ReportState::Downloading,
                progress: percent,
            });
            self.report_active();
        }
    }

    pub(crate) fn fetch_ended(&mut self, reason: Option<String>) {
        let Some(active) = &self.gateway.saved.active else {
            return;
        };
        if self.gateway.received == active.order.upgrade.file_size {
            return self.verify();
        }
        let reason = reason.unwrap_or_else(|| "the file ended early".to_string());
        self.retry(reason, None);
    }

    pub(crate) fn fetch_impossible(&mut self, reason: &str) {
        let why = format!("the firmware URL cannot be fetched: {reason}");
        self.end_active(DOWNLOAD_FAILED, why);
    }

    /// Waits for the next attempt, or gives up.
    fn retry(&mut self, reason: String, retry_after_ms: Option<u64>) {
        if let Some(job) = self.current_job() {
            self.effects.push(Effect::Stop(job));
        }
        self.gateway.failures += 1;
        let failures = self.gateway.failures;
        if failures >= DOWNLOAD_ATTEMPTS_MAX {
            let why = format!("gave up after {failures} attempts without progress: {reason}");
            self.gateway.job = Job::None;
            return self.end_active(DOWNLOAD_FAILED, why);
        }
        self.checkpoint();
        let own = backoff_ms(failures, RETRY_MS_MIN, RETRY_MS_MAX, self.now.jitter);
        let asked = retry_after_ms.unwrap_or(0).min(RETRY_AFTER_MS_MAX);
        let delay_ms = own.max(asked);
        self.gateway.job = Job::Waiting {
            until_ms: self.now.ms.saturating_add(delay_ms),
        };
        self.tell(Notice::Retry {
            reason,
            attempt: failures,
            delay_ms,
        });
    }
}

/// The report due at `received` of `size` bytes, percent.
fn percent_of(received: u64, size: u64) -> u8 {
    let percent = u128::from(received) * 100 / u128::from(size.max(1));
    let step = u128::from(REPORT_STEP_PERCENT);
    let max = u128::from(DOWNLOADING_PERCENT_MAX);
    (percent / step * step).min(max) as u8
}
