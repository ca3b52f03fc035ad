//! Why a bundle is refused, in words.

use std::io;

use crate::Refusal;

/// A refusal with its sentence: what is wrong, with which thing, what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    pub refusal: Refusal,
    pub message: String,
}

impl Error {
    pub fn new(refusal: Refusal, message: impl Into<String>) -> Self {
        Self {
            refusal,
            message: message.into(),
        }
    }
}

/// Why a bundle could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The bundle is at fault.
    #[error(transparent)]
    Refused(#[from] Error),
    /// Where it is read from is at fault.
    #[error("the bundle cannot be read: {0}")]
    Io(#[from] io::Error),
}

impl ReadError {
    pub(crate) fn refused(refusal: Refusal, message: impl Into<String>) -> Self {
        Error::new(refusal, message).into()
    }

    /// `None` if the bundle is not at fault.
    pub fn refusal(&self) -> Option<Refusal> {
        match self {
            ReadError::Refused(error) => Some(error.refusal),
            ReadError::Io(_) => None,
        }
    }
}
