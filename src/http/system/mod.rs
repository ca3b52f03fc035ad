//! What operators and their tools ask.

pub mod healthz;
pub mod metrics;
pub mod readyz;
