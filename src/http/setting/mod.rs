//! `/api/ota/settings`

pub mod list;
