use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use uuid::{NoContext, Timestamp, Uuid};

/// How far ahead people may plan: a thousand years. From the year 10000 on, times as SQLite keeps
/// them sort before today's.
const AHEAD_MAX: TimeDelta = TimeDelta::days(365_250);

/// The sentence that refuses a time, of the request's field `field`, that is too far ahead.
pub fn too_far_ahead(field: &str, at: DateTime<Utc>, now: DateTime<Utc>) -> Option<String> {
    (at - now > AHEAD_MAX).then(|| {
        format!("{field} is more than a thousand years ahead: look whether its year is meant")
    })
}

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
        id_at(self.now())
    }

    /// Like [`Clock::new_id`], and sorts after `earlier` also when the clock was set back or both
    /// are of one millisecond.
    pub fn new_id_after(&self, earlier: Option<Uuid>) -> Uuid {
        let after = earlier.and_then(|id| id.get_timestamp()).and_then(|made| {
            let (seconds, nanoseconds) = made.to_unix();
            DateTime::from_timestamp(i64::try_from(seconds).ok()?, nanoseconds)
        });
        match after {
            Some(after) => id_at(self.now().max(after + TimeDelta::milliseconds(1))),
            None => self.new_id(),
        }
    }
}

/// No id that was made up to `time` is greater.
pub fn last_id_at(time: DateTime<Utc>) -> Uuid {
    let milliseconds = time.timestamp_millis().max(0).unsigned_abs();
    Uuid::from_u128(u128::from(milliseconds) << 80 | u128::MAX >> 48)
}

fn id_at(time: DateTime<Utc>) -> Uuid {
    Uuid::new_v7(Timestamp::from_unix(
        NoContext,
        time.timestamp().unsigned_abs(),
        time.timestamp_subsec_nanos(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_sorts_after_the_one_before_it_whatever_the_clock_does() {
        let clock = Clock::manual(DateTime::from_timestamp(1_770_000_000, 0).unwrap());
        let mut last = clock.new_id();
        for step in [0, 0, 5, -3_600_000, 0, 1] {
            clock.advance(TimeDelta::milliseconds(step));
            let next = clock.new_id_after(Some(last));
            assert!(next > last, "{step}");
            last = next;
        }
    }

    #[test]
    fn the_last_id_at_a_time_lies_between_those_of_then_and_later() {
        let clock = Clock::manual(DateTime::from_timestamp(1_770_000_000, 0).unwrap());
        let last = last_id_at(clock.now());
        assert!(clock.new_id() <= last);
        clock.advance(TimeDelta::milliseconds(1));
        assert!(clock.new_id() > last);
    }
}
