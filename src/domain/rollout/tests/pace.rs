use chrono::{DateTime, TimeDelta, Utc};
use proptest::prelude::*;

use super::{
    super::{Hold, RolloutPlan, RolloutState, Standing, Step, WaveCounts, decide, paced_after},
    at,
};

/// Sends to a fleet without end for `minutes`, looking as late as `lateness` (milliseconds, over and
/// over) says; what left, and when.
fn sends(rate: u32, lateness: &[i64], minutes: i64) -> Vec<(DateTime<Utc>, i64)> {
    let plan = RolloutPlan {
        commands_per_minute: Some(rate),
        max_in_flight: u32::MAX,
        ..RolloutPlan::default()
    };
    let waves = [WaveCounts {
        percent: 100,
        waiting: i64::from(u32::MAX),
        ..WaveCounts::default()
    }];
    let mut lateness = lateness.iter().cycle();
    let (mut now, mut paced_at) = (at(0), None);
    let mut sends = Vec::new();
    while now < at(60 * minutes) {
        let standing = Standing {
            state: RolloutState::Running,
            wave: 1,
            waves: &waves,
            paced_at,
            pending: 0,
        };
        match decide(&plan, &standing, now) {
            Step::Send { count } => {
                sends.push((now, i64::from(count)));
                assert!(sends.len() < 100_000, "it sends and sends");
                paced_at = paced_after(&plan, paced_at, count, now);
            }
            Step::Wait {
                until: Some(until),
                hold: Hold::Rate,
            } => {
                assert!(until > now);
                now = until + TimeDelta::milliseconds(*lateness.next().unwrap());
            }
            step => panic!("{step:?}"),
        }
    }
    sends
}

fn of_minute(sends: &[(DateTime<Utc>, i64)], begin: DateTime<Utc>) -> i64 {
    let end = begin + TimeDelta::minutes(1);
    sends
        .iter()
        .filter(|(at, _)| (begin..end).contains(at))
        .map(|(_, count)| count)
        .sum()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_minute_has_more_commands_than_the_rate(
        rate in prop_oneof![1..130_u32, 130..2000_u32],
        lateness in prop::collection::vec(prop_oneof![4 => 0..50_i64, 1 => 0..40_000_i64], 1..20),
    ) {
        let sends = sends(rate, &lateness, 3);
        for (begin, _) in &sends {
            let sent = of_minute(&sends, *begin);
            prop_assert!(sent <= i64::from(rate), "{sent} from {begin}");
        }
    }

    #[test]
    fn the_rate_is_nearly_reached_with_timely_looks(rate in 1..20_000_u32) {
        let sent: i64 = sends(rate, &[0], 10).iter().map(|(_, count)| count).sum();
        prop_assert!(sent >= i64::from(rate) * 10 * 97 / 100, "{sent}");
    }
}

#[test]
fn a_late_look_loses_nothing_of_a_high_rate() {
    let sent: i64 = sends(6000, &[400], 10).iter().map(|(_, count)| count).sum();
    assert!(sent >= 58_000, "{sent}");
}

#[test]
fn a_burst_is_a_seconds_worth_at_most() {
    for (rate, burst) in [(1, 1), (60, 1), (119, 1), (120, 2), (6000, 100)] {
        assert_eq!(sends(rate, &[0], 1)[0].1, burst, "{rate}");
        let idle = sends(rate, &[600_000], 21);
        assert!(idle.iter().all(|(_, count)| *count <= burst), "{rate}");
    }
}

#[test]
fn without_a_rate_nothing_is_paced() {
    let plan = RolloutPlan::default();
    assert_eq!(paced_after(&plan, Some(at(9)), 100, at(0)), None);
    let slow = RolloutPlan {
        commands_per_minute: Some(2),
        ..plan
    };
    assert_eq!(paced_after(&slow, None, 1, at(0)), Some(at(30)));
    assert_eq!(paced_after(&slow, Some(at(20)), 2, at(0)), Some(at(80)));
    assert_eq!(paced_after(&slow, Some(at(20)), 0, at(50)), Some(at(20)));
}
