//! Outbound HTTP: POSTs events to receivers that operators have named, signed.

mod client;
mod signature;

pub use client::{Post, WebhookClient};
pub use signature::signature;
