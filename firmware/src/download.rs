//! Fetching the file: from where it stopped, over cuts of network and power, but not for ever.

use airlift_proto::{
    ReportState,
    error_code::{DIGEST_MISMATCH, DOWNLOAD_FAILED, INSTALL_FAILED},
};
use embedded_storage::nor_flash::NorFlash;
use md5::Md5;
use sha2::{
    Digest, Sha256,
    digest::common::hazmat::{SerializableState, SerializedState},
};

use crate::{
    Answer, Broken, ETAG_BYTES_MAX, Effect, JobId, NOT_BEFORE_SECONDS_MAX, Notice,
    RETRY_AFTER_MS_MAX, RETRY_MS_MAX, RETRY_MS_MIN,
    attempts::GivenUp,
    backoff_ms,
    flash::SECTOR_BYTES,
    gateway::{Job, Turn},
    ota::{Handle, ImageSize},
    saved::{Mark, Order, Phase},
    text::Text,
    trial::slot_of,
    upgrade::Trouble,
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
    pub(crate) handle: Handle,
    slot: u8,
    /// Bytes in the session.
    pub(crate) received: u32,
    /// The most bytes there ever were, so that starting over does not pass for progress.
    received_max: u32,
    /// Bytes that are durable with their digests.
    marked: u32,
    /// The NVS takes marks.
    marks: bool,
    /// Highest progress reported, percent.
    pub(crate) progress: u8,
    etag: Option<Text<ETAG_BYTES_MAX>>,
    pub(crate) sha256: Sha256,
    pub(crate) md5: Md5,
}

impl<F: NorFlash> Turn<'_, F> {
    /// Opens the session: where the last one was marked, else at the beginning.
    pub(crate) fn open_download(&mut self) -> Result<Result<(), Trouble>, Broken> {
        let gateway = &mut *self.gateway;
        let Some(active) = &gateway.saved.active else {
            return Ok(Ok(()));
        };
        let Some(partition) = gateway.ota.get_next_update_partition(None).cloned() else {
            return Ok(Err(Trouble::new(
                INSTALL_FAILED,
                format_args!("No OTA partition: the partition table has no slot to update into"),
            )));
        };
        let size = active.order.file_size;
        let bytes = match u32::try_from(size) {
            Ok(bytes) if bytes <= partition.size => bytes,
            _ => {
                let slot = partition.size;
                let why = format_args!("the image has {size} bytes, the slot {slot}");
                return Ok(Err(Trouble::new(INSTALL_FAILED, why)));
            }
        };
        let slot = slot_of(&partition).unwrap_or_default();
        let size = ImageSize::Bytes(bytes);
        let mark = gateway.memory.load_mark(gateway.ota.flash());
        let ours = |mark: &Mark| {
            mark.msg_id == active.order.msg_id && mark.slot == slot && mark.offset > 0
        };
        let digests = |mark: &Mark| Some((restored(&mark.sha256)?, restored(&mark.md5)?));
        let marked = mark
            .filter(ours)
            .and_then(|mark| digests(&mark).map(|digests| (mark, digests)));
        let opened = match &marked {
            Some((mark, _)) => gateway.ota.resume(&partition, size, mark.offset, mark.head),
            None => gateway.ota.begin(&partition, size),
        };
        let handle = match opened {
            Ok(handle) => handle,
            Err(error) => {
                let why = format_args!("Update.begin() failed: {error}");
                return Ok(Err(Trouble::new(INSTALL_FAILED, why)));
            }
        };
        let (offset, etag, (sha256, md5)) = match marked {
            Some((mark, digests)) => (mark.offset, mark.etag, digests),
            None => (0, None, (Sha256::new(), Md5::new())),
        };
        gateway.download = Some(Download {
            handle,
            slot,
            received: offset,
            received_max: offset,
            marked: offset,
            marks: true,
            progress: percent_of(offset, bytes),
            etag,
            sha256,
            md5,
        });
        Ok(Ok(()))
    }

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
        if u64::from(download.received) >= active.order.file_size {
            return self.verify();
        }
        gateway.job = Job::Fetching {
            id: job,
            answered: false,
        };
        let offset = download.received;
        (self.out)(Effect::Fetch {
            job,
            url: &active.order.url,
            offset,
            etag: download.etag.as_deref().filter(|_| offset > 0),
        });
        Ok(())
    }

    pub(crate) fn answer(&mut self, job: JobId, answer: Answer<'_>) -> Result<(), Broken> {
        let (Some(active), Some(download)) = (&self.gateway.saved.active, &self.gateway.download)
        else {
            return Ok(());
        };
        let size = active.order.file_size;
        if let (200 | 206 | 416, Some(total)) = (answer.status, answer.total)
            && total != size
        {
            return self.fail(
                DIGEST_MISMATCH,
                format_args!("the server's file has {total} bytes, the command announced {size}"),
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
                let why = format_args!("the server answered {status} for the firmware URL");
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

    /// Nothing of what is here can be continued. False: the upgrade has ended.
    fn start_over(&mut self) -> Result<bool, Broken> {
        let gateway = &mut *self.gateway;
        let Some(before) = gateway.download.take() else {
            return Ok(false);
        };
        // A stale mark would go on with bytes that will have been overwritten.
        if before.marked > 0
            && let Some(active) = &gateway.saved.active
        {
            let mut mark = Mark {
                msg_id: active.order.msg_id.clone(),
                slot: before.slot,
                offset: 0,
                etag: None,
                head: Default::default(),
                md5: Default::default(),
                sha256: Default::default(),
            };
            let voided = gateway.memory.save_mark(gateway.ota.flash(), &mut mark);
            if let Err(broken) = voided {
                // Its bytes are to go: a restart must not go on from there.
                gateway.download = Some(before);
                self.fail(INSTALL_FAILED, format_args!("{broken}"))?;
                return Ok(false);
            }
        }
        // Closed already if its last write failed.
        let _ = gateway.ota.abort(before.handle);
        if let Err(trouble) = self.open_download()? {
            self.end_active(trouble)?;
            return Ok(false);
        }
        if let Some(download) = &mut self.gateway.download {
            download.received_max = before.received_max;
            download.progress = before.progress;
        }
        Ok(true)
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
            let size = active.order.file_size;
            let to_boundary = (SECTOR_BYTES - download.received % SECTOR_BYTES) as usize;
            let (now, later) = bytes.split_at(bytes.len().min(to_boundary));
            bytes = later;
            if u64::from(download.received) + now.len() as u64 > size {
                let why =
                    format_args!("the file is larger than the {size} bytes the command announced");
                return self.fail(DIGEST_MISMATCH, why);
            }
            if let Err(error) = gateway.ota.write(download.handle, now) {
                return self.end_active(Trouble::write(error));
            }
            download.sha256.update(now);
            download.md5.update(now);
            download.received += now.len() as u32;
            if download.received > download.received_max {
                download.received_max = download.received;
                gateway.attempts.grow(self.now.ms);
            }
            let is_boundary = download.received.is_multiple_of(SECTOR_BYTES);
            let is_due = download.received - download.marked >= gateway.config.mark_step_bytes;
            let percent = percent_of(download.received, size as u32);
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

    /// Makes the place durable, if the NVS can; a download without marks starts over after a power
    /// cut.
    fn mark(&mut self) {
        let gateway = &mut *self.gateway;
        let (Some(active), Some(download)) = (&gateway.saved.active, &mut gateway.download) else {
            return;
        };
        download.marks = false;
        let Ok(head) = gateway.ota.head(download.handle) else {
            return;
        };
        let mut mark = Mark {
            msg_id: active.order.msg_id.clone(),
            slot: download.slot,
            offset: download.received,
            etag: download.etag.clone(),
            head,
            md5: heapless::Vec::from_slice(&download.md5.serialize()).unwrap_or_default(),
            sha256: heapless::Vec::from_slice(&download.sha256.serialize()).unwrap_or_default(),
        };
        let saved = gateway.memory.save_mark(gateway.ota.flash(), &mut mark);
        if saved.is_ok() {
            (download.marks, download.marked) = (true, download.received);
        }
    }

    pub(crate) fn fetch_ended(&mut self, reason: Option<&str>) -> Result<(), Broken> {
        let (Some(active), Some(download)) = (&self.gateway.saved.active, &self.gateway.download)
        else {
            return Ok(());
        };
        if u64::from(download.received) == active.order.file_size {
            return self.verify();
        }
        self.retry(reason.unwrap_or("the file ended early"), None)
    }

    pub(crate) fn fetch_impossible(&mut self, reason: &str) -> Result<(), Broken> {
        let why = format_args!("the firmware URL cannot be fetched: {reason}");
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

/// A digest that goes on from `state`.
fn restored<D: SerializableState>(state: &[u8]) -> Option<D> {
    let state = SerializedState::<D>::try_from(state).ok()?;
    D::deserialize(&state).ok()
}
