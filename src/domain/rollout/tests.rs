mod gateway;
mod model;
mod order;
mod pace;
mod plan;
mod simulation;
mod state;
mod steps;
mod window;

use chrono::{DateTime, Utc};

/// Of the time of the tests; `at(0)` is 2026-02-02T02:40:00Z.
fn at(second: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_770_000_000 + second, 0).unwrap()
}

fn utc(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}
