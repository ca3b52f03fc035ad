//! Every change of the system fails once, and from every one on all of them fail.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
};

use airlift_agent::{
    disk::{Act, Disk, Witness},
    transaction::{Outcome, UpdateError},
};
use airlift_proto::error_code::{DISK_FULL, INSTALL_FAILED, SCRIPT_FAILED};
use rustix::io::Errno;

use super::{
    child::without_exchange,
    world::{self, Case, World},
};

/// Refuses the `from`th act, or all from there on.
struct Faulty {
    case: Case,
    from: usize,
    once: bool,
    errno: Errno,
    seen: Arc<AtomicUsize>,
    fired: Arc<AtomicBool>,
}

impl Witness for Faulty {
    fn before(&self, _act: &Act) {}

    fn refusal(&self, act: &Act) -> Option<io::Error> {
        if let Some(refused) = without_exchange(self.case, act) {
            return Some(refused);
        }
        let needs_space = match act {
            Act::Script { .. } | Act::Kill { .. } => return None,
            // A full disk still forgets, and renames in place.
            Act::Remove { .. } | Act::Truncate { .. } => false,
            _ => true,
        };
        if self.errno == Errno::NOSPC && !needs_space {
            return None;
        }
        let index = self.seen.fetch_add(1, SeqCst);
        let fails = index == self.from || (index > self.from && !self.once);
        self.fired.fetch_or(fails, SeqCst);
        fails.then(|| self.errno.into())
    }
}

/// Runs with the fault, recovers without it, and looks. `None` if the fault did not fire any more.
fn survive(case: Case, from: usize, once: bool, errno: Errno) -> Option<Result<char, String>> {
    let folder = world::folder();
    let world = World::make(folder.path(), case);
    let fired = Arc::new(AtomicBool::new(false));
    let disk = Disk::watched(Faulty {
        case,
        from,
        once,
        errno,
        seen: Arc::default(),
        fired: fired.clone(),
    });
    let ran = world.with_updater(&disk, |updater| updater.run(world.transaction()));
    let recovered = world.recover();
    fired.load(SeqCst).then(|| {
        recovered?;
        let version = world.check()?;
        match &ran {
            Ok(finished) => {
                let is_new = finished.outcome == Outcome::Updated;
                if is_new != (version == '2') {
                    return Err(format!("said {:?}, is {version}", finished.outcome));
                }
                if let Outcome::RolledBack(failure) = &finished.outcome {
                    let codes = [DISK_FULL, INSTALL_FAILED, SCRIPT_FAILED];
                    if !codes.contains(&failure.code.as_str()) {
                        return Err(format!("{failure:?}"));
                    }
                }
            }
            Err(UpdateError::Unfinished | UpdateError::Empty) => return Err(format!("{ran:?}")),
            Err(_) => {}
        }
        Ok(version)
    })
}

fn every_act_fails(case: Case, once: bool, errno: Errno) {
    let mut counts = [0, 0];
    for from in 0.. {
        match survive(case, from, once, errno) {
            None => break,
            Some(Ok(version)) => counts[usize::from(version == '2')] += 1,
            Some(Err(problem)) => panic!("{case:?}, {errno:?} at {from}, once: {once}: {problem}"),
        }
    }
    let [old, new] = counts;
    println!("{case:?}, {errno:?}, once: {once}: {old} wholly old, {new} wholly new");
    assert!(old > 10 && (new > 0) != case.fails());
}

#[test]
fn a_disk_that_is_full_for_a_moment_ends_wholly_old_or_wholly_new() {
    every_act_fails(Case::Three, true, Errno::NOSPC);
    every_act_fails(Case::ThreeFail, true, Errno::NOSPC);
    every_act_fails(Case::OneByRename, true, Errno::NOSPC);
}

#[test]
fn a_disk_that_is_full_from_any_step_on_ends_wholly_old_or_wholly_new() {
    every_act_fails(Case::Three, false, Errno::NOSPC);
    every_act_fails(Case::ThreeFail, false, Errno::NOSPC);
    every_act_fails(Case::OneByRename, false, Errno::NOSPC);
}

#[test]
fn a_disk_that_fails_at_any_step_ends_wholly_old_or_wholly_new() {
    every_act_fails(Case::Three, true, Errno::IO);
    every_act_fails(Case::ThreeFail, true, Errno::IO);
    every_act_fails(Case::OneByRename, true, Errno::IO);
}

#[test]
fn a_disk_that_becomes_read_only_at_any_step_ends_wholly_old_or_wholly_new() {
    every_act_fails(Case::Three, false, Errno::ROFS);
    every_act_fails(Case::ThreeFail, false, Errno::ROFS);
    every_act_fails(Case::OneByRename, false, Errno::ROFS);
}
