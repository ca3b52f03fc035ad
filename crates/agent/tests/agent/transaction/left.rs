//! Processes that scripts leave behind, and scripts that turn on the agent.

use std::{fs, os::unix::process::ExitStatusExt, thread, time::Duration};

use airlift_agent::{
    script::Stage,
    transaction::{Outcome, Transaction},
};
use rustix::process::{Pid, Signal, kill_process};

use super::{
    child::{Call, start},
    world::{self, Case, World, processes_with},
};

const BACKGROUND: &str = "sleep 1000 > /dev/null 2>&1 &";

fn soon(what: impl Fn() -> bool) -> bool {
    (0..2000).any(|_| {
        thread::sleep(Duration::from_millis(5));
        what()
    })
}

fn kill(process: &str) {
    let pid = Pid::from_raw(process.parse().unwrap()).unwrap();
    kill_process(pid, Signal::KILL).unwrap();
}

/// A device with one package, and its update changed by `change`.
fn device(change: impl FnOnce(&mut Transaction)) -> (tempfile::TempDir, World) {
    let folder = world::folder();
    let world = World::make(folder.path(), Case::One);
    let mut transaction = world.transaction();
    change(&mut transaction);
    world.keep(&transaction);
    (folder, world)
}

#[test]
fn processes_of_a_script_that_was_cut_short_are_killed_before_anything_is_undone() {
    let (_folder, world) = device(|transaction| {
        // One in a session of its own, which dies with no group.
        let after = "setsid sleep 1000 & sleep 1000; :";
        transaction.steps[0].content.after_update = after.to_owned();
    });
    let mut agent = start(&world, Call::Run, "count".to_owned());
    assert!(soon(|| world.processes_left().len() == 3));
    agent.kill().unwrap();
    agent.wait().unwrap();
    assert_eq!(world.processes_left().len(), 3);
    world.recover().unwrap();
    assert_eq!(world.processes_left(), Vec::<String>::new());
    assert_eq!(world.check().unwrap(), '1');
}

#[test]
fn a_script_that_kills_the_agents_process_group_is_undone_at_the_next_start() {
    let (_folder, world) = device(|transaction| {
        let after = "kill -9 -$PPID; sleep 1000; :";
        transaction.steps[0].content.after_update = after.to_owned();
    });
    let mut agent = start(&world, Call::Run, "count".to_owned());
    let status = agent.wait().unwrap();
    assert_eq!(status.signal(), Some(Signal::KILL.as_raw()));
    let finished = world.recover().unwrap().unwrap();
    let Outcome::RolledBack(failure) = finished.outcome else {
        panic!("{finished:?}");
    };
    assert!(failure.interrupted);
    assert!(
        failure.message.contains(&Stage::After.to_string()),
        "{failure:?}"
    );
    assert_eq!(world.check().unwrap(), '1');
}

#[test]
fn a_background_process_that_an_update_starts_lives_on_but_dies_with_an_update_undone() {
    for fails in [false, true] {
        let (_folder, mut world) = device(|transaction| {
            let content = &mut transaction.steps[0].content;
            content.after_update = BACKGROUND.to_owned();
            content.health = if fails { "exit 1" } else { "" }.to_owned();
        });
        world.limits.health = Duration::from_millis(50);
        let outcome = world.run(&world.transaction()).outcome;
        assert_eq!(matches!(outcome, Outcome::RolledBack(_)), fails);
        let left = world.processes_left();
        left.iter().for_each(|process| kill(process));
        assert_eq!(left.len(), usize::from(!fails));
    }
}

#[test]
fn a_restore_that_was_cut_short_is_killed_and_run_again_but_not_what_the_update_started() {
    let (folder, world) = device(|transaction| {
        let content = &mut transaction.steps[0].content;
        content.after_update = BACKGROUND.to_owned();
        content.restore = "/nowhere".to_owned();
    });
    let restore = folder.path().join("restore");
    let mut transaction = world.transaction();
    transaction.steps[0].content.restore = restore.display().to_string();
    world.keep(&transaction);
    fs::write(&restore, "sleep 1000; :\n").unwrap();
    let restores = || {
        let id = processes_with(&format!("OTA_TRANSACTION={}", transaction.id));
        let mut restores = processes_with("OTA_STAGE=restore");
        restores.retain(|process| id.contains(process));
        restores.len()
    };
    let mut agent = start(&world, Call::Run, "count".to_owned());
    assert!(soon(|| restores() == 2));
    agent.kill().unwrap();
    agent.wait().unwrap();
    let again = format!("echo \"$OTA_RESULT\" > {}\n", world.log().display());
    fs::write(&restore, again).unwrap();
    let finished = world.recover().unwrap().unwrap();
    assert_eq!(finished.outcome, Outcome::Updated);
    assert_eq!(restores(), 0);
    assert_eq!(fs::read_to_string(world.log()).unwrap(), "updated\n");
    let left = world.processes_left();
    left.iter().for_each(|process| kill(process));
    assert_eq!(left.len(), 1);
}
