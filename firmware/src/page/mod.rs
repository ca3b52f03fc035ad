//! The device's own upload page, so that a gateway can be updated with nothing but a browser or
//! `curl` in the same network, when no server is at hand.
//!
//! It is sans-IO: a shell accepts TCP connections, gives each a [`Connection`], feeds it what
//! arrives and sends what it says. An upload goes straight through to the update session behind
//! [`Upload`]; no more of it than one multipart delimiter is ever kept here.
//!
//! What a shell does for a connection:
//! - bytes arrive: [`Connection::receive`];
//! - nothing has arrived for [`Connection::timeout_ms`] (before the head is whole: since the
//!   connection was accepted): [`Connection::timed_out`];
//! - the peer sends no more: [`Connection::ended`]; the connection broke: [`Connection::lost`];
//! - on [`Progress::Close`] and [`Progress::Installed`] it flushes, shuts its sending side down
//!   and throws away what still arrives until the peer closes, [`LINGER_MS`] at most. Closing at
//!   once would reset a peer that is still sending, and it would never see the answer.

mod body;
mod connection;
mod failure;
mod login;
mod merged;
mod multipart;
mod request;
mod response;

use core::fmt;

use heapless::String;

use crate::{ERROR_CODE_BYTES_MAX, ERROR_MESSAGE_BYTES_MAX, Now};

pub use connection::{Connection, Progress};
use login::Login;

/// Room for a request's line and headers, bytes; a longer head is a 431.
pub const HEAD_BYTES: usize = 2048;

/// How long a shell goes on reading after the answer before it closes for good, ms.
pub const LINGER_MS: u64 = 5_000;

/// Longest cause, bytes: an error code, a colon and its message.
const CAUSE_BYTES_MAX: usize = ERROR_CODE_BYTES_MAX + 2 + ERROR_MESSAGE_BYTES_MAX;

/// What the page shows and which password it asks for.
#[derive(Clone, Default)]
pub struct Settings {
    /// The device password. Without one (or with an empty one) nothing can be uploaded.
    pub password: Option<String<64>>,
    /// The device's name, shown as heading: the gateway's id.
    pub device: String<64>,
    /// The running firmware's version, shown after the login.
    pub version: String<32>,
}

/// What all connections share: settings, and the count of wrong passwords.
pub struct Page {
    settings: Settings,
    login: Login,
}

impl Page {
    /// A page that nobody has tried to log in to yet.
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            login: Login::default(),
        }
    }
}

/// The update session that an upload is streamed into.
///
/// Of one upload: [`admit`](Self::admit) first; after it succeeded, where a signature is wanted,
/// [`manifest`](Self::manifest) and then [`signature`](Self::signature) any number of times; then
/// [`begin`](Self::begin), [`write`](Self::write) any number of times and [`end`](Self::end). Any of
/// them may be followed by [`abort`](Self::abort), and one that failed is; but not `admit`.
pub trait Upload {
    /// Whether any bytes are taken (board `raw`) and not just application images.
    fn accepts_any(&self) -> bool {
        false
    }

    /// Whether an image is taken only after a manifest that a trusted key signed.
    fn wants_signature(&self) -> bool;

    /// Lets an upload in, and no other until its end. `size_at_least` is a lower estimate of the
    /// image's size in bytes: what the request says it has, less all that multipart may add. `None`
    /// when it does not say.
    ///
    /// # Errors
    /// [`UploadError::NotEnoughSpace`], [`UploadError::NoOtaPartition`], or
    /// [`UploadError::BeginFailed`], such as when another update is under way.
    fn admit(&mut self, size_at_least: Option<u64>) -> Result<(), Refusal>;

    /// Takes the next bytes of the manifest: any number of them, never none.
    ///
    /// # Errors
    /// [`UploadError::Refused`] for a longer one than is allowed.
    fn manifest(&mut self, bytes: &[u8]) -> Result<(), Refusal>;

    /// Takes the next bytes of the manifest's signature: any number of them, never none.
    ///
    /// # Errors
    /// [`UploadError::Refused`] for a longer one than is allowed.
    fn signature(&mut self, bytes: &[u8]) -> Result<(), Refusal>;

    /// Judges manifest and signature, where a signature is wanted, and opens the session.
    ///
    /// # Errors
    /// [`UploadError::Refused`] if this is no release that this device takes now, and as
    /// [`admit`](Self::admit).
    fn begin(&mut self, now: Now) -> Result<(), Refusal>;

    /// Writes the image's next bytes: any number of them, never none.
    ///
    /// # Errors
    /// [`UploadError::NotEnoughSpace`], [`UploadError::UploadFailed`], or [`UploadError::Refused`] for
    /// more than was signed.
    fn write(&mut self, bytes: &[u8]) -> Result<(), Refusal>;

    /// Verifies the whole image and makes it the one to boot next.
    ///
    /// # Errors
    /// [`UploadError::EndFailed`]: the running image stays.
    fn end(&mut self) -> Result<(), Refusal>;

    /// Drops the session; what runs goes on running. Must do no harm when the session is over.
    fn abort(&mut self);
}

/// What went wrong with an upload, in the words that the old devices used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UploadError {
    /// The image does not fit its slot.
    NotEnoughSpace,
    /// The session could not be opened.
    BeginFailed,
    /// The image is complete but not valid, or could not be made the next one to boot.
    EndFailed,
    /// The partition table has no slot to write to.
    NoOtaPartition,
    /// The connection broke, the form is malformed, this is no application image, or a write failed.
    UploadFailed,
    /// It is not what a trusted key signed for this device.
    Refused,
}

impl UploadError {
    /// The literal words.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotEnoughSpace => "Not enough space",
            Self::BeginFailed => "Update.begin() failed",
            Self::EndFailed => "Update.end() failed",
            Self::NoOtaPartition => "No OTA partition",
            Self::UploadFailed | Self::Refused => "Upload failed",
        }
    }
}

impl fmt::Display for UploadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl core::error::Error for UploadError {}

/// Why the session takes an upload no further.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Which of the literal errors it is.
    pub error: UploadError,
    /// What caused it and what to do, for whoever uploads.
    pub cause: String<CAUSE_BYTES_MAX>,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.error, self.cause)
    }
}

impl core::error::Error for Refusal {}
