//! One sentence about a download each.

use crate::world::*;
use airlift_firmware::{Answer, Event, MARK_STEP_BYTES, STALL_MS_MAX};
use airlift_proto::error_code;

pub fn upgrading(kind: FileKind) -> World {
    let mut world = World::started();
    world.connect();
    world.ack_all();
    world.order("m", "2.0.0", kind);
    world
}

pub fn code(world: &World) -> Option<String> {
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
fn starting_over_is_no_progress() {
    let mut world = upgrading(FileKind::NeverWhole);
    world.settle();
    assert_eq!(code(&world).as_deref(), Some(error_code::DOWNLOAD_FAILED));
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

/// The head of an answer to the fetch under way.
pub fn answered(world: &mut World, answer: Answer<'_>) {
    let job = world.fetching.as_ref().unwrap().job;
    world.happens(Event::Answer { job, answer });
}

#[test]
fn a_weak_etag_is_no_ground_to_continue_on() {
    let mut world = upgrading(FileKind::Good);
    world.answer(true);
    world.serve(2_000);
    world.cut_download();
    world.wait(1_000);
    answered(
        &mut world,
        Answer {
            status: 206,
            start: 2_000,
            etag: Some("W/\"m\""),
            ..Answer::default()
        },
    );
    world.cut_download();
    world.wait(5_000);
    let fetching = world.fetching.as_ref().unwrap();
    assert_eq!((fetching.offset, fetching.etag.as_deref()), (2_000, None));
}

#[test]
fn a_body_from_another_place_than_asked_for_is_not_taken() {
    let mut world = upgrading(FileKind::Good);
    world.answer(true);
    world.serve(5_000);
    world.cut_download();
    world.wait(1_000);
    let fetching = world.fetching.take().unwrap();
    assert_eq!(fetching.offset, 5_000);
    let answer = Answer {
        status: 206,
        start: 4_000,
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
fn the_mark_in_another_slot_is_not_taken() {
    let mut world = World::with(airlift_simflash::Kind::Stock, true);
    world.start();
    world.connect();
    world.order("first", "2.0.0", FileKind::Good);
    world.settle();
    let offset = world.gateway.as_ref().unwrap().running().offset;
    world.order("m", "2.0.1", FileKind::Good);
    world.answer(true);
    world.serve(5_000);
    // What runs rots; the factory app runs, and updates the other slot.
    world.flash.sim.borrow_mut().flip_bit(offset + 2_000, 0);
    world.power_cut();
    assert_eq!(world.running, FIRST_VERSION);
    assert_eq!(world.fetching.as_ref().unwrap().offset, 0);
    world.settle();
    assert_eq!(code(&world), None);
    assert_eq!(world.running, "2.0.1");
}

#[test]
fn a_new_byte_makes_the_fifteen_minutes_begin_anew() {
    let mut world = upgrading(FileKind::Good);
    for piece in 0..3 {
        let until_ms = world.now_ms + STALL_MS_MAX - 120_000;
        while world.now_ms < until_ms {
            world.cut_download();
            world.wait(60_000);
        }
        assert!(world.end_of("m").is_none(), "piece {piece}");
        world.answer(true);
        world.serve(1_000);
    }
    world.settle();
    assert_eq!(code(&world), None);
}

#[test]
fn bytes_without_an_answer_before_them_are_not_taken() {
    let mut world = upgrading(FileKind::Good);
    let job = world.fetching.as_ref().unwrap().job;
    world.happens(Event::Chunk {
        job,
        bytes: b"\xE9bytes",
    });
    assert_eq!(world.gateway.as_ref().unwrap().downloaded(), Some(0));
}

#[test]
fn a_server_that_cannot_continue_is_asked_for_the_whole_file() {
    let mut world = upgrading(FileKind::Good);
    world.answer(true);
    world.serve(5_000);
    world.cut_download();
    world.wait(1_000);
    let answer = Answer {
        status: 416,
        ..Answer::default()
    };
    answered(&mut world, answer);
    world.fetching = None;
    world.wait(5_000);
    let fetching = world.fetching.as_ref().unwrap();
    assert_eq!((fetching.offset, fetching.etag.as_deref()), (0, None));
    world.settle();
    assert_eq!(code(&world), None);
}

#[test]
fn a_mark_is_made_at_whole_sectors_only() {
    let mut world = World::started();
    world.mark_step_bytes = 5_000;
    world.power_cut();
    world.connect();
    world.order("m", "2.0.0", FileKind::Good);
    world.answer(true);
    world.serve(5_001);
    world.power_cut();
    assert_eq!(world.fetching.as_ref().unwrap().offset, 0);
    world.answer(true);
    world.serve(8_193);
    world.power_cut();
    assert_eq!(world.fetching.as_ref().unwrap().offset, 8_192);
}

#[test]
fn a_download_of_which_nothing_came_is_not_asked_for_conditionally() {
    let mut world = upgrading(FileKind::Good);
    world.answer(true);
    world.cut_download();
    world.wait(1_000);
    let fetching = world.fetching.as_ref().unwrap();
    assert_eq!((fetching.offset, fetching.etag.as_deref()), (0, None));
}

#[test]
fn bytes_behind_the_image_that_the_flash_does_not_keep_are_noticed() {
    let mut world = World::started();
    world.connect();
    world.ack_all();
    let mut file = image_of("2.0.0", 9_008);
    file.extend([7; 1_000]);
    let data = upgrade_data("m", "2.0.0", &file);
    world.files_are_honest = false;
    world.happens(Event::Message(&upgrade(data)));
    let job = world.fetching.take().unwrap().job;
    let answer = Answer {
        status: 200,
        ..Answer::default()
    };
    world.happens(Event::Answer { job, answer });
    world.happens(Event::Chunk { job, bytes: &file });
    world.flash.sim.borrow_mut().flip_bit(0x2_0000 + 9_100, 0);
    world.happens(Event::FetchEnded { job, reason: None });
    world.work();
    let end = world.end_of("m").unwrap();
    assert_eq!(end.error_code.as_deref(), Some(error_code::INSTALL_FAILED));
    let message = end.error_message.as_deref().unwrap();
    assert!(message.contains("does not hold what was written"));
}
