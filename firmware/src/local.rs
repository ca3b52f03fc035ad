//! The upload page's way into the update session. Where keys are trusted, an image comes only after a
//! manifest that one of them signed, by the rules of `authenticate.rs` and `judge.rs`.

use airlift_bundle::{self as bundle, Kind};
use airlift_proto::{BATTERY_PERCENT_MIN, error_code::DIGEST_MISMATCH};
use core::{fmt, mem};
use embedded_storage::nor_flash::NorFlash;

use crate::{
    Broken, Effect, EspError, Gateway, Images, Notice, Now, VERSION_BYTES_MAX,
    authenticate::{Authentication, File, explained},
    flash::partition_table::Partition,
    gateway::{Restart, Turn},
    judge::first_part,
    ota::{Handle, ImageSize},
    page::{Refusal, Upload, UploadError},
    text::{Text, text},
    trial,
    upgrade::Trouble,
};

/// The version of an upload that does not tell its own.
const UNKNOWN_VERSION: &str = "0.0.0-upload";

/// The upload under way.
#[derive(Debug, Default)]
pub(crate) enum Local {
    #[default]
    None,
    /// Nothing of the image has come.
    Admitted,
    Open(Session),
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Session {
    handle: Handle,
    /// Bytes of a signed image that are still to come.
    missing: Option<u64>,
}

impl Local {
    pub(crate) fn is_open(&self) -> bool {
        !matches!(self, Local::None)
    }
}

fn refusal(error: UploadError, cause: fmt::Arguments<'_>) -> Refusal {
    Refusal {
        error,
        cause: text(cause),
    }
}

impl From<Trouble> for Refusal {
    fn from(Trouble { code, message }: Trouble) -> Self {
        refusal(UploadError::Refused, format_args!("{code}: {message}"))
    }
}

impl<F: NorFlash> Upload for Gateway<F> {
    fn accepts_any(&self) -> bool {
        self.ota.images() == Images::Any
    }

    fn wants_signature(&self) -> bool {
        !self.config.trusted_keys.is_empty()
    }

    fn admit(&mut self, size_at_least: Option<u64>) -> Result<(), Refusal> {
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
        self.slot_for(size_at_least)?;
        if self.wants_signature() {
            self.authentication = Some(Authentication::of_upload());
        }
        self.local = Local::Admitted;
        Ok(())
    }

    fn manifest(&mut self, bytes: &[u8]) -> Result<(), Refusal> {
        self.take_proof(File::Manifest, bytes)
    }

    fn signature(&mut self, bytes: &[u8]) -> Result<(), Refusal> {
        self.take_proof(File::Signature, bytes)
    }

    fn begin(&mut self, now: Now) -> Result<(), Refusal> {
        let missing = match self.wants_signature() {
            true => Some(self.authenticate_upload(now.unix_seconds)?),
            false => None,
        };
        let partition = self.slot_for(missing)?;
        // What it is about is overwritten. If it stays, its digests tell.
        let _ = self.memory.drop_web(self.ota.flash());
        let begun = self.ota.begin(&partition, ImageSize::Unknown);
        let handle =
            begun.map_err(|error| refusal(UploadError::BeginFailed, format_args!("{error}")))?;
        self.local = Local::Open(Session { handle, missing });
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), Refusal> {
        let mut session = self.session()?;
        if let Some(missing) = &mut session.missing {
            let Some(left) = missing.checked_sub(bytes.len() as u64) else {
                let why = "the image is larger than the one that was signed";
                return Err(not_signed(UploadError::Refused, why));
            };
            *missing = left;
        }
        let written = self.ota.write(session.handle, bytes);
        self.local = Local::Open(session);
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
        let session = self.session()?;
        let failed =
            |error: &dyn fmt::Display| refusal(UploadError::EndFailed, format_args!("{error}"));
        if session.missing.is_some_and(|missing| missing > 0) {
            let why = "the image is smaller than the one that was signed";
            return Err(not_signed(UploadError::EndFailed, why));
        }
        let handle = session.handle;
        let read_back = self.ota.verify(handle, u32::MAX);
        let read_back = read_back.map_err(|error| match error {
            EspError::OtaValidateFailed => refusal(
                UploadError::EndFailed,
                format_args!("{error}: the file is no valid application image for this chip"),
            ),
            error => failed(&error),
        })?;
        // Until now the slot is not bootable.
        if self.wants_signature() {
            let signed = self.release.as_ref().and_then(first_part);
            let came = read_back.map(|verified| verified.sha256);
            if signed.is_none_or(|part| came != Some(part.sha256)) {
                let why = "the image's SHA-256 is not the one that was signed";
                return Err(not_signed(UploadError::EndFailed, why));
            }
        }
        self.local = Local::None;
        let verified = self.ota.end(handle).map_err(|error| failed(&error))?;
        let signed_version = self.release.as_ref().map(|release| release.version.clone());
        let version: Text<VERSION_BYTES_MAX> = signed_version
            .or_else(|| verified.version.clone())
            .unwrap_or_else(|| text(format_args!("{UNKNOWN_VERSION}")));
        let armed = self.arm_trial(version, &verified).map_err(Broken::from);
        let saved = armed.and_then(|()| self.memory.save(self.ota.flash(), &mut self.saved));
        if saved.is_err() {
            // A gateway that can remember nothing is to be mended all the same.
            (self.saved.trial, self.saved.release_on_trial) = (None, None);
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
        if let Local::Open(session) = mem::take(&mut self.local) {
            // Closed already if it was the session that failed.
            let _ = self.ota.abort(session.handle);
        }
        // An upgrade's never, for there is none beside an upload.
        (self.authentication, self.release) = (None, None);
    }
}

/// The image is not the one that was signed.
fn not_signed(error: UploadError, why: &str) -> Refusal {
    refusal(error, format_args!("{DIGEST_MISMATCH}: {why}"))
}

impl<F: NorFlash> Gateway<F> {
    fn session(&self) -> Result<Session, Refusal> {
        match &self.local {
            Local::Open(session) => Ok(*session),
            _ => Err(refusal(
                UploadError::UploadFailed,
                format_args!("no upload is running"),
            )),
        }
    }

    /// Where an image goes that has at least so many bytes.
    fn slot_for(&self, size_at_least: Option<u64>) -> Result<Partition, Refusal> {
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
        Ok(partition)
    }

    fn take_proof(&mut self, file: File, bytes: &[u8]) -> Result<(), Refusal> {
        let Some(authentication) = &mut self.authentication else {
            return Ok(());
        };
        authentication.take_of(file, bytes).map_err(|too_large| {
            let bytes_max = file.bytes_max();
            let why =
                format_args!("the {file} has more than the {bytes_max} bytes that are allowed");
            Trouble::refused(too_large, why).into()
        })
    }

    /// Judges what came before the image as the server's bundles are judged: the size of the image that
    /// may come, bytes.
    #[inline(never)]
    fn authenticate_upload(&mut self, unix_seconds: i64) -> Result<u64, Refusal> {
        let keys = &self.config.trusted_keys;
        let authentication = self.authentication.as_mut();
        let trusted = authentication.map_or(Err(bundle::Refusal::Unsigned), |it| it.trust(keys));
        let verified = trusted.and_then(|()| self.verify_release());
        let (release, _) = verified.map_err(explained)?;
        if let Some(trouble) = self.unfit(&release, unix_seconds) {
            return Err(trouble.into());
        }
        let size = match (release.kind, &release.firmware) {
            (Kind::Firmware, Some(firmware)) => firmware.size,
            _ => {
                return Err(refusal(
                    UploadError::Refused,
                    format_args!(
                        "this page takes a firmware alone; send a bundle with a web part by the server"
                    ),
                ));
            }
        };
        self.release = Some(release);
        self.authentication = None;
        Ok(size)
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
