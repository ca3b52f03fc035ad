//! `/api/ota/setup`

pub mod make_admin;
