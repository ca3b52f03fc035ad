//! One sentence about an upgrade each.

use crate::world::*;
use airlift_firmware::{ENDED_MAX, Effect, Event, Now};
use airlift_proto::{Report, ReportState, error_code};

/// A connected gateway that was told to upgrade to 2.0.0, a file of this kind.
fn upgrading(kind: FileKind) -> World {
    let mut world = connected();
    world.order("m", "2.0.0", kind);
    world
}

fn connected() -> World {
    let mut world = World::started();
    world.connect();
    world.ack_all();
    world
}

fn code(world: &World, msg_id: &str) -> Option<String> {
    let end = world.end_of(msg_id).expect("the upgrade ended");
    end.error_code.clone()
}

/// State and progress of every report of "m".
fn told(world: &World) -> Vec<(ReportState, i64)> {
    let reports = world.reports.get("m").into_iter().flatten();
    reports
        .map(|report| (report.state, report.progress))
        .collect()
}

/// Sends the whole file.
fn serve_all(world: &mut World) {
    world.answer(true);
    world.serve(usize::MAX);
    world.serve(1);
}

#[test]
fn an_upgrade_reports_every_ten_percent_then_verifies_installs_completes_and_reboots() {
    use ReportState::*;
    let mut world = connected();
    world.image_bytes = 20_000;
    world.order("m", "2.0.0", FileKind::Good);
    world.settle();
    let mut expected: Vec<_> = (0..=9).map(|tens| (Downloading, tens * 10)).collect();
    expected.extend([(Verifying, 95), (Installing, 98), (Completed, 100)]);
    assert_eq!(told(&world), expected);
    assert_eq!(world.running, "2.0.0");
    let heartbeat = world.heartbeats.last().unwrap();
    assert_eq!(heartbeat.firmware_version, "2.0.0");
    assert_eq!(heartbeat.boot_reason.as_deref(), Some("ota"));
    assert_eq!(world.notices.last().unwrap(), "version 2.0.0 is confirmed");
}

#[test]
fn the_reboot_waits_until_the_broker_has_completed() {
    let mut world = upgrading(FileKind::Good);
    world.ack_all();
    serve_all(&mut world);
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
    assert_eq!(world.running, FIRST_VERSION);
    world.ack_all();
    assert_eq!(world.running, "2.0.0");
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
        assert_eq!(world.running, FIRST_VERSION);
        assert_eq!(
            world.heartbeats.last().unwrap().firmware_version,
            FIRST_VERSION
        );
    }
}

#[test]
fn an_image_that_is_none_for_this_chip_is_refused_whatever_its_digests() {
    for (kind, word) in [
        (FileKind::OtherChip, "ESP_ERR_OTA_VALIDATE_FAILED"),
        (FileKind::Flipped, "ESP_ERR_OTA_VALIDATE_FAILED"),
        (FileKind::NoImage, "no application image"),
    ] {
        let mut world = upgrading(kind);
        world.settle();
        let end = world.end_of("m").unwrap();
        assert_eq!(end.error_code.as_deref(), Some(error_code::INSTALL_FAILED));
        let message = end.error_message.clone().unwrap();
        assert!(message.contains(word), "{kind:?}: {message}");
        assert_eq!(world.running, FIRST_VERSION);
    }
}

#[test]
fn each_digest_and_the_size_count() {
    let changes: [fn(&mut airlift_proto::UpgradeData); 3] = [
        |data| {
            data.md5
                .replace_range(..1, if data.md5.starts_with('0') { "1" } else { "0" })
        },
        |data| data.sha256 = Some("0".repeat(64)),
        |data| data.file_size -= 1,
    ];
    for change in changes {
        let mut world = connected();
        world.files_are_honest = false;
        world.order_with("m", "2.0.0", FileKind::Good, change);
        world.settle();
        assert_eq!(
            code(&world, "m").as_deref(),
            Some(error_code::DIGEST_MISMATCH)
        );
    }
}

#[test]
fn a_command_without_a_sha256_is_obeyed() {
    let mut world = connected();
    world.order_with("m", "2.0.0", FileKind::Good, |data| data.sha256 = None);
    world.settle();
    assert_eq!(code(&world, "m"), None);
}

#[test]
fn a_command_with_escaped_slashes_and_its_tag_last_is_read() {
    let mut world = connected();
    let file = announced("2.0.0", FileKind::Good, world.image_bytes);
    world.files.insert(
        "m".into(),
        File {
            kind: FileKind::Good,
            version: "2.0.0".into(),
            bytes: file.len(),
        },
    );
    let data = serde_json::to_string(&upgrade_data("m", "2.0.0", &file)).unwrap();
    let data = data.replace('/', "\\/");
    let json = format!(r#"{{"data":{data},"more":[1,{{"a":null}}],"msgType":"ota_upgrade"}}"#);
    world.happens(Event::Message(json.as_bytes()));
    world.settle();
    assert_eq!(code(&world, "m"), None);
}

#[test]
fn a_command_that_does_not_fit_is_refused_with_its_reason() {
    let mut world = connected();
    world.order_with("m", "2.0.0", FileKind::Good, |data| {
        data.firmware_url = format!("http://server/{}", "x".repeat(600));
    });
    let end = world.end_of("m").unwrap();
    assert_eq!(end.error_code.as_deref(), Some(error_code::INSTALL_FAILED));
    let message = end.error_message.as_deref().unwrap();
    assert!(message.contains("its firmwareUrl has 614 bytes, this gateway takes 512"));
    for garbage in [
        &b"{"[..],
        b"",
        b"[]",
        br#"{"msgType":"x","data":{}}"#,
        &[0xFF; 40],
    ] {
        world.happens(Event::Message(garbage));
    }
    assert_eq!(
        world
            .notices
            .iter()
            .filter(|n| n.starts_with("ignores"))
            .count(),
        5
    );
}

#[test]
fn a_low_battery_refuses_even_a_forced_upgrade() {
    let mut world = connected();
    world.happens(Event::Battery(19));
    world.order_with("m", "2.0.0", FileKind::Good, |data| {
        data.force_upgrade = true
    });
    assert_eq!(code(&world, "m").as_deref(), Some(error_code::BATTERY_LOW));
    assert_eq!(told(&world), [(ReportState::Failed, 0)]);
    assert!(world.is_idle());
    world.happens(Event::Battery(20));
    world.order("mm", "2.0.0", FileKind::Good);
    assert!(!world.is_idle());
}

#[test]
fn a_duplicate_repeats_the_last_report_and_starts_nothing() {
    let mut world = upgrading(FileKind::Good);
    world.answer(true);
    world.serve(3_000);
    world.order("m", "2.0.0", FileKind::Good);
    assert_eq!(told(&world).last(), Some(&(ReportState::Downloading, 30)));
    assert_eq!(told(&world).len(), 3);
    world.settle();
    world.order("m", "2.0.0", FileKind::Good);
    assert_eq!(told(&world).last(), Some(&(ReportState::Completed, 100)));
    assert_eq!(world.fetches, 1);
}

#[test]
fn a_second_upgrade_is_refused_unless_forced() {
    let mut world = upgrading(FileKind::Good);
    world.order("mm", "2.1.0", FileKind::Good);
    assert_eq!(code(&world, "mm").as_deref(), Some(error_code::BUSY));
    world.order_with("mmm", "2.2.0", FileKind::Good, |data| {
        data.force_upgrade = true
    });
    assert_eq!(code(&world, "m").as_deref(), Some(error_code::CANCELLED));
    world.settle();
    assert_eq!(world.running, "2.2.0");
}

#[test]
fn an_upgrade_ordered_while_another_is_on_trial_begins_after_it() {
    let mut world = upgrading(FileKind::Good);
    serve_all(&mut world);
    world.work();
    world.order_with("mm", "2.1.0", FileKind::Good, |data| {
        data.force_upgrade = true
    });
    world.happens(Event::Message(&cancel("m")));
    assert!(world.is_told("holds mm"));
    world.settle();
    assert_eq!((code(&world, "m"), code(&world, "mm")), (None, None));
    assert_eq!(world.running, "2.1.0");
}

#[test]
fn a_cancel_ends_its_upgrade_and_no_other() {
    let mut world = upgrading(FileKind::Good);
    world.happens(Event::Message(&cancel("other")));
    assert!(world.end_of("m").is_none());
    world.happens(Event::Message(&cancel("m")));
    assert_eq!(code(&world, "m").as_deref(), Some(error_code::CANCELLED));
    assert!(world.is_idle());
}

#[test]
fn an_upgrade_is_cancelled_between_two_slices_of_its_verification() {
    let mut world = connected();
    world.mark_step_bytes = u32::MAX;
    world.order("m", "2.0.0", FileKind::Good);
    serve_all(&mut world);
    world.happens(Event::Message(&cancel("m")));
    assert_eq!(code(&world, "m").as_deref(), Some(error_code::CANCELLED));
    world.settle();
    assert_eq!(world.running, FIRST_VERSION);
}

#[test]
fn a_lost_connection_does_not_disturb_the_download_and_its_newest_report_is_sent() {
    let mut world = upgrading(FileKind::Good);
    world.answer(true);
    world.disconnect();
    world.serve(3_000);
    world.serve(2_000);
    assert_eq!(told(&world), [(ReportState::Downloading, 0)]);
    world.connect();
    let expected = [
        (ReportState::Downloading, 0),
        (ReportState::Downloading, 50),
    ];
    assert_eq!(told(&world), expected);
}

#[test]
fn the_ends_that_are_remembered_are_bounded() {
    let mut world = connected();
    world.happens(Event::Battery(0));
    for number in 0..ENDED_MAX + 5 {
        world.order(&format!("m{number}"), "2.0.0", FileKind::Good);
    }
    assert_eq!(world.saved().ended.len(), ENDED_MAX);
}

/// The longest of everything: what is saved must fit into the NVS.
#[test]
fn the_longest_of_everything_is_remembered() {
    let mut world = connected();
    let long = |what: char, number: usize| format!("{number:02}{}", what.to_string().repeat(62));
    world.happens(Event::Battery(0));
    for number in 0..ENDED_MAX + 1 {
        let version = long('v', number);
        world.order_with(&long('m', number), "2.0.0", FileKind::Good, |data| {
            data.version = version;
        });
    }
    world.happens(Event::Battery(80));
    for (number, force) in [(50, false), (51, true)] {
        let msg_id = long('m', number);
        world.order_with(&msg_id, "2.0.0", FileKind::Good, |data| {
            data.force_upgrade = force;
            data.version = long('v', number);
            data.firmware_url = format!("http://server/{}/{msg_id}", "u".repeat(433));
            assert_eq!(data.firmware_url.len(), 512);
        });
    }
    let before = world.saved().clone();
    world.power_cut();
    assert_eq!(world.saved(), &before);
}

#[test]
fn shutting_down_says_goodbye_and_the_next_start_goes_on() {
    let mut world = upgrading(FileKind::Good);
    world.answer(true);
    world.serve(5_000);
    world.happens(Event::Shutdown);
    let Some((_, Sent::Status(status))) = world.unacked.back() else {
        panic!("no goodbye");
    };
    assert!(!status.online);
    assert_eq!(world.gateway.as_ref().unwrap().wake_ms(), None);
    let published = world.unacked.len();
    world.happens(Event::Connected);
    assert_eq!(world.unacked.len(), published, "it acts after its end");
    world.start();
    assert_eq!(world.fetching.as_ref().unwrap().offset, 4_096);
    world.settle();
    assert_eq!(code(&world, "m"), None);
}

#[test]
fn a_flash_that_is_worn_out_fails_the_upgrade_and_the_old_version_runs_on() {
    let mut world = upgrading(FileKind::Good);
    world.answer(true);
    world.flash.wear_out(SLOTS, Wear::Fails);
    world.serve(5_000);
    let end = world.end_of("m").unwrap();
    assert_eq!(end.error_code.as_deref(), Some(error_code::INSTALL_FAILED));
    assert!(
        end.error_message
            .as_deref()
            .unwrap()
            .contains("ESP_ERR_FLASH_OP_FAIL")
    );
    assert_eq!(world.running, FIRST_VERSION);
}

#[test]
fn heartbeats_come_in_time_and_tell_the_vitals() {
    let mut world = connected();
    world.happens(Event::Vitals {
        free_heap: Some(123_456),
        rssi: Some(-61),
    });
    world.wait(29_000);
    assert_eq!(world.heartbeats.len(), 1);
    world.wait(1_000);
    let heartbeat = world.heartbeats.last().unwrap();
    assert_eq!(world.heartbeats.len(), 2);
    assert_eq!(
        (heartbeat.free_heap, heartbeat.rssi),
        (Some(123_456), Some(-61.0))
    );
    assert_eq!(heartbeat.battery, Some(80.0));
    assert!(!heartbeat.rollback);
    let is_owed = |(_, sent): &(_, Sent)| matches!(sent, Sent::Report(Report::Progress(_)));
    assert!(!world.unacked.iter().any(is_owed));
}

#[test]
fn an_end_that_was_delivered_makes_room_before_one_that_was_not() {
    let mut world = connected();
    world.happens(Event::Battery(0));
    world.order("m0", "2.0.0", FileKind::Good);
    // The broker never acknowledges it.
    world.unacked.clear();
    world.order("m1", "2.0.0", FileKind::Good);
    world.ack_all();
    for number in 2..=ENDED_MAX {
        world.order(&format!("m{number}"), "2.0.0", FileKind::Good);
    }
    let ended = world.saved().ended.iter();
    let ids: Vec<&str> = ended.map(|end| end.msg_id.as_str()).collect();
    assert_eq!(ids.len(), ENDED_MAX);
    assert!(ids.contains(&"m0") && !ids.contains(&"m1"), "{ids:?}");
}

/// After a power cut it would be told again, and perhaps otherwise.
#[test]
fn completed_is_durable_before_it_is_told() {
    let mut world = upgrading(FileKind::Good);
    serve_all(&mut world);
    let flash = world.flash.clone();
    let operations = || flash.sim.borrow().operations();
    let gateway = world.gateway.as_mut().unwrap();
    let mut told = None;
    let now = Now {
        ms: world.now_ms,
        unix_seconds: SENT_AT,
        jitter: 0,
    };
    gateway
        .step(Event::Tick, now, &mut |effect| {
            if let Effect::Publish { payload, .. } = effect
                && str::from_utf8(payload).unwrap().contains("completed")
            {
                told = Some(operations());
            }
        })
        .unwrap();
    assert_eq!(told, Some(operations()));
}

#[test]
fn a_power_cut_while_verifying_does_not_set_the_reports_back() {
    let mut world = upgrading(FileKind::Good);
    serve_all(&mut world);
    assert_eq!(told(&world).last(), Some(&(ReportState::Verifying, 95)));
    world.power_cut();
    world.connect();
    assert_eq!(told(&world).last(), Some(&(ReportState::Verifying, 95)));
    world.settle();
    assert_eq!(code(&world, "m"), None);
}

/// The server takes a heartbeat for the proof of an update only after `completed`.
#[test]
fn completed_is_repeated_before_the_new_versions_heartbeat() {
    let mut world = upgrading(FileKind::Good);
    serve_all(&mut world);
    world.work();
    world.power_cut();
    assert_eq!(world.running, "2.0.0");
    world.connect();
    let sent: Vec<_> = world.unacked.iter().map(|(_, sent)| sent).collect();
    let [Sent::Status(_), Sent::Report(first), Sent::Report(second)] = sent[..] else {
        panic!("{} messages", sent.len());
    };
    assert!(matches!(first, Report::Progress(_)), "{first:?}");
    assert!(matches!(second, Report::Heartbeat(_)), "{second:?}");
}

#[test]
fn only_the_acknowledged_completed_reboots_and_says_goodbye_before() {
    let mut world = upgrading(FileKind::Good);
    world.ack_all();
    serve_all(&mut world);
    world.work();
    let (completed, _) = world.unacked.pop_back().unwrap();
    world.happens(Event::Battery(0));
    world.order("n", "2.1.0", FileKind::Good);
    world.ack_all();
    assert_eq!(world.running, FIRST_VERSION, "that was another's end");
    let now = Now {
        ms: world.now_ms,
        unix_seconds: SENT_AT,
        jitter: 0,
    };
    let mut done = Vec::new();
    let gateway = world.gateway.as_mut().unwrap();
    let out = &mut |effect: Effect<'_>| match effect {
        Effect::Publish { payload, .. } => done.push(String::from_utf8(payload.into()).unwrap()),
        Effect::Reboot => done.push("reboot".into()),
        _ => {}
    };
    gateway.step(Event::Acked(completed), now, out).unwrap();
    assert_eq!(done.len(), 2, "{done:?}");
    assert!(done[0].contains(r#""online":false"#), "{done:?}");
    assert_eq!(done[1], "reboot");
}
