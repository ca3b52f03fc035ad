//! One sentence about each wait of a download.

use crate::{
    download::{answered, code, upgrading},
    world::*,
};
use airlift_firmware::Answer;
use airlift_proto::error_code;

#[test]
fn a_server_that_asks_for_patience_gets_it_but_not_for_ever() {
    let mut world = upgrading(FileKind::Good);
    for _ in 0..20 {
        world.refuse_for_now(Some(3_600_000));
        world.wait(3_600_000);
    }
    assert!(world.end_of("m").is_none());
    for _ in 0..5 {
        world.refuse_for_now(Some(3_600_000));
        world.wait(3_600_000);
    }
    assert_eq!(code(&world).as_deref(), Some(error_code::DOWNLOAD_FAILED));
}

#[test]
fn retry_after_is_obeyed() {
    let mut world = upgrading(FileKind::Good);
    world.refuse_for_now(Some(20_000));
    world.wait(19_000);
    assert!(world.fetching.is_none());
    world.wait(1_000);
    assert!(world.fetching.is_some());
}

#[test]
fn a_retry_after_of_years_is_cut_to_an_hour() {
    let mut world = upgrading(FileKind::Good);
    world.refuse_for_now(Some(u64::MAX));
    world.wait(3_600_000);
    assert!(world.fetching.is_some());
}

#[test]
fn waits_are_spread_and_grow() {
    let delay = |failures: u32, start_ms: u64| {
        let mut world = upgrading(FileKind::Good);
        // Heartbeats would wake it too.
        world.disconnect();
        world.now_ms = start_ms;
        for _ in 1..failures {
            world.cut_download();
            world.wait(60_000);
        }
        world.cut_download();
        world.gateway.as_ref().unwrap().wake_ms().unwrap() - world.now_ms
    };
    let first: Vec<u64> = (0..20).map(|at| delay(1, at * 7_919)).collect();
    assert!(
        first.iter().all(|ms| (499..=1_000).contains(ms)),
        "{first:?}"
    );
    assert!(first.iter().any(|ms| *ms != first[0]), "no jitter");
    assert!((3_999..=8_000).contains(&delay(4, 0)));
}

#[test]
fn not_before_is_obeyed() {
    let mut world = World::started();
    world.connect();
    world.ack_all();
    world.order_with("m", "2.0.0", FileKind::Good, |data| {
        data.not_before = Some(SENT_AT + 90);
    });
    world.wait(89_000);
    assert!(world.fetching.is_none());
    world.wait(1_000);
    world.settle();
    assert_eq!(code(&world), None);
}

#[test]
fn a_long_wait_for_not_before_is_no_stall() {
    let mut world = World::started();
    world.connect();
    world.ack_all();
    world.order_with("m", "2.0.0", FileKind::Good, |data| {
        data.not_before = Some(SENT_AT + 86_400);
    });
    world.wait(86_400_000);
    world.cut_download();
    assert!(world.end_of("m").is_none());
    world.settle();
    assert_eq!(code(&world), None);
}

#[test]
fn a_gateway_without_a_clock_takes_the_commands_time_for_now() {
    let mut world = World::started();
    world.unix_seconds = 0;
    world.connect();
    world.ack_all();
    world.order_with("m", "2.0.0", FileKind::Good, |data| {
        data.not_before = Some(SENT_AT + 90);
    });
    world.wait(90_000);
    assert!(world.fetching.is_some());
}

#[test]
fn a_not_before_of_years_is_cut_to_a_day() {
    let mut world = World::started();
    world.order_with("m", "2.0.0", FileKind::Good, |data| {
        data.not_before = Some(SENT_AT + 400 * 86_400);
    });
    world.wait(86_399_000);
    assert!(world.fetching.is_none());
    world.wait(1_000);
    assert!(world.fetching.is_some());
}

#[test]
fn a_server_that_asks_for_patience_is_asked_again() {
    for status in [408, 425, 429, 500, 502, 503, 504] {
        let mut world = upgrading(FileKind::Good);
        let answer = Answer {
            status,
            ..Answer::default()
        };
        answered(&mut world, answer);
        assert!(world.end_of("m").is_none(), "{status}");
        world.fetching = None;
        world.wait(1_000);
        world.settle();
        assert_eq!(code(&world), None, "{status}");
    }
}
