//! Keeps the packages of a Linux device current: wholly new or wholly old, whatever happens.

pub mod clock;
pub mod disk;
pub mod folders;
pub mod journal;
pub mod script;
pub mod state;
pub mod transaction;
