//! `/api/ota/statistics`

pub mod get;
