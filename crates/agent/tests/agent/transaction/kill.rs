//! `kill -9` at every step of an update, and at every step of the recovery from that.

use std::{
    os::unix::process::ExitStatusExt,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Instant,
};

use rustix::process::Signal;

use super::{
    child::{Call, Counted, Fate, child, start, try_child},
    world::{self, Case, World},
};

/// Works off `0..count` in a few threads; what went wrong.
pub fn each(count: usize, what: impl Fn(usize) -> Result<(), String> + Sync) -> Vec<String> {
    let next = AtomicUsize::new(0);
    let problems = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::SeqCst);
                    if index >= count {
                        break;
                    }
                    if let Err(problem) = what(index) {
                        problems.lock().unwrap().push(format!("{index}: {problem}"));
                    }
                }
            });
        }
    });
    problems.into_inner().unwrap()
}

/// A new device, on which the transaction ran and met its fate.
fn after_run(case: Case, fate: &Fate) -> (tempfile::TempDir, World, Counted) {
    let folder = world::folder();
    let world = World::make(folder.path(), case);
    let counted = child(&world, Call::Run, fate);
    (folder, world, counted)
}

/// What a run consists of in which nobody dies.
pub fn counted(case: Case) -> Counted {
    let (_folder, world, counted) = after_run(case, &Fate::Lives);
    let version = world.check().unwrap();
    assert_eq!(version, if case.fails() { '1' } else { '2' });
    counted
}

fn moments(case: Case) -> usize {
    counted(case).moments
}

fn kill_at_every_step(case: Case) {
    let moments = moments(case);
    let (old, new) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let problems = each(moments, |at| {
        let (_folder, world, _) = after_run(case, &Fate::Killed(at));
        world.recover()?;
        match world.check()? {
            '1' => old.fetch_add(1, Ordering::SeqCst),
            _ => new.fetch_add(1, Ordering::SeqCst),
        };
        // Nothing is left to do.
        match world.recover()? {
            None => Ok(()),
            Some(again) => Err(format!("ended twice: {again:?}")),
        }
    });
    let (old, new) = (old.into_inner(), new.into_inner());
    println!("{case:?}: {moments} kills, {old} wholly old, {new} wholly new");
    assert!(problems.is_empty(), "{}", problems.join("\n"));
    assert!(old > 0 && (new > 0) != case.fails());
}

#[test]
fn killed_at_every_step_of_three_packages_ends_wholly_old_or_wholly_new() {
    kill_at_every_step(Case::Three);
}

#[test]
fn killed_at_every_step_of_an_update_that_fails_ends_wholly_old() {
    kill_at_every_step(Case::ThreeFail);
}

/// Kills the run at `first`, the recovery at `second`, and looks. A recovery may be some moments
/// shorter than the one that was counted: whether a script of the killed run still lived is a matter of
/// luck. Then it is killed that much earlier.
fn kill_twice(case: Case, first: usize, second: usize) -> Result<(), String> {
    const SHORTER_MAX: usize = 10;
    for second in (second.saturating_sub(SHORTER_MAX)..=second)
        .rev()
        .step_by(2)
    {
        let (_folder, world, _) = after_run(case, &Fate::Killed(first));
        let (fired, _) = try_child(&world, Call::Recover, &Fate::Killed(second));
        if fired {
            world.recover()?;
            return world.check().map(|_| ());
        }
    }
    Err("the second kill never fired".to_owned())
}

fn recovery_moments(case: Case, first: usize) -> usize {
    let (_folder, world, _) = after_run(case, &Fate::Killed(first));
    child(&world, Call::Recover, &Fate::Lives).moments
}

/// Between two acts nothing happens: "before" moments, the even ones, are enough here. Of the pairs
/// one in `thin` is taken.
fn kill_recovery(case: Case, thin: usize) {
    let firsts: Vec<usize> = (0..moments(case)).step_by(2).collect();
    let kills = AtomicUsize::new(0);
    let problems = each(firsts.len(), |index| {
        let first = firsts[index];
        let seconds = (index % thin * 2..recovery_moments(case, first)).step_by(2 * thin);
        for second in seconds {
            kill_twice(case, first, second).map_err(|why| format!("{first}, {second}: {why}"))?;
            kills.fetch_add(1, Ordering::SeqCst);
        }
        Ok(())
    });
    println!("{case:?}: {} pairs of kills", kills.into_inner());
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn killed_at_every_step_where_names_cannot_be_exchanged_ends_wholly_old_or_wholly_new() {
    kill_at_every_step(Case::OneByRename);
    kill_at_every_step(Case::OneByRenameFails);
    kill_recovery(Case::OneByRename, 5);
}

#[test]
fn the_recovery_of_one_package_is_killed_at_every_step() {
    kill_recovery(Case::One, 1);
}

#[test]
fn the_recovery_of_one_package_that_fails_is_killed_at_every_fifth_step() {
    kill_recovery(Case::OneFails, 5);
}

#[test]
fn the_recovery_of_three_packages_is_killed_at_steps_drawn_by_lot() {
    for case in [Case::Three, Case::ThreeFail] {
        let moments = moments(case);
        let problems = each(60, |index| {
            let mut lot = fastrand::Rng::with_seed(index as u64);
            let first = lot.usize(..moments);
            let Some(last) = recovery_moments(case, first).checked_sub(1) else {
                return Ok(());
            };
            let second = lot.usize(..=last);
            kill_twice(case, first, second).map_err(|why| format!("{first}, {second}: {why}"))
        });
        assert!(problems.is_empty(), "{}", problems.join("\n"));
    }
}

/// Not only at the moments that we know of: also within a system call, or a script.
#[test]
fn killed_from_outside_at_any_time_ends_wholly_old_or_wholly_new() {
    const ROUNDS: u32 = 60;
    let began = Instant::now();
    counted(Case::Three);
    let lifetime = began.elapsed();
    let kills = AtomicUsize::new(0);
    let problems = each(ROUNDS as usize, |round| {
        let folder = world::folder();
        let world = World::make(folder.path(), Case::Three);
        let mut agent = start(&world, Call::Run, "count".to_owned());
        thread::sleep(lifetime * u32::try_from(round).unwrap() / ROUNDS);
        agent.kill().unwrap();
        let is_killed = agent.wait().unwrap().signal() == Some(Signal::KILL.as_raw());
        kills.fetch_add(usize::from(is_killed), Ordering::SeqCst);
        world.recover()?;
        world.check().map(|_| ())
    });
    let kills = kills.into_inner();
    println!("{kills} of {ROUNDS} kills from outside");
    assert!(problems.is_empty(), "{}", problems.join("\n"));
    assert!(kills > 5);
}
