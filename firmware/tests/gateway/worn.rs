//! A flash that does not do what it is told: the old image stays, runs on and can be mended.

use crate::world::*;
use airlift_firmware::{Event, page::Upload};
use airlift_proto::error_code;
use airlift_simflash::Kind as Loader;

const BOARDS: [(Loader, bool); 4] = [
    (Loader::Stock, false),
    (Loader::Rollback, false),
    (Loader::Stock, true),
    (Loader::Rollback, true),
];

/// A gateway whose new image is installed and only waits for its `completed` to be acknowledged.
fn installed(loader: Loader, factory: bool) -> World {
    let mut world = World::with(loader, factory);
    world.start();
    world.connect();
    world.ack_all();
    world.order("m", "2.0.0", FileKind::Good);
    world.answer(true);
    world.serve(usize::MAX);
    world.serve(1);
    world.work();
    assert!(world.saved().trial.is_some());
    world
}

#[test]
fn otadata_that_takes_nothing_leaves_the_old_image_running_and_saying_so() {
    for (loader, factory) in BOARDS {
        for how in [Wear::Fails, Wear::Lies] {
            let mut world = installed(loader, factory);
            world.flash.wear_out(OTADATA, how);
            world.settle();
            assert_eq!(world.running, FIRST_VERSION);
            assert!(world.heartbeats.last().unwrap().rollback);
            world.power_cut();
            world.settle();
            assert_eq!(world.running, FIRST_VERSION);
        }
    }
}

#[test]
fn otadata_that_wears_out_while_the_new_image_is_tried_keeps_no_gateway_from_running() {
    for (loader, factory) in BOARDS {
        for how in [Wear::Fails, Wear::Lies] {
            for sector in 0..2 {
                let mut world = installed(loader, factory);
                world.ack_all();
                assert_eq!(world.running, "2.0.0");
                let at = OTADATA.start + 4096 * sector;
                world.flash.wear_out(at..at + 4096, how);
                world.settle();
                world.power_cut();
                world.settle();
            }
        }
    }
}

#[test]
fn an_nvs_that_takes_nothing_refuses_upgrades_and_the_page_still_mends_the_gateway() {
    for (loader, factory) in BOARDS {
        for how in [Wear::Fails, Wear::Lies] {
            let mut world = World::with(loader, factory);
            world.start();
            world.connect();
            world.ack_all();
            world.flash.wear_out(NVS, how);
            world.crash();
            world.connect();
            world.ack_all();
            if how == Wear::Fails {
                world.order("m", "2.0.0", FileKind::Good);
                let end = world.end_of("m").expect("it is refused");
                assert_eq!(end.error_code.as_deref(), Some(error_code::INSTALL_FAILED));
            }
            world.image_bytes = 9_008;
            world.know("3.0.0");
            let gateway = world.gateway.as_mut().unwrap();
            gateway.admit(None).unwrap();
            gateway.begin(NOW).unwrap();
            gateway.write(&image_of("3.0.0", 9_008)).unwrap();
            gateway.end().unwrap();
            world.happens(Event::LocalDone);
            world.settle();
            assert_eq!(world.running, "3.0.0", "{loader:?} {factory}");
            world.power_cut();
            assert_eq!(world.running, "3.0.0");
        }
    }
}

#[test]
fn an_nvs_that_wears_out_during_the_trial_keeps_no_new_image_from_being_rolled_back() {
    for (loader, factory) in BOARDS {
        let mut world = installed(loader, factory);
        world.dies.insert("2.0.0".into(), Death::AfterBoot);
        world.flash.wear_out(NVS, Wear::Fails);
        world.ack_all();
        world.settle();
        assert_eq!(world.running, FIRST_VERSION, "{loader:?} {factory}");
    }
}

#[test]
fn an_image_that_comes_without_a_record_must_prove_itself_all_the_same() {
    for (loader, factory) in BOARDS {
        for works in [true, false] {
            let mut world = installed(loader, factory);
            if !works {
                world.dies.insert("2.0.0".into(), Death::NoNetwork);
            }
            world.forget_at_next_start();
            world.ack_all();
            assert_eq!(world.running, "2.0.0");
            assert!(world.saved().trial.is_some());
            world.settle();
            let expected = if works { "2.0.0" } else { FIRST_VERSION };
            assert_eq!(world.running, expected, "{loader:?} {factory}");
        }
    }
}

#[test]
fn an_upgrade_in_whose_course_the_gateway_crashes_again_and_again_is_given_up() {
    let mut world = World::started();
    world.connect();
    world.order("m", "2.0.0", FileKind::Good);
    let mut crashes = 0;
    while world.end_of("m").is_none() {
        world.crash();
        world.connect();
        crashes += 1;
    }
    assert_eq!(crashes, airlift_firmware::CRASHES_MAX);
}

#[test]
fn the_reboot_does_not_wait_for_ever_for_a_broker_that_is_gone() {
    let mut world = installed(Loader::Stock, false);
    world.disconnect();
    world.wait(airlift_firmware::COMPLETED_MS_MAX);
    assert_eq!(world.running, "2.0.0");
    world.settle();
    assert_eq!(world.end_of("m").unwrap().error_code, None);
}

#[test]
fn an_old_command_starts_nothing_after_its_end_is_forgotten() {
    let mut world = World::started();
    world.connect();
    for number in 0..airlift_firmware::ENDED_MAX + 3 {
        let version = format!("2.0.{number}");
        world.order(&format!("m{number}"), &version, FileKind::Good);
        world.settle();
    }
    let fetches = world.fetches;
    world.order("m0", "2.0.0", FileKind::Good);
    assert_eq!(world.fetches, fetches);
    assert!(world.is_told("ended long ago"));
}
