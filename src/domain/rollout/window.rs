use chrono::{DateTime, NaiveTime, Offset, TimeDelta, TimeZone, Timelike, Utc};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

use super::plan::{PlanRefusal, refusal};

/// A daily maintenance window by the wall clock of a place. It is open exactly while the clock on
/// the wall shows a time in it: an hour that the clock skips is missing from it, one that the clock
/// shows twice is in it twice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Window {
    /// `HH:MM`, the first minute that is in it.
    pub from: String,
    /// `HH:MM`, the first minute that is not; before `from` for a window over midnight.
    pub to: String,
    /// IANA name, such as `Asia/Shanghai`.
    pub timezone: String,
}

/// A window as read.
#[derive(Clone, Copy, Debug)]
struct Daily {
    from: NaiveTime,
    to: NaiveTime,
    zone: Tz,
}

impl Window {
    /// How long it is open on a day on which no clock is set.
    pub(super) fn length(&self) -> Result<TimeDelta, PlanRefusal> {
        let daily = self.read()?;
        let length = daily.to - daily.from;
        Ok(match daily.from < daily.to {
            true => length,
            false => length + TimeDelta::days(1),
        })
    }

    /// A window that can't be read is never open.
    pub fn is_open(&self, now: DateTime<Utc>) -> bool {
        self.read().is_ok_and(|daily| daily.is_open(now))
    }

    /// The first instant from `now` on at which it is open.
    pub fn next_opening(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let daily = self.read().ok()?;
        match daily.is_open(now) {
            true => Some(now),
            false => daily.next_change(now),
        }
    }

    /// The first instant after `now` at which it is closed again; `None` if it is closed.
    pub fn closes_at(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let daily = self.read().ok()?;
        daily.is_open(now).then(|| daily.next_change(now))?
    }

    fn read(&self) -> Result<Daily, PlanRefusal> {
        let from = minute("from", "window_from_invalid", &self.from)?;
        let to = minute("to", "window_to_invalid", &self.to)?;
        let zone = self.timezone.parse().map_err(|_| {
            refusal(
                "unknown_timezone",
                format!(
                    "there is no time zone {:?}; window.timezone is a name of the IANA database, \
                     such as Asia/Shanghai or UTC",
                    self.timezone
                ),
            )
        })?;
        if from == to {
            return Err(refusal(
                "window_empty",
                format!(
                    "the window from {} to {} has no length; name a later end, or leave window out \
                     to allow any time",
                    self.from, self.to
                ),
            ));
        }
        Ok(Daily { from, to, zone })
    }
}

fn minute(field: &str, code: &'static str, text: &str) -> Result<NaiveTime, PlanRefusal> {
    // chrono takes a single digit as well.
    (text.len() == "HH:MM".len())
        .then(|| NaiveTime::parse_from_str(text, "%H:%M").ok())
        .flatten()
        .ok_or_else(|| {
            refusal(
                code,
                format!("window.{field} is {text:?}; it is a time of day, 00:00 to 23:59"),
            )
        })
}

impl Daily {
    fn is_open(&self, now: DateTime<Utc>) -> bool {
        let wall = self.wall(now);
        match self.from < self.to {
            true => self.from <= wall && wall < self.to,
            false => self.from <= wall || wall < self.to,
        }
    }

    /// What the clock on the wall shows.
    fn wall(&self, now: DateTime<Utc>) -> NaiveTime {
        now.with_timezone(&self.zone).time()
    }

    /// Seconds by which the clock on the wall is ahead of UTC.
    fn offset(&self, now: DateTime<Utc>) -> i32 {
        let offset = self.zone.offset_from_utc_datetime(&now.naive_utc());
        offset.fix().local_minus_utc()
    }

    /// The first instant after `now` at which it opens if it is closed, closes if it is open.
    fn next_change(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let open = self.is_open(now);
        let edge = if open { self.to } else { self.from };
        let mut from = now;
        loop {
            let mut ahead = edge - self.wall(from);
            if ahead <= TimeDelta::zero() {
                ahead += TimeDelta::days(1);
            }
            let at = from.checked_add_signed(ahead)?;
            if self.offset(at) == self.offset(from) {
                return Some(at);
            }
            // The clock on the wall is set on the way there, which may skip the edge or pass it anew.
            from = self.offset_change(from, at);
            if self.is_open(from) != open {
                return Some(from);
            }
        }
    }

    /// The whole second at which the offset changes, after `low` and not after `high`.
    fn offset_change(&self, low: DateTime<Utc>, high: DateTime<Utc>) -> DateTime<Utc> {
        let before = self.offset(low);
        let mut low = low.with_nanosecond(0).unwrap_or(low);
        let mut high = high;
        while high - low > TimeDelta::seconds(1) {
            let middle = low + TimeDelta::seconds((high - low).num_seconds() / 2);
            if self.offset(middle) == before {
                low = middle;
            } else {
                high = middle;
            }
        }
        high
    }
}
