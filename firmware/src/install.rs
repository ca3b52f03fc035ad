//! From the last byte of an upgrade to the reboot into it: its digests are compared, it is read back
//! from the flash, and what boots next is armed.

mod error;

use airlift_proto::error_code::{DIGEST_MISMATCH, INSTALL_FAILED};
use embedded_storage::nor_flash::NorFlash;
use sha2::Digest;

pub(crate) use self::error::InstallError;
use crate::{
    Broken, COMPLETED_MS_MAX, EspError, Gateway, VERSION_BYTES_MAX,
    gateway::{Job, Restart, Turn},
    ota::Verified,
    saved::{Installed, Phase},
    text::Text,
    trial,
    upgrade::Trouble,
    web::{Staged, WebTrial},
    wire::Hex,
};

/// Read back between two looks at the network, bytes.
const VERIFY_SLICE_BYTES: u32 = 64 * 1024;

/// What was read back from the flash.
struct Installable {
    firmware: Option<Verified>,
    web: Option<Staged>,
}

impl<F: NorFlash> Turn<'_, F> {
    /// A whole part came: its digests are compared. After the last one all is read back from the flash.
    pub(crate) fn part_came(&mut self) -> Result<(), Broken> {
        self.gateway.job = Job::None;
        if let Some(trouble) = self.digest_mismatch() {
            return self.end_active(trouble);
        }
        if self.next_part()? {
            return Ok(());
        }
        self.advance(Phase::Verifying)?;
        self.gateway.job = Job::Verifying;
        Ok(())
    }

    fn digest_mismatch(&self) -> Option<Trouble> {
        let gateway = &*self.gateway;
        let download = gateway.download.as_ref()?;
        let order = &gateway.saved.active.as_ref()?.order;
        let (expected_md5, expected_sha256) = match gateway.second_part() {
            Some(web) if download.stage.is_some() => (web.md5, Some(web.sha256)),
            _ => (order.md5, order.sha256),
        };
        let md5 = download.md5.clone().finalize();
        if md5[..] != expected_md5 {
            let (is, announced) = (Hex(&md5), Hex(&expected_md5));
            return Some(Trouble::new(
                DIGEST_MISMATCH,
                format_args!("the file's MD5 is {is}, the command says {announced}"),
            ));
        }
        let announced = expected_sha256?;
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

    /// Reads the next slice back.
    pub(crate) fn verify_slice(&mut self) -> Result<(), Broken> {
        match self.gateway.read_back() {
            Ok(None) => Ok(()),
            Ok(Some(installable)) => self.install(&installable),
            Err(error) => self.end_active(error.into()),
        }
    }

    fn install(&mut self, installable: &Installable) -> Result<(), Broken> {
        self.gateway.job = Job::None;
        self.advance(Phase::Installing)?;
        if let Err(error) = self.gateway.make_bootable(installable) {
            return self.end_active(error.into());
        }
        let gateway = &mut *self.gateway;
        gateway.download = None;
        let Some(active) = gateway.saved.active.take() else {
            return Ok(());
        };
        let order = &active.order;
        let armed = match &installable.firmware {
            Some(verified) => gateway.arm_trial(order.version.clone(), verified),
            None => {
                gateway.arm_web_trial(order.version.clone());
                Ok(())
            }
        };
        gateway.restart = Restart::AwaitsAck {
            msg_id: order.msg_id.clone(),
            until_ms: self.now.ms.saturating_add(COMPLETED_MS_MAX),
        };
        let armed = armed.map_err(Broken::from);
        if let Err(broken) = armed.and_then(|()| self.finish(order, 100, None)) {
            let saved = &mut self.gateway.saved;
            saved.ended.retain(|end| end.msg_id != order.msg_id);
            (saved.trial, saved.web, saved.active) = (None, None, Some(active));
            saved.release_on_trial = None;
            self.gateway.restart = Restart::No;
            return self.fail(INSTALL_FAILED, format_args!("{broken}"));
        }
        Ok(())
    }
}

impl<F: NorFlash> Gateway<F> {
    /// Reads a slice of what came back and compares it. `None`: not all is read yet.
    fn read_back(&mut self) -> Result<Option<Installable>, InstallError> {
        let Some(download) = &mut self.download else {
            return Ok(None);
        };
        let came: [u8; 32] = download.sha256.clone().finalize().into();
        let mut installable = Installable {
            firmware: None,
            web: None,
        };
        if let Some(slot) = &download.slot {
            match self.ota.verify(slot.handle, VERIFY_SLICE_BYTES) {
                Ok(None) => return Ok(None),
                Ok(Some(verified)) if verified.sha256 == slot.sha256.unwrap_or(came) => {
                    installable.firmware = Some(verified);
                }
                Ok(Some(_)) => return Err(InstallError::NotHeld),
                Err(EspError::OtaValidateFailed) => return Err(InstallError::Invalid),
                Err(error) => return Err(InstallError::End(error)),
            }
        }
        if let Some(stage) = &mut download.stage {
            match stage.verify(self.ota.flash(), VERIFY_SLICE_BYTES)? {
                None => return Ok(None),
                Some(staged) if staged.sha256 == came => installable.web = Some(staged),
                Some(_) => return Err(InstallError::NotHeld),
            }
        }
        Ok(Some(installable))
    }

    /// Makes all durable that a boot of the new version needs; none will be before it is armed.
    fn make_bootable(&mut self, installable: &Installable) -> Result<(), InstallError> {
        let (Some(download), Some(active)) = (&self.download, &self.saved.active) else {
            return Ok(());
        };
        if let (Some(stage), Some(staged)) = (&download.stage, &installable.web) {
            let mut record = stage.record(staged, active.order.version.clone());
            self.memory.save_web(self.ota.flash(), &mut record)?;
        }
        if let Some(slot) = &download.slot {
            self.ota.end(slot.handle).map_err(InstallError::End)?;
        }
        Ok(())
    }

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
        self.saved.release_on_trial = self.take_release_counter();
        self.saved.remember_installed(Installed {
            slot,
            version,
            image: verified.image,
        });
        Ok(())
    }

    /// Notes that the new web part must prove itself; saved by the caller.
    fn arm_web_trial(&mut self, version: Text<VERSION_BYTES_MAX>) {
        self.saved.web = Some(WebTrial {
            version,
            ..WebTrial::default()
        });
        self.saved.rolled_back = None;
        self.saved.release_on_trial = self.take_release_counter();
    }

    /// The counter of the release that is installed, if it is a signed one.
    fn take_release_counter(&mut self) -> Option<u64> {
        let is_signed = !self.config.trusted_keys.is_empty();
        let release = self.release.take().filter(|_| is_signed);
        release.map(|release| release.release_counter)
    }
}
