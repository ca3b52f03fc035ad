//! `/api/ota/upgrade`

pub mod trigger;
