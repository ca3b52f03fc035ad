use std::collections::HashMap;

use airlift_bundle::Refusal;
use chrono::{DateTime, TimeDelta, Utc};

/// Alerts of one kind, which is a code and a device type, that a server sends within a minute.
pub const ALERTS_PER_MINUTE_OF_A_KIND_MAX: u32 = 10;
/// Alerts that a server sends within a minute: gateways name their device types themselves.
pub const ALERTS_PER_MINUTE_MAX: u32 = 60;
/// Kinds that are counted apart; the others share one count.
pub const ALERT_KINDS_MAX: usize = 1000;
const MINUTE: TimeDelta = TimeDelta::minutes(1);

/// Which alerts are sent: a fleet that refuses an upgrade all at once says one thing, not ten
/// thousand. What is left out is counted, and the next alert of its kind carries the count.
#[derive(Debug, Default)]
pub struct AlertLimit {
    all: Minute,
    kinds: HashMap<(Refusal, String), Kind>,
    /// Of the kinds beyond [`ALERT_KINDS_MAX`], and of those that had to make room.
    others: Kind,
}

#[derive(Debug, Default)]
struct Kind {
    minute: Minute,
    /// Left out since the last one that was sent.
    suppressed: u64,
}

/// What was sent within the minute that began at `began`.
#[derive(Debug, Default)]
struct Minute {
    began: Option<DateTime<Utc>>,
    sent: u32,
}

impl Minute {
    fn is_over(&self, now: DateTime<Utc>) -> bool {
        // A clock that was set back begins a new one, too.
        self.began
            .is_none_or(|began| now < began || now - began >= MINUTE)
    }

    fn reckon(&mut self, now: DateTime<Utc>) {
        if self.is_over(now) {
            self.began = Some(now);
            self.sent = 0;
        }
    }
}

impl AlertLimit {
    /// Whether an alert of this kind is sent: then, how many others it stands for.
    pub fn admit(
        &mut self,
        refusal: Refusal,
        device_type: Option<&str>,
        now: DateTime<Utc>,
    ) -> Option<u64> {
        let key = (refusal, device_type.unwrap_or_default().to_owned());
        if self.kinds.len() >= ALERT_KINDS_MAX && !self.kinds.contains_key(&key) {
            self.kinds.retain(|_, kind| {
                let is_over = kind.minute.is_over(now);
                self.others.suppressed += if is_over { kind.suppressed } else { 0 };
                !is_over
            });
        }
        let kind = match self.kinds.len() {
            ALERT_KINDS_MAX.. if !self.kinds.contains_key(&key) => &mut self.others,
            _ => self.kinds.entry(key).or_default(),
        };
        self.all.reckon(now);
        kind.minute.reckon(now);
        if self.all.sent >= ALERTS_PER_MINUTE_MAX
            || kind.minute.sent >= ALERTS_PER_MINUTE_OF_A_KIND_MAX
        {
            kind.suppressed += 1;
            return None;
        }
        self.all.sent += 1;
        kind.minute.sent += 1;
        Some(std::mem::take(&mut kind.suppressed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_770_000_000 + seconds, 0).unwrap()
    }

    #[test]
    fn a_fleet_that_refuses_at_once_is_a_few_alerts_and_a_count() {
        let mut limit = AlertLimit::default();
        let mut admit = |seconds| limit.admit(Refusal::UntrustedKey, Some("jxct"), at(seconds));
        let sent = (0..10_000).filter(|n| admit(n % 60).is_some()).count();
        assert_eq!(sent, ALERTS_PER_MINUTE_OF_A_KIND_MAX as usize);
        assert_eq!(admit(60), Some(9_990));
        assert_eq!(admit(61), Some(0));
    }

    #[test]
    fn another_code_and_another_device_type_have_their_own() {
        let mut limit = AlertLimit::default();
        for _ in 0..20 {
            limit.admit(Refusal::Unsigned, Some("a"), at(0));
        }
        assert_eq!(limit.admit(Refusal::Unsigned, Some("a"), at(0)), None);
        assert_eq!(limit.admit(Refusal::Unsigned, Some("b"), at(0)), Some(0));
        assert_eq!(limit.admit(Refusal::Unsigned, None, at(0)), Some(0));
        assert_eq!(limit.admit(Refusal::Expired, Some("a"), at(0)), Some(0));
    }

    #[test]
    fn invented_device_types_neither_get_past_the_limit_nor_grow_the_books() {
        let mut limit = AlertLimit::default();
        let mut sent = 0;
        for n in 0..10_000 {
            let device_type = format!("invented-{n}");
            let admitted = limit.admit(Refusal::Unsigned, Some(&device_type), at(0));
            sent += u32::from(admitted.is_some());
        }
        assert_eq!(sent, ALERTS_PER_MINUTE_MAX);
        assert_eq!(limit.kinds.len(), ALERT_KINDS_MAX);
        // A minute later they make room, and what was left out is still known.
        assert_eq!(limit.admit(Refusal::Unsigned, Some("new"), at(60)), Some(0));
        assert_eq!(limit.kinds.len(), 1);
        let left_out = u64::from(10_000 - ALERTS_PER_MINUTE_MAX);
        assert_eq!(limit.others.suppressed, left_out);
    }

    #[test]
    fn kinds_whose_minute_is_over_make_room() {
        let mut limit = AlertLimit::default();
        for n in 0..ALERT_KINDS_MAX as i64 {
            let device_type = format!("{n}");
            // One in two seconds: none is left out.
            assert_eq!(
                limit.admit(Refusal::Expired, Some(&device_type), at(2 * n)),
                Some(0)
            );
        }
        let later = at(2 * ALERT_KINDS_MAX as i64);
        assert_eq!(limit.admit(Refusal::Expired, Some("new"), later), Some(0));
        assert!(limit.kinds.len() < 50, "{}", limit.kinds.len());
    }

    #[test]
    fn a_clock_set_back_stops_nothing() {
        let mut limit = AlertLimit::default();
        for _ in 0..ALERTS_PER_MINUTE_OF_A_KIND_MAX {
            assert!(limit.admit(Refusal::Expired, None, at(3_600)).is_some());
        }
        assert_eq!(limit.admit(Refusal::Expired, None, at(3_600)), None);
        assert_eq!(limit.admit(Refusal::Expired, None, at(0)), Some(1));
    }
}
