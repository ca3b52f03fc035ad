//! One sentence about behaviour each.

use crate::world::*;
use airlift_firmware::{
    Answer, DOWNLOAD_ATTEMPTS_MAX, Digests, Effect, Event, FINISHED_MAX, Notice, PublishId,
};
use airlift_proto::{ReportState, error_code};

/// A connected gateway that was told to upgrade to "m", a file of this kind.
fn upgrading(kind: FileKind) -> World {
    let mut world = connected();
    order(&mut world, "m", kind, false);
    world
}

fn connected() -> World {
    let mut world = World::new();
    world.connect();
    world.ack_all();
    world
}

fn order(world: &mut World, msg_id: &str, kind: FileKind, force: bool) {
    world.kinds.insert(msg_id.into(), kind);
    world.happens(Event::Command(upgrade(msg_id, force)));
}

fn code(world: &World, msg_id: &str) -> Option<String> {
    world
        .end_of(msg_id)
        .expect("the upgrade ended")
        .error_code
        .clone()
}

/// State and progress of every report of "m".
fn told(world: &World) -> Vec<(ReportState, i64)> {
    let reports = world.reports.get("m").into_iter().flatten();
    reports
        .map(|report| (report.state, report.progress))
        .collect()
}

fn fetches(world: &World) -> usize {
    let accepted = |notice: &&Notice| matches!(notice, Notice::Accepted { offset: 0, .. });
    world.notices.iter().filter(accepted).count()
}

#[test]
fn an_upgrade_reports_every_ten_percent_then_verifies_installs_completes_and_reboots() {
    use ReportState::*;
    let mut world = upgrading(FileKind::Good);
    world.settle();
    let mut expected: Vec<_> = (0..=9).map(|tens| (Downloading, tens * 10)).collect();
    expected.extend([(Verifying, 95), (Installing, 98), (Completed, 100)]);
    let mut told = told(&world);
    told.dedup();
    assert_eq!(told, expected);
    assert_eq!(world.image, content("m", FileKind::Good));
    let heartbeat = world.heartbeats.last().unwrap();
    assert_eq!(heartbeat.firmware_version, version_of("m"));
    assert_eq!(heartbeat.boot_reason.as_deref(), Some("ota"));
    assert!(matches!(
        world.notices.last(),
        Some(Notice::Confirmed { .. })
    ));
}

#[test]
fn the_reboot_waits_until_the_broker_has_completed() {
    let mut world = upgrading(FileKind::Good);
    world.ack_all();
    world.answer(true);
    world.serve(usize::MAX / 2);
    world.serve(1);
    world.work();
    world.work();
    assert_eq!(code(&world, "m"), None);
    let heartbeats = world.heartbeats.len();
    world.wait(100_000);
    world.disconnect();
    world.connect();
    assert_eq!(
        world.heartbeats.len(),
        heartbeats,
        "the old version after completed"
    );
    assert!(!world.notices.contains(&Notice::Rebooting));
    world.ack_all();
    assert!(world.notices.contains(&Notice::Rebooting));
}

#[test]
fn a_cut_is_resumed_where_it_was() {
    let mut world = upgrading(FileKind::Good);
    world.answer(true);
    world.serve(50);
    world.cut();
    assert!(world.fetching.is_none(), "it waits first");
    world.wait(1_000);
    let fetching = world.fetching.as_ref().unwrap();
    assert_eq!(
        (fetching.offset, fetching.etag.as_deref()),
        (50, Some("\"m\""))
    );
    world.settle();
    assert_eq!(code(&world, "m"), None);
}

#[test]
fn a_server_that_ignores_the_range_sends_the_file_anew() {
    let mut world = upgrading(FileKind::Good);
    world.answer(true);
    world.serve(50);
    world.cut();
    world.wait(1_000);
    world.answer(false);
    assert!(world.notices.contains(&Notice::StartedOver));
    assert_eq!(world.part.as_deref(), Some(&[][..]));
    world.settle();
    assert_eq!(code(&world, "m"), None);
}

#[test]
fn another_file_under_the_same_url_is_not_continued() {
    let mut world = upgrading(FileKind::Good);
    world.answer(true);
    world.serve(50);
    world.cut();
    world.wait(1_000);
    let job = world.fetching.as_ref().unwrap().job;
    let answer = Answer {
        status: 206,
        start: 50,
        etag: Some("\"other\"".into()),
        ..Answer::default()
    };
    world.happens(Event::Answer { job, answer });
    world.wait(5_000);
    assert_eq!(world.fetching.as_ref().unwrap().offset, 0);
    world.settle();
    assert_eq!(code(&world, "m"), None);
}

#[test]
fn a_download_without_progress_is_given_up() {
    let mut world = upgrading(FileKind::Good);
    let mut attempts = 0;
    while world.end_of("m").is_none() {
        world.cut();
        world.wait(60_000);
        attempts += 1;
    }
    assert_eq!(attempts, DOWNLOAD_ATTEMPTS_MAX);
    assert_eq!(
        code(&world, "m").as_deref(),
        Some(error_code::DOWNLOAD_FAILED)
    );
}

#[test]
fn starting_over_is_no_progress() {
    let mut world = upgrading(FileKind::NeverWhole);
    world.settle();
    assert_eq!(
        code(&world, "m").as_deref(),
        Some(error_code::DOWNLOAD_FAILED)
    );
}

#[test]
fn retry_after_is_obeyed() {
    let mut world = upgrading(FileKind::Good);
    world.refuse_for_now(Some(20_000));
    world.wait(19_999);
    assert!(world.fetching.is_none());
    world.wait(1);
    assert!(world.fetching.is_some());
}

#[test]
fn a_missing_file_fails_at_once() {
    let mut world = upgrading(FileKind::Missing);
    world.answer(true);
    assert_eq!(
        code(&world, "m").as_deref(),
        Some(error_code::DOWNLOAD_FAILED)
    );
}

#[test]
fn wrong_bytes_are_refused_and_the_old_image_stays() {
    for kind in [FileKind::Altered, FileKind::Longer] {
        let mut world = upgrading(kind);
        world.settle();
        assert_eq!(
            code(&world, "m").as_deref(),
            Some(error_code::DIGEST_MISMATCH)
        );
        assert_eq!(world.image, FIRST_IMAGE);
        assert_eq!(world.part, None);
        assert_eq!(world.gateway.saved().version, FIRST_VERSION);
    }
}

#[test]
fn each_digest_and_the_size_count() {
    let good = |bytes: u64, md5: &str, sha256: &str| Digests {
        size: bytes,
        md5: md5.into(),
        sha256: sha256.into(),
    };
    let mut world = upgrading(FileKind::Good);
    world.is_honest = false;
    world.answer(true);
    let job = world.fetching.as_ref().unwrap().job;
    let answer = Answer {
        status: 200,
        total: Some(announced_size("m") + 1),
        ..Answer::default()
    };
    world.happens(Event::Answer { job, answer });
    assert_eq!(
        code(&world, "m").as_deref(),
        Some(error_code::DIGEST_MISMATCH)
    );
    let announced = digests(&content("m", FileKind::Good));
    for (size, md5, sha256) in [
        (announced.size - 1, &announced.md5, &announced.sha256),
        (announced.size, &announced.sha256, &announced.sha256),
        (announced.size, &announced.md5, &announced.md5),
    ] {
        assert_ne!(good(size, md5, sha256), announced);
        let mut world = upgrading(FileKind::Good);
        world.answer(true);
        world.serve(usize::MAX / 2);
        world.serve(1);
        world.finish_digest(good(size, md5, sha256));
        assert_eq!(
            code(&world, "m").as_deref(),
            Some(error_code::DIGEST_MISMATCH)
        );
    }
}

#[test]
fn a_low_battery_refuses_even_a_forced_upgrade() {
    let mut world = connected();
    world.happens(Event::Battery(19));
    order(&mut world, "m", FileKind::Good, true);
    assert_eq!(code(&world, "m").as_deref(), Some(error_code::BATTERY_LOW));
    assert_eq!(told(&world), [(ReportState::Failed, 0)]);
    assert!(world.is_idle());
    world.happens(Event::Battery(20));
    order(&mut world, "mm", FileKind::Good, false);
    assert!(!world.is_idle());
}

#[test]
fn a_duplicate_repeats_the_last_report_and_starts_nothing() {
    let mut world = upgrading(FileKind::Good);
    world.answer(true);
    world.serve(50);
    order(&mut world, "m", FileKind::Good, true);
    assert_eq!(told(&world).last(), Some(&(ReportState::Downloading, 30)));
    assert_eq!(told(&world).len(), 3);
    world.settle();
    order(&mut world, "m", FileKind::Good, true);
    assert_eq!(told(&world).last(), Some(&(ReportState::Completed, 100)));
    assert_eq!(fetches(&world), 1);
}

#[test]
fn a_second_upgrade_is_refused_unless_forced() {
    let mut world = upgrading(FileKind::Good);
    order(&mut world, "mm", FileKind::Good, false);
    assert_eq!(code(&world, "mm").as_deref(), Some(error_code::BUSY));
    order(&mut world, "mmm", FileKind::Good, true);
    assert_eq!(code(&world, "m").as_deref(), Some(error_code::CANCELLED));
    world.settle();
    assert_eq!(world.gateway.saved().version, version_of("mmm"));
}

#[test]
fn a_forced_upgrade_during_the_install_comes_after_the_reboot() {
    let mut world = upgrading(FileKind::Good);
    world.answer(true);
    world.serve(usize::MAX / 2);
    world.serve(1);
    world.work();
    order(&mut world, "mm", FileKind::Good, true);
    world.happens(Event::Command(cancel("m")));
    world.settle();
    assert_eq!(code(&world, "m"), None);
    assert_eq!(code(&world, "mm"), None);
    assert_eq!(world.gateway.saved().version, version_of("mm"));
}

#[test]
fn a_cancel_ends_its_upgrade_and_no_other() {
    let mut world = upgrading(FileKind::Good);
    world.happens(Event::Command(cancel("other")));
    assert!(world.end_of("m").is_none());
    world.happens(Event::Command(cancel("m")));
    assert_eq!(code(&world, "m").as_deref(), Some(error_code::CANCELLED));
    assert!(world.is_idle());
    assert_eq!(world.part, None);
}

#[test]
fn a_lost_connection_does_not_disturb_the_download_and_its_newest_report_is_sent() {
    let mut world = upgrading(FileKind::Good);
    world.answer(true);
    world.disconnect();
    world.serve(40);
    world.serve(40);
    assert_eq!(told(&world), [(ReportState::Downloading, 0)]);
    world.connect();
    let expected = [
        (ReportState::Downloading, 0),
        (ReportState::Downloading, 50),
    ];
    assert_eq!(told(&world), expected);
}

#[test]
fn a_power_cut_after_the_install_and_before_its_record_still_completes() {
    let mut world = upgrading(FileKind::Good);
    world.ack_all();
    world.answer(true);
    world.serve(usize::MAX / 2);
    world.serve(1);
    world.work();
    world.cut_after = Some(0);
    world.work();
    world.settle();
    assert_eq!(code(&world, "m"), None);
    assert_eq!(fetches(&world), 1);
    assert_eq!(
        world.heartbeats.last().unwrap().boot_reason.as_deref(),
        Some("ota")
    );
}

#[test]
fn a_partial_download_that_was_deleted_is_fetched_anew() {
    let mut world = upgrading(FileKind::Good);
    world.answer(true);
    world.serve(50);
    world.lose_part();
    assert_eq!(world.fetching.as_ref().unwrap().offset, 0);
    world.settle();
    assert_eq!(code(&world, "m"), None);
}

#[test]
fn a_whole_download_that_was_deleted_fails_and_the_old_version_runs_on() {
    let mut world = upgrading(FileKind::Good);
    world.answer(true);
    world.serve(usize::MAX / 2);
    world.serve(1);
    world.lose_part();
    world.settle();
    assert_eq!(
        code(&world, "m").as_deref(),
        Some(error_code::INSTALL_FAILED)
    );
    assert_eq!(world.gateway.saved().version, FIRST_VERSION);
}

#[test]
fn the_ends_that_are_remembered_are_bounded() {
    let mut world = connected();
    world.happens(Event::Battery(0));
    for number in 0..FINISHED_MAX + 5 {
        order(&mut world, &format!("m{number}"), FileKind::Good, false);
    }
    assert_eq!(world.gateway.saved().finished.len(), FINISHED_MAX);
}

#[test]
fn shutting_down_says_goodbye_and_keeps_what_was_downloaded() {
    let mut world = upgrading(FileKind::Good);
    world.answer(true);
    world.serve(20);
    world.happens(Event::Shutdown);
    assert!(world.fetching.is_none());
    assert!(matches!(world.unacked.last(), Some((PublishId(_), body))
        if serde_json::to_string(body).unwrap().contains(r#""online":false"#)));
    assert_eq!(world.gateway.saved().active.as_ref().unwrap().offset, 20);
    assert_eq!(world.gateway.wake_ms(), None);
    let now = airlift_firmware::Now {
        ms: 0,
        unix_seconds: 0,
        jitter: 0,
    };
    let late = airlift_firmware::step(&mut world.gateway, Event::Connected, now);
    assert_eq!(late, Vec::<Effect>::new());
}
