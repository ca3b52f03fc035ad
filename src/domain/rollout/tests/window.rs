use chrono::{DateTime, TimeDelta, Timelike, Utc};
use chrono_tz::Tz;
use proptest::prelude::*;

use super::{super::Window, utc};

fn window(from: &str, to: &str, timezone: &str) -> Window {
    Window {
        from: from.into(),
        to: to.into(),
        timezone: timezone.into(),
    }
}

/// Each row: a time, and when the window opens and closes from then on; what opens at the time
/// itself is open.
fn expect(window: &Window, rows: &[(&str, &str, &str)]) {
    for (now, opens, closes) in rows {
        let opening = window.next_opening(utc(now)).unwrap();
        assert_eq!(opening, utc(opens), "opening from {now}");
        assert_eq!(window.is_open(utc(now)), now == opens, "{now}");
        assert!(window.is_open(opening));
        assert_eq!(
            window.closes_at(opening),
            Some(utc(closes)),
            "closing from {now}"
        );
        assert!(!window.is_open(utc(closes)));
        assert_eq!(window.closes_at(utc(closes)), None);
    }
}

#[test]
fn it_opens_and_closes_by_the_clock_of_its_place() {
    let shanghai = window("01:00", "05:00", "Asia/Shanghai");
    expect(
        &shanghai,
        &[
            (
                "2026-02-02T12:00:00Z",
                "2026-02-02T17:00:00Z",
                "2026-02-02T21:00:00Z",
            ),
            (
                "2026-02-02T16:59:59.999Z",
                "2026-02-02T17:00:00Z",
                "2026-02-02T21:00:00Z",
            ),
            (
                "2026-02-02T17:00:00Z",
                "2026-02-02T17:00:00Z",
                "2026-02-02T21:00:00Z",
            ),
            (
                "2026-02-02T20:59:59.999Z",
                "2026-02-02T20:59:59.999Z",
                "2026-02-02T21:00:00Z",
            ),
            (
                "2026-02-02T21:00:00Z",
                "2026-02-03T17:00:00Z",
                "2026-02-03T21:00:00Z",
            ),
        ],
    );
}

#[test]
fn it_may_cross_midnight() {
    let night = window("22:00", "02:00", "UTC");
    expect(
        &night,
        &[
            (
                "2026-02-02T21:00:00Z",
                "2026-02-02T22:00:00Z",
                "2026-02-03T02:00:00Z",
            ),
            (
                "2026-02-02T23:30:00Z",
                "2026-02-02T23:30:00Z",
                "2026-02-03T02:00:00Z",
            ),
            (
                "2026-02-03T00:30:00Z",
                "2026-02-03T00:30:00Z",
                "2026-02-03T02:00:00Z",
            ),
            (
                "2026-02-03T02:00:00Z",
                "2026-02-03T22:00:00Z",
                "2026-02-04T02:00:00Z",
            ),
        ],
    );
    let evening = window("22:00", "00:00", "UTC");
    expect(
        &evening,
        &[(
            "2026-02-02T23:00:00Z",
            "2026-02-02T23:00:00Z",
            "2026-02-03T00:00:00Z",
        )],
    );
}

#[test]
fn an_hour_that_the_clock_skips_is_not_in_it() {
    // Berlin, 29 March 2026: 01:00Z is 02:00, which is 03:00 at once.
    let begins_in_the_gap = window("02:30", "04:00", "Europe/Berlin");
    expect(
        &begins_in_the_gap,
        &[
            (
                "2026-03-28T12:00:00Z",
                "2026-03-29T01:00:00Z",
                "2026-03-29T02:00:00Z",
            ),
            (
                "2026-03-29T02:00:00Z",
                "2026-03-30T00:30:00Z",
                "2026-03-30T02:00:00Z",
            ),
        ],
    );
    let ends_in_the_gap = window("01:00", "02:30", "Europe/Berlin");
    expect(
        &ends_in_the_gap,
        &[(
            "2026-03-28T12:00:00Z",
            "2026-03-29T00:00:00Z",
            "2026-03-29T01:00:00Z",
        )],
    );
    let all_in_the_gap = window("02:15", "02:45", "Europe/Berlin");
    expect(
        &all_in_the_gap,
        &[(
            "2026-03-28T12:00:00Z",
            "2026-03-30T00:15:00Z",
            "2026-03-30T00:45:00Z",
        )],
    );
}

#[test]
fn an_hour_that_the_clock_shows_twice_is_in_it_twice() {
    // Berlin, 25 October 2026: 01:00Z is 03:00, which is 02:00 again.
    let all_in_the_hour = window("02:15", "02:45", "Europe/Berlin");
    expect(
        &all_in_the_hour,
        &[
            (
                "2026-10-24T12:00:00Z",
                "2026-10-25T00:15:00Z",
                "2026-10-25T00:45:00Z",
            ),
            (
                "2026-10-25T00:45:00Z",
                "2026-10-25T01:15:00Z",
                "2026-10-25T01:45:00Z",
            ),
        ],
    );
    let ends_in_the_hour = window("01:00", "02:30", "Europe/Berlin");
    expect(
        &ends_in_the_hour,
        &[
            (
                "2026-10-24T12:00:00Z",
                "2026-10-24T23:00:00Z",
                "2026-10-25T00:30:00Z",
            ),
            // Set back into the window.
            (
                "2026-10-25T00:30:00Z",
                "2026-10-25T01:00:00Z",
                "2026-10-25T01:30:00Z",
            ),
        ],
    );
    let around_it = window("01:00", "05:00", "Europe/Berlin");
    expect(
        &around_it,
        &[(
            "2026-10-24T12:00:00Z",
            "2026-10-24T23:00:00Z",
            "2026-10-25T04:00:00Z",
        )],
    );
}

#[test]
fn a_day_that_a_place_left_out_is_passed_over() {
    // Samoa went from 29 to 31 December 2011 at 10:00Z.
    let morning = window("08:00", "09:00", "Pacific/Apia");
    expect(
        &morning,
        &[(
            "2011-12-29T19:00:00Z",
            "2011-12-30T18:00:00Z",
            "2011-12-30T19:00:00Z",
        )],
    );
}

#[test]
fn one_that_cannot_be_read_never_opens() {
    for broken in [
        window("1", "02:00", "UTC"),
        window("01:00", "02:00", "Nowhere"),
    ] {
        let now = utc("2026-02-02T01:30:00Z");
        assert!(!broken.is_open(now));
        assert_eq!(broken.next_opening(now), None);
        assert_eq!(broken.closes_at(now), None);
    }
}

fn zone() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "UTC",
        "Asia/Shanghai",
        "Asia/Kathmandu",
        "Europe/Berlin",
        "America/New_York",
        "America/St_Johns",
        "Australia/Lord_Howe",
        "Africa/Casablanca",
        "America/Havana",
        "Pacific/Apia",
    ])
}

/// Of 2026; half of them a day or two before one of the zones sets its clock.
fn day() -> impl Strategy<Value = i64> {
    let set = prop::sample::select(vec![45, 66, 80, 87, 94, 276, 297, 304]);
    prop_oneof![
        (set, 0..3_i64).prop_map(|(day, before)| day - before),
        0..366_i64
    ]
}

proptest! {
    #[test]
    fn openings_and_closings_are_those_of_a_clock_read_minute_by_minute(
        zone in zone(),
        from in 0..1440_u32,
        length in 1..1440_u32,
        day in day(),
        second in 0..86_400_i64,
    ) {
        let clock = |minute: u32| format!("{:02}:{:02}", minute / 60 % 24, minute % 60);
        let window = window(&clock(from), &clock(from + length), zone);
        let (from, to) = (window.from.as_str(), window.to.as_str());
        let zone: Tz = zone.parse().unwrap();
        let is_open = |at: &DateTime<Utc>| {
            let wall = at.with_timezone(&zone).format("%H:%M").to_string();
            let wall = wall.as_str();
            if from < to { from <= wall && wall < to } else { from <= wall || wall < to }
        };
        let start = utc("2026-01-01T00:00:00Z") + TimeDelta::days(day) + TimeDelta::seconds(second);
        let change = |open: bool| {
            (1..3 * 1440)
                .map(|minute| start.with_second(0).unwrap() + TimeDelta::minutes(minute))
                .find(|at| is_open(at) == open)
        };
        prop_assert_eq!(window.is_open(start), is_open(&start));
        if window.is_open(start) {
            prop_assert_eq!(window.next_opening(start), Some(start));
            prop_assert_eq!(window.closes_at(start), change(false));
        } else {
            prop_assert_eq!(window.next_opening(start), change(true));
            prop_assert_eq!(window.closes_at(start), None);
        }
    }
}
