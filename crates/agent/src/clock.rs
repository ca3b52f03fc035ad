use std::time::SystemTime;

/// Seconds since the Unix epoch; 0 on a device whose clock stands before it.
#[allow(
    clippy::disallowed_methods,
    reason = "the one place that reads the system's clock"
)]
pub fn unix_seconds() -> i64 {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .ok()
        .and_then(|since| i64::try_from(since.as_secs()).ok())
        .unwrap_or_default()
}
