use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use uuid::{NoContext, Timestamp, Uuid};

/// The time, as a parameter: the system's, or one that a test moves by hand.
#[derive(Clone, Debug, Default)]
pub enum Clock {
    #[default]
    System,
    /// Milliseconds since the Unix epoch.
    Manual(Arc<AtomicI64>),
}

impl Clock {
    pub fn manual(start: DateTime<Utc>) -> Self {
        Clock::Manual(Arc::new(AtomicI64::new(start.timestamp_millis())))
    }

    /// Moves a manual clock; the system's can't be moved.
    pub fn advance(&self, by: TimeDelta) {
        match self {
            Clock::System => panic!("only a manual clock can be moved"),
            Clock::Manual(millis) => {
                millis.fetch_add(by.num_milliseconds(), Ordering::SeqCst);
            }
        }
    }

    /// Whole milliseconds, which both databases store exactly.
    #[allow(
        clippy::disallowed_methods,
        reason = "the one place that reads the system's clock"
    )]
    pub fn now(&self) -> DateTime<Utc> {
        match self {
            Clock::System => Utc::now().trunc_subsecs(3),
            Clock::Manual(millis) => {
                DateTime::from_timestamp_millis(millis.load(Ordering::SeqCst)).unwrap_or_default()
            }
        }
    }

    /// A UUID of version 7: ids sort by the time they were made.
    pub fn new_id(&self) -> Uuid {
        let now = self.now();
        Uuid::new_v7(Timestamp::from_unix(
            NoContext,
            now.timestamp().unsigned_abs(),
            now.timestamp_subsec_nanos(),
        ))
    }
}
