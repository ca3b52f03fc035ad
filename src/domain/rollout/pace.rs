use chrono::{DateTime, TimeDelta, Utc};

use super::plan::RolloutPlan;

const MINUTE_MS: i64 = 60_000;

/// A bucket of commands: it holds one second's worth, at least one, and refills at a rate that
/// keeps every minute, also one that begins with a full bucket, at the plan's rate or below.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// Commands that may leave at once.
    pub burst: i64,
    /// Commands by which the bucket fills per minute.
    refill: i64,
}

impl Pace {
    /// `None` if the plan has no rate.
    pub fn of(plan: &RolloutPlan) -> Option<Pace> {
        let rate = i64::from(plan.commands_per_minute?.max(1));
        let burst = (rate / 60).max(1);
        Some(Pace {
            burst,
            refill: rate + 1 - burst,
        })
    }

    /// How many commands may leave now.
    pub fn allowed(self, paced_at: Option<DateTime<Utc>>, now: DateTime<Utc>) -> i64 {
        let debt = (full_at(paced_at, now) - now).num_milliseconds();
        let credit = self.burst * MINUTE_MS - debt.saturating_mul(self.refill);
        credit.div_euclid(MINUTE_MS).max(0)
    }

    /// When `count` commands may leave at once; `count` is at most the burst.
    pub fn allows_at(
        self,
        count: i64,
        paced_at: Option<DateTime<Utc>>,
        now: DateTime<Utc>,
    ) -> DateTime<Utc> {
        let early = (self.burst - count) * MINUTE_MS / self.refill;
        (full_at(paced_at, now) - TimeDelta::milliseconds(early)).max(now)
    }
}

/// When the bucket is full, now at the earliest.
fn full_at(paced_at: Option<DateTime<Utc>>, now: DateTime<Utc>) -> DateTime<Utc> {
    paced_at.map_or(now, |paced_at| paced_at.max(now))
}

/// The rollout's `paced_at` after `sent` commands left at `now`; `None` without a rate. Times are
/// whole milliseconds, as [`Clock`](crate::domain::Clock) gives them.
pub fn paced_after(
    plan: &RolloutPlan,
    paced_at: Option<DateTime<Utc>>,
    sent: u32,
    now: DateTime<Utc>,
) -> Option<DateTime<Utc>> {
    let pace = Pace::of(plan)?;
    if sent == 0 {
        return paced_at;
    }
    let wait = (i64::from(sent) * MINUTE_MS + pace.refill - 1) / pace.refill;
    Some(full_at(paced_at, now) + TimeDelta::milliseconds(wait))
}
