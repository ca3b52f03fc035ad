//! The power goes at every step of an update, and what was not made safe is lost by lot.

use std::{
    num::NonZeroUsize,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use super::{
    child::{Call, Fate, child},
    kill::{counted, each},
    world::{self, Case, World},
};

/// Seeds per moment.
const SEEDS: usize = 3;
/// Of the cuts after a kill every so manieth, after the next kill those beside them.
const SECOND_CUT_STRIDE: usize = 4;

fn cut(at: usize, seed: usize, forgotten: Option<&str>) -> Fate {
    Fate::Cut {
        at,
        seed: seed as u64,
        forgotten: forgotten.map(str::to_owned),
    }
}

/// Cuts at `at`, recovers and looks.
fn survive(case: Case, fate: &Fate) -> Result<char, String> {
    let folder = world::folder();
    let world = World::make(folder.path(), case);
    child(&world, Call::Run, fate);
    world.recover()?;
    world.check()
}

/// Cuts are before each act, and after the last.
fn cuts(case: Case) -> usize {
    counted(case).acts + 1
}

fn cut_at_every_step(case: Case) {
    let cuts = cuts(case);
    let versions = [AtomicUsize::new(0), AtomicUsize::new(0)];
    let problems = each(cuts * SEEDS, |index| {
        let version = survive(case, &cut(index / SEEDS, index, None))?;
        versions[usize::from(version == '2')].fetch_add(1, Ordering::SeqCst);
        Ok(())
    });
    let [old, new] = versions.map(AtomicUsize::into_inner);
    println!("{case:?}: {cuts} moments, {SEEDS} cuts each, {old} wholly old, {new} wholly new");
    assert!(problems.is_empty(), "{}", problems.join("\n"));
    assert!(old > 0 && (new > 0) != case.fails());
}

#[test]
fn a_power_cut_at_every_step_ends_wholly_old_or_wholly_new() {
    cut_at_every_step(Case::Three);
}

#[test]
fn a_power_cut_at_every_step_of_an_update_that_fails_ends_wholly_old() {
    cut_at_every_step(Case::ThreeFail);
}

#[test]
fn a_power_cut_at_every_step_without_exchange_of_names_ends_wholly_old_or_wholly_new() {
    cut_at_every_step(Case::OneByRename);
    cut_at_every_step(Case::OneByRenameFails);
}

#[test]
fn a_power_cut_during_the_recovery_from_a_power_cut_ends_wholly_old_or_wholly_new() {
    for case in Case::ALL {
        let cuts = cuts(case);
        let problems = each(40, |index| {
            let mut lot = fastrand::Rng::with_seed(index as u64);
            let folder = world::folder();
            let world = World::make(folder.path(), case);
            child(&world, Call::Run, &cut(lot.usize(..cuts), index, None));
            // Later than its last act, the cut comes at its end.
            child(&world, Call::Recover, &cut(lot.usize(..60), index, None));
            world.recover()?;
            world.check().map(|_| ())
        });
        assert!(problems.is_empty(), "{case:?}: {}", problems.join("\n"));
    }
}

/// `AIRLIFT_CUT_STRIDE=1` cuts every time.
fn second_cut_stride() -> usize {
    match std::env::var("AIRLIFT_CUT_STRIDE") {
        Ok(stride) => stride
            .parse::<NonZeroUsize>()
            .expect("AIRLIFT_CUT_STRIDE is a number from 1 on")
            .get(),
        Err(_) => SECOND_CUT_STRIDE,
    }
}

/// What the recovery finds may not be safe yet, and must be before it builds on it. It is not if
/// the kill came right before a sync.
#[test]
fn a_power_cut_during_the_recovery_from_a_kill_ends_wholly_old_or_wholly_new() {
    let stride = second_cut_stride();
    for case in [Case::One, Case::OneFails, Case::OneByRename] {
        let kills = counted(case).syncs;
        let count = AtomicUsize::new(0);
        let problems = each(kills.len(), |index| {
            let kill = kills[index];
            // At its beginning it relies on what it found; its end is that of any recovery.
            let cuts = (0..9).flat_map(|cut| [1, 2].map(|seed| (cut, seed)));
            for (cut, seed) in cuts.skip(index % stride).step_by(stride) {
                let seed = (kill * 1000 + cut * 10 + seed) as u64;
                let fate = Fate::KilledThenCut { kill, cut, seed };
                survive(case, &fate).map_err(|why| format!("{cut}: {why}"))?;
                count.fetch_add(1, Ordering::SeqCst);
            }
            Ok(())
        });
        println!("{case:?}: {} kills and cuts", count.into_inner());
        assert!(problems.is_empty(), "{case:?}: {}", problems.join("\n"));
    }
}

/// The model is no use if it lets a missing sync pass: without any one of these, some cut is not
/// survived.
#[test]
fn a_sync_that_is_left_out_is_found_by_the_power_cuts() {
    let cuts = cuts(Case::Three);
    for forgotten in ["/journal", "/state.json.new", "/state", "/opt", "/opt/bin"] {
        let found = Mutex::new(None);
        each(cuts * SEEDS, |index| {
            if found.lock().unwrap().is_none() {
                let fate = cut(index / SEEDS, index, Some(forgotten));
                let problem = survive(Case::Three, &fate).err();
                let mut found = found.lock().unwrap();
                *found = found.take().or(problem);
            }
            Ok(())
        });
        let found = found.into_inner().unwrap();
        println!("without syncs of {forgotten}: {found:?}");
        assert!(found.is_some(), "no cut noticed the lack of {forgotten}'s");
    }
}
