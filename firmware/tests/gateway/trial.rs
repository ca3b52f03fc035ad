//! One sentence about a new image's trial each.

use crate::world::*;
use airlift_firmware::{ATTEMPTS_MAX, POWER_CUTS_MAX};
use airlift_simflash::Kind as Loader;

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
            assert_eq!((&*back.version, back.attempts), ("2.0.0", ATTEMPTS_MAX));
            let boots = |notice: &&String| notice.contains("boots version 2.0.0");
            let expected = match death {
                // It died before it could tell anybody.
                Death::AfterBoot => 0,
                _ => usize::from(ATTEMPTS_MAX),
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
        assert_eq!(back.attempts, ATTEMPTS_MAX);
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
        let mut world = World::with(loader, factory);
        world.start();
        world.connect();
        world.order("m", "2.0.0", FileKind::Good);
        while world.running == FIRST_VERSION {
            world.connect();
            world.ack_all();
            world.answer(true);
            world.serve(4_000);
            world.work();
        }
        assert!(world.saved().trial.is_some());
        world.connect();
        assert!(world.saved().trial.is_some(), "connected is not enough");
        assert!(world.heartbeats.last().unwrap().firmware_version == "2.0.0");
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
    let mut world = World::started();
    world.connect();
    world.order("m", "2.0.0", FileKind::Good);
    while world.running == FIRST_VERSION {
        world.connect();
        world.ack_all();
        world.answer(true);
        world.serve(4_000);
        world.work();
    }
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
}

/// A gateway that has booted its new image and not reached the broker yet.
fn on_trial(loader: Loader, factory: bool) -> World {
    let mut world = World::with(loader, factory);
    world.start();
    world.connect();
    world.order("m", "2.0.0", FileKind::Good);
    while world.running == FIRST_VERSION {
        world.connect();
        world.ack_all();
        world.answer(true);
        world.serve(4_000);
        world.work();
    }
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
        for _ in 0..ATTEMPTS_MAX {
            world.power_cut();
        }
        assert_eq!(world.running, FIRST_VERSION, "{loader:?} {factory}");
    }
}
