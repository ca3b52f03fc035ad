//! Every way a request can end badly, with its status code and its words in one place.

use super::{Refusal, UploadError};

/// An answer that is not a success.
#[derive(Debug)]
pub(super) enum Failure {
    /// The update session refused.
    Session(Refusal),
    /// The upload begins with this byte: not an application image.
    NotAnImage(u8),
    /// Anything whose words are known beforehand.
    Fixed(Fixed),
}

#[derive(Debug)]
pub(super) struct Fixed {
    pub(super) status: u16,
    pub(super) error: &'static str,
    pub(super) cause: &'static str,
    pub(super) header: Header,
}

/// The header that a status code brings along.
#[derive(Clone, Copy, Debug)]
pub(super) enum Header {
    None,
    /// 405: the methods there are.
    Allow(&'static str),
    /// 401: how to log in.
    Challenge,
    /// 429: seconds.
    RetryAfter(u64),
}

impl Failure {
    pub(super) const fn new(status: u16, error: &'static str, cause: &'static str) -> Self {
        Self::Fixed(Fixed {
            status,
            error,
            cause,
            header: Header::None,
        })
    }

    pub(super) const fn with(
        status: u16,
        error: &'static str,
        cause: &'static str,
        header: Header,
    ) -> Self {
        Self::Fixed(Fixed {
            status,
            error,
            cause,
            header,
        })
    }

    /// The request is not HTTP as it should be.
    pub(super) const fn bad_request(cause: &'static str) -> Self {
        Self::new(400, "Bad request", cause)
    }

    /// `Upload failed` for a reason that lies in the request.
    pub(super) const fn upload(status: u16, cause: &'static str) -> Self {
        Self::new(status, UploadError::UploadFailed.as_str(), cause)
    }

    pub(super) fn status(&self) -> u16 {
        match self {
            Self::NotAnImage(_) => 422,
            Self::Fixed(fixed) => fixed.status,
            Self::Session(refusal) => match refusal.error {
                UploadError::NotEnoughSpace => 413,
                UploadError::BeginFailed => 503,
                UploadError::EndFailed | UploadError::Refused => 422,
                UploadError::NoOtaPartition => 501,
                UploadError::UploadFailed => 500,
            },
        }
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::Session(refusal)
    }
}
