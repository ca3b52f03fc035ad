//! The agent in a process of its own, that dies at a chosen step.

use std::{
    env, fs, io,
    os::unix::process::{CommandExt, ExitStatusExt},
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    process::{Child, Command, Stdio},
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use airlift_agent::disk::{Act, Disk, Witness};
use rustix::process::{Signal, getpid, kill_process};
use serde::{Deserialize, Serialize};

use super::{
    cut_model::Cutter,
    world::{Case, World},
};

/// What happens to the child.
#[derive(Clone, Debug, PartialEq)]
pub enum Fate {
    /// Lives, and says how many moments there were at which it could have died.
    Lives,
    /// SIGKILL at this moment.
    Killed(usize),
    /// The power goes at this moment; what is lost is drawn by `seed`. Syncs of paths that end with
    /// one of `forgotten` are as if they had not been written.
    Cut {
        at: usize,
        seed: u64,
        forgotten: Option<String>,
    },
    /// The agent is killed at one moment, and the power goes at a later one of the recovery: what
    /// was not safe when the agent was killed still is not. Both in one process.
    KilledThenCut { kill: usize, cut: usize, seed: u64 },
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Call {
    Run,
    Recover,
}

/// What a child saw that lived.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Counted {
    /// Before and after acts: times to be killed at.
    pub moments: usize,
    pub acts: usize,
    /// Which acts are syncs: before them, something is not safe.
    pub syncs: Vec<usize>,
}

/// Runs the child, whose fate must come. What it counted, if it lived.
pub fn child(world: &World, call: Call, fate: &Fate) -> Counted {
    let (fired, counted) = try_child(world, call, fate);
    assert_eq!(fired, *fate != Fate::Lives, "{call:?}, {fate:?}");
    counted
}

/// Runs the child. Whether its fate came, and what it counted if it was to live.
pub fn try_child(world: &World, call: Call, fate: &Fate) -> (bool, Counted) {
    let count = world.root.join("count");
    let _ = fs::remove_file(&count);
    let (witness, dies) = match fate {
        Fate::Lives => ("count".to_owned(), false),
        Fate::Killed(at) => (format!("kill {at}"), true),
        Fate::Cut {
            at,
            seed,
            forgotten,
        } => {
            let forgotten = forgotten.as_deref().unwrap_or_default();
            (format!("cut {at} {seed} {forgotten}"), true)
        }
        Fate::KilledThenCut { kill, cut, seed } => {
            (format!("kill-cut {} {seed} {kill}", kill + cut), true)
        }
    };
    let output = start(world, call, witness).wait_with_output().unwrap();
    let fired = output.status.signal() == Some(Signal::KILL.as_raw());
    assert!(
        fired || output.status.success(),
        "{call:?}, {fate:?}: {output:?}"
    );
    let counted = match dies {
        true => Counted::default(),
        false => serde_json::from_slice(&fs::read(count).unwrap()).unwrap(),
    };
    (fired, counted)
}

/// Starts the child, in a process group of its own.
pub fn start(world: &World, call: Call, witness: String) -> Child {
    Command::new(env::current_exe().unwrap())
        .args([
            "--exact",
            "transaction::child::lives_in_a_process_of_its_own",
        ])
        .args(["--nocapture", "--test-threads=1"])
        .env("AIRLIFT_TEST_WORLD", &world.root)
        .env("AIRLIFT_TEST_CASE", format!("{:?}", world.case))
        .env("AIRLIFT_TEST_CALL", format!("{call:?}"))
        .env("AIRLIFT_TEST_WITNESS", witness)
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

#[test]
fn lives_in_a_process_of_its_own() {
    let Ok(root) = env::var("AIRLIFT_TEST_WORLD") else {
        return;
    };
    let variable = |name: &str| env::var(format!("AIRLIFT_TEST_{name}")).unwrap();
    let case = variable("CASE");
    let case = *Case::ALL
        .iter()
        .find(|it| format!("{it:?}") == case)
        .unwrap();
    let world = World::at(Path::new(&root), case);
    let words = variable("WITNESS");
    let words: Vec<&str> = words.split(' ').collect();
    let number = |index: usize| words[index].parse::<u64>().unwrap();
    let place = |index: usize| usize::try_from(number(index)).unwrap();
    match words[0] {
        "cut" => {
            let forgotten = Some(words[3]).filter(|it| !it.is_empty());
            let cutter = Cutter::new(place(1), number(2), case).forgetting(forgotten);
            act(&world, &Disk::watched(cutter.clone()), &variable("CALL"));
            cutter.end();
        }
        "kill-cut" => {
            let cutter = Cutter::new(place(1), number(2), case).killing(place(3));
            let disk = Disk::watched(cutter.clone());
            let run = AssertUnwindSafe(|| act(&world, &disk, "Run"));
            catch_unwind(run).unwrap_err();
            act(&world, &disk, "Recover");
            cutter.end();
        }
        word => {
            let killer = Killer {
                at: if word == "kill" { place(1) } else { usize::MAX },
                case,
            };
            act(&world, &Disk::watched(killer), &variable("CALL"));
            let counted = Counted {
                moments: MOMENTS.load(Ordering::SeqCst),
                acts: ACTS.load(Ordering::SeqCst),
                syncs: SYNCS.lock().unwrap().clone(),
            };
            let counted = serde_json::to_vec(&counted).unwrap();
            fs::write(world.root.join("count"), counted).unwrap();
        }
    }
}

fn act(world: &World, disk: &Disk, call: &str) {
    world.with_updater(disk, |updater| match call {
        "Run" => drop(updater.run(world.transaction()).unwrap()),
        _ => drop(updater.recover().unwrap()),
    });
    world.sweep(disk);
}

/// The child has one witness.
static MOMENTS: AtomicUsize = AtomicUsize::new(0);
static ACTS: AtomicUsize = AtomicUsize::new(0);
static SYNCS: Mutex<Vec<usize>> = Mutex::new(Vec::new());

/// Before each act and after each act is a moment.
struct Killer {
    at: usize,
    case: Case,
}

impl Killer {
    fn moment(&self) {
        if MOMENTS.fetch_add(1, Ordering::SeqCst) == self.at {
            die();
        }
    }
}

impl Witness for Killer {
    fn before(&self, act: &Act) {
        let act_number = ACTS.fetch_add(1, Ordering::SeqCst);
        if matches!(act, Act::Sync { .. } | Act::SyncDir { .. }) {
            SYNCS.lock().unwrap().push(act_number);
        }
        self.moment();
    }

    fn after(&self, _act: &Act) {
        self.moment();
    }

    fn refusal(&self, act: &Act) -> Option<io::Error> {
        without_exchange(self.case, act)
    }
}

/// Some file systems have no exchange of names.
pub fn without_exchange(case: Case, act: &Act) -> Option<io::Error> {
    let is_refused = case.is_without_exchange() && matches!(act, Act::Exchange { .. });
    is_refused.then(|| io::Error::from(rustix::io::Errno::INVAL))
}

/// As `kill -9` does it.
pub fn die() -> ! {
    kill_process(getpid(), Signal::KILL).unwrap();
    loop {
        std::thread::park();
    }
}
