//! Real servers for airlift's tests: PostgreSQL, Mosquitto, S3, our own binaries, a gpg with keys of
//! its own, and a proxy that breaks connections on purpose.
//!
//! Every server listens on its own loopback port and keeps its files in its own [`Scratch`] folder.
//! Dropping it stops the process and removes the folder, also while a test panics; if the test
//! process is killed outright, the folder's guard does the same (see [`Scratch`]). Nothing is ever
//! skipped: a program that is missing is an error that says how to install it.
//!
//! All functions are blocking, so they work in sync and async tests alike. The in-process servers
//! ([`S3Server`], [`FaultProxy`]) run on a runtime of their own and stay responsive while a test
//! blocks its own.
//!
//! # How to add a server
//!
//! 1. One file here, named after the program, with one type `Thing` and `Thing::start(options)`.
//! 2. Find the program with `program` so that the error for a missing one is the same
//!    everywhere, and name its package in `test.sh`.
//! 3. Take a port from [`free_port`] and a folder from [`Scratch::new`]; start it with
//!    `Process::spawn_in` and wait with [`Process::wait_until`], which reports the log if it dies.
//! 4. Give it `url()`, `kill9()` and `start_again()` on the same port and files: the tests that
//!    matter kill it.
//! 5. One quick test in `tests/` that kills it and finds its data again.

mod gpg;
mod kept_logs;
mod launch;
mod mosquitto;
mod node;
mod ports;
mod postgres;
mod process;
mod programs;
mod proxy;
mod python;
mod runtime;
mod s3;
mod scratch;
mod test_database;
mod tree;
mod user;

pub use gpg::Gpg;
pub use kept_logs::{KEPT_LOGS, Sighting, kept_log, note_secret, secrets_in_logs};
pub use mosquitto::{Mosquitto, MosquittoOptions};
pub use node::node_folder;
pub use ports::free_port;
pub use postgres::{Durability, Postgres};
pub use process::Process;
pub use programs::{binary, program};
pub use proxy::FaultProxy;
pub use python::{ESPTOOL_VERSION, IDFTOOL_VERSION, python_with, target_folder};
pub use s3::S3Server;
pub use scratch::Scratch;
pub use test_database::{TEST_POSTGRES_URL, TestDatabase};
