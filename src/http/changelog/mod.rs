//! `/ota/changelog`.

pub mod get;
