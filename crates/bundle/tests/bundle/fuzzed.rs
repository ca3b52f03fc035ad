//! The fuzz targets (`fuzz/`), for seconds and on stable Rust: their seeds under random changes.
//!
//! `AIRLIFT_SEED=n` plays one run again, `AIRLIFT_RUNS=n` plays more of them for each target. A
//! failure found here becomes a named test.

use std::{
    env,
    hash::{BuildHasher, Hasher, RandomState},
    panic::{self, AssertUnwindSafe},
};

use airlift_simflash::Random;

use crate::fuzz::targets;

/// Of each target.
const RUNS: u64 = 3000;
/// Changes of one run, at most.
const CHANGES_MAX: usize = 8;

fn number(name: &str) -> Option<u64> {
    let number = env::var(name).ok()?;
    Some(
        number
            .parse()
            .unwrap_or_else(|_| panic!("{name} is a number")),
    )
}

/// A seed of the target with changes, sometimes with a piece of another seed in it.
fn input(seeds: &[Vec<u8>], random: &mut Random) -> Vec<u8> {
    let mut bytes = seeds[random.below(seeds.len())].clone();
    for _ in 0..random.below(CHANGES_MAX + 1) {
        let at = random.below(bytes.len() + 1);
        let end = bytes.len().min(at + random.below(64));
        match random.below(6) {
            0 => drop(bytes.drain(at..end)),
            1 => bytes.truncate(at),
            2 => random.fill(&mut bytes[at..end]),
            3 => {
                let other = &seeds[random.below(seeds.len())];
                let begin = random.below(other.len());
                let piece = &other[begin..other.len().min(begin + random.below(600))];
                bytes.splice(at..at, piece.iter().copied());
            }
            4 => {
                let come = random.below(8);
                let new: Vec<_> = (0..come).map(|_| random.byte()).collect();
                bytes.splice(at..end, new);
            }
            _ => bytes
                .iter_mut()
                .skip(at)
                .take(1)
                .for_each(|byte| *byte ^= 1 << random.below(8)),
        }
    }
    bytes
}

#[test]
fn random_changes_meet_no_fuzz_targets_assertion() {
    let first = RandomState::new().build_hasher().finish();
    let runs = number("AIRLIFT_RUNS").unwrap_or(RUNS);
    let [first, runs] = number("AIRLIFT_SEED").map_or([first, runs], |seed| [seed, 1]);
    for (target, run, seeds) in targets() {
        seeds.iter().for_each(|seed| run(seed));
        for seed in (0..runs).map(|run| first.wrapping_add(run)) {
            let bytes = input(&seeds, &mut Random::new(seed));
            if panic::catch_unwind(AssertUnwindSafe(|| run(&bytes))).is_err() {
                panic!(
                    "{target}: AIRLIFT_SEED={seed} plays this run again; its bytes: {bytes:02x?}"
                );
            }
        }
    }
    println!("{runs} runs of each target from seed {first}");
}
