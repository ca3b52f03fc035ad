//! Every change of the system fails once, and from every one on all of them fail.

use std::{
    io,
    path::PathBuf,
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
    /// Only what lies in this folder fails.
    within: PathBuf,
    seen: Arc<AtomicUsize>,
    fired: Arc<AtomicBool>,
}

impl Witness for Faulty {
    fn before(&self, _act: &Act) {}

    fn refusal(&self, act: &Act) -> Option<io::Error> {
        if let Some(refused) = without_exchange(self.case, act) {
            return Some(refused);
        }
        if !paths(act).iter().any(|path| path.starts_with(&self.within)) {
            return None;
        }
        let needs_space = match act {
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

fn paths(act: &Act) -> Vec<&PathBuf> {
    match act {
        Act::Create { path }
        | Act::Write { path }
        | Act::Append { path }
        | Act::Truncate { path, .. }
        | Act::Sync { path }
        | Act::SyncDir { path }
        | Act::CreateDir { path }
        | Act::Symlink { path, .. }
        | Act::Remove { path }
        | Act::SetMode { path, .. } => vec![path],
        Act::Rename { from, to } => vec![from, to],
        Act::Exchange { a, b } => vec![a, b],
        Act::Script { .. } | Act::Kill { .. } => vec![],
    }
}

/// Where the fault is, and of which kind.
#[derive(Clone, Copy, Debug)]
struct Fault {
    errno: Errno,
    once: bool,
    /// In the device's folder.
    within: &'static str,
}

/// Runs with the fault, recovers without it, and looks. `None` if the fault did not fire any more.
fn survive(case: Case, from: usize, fault: Fault) -> Option<Result<char, String>> {
    let folder = world::folder();
    let world = World::make(folder.path(), case);
    let fired = Arc::new(AtomicBool::new(false));
    let disk = Disk::watched(Faulty {
        case,
        from,
        once: fault.once,
        errno: fault.errno,
        within: world.root.join(fault.within),
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

fn every_act_fails(fault: Fault) {
    for case in [Case::Three, Case::ThreeFail, Case::OneByRename] {
        let mut counts = [0, 0];
        for from in 0.. {
            match survive(case, from, fault) {
                None => break,
                Some(Ok(version)) => counts[usize::from(version == '2')] += 1,
                Some(Err(problem)) => panic!("{case:?}, {fault:?} at {from}: {problem}"),
            }
        }
        let [old, new] = counts;
        println!("{case:?}, {fault:?}: {old} wholly old, {new} wholly new");
        // After the commit no package is touched.
        let may_be_new = !case.fails() && fault.within != "opt";
        assert!(old > 2 && (new > 0) == may_be_new);
    }
}

fn fault(errno: Errno, once: bool, within: &'static str) -> Fault {
    Fault {
        errno,
        once,
        within,
    }
}

#[test]
fn a_disk_that_is_full_for_a_moment_ends_wholly_old_or_wholly_new() {
    every_act_fails(fault(Errno::NOSPC, true, ""));
}

#[test]
fn a_disk_that_is_full_from_any_step_on_ends_wholly_old_or_wholly_new() {
    every_act_fails(fault(Errno::NOSPC, false, ""));
}

#[test]
fn a_disk_that_fails_at_any_step_ends_wholly_old_or_wholly_new() {
    every_act_fails(fault(Errno::IO, true, ""));
}

#[test]
fn a_disk_that_becomes_read_only_at_any_step_ends_wholly_old_or_wholly_new() {
    every_act_fails(fault(Errno::ROFS, false, ""));
}

/// The packages may stand on another file system than the state.
#[test]
fn a_state_folder_that_fails_at_any_step_ends_wholly_old_or_wholly_new() {
    every_act_fails(fault(Errno::IO, false, "state"));
    every_act_fails(fault(Errno::NOSPC, false, "state"));
}

#[test]
fn a_folder_of_packages_that_fails_at_any_step_ends_wholly_old_or_wholly_new() {
    every_act_fails(fault(Errno::ROFS, false, "opt"));
    every_act_fails(fault(Errno::IO, true, "opt"));
}
