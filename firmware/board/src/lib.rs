//! The shell shared by the boards: broker, downloads and upload page around the gateway's core.
//!
//! The core decides and writes the flash; this moves bytes between it and the network. Everything
//! runs in the one task that awaits [`run`], so the core needs no lock: it is borrowed for the length
//! of one step, never over an `.await`.
#![no_std]

mod broker;
mod fetch;
mod memory;
mod outbox;
mod platform;
mod settings;
mod shell;
mod upload;

pub use memory::Memory;
pub use platform::Platform;
pub use settings::{Settings, SettingsError};
pub use shell::{boot, run};
