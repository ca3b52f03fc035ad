use crate::{blob, store};

pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a use case did not happen. `code` is the stable word of the HTTP envelope; `message` says
/// what is wrong and what to do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{message}")]
    Invalid { code: &'static str, message: String },
    #[error("{message}")]
    NotFound { code: &'static str, message: String },
    #[error("{message}")]
    Conflict { code: &'static str, message: String },
    #[error(transparent)]
    Store(#[from] store::Error),
    #[error(transparent)]
    Blob(#[from] blob::Error),
}

impl Error {
    pub fn invalid(code: &'static str, message: impl Into<String>) -> Error {
        Error::Invalid {
            code,
            message: message.into(),
        }
    }

    pub fn not_found(code: &'static str, message: impl Into<String>) -> Error {
        Error::NotFound {
            code,
            message: message.into(),
        }
    }

    pub fn conflict(code: &'static str, message: impl Into<String>) -> Error {
        Error::Conflict {
            code,
            message: message.into(),
        }
    }

    pub(super) fn no_firmware(device_type: &str, version: &str) -> Error {
        Error::not_found(
            "firmware_not_found",
            format!(
                "there is no firmware {version} for device type {device_type}: upload it first, \
                 or name the right deviceType"
            ),
        )
    }
}
