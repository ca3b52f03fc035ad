//! One sentence about a new image's trial each.

use crate::world::*;
use airlift_firmware::{
    Event, NAMESPACE, POWER_CUTS_MAX,
    flash::{nvs::Nvs, otadata::Otadata, partition_table::PartitionTable},
};
use airlift_proto::HeartbeatData;
use airlift_simflash::Kind as Loader;

/// The contract's figure, not the core's constant: that may not change unseen.
const ATTEMPTS: u8 = 3;

fn upgraded(loader: Loader, factory: bool, death: Option<Death>) -> World {
    let mut world = World::with(loader, factory);
    if let Some(death) = death {
        world.dies.insert("2.0.0".into(), death);
    }
    world.start();
    world.connect();
    world.order("m", "2.0.0", FileKind::Good);
    world.settle();
    world
}

const BOARDS: [(Loader, bool); 4] = [
    (Loader::Stock, false),
    (Loader::Rollback, false),
    (Loader::Stock, true),
    (Loader::Rollback, true),
];

#[test]
fn three_failed_boots_roll_back_and_the_next_heartbeat_says_so() {
    for (loader, factory) in BOARDS {
        for death in [Death::AfterBoot, Death::NoNetwork] {
            let world = upgraded(loader, factory, Some(death));
            assert_eq!(world.running, FIRST_VERSION);
            let back = world.saved().rolled_back.clone().unwrap();
            assert_eq!((&*back.version, back.attempts), ("2.0.0", ATTEMPTS));
            let boots = |notice: &&String| notice.contains("boots version 2.0.0");
            let expected = match death {
                // It died before it could tell anybody.
                Death::AfterBoot => 0,
                _ => usize::from(ATTEMPTS),
            };
            assert_eq!(world.notices.iter().filter(boots).count(), expected);
            let last = world.heartbeats.last().unwrap();
            assert_eq!(
                (&*last.firmware_version, last.rollback),
                (FIRST_VERSION, true)
            );
            assert!(back.told);
        }
    }
}

/// With the stock bootloader nothing could help: it starts the same image again and again.
#[test]
fn an_image_that_dies_before_its_first_act_is_rolled_back_by_a_bootloader_with_rollback() {
    for factory in [false, true] {
        let world = upgraded(Loader::Rollback, factory, Some(Death::BeforeFirstAct));
        assert_eq!(world.running, FIRST_VERSION);
        let back = world.saved().rolled_back.clone().unwrap();
        assert_eq!(back.attempts, ATTEMPTS);
    }
}

#[test]
#[should_panic(expected = "a brick: it starts again and again")]
fn with_the_stock_bootloader_an_image_that_dies_before_its_first_act_never_comes_back() {
    upgraded(Loader::Stock, false, Some(Death::BeforeFirstAct));
}

#[test]
fn a_new_image_is_confirmed_by_the_acknowledged_heartbeat_and_by_nothing_before() {
    for (loader, factory) in BOARDS {
        let mut world = on_trial(loader, factory);
        assert!(world.saved().trial.is_some());
        world.connect();
        assert!(world.saved().trial.is_some(), "connected is not enough");
        assert!(world.heartbeats.last().unwrap().firmware_version == "2.0.0");
        world.ack_one();
        assert!(world.saved().trial.is_some(), "that was the status");
        world.power_cut();
        assert_eq!(world.running, "2.0.0");
        let trial = world.saved().trial.clone().unwrap();
        assert_eq!((trial.attempts, trial.power_cuts), (1, 1));
        world.connect();
        world.ack_all();
        assert!(world.saved().trial.is_none());
        for _ in 0..5 {
            world.power_cut();
            assert_eq!(world.running, "2.0.0");
        }
    }
}

#[test]
fn a_trial_that_is_too_slow_gives_up() {
    let mut world = on_trial(Loader::Stock, false);
    world.wait(299_000);
    assert_eq!(world.saved().trial.as_ref().unwrap().attempts, 1);
    world.wait(1_000);
    assert_eq!(world.saved().trial.as_ref().unwrap().attempts, 2);
}

#[test]
fn the_next_upgrade_works_after_a_rollback() {
    for (loader, factory) in BOARDS {
        let mut world = upgraded(loader, factory, Some(Death::AfterBoot));
        world.order("n", "2.0.1", FileKind::Good);
        world.settle();
        assert_eq!(world.running, "2.0.1");
        assert!(world.saved().rolled_back.is_none());
        assert!(!world.heartbeats.last().unwrap().rollback);
    }
}

#[test]
fn updates_follow_one_another_through_all_slots() {
    for (loader, factory) in BOARDS {
        let mut world = World::with(loader, factory);
        world.start();
        for number in 0..6 {
            let version = format!("2.0.{number}");
            world.connect();
            world.order(&format!("m{number}"), &version, FileKind::Good);
            world.settle();
            assert_eq!(world.running, version, "{loader:?} {factory}");
        }
    }
}

#[test]
fn an_image_flashed_by_cable_tells_its_own_version() {
    let mut world = upgraded(Loader::Stock, false, None);
    let offset = world.gateway.as_ref().unwrap().running().offset;
    world.files.insert(
        "cable".into(),
        File {
            kind: FileKind::Good,
            version: "3.0.0".into(),
            bytes: 9_040,
        },
    );
    let image = image_of("3.0.0", 9_040);
    world.flash.sim.borrow_mut().load(offset, &image);
    world.start();
    assert_eq!(world.gateway.as_ref().unwrap().version(), "3.0.0");
}

#[test]
fn an_image_on_trial_that_rots_in_the_flash_does_not_boot() {
    let mut world = World::started();
    world.connect();
    world.order("m", "2.0.0", FileKind::Good);
    world.answer(true);
    world.serve(usize::MAX);
    world.serve(1);
    world.work();
    world.flash.sim.borrow_mut().flip_bit(0x2_0000 + 5_000, 0);
    // The broker's acknowledgement never comes; the next start goes on into the trial.
    world.power_cut();
    assert_eq!(world.running, FIRST_VERSION);
    world.settle();
    assert_eq!(world.running, FIRST_VERSION);
    assert!(world.heartbeats.last().unwrap().rollback);
    let mut flash = world.flash.clone();
    let table = PartitionTable::read(&mut flash).unwrap();
    let otadata = Otadata::read(&mut flash, table.find_otadata().unwrap()).unwrap();
    let boots = otadata.entries[otadata.active().unwrap()].unwrap();
    assert_eq!(
        Otadata::slot(boots, 2),
        Some(0),
        "what runs is what is to run"
    );
}

/// Broker and server do what they should, until then.
fn play_until(world: &mut World, done: impl Fn(&World) -> bool) {
    while !done(world) {
        world.connect();
        world.ack_all();
        world.answer(true);
        world.serve(4_000);
        world.work();
    }
}

/// A gateway that has booted its new image and not reached the broker yet.
fn on_trial(loader: Loader, factory: bool) -> World {
    let mut world = World::with(loader, factory);
    world.start();
    world.connect();
    world.order("m", "2.0.0", FileKind::Good);
    play_until(&mut world, |world| world.running != FIRST_VERSION);
    world
}

#[test]
fn power_cuts_are_not_the_images_fault_but_there_is_an_end_to_them() {
    for (loader, factory) in BOARDS {
        let mut world = on_trial(loader, factory);
        for _ in 0..POWER_CUTS_MAX {
            world.power_cut();
        }
        assert_eq!(world.running, "2.0.0");
        for _ in 0..ATTEMPTS {
            world.power_cut();
        }
        assert_eq!(world.running, FIRST_VERSION, "{loader:?} {factory}");
    }
}

/// A gateway that has just rolled 2.0.0 back and is not connected.
fn rolled_back() -> World {
    let mut world = World::started();
    world.dies.insert("2.0.0".into(), Death::AfterBoot);
    world.connect();
    world.order("m", "2.0.0", FileKind::Good);
    play_until(&mut world, |world| world.saved().rolled_back.is_some());
    world
}

#[test]
fn a_rollback_is_told_at_every_start_until_the_broker_has_it_and_then_no_more() {
    let mut world = rolled_back();
    for _ in 0..2 {
        world.connect();
        assert!(world.heartbeats.last().unwrap().rollback);
        // The status, not the heartbeat.
        world.ack_one();
        world.power_cut();
    }
    world.connect();
    world.ack_all();
    world.power_cut();
    world.connect();
    assert!(!world.heartbeats.last().unwrap().rollback);
}

#[test]
fn the_attempts_of_a_trial_lie_in_the_flash_for_others_to_read() {
    let world = upgraded(Loader::Stock, false, Some(Death::AfterBoot));
    let mut flash = world.flash.clone();
    let table = PartitionTable::read(&mut flash).unwrap();
    let mut nvs = Nvs::mount(&mut flash, table.find_nvs().unwrap()).unwrap();
    let attempts = nvs.get_u8(&mut flash, NAMESPACE, "attempts").unwrap();
    assert_eq!(attempts, Some(ATTEMPTS));
}

/// Where the bootloader had to pass an image over, otadata names another slot than the one that runs.
#[test]
fn an_update_from_a_slot_that_otadata_does_not_name_can_be_rolled_back() {
    for (loader, factory) in BOARDS {
        let mut world = upgraded(loader, factory, None);
        world.order("n", "2.0.1", FileKind::Good);
        world.settle();
        let offset = world.gateway.as_ref().unwrap().running().offset;
        world.flash.sim.borrow_mut().flip_bit(offset + 2_000, 0);
        world.power_cut();
        let fallback = world.running.clone();
        assert_ne!(fallback, "2.0.1");
        world.dies.insert("2.0.2".into(), Death::AfterBoot);
        world.settle();
        world.order("o", "2.0.2", FileKind::Good);
        world.settle();
        assert_eq!(world.running, fallback, "{loader:?} {factory}");
        assert!(world.heartbeats.last().unwrap().rollback);
    }
}

#[test]
fn a_power_cut_between_two_attempts_costs_none() {
    for factory in [false, true] {
        let ready = || {
            let mut world = World::with(Loader::Rollback, factory);
            world.dies.insert("2.0.0".into(), Death::BeforeFirstAct);
            world.start();
            world.connect();
            world.order("m", "2.0.0", FileKind::Good);
            world.ack_all();
            world.answer(true);
            world.serve(usize::MAX);
            world.serve(1);
            world.work();
            world
        };
        let mut whole = ready();
        let before = whole.flash.sim.borrow().operations();
        whole.ack_all();
        let operations = whole.flash.sim.borrow().operations() - before;
        assert!(whole.saved().rolled_back.is_some());
        for at in 1..=operations {
            let mut world = ready();
            world.flash.sim.borrow_mut().cut_after(at, at);
            world.ack_all();
            world.settle();
            assert_eq!(world.cuts_fired, 1);
            let back = world.saved().rolled_back.clone().unwrap();
            assert_eq!(back.attempts, ATTEMPTS);
            assert!(world.booted.len() >= whole.booted.len(), "cut at {at}");
        }
    }
}

#[test]
fn an_upgrade_ordered_during_a_trial_leaves_the_old_image_alone_until_the_new_one_is_proven() {
    for (loader, factory) in BOARDS {
        let mut world = on_trial(loader, factory);
        world.connect();
        let fetches = world.fetches;
        world.order_with("n", "2.0.1", FileKind::Good, |data| {
            data.force_upgrade = true;
        });
        assert!(world.is_told("holds n"));
        assert_eq!(world.fetches, fetches);
        world.power_cut();
        assert_eq!(world.fetches, fetches);
        world.connect();
        world.ack_all();
        assert_eq!(world.fetches, fetches + 1);
        world.settle();
        assert_eq!(world.running, "2.0.1");
    }
}

#[test]
fn an_upgrade_that_is_held_begins_after_a_rollback_too() {
    let mut world = World::started();
    world.dies.insert("2.0.0".into(), Death::AfterBoot);
    world.connect();
    world.order("m", "2.0.0", FileKind::Good);
    world.ack_all();
    world.answer(true);
    world.serve(usize::MAX);
    world.serve(1);
    world.work();
    world.order("n", "2.0.1", FileKind::Good);
    assert!(world.is_told("holds n"));
    // The power goes before the broker has anything.
    world.power_cut();
    assert!(world.is_told("rolled back") || world.saved().rolled_back.is_some());
    assert!(!world.is_idle(), "the one that was held is forgotten");
    world.settle();
    assert_eq!(world.running, "2.0.1");
}

#[test]
fn a_held_upgrade_is_cancelled_by_its_own_id_and_by_no_other() {
    let mut world = on_trial(Loader::Stock, false);
    world.connect();
    world.order("n", "2.0.1", FileKind::Good);
    world.happens(Event::Message(&cancel("other")));
    assert!(world.saved().next.is_some());
    world.happens(Event::Message(&cancel("n")));
    assert!(world.saved().next.is_none());
    let end = world.end_of("n").unwrap();
    assert_eq!(end.error_code.as_deref(), Some("CANCELLED"));
    world.settle();
    assert_eq!(world.running, "2.0.0");
}

#[test]
fn a_heartbeat_that_was_lost_is_made_up_for_by_the_next_one() {
    let mut world = on_trial(Loader::Stock, false);
    world.connect();
    world.disconnect();
    world.connect();
    world.ack_all();
    assert!(world.saved().trial.is_none());
    assert!(world.is_told("version 2.0.0 is confirmed"));
}

#[test]
fn a_power_cut_after_the_proof_does_not_ask_for_another() {
    for (loader, factory) in BOARDS {
        let mut world = on_trial(loader, factory);
        world.connect();
        // The entry in otadata is erased and written; the rest is lost.
        world.flash.sim.borrow_mut().cut_after(3, 3);
        world.ack_all();
        assert_eq!(world.cuts_fired, 1);
        assert_eq!(world.running, "2.0.0");
        assert!(world.saved().trial.is_none());
        world.connect();
        let reason = world.heartbeats.last().unwrap().boot_reason.clone();
        assert_eq!(reason.as_deref(), Some("ota"));
        world.power_cut();
        let is_confirmed = |notice: &&String| notice.ends_with("is confirmed");
        assert_eq!(world.notices.iter().filter(is_confirmed).count(), 1);
    }
}

#[test]
fn a_new_image_does_not_tell_of_the_rollback_of_the_one_before() {
    let mut world = rolled_back();
    world.connect();
    // The broker never acknowledges the heartbeat that tells of it.
    world.unacked.clear();
    world.order("n", "2.0.1", FileKind::Good);
    world.settle();
    assert_eq!(world.running, "2.0.1");
    let is_wrong = |beat: &HeartbeatData| beat.firmware_version == "2.0.1" && beat.rollback;
    assert!(!world.heartbeats.iter().any(is_wrong));
}

/// The server knows the update by the version it ordered.
#[test]
fn a_new_image_goes_by_the_version_of_the_command_whatever_it_calls_itself() {
    let mut world = World::started();
    world.connect();
    world.order_with("m", "2.0.0", FileKind::Good, |data| {
        data.version = "2.0.0+build.7".into();
    });
    play_until(&mut world, |world| world.running != FIRST_VERSION);
    let version = world.gateway.as_ref().unwrap().version();
    assert_eq!(version, "2.0.0+build.7");
}

#[test]
fn a_newer_upgrade_takes_the_place_of_the_one_that_is_held() {
    let mut world = on_trial(Loader::Stock, false);
    world.connect();
    world.order("n", "2.0.1", FileKind::Good);
    world.order("o", "2.0.2", FileKind::Good);
    let end = world.end_of("n").unwrap();
    assert_eq!(end.error_code.as_deref(), Some("CANCELLED"));
    world.order("o", "2.0.2", FileKind::Good);
    assert!(world.end_of("o").is_none(), "a duplicate of the held one");
    world.settle();
    assert_eq!(world.running, "2.0.2");
}

#[test]
fn a_power_cut_during_the_proof_loses_neither_the_image_nor_the_trial() {
    for (loader, factory) in BOARDS {
        let ready = || {
            let mut world = on_trial(loader, factory);
            world.connect();
            world
        };
        let mut whole = ready();
        let before = whole.flash.sim.borrow().operations();
        whole.ack_all();
        let operations = whole.flash.sim.borrow().operations() - before;
        assert!(operations > 2, "{operations}");
        for at in 1..=operations {
            let mut world = ready();
            world.flash.sim.borrow_mut().cut_after(at, at);
            world.ack_all();
            assert_eq!(world.cuts_fired, 1);
            world.settle();
            assert_eq!(world.running, "2.0.0", "{loader:?} {factory} {at}");
            assert!(!world.heartbeats.last().unwrap().rollback);
            world.power_cut();
            assert_eq!(world.running, "2.0.0", "{loader:?} {factory} {at}");
        }
    }
}
