//! The power is cut at every flash operation, also during the recovery from a cut. Whatever is cut,
//! the gateway starts with the old image or the new one, in every byte, and the update then
//! completes.

use crate::world::*;
use airlift_simflash::Kind as Loader;

const NEW_VERSION: &str = "1.0.2";
/// Runs before it in the second update.
const OLD_VERSION: &str = "1.0.1-b";

/// What is to be cut.
#[derive(Clone, Copy, Debug)]
enum Scenario {
    Update,
    /// The same with a signed bundle.
    Signed,
    /// The connection breaks in the middle, and the power goes: the download goes on from its mark.
    Resume,
    /// The new image never reaches the broker.
    Rollback,
    /// The same from one slot to the other, beside a factory app that must not come up.
    SecondUpdate,
}

fn world(scenario: Scenario, loader: Loader, factory: bool) -> World {
    let mut world = World::with(loader, factory);
    world.image_bytes = 9_008;
    if let Scenario::Signed = scenario {
        world.trust();
        let manifest = manifest(NEW_VERSION, 5, &world.image(NEW_VERSION));
        world.offer("m", &manifest);
    }
    if let Scenario::Rollback = scenario {
        world.dies.insert(NEW_VERSION.into(), Death::NoNetwork);
    }
    if let Scenario::SecondUpdate = scenario {
        world.start();
        world.connect();
        world.order("first", OLD_VERSION, FileKind::Good);
        world.settle();
        assert_eq!(world.running, OLD_VERSION);
        world.booted.clear();
    }
    world
}

/// Plays the scenario to its end; the cuts are armed from the first operation on.
fn play(world: &mut World, scenario: Scenario, cuts: &[(u64, u64)]) {
    let mut cuts = cuts.iter().copied();
    if let Some((after, seed)) = cuts.next() {
        world.flash.sim.borrow_mut().cut_after(after, seed);
    }
    world.cuts = cuts.collect();
    world.start();
    world.connect();
    world.ack_all();
    if let Scenario::Resume = scenario {
        // Ordered until the broker has a report: the server sends again until then.
        while world.bytes_served < 6_000 {
            order_again(world, scenario);
            world.connect();
            world.ack_all();
            world.answer(true);
            world.serve(1_000);
        }
        // A reset, whatever the flash was doing.
        world.start();
    }
    for _ in 0..10 {
        order_again(world, scenario);
        world.settle();
        if world.end_of("m").is_some() && world.saved().ended.iter().all(|end| end.delivered) {
            return;
        }
    }
    panic!("the update does not complete");
}

/// The server sends the command until it hears of it.
fn order_again(world: &mut World, scenario: Scenario) {
    world.connect();
    if world.connected && world.end_of("m").is_none() && world.saved().active.is_none() {
        match scenario {
            Scenario::Signed => world.order_offered("m", NEW_VERSION),
            _ => world.order("m", NEW_VERSION, FileKind::Good),
        }
    }
}

fn check(world: &World, scenario: Scenario, context: &str) {
    let end = world.end_of("m").expect("it ended");
    assert_eq!(end.error_code, None, "{context}: {end:?}");
    let last = world.heartbeats.last().expect("it lives");
    let old = match scenario {
        Scenario::SecondUpdate => OLD_VERSION,
        _ => FIRST_VERSION,
    };
    let is_known = |booted: &String| booted == old || booted == NEW_VERSION;
    assert!(
        world.booted.iter().all(is_known),
        "{context}: {:?}",
        world.booted
    );
    match scenario {
        Scenario::Update | Scenario::Signed | Scenario::Resume | Scenario::SecondUpdate => {
            assert_eq!(world.running, NEW_VERSION, "{context}");
            assert_eq!(last.firmware_version, NEW_VERSION, "{context}");
            let counter = match scenario {
                Scenario::Signed => 5,
                _ => 0,
            };
            assert_eq!(world.saved().release_counter, counter, "{context}");
        }
        Scenario::Rollback => {
            assert_eq!(world.running, FIRST_VERSION, "{context}");
            let back = world.saved().rolled_back.as_ref().expect("rolled back");
            assert_eq!(
                (&*back.version, back.told),
                (NEW_VERSION, true),
                "{context}"
            );
            assert!(
                world.heartbeats.iter().any(|beat| beat.rollback),
                "{context}"
            );
        }
    }
}

/// Every operation once, `depth` deep: after each cut the operations of the recovery are counted and
/// every so manieth of them is cut in turn, other ones than after the cut before. Gives how many cuts
/// fired.
fn cut_everywhere(scenario: Scenario, loader: Loader, factory: bool, depth: usize) -> u64 {
    let mut fired = 0;
    cut_from(
        scenario,
        loader,
        factory,
        depth,
        &mut Vec::new(),
        &mut fired,
    );
    fired
}

fn cut_from(
    scenario: Scenario,
    loader: Loader,
    factory: bool,
    depth: usize,
    cuts: &mut Vec<(u64, u64)>,
    fired: &mut u64,
) {
    // How many operations follow these cuts.
    let mut whole = world(scenario, loader, factory);
    let untouched = whole.flash.sim.borrow().operations();
    play(&mut whole, scenario, cuts);
    assert_eq!(whole.cuts_fired as usize, cuts.len(), "{cuts:?}");
    check(
        &whole,
        scenario,
        &format!("{scenario:?} {loader:?} {cuts:?}"),
    );
    *fired += u64::from(whole.cuts_fired);
    if cuts.len() == depth {
        return;
    }
    let before: u64 = cuts.iter().map(|(after, _)| after).sum();
    let played = whole.flash.sim.borrow().operations() - untouched;
    let operations = played - before;
    assert!(operations > 100 || !cuts.is_empty(), "{operations}");
    let (first, stride) = match cuts.last() {
        None => (1, 1),
        Some((cut, _)) => {
            let stride = second_cut_stride(5);
            (1 + cut % stride as u64, stride)
        }
    };
    for at in (first..=operations).step_by(stride) {
        cuts.push((at, at.wrapping_mul(31).wrapping_add(cuts.len() as u64)));
        cut_from(scenario, loader, factory, depth, cuts, fired);
        cuts.pop();
    }
}

/// Both bootloaders, with and without a factory app.
fn cut_everywhere_twice(scenario: Scenario) {
    cut_on_all_boards(scenario, 2);
}

fn cut_on_all_boards(scenario: Scenario, depth: usize) {
    for (loader, factory) in [
        (Loader::Stock, false),
        (Loader::Rollback, false),
        (Loader::Stock, true),
        (Loader::Rollback, true),
    ] {
        let fired = cut_everywhere(scenario, loader, factory, depth);
        println!(
            "{scenario:?}, {loader:?} bootloader, factory {factory}: {fired} cuts fired, 0 bricks"
        );
    }
}

#[test]
fn an_update_survives_every_power_cut_and_every_cut_of_the_recovery() {
    cut_everywhere_twice(Scenario::Update);
}

/// Once each: what recovers is the same as for a plain update. After each the release is remembered.
#[test]
fn a_signed_update_survives_every_power_cut() {
    cut_on_all_boards(Scenario::Signed, 1);
}

#[test]
fn a_resumed_update_survives_every_power_cut_and_every_cut_of_the_recovery() {
    cut_everywhere_twice(Scenario::Resume);
}

#[test]
fn a_rollback_survives_every_power_cut_and_every_cut_of_the_recovery() {
    cut_everywhere_twice(Scenario::Rollback);
}

#[test]
fn a_second_update_survives_every_power_cut_and_never_starts_the_factory_app() {
    cut_everywhere_twice(Scenario::SecondUpdate);
}
