//! The agent around its transaction core, against a server in the test that misbehaves on demand.

mod claims;
mod commands;
mod deaths;
mod device;
mod downloads;
mod follows;
mod life;
mod memory;
mod reports;
mod server;
mod trust;
mod unpacking;
