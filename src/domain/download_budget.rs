use std::{num::NonZeroU64, time::Duration};

use chrono::{DateTime, Utc};

/// What may leave at once after a rest: this many seconds' worth of the rate.
pub const DOWNLOAD_BURST_SECONDS: u64 = 1;
/// Longest stretch of time over which those who were turned away are asked to come back, seconds:
/// well below what a gateway may be silent.
pub const RETURN_SPREAD_SECONDS_MAX: u64 = 60;

/// Bytes that downloads may take, as a token bucket. A download is charged whole when it begins, and
/// begins while anything is left: so a file larger than the burst passes, too, and those after it
/// wait until it is paid off.
///
/// In any time t, all downloads that begin but the last take less than rate × t + burst.
#[derive(Debug)]
pub struct DownloadBudget {
    bytes_per_second: NonZeroU64,
    /// Thousandths of a byte, so that milliseconds add up exactly; negative while a file is paid off.
    balance: i128,
    /// Thousandths of a byte that were asked for in vain and will be asked for again.
    turned_away: i128,
    /// When both were reckoned.
    as_of: DateTime<Utc>,
}

/// Why a download can't begin now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OverBudget {
    /// Until something is left.
    pub wait: Duration,
    /// What all who wait will need together, at most [`RETURN_SPREAD_SECONDS_MAX`].
    pub spread: Duration,
}

impl OverBudget {
    /// When to ask again: whole seconds, at least 1. `jitter` (0 to 1) puts a gateway somewhere in
    /// the time that all who wait need, so that they do not come back together.
    pub fn retry_after_seconds(&self, jitter: f64) -> u64 {
        let after = self.wait + self.spread.mul_f64(jitter.clamp(0.0, 1.0));
        after.as_millis().div_ceil(1_000).max(1) as u64
    }
}

impl DownloadBudget {
    /// One with the whole burst left.
    pub fn new(bytes_per_second: NonZeroU64, now: DateTime<Utc>) -> DownloadBudget {
        let mut budget = DownloadBudget {
            bytes_per_second,
            balance: 0,
            turned_away: 0,
            as_of: now,
        };
        budget.balance = budget.burst();
        budget
    }

    /// Charges a download of so many bytes, or says when there is room again.
    pub fn take(&mut self, bytes: u64, now: DateTime<Utc>) -> Result<(), OverBudget> {
        self.reckon(now);
        let cost = thousandths(bytes);
        if self.balance > 0 {
            self.balance -= cost;
            return Ok(());
        }
        let rate = i128::from(self.bytes_per_second.get());
        self.turned_away += cost;
        Err(OverBudget {
            wait: milliseconds(-self.balance / rate + 1),
            spread: milliseconds(self.turned_away / rate)
                .min(Duration::from_secs(RETURN_SPREAD_SECONDS_MAX)),
        })
    }

    /// Gives back what was charged and not sent.
    pub fn refund(&mut self, bytes: u64) {
        self.balance = (self.balance + thousandths(bytes)).min(self.burst());
    }

    /// Adds what the time since the last reckoning is worth. A clock that was set back adds nothing.
    fn reckon(&mut self, now: DateTime<Utc>) {
        let passed_ms = (now - self.as_of).num_milliseconds().max(0);
        let earned = i128::from(passed_ms) * i128::from(self.bytes_per_second.get());
        self.balance = (self.balance + earned).min(self.burst());
        self.turned_away = (self.turned_away - earned).max(0);
        self.as_of = now;
    }

    fn burst(&self) -> i128 {
        thousandths(self.bytes_per_second.get()) * i128::from(DOWNLOAD_BURST_SECONDS)
    }
}

fn thousandths(bytes: u64) -> i128 {
    i128::from(bytes) * 1_000
}

fn milliseconds(count: i128) -> Duration {
    Duration::from_millis(u64::try_from(count).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use proptest::prelude::*;

    use super::*;

    const RATE: u64 = 1_000;
    const BURST: u64 = RATE * DOWNLOAD_BURST_SECONDS;

    fn start() -> DateTime<Utc> {
        DateTime::from_timestamp(1_770_000_000, 0).unwrap()
    }

    fn at(ms: i64) -> DateTime<Utc> {
        start() + TimeDelta::milliseconds(ms)
    }

    fn budget() -> DownloadBudget {
        DownloadBudget::new(NonZeroU64::new(RATE).unwrap(), start())
    }

    #[test]
    fn a_file_larger_than_the_burst_passes_and_the_next_waits_until_it_is_paid_off() {
        let mut budget = budget();
        assert_eq!(budget.take(10 * BURST, at(0)), Ok(()));
        let refusal = budget.take(1, at(0)).unwrap_err();
        // To balance 0 it takes the time of nine bursts, and then something must be left.
        assert_eq!(refusal.wait, Duration::from_millis(9 * 1_000 + 1));
        assert!(budget.take(1, at(9_000)).is_err());
        assert_eq!(budget.take(1, at(9_001)), Ok(()));
    }

    #[test]
    fn after_a_rest_no_more_than_the_burst_is_left() {
        let mut budget = budget();
        assert_eq!(budget.take(BURST, at(0)), Ok(()));
        assert!(budget.take(1, at(0)).is_err());
        let later = at(86_400_000);
        assert_eq!(budget.take(BURST, later), Ok(()));
        assert!(budget.take(1, later).is_err());
    }

    #[test]
    fn what_was_not_sent_is_given_back_but_never_more_than_the_burst() {
        let mut budget = budget();
        assert_eq!(budget.take(5_000, at(0)), Ok(()));
        budget.refund(4_500);
        assert_eq!(budget.take(500, at(0)), Ok(()));
        assert!(budget.take(1, at(0)).is_err());
        budget.refund(100_000);
        assert_eq!(budget.take(BURST, at(0)), Ok(()));
        assert!(budget.take(1, at(0)).is_err());
    }

    #[test]
    fn a_clock_set_back_adds_nothing_and_stops_nothing() {
        let mut budget = budget();
        assert_eq!(budget.take(BURST, at(0)), Ok(()));
        assert!(budget.take(1, at(-3_600_000)).is_err());
        assert_eq!(budget.take(1, at(-3_599_999)), Ok(()));
    }

    #[test]
    fn those_who_wait_are_spread_over_the_time_they_need() {
        let mut budget = budget();
        assert_eq!(budget.take(BURST, at(0)), Ok(()));
        let mut refusals = (0..200).map(|_| budget.take(2_000, at(0)).unwrap_err());
        let first = refusals.next().unwrap();
        assert_eq!(first.spread, Duration::from_secs(2));
        let tenth = refusals.nth(8).unwrap();
        assert_eq!(tenth.spread, Duration::from_secs(20));
        assert_eq!(tenth.retry_after_seconds(0.0), 1);
        assert_eq!(tenth.retry_after_seconds(0.5), 11);
        assert_eq!(tenth.retry_after_seconds(1.0), 21);
        let last = refusals.last().unwrap();
        assert_eq!(last.spread, Duration::from_secs(RETURN_SPREAD_SECONDS_MAX));
        // Who was to come back by then did, or never will.
        assert_eq!(budget.take(BURST + 1, at(400_000)), Ok(()));
        let fresh = budget.take(1_000, at(400_000)).unwrap_err();
        assert_eq!(fresh.spread, Duration::from_secs(1));
    }

    #[test]
    fn the_largest_numbers_fit() {
        let mut budget = DownloadBudget::new(NonZeroU64::MAX, start());
        assert_eq!(budget.take(u64::MAX, DateTime::<Utc>::MAX_UTC), Ok(()));
        let mut slow = DownloadBudget::new(NonZeroU64::MIN, start());
        assert_eq!(slow.take(u64::MAX, start()), Ok(()));
        let refusal = slow.take(u64::MAX, start()).unwrap_err();
        assert!(refusal.retry_after_seconds(1.0) > 1_000_000_000);
    }

    proptest! {
        #[test]
        fn over_any_time_all_but_the_last_stay_below_rate_and_burst(
            asks in proptest::collection::vec((0_i64..3_000, 1_u64..5_000, 0_u64..5_000), 1..60),
        ) {
            let mut budget = budget();
            let mut now_ms = 0;
            // When it was admitted, and the bytes it really took.
            let mut admitted = Vec::new();
            for (pause_ms, bytes, unsent) in asks {
                now_ms += pause_ms;
                match budget.take(bytes, at(now_ms)) {
                    Ok(()) => {
                        let unsent = unsent.min(bytes);
                        budget.refund(unsent);
                        admitted.push((now_ms, bytes - unsent));
                    }
                    Err(refusal) => {
                        let back_ms = now_ms + refusal.wait.as_millis() as i64;
                        prop_assert!(budget.take(0, at(back_ms - 1)).is_err());
                        prop_assert_eq!(budget.take(0, at(back_ms)), Ok(()));
                        now_ms = back_ms;
                    }
                }
            }
            for first in 0..admitted.len() {
                for last in first..admitted.len() {
                    let passed_ms = (admitted[last].0 - admitted[first].0) as u64;
                    let taken: u64 = admitted[first..last].iter().map(|(_, bytes)| bytes).sum();
                    prop_assert!(taken * 1_000 < RATE * passed_ms + BURST * 1_000);
                }
            }
        }
    }
}
