//! The one place that reads the wall clock; everything else is told the time.

use std::time::{SystemTime, UNIX_EPOCH};

/// The wall clock. May be wrong, and may jump.
#[allow(
    clippy::disallowed_methods,
    reason = "the shell is where time comes in"
)]
pub fn now() -> SystemTime {
    SystemTime::now()
}

/// Unix milliseconds by the wall clock; 0 before 1970.
pub fn unix_ms() -> u64 {
    let since = now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
