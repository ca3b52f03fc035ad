//! The testkit's own promises: what it kills is dead, what it starts again still has its data, what
//! it drops leaves nothing behind.

mod gpg;
mod mosquitto;
mod postgres;
mod process;
mod proxy;
mod s3;
