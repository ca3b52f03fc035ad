//! The gateway's core: every decision of an update, and no network.
//!
//! [`Gateway::boot`] decides what a start is, [`Gateway::step`] takes what happened and hands out
//! what to do. The shell around it (the PC binary in `host/`, the boards) owns sockets and clocks;
//! flash is reached through `embedded_storage`'s `NorFlash`. So one set of rules runs on a PC, on an
//! ESP32 and in a test that cuts the power at every flash operation.
//!
//! There is no allocator: all text and lists have a bound.
//!
//! To add a command: its form in `airlift_proto`, its reading in `wire.rs`, its rules in
//! `upgrade.rs`. To add a thing the shell must do: a variant in [`Effect`]; the compiler then names
//! every shell that lacks it.
#![no_std]

mod attempts;
mod authenticate;
mod backoff;
mod boot;
mod download;
mod effect;
mod error;
mod esp_error;
mod event;
pub mod flash;
mod gateway;
mod judge;
mod local;
pub mod ota;
mod outbox;
pub mod page;
mod precedence;
mod saved;
mod stored;
mod text;
mod trial;
mod upgrade;
mod version;
mod wire;

pub use backoff::backoff_ms;
pub use boot::{Boot, BootReason, Booted, Running};
pub use download::MARK_STEP_BYTES;
pub use effect::{Effect, JobId, Notice, PublishId};
pub use error::{BootError, Broken};
pub use esp_error::EspError;
pub use event::{Answer, Event, Now, content_range};
pub use gateway::{Config, Gateway};
pub use ota::{ImageSize, Images, Ota};
pub use saved::{Active, Ended, Failure, Installed, Links, NAMESPACE, Order, Phase, Saved};
pub use text::Text;
pub use trial::{ATTEMPTS_MAX, POWER_CUTS_MAX, RolledBack, Trial};
pub use wire::MESSAGE_BYTES_MAX;

/// Longest message id, bytes.
pub const MSG_ID_BYTES_MAX: usize = 64;
/// Longest version, bytes.
pub const VERSION_BYTES_MAX: usize = 64;
/// Longest firmware URL, bytes.
pub const URL_BYTES_MAX: usize = 512;
/// Longest URLs of a bundle's manifest, signature and web part together, bytes.
pub const LINKS_BYTES_MAX: usize = 1200;
/// Keys that a gateway can trust.
pub const TRUSTED_KEYS_MAX: usize = 8;
/// Longest `ETag` that is kept, bytes; with a longer one a download cannot be resumed.
pub const ETAG_BYTES_MAX: usize = 80;
/// Longest error code, bytes.
pub const ERROR_CODE_BYTES_MAX: usize = 24;
/// Longest error message, bytes; a longer one is cut.
pub const ERROR_MESSAGE_BYTES_MAX: usize = 128;
/// Ended upgrades remembered, so that a late duplicate of a command repeats its end instead of
/// starting again.
pub const ENDED_MAX: usize = 6;
/// Longest time without a new byte of a download before `DOWNLOAD_FAILED`, in milliseconds; a
/// `Retry-After` begins it anew.
pub const STALL_MS_MAX: u64 = 15 * 60_000;
/// Longest download between two starts, in milliseconds.
pub const DOWNLOAD_MS_MAX: u64 = 24 * 3_600_000;
/// Restarts in the course of one upgrade, power cuts aside, before it fails.
pub const CRASHES_MAX: u8 = 5;
/// Longest wait for the broker to have `completed` before the reboot, in milliseconds.
pub const COMPLETED_MS_MAX: u64 = 10 * 60_000;
/// Wait before the second attempt, in milliseconds; it doubles from there.
pub const RETRY_MS_MIN: u64 = 1_000;
/// Longest wait between two attempts that the gateway chooses itself, in milliseconds.
pub const RETRY_MS_MAX: u64 = 60_000;
/// Longest `Retry-After` that is obeyed, in milliseconds; a longer one is cut to this.
pub const RETRY_AFTER_MS_MAX: u64 = 3_600_000;
/// Longest wait for a command's `notBefore`, in seconds; a later one is cut to this.
pub const NOT_BEFORE_SECONDS_MAX: u64 = 86_400;
