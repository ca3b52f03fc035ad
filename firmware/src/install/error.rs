//! Why an upgrade cannot be put into the flash.

use core::fmt;

use airlift_proto::error_code::INSTALL_FAILED;

use crate::{Broken, EspError, upgrade::Trouble, web::WebError};

/// Why an upgrade cannot be put into the flash. To the server they all are `INSTALL_FAILED`.
#[derive(Clone, Copy, Debug)]
pub(crate) enum InstallError {
    /// The partition table has no slot to update into.
    NoSlot,
    /// Bytes.
    TooLarge {
        image: u64,
        slot: u32,
    },
    /// The session did not begin.
    Begin(EspError),
    /// The slot did not take the next bytes.
    Write(EspError),
    /// What came is no valid image.
    Invalid,
    /// The session did not end.
    End(EspError),
    /// What is in the flash is not what came.
    NotHeld,
    Web(WebError),
    Broken(Broken),
}

impl fmt::Display for InstallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSlot => {
                f.write_str("No OTA partition: the partition table has no slot to update into")
            }
            Self::TooLarge { image, slot } => {
                write!(f, "the image has {image} bytes, the slot {slot}")
            }
            Self::Begin(error) => write!(f, "Update.begin() failed: {error}"),
            Self::Write(error @ EspError::OtaValidateFailed) => {
                write!(f, "{error}: the file is no application image")
            }
            Self::Write(error) => write!(f, "{error}: the slot cannot be written"),
            Self::Invalid => f.write_str(
                "ESP_ERR_OTA_VALIDATE_FAILED: the file is no valid application image for this chip",
            ),
            Self::End(error) => write!(f, "Update.end() failed: {error}"),
            Self::NotHeld => f.write_str("the flash does not hold what was written to it"),
            Self::Web(error) => error.fmt(f),
            Self::Broken(broken) => broken.fmt(f),
        }
    }
}

impl From<WebError> for InstallError {
    fn from(error: WebError) -> Self {
        InstallError::Web(error)
    }
}

impl From<Broken> for InstallError {
    fn from(broken: Broken) -> Self {
        InstallError::Broken(broken)
    }
}

impl From<InstallError> for Trouble {
    fn from(error: InstallError) -> Self {
        Trouble::new(INSTALL_FAILED, format_args!("{error}"))
    }
}
