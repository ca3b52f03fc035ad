//! An upgrade from its command to its end: who may begin, what ends it, and that it ends once.

use core::fmt;

use airlift_proto::{
    BATTERY_PERCENT_MIN,
    error_code::{BATTERY_LOW, BUSY, CANCELLED, DIGEST_MISMATCH, INSTALL_FAILED},
};
use embedded_storage::nor_flash::NorFlash;
use sha2::Digest;

use crate::{
    Broken, COMPLETED_MS_MAX, CRASHES_MAX, Effect, EspError, Gateway, Notice, VERSION_BYTES_MAX,
    attempts::Attempts,
    gateway::{Job, Restart, Turn},
    ota::Verified,
    saved::{Active, Ended, Failure, Installed, Order, Phase},
    text::{Text, text},
    trial,
    wire::{self, Command, Hex},
};

/// Progress of `verifying`, percent.
const VERIFYING_PERCENT: u8 = 95;
/// Progress of `installing`, percent.
const INSTALLING_PERCENT: u8 = 98;
/// Read back between two looks at the network, bytes.
const VERIFY_SLICE_BYTES: u32 = 64 * 1024;

/// What ends an upgrade.
pub(crate) type Trouble = Failure;

impl Failure {
    pub(crate) fn new(code: &str, why: fmt::Arguments<'_>) -> Self {
        Failure {
            code: text(format_args!("{code}")),
            message: text(why),
        }
    }

    /// A write to the slot failed.
    pub(crate) fn write(error: EspError) -> Self {
        let why = match error {
            EspError::OtaValidateFailed => {
                format_args!("{error}: the file is no application image")
            }
            _ => format_args!("{error}: the slot cannot be written"),
        };
        Trouble::new(INSTALL_FAILED, why)
    }
}

impl<F: NorFlash> Turn<'_, F> {
    /// Does what a message on the command topic says.
    #[inline(never)]
    pub(crate) fn obey(&mut self, payload: &[u8]) -> Result<(), Broken> {
        let mut order = Order::default();
        match wire::command(payload, &mut order) {
            Ok(Command::Cancel) => self.cancel(&order.msg_id),
            Ok(_) if self.repeat(&order.msg_id) => Ok(()),
            Ok(Command::Upgrade) => self.consider(&order),
            Ok(Command::Impossible(why)) => {
                let code = why.code();
                let why = format_args!("the command is wrong: {why}");
                self.refuse(&order, code, why)
            }
            Err(why) => {
                self.ignore(format_args!("a command: {why}"));
                Ok(())
            }
        }
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
        if runs {
            self.report_active();
        } else if saved.is_forgotten(msg_id) {
            self.ignore(format_args!("an ota_upgrade that ended long ago: {msg_id}"));
            return true;
        } else if saved.ended(msg_id).is_some() {
            self.report_end(msg_id);
        } else if !held {
            return false;
        }
        (self.out)(Effect::Tell(Notice::Repeated { msg_id }));
        true
    }

    /// Begins, holds or refuses an upgrade that was not seen before.
    fn consider(&mut self, order: &Order) -> Result<(), Broken> {
        let gateway = &*self.gateway;
        let battery = gateway.battery;
        if battery < BATTERY_PERCENT_MIN {
            let why = format_args!(
                "the battery is at {battery} %, an upgrade needs {BATTERY_PERCENT_MIN} %; charge it and retry"
            );
            return self.refuse(order, BATTERY_LOW, why);
        }
        if let Some(trouble) = gateway.unsigned(order) {
            return self.finish(order, 0, Some(trouble));
        }
        if order.file_size == 0 {
            let why = format_args!("the command announces an empty file");
            return self.refuse(order, DIGEST_MISMATCH, why);
        }
        if gateway.restart != Restart::No || gateway.saved.trial.is_some() {
            return self.hold(order);
        }
        if gateway.local.is_open() {
            let why = format_args!("an upload over the local page is running");
            return self.refuse(order, BUSY, why);
        }
        let Some(active) = &gateway.saved.active else {
            return self.begin(order);
        };
        if !order.force {
            let running = &active.order.version;
            let why = format_args!(
                "the upgrade to {running} is running; wait for its end, cancel it or force this one"
            );
            let trouble = Trouble::new(BUSY, why);
            return self.finish(order, 0, Some(trouble));
        }
        let why = format_args!("replaced by the forced upgrade to {}", order.version);
        self.end_active_before(Trouble::new(CANCELLED, why))?;
        self.begin(order)
    }

    fn begin(&mut self, order: &Order) -> Result<(), Broken> {
        self.gateway.saved.active = Some(Active {
            order: order.clone(),
            ..Active::default()
        });
        if let Err(broken) = self.save() {
            return self.fail(INSTALL_FAILED, format_args!("{broken}"));
        }
        self.resume()
    }

    /// Begins the saved upgrade, or goes on with it after a restart.
    pub(crate) fn resume(&mut self) -> Result<(), Broken> {
        let active = self.gateway.saved.active.as_ref();
        if active.is_some_and(|active| active.crashes >= CRASHES_MAX) {
            let why = format_args!("the gateway crashed {CRASHES_MAX} times in its course");
            return self.fail(INSTALL_FAILED, why);
        }
        // Saved by an image that knew of no keys, or before there was one.
        if let Some(trouble) = active.and_then(|active| self.gateway.unsigned(&active.order)) {
            return self.end_active(trouble);
        }
        self.gateway.attempts = Attempts::default();
        if self.begin_authentication() {
            self.report_active();
            return self.fetch_in_time();
        }
        if let Err(trouble) = self.open_download()? {
            return self.end_active(trouble);
        }
        self.tell_accepted();
        self.report_active();
        self.fetch_in_time()
    }

    /// The bundle is what it must be: its parts come.
    pub(crate) fn begin_download(&mut self) -> Result<(), Broken> {
        if let Err(trouble) = self.open_download()? {
            return self.end_active(trouble);
        }
        self.tell_accepted();
        if self.gateway.progress() > 0 {
            self.report_active();
        }
        self.fetch()
    }

    fn tell_accepted(&mut self) {
        let gateway = &*self.gateway;
        if let (Some(active), Some(download)) = (&gateway.saved.active, &gateway.download) {
            (self.out)(Effect::Tell(Notice::Accepted {
                msg_id: &active.order.msg_id,
                version: &active.order.version,
                offset: download.received.into(),
                file_size: active.order.file_size,
            }));
        }
    }

    /// Keeps an upgrade until the one before it is proven; a newer one takes its place.
    fn hold(&mut self, order: &Order) -> Result<(), Broken> {
        if let Some(older) = self.gateway.saved.next.replace(order.clone()) {
            let why = format_args!("replaced by the upgrade to {}", order.version);
            self.refuse(&older, CANCELLED, why)?;
        } else if let Err(broken) = self.save() {
            self.gateway.saved.next = None;
            return self.refuse(order, INSTALL_FAILED, format_args!("{broken}"));
        }
        let msg_id = &order.msg_id;
        (self.out)(Effect::Tell(Notice::Held { msg_id }));
        Ok(())
    }

    /// Begins the upgrade that was held, if there is one.
    pub(crate) fn begin_next(&mut self) -> Result<(), Broken> {
        if self.gateway.saved.trial.is_some() {
            return Ok(());
        }
        match self.gateway.saved.next.take() {
            Some(order) => self.consider(&order),
            None => Ok(()),
        }
    }

    fn cancel(&mut self, msg_id: &str) -> Result<(), Broken> {
        let why = format_args!("cancelled by command");
        let saved = &mut self.gateway.saved;
        if let Some(order) = saved.next.take_if(|next| next.msg_id == msg_id) {
            return self.refuse(&order, CANCELLED, why);
        }
        match &saved.active {
            Some(active) if active.order.msg_id == msg_id => self.fail(CANCELLED, why),
            _ => {
                self.ignore(format_args!("an ota_cancel: no such upgrade is running"));
                Ok(())
            }
        }
    }

    /// The whole file came: its digests are compared, then it is read back from the flash.
    pub(crate) fn verify(&mut self) -> Result<(), Broken> {
        self.gateway.job = Job::None;
        if let Some(trouble) = self.digest_mismatch() {
            return self.end_active(trouble);
        }
        self.advance(Phase::Verifying)?;
        self.gateway.job = Job::Verifying;
        Ok(())
    }

    fn digest_mismatch(&self) -> Option<Trouble> {
        let download = self.gateway.download.as_ref()?;
        let order = &self.gateway.saved.active.as_ref()?.order;
        let md5 = download.md5.clone().finalize();
        if md5[..] != order.md5 {
            let (is, announced) = (Hex(&md5), Hex(&order.md5));
            return Some(Trouble::new(
                DIGEST_MISMATCH,
                format_args!("the file's MD5 is {is}, the command says {announced}"),
            ));
        }
        let announced = order.sha256?;
        let sha256 = download.sha256.clone().finalize();
        (sha256[..] != announced).then(|| {
            // Half of each tells them apart and fits.
            let (is, announced) = (Hex(&sha256[..16]), Hex(&announced[..16]));
            Trouble::new(
                DIGEST_MISMATCH,
                format_args!("the file's SHA-256 is {is}…, the command says {announced}…"),
            )
        })
    }

    /// Reads the next slice of the image back.
    pub(crate) fn verify_slice(&mut self) -> Result<(), Broken> {
        let gateway = &mut *self.gateway;
        let Some(download) = &gateway.download else {
            return Ok(());
        };
        let came = download.sha256.clone().finalize();
        match gateway.ota.verify(download.handle, VERIFY_SLICE_BYTES) {
            Ok(None) => Ok(()),
            Ok(Some(verified)) if verified.sha256 == came[..] => self.install(verified),
            Ok(Some(_)) => self.fail(
                INSTALL_FAILED,
                format_args!("the flash does not hold what was written to it"),
            ),
            Err(EspError::OtaValidateFailed) => self.fail(
                INSTALL_FAILED,
                format_args!("ESP_ERR_OTA_VALIDATE_FAILED: the file is no valid application image for this chip"),
            ),
            Err(error) => self.fail(
                INSTALL_FAILED,
                format_args!("Update.end() failed: {error}"),
            ),
        }
    }

    fn install(&mut self, verified: Verified) -> Result<(), Broken> {
        self.gateway.job = Job::None;
        self.advance(Phase::Installing)?;
        let gateway = &mut *self.gateway;
        let Some(download) = gateway.download.take() else {
            return Ok(());
        };
        if let Err(error) = gateway.ota.end(download.handle) {
            return self.fail(INSTALL_FAILED, format_args!("Update.end() failed: {error}"));
        }
        let Some(active) = gateway.saved.active.take() else {
            return Ok(());
        };
        let order = &active.order;
        let armed = gateway.arm_trial(order.version.clone(), &verified);
        gateway.restart = Restart::AwaitsAck {
            msg_id: order.msg_id.clone(),
            until_ms: self.now.ms.saturating_add(COMPLETED_MS_MAX),
        };
        let armed = armed.map_err(Broken::from);
        if let Err(broken) = armed.and_then(|()| self.finish(order, 100, None)) {
            let saved = &mut self.gateway.saved;
            saved.ended.retain(|end| end.msg_id != order.msg_id);
            (saved.trial, saved.active) = (None, Some(active));
            saved.release_on_trial = None;
            self.gateway.restart = Restart::No;
            return self.fail(INSTALL_FAILED, format_args!("{broken}"));
        }
        Ok(())
    }

    /// Enters a phase: durable first, then told.
    fn advance(&mut self, phase: Phase) -> Result<(), Broken> {
        let Some(active) = &mut self.gateway.saved.active else {
            return Ok(());
        };
        if active.phase < phase {
            active.phase = phase;
            self.keep();
            (self.out)(Effect::Tell(Notice::Progress {
                state: phase.state(),
                progress: self.gateway.progress(),
            }));
            self.report_active();
        }
        Ok(())
    }

    /// As [`Self::end_active`].
    #[inline(never)]
    pub(crate) fn fail(&mut self, code: &str, why: fmt::Arguments<'_>) -> Result<(), Broken> {
        self.end_active(Trouble::new(code, why))
    }

    /// Ends the running upgrade as failed, and begins the one that was held; the old version runs
    /// on.
    pub(crate) fn end_active(&mut self, trouble: Trouble) -> Result<(), Broken> {
        self.end_active_before(trouble)?;
        self.begin_next()
    }

    fn end_active_before(&mut self, trouble: Trouble) -> Result<(), Broken> {
        let progress = self.gateway.progress();
        let Some(active) = self.gateway.saved.active.take() else {
            return Ok(());
        };
        self.stop_job();
        (self.gateway.authentication, self.gateway.release) = (None, None);
        if let Some(download) = self.gateway.download.take() {
            // Closed already if it was the session that failed.
            let _ = self.gateway.ota.abort(download.handle);
        }
        self.finish(&active.order, progress, Some(trouble))
    }

    /// Ends an upgrade that never began.
    #[inline(never)]
    fn refuse(&mut self, order: &Order, code: &str, why: fmt::Arguments<'_>) -> Result<(), Broken> {
        self.finish(order, 0, Some(Trouble::new(code, why)))
    }

    /// The one way an upgrade ends: remembered first, then reported. That it is complete is not told
    /// unless it is remembered.
    #[inline(never)]
    fn finish(
        &mut self,
        order: &Order,
        progress: u8,
        error: Option<Trouble>,
    ) -> Result<(), Broken> {
        let is_complete = error.is_none();
        self.gateway.saved.remember(Ended {
            msg_id: order.msg_id.clone(),
            version: order.version.clone(),
            progress,
            error,
            delivered: false,
        });
        let saved = self.save();
        if is_complete {
            saved?;
        }
        if let Some(end) = self.gateway.saved.ended.last() {
            let error = end.error.as_ref();
            (self.out)(Effect::Tell(Notice::Finished {
                msg_id: &end.msg_id,
                state: end.state(),
                error_code: error.map(|error| error.code.as_str()),
                error_message: error.map(|error| error.message.as_str()),
            }));
        }
        self.report_end(&order.msg_id);
        Ok(())
    }

    fn ignore(&mut self, reason: fmt::Arguments<'_>) {
        let reason: Text<160> = text(reason);
        (self.out)(Effect::Tell(Notice::Ignored { reason: &reason }));
    }
}

impl<F: NorFlash> Gateway<F> {
    /// Notes what lies in the new slot and that it must prove itself; saved by the caller.
    pub(crate) fn arm_trial(
        &mut self,
        version: Text<VERSION_BYTES_MAX>,
        verified: &Verified,
    ) -> Result<(), EspError> {
        let partition = self.ota.get_next_update_partition(None);
        let slot = partition
            .and_then(trial::slot_of)
            .ok_or(EspError::NotFound)?;
        self.saved.trial = Some(trial::arm(&mut self.ota, slot, version.clone())?);
        self.saved.rolled_back = None;
        let is_signed = !self.config.trusted_keys.is_empty();
        let release = self.release.take().filter(|_| is_signed);
        self.saved.release_on_trial = release.map(|release| release.release_counter);
        self.saved.remember_installed(Installed {
            slot,
            version,
            image: verified.image,
        });
        Ok(())
    }
}

impl<F> Gateway<F> {
    /// Progress of the running upgrade, percent.
    pub(crate) fn progress(&self) -> u8 {
        match self.saved.active.as_ref().map(|active| active.phase) {
            Some(Phase::Installing) => INSTALLING_PERCENT,
            Some(Phase::Verifying) => VERIFYING_PERCENT,
            Some(Phase::Downloading) | None => {
                let download = self.download.as_ref();
                download.map_or(0, |download| download.progress)
            }
        }
    }
}
