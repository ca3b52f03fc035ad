//! `/api/ota/signing-keys`

pub mod list;
