//! Words on a terminal.

use chrono::{DateTime, Utc};

/// A text from elsewhere that can do nothing to a terminal.
pub fn printable(text: &str) -> String {
    let harmless = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    text.chars().map(harmless).collect()
}

pub fn time(time: DateTime<Utc>) -> String {
    time.format("%Y-%m-%d %H:%M:%S UTC").to_string()
}

/// A time of a bundle or a key, in Unix seconds.
pub fn unix_time(seconds: i64) -> String {
    DateTime::from_timestamp(seconds, 0).map_or_else(|| seconds.to_string(), time)
}
