//! Fetching the file: from where it stopped, over cuts of network and power, but not for ever.

mod place;

use airlift_bundle::PartName;
use airlift_proto::{
    ReportState,
    error_code::{DIGEST_MISMATCH, DOWNLOAD_FAILED},
};
use embedded_storage::nor_flash::NorFlash;
use md5::Md5;
use sha2::{Digest, Sha256};

use self::place::Slot;

use crate::{
    Answer, Broken, ETAG_BYTES_MAX, Effect, JobId, NOT_BEFORE_SECONDS_MAX, Notice,
    RETRY_AFTER_MS_MAX, RETRY_MS_MAX, RETRY_MS_MIN,
    attempts::GivenUp,
    backoff_ms,
    flash::SECTOR_BYTES,
    gateway::{Job, Turn},
    install::InstallError,
    saved::{Links, Order, Phase},
    text::Text,
    web::{Layout, Stage},
};

/// A report at every so many percent of the download.
const REPORT_STEP_PERCENT: u64 = 10;
/// Highest progress of `downloading`, percent: the rest is for verifying and installing.
const DOWNLOADING_PERCENT_MAX: u64 = 90;
/// Bytes between two marks in a download. A mark costs about 12 of the 126 entries of an NVS page.
pub const MARK_STEP_BYTES: u32 = 64 * 1024;

/// A download under way.
#[derive(Debug)]
pub(crate) struct Download {
    /// The part that comes; a plain image is firmware.
    part: PartName,
    /// Its size, bytes.
    size: u32,
    /// Bytes of the parts before it.
    before: u32,
    /// Bytes of all parts.
    total: u32,
    /// Where the firmware goes, if there is any.
    pub(crate) slot: Option<Slot>,
    /// Of the web part, if there is one.
    layout: Option<Layout>,
    /// Where it goes, once it comes.
    pub(crate) stage: Option<Stage>,
    /// Bytes of the part that are here.
    received: u32,
    /// The most bytes of all parts there ever were, so that starting over does not pass for progress.
    received_max: u32,
    /// Bytes of the part that are durable with their digests.
    marked: u32,
    /// The NVS takes marks.
    marks: bool,
    /// Highest progress reported, percent.
    pub(crate) progress: u8,
    etag: Option<Text<ETAG_BYTES_MAX>>,
    /// Of the part.
    pub(crate) sha256: Sha256,
    pub(crate) md5: Md5,
}

impl Download {
    /// Bytes of all parts that are here.
    pub(crate) fn received(&self) -> u32 {
        self.before.saturating_add(self.received)
    }

    /// Bytes of all parts.
    pub(crate) fn total(&self) -> u32 {
        self.total
    }

    /// A part comes from its beginning.
    fn begin(&mut self, part: PartName, before: u32, size: u32) {
        (self.part, self.before, self.size) = (part, before, size);
        (self.received, self.marked, self.etag) = (0, 0, None);
        (self.sha256, self.md5) = (Sha256::new(), Md5::new());
    }
}

impl<F: NorFlash> Turn<'_, F> {
    /// Begins the first attempt, not before the server wants it.
    pub(crate) fn fetch_in_time(&mut self) -> Result<(), Broken> {
        let Some(active) = &self.gateway.saved.active else {
            return Ok(());
        };
        let delay_ms = delay_ms(&active.order, self.now.unix_seconds);
        if delay_ms == 0 {
            return self.fetch();
        }
        self.gateway.job = Job::Waiting {
            until_ms: self.now.ms.saturating_add(delay_ms),
        };
        (self.out)(Effect::Tell(Notice::Waits { delay_ms }));
        Ok(())
    }

    /// Begins the next attempt, or verifies if all is here.
    pub(crate) fn fetch(&mut self) -> Result<(), Broken> {
        if self.gateway.authentication.is_some() {
            return self.fetch_proof();
        }
        let job = self.next_job();
        let gateway = &mut *self.gateway;
        let (Some(active), Some(download)) = (&gateway.saved.active, &gateway.download) else {
            return Ok(());
        };
        gateway.attempts.begin(self.now.ms);
        if download.received >= download.size {
            return self.part_came();
        }
        let url = match gateway.second_part() {
            Some(_) if download.part == PartName::Web => active.order.links.as_ref(),
            _ => None,
        }
        .map_or(active.order.url.as_str(), Links::web);
        gateway.job = Job::Fetching {
            id: job,
            answered: false,
        };
        let offset = download.received;
        (self.out)(Effect::Fetch {
            job,
            url,
            offset,
            etag: download.etag.as_deref().filter(|_| offset > 0),
        });
        Ok(())
    }

    pub(crate) fn answer(&mut self, job: JobId, answer: Answer<'_>) -> Result<(), Broken> {
        let Some(download) = &self.gateway.download else {
            return Ok(());
        };
        let size = u64::from(download.size);
        if let (200 | 206 | 416, Some(total)) = (answer.status, answer.total)
            && total != size
        {
            return self.fail(
                DIGEST_MISMATCH,
                format_args!("the server's file has {total} bytes, {size} are announced"),
            );
        }
        match answer.status {
            200 => self.body_from(job, 0, answer.etag),
            206 => self.body_from(job, answer.start, answer.etag),
            416 if download.received > 0 => {
                if self.start_over()? {
                    self.retry("the server refuses to continue the file", None)?;
                }
                Ok(())
            }
            408 | 425 | 429 | 500..=599 => {
                let reason: Text<40> = crate::text::text(format_args!(
                    "the server answered {}",
                    u32::from(answer.status)
                ));
                self.retry(&reason, answer.retry_after_ms)
            }
            status => {
                let status = u32::from(status);
                let part = download.part.file_name();
                let why = format_args!("the server answered {status} for the URL of {part}");
                self.fail(DOWNLOAD_FAILED, why)
            }
        }
    }

    /// A body comes that begins at `start`.
    fn body_from(&mut self, job: JobId, start: u64, etag: Option<&str>) -> Result<(), Broken> {
        let Some(download) = &mut self.gateway.download else {
            return Ok(());
        };
        // A weak tag may stand for other bytes, so it is no ground to continue on; nor is one that
        // is too long to be kept.
        let etag: Option<Text<ETAG_BYTES_MAX>> = etag
            .filter(|etag| !etag.starts_with("W/"))
            .and_then(|etag| etag.try_into().ok());
        let other_file =
            matches!((&download.etag, &etag), (Some(ours), Some(theirs)) if ours != theirs);
        let received = u64::from(download.received);
        if start > 0 && (start != received || other_file) {
            if self.start_over()? {
                self.retry("the server continues another file or place", None)?;
            }
            return Ok(());
        }
        download.etag = etag.clone();
        if start != received {
            if !self.start_over()? {
                return Ok(());
            }
            if let Some(download) = &mut self.gateway.download {
                download.etag = etag;
            }
            (self.out)(Effect::Tell(Notice::StartedOver));
        } else if start > 0 {
            (self.out)(Effect::Tell(Notice::Resumed { offset: start }));
        }
        self.gateway.job = Job::Fetching {
            id: job,
            answered: true,
        };
        Ok(())
    }

    pub(crate) fn chunk(&mut self, job: JobId, mut bytes: &[u8]) -> Result<(), Broken> {
        let answered = Job::Fetching {
            id: job,
            answered: true,
        };
        while !bytes.is_empty() && self.gateway.job == answered {
            let gateway = &mut *self.gateway;
            let (Some(active), Some(download)) = (&gateway.saved.active, &mut gateway.download)
            else {
                return Ok(());
            };
            let size = download.size;
            let to_boundary = (SECTOR_BYTES - download.received % SECTOR_BYTES) as usize;
            let (now, later) = bytes.split_at(bytes.len().min(to_boundary));
            bytes = later;
            if now.len() as u64 > u64::from(size - download.received) {
                let why = format_args!("the file is larger than the {size} bytes announced");
                return self.fail(DIGEST_MISMATCH, why);
            }
            let written = match (&download.slot, &mut download.stage) {
                (Some(slot), None) => gateway
                    .ota
                    .write(slot.handle, now)
                    .map_err(InstallError::Write),
                (_, Some(stage)) => stage
                    .write(gateway.ota.flash(), now)
                    .map_err(InstallError::Web),
                (None, None) => Ok(()),
            };
            if let Err(error) = written {
                return self.end_active(error.into());
            }
            download.sha256.update(now);
            download.md5.update(now);
            download.received += now.len() as u32;
            if download.received() > download.received_max {
                download.received_max = download.received();
                gateway.attempts.grow(self.now.ms);
            }
            let is_boundary = download.received.is_multiple_of(SECTOR_BYTES);
            let is_due = download.received - download.marked >= gateway.config.mark_step_bytes;
            let percent = percent_of(download.received(), download.total);
            let is_step = percent > download.progress && active.phase == Phase::Downloading;
            download.progress = download.progress.max(percent);
            if is_boundary && is_due && download.marks {
                self.mark();
            }
            if is_step {
                (self.out)(Effect::Tell(Notice::Progress {
                    state: ReportState::Downloading,
                    progress: percent,
                }));
                self.report_active();
            }
        }
        Ok(())
    }

    pub(crate) fn fetch_ended(&mut self, reason: Option<&str>) -> Result<(), Broken> {
        let Some(download) = &self.gateway.download else {
            return Ok(());
        };
        if download.received == download.size {
            return self.part_came();
        }
        self.retry(reason.unwrap_or("the file ended early"), None)
    }

    pub(crate) fn fetch_impossible(&mut self, reason: &str) -> Result<(), Broken> {
        let download = self.gateway.download.as_ref();
        let part = download.map_or("the part", |download| download.part.file_name());
        let why = format_args!("the URL of {part} cannot be fetched: {reason}");
        self.fail(DOWNLOAD_FAILED, why)
    }

    /// Waits for the next attempt, or gives up.
    fn retry(&mut self, reason: &str, retry_after_ms: Option<u64>) -> Result<(), Broken> {
        self.retry_or_fail(DOWNLOAD_FAILED, reason, retry_after_ms)
    }

    /// As [`Self::retry`]; `code` is what giving up is told as.
    pub(crate) fn retry_or_fail(
        &mut self,
        code: &str,
        reason: &str,
        retry_after_ms: Option<u64>,
    ) -> Result<(), Broken> {
        self.stop_job();
        let attempts = &mut self.gateway.attempts;
        let failures = match attempts.fail(self.now.ms, retry_after_ms.is_some()) {
            Ok(failures) => failures,
            Err(GivenUp {
                failures,
                stalled_ms,
            }) => {
                let seconds = stalled_ms / 1_000;
                let why = format_args!(
                    "gave up after {failures} attempts and {seconds} s without a new byte: {reason}"
                );
                return self.fail(code, why);
            }
        };
        let own = backoff_ms(failures, RETRY_MS_MIN, RETRY_MS_MAX, self.now.jitter);
        let asked = retry_after_ms.unwrap_or(0).min(RETRY_AFTER_MS_MAX);
        let delay_ms = own.max(asked);
        self.gateway.job = Job::Waiting {
            until_ms: self.now.ms.saturating_add(delay_ms),
        };
        (self.out)(Effect::Tell(Notice::Retry {
            reason,
            attempt: failures,
            delay_ms,
        }));
        Ok(())
    }
}

/// The report due at `received` of `size` bytes, percent.
fn percent_of(received: u32, size: u32) -> u8 {
    let percent = u64::from(received) * 100 / u64::from(size.max(1));
    let step = percent / REPORT_STEP_PERCENT * REPORT_STEP_PERCENT;
    step.min(DOWNLOADING_PERCENT_MAX) as u8
}

/// How long the server wants this gateway to wait. A gateway whose clock is not set takes the
/// command's own time for now.
fn delay_ms(order: &Order, unix_seconds: i64) -> u64 {
    let Some(not_before) = order.not_before else {
        return 0;
    };
    let now = unix_seconds.max(order.sent_at.unwrap_or(unix_seconds));
    let seconds = not_before.saturating_sub(now).max(0).unsigned_abs();
    seconds.min(NOT_BEFORE_SECONDS_MAX) * 1_000
}
