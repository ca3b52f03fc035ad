//! Keeps the packages of a Linux device current: wholly new or wholly old, whatever happens.
//!
//! Around: `config` the device JSON, `remote` and `control` the server's addresses over `http`, `provision` the first token, `plan`
//! what changes, `stage` files fetched and unpacked, `signature`, `outbox` reports that wait, `cycle`
//! one poll of all this, `daemon` poll after poll, `status` what people look at, `notify` systemd.
//!
//! Inside: `transaction` swaps packages, by `journal`, `script` and `state`; `disk` is the one way to
//! change the system, `folders` where things are.

pub mod clock;
pub mod config;
pub mod control;
pub mod cycle;
pub mod daemon;
pub mod disk;
pub mod folders;
pub mod http;
pub mod journal;
pub mod notify;
pub mod outbox;
pub mod plan;
pub mod processes;
pub mod provision;
pub mod remote;
pub mod script;
pub mod signature;
mod spelling;
pub mod stage;
pub mod state;
pub mod status;
pub mod transaction;
