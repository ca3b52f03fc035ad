//! The upload page's way into the update session.

use airlift_proto::BATTERY_PERCENT_MIN;
use core::fmt;
use embedded_storage::nor_flash::NorFlash;

use crate::{
    Broken, Effect, EspError, Gateway, Images, Notice, VERSION_BYTES_MAX,
    gateway::{Restart, Turn},
    ota::{Handle, ImageSize},
    page::{Refusal, Upload, UploadError},
    text::{Text, text},
    trial,
};

/// The version of an upload that does not tell its own.
const UNKNOWN_VERSION: &str = "0.0.0-upload";

/// The upload under way.
#[derive(Debug, Default)]
pub(crate) struct Local(Option<Handle>);

impl Local {
    pub(crate) fn is_open(&self) -> bool {
        self.0.is_some()
    }
}

fn refusal(error: UploadError, cause: fmt::Arguments<'_>) -> Refusal {
    Refusal {
        error,
        cause: text(cause),
    }
}

impl<F: NorFlash> Upload for Gateway<F> {
    fn accepts_any(&self) -> bool {
        self.ota.images() == Images::Any
    }

    fn begin(&mut self, size_at_least: Option<u64>) -> Result<(), Refusal> {
        let busy = |why: &str| Err(refusal(UploadError::BeginFailed, format_args!("{why}")));
        if self.local.is_open() {
            return busy("another upload is running");
        }
        if self.restart != Restart::No {
            return busy("the gateway is about to reboot");
        }
        if self.saved.on_trial().is_some() {
            return busy("the running version is still on trial; try again in some minutes");
        }
        if self.saved.active.is_some() {
            return busy("an upgrade from the server is running; cancel it or wait for its end");
        }
        let battery = self.battery;
        if battery < BATTERY_PERCENT_MIN {
            return Err(refusal(
                UploadError::BeginFailed,
                format_args!(
                    "the battery is at {battery} %, an upgrade needs {BATTERY_PERCENT_MIN} %"
                ),
            ));
        }
        let Some(partition) = self.ota.get_next_update_partition(None).cloned() else {
            return Err(refusal(
                UploadError::NoOtaPartition,
                format_args!("the partition table has no slot to update into"),
            ));
        };
        if let Some(size) = size_at_least.filter(|size| *size > partition.size.into()) {
            let slot = partition.size;
            return Err(refusal(
                UploadError::NotEnoughSpace,
                format_args!("the image has at least {size} bytes, the slot {slot}"),
            ));
        }
        // What it is about is overwritten. If it stays, its digests tell.
        let _ = self.memory.drop_web(self.ota.flash());
        let begun = self.ota.begin(&partition, ImageSize::Unknown);
        let handle =
            begun.map_err(|error| refusal(UploadError::BeginFailed, format_args!("{error}")))?;
        self.local = Local(Some(handle));
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), Refusal> {
        let written = self.ota.write(self.handle()?, bytes);
        written.map_err(|error| match error {
            EspError::InvalidSize => refusal(
                UploadError::NotEnoughSpace,
                format_args!("the image is larger than the slot"),
            ),
            EspError::OtaValidateFailed => refusal(
                UploadError::UploadFailed,
                format_args!("{error}: the file is no application image"),
            ),
            error => refusal(UploadError::UploadFailed, format_args!("{error}")),
        })
    }

    fn end(&mut self) -> Result<(), Refusal> {
        let handle = self.handle()?;
        self.local = Local(None);
        let failed =
            |error: &dyn fmt::Display| refusal(UploadError::EndFailed, format_args!("{error}"));
        let verified = self.ota.end(handle).map_err(|error| match error {
            EspError::OtaValidateFailed => refusal(
                UploadError::EndFailed,
                format_args!("{error}: the file is no valid application image for this chip"),
            ),
            error => failed(&error),
        })?;
        let version: Text<VERSION_BYTES_MAX> = verified
            .version
            .clone()
            .unwrap_or_else(|| text(format_args!("{UNKNOWN_VERSION}")));
        let armed = self.arm_trial(version, &verified).map_err(Broken::from);
        let saved = armed.and_then(|()| self.memory.save(self.ota.flash(), &mut self.saved));
        if saved.is_err() {
            // A gateway that can remember nothing is to be mended all the same.
            self.saved.trial = None;
            let partition = self.ota.get_next_update_partition(None).cloned();
            partition
                .ok_or(EspError::NotFound)
                .and_then(|new| trial::switch_unrecorded(&mut self.ota, &new))
                .map_err(|error| failed(&error))?;
        }
        self.restart = Restart::AwaitsPage;
        Ok(())
    }

    fn abort(&mut self) {
        if let Some(handle) = self.local.0.take() {
            // Closed already if it was the session that failed.
            let _ = self.ota.abort(handle);
        }
    }
}

impl<F: NorFlash> Gateway<F> {
    fn handle(&self) -> Result<Handle, Refusal> {
        self.local.0.ok_or_else(|| {
            refusal(
                UploadError::UploadFailed,
                format_args!("no upload is running"),
            )
        })
    }
}

impl<F: NorFlash> Turn<'_, F> {
    /// The page has answered: the image it installed boots.
    pub(crate) fn local_done(&mut self) -> Result<(), Broken> {
        if self.gateway.restart != Restart::AwaitsPage {
            return Ok(());
        }
        if let Some(trial) = &self.gateway.saved.trial {
            (self.out)(Effect::Tell(Notice::Uploaded {
                version: &trial.version,
            }));
        }
        self.reboot_into_trial()
    }
}
