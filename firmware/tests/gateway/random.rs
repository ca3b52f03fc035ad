//! Random faults in random order, with the power cut anywhere: the rules the world checks hold, no
//! gateway becomes a brick, and in the end every upgrade has ended, once.
//!
//! `AIRLIFT_SEED=n` plays one run again, `AIRLIFT_RUNS=n` plays more of them. A failure found here
//! becomes a named test.

use std::{
    env,
    hash::{BuildHasher, Hasher, RandomState},
    panic,
};

use crate::world::*;
use airlift_firmware::{Answer, Event, JobId, PublishId};
use airlift_simflash::{Kind as Loader, Random};

const RUNS: u64 = 10_000;
/// Faults and deeds of one run, at most.
const DEEDS_MAX: usize = 120;
/// Upgrades of one run, at most.
const UPGRADES_MAX: usize = 4;

#[derive(Default)]
struct Counts {
    power_cuts: u64,
    armed: u64,
    broken_downloads: u64,
    drops: u64,
    low_battery: u64,
    bad_files: u64,
    bad_images: u64,
    completed: u64,
}

fn chance(random: &mut Random, percent: usize) -> bool {
    random.below(100) < percent
}

fn new_world(random: &mut Random, counts: &mut Counts) -> World {
    let loader = [Loader::Stock, Loader::Rollback][random.below(2)];
    let mut world = World::with(loader, chance(random, 50));
    world.mark_step_bytes = 4096 << random.below(3);
    world.image_bytes = 6_000 / 16 * 16 + 16 * random.below(1_000);
    if chance(random, 30) {
        counts.bad_images += 1;
        let deaths = match loader {
            // Nothing helps against the third with a stock bootloader.
            Loader::Stock => &[Death::AfterBoot, Death::NoNetwork][..],
            Loader::Rollback => &[Death::AfterBoot, Death::NoNetwork, Death::BeforeFirstAct][..],
        };
        let number = random.below(UPGRADES_MAX);
        let death = deaths[random.below(deaths.len())];
        world.dies.insert(version(number), death);
    }
    world
}

fn version(number: usize) -> String {
    format!("2.0.{number}")
}

fn order(world: &mut World, random: &mut Random, counts: &mut Counts) {
    if !world.connected {
        return;
    }
    let number = random.below(UPGRADES_MAX);
    let msg_id = format!("m{number}");
    let known = world.files.get(&msg_id).map(|file| (file.kind, file.bytes));
    let kind = match known {
        Some((kind, bytes)) => {
            world.image_bytes = bytes;
            kind
        }
        None if chance(random, 25) => {
            counts.bad_files += 1;
            KINDS[random.below(KINDS.len())]
        }
        None => FileKind::Good,
    };
    let force = chance(random, 30);
    world.order_with(&msg_id, &version(number), kind, |data| {
        data.force_upgrade = force
    });
}

/// Arms a cut within the next operations.
fn arm(world: &mut World, random: &mut Random, counts: &mut Counts) {
    counts.armed += 1;
    let (after, seed) = (1 + random.below(60) as u64, random.bits());
    world.flash.sim.borrow_mut().cut_after(after, seed);
    for _ in 0..random.below(3) {
        let again = (1 + random.below(40) as u64, random.bits());
        world.cuts.push_back(again);
    }
}

fn deed(world: &mut World, random: &mut Random, counts: &mut Counts) {
    match random.below(40) {
        0..=4 => order(world, random, counts),
        5 => {
            let msg_id = format!("m{}", random.below(UPGRADES_MAX));
            if world.connected {
                world.happens(Event::Message(&cancel(&msg_id)));
            }
        }
        6..=9 => world.connect(),
        10 => {
            counts.drops += 1;
            world.disconnect();
        }
        11..=13 => world.ack_one(),
        14..=16 => world.ack_all(),
        17..=20 => world.answer(chance(random, 80)),
        21 => world.refuse_for_now(Some(random.below(100_000) as u64)),
        22..=30 => world.serve(1 + random.below(3_000)),
        31 => {
            counts.broken_downloads += 1;
            world.cut_download();
        }
        32..=33 => world.work(),
        34..=35 => world.wait(random.below(90_000) as u64),
        36 => {
            let battery = [19, 20, 80][random.below(3)];
            counts.low_battery += u64::from(battery == 19);
            world.battery = battery;
            world.happens(Event::Battery(battery));
        }
        37 => stale(world, JobId(1_000 + random.below(9) as u32)),
        38 => arm(world, random, counts),
        _ => world.power_cut(),
    }
}

/// Everything that can arrive too late.
fn stale(world: &mut World, job: JobId) {
    let answer = Answer {
        status: STALE_STATUS,
        ..Answer::default()
    };
    world.happens(Event::Answer { job, answer });
    world.happens(Event::Chunk {
        job,
        bytes: &[1, 2, 3],
    });
    world.happens(Event::FetchEnded { job, reason: None });
    world.happens(Event::FetchImpossible { job, reason: STALE });
    world.happens(Event::Acked(PublishId(u32::MAX)));
}

fn run(seed: u64, counts: &mut Counts) {
    let mut random = Random::new(seed);
    let mut world = new_world(&mut random, counts);
    world.start();
    for _ in 0..1 + random.below(DEEDS_MAX) {
        deed(&mut world, &mut random, counts);
    }
    world.battery = 80;
    world.happens(Event::Battery(80));
    world.settle();
    world.flash.sim.borrow_mut().cancel_cut();
    world.cuts.clear();
    world.settle();
    counts.power_cuts += u64::from(world.cuts_fired);
    let ended = world.saved().ended.clone();
    for end in &ended {
        assert!(end.delivered, "{} was not delivered", end.msg_id);
        let kind = world.files[end.msg_id.as_str()].kind;
        if end.error.is_none() {
            counts.completed += 1;
            // Cut in the right place, a longer file is the announced one.
            assert!(
                matches!(kind, FileKind::Good | FileKind::Longer),
                "{kind:?} completed"
            );
        }
    }
    for msg_id in world.reports.keys() {
        let ends = ended
            .iter()
            .filter(|end| end.msg_id == msg_id.as_str())
            .count();
        assert_eq!(ends, 1, "{msg_id} ended {ends} times");
    }
    let heartbeat = world.heartbeats.last().expect("it lives");
    assert_eq!(heartbeat.firmware_version, world.running);
    // What runs is the first image, or one that was ordered, completed and did not die.
    let is_proven = world.running == FIRST_VERSION
        || ended
            .iter()
            .any(|end| end.error.is_none() && end.version == world.running.as_str());
    assert!(is_proven, "{} runs without having completed", world.running);
    assert!(
        !world.dies.contains_key(&world.running),
        "a dead image stayed"
    );
}

#[test]
fn ten_thousand_random_fault_runs_make_no_brick_and_end_every_upgrade_once() {
    let number = |name: &str| {
        env::var(name)
            .ok()
            .map(|value| value.parse::<u64>().unwrap())
    };
    let mut counts = Counts::default();
    if let Some(seed) = number("AIRLIFT_SEED") {
        return run(seed, &mut counts);
    }
    let runs = number("AIRLIFT_RUNS").unwrap_or(RUNS);
    let first = RandomState::new().build_hasher().finish();
    for seed in (0..runs).map(|run| first.wrapping_add(run)) {
        let played = panic::catch_unwind(panic::AssertUnwindSafe(|| run(seed, &mut counts)));
        if played.is_err() {
            panic!("AIRLIFT_SEED={seed} plays this run again");
        }
    }
    let Counts {
        power_cuts,
        armed,
        broken_downloads,
        drops,
        low_battery,
        bad_files,
        bad_images,
        completed,
    } = counts;
    println!(
        "{runs} runs from seed {first}: 0 bricks; {power_cuts} power cuts, {broken_downloads} broken \
         downloads, {drops} lost connections, {low_battery} low batteries, {bad_files} bad files, \
         {bad_images} bad images, {completed} upgrades completed"
    );
    for fired in [
        power_cuts,
        armed,
        broken_downloads,
        drops,
        low_battery,
        bad_files,
        bad_images,
    ] {
        assert!(fired > runs / 10, "a fault that hardly fires: {fired}");
    }
    assert!(completed > runs / 3);
}
