//! The web part at boot: it follows the firmware that runs. A web part that came alone has a trial of
//! its own, for no slot changes with it: its boots are counted until the broker has a heartbeat, and
//! after too many the old one comes back.

use embedded_storage::nor_flash::NorFlash;

use super::{Record, Side, Swap, WebError};
use crate::{
    ATTEMPTS_MAX, BootReason, Broken, Effect, Gateway, Notice, POWER_CUTS_MAX, VERSION_BYTES_MAX,
    saved::Installed,
    stored::stored,
    text::Text,
    trial::{RolledBack, Verdict, slot_of},
    version,
};

/// A new web part without firmware that has still to prove itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WebTrial {
    pub version: Text<VERSION_BYTES_MAX>,
    /// Boots with it, without those that a power cut ended.
    pub attempts: u8,
    /// Boots that a power cut ended.
    pub power_cuts: u8,
}

stored! {
    WebTrial { version attempts power_cuts }
}

impl<F: NorFlash> Gateway<F> {
    /// Brings the web part into the partition that belongs to what runs, before anything else is done.
    /// Tells what the boot is then.
    #[inline(never)]
    pub(crate) fn settle_web(
        &mut self,
        verdict: Verdict,
        reason: BootReason,
        out: &mut dyn FnMut(Effect<'_>),
    ) -> Verdict {
        let record = self.memory.load_web(self.ota.flash());
        let verdict = match verdict {
            Verdict::Normal if self.saved.web.is_some() => self.judge_web(record.is_some(), reason),
            other => other,
        };
        let Some(mut record) = record else {
            return verdict;
        };
        let mut verdict = verdict;
        let mut swapped = Ok(());
        if self.wants_new(&record) {
            swapped = self.swap(&mut record, Side::New, out);
            if swapped.is_err() && record.layout.has_firmware() {
                // The old firmware boots next, and comes here for the old web part.
                let refused = self.ota.mark_app_invalid_rollback_and_reboot();
                return refused.map_or(verdict, |()| Verdict::TryAgain);
            }
            if swapped.is_err() {
                self.roll_web_back();
                verdict = Verdict::RolledBack;
            } else if verdict == Verdict::OnTrial {
                return verdict;
            }
        }
        if !self.wants_new(&record) {
            swapped = self.swap(&mut record, Side::Old, out);
        }
        // What the flash or the NVS did not take, the next boot tries again.
        if !matches!(swapped, Err(WebError::Flash | WebError::Memory)) {
            // If it stays, the next boot finds that there is nothing to do.
            let _ = self.memory.drop_web(self.ota.flash());
        }
        verdict
    }

    fn swap(
        &mut self,
        record: &mut Record,
        side: Side,
        out: &mut dyn FnMut(Effect<'_>),
    ) -> Result<(), WebError> {
        let table = self.ota.table().clone();
        let (flash, memory) = (self.ota.flash(), &mut self.memory);
        let swapped = Swap::new(flash, memory, &table, record).and_then(|mut swap| swap.go(side));
        match &swapped {
            Ok(false) => {}
            Ok(true) => out(Effect::Tell(Notice::WebPart {
                is_new: side == Side::New,
            })),
            Err(error) => {
                let reason: Text<96> = crate::text::text(format_args!("{error}"));
                out(Effect::Tell(Notice::WebPartStuck { reason: &reason }));
            }
        }
        swapped.map(drop)
    }

    /// Whether the new web part belongs to what runs.
    fn wants_new(&self, record: &Record) -> bool {
        if !record.layout.has_firmware() {
            return self.saved.web.is_some();
        }
        // A record that a firmware without this code has left behind is of another version.
        let is_of = |version: &str| version.is_empty() || version == record.version;
        let trial = self.saved.trial.as_ref();
        slot_of(self.ota.get_running_partition()) == record.layout.slot
            && trial.is_none_or(|trial| is_of(&trial.version))
    }

    /// Counts a boot with a new web part, or ends its trial.
    fn judge_web(&mut self, has_record: bool, reason: BootReason) -> Verdict {
        if !has_record {
            // It was proven; a cut kept the rest from being saved.
            self.note_web_proven();
            let _ = self.keep();
            return Verdict::Confirmed;
        }
        let Some(web) = &mut self.saved.web else {
            return Verdict::Normal;
        };
        if reason == BootReason::PowerOn && web.attempts > 0 && web.power_cuts < POWER_CUTS_MAX {
            web.power_cuts += 1;
            web.attempts -= 1;
        }
        if web.attempts < ATTEMPTS_MAX {
            web.attempts += 1;
            if self.keep().is_ok() {
                return Verdict::OnTrial;
            }
        }
        self.roll_web_back();
        Verdict::RolledBack
    }

    /// The old web part is to come back, whatever the flash says to it.
    fn roll_web_back(&mut self) {
        self.saved.release_on_trial = None;
        if let Some(web) = self.saved.web.take() {
            self.saved.rolled_back = Some(RolledBack {
                version: web.version,
                attempts: web.attempts,
                told: false,
            });
        }
        let _ = self.keep();
    }

    /// The new web part works: from now on it stays.
    pub(crate) fn confirm_web(&mut self) -> Result<(), Broken> {
        // First, for without a record there is nothing to go back to.
        self.memory.drop_web(self.ota.flash())?;
        self.note_web_proven();
        let _ = self.keep();
        Ok(())
    }

    fn note_web_proven(&mut self) {
        let Some(web) = self.saved.web.take() else {
            return;
        };
        let slot = version::slot_number(self.ota.get_running_partition());
        let image = version::running_image(&mut self.ota, &self.saved, &self.config);
        self.saved.confirm_release();
        self.saved.rolled_back = None;
        self.saved.remember_installed(Installed {
            slot,
            version: web.version,
            image,
        });
    }

    fn keep(&mut self) -> Result<(), Broken> {
        self.memory.save(self.ota.flash(), &mut self.saved)
    }
}
