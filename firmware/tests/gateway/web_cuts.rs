//! The power is cut at every flash operation of an update that has a web part. Whatever is cut, the
//! gateway starts with firmware and web part both old or both new, in every byte: the world holds each
//! start against that. And the update then ends as it should.

use airlift_bundle::Kind;
use airlift_simflash::Kind as Loader;

use crate::world::*;

const NEW_VERSION: &str = "1.0.2";
const BOARDS: [(Loader, bool); 4] = [
    (Loader::Stock, false),
    (Loader::Rollback, false),
    (Loader::Stock, true),
    (Loader::Rollback, true),
];

/// What is to be cut.
#[derive(Clone, Copy, Debug)]
struct Scenario {
    kind: Kind,
    /// How the new version dies, of its firmware or else of its web part.
    death: Option<Death>,
    /// Random bytes at the beginning of the web parts; what differs is programmed page by page.
    web_random: usize,
    image_bytes: usize,
}

/// Three sectors, of which two change; the last one is not whole.
const WHOLE: Scenario = Scenario {
    kind: Kind::FirmwareAndWeb,
    death: None,
    web_random: 2_500,
    image_bytes: 5_008,
};
/// No more than what tears differently: one sector.
const TINY: Scenario = Scenario {
    web_random: 500,
    image_bytes: 480,
    ..WHOLE
};

impl Scenario {
    fn old_web(&self) -> Vec<u8> {
        let mut web = web_of(1, self.web_random, WEB_BYTES);
        web[9_000] = 0;
        web
    }

    fn new_web(&self) -> Vec<u8> {
        let mut web = web_of(2, self.web_random, WEB_BYTES - 1_000);
        if self.web_random > 1_000 {
            web[5_000] = 1;
        }
        web[9_000] = 0;
        web
    }

    fn world(&self, loader: Loader, factory: bool) -> World {
        let mut world = World::with_web(loader, factory, &self.old_web());
        world.image_bytes = self.image_bytes;
        world.running = FIRST_VERSION.into();
        let (version, kind, web) = (NEW_VERSION, self.kind, &self.new_web()[..]);
        let after = world.offer_bundle("m", 5, &Bundle { version, kind, web });
        match (self.death, kind) {
            (None, _) => {}
            (Some(death), Kind::Web) => world.webs.dies = Some((after, death)),
            (Some(death), _) => drop(world.dies.insert(NEW_VERSION.into(), death)),
        }
        world
    }

    /// Plays it to its end; the cuts are armed from the first operation on.
    fn play(&self, world: &mut World, cuts: &[(u64, u64)]) {
        let mut cuts = cuts.iter().copied();
        if let Some((after, seed)) = cuts.next() {
            world.flash.sim.borrow_mut().cut_after(after, seed);
        }
        world.cuts = cuts.collect();
        world.start();
        for _ in 0..10 {
            world.connect();
            let is_known = world.end_of("m").is_some() || world.saved().active.is_some();
            if world.connected && !is_known {
                world.order_bundle("m", NEW_VERSION, self.kind);
            }
            world.settle();
            if world.end_of("m").is_some() && world.saved().ended.iter().all(|end| end.delivered) {
                return;
            }
        }
        panic!("the update does not complete");
    }

    fn check(&self, world: &World, context: &str) {
        let end = world.end_of("m").expect("it ended");
        assert_eq!(end.error_code, None, "{context}: {end:?}");
        let (old, new) = (self.old_web(), self.new_web());
        let new = World::web_after(&old, &new);
        let last = world.heartbeats.last().expect("it lives");
        let is_back = self.death.is_some();
        let (version, web) = match is_back {
            true => (FIRST_VERSION, old),
            false => (NEW_VERSION, new),
        };
        assert_eq!(last.firmware_version, version, "{context}");
        assert!(world.web() == web, "{context}");
        let back = world.saved().rolled_back.as_ref();
        assert_eq!(back.is_some(), is_back, "{context}");
        assert!(back.is_none_or(|back| back.told), "{context}");
        assert_eq!(world.heartbeats.iter().any(|beat| beat.rollback), is_back);
        let counter = if is_back { 0 } else { 5 };
        assert_eq!(world.saved().release_counter, counter, "{context}");
        assert_eq!(world.saved().release_on_trial, None, "{context}");
    }

    /// Cuts every operation once. Gives how many cuts fired.
    fn cut_everywhere(&self, loader: Loader, factory: bool) -> u64 {
        self.cut_from(loader, factory, &[], 1, 1)
    }

    /// The same, and operations of each recovery: those that the neighbouring first cuts leave out.
    fn cut_twice(&self, loader: Loader, factory: bool) -> u64 {
        self.cut_from(loader, factory, &[], 2, second_cut_stride(13))
    }

    fn cut_from(
        &self,
        loader: Loader,
        factory: bool,
        cuts: &[(u64, u64)],
        depth: usize,
        stride: usize,
    ) -> u64 {
        let mut world = self.world(loader, factory);
        let untouched = world.flash.sim.borrow().operations();
        self.play(&mut world, cuts);
        assert_eq!(world.cuts_fired as usize, cuts.len(), "{cuts:?}");
        self.check(&world, &format!("{self:?} {loader:?} {factory} {cuts:?}"));
        let mut fired = u64::from(world.cuts_fired);
        if cuts.len() == depth {
            return fired;
        }
        let before: u64 = cuts.iter().map(|(after, _)| after).sum();
        let operations = world.flash.sim.borrow().operations() - untouched - before;
        assert!(operations > 100 || !cuts.is_empty(), "{operations}");
        let (first, step) = match cuts {
            [] => (1, 1),
            [(first, _), ..] => (1 + first % stride as u64, stride),
        };
        for at in (first..=operations).step_by(step) {
            let seed = at.wrapping_mul(31).wrapping_add(cuts.len() as u64);
            let mut more = cuts.to_vec();
            more.push((at, seed));
            fired += self.cut_from(loader, factory, &more, depth, stride);
        }
        fired
    }

    fn cut_on_all_boards(&self) {
        for (loader, factory) in BOARDS {
            // Nothing can bring the old image back then.
            if self.death == Some(Death::BeforeFirstAct) && loader == Loader::Stock {
                continue;
            }
            let fired = self.cut_everywhere(loader, factory);
            println!("{self:?}, {loader:?}, factory {factory}: {fired} cuts fired, no mix");
        }
    }
}

#[test]
fn firmware_and_web_part_are_both_new_or_both_old_after_every_power_cut() {
    WHOLE.cut_on_all_boards();
}

#[test]
fn a_web_part_alone_is_new_or_old_after_every_power_cut() {
    let kind = Kind::Web;
    Scenario { kind, ..WHOLE }.cut_on_all_boards();
}

#[test]
fn a_firmware_that_dies_takes_its_web_part_with_it_after_every_power_cut() {
    for death in [Death::BeforeFirstAct, Death::AfterBoot, Death::NoNetwork] {
        let death = Some(death);
        Scenario { death, ..WHOLE }.cut_on_all_boards();
    }
}

#[test]
fn a_web_part_of_which_the_firmware_dies_is_taken_back_after_every_power_cut() {
    for death in [Death::AfterBoot, Death::NoNetwork] {
        let (kind, death) = (Kind::Web, Some(death));
        Scenario {
            kind,
            death,
            ..WHOLE
        }
        .cut_on_all_boards();
    }
}

#[test]
fn firmware_and_web_part_are_both_new_or_both_old_after_a_second_cut_during_the_recovery() {
    for (loader, factory) in [(Loader::Stock, false), (Loader::Rollback, true)] {
        let fired = TINY.cut_twice(loader, factory);
        println!("{loader:?}, factory {factory}: {fired} cuts fired, no mix");
    }
}

#[test]
fn a_web_part_alone_is_new_or_old_after_a_second_cut_during_the_recovery() {
    for death in [None, Some(Death::AfterBoot)] {
        let kind = Kind::Web;
        let scenario = Scenario {
            kind,
            death,
            ..TINY
        };
        let fired = scenario.cut_twice(Loader::Stock, false);
        println!("{scenario:?}: {fired} cuts fired, no mix");
    }
}

#[test]
fn a_firmware_that_dies_takes_its_web_part_with_it_after_a_second_cut_during_the_recovery() {
    let death = Some(Death::AfterBoot);
    let scenario = Scenario { death, ..TINY };
    for loader in [Loader::Stock, Loader::Rollback] {
        let fired = scenario.cut_twice(loader, false);
        println!("{loader:?}: {fired} cuts fired, no mix");
    }
}
