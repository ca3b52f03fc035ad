//! Whether a file is a firmware that a board of the target can run, as it streams by.

use airlift_esp::{
    Target,
    image::{ChipId, ImageError, Looks, MergedDetector, Verifier},
};

use crate::{Error, Refusal};

/// What a firmware says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FirmwareInfo {
    /// Bytes.
    pub size: u64,
    /// None where any bytes are a firmware, and where it is empty.
    pub version: Option<String>,
    pub project: Option<String>,
}

/// Checks one firmware, in pieces of any size.
pub struct FirmwareCheck {
    target: Target,
    size: u64,
    /// None where any bytes are a firmware.
    image: Option<ImageCheck>,
}

/// Looks for what is wrong with an image, and for what is wrong with all of the file: in front of a
/// merged image lies another that may well be sound, or for another chip.
struct ImageCheck {
    chip: ChipId,
    verifier: Verifier,
    detector: MergedDetector,
    /// What the verifier found, until the detector has decided.
    fault: Option<ImageError>,
}

impl FirmwareCheck {
    #[must_use]
    pub fn new(target: Target) -> Self {
        FirmwareCheck {
            target,
            size: 0,
            image: target.chip().map(|chip| ImageCheck {
                chip,
                verifier: Verifier::new(chip, target.slot_bytes()),
                detector: MergedDetector::default(),
                fault: None,
            }),
        }
    }

    /// Whether a firmware of so many bytes has room in a slot; for whoever knows its size beforehand.
    ///
    /// # Errors
    /// [`Refusal::TooLarge`], with both sizes.
    pub fn check_size(target: Target, size: u64) -> Result<(), Error> {
        let slot = u64::from(target.slot_bytes());
        if size <= slot {
            return Ok(());
        }
        let over = size - slot;
        Err(Error::new(
            Refusal::TooLarge,
            format!(
                "the firmware has {size} bytes, a slot of {} has {slot}: {over} too many. Make it smaller, or build for a board with larger slots",
                target.name()
            ),
        ))
    }

    /// Takes the next bytes.
    ///
    /// # Errors
    /// What these bytes show to be wrong, as [`FirmwareCheck::finish`] has it.
    pub fn update(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.size += bytes.len() as u64;
        if self.size > u64::from(self.target.slot_bytes()) {
            return Err(Error::new(
                Refusal::TooLarge,
                format!(
                    "the firmware has {} bytes or more, a slot of {} has {}. Make it smaller, or build for a board with larger slots",
                    self.size,
                    self.target.name(),
                    self.target.slot_bytes()
                ),
            ));
        }
        let Some(image) = &mut self.image else {
            return Ok(());
        };
        image.update(bytes);
        match image.detector.is_decided() {
            true => image.verdict(self.target),
            false => Ok(()),
        }
    }

    /// What the firmware says of itself.
    ///
    /// # Errors
    /// [`Refusal::TooLarge`] if it is larger than a slot; [`Refusal::WrongTarget`] if no board of the
    /// target could run it: an image for another chip, a merged one, a bootloader, one that is
    /// damaged or cut off, or none.
    pub fn finish(self) -> Result<FirmwareInfo, Error> {
        if self.size == 0 {
            return Err(wrong("the firmware is an empty file"));
        }
        let mut info = FirmwareInfo {
            size: self.size,
            version: None,
            project: None,
        };
        let Some(image) = self.image else {
            return Ok(info);
        };
        image.verdict(self.target)?;
        let found = image.verifier.finish();
        let found = found.map_err(|error| image_fault(error, image.chip, self.target))?;
        let Some(descriptor) = found.descriptor else {
            return Err(wrong(
                "the firmware has no app descriptor (esp_app_desc_t): it is a bootloader, or built with an SDK that is too old; take the application image",
            ));
        };
        let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        info.version = text(&descriptor.version);
        info.project = text(&descriptor.project);
        Ok(info)
    }
}

impl ImageCheck {
    fn update(&mut self, bytes: &[u8]) {
        self.detector.update(bytes);
        if self.fault.is_none() {
            self.fault = self.verifier.update(bytes).err();
        }
    }

    /// What is wrong with all that went by, if nothing follows.
    fn verdict(&self, target: Target) -> Result<(), Error> {
        if self.detector.looks() == Looks::Merged {
            return Err(wrong(
                "this is a merged image (bootloader, partition table and application in one file), \
                 for flashing by cable: take the application image alone, which the build writes \
                 beside it, such as firmware.bin",
            ));
        }
        match self.fault {
            Some(fault) => Err(image_fault(fault, self.chip, target)),
            None => Ok(()),
        }
    }
}

fn wrong(message: impl Into<String>) -> Error {
    Error::new(Refusal::WrongTarget, message)
}

fn image_fault(fault: ImageError, chip: ChipId, target: Target) -> Error {
    match fault {
        ImageError::Chip { found, .. } => wrong(format!(
            "the firmware is built for {}, the target {} has the chip {}: build it for this chip, or name the board it is for with --target",
            chip_name(ChipId(found)),
            target.name(),
            chip_name(chip),
        )),
        ImageError::TooLong { limit } => Error::new(
            Refusal::TooLarge,
            format!(
                "the firmware's segments need more than the {limit} bytes of a slot of {}",
                target.name()
            ),
        ),
        ImageError::Magic(_) => wrong(format!(
            "the firmware is {fault}; take the application image, such as firmware.bin, not the ELF file or an archive"
        )),
        fault => wrong(format!("the firmware is no sound image: {fault}")),
    }
}

fn chip_name(chip: ChipId) -> String {
    match chip.name() {
        Some(name) => name.to_owned(),
        None => format!("an unknown chip (id {})", chip.0),
    }
}
