//! The agent in a process of its own, that dies at a chosen step.

use std::{
    env, fs,
    os::unix::process::ExitStatusExt,
    path::Path,
    process::{Command, Stdio},
    sync::atomic::{AtomicUsize, Ordering},
};

use airlift_agent::disk::{Act, Disk, Witness};
use rustix::process::{Signal, getpid, kill_process};

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
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Call {
    Run,
    Recover,
}

/// Runs the child. The moments it counted, if it lived.
pub fn child(world: &World, call: Call, fate: &Fate) -> usize {
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
    };
    let output = Command::new(env::current_exe().unwrap())
        .args([
            "--exact",
            "transaction::child::lives_in_a_process_of_its_own",
        ])
        .args(["--nocapture", "--test-threads=1"])
        .env("AIRLIFT_TEST_WORLD", &world.root)
        .env("AIRLIFT_TEST_CASE", format!("{:?}", world.case))
        .env("AIRLIFT_TEST_CALL", format!("{call:?}"))
        .env("AIRLIFT_TEST_WITNESS", witness)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let fired = output.status.signal() == Some(Signal::KILL.as_raw());
    assert_eq!(fired, dies, "{call:?}, {fate:?}: {output:?}");
    match dies {
        true => 0,
        false => {
            assert!(output.status.success(), "{call:?}, {fate:?}: {output:?}");
            fs::read_to_string(count).unwrap().parse().unwrap()
        }
    }
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
            let cutter = Cutter::new(place(1), number(2), forgotten);
            act(&world, &Disk::watched(cutter.clone()), &variable("CALL"));
            cutter.end();
        }
        word => {
            let killer = Killer::new(if word == "kill" { place(1) } else { usize::MAX });
            act(&world, &Disk::watched(killer), &variable("CALL"));
            fs::write(
                world.root.join("count"),
                MOMENTS.load(Ordering::SeqCst).to_string(),
            )
            .unwrap();
        }
    }
}

fn act(world: &World, disk: &Disk, call: &str) {
    world.with_updater(disk, |updater| match call {
        "Run" => drop(updater.run(world.transaction()).unwrap()),
        _ => drop(updater.recover().unwrap()),
    });
}

/// The child has one witness.
static MOMENTS: AtomicUsize = AtomicUsize::new(0);

/// Before each act and after each act is a moment.
struct Killer {
    at: usize,
}

impl Killer {
    fn new(at: usize) -> Killer {
        Killer { at }
    }

    fn moment(&self) {
        if MOMENTS.fetch_add(1, Ordering::SeqCst) == self.at {
            die();
        }
    }
}

impl Witness for Killer {
    fn before(&self, _act: &Act) {
        self.moment();
    }

    fn after(&self, _act: &Act) {
        self.moment();
    }
}

/// As `kill -9` does it.
pub fn die() -> ! {
    kill_process(getpid(), Signal::KILL).unwrap();
    loop {
        std::thread::park();
    }
}
