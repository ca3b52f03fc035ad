use std::sync::Arc;

use airlift_bundle::Refusal;

use crate::{blob, domain::OverBudget, store};

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
    /// It is not known who this is.
    #[error("{message}")]
    Unauthenticated { code: &'static str, message: String },
    /// It is known, and may not do this.
    #[error("{message}")]
    Forbidden { code: &'static str, message: String },
    /// Too often.
    #[error("{message}")]
    TooMany {
        code: &'static str,
        message: String,
        retry_after_seconds: u64,
    },
    /// The server has as much of this to do as it takes on.
    #[error("{message}")]
    Busy { code: &'static str, message: String },
    /// An upload that the rules of signed bundles refuse.
    #[error("{message}")]
    Refused { refusal: Refusal, message: String },
    #[error("the server's downloads take all that --download-bytes-per-second grants")]
    OverBudget(OverBudget),
    #[error(transparent)]
    Store(#[from] store::Error),
    #[error(transparent)]
    Blob(#[from] blob::Error),
    /// What a batch failed with, told to all who asked.
    #[error(transparent)]
    Batch(Arc<Error>),
    /// The batch was cut before there was an answer.
    #[error("the server stopped working on this before it was done")]
    Unanswered,
}

/// What a door has to know of an [`Error`] to answer it, without knowing the rooms below.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The caller's; `code` is the stable word.
    Invalid(&'static str),
    NotFound(&'static str),
    Conflict(&'static str),
    Busy(&'static str),
    Unauthenticated(&'static str),
    Forbidden(&'static str),
    TooMany {
        code: &'static str,
        retry_after_seconds: u64,
    },
    /// The caller's; more data than allowed.
    Oversized(&'static str),
    /// The file has more bytes than `limit`.
    TooLarge {
        limit: u64,
    },
    /// No space is left for files.
    Full,
    /// The named part does not answer; the same call may succeed later.
    Unavailable(&'static str),
    /// The server sends as much as it may.
    OverBudget(OverBudget),
    /// What should not happen.
    Internal,
}

impl Error {
    pub fn trouble(&self) -> Trouble {
        match self {
            Error::Invalid { code, .. } => Trouble::Invalid(code),
            Error::NotFound { code, .. } => Trouble::NotFound(code),
            Error::Conflict { code, .. } => Trouble::Conflict(code),
            Error::Busy { code, .. } => Trouble::Busy(code),
            Error::Unauthenticated { code, .. } => Trouble::Unauthenticated(code),
            Error::Forbidden { code, .. } => Trouble::Forbidden(code),
            Error::TooMany {
                code,
                retry_after_seconds,
                ..
            } => Trouble::TooMany {
                code,
                retry_after_seconds: *retry_after_seconds,
            },
            Error::Refused { refusal, .. } => match refusal {
                Refusal::ReleaseRollback => Trouble::Conflict(refusal.word()),
                Refusal::TooLarge => Trouble::Oversized(refusal.word()),
                _ => Trouble::Invalid(refusal.word()),
            },
            Error::OverBudget(refusal) => Trouble::OverBudget(*refusal),
            Error::Store(error) if error.is_transient() => Trouble::Unavailable("database"),
            Error::Store(_) => Trouble::Internal,
            Error::Blob(blob::Error::TooLarge { limit }) => Trouble::TooLarge { limit: *limit },
            Error::Blob(blob::Error::Full) => Trouble::Full,
            Error::Blob(blob::Error::Unavailable(_)) => Trouble::Unavailable("blob store"),
            Error::Blob(_) => Trouble::Internal,
            Error::Batch(error) => error.trouble(),
            Error::Unanswered => Trouble::Unavailable("server"),
        }
    }

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

    pub fn busy(code: &'static str, message: impl Into<String>) -> Error {
        Error::Busy {
            code,
            message: message.into(),
        }
    }

    pub fn unauthenticated(code: &'static str, message: impl Into<String>) -> Error {
        Error::Unauthenticated {
            code,
            message: message.into(),
        }
    }

    pub fn forbidden(code: &'static str, message: impl Into<String>) -> Error {
        Error::Forbidden {
            code,
            message: message.into(),
        }
    }

    pub(super) fn refused(refusal: Refusal, message: impl Into<String>) -> Error {
        Error::Refused {
            refusal,
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

    pub(super) fn no_gateway(gateway_id: &str) -> Error {
        Error::not_found(
            "gateway_not_found",
            format!(
                "gateway {gateway_id} is not registered: it is as soon as it sends a heartbeat or \
                 an upgrade is triggered for it"
            ),
        )
    }
}
