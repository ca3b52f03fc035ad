//! An upgrade from its command to its end: who may begin, what ends it, and that it ends once.

use alloc::{
    format,
    string::{String, ToString},
};

use airlift_proto::{
    BATTERY_PERCENT_MIN, Message, ProgressData, ReportState, UpgradeData,
    error_code::{BATTERY_LOW, BUSY, CANCELLED, DIGEST_MISMATCH, INSTALL_FAILED},
};

use crate::{
    Active, Digests, Effect, Finished, Found, Notice, Order, Phase,
    gateway::{BootReason, Job, Proof, Restart, Turn},
};

/// Progress of `verifying`, percent.
const VERIFYING_PERCENT: u8 = 95;
/// Progress of `installing`, percent.
const INSTALLING_PERCENT: u8 = 98;

impl Turn<'_, '_> {
    pub(crate) fn upgrade(&mut self, message: Message<UpgradeData>) {
        let upgrade = message.data;
        let msg_id = [upgrade.msg_id.clone(), message.msg_id]
            .into_iter()
            .flatten()
            .find(|msg_id| !msg_id.is_empty());
        let Some(msg_id) = msg_id else {
            self.ignore(
                "an ota_upgrade",
                "it has no msgId, so a duplicate would start again",
            );
            return;
        };
        if self.repeat(&msg_id) {
            return;
        }
        self.consider(Order { msg_id, upgrade });
    }

    /// Sends the last report of an upgrade already known; false if it is new.
    fn repeat(&mut self, msg_id: &str) -> bool {
        let saved = &self.gateway.saved;
        let runs = saved
            .active
            .as_ref()
            .is_some_and(|active| active.order.msg_id == msg_id);
        let held = saved
            .next
            .as_ref()
            .is_some_and(|next| next.msg_id == msg_id);
        let end = saved.finished(msg_id).map(|end| end.report.clone());
        match end {
            _ if runs => self.report_active(),
            Some(report) => self.report(msg_id, report),
            None if held => {}
            None => return false,
        }
        self.tell(Notice::Repeated {
            msg_id: msg_id.into(),
        });
        true
    }

    /// Begins, holds or refuses an upgrade that was not seen before.
    fn consider(&mut self, order: Order) {
        let upgrade = &order.upgrade;
        let battery = self.gateway.battery;
        if battery < BATTERY_PERCENT_MIN {
            let why = format!(
                "the battery is at {battery} %, an upgrade needs {BATTERY_PERCENT_MIN} %; charge it and retry"
            );
            return self.refuse(order, BATTERY_LOW, why);
        }
        if upgrade.file_size == 0 {
            let why = "the command announces an empty file".to_string();
            return self.refuse(order, DIGEST_MISMATCH, why);
        }
        let size_max = self.gateway.config.image_bytes_max;
        if upgrade.file_size > size_max {
            let why = format!(
                "the image has {} bytes, this gateway takes {size_max}",
                upgrade.file_size
            );
            return self.refuse(order, INSTALL_FAILED, why);
        }
        if self.gateway.restart != Restart::No {
            return self.hold(order);
        }
        let Some(active) = &self.gateway.saved.active else {
            return self.begin(order);
        };
        if !upgrade.force_upgrade {
            let why = format!(
                "the upgrade to {} is running; wait for its end, cancel it or force this one",
                active.order.upgrade.version
            );
            return self.refuse(order, BUSY, why);
        }
        if active.phase == Phase::Installing {
            return self.hold(order);
        }
        let why = format!("replaced by the forced upgrade to {}", upgrade.version);
        self.end_active(CANCELLED, why);
        self.begin(order);
    }

    fn begin(&mut self, order: Order) {
        self.gateway.received = 0;
        self.gateway.received_max = 0;
        self.gateway.failures = 0;
        self.gateway.saved.active = Some(Active {
            order,
            phase: Phase::Downloading,
            offset: 0,
            etag: None,
            progress: 0,
        });
        self.effects
            .extend([Effect::Truncate { bytes: 0 }, Effect::Save]);
        self.tell_accepted();
        self.report_active();
        self.fetch();
    }

    fn tell_accepted(&mut self) {
        if let Some(Active { order, .. }) = &self.gateway.saved.active {
            let notice = Notice::Accepted {
                msg_id: order.msg_id.clone(),
                version: order.upgrade.version.clone(),
                offset: self.gateway.received,
                file_size: order.upgrade.file_size,
            };
            self.tell(notice);
        }
    }

    /// Keeps an upgrade until the one being installed has rebooted; a newer one takes its place.
    fn hold(&mut self, order: Order) {
        let notice = Notice::Held {
            msg_id: order.msg_id.clone(),
        };
        let why = format!("replaced by the upgrade to {}", order.upgrade.version);
        if let Some(older) = self.gateway.saved.next.replace(order) {
            self.refuse(older, CANCELLED, why);
        } else {
            self.effects.push(Effect::Save);
        }
        self.tell(notice);
    }

    /// Begins the upgrade that was held, if there is one.
    pub(crate) fn begin_next(&mut self) {
        if let Some(order) = self.gateway.saved.next.take() {
            self.consider(order);
        }
    }

    pub(crate) fn cancel(&mut self, msg_id: &str) {
        let saved = &mut self.gateway.saved;
        if let Some(order) = saved.next.take_if(|next| next.msg_id == msg_id) {
            return self.refuse(order, CANCELLED, "cancelled by command".into());
        }
        match &saved.active {
            Some(active) if active.order.msg_id == msg_id => {
                if active.phase == Phase::Installing {
                    self.ignore("an ota_cancel", "the image is already being installed");
                } else {
                    self.end_active(CANCELLED, "cancelled by command".into());
                }
            }
            _ => self.ignore("an ota_cancel", "no such upgrade is running"),
        }
    }

    /// Goes on after a restart with `part_bytes` of the partial download in storage.
    pub(crate) fn resume(&mut self, part_bytes: Option<u64>) {
        let Some(active) = &mut self.gateway.saved.active else {
            return;
        };
        let size = active.order.upgrade.file_size;
        let offset = active.offset.min(part_bytes.unwrap_or(0)).min(size);
        active.offset = offset;
        self.gateway.received = offset;
        self.gateway.received_max = offset;
        let verified = active.phase > Phase::Downloading;
        if verified && offset < size {
            let why = "the downloaded image is gone from storage; retry the upgrade".into();
            return self.end_active(INSTALL_FAILED, why);
        }
        self.effects.push(Effect::Truncate { bytes: offset });
        self.tell_accepted();
        if verified {
            self.digest();
        } else {
            self.fetch();
        }
    }

    /// The whole file is here: it is read back and digested.
    pub(crate) fn verify(&mut self) {
        self.advance(Phase::Verifying, VERIFYING_PERCENT);
        self.digest();
    }

    fn digest(&mut self) {
        let job = self.next_job();
        self.gateway.job = Job::Digesting(job);
        self.effects.push(Effect::Digest { job });
    }

    pub(crate) fn digested(&mut self, digests: &Digests) {
        let Some(active) = &self.gateway.saved.active else {
            return;
        };
        if let Some(why) = digests.mismatch(&active.order.upgrade) {
            return self.end_active(DIGEST_MISMATCH, why);
        }
        self.advance(Phase::Installing, INSTALLING_PERCENT);
        let job = self.next_job();
        self.gateway.job = Job::Installing(job);
        self.effects.push(Effect::Install { job });
    }

    /// Enters a phase: durable first, then told.
    fn advance(&mut self, phase: Phase, progress: u8) {
        let received = self.gateway.received;
        let Some(active) = &mut self.gateway.saved.active else {
            return;
        };
        if active.phase < phase {
            active.phase = phase;
            active.offset = received;
            active.progress = progress;
            self.effects.extend([Effect::Sync, Effect::Save]);
            self.tell(Notice::Progress {
                state: phase.state(),
                progress,
            });
            self.report_active();
        }
    }

    pub(crate) fn installed(&mut self) {
        self.gateway.job = Job::None;
        let Some(active) = self.gateway.saved.active.take() else {
            return;
        };
        self.gateway.saved.version = active.order.upgrade.version.clone();
        self.gateway.saved.fresh_image = true;
        self.gateway.restart = Restart::AwaitsAck {
            msg_id: active.order.msg_id.clone(),
        };
        self.finish(active.order, ReportState::Completed, 100, None);
    }

    /// If the last run died between the install and its record, and the new image is the one that
    /// runs, the upgrade is complete and this is its first boot.
    pub(crate) fn finish_interrupted_install(&mut self, found: &Found) {
        let gateway = &mut *self.gateway;
        let Some(running) = &found.running else {
            return;
        };
        let runs = |active: &mut Active| {
            active.phase == Phase::Installing
                && found.part_bytes.is_none()
                && running.mismatch(&active.order.upgrade).is_none()
        };
        if let Some(active) = gateway.saved.active.take_if(runs) {
            gateway.saved.version = active.order.upgrade.version.clone();
            gateway.running_version = gateway.saved.version.clone();
            gateway.boot_reason = BootReason::Ota;
            gateway.proof = Proof::Owed;
            self.finish(active.order, ReportState::Completed, 100, None);
        }
    }

    pub(crate) fn storage_failed(&mut self, reason: &str) {
        self.end_active(INSTALL_FAILED, format!("storage failed: {reason}"));
    }

    /// Ends the running upgrade as failed; the old version runs on.
    pub(crate) fn end_active(&mut self, code: &'static str, why: String) {
        let Some(active) = self.gateway.saved.active.take() else {
            return;
        };
        if let Some(job) = self.current_job() {
            self.effects.push(Effect::Stop(job));
        }
        self.gateway.job = Job::None;
        let progress = active.progress;
        self.finish(
            active.order,
            ReportState::Failed,
            progress,
            Some((code, why)),
        );
        self.effects.push(Effect::Discard);
        self.begin_next();
    }

    /// Ends an upgrade that never began.
    fn refuse(&mut self, order: Order, code: &'static str, why: String) {
        self.finish(order, ReportState::Failed, 0, Some((code, why)));
    }

    /// The one way an upgrade ends: remembered first, then reported.
    fn finish(
        &mut self,
        order: Order,
        state: ReportState,
        progress: u8,
        error: Option<(&'static str, String)>,
    ) {
        let (error_code, error_message) = error.map(|(code, why)| (code.to_string(), why)).unzip();
        let report = ProgressData {
            state,
            progress: progress.into(),
            current_version: Some(self.gateway.running_version.clone()),
            target_version: Some(order.upgrade.version),
            error_code: error_code.clone(),
            error_message: error_message.clone(),
        };
        self.gateway.saved.remember(Finished {
            msg_id: order.msg_id.clone(),
            report: report.clone(),
            delivered: false,
        });
        self.effects.push(Effect::Save);
        self.tell(Notice::Finished {
            msg_id: order.msg_id.clone(),
            state,
            error_code,
            error_message,
        });
        self.report(&order.msg_id, report);
    }
}
