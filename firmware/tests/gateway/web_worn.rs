//! A flash that does not do what it is told while a web part changes: what can stay old stays old, and
//! the gateway runs on.

use airlift_bundle::Kind;
use airlift_proto::error_code::INSTALL_FAILED;
use airlift_simflash::Kind as Loader;

use crate::world::*;

const HOW: [Wear; 2] = [Wear::Fails, Wear::Lies];
const KINDS: [Kind; 2] = [Kind::Web, Kind::FirmwareAndWeb];
/// Behind all partitions, and behind the firmware.
const GAP: std::ops::Range<u32> = 0x3_3000..0x3_8000;
const SLOT_END: std::ops::Range<u32> = 0x2_3000..0x3_0000;

fn old_web() -> Vec<u8> {
    web_of(1, WEB_BYTES, WEB_BYTES)
}

fn ordered(loader: Loader, kind: Kind) -> World {
    let mut world = World::with_web(loader, false, &old_web());
    world.start();
    world.connect();
    world.ack_all();
    let web = &web_of(2, WEB_BYTES, WEB_BYTES)[..];
    let version = "2.0.0";
    world.offer_bundle("m", 5, &Bundle { version, kind, web });
    world.order_bundle("m", version, kind);
    world
}

/// All is installed; the gateway only waits for its `completed` to be acknowledged.
fn installed(loader: Loader, kind: Kind) -> World {
    let mut world = ordered(loader, kind);
    while world.saved().on_trial().is_none() {
        world.answer(true);
        world.serve(4_000);
        world.work();
    }
    world
}

#[test]
fn a_web_partition_that_takes_nothing_leaves_firmware_and_web_part_old() {
    for loader in [Loader::Stock, Loader::Rollback] {
        for kind in KINDS {
            for how in HOW {
                for sector in 0..3 {
                    let mut world = installed(loader, kind);
                    let from = world.webs.partition.start + 4096 * sector;
                    world.flash.wear_out(from..from + 4096, how);
                    world.settle();
                    assert_eq!(world.running, FIRST_VERSION);
                    assert!(
                        world.web() == old_web(),
                        "{loader:?} {kind:?} {how:?} {sector}"
                    );
                    assert!(world.heartbeats.last().unwrap().rollback);
                    let is_told = world.is_told("has another web part: the flash does not hold");
                    assert_eq!(is_told, kind == Kind::Web);
                    world.power_cut();
                    assert!(world.web() == old_web());
                }
            }
        }
    }
}

#[test]
fn room_that_takes_nothing_is_found_out_while_the_web_part_comes() {
    for kind in KINDS {
        for how in HOW {
            let mut world = ordered(Loader::Stock, kind);
            world.flash.wear_out(GAP, how);
            let area = match kind {
                Kind::Web => 0x2_0000..0x3_0000,
                _ => SLOT_END,
            };
            world.flash.wear_out(area, how);
            world.settle();
            let end = world.end_of("m").expect("it ended");
            assert_eq!(end.error_code.as_deref(), Some(INSTALL_FAILED));
            assert!(world.web() == old_web());
        }
    }
}

#[test]
fn room_that_wears_out_after_it_took_the_web_part_leaves_all_old() {
    for loader in [Loader::Stock, Loader::Rollback] {
        for kind in KINDS {
            for how in HOW {
                let mut world = installed(loader, kind);
                world.flash.wear_out(GAP, how);
                let area = match kind {
                    Kind::Web => 0x2_0000..0x3_0000,
                    _ => SLOT_END,
                };
                world.flash.wear_out(area, how);
                world.settle();
                assert_eq!(world.running, FIRST_VERSION);
                assert!(world.web() == old_web(), "{loader:?} {kind:?} {how:?}");
                assert!(world.heartbeats.last().unwrap().rollback);
            }
        }
    }
}

#[test]
fn a_staged_web_part_that_rots_leaves_all_old() {
    for kind in KINDS {
        let mut world = installed(Loader::Stock, kind);
        let place = match kind {
            Kind::Web => 0x2_2000,
            _ => SLOT_END.start + 0x2000,
        };
        world.flash.sim.borrow_mut().flip_bit(place, 3);
        world.settle();
        assert_eq!(world.running, FIRST_VERSION);
        assert!(world.web() == old_web());
        // The new firmware could not tell anybody.
        let is_told = world.is_told("the flash does not hold the web part any more");
        assert_eq!(is_told, kind == Kind::Web);
    }
}

#[test]
fn an_nvs_that_takes_nothing_after_the_installation_keeps_all_old() {
    for how in HOW {
        let mut world = installed(Loader::Stock, Kind::Web);
        world.flash.wear_out(NVS, how);
        world.settle();
        assert_eq!(world.running, FIRST_VERSION);
        assert!(world.web() == old_web(), "{how:?}");
    }
}
