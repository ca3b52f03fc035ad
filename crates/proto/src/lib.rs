//! What travels between the server and a gateway: topic names and JSON messages.
//!
//! `no_std`, generic over the type of its strings so that it needs no allocator, and free of any client library, so that the server, the gateway on a PC and
//! the gateway on an ESP32 share one definition of every byte.
//!
//! To add a message: a variant in [`Command`], [`Report`] or [`Alert`], its data struct, and a golden line in
//! `tests/golden.rs`.
#![no_std]

#[cfg(feature = "alloc")]
extern crate alloc;

mod announcement;
pub mod error_code;
mod message;
mod slots;
mod topic;

pub use announcement::{AVAILABLE_TOPIC, Alert, AlertSource, Available, SignatureFailure};
pub use message::{
    CancelData, Command, HeartbeatData, Message, PartData, ProgressData, Report, ReportState,
    Status, Text, UpgradeData,
};
pub use slots::{SLOTS_MAX, Slots};
#[cfg(feature = "alloc")]
pub use topic::Topics;
pub use topic::{GATEWAY_ID_LENGTH_MAX, TopicKind, is_gateway_id, write_topic};

/// Battery charge, in percent, under which a gateway refuses an upgrade with
/// [`error_code::BATTERY_LOW`].
pub const BATTERY_PERCENT_MIN: u8 = 20;
