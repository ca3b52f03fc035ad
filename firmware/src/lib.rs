//! The gateway's core: every decision of an update, and no input or output.
//!
//! [`step`] takes what happened and answers what to do. The shell around it (the PC binary in
//! `host/`, a board's firmware) owns sockets, storage and clocks, performs the effects in the order
//! given, and feeds back what comes of them. So one set of rules runs on a PC, on an ESP32 and in a
//! property test, and every crash can be replayed: the only memory that survives one is [`Saved`].
//!
//! To add a command: a variant in `airlift_proto::Command`, its arm in `gateway.rs`, its rules in
//! `upgrade.rs`. To add a thing the shell must do: a variant in [`Effect`]; the compiler then names
//! every shell that lacks it.
#![no_std]

extern crate alloc;

mod backoff;
mod download;
mod effect;
mod event;
mod gateway;
mod outbox;
mod saved;
mod upgrade;

pub use backoff::backoff_ms;
pub use effect::{Body, Effect, JobId, Notice, PublishId};
pub use event::{Answer, Digests, Event, Found, Now};
pub use gateway::{Config, Gateway, step};
pub use saved::{Active, Finished, Order, Phase, Saved};

/// Consecutive attempts to download without one byte of progress before `DOWNLOAD_FAILED`.
pub const DOWNLOAD_ATTEMPTS_MAX: u32 = 8;
/// Wait before the second attempt, in milliseconds; it doubles from there.
pub const RETRY_MS_MIN: u64 = 1_000;
/// Longest wait between two attempts that the gateway chooses itself, in milliseconds.
pub const RETRY_MS_MAX: u64 = 60_000;
/// Longest `Retry-After` that is obeyed, in milliseconds; a longer one is cut to this.
pub const RETRY_AFTER_MS_MAX: u64 = 3_600_000;
/// Ended upgrades remembered, so that a late duplicate of a command repeats its end instead of
/// starting again.
pub const FINISHED_MAX: usize = 32;
