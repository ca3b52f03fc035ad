//! One sentence about web parts each.

use airlift_bundle::Kind;
use airlift_firmware::{Event, POWER_CUTS_MAX, page::Upload};
use airlift_proto::{ReportState, error_code::*};
use airlift_simflash::Kind as Loader;

use crate::world::*;

/// The contract's figure, not the core's constant: that may not change unseen.
const ATTEMPTS: u8 = 3;
const BOARDS: [(Loader, bool); 4] = [
    (Loader::Stock, false),
    (Loader::Rollback, false),
    (Loader::Stock, true),
    (Loader::Rollback, true),
];
const IMAGE_BYTES: usize = 9_008;

fn old_web() -> Vec<u8> {
    web_of(1, WEB_BYTES, WEB_BYTES)
}

/// Its second sector is the old one's; the last is not whole.
fn new_web() -> Vec<u8> {
    let mut web = web_of(2, WEB_BYTES, WEB_BYTES);
    web[4096..8192].copy_from_slice(&old_web()[4096..8192]);
    web.truncate(WEB_BYTES - 1_000);
    web
}

fn world(loader: Loader, factory: bool) -> World {
    let mut world = World::with_web(loader, factory, &old_web());
    world.start();
    world.connect();
    world.ack_all();
    world
}

/// The server offers and orders a bundle of this version; what the web partition will hold.
fn order(world: &mut World, msg_id: &str, version: &str, kind: Kind, web: &[u8]) -> Vec<u8> {
    let counter = 5 + world.reports.len() as u64;
    let after = world.offer_bundle(msg_id, counter, &Bundle { version, kind, web });
    world.order_bundle(msg_id, version, kind);
    after
}

fn code(world: &World, msg_id: &str) -> Option<String> {
    let end = world.end_of(msg_id).expect("the upgrade ended");
    end.error_code.clone()
}

fn message(world: &World, msg_id: &str) -> String {
    let end = world.end_of(msg_id).expect("the upgrade ended");
    end.error_message.clone().unwrap_or_default()
}

/// Broker and server do what they should, until then.
fn play_until(world: &mut World, done: impl Fn(&World) -> bool) {
    for _ in 0..10_000 {
        if done(world) {
            return;
        }
        world.connect();
        world.ack_all();
        world.answer(true);
        world.serve(500);
        world.work();
    }
    panic!("it never comes to that");
}

/// Until so many bytes of the parts came.
fn play_to_byte(world: &mut World, bytes: usize) {
    play_until(world, |world| world.bytes_served >= bytes as u64);
}

#[test]
fn firmware_and_web_part_come_one_after_the_other_and_change_together() {
    for (loader, factory) in BOARDS {
        let mut world = world(loader, factory);
        let web = new_web();
        let after = order(&mut world, "m", "2.0.0", Kind::FirmwareAndWeb, &web);
        world.settle();
        assert_eq!(code(&world, "m"), None);
        assert_eq!(world.running, "2.0.0");
        assert!(world.web() == after);
        assert_eq!(world.bytes_served, (IMAGE_BYTES + web.len()) as u64);
        assert!(world.is_told("has its new web part"));
        for _ in 0..3 {
            world.power_cut();
            assert_eq!(world.running, "2.0.0");
            assert!(world.web() == after);
        }
    }
}

#[test]
fn progress_counts_the_bytes_of_all_parts() {
    let mut world = world(Loader::Stock, false);
    let web = new_web();
    order(&mut world, "m", "2.0.0", Kind::FirmwareAndWeb, &web);
    let whole = IMAGE_BYTES + web.len();
    play_to_byte(&mut world, IMAGE_BYTES);
    let percent = 100 * IMAGE_BYTES as i32 / whole as i32 / 10 * 10;
    assert_eq!(
        world.reports["m"].last().unwrap().progress,
        i64::from(percent)
    );
    world.settle();
    let told: Vec<_> = world.reports["m"].iter().map(|one| one.progress).collect();
    assert_eq!(
        told[..],
        [0, 10, 20, 30, 40, 50, 60, 70, 80, 90, 95, 98, 100]
    );
    let states: Vec<_> = world.reports["m"].iter().map(|one| one.state).collect();
    assert_eq!(
        states
            .iter()
            .filter(|one| **one == ReportState::Verifying)
            .count(),
        1
    );
}

#[test]
fn a_web_part_alone_changes_the_version_and_no_slot() {
    for (loader, factory) in BOARDS {
        let mut world = world(loader, factory);
        let after = order(&mut world, "m", "1.0.1-web", Kind::Web, &new_web());
        play_until(&mut world, |world| world.web() == after);
        assert_eq!(world.gateway.as_ref().unwrap().version(), "1.0.1-web");
        assert_eq!(world.saved().on_trial(), Some(1));
        world.settle();
        assert_eq!(code(&world, "m"), None);
        assert_eq!(world.running, FIRST_VERSION);
        assert_eq!(world.saved().release_counter, 5);
        world.power_cut();
        assert_eq!(world.gateway.as_ref().unwrap().version(), "1.0.1-web");
        assert!(world.web() == after);
    }
}

#[test]
fn a_web_part_alone_is_proven_by_the_acknowledged_heartbeat_and_by_nothing_before() {
    let mut world = world(Loader::Stock, false);
    let after = order(&mut world, "m", "1.0.1-web", Kind::Web, &new_web());
    play_until(&mut world, |world| world.web() == after);
    world.connect();
    world.ack_one();
    assert_eq!(world.saved().on_trial(), Some(1), "that was the status");
    for cuts in 1..=POWER_CUTS_MAX {
        world.power_cut();
        let trial = world.saved().web.clone().unwrap();
        assert_eq!((trial.attempts, trial.power_cuts), (1, cuts));
    }
    world.connect();
    world.ack_all();
    assert_eq!(world.saved().on_trial(), None);
}

#[test]
fn a_web_part_of_which_the_firmware_dies_is_taken_back_and_the_next_heartbeat_says_so() {
    for (loader, factory) in BOARDS {
        for death in [Death::AfterBoot, Death::NoNetwork] {
            let mut world = world(loader, factory);
            let (version, kind, web) = ("1.0.1-web", Kind::Web, &new_web()[..]);
            let after = world.offer_bundle("m", 5, &Bundle { version, kind, web });
            world.webs.dies = Some((after, death));
            let starts = world.booted.len();
            world.order_bundle("m", version, kind);
            world.settle();
            assert!(world.web() == old_web());
            let back = world.saved().rolled_back.clone().unwrap();
            assert_eq!((&*back.version, back.attempts), (version, ATTEMPTS));
            assert_eq!(world.booted.len() - starts, usize::from(ATTEMPTS) + 1);
            let last = world.heartbeats.last().unwrap();
            assert_eq!(
                (&*last.firmware_version, last.rollback),
                (FIRST_VERSION, true)
            );
            assert!(world.is_told("has its old web part back"));
            assert_eq!(world.saved().release_counter, 0);
            world.webs.dies = None;
            let after = order(&mut world, "n", "1.0.1-web-2", Kind::Web, &new_web());
            world.settle();
            assert_eq!(code(&world, "n"), None);
            assert!(world.web() == after);
        }
    }
}

#[test]
fn a_firmware_that_dies_takes_its_web_part_with_it() {
    for (loader, factory) in BOARDS {
        for death in [Death::AfterBoot, Death::NoNetwork] {
            let mut world = world(loader, factory);
            world.dies.insert("2.0.0".into(), death);
            order(&mut world, "m", "2.0.0", Kind::FirmwareAndWeb, &new_web());
            world.settle();
            assert_eq!(world.running, FIRST_VERSION);
            assert!(world.web() == old_web());
            assert!(world.heartbeats.last().unwrap().rollback);
            // Nothing is left of it that a later firmware could take for its own.
            world.dies.clear();
            world.may_run("2.0.1", &old_web(), "2.0.1");
            world.order_signed("n", "2.0.1", 6);
            world.settle();
            assert_eq!((&*world.running, code(&world, "n")), ("2.0.1", None));
            assert!(world.web() == old_web());
        }
    }
}

#[test]
fn firmware_that_is_here_is_not_fetched_again_after_a_restart_in_the_web_part() {
    for (bytes, most_again) in [
        (IMAGE_BYTES + 1, 500),
        (IMAGE_BYTES + 3_000, 3_500),
        (18_000, 4_096 + 500),
    ] {
        for crashes in [false, true] {
            let mut world = world(Loader::Stock, false);
            let web = new_web();
            let after = order(&mut world, "m", "2.0.0", Kind::FirmwareAndWeb, &web);
            play_to_byte(&mut world, bytes);
            match crashes {
                true => world.crash(),
                false => world.power_cut(),
            }
            world.settle();
            assert_eq!(code(&world, "m"), None);
            assert!(world.web() == after);
            let again = world.bytes_served as usize - IMAGE_BYTES - web.len();
            assert!(again <= most_again, "{again} bytes came again at {bytes}");
        }
    }
}

#[test]
fn a_server_that_sends_the_web_part_from_its_beginning_is_followed() {
    let mut world = world(Loader::Stock, false);
    let after = order(&mut world, "m", "2.0.0", Kind::FirmwareAndWeb, &new_web());
    play_to_byte(&mut world, IMAGE_BYTES + 9_000);
    world.cut_download();
    world.wait(2_000);
    world.answer(false);
    assert!(world.is_told("starts the download over"));
    // What is marked of the first try must not count.
    world.crash();
    world.settle();
    assert_eq!(code(&world, "m"), None);
    assert!(world.web() == after);
}

#[test]
fn a_part_with_another_digest_is_refused_and_all_stays_old() {
    let mut world = world(Loader::Stock, false);
    world.files_are_honest = false;
    let web = new_web();
    order(&mut world, "m", "2.0.0", Kind::FirmwareAndWeb, &web);
    let file = world.webs.files.get_mut(&web_name("m")).unwrap();
    file.served[7_000] ^= 1;
    world.settle();
    assert_eq!(code(&world, "m").as_deref(), Some(DIGEST_MISMATCH));
    let (version, kind, web) = ("2.0.1", Kind::FirmwareAndWeb, &web[..]);
    world.offer_bundle("n", 6, &Bundle { version, kind, web });
    world.order_bundle("n", version, kind);
    world.files.get_mut("n").unwrap().kind = FileKind::Altered;
    let served = world.bytes_served;
    world.settle();
    assert_eq!(code(&world, "n").as_deref(), Some(DIGEST_MISMATCH));
    assert_eq!(
        world.bytes_served - served,
        IMAGE_BYTES as u64,
        "no web part after it"
    );
    assert_eq!(world.running, FIRST_VERSION);
    assert!(world.web() == old_web());
}

#[test]
fn a_web_part_for_which_there_is_no_place_is_refused_before_a_byte_of_it() {
    let mut world = world(Loader::Stock, false);
    let large = web_of(3, 100, WEB_BYTES + 1);
    for kind in [Kind::Web, Kind::FirmwareAndWeb] {
        let msg_id = kind.as_str();
        let (version, web) = ("2.0.0", &large[..]);
        world.offer_manifest(msg_id, 5, &Bundle { version, kind, web });
        world.order_bundle(msg_id, version, kind);
        world.settle();
        assert_eq!(code(&world, msg_id).as_deref(), Some(INSTALL_FAILED));
        let why = "the web part has 12289 bytes, spiffs_web takes 12288";
        assert_eq!(message(&world, msg_id), why);
    }
    assert_eq!(world.bytes_served, 0);
    let mut world = World::trusting();
    let (version, kind, web) = ("2.0.0", Kind::Web, &[1; 900][..]);
    world.offer_manifest("m", 5, &Bundle { version, kind, web });
    world.order_bundle("m", version, kind);
    world.settle();
    assert_eq!(
        message(&world, "m"),
        "the partition table has no spiffs_web"
    );
    assert_eq!(world.bytes_served, 0);
}

#[test]
fn a_change_that_has_no_room_beside_the_firmware_is_refused_with_the_numbers() {
    // The slot is full, and there are only the five sectors behind all partitions.
    let mut world = World::with_web(Loader::Stock, false, &old_web());
    world.flash.shrink_to(0x3_4000);
    world.image_bytes = 0x1_0000;
    world.start();
    order(&mut world, "m", "2.0.0", Kind::FirmwareAndWeb, &new_web());
    world.settle();
    assert_eq!(code(&world, "m").as_deref(), Some(INSTALL_FAILED));
    let why = "1 or more sectors of the web part change, beside the firmware there is room for 0";
    assert_eq!(message(&world, "m"), why);
    assert!(world.web() == old_web());
    // Without firmware there is.
    let after = order(&mut world, "n", "2.0.1", Kind::Web, &new_web());
    world.settle();
    assert_eq!(code(&world, "n"), None);
    assert!(world.web() == after);
}

#[test]
fn an_equal_web_part_needs_no_room_and_writes_nothing() {
    let mut world = World::with_web(Loader::Stock, false, &old_web());
    world.flash.shrink_to(0x3_3000);
    world.image_bytes = 0x1_0000;
    world.start();
    order(&mut world, "m", "2.0.0", Kind::FirmwareAndWeb, &old_web());
    world.settle();
    assert_eq!((&*world.running, code(&world, "m")), ("2.0.0", None));
    let erased = world.flash.sim.borrow().erase_counts()[0x30..0x33].to_vec();
    assert_eq!(erased, [0; 3]);
}

#[test]
fn an_upgrade_that_is_cancelled_or_replaced_in_its_web_part_leaves_the_old_one() {
    for replaced in [false, true] {
        let mut world = world(Loader::Stock, false);
        order(&mut world, "m", "2.0.0", Kind::FirmwareAndWeb, &new_web());
        play_to_byte(&mut world, IMAGE_BYTES + 6_000);
        let mut expected = (FIRST_VERSION, old_web());
        if replaced {
            let (version, kind, web) = ("2.0.1", Kind::Web, &new_web()[..]);
            expected.1 = world.offer_bundle("n", 6, &Bundle { version, kind, web });
            world.order_bundle_with("n", version, kind, |data| data.force_upgrade = true);
        } else {
            world.happens(Event::Message(&cancel("m")));
        }
        assert_eq!(code(&world, "m").as_deref(), Some(CANCELLED));
        world.settle();
        world.power_cut();
        assert_eq!(world.running, expected.0);
        assert!(world.web() == expected.1);
    }
}

#[test]
fn updates_of_all_kinds_follow_one_another_through_all_slots() {
    for (loader, factory) in BOARDS {
        let mut world = world(loader, factory);
        for number in 0..9u64 {
            let (version, msg_id) = (format!("2.0.{number}"), format!("m{number}"));
            let web = web_of(number, WEB_BYTES, WEB_BYTES - 100 * number as usize);
            match number % 3 {
                0 => drop(order(
                    &mut world,
                    &msg_id,
                    &version,
                    Kind::FirmwareAndWeb,
                    &web,
                )),
                1 => drop(order(&mut world, &msg_id, &version, Kind::Web, &web)),
                _ => {
                    let web = world.web();
                    world.may_run(&version, &web, &version);
                    world.order_signed(&msg_id, &version, 5 + number);
                }
            }
            world.settle();
            assert_eq!(
                code(&world, &msg_id),
                None,
                "{loader:?} {factory} {version}"
            );
            assert_eq!(world.gateway.as_ref().unwrap().version(), version);
            world.power_cut();
            assert_eq!(world.gateway.as_ref().unwrap().version(), version);
        }
    }
}

#[test]
fn an_image_flashed_by_cable_after_a_web_part_tells_its_own_version() {
    for factory in [false, true] {
        let mut world = world(Loader::Stock, factory);
        let after = order(&mut world, "m", "1.0.1-web", Kind::Web, &new_web());
        world.settle();
        world.files.insert(
            "cable".into(),
            File {
                kind: FileKind::Good,
                version: "3.0.0".into(),
                bytes: 9_040,
            },
        );
        world.may_run("3.0.0", &after, "3.0.0");
        let image = image_of("3.0.0", 9_040);
        world.flash.sim.borrow_mut().load(0x1_0000, &image);
        world.start();
        assert_eq!(world.gateway.as_ref().unwrap().version(), "3.0.0");
    }
}

#[test]
fn while_a_web_part_is_on_trial_other_updates_wait() {
    let mut world = world(Loader::Stock, false);
    let after = order(&mut world, "m", "1.0.1-web", Kind::Web, &new_web());
    play_until(&mut world, |world| world.web() == after);
    world.connect();
    let refused = world.gateway.as_mut().unwrap().admit(None);
    assert!(refused.unwrap_err().cause.contains("still on trial"));
    world.may_run("2.0.0", &after, "2.0.0");
    world.order_signed("n", "2.0.0", 9);
    assert!(world.is_told("holds n"));
    world.settle();
    assert_eq!((&*world.running, code(&world, "n")), ("2.0.0", None));
}
