//! What travels between the server and a gateway: topic names and JSON messages.
//!
//! `no_std` with `alloc`, and free of any client library, so that the server, the gateway on a PC and
//! the gateway on an ESP32 share one definition of every byte.
//!
//! To add a message: a variant in [`Command`] or [`Report`], its data struct, and a golden line in
//! `tests/golden.rs`.
#![no_std]

extern crate alloc;

pub mod error_code;
mod message;
mod topic;

pub use message::{
    CancelData, Command, HeartbeatData, Message, ProgressData, Report, ReportState, Status,
    UpgradeData,
};
pub use topic::{GATEWAY_ID_LENGTH_MAX, TopicKind, Topics, is_gateway_id};

/// Battery charge, in percent, under which a gateway refuses an upgrade with
/// [`error_code::BATTERY_LOW`].
pub const BATTERY_PERCENT_MIN: u8 = 20;
