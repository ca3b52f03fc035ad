use std::{collections::HashMap, net::IpAddr};

use chrono::{DateTime, TimeDelta, Utc};

use super::Caller;

/// Refusals of one caller, which is an address and a name, that are written down within a minute.
pub const REFUSALS_PER_MINUTE_OF_A_CALLER_MAX: u32 = 10;
/// Refusals that a server writes down within a minute.
pub const REFUSALS_PER_MINUTE_MAX: u32 = 60;
/// A longer one is not a caller's, but a flood's.
const CALLERS_MAX: usize = 1000;
const MINUTE: TimeDelta = TimeDelta::minutes(1);

type Key = (Option<IpAddr>, Option<String>);

/// Which refused changes the audit log has: a flood of them must not fill the disk. What is left out is
/// counted, and the next one of the same caller carries the count.
#[derive(Debug, Default)]
pub struct RefusalLimit {
    began: Option<DateTime<Utc>>,
    written: u32,
    callers: HashMap<Key, Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    /// Within this minute.
    written: u32,
    /// Since the last one that was written.
    left_out: u64,
}

impl RefusalLimit {
    /// Whether a refusal of this caller is written down: then, how many others it stands for.
    pub fn admit(&mut self, caller: &Caller, now: DateTime<Utc>) -> Option<u64> {
        // A clock that was set back begins a new minute, too.
        let is_over = self
            .began
            .is_none_or(|began| now < began || now - began >= MINUTE);
        if is_over {
            self.began = Some(now);
            self.written = 0;
            self.callers.retain(|_, counts| counts.left_out > 0);
            for counts in self.callers.values_mut() {
                counts.written = 0;
            }
        }
        let key = (caller.address, caller.actor.name().map(str::to_owned));
        if self.callers.len() >= CALLERS_MAX && !self.callers.contains_key(&key) {
            if !is_over {
                return None;
            }
            self.callers.clear();
        }
        let counts = self.callers.entry(key).or_default();
        if self.written >= REFUSALS_PER_MINUTE_MAX
            || counts.written >= REFUSALS_PER_MINUTE_OF_A_CALLER_MAX
        {
            counts.left_out += 1;
            return None;
        }
        self.written += 1;
        counts.written += 1;
        Some(std::mem::take(&mut counts.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Actor;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_770_000_000 + seconds, 0).unwrap()
    }

    fn from(address: u32) -> Caller {
        Caller {
            actor: Actor::Nobody,
            address: Some(IpAddr::from(address.to_be_bytes())),
        }
    }

    #[test]
    fn a_flood_from_one_address_is_a_few_lines_and_a_count() {
        let mut limit = RefusalLimit::default();
        let written = (0..10_000).filter(|n| limit.admit(&from(1), at(n % 60)).is_some());
        assert_eq!(
            written.count(),
            REFUSALS_PER_MINUTE_OF_A_CALLER_MAX as usize
        );
        assert_eq!(limit.admit(&from(2), at(59)), Some(0), "another address");
        assert_eq!(limit.admit(&from(1), at(60)), Some(9_990));
        assert_eq!(limit.admit(&from(1), at(61)), Some(0));
    }

    #[test]
    fn a_flood_from_many_addresses_neither_fills_the_log_nor_the_memory() {
        let mut limit = RefusalLimit::default();
        let minutes = 3;
        let mut written = 0;
        for n in 0..30_000_u32 {
            let now = at(i64::from(n / 10_000) * 60);
            written += u32::from(limit.admit(&from(n), now).is_some());
        }
        assert_eq!(written, minutes * REFUSALS_PER_MINUTE_MAX);
        assert!(limit.callers.len() <= CALLERS_MAX);
        let later = at(10 * 60);
        assert!(limit.admit(&from(1), later).is_some(), "and it goes on");
    }

    #[test]
    fn a_clock_set_back_stops_nothing() {
        let mut limit = RefusalLimit::default();
        for _ in 0..20 {
            limit.admit(&from(1), at(3_600));
        }
        assert_eq!(limit.admit(&from(1), at(3_600)), None);
        assert!(limit.admit(&from(1), at(0)).is_some());
    }
}
