//! One sentence about a download each.

use crate::world::*;
use airlift_firmware::{Answer, Event, MARK_STEP_BYTES, STALL_MS_MAX};
use airlift_proto::error_code;

fn upgrading(kind: FileKind) -> World {
    let mut world = World::started();
    world.connect();
    world.ack_all();
    world.order("m", "2.0.0", kind);
    world
}

fn code(world: &World) -> Option<String> {
    let end = world.end_of("m").expect("the upgrade ended");
    end.error_code.clone()
}

#[test]
fn a_cut_is_resumed_where_it_was() {
    let mut world = upgrading(FileKind::Good);
    world.answer(true);
    world.serve(5_001);
    world.cut_download();
    assert!(world.fetching.is_none(), "it waits first");
    world.wait(1_000);
    let fetching = world.fetching.as_ref().unwrap();
    assert_eq!(
        (fetching.offset, fetching.etag.as_deref()),
        (5_001, Some("\"m\""))
    );
    world.settle();
    assert_eq!(code(&world), None);
    assert_eq!(world.bytes_served, world.image_bytes as u64);
}

#[test]
fn a_power_cut_is_resumed_from_the_last_mark_with_its_digests() {
    let mut world = upgrading(FileKind::Good);
    world.answer(true);
    world.serve(8_200);
    world.power_cut();
    let fetching = world.fetching.as_ref().unwrap();
    assert_eq!(
        (fetching.offset, fetching.etag.as_deref()),
        (8_192, Some("\"m\""))
    );
    assert!(world.is_told("goes on upgrading to 2.0.0, 8192 of 9008 bytes are here"));
    world.settle();
    assert_eq!(code(&world), None);
    assert_eq!(world.bytes_served, 8_200 + 9_008 - 8_192);
}

#[test]
fn a_server_that_ignores_the_range_sends_the_file_anew() {
    let mut world = upgrading(FileKind::Good);
    world.answer(true);
    world.serve(5_000);
    world.cut_download();
    world.wait(1_000);
    world.answer(false);
    assert!(world.is_told("starts the download over"));
    world.settle();
    assert_eq!(code(&world), None);
}

#[test]
fn a_download_that_started_over_is_not_resumed_from_its_old_mark() {
    let mut world = upgrading(FileKind::Good);
    world.answer(true);
    world.serve(8_200);
    world.cut_download();
    world.wait(1_000);
    world.answer(false);
    world.serve(1_000);
    world.power_cut();
    assert_eq!(world.fetching.as_ref().unwrap().offset, 0);
    world.settle();
    assert_eq!(code(&world), None);
}

#[test]
fn another_file_under_the_same_url_is_not_continued() {
    let mut world = upgrading(FileKind::Good);
    world.answer(true);
    world.serve(5_000);
    world.power_cut();
    let fetching = world.fetching.take().unwrap();
    assert_eq!(fetching.offset, 4_096);
    let answer = Answer {
        status: 206,
        start: 4_096,
        etag: Some("\"other\""),
        ..Answer::default()
    };
    world.happens(Event::Answer {
        job: fetching.job,
        answer,
    });
    world.wait(5_000);
    assert_eq!(world.fetching.as_ref().unwrap().offset, 0);
    world.settle();
    assert_eq!(code(&world), None);
}

#[test]
fn the_mark_of_another_upgrade_is_not_taken() {
    let mut world = upgrading(FileKind::Good);
    world.answer(true);
    world.serve(5_000);
    world.happens(Event::Message(&cancel("m")));
    world.order("mm", "2.1.0", FileKind::Good);
    world.power_cut();
    assert_eq!(world.fetching.as_ref().unwrap().offset, 0);
    world.settle();
    assert_eq!(world.running, "2.1.0");
}

#[test]
fn a_download_is_given_up_after_fifteen_minutes_without_a_new_byte() {
    let mut world = upgrading(FileKind::Good);
    world.answer(true);
    world.serve(1_000);
    let began_ms = world.now_ms;
    while world.end_of("m").is_none() {
        world.cut_download();
        world.wait(60_000);
    }
    assert_eq!(code(&world).as_deref(), Some(error_code::DOWNLOAD_FAILED));
    let minutes = (world.now_ms - began_ms) / 60_000;
    let limit = STALL_MS_MAX / 60_000;
    assert!((limit..=limit + 1).contains(&minutes), "{minutes}");
}

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
fn starting_over_is_no_progress() {
    let mut world = upgrading(FileKind::NeverWhole);
    world.settle();
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
fn a_missing_file_fails_at_once() {
    let mut world = upgrading(FileKind::Missing);
    world.answer(true);
    assert_eq!(code(&world).as_deref(), Some(error_code::DOWNLOAD_FAILED));
}

#[test]
fn the_servers_own_size_counts() {
    let mut world = upgrading(FileKind::Good);
    let job = world.fetching.take().unwrap().job;
    world.files_are_honest = false;
    let answer = Answer {
        status: 200,
        total: Some(world.image_bytes as u64 + 1),
        ..Answer::default()
    };
    world.happens(Event::Answer { job, answer });
    assert_eq!(code(&world).as_deref(), Some(error_code::DIGEST_MISMATCH));
}

#[test]
fn an_image_larger_than_the_slot_is_refused_before_a_byte_is_fetched() {
    let mut world = World::started();
    world.connect();
    world.ack_all();
    world.order_with("m", "2.0.0", FileKind::Good, |data| data.file_size = 65_537);
    let end = world.end_of("m").unwrap();
    assert_eq!(end.error_code.as_deref(), Some(error_code::INSTALL_FAILED));
    assert_eq!(
        end.error_message.as_deref(),
        Some("the image has 65537 bytes, the slot 65536")
    );
    assert_eq!(world.fetches, 0);
}

/// The wear of an update: erases of the busiest NVS sector, with the marks a board makes.
#[test]
fn the_wear_of_an_update_is_bounded() {
    const UPDATES: usize = 50;
    let mut world = World::started();
    world.mark_step_bytes = MARK_STEP_BYTES;
    world.image_bytes = 65_536;
    world.connect();
    for number in 0..UPDATES {
        let version = format!("2.0.{number}");
        world.order(&format!("m{number}"), &version, FileKind::Good);
        world.settle();
        assert_eq!(world.running, version);
    }
    let flash = world.flash.sim.borrow();
    let erases = flash.erase_counts();
    let nvs = erases[0x9..0xE].iter().max().unwrap();
    let otadata = erases[0xE..0x10].iter().max().unwrap();
    println!(
        "{UPDATES} updates: busiest NVS sector {nvs} erases, busiest otadata sector {otadata}"
    );
    assert!((*nvs as usize) <= 2 * UPDATES, "{nvs}");
    assert!((*otadata as usize) <= 2 * UPDATES, "{otadata}");
    // A slot is erased once for each of its updates.
    assert!(
        erases[0x10..0x30]
            .iter()
            .all(|erases| *erases as usize <= UPDATES / 2)
    );
}
