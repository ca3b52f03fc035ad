//! Looks at an upload as it passes and stops what is no application image: above all the *merged*
//! image that lies beside it.

use airlift_esp::image::{Looks, MergedDetector};

use super::failure::Failure;

const MERGED: Failure = Failure::upload(
    422,
    "this is a merged image (bootloader and partition table): upload the application image alone",
);
/// A file of nothing but this may become a merged image, and no other.
const PADDING: u8 = 0xFF;

/// The watch over one upload.
pub(super) struct Watch {
    any: bool,
    detector: MergedDetector,
}

impl Watch {
    /// `any`: nothing is refused.
    pub(super) fn new(any: bool) -> Self {
        Self {
            any,
            detector: MergedDetector::default(),
        }
    }

    /// Looks at the next bytes; `true` when they may be written.
    pub(super) fn look(&mut self, bytes: &[u8]) -> Result<bool, Failure> {
        if self.any {
            return Ok(true);
        }
        match self.detector.update(bytes) {
            Looks::App => Ok(true),
            Looks::Padding => Ok(false),
            Looks::Merged => Err(MERGED),
            Looks::Other(first) => Err(Failure::NotAnImage(first)),
        }
    }

    /// The upload is complete.
    pub(super) fn finish(&self) -> Result<(), Failure> {
        match self.detector.looks() {
            Looks::Padding if !self.any => Err(Failure::NotAnImage(PADDING)),
            _ => Ok(()),
        }
    }
}
