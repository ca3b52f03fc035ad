//! What a heartbeat says of the slots.

use crate::world::*;
use airlift_simflash::Kind as Loader;

/// Which version lies where by the newest heartbeat, the running slot first.
fn slots(world: &World) -> Vec<(String, String)> {
    let heartbeat = world.heartbeats.last().unwrap();
    let slots: Vec<_> = heartbeat.slots.0.iter().flatten().cloned().collect();
    assert_eq!(heartbeat.slot.as_ref(), Some(&slots[0].0));
    assert_eq!(heartbeat.firmware_version, slots[0].1);
    slots
}

fn are(slots: &[(&str, &str)]) -> Vec<(String, String)> {
    let owned = |(label, version): &(&str, &str)| ((*label).to_owned(), (*version).to_owned());
    slots.iter().map(owned).collect()
}

fn connected(factory: bool) -> World {
    let mut world = World::with(Loader::Stock, factory);
    world.start();
    world.connect();
    world
}

fn upgrade(world: &mut World, version: &str) {
    world.order(version, version, FileKind::Good);
    world.settle();
    assert_eq!(world.running, version);
}

#[test]
fn a_heartbeat_names_the_slot_that_runs_and_the_one_that_the_next_update_goes_to() {
    let mut world = connected(false);
    assert_eq!(slots(&world), are(&[("app0", FIRST_VERSION)]));
    upgrade(&mut world, "2.0.0");
    // It came by cable: the image itself tells its version.
    let expected = are(&[("app1", "2.0.0"), ("app0", FIRST_VERSION)]);
    assert_eq!(slots(&world), expected);
    upgrade(&mut world, "3.0.0");
    let expected = are(&[("app0", "3.0.0"), ("app1", "2.0.0")]);
    assert_eq!(slots(&world), expected);
    world.power_cut();
    world.connect();
    assert_eq!(slots(&world), expected);
}

#[test]
fn the_factory_app_is_named_while_it_runs() {
    let mut world = connected(true);
    assert_eq!(slots(&world), are(&[("factory", FIRST_VERSION)]));
    upgrade(&mut world, "2.0.0");
    assert_eq!(slots(&world), are(&[("app0", "2.0.0")]));
    upgrade(&mut world, "3.0.0");
    let expected = are(&[("app1", "3.0.0"), ("app0", "2.0.0")]);
    assert_eq!(slots(&world), expected);
}

#[test]
fn a_slot_that_is_half_written_holds_no_version() {
    let mut world = connected(false);
    upgrade(&mut world, "2.0.0");
    world.order("m", "3.0.0", FileKind::Altered);
    world.answer(true);
    world.serve(5_000);
    world.wait(30_000);
    assert_eq!(slots(&world), are(&[("app1", "2.0.0")]));
    world.settle();
    let end = world.end_of("m").unwrap();
    assert_eq!(end.error_code.as_deref(), Some("DIGEST_MISMATCH"));
    world.wait(30_000);
    assert_eq!(slots(&world), are(&[("app1", "2.0.0")]));
    world.power_cut();
    world.connect();
    assert_eq!(slots(&world), are(&[("app1", "2.0.0")]));
}

#[test]
fn an_image_that_was_rolled_back_still_lies_in_its_slot() {
    let mut world = connected(false);
    world.dies.insert("2.0.0".into(), Death::AfterBoot);
    world.order("m", "2.0.0", FileKind::Good);
    world.settle();
    assert_eq!(world.running, FIRST_VERSION);
    let expected = are(&[("app0", FIRST_VERSION), ("app1", "2.0.0")]);
    assert_eq!(slots(&world), expected);
}
