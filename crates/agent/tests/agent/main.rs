//! The agent, from outside: one binary for all of it.

mod around;
mod transaction;
