//! Updates that fail without anybody being killed.

use std::{
    fs, io,
    os::unix::fs::symlink,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use airlift_agent::{
    disk::{Act, Disk, Witness},
    transaction::{Failure, Outcome, Transaction, UpdateError},
};
use airlift_proto::error_code::{
    DISK_FULL, HEALTH_FAILED, INSTALL_FAILED, INTERRUPTED, SCRIPT_FAILED, SCRIPT_TIMEOUT,
};

use super::{
    child::{Call, Fate, child},
    world::{self, Case, NEW, World},
};

fn device() -> (tempfile::TempDir, World) {
    let folder = world::folder();
    let world = World::make(folder.path(), Case::Three);
    (folder, world)
}

fn failure(outcome: &Outcome) -> Failure {
    match outcome {
        Outcome::RolledBack(failure) => failure.clone(),
        Outcome::Updated => panic!("updated"),
    }
}

/// Updates with the last package changed by `change`, which must fail and leave everything old.
fn fails(world: &World, change: impl FnOnce(&mut Transaction)) -> Failure {
    let mut transaction = world.transaction();
    change(&mut transaction);
    let failure = failure(&world.run(&transaction).outcome);
    assert_eq!(world.check(), Ok('1'));
    failure
}

#[test]
fn a_script_that_exits_1_says_why_and_its_version_alone_is_marked() {
    let (_folder, world) = device();
    let failure = fails(&world, |transaction| {
        let after = "echo one; echo two >&2; exit 1";
        transaction.steps[2].content.after_update = after.to_owned();
    });
    assert_eq!(failure.code, SCRIPT_FAILED);
    assert_eq!(
        (failure.package.as_str(), failure.version.as_str()),
        ("app", "2.0")
    );
    let message = "AfterUpdate exited with 1; its output ends: one\ntwo";
    assert_eq!(failure.message, message);
    let failed = world.state().failed;
    assert_eq!(failed.keys().collect::<Vec<_>>(), ["app"]);
    assert_eq!(
        failed["app"].content_digest,
        world.transaction().steps[2].content_digest
    );
    assert_eq!(failed["app"].message, message);
}

#[test]
fn a_script_that_hangs_is_ended_and_undone() {
    let (_folder, mut world) = device();
    // The other scripts, too, end within this on a busy machine.
    world.limits.script = Duration::from_secs(3);
    let failure = fails(&world, |transaction| {
        transaction.steps[2].content.before_update = "echo waiting; sleep 1000; :".to_owned();
    });
    assert_eq!(failure.code, SCRIPT_TIMEOUT);
    assert!(
        failure.message.starts_with("BeforeUpdate ran longer"),
        "{failure:?}"
    );
    assert!(failure.message.ends_with("waiting"), "{failure:?}");
}

/// Updates, asking the last package alone for its health, which must not come.
fn health_fails(world: &World, id: &str, health: &str) -> Failure {
    // What failed before was removed.
    for package in Case::Three.packages() {
        world.stage(package, NEW, &world.release(package, NEW));
    }
    let failure = fails(world, |transaction| {
        transaction.id += id;
        for step in &mut transaction.steps {
            step.content.health.clear();
        }
        transaction.steps[2].content.health = health.to_owned();
    });
    assert_eq!(failure.code, HEALTH_FAILED);
    failure
}

#[test]
fn health_is_asked_until_the_time_is_over() {
    let (folder, mut world) = device();
    let patient = world.limits.clone();
    // The first try is the last, and has time to answer.
    world.limits.health = Duration::ZERO;
    world.limits.health_pause = patient.health;
    let failure = health_fails(&world, "-once", "echo not yet; exit 7");
    assert_eq!(
        failure.message,
        "health did not succeed within 0 s; of 1 tries the last exited with 7; its output ends: \
         not yet"
    );
    world.limits.health = Duration::from_millis(400);
    world.limits.health_pause = Duration::from_millis(10);
    let began = Instant::now();
    health_fails(&world, "-never", "exit 7");
    assert!(began.elapsed() >= world.limits.health - world.limits.health_pause);
    health_fails(&world, "-hangs", "sleep 1000; :");
    world.limits = patient;
    let tries = folder.path().join("tries");
    let mut transaction = world.transaction();
    let health = format!("echo x >> {0}; test $(wc -l < {0}) -ge 3", tries.display());
    transaction.steps[2].content.health = health;
    for package in Case::Three.packages() {
        world.stage(package, NEW, &world.release(package, NEW));
    }
    assert_eq!(world.run(&transaction).outcome, Outcome::Updated);
    assert!(world.state().failed.is_empty());
}

#[test]
fn a_script_that_deletes_what_stands_at_local_is_undone() {
    let (_folder, world) = device();
    let failure = fails(&world, |transaction| {
        transaction.steps[0].content.after_update = "rm \"$OTA_LOCAL\"".to_owned();
        transaction.steps[1].content.after_update = "rm -r \"${OTA_LOCAL%/*}\"".to_owned();
        let after = "rm \"$OTA_LOCAL\"; mkdir -p \"$OTA_LOCAL/own\"; exit 1";
        transaction.steps[2].content.after_update = after.to_owned();
    });
    assert_eq!(failure.code, SCRIPT_FAILED);
}

#[test]
fn folders_above_local_are_made_and_go_again_with_an_update_undone() {
    for fails in [false, true] {
        let (folder, world) = device();
        let mut transaction = world.transaction();
        let local = folder.path().join("opt/new/deep/app");
        let content = &mut transaction.steps[2].content;
        content.local = local.display().to_string();
        content.health = if fails { "exit 1" } else { "true" }.to_owned();
        let mut world = world;
        world.limits.health = Duration::ZERO;
        if !fails {
            world.limits.health = Duration::from_secs(20);
        }
        let outcome = world.run(&transaction).outcome;
        assert_eq!(outcome == Outcome::Updated, !fails, "{outcome:?}");
        assert_eq!(folder.path().join("opt/new").exists(), !fails);
        assert_eq!(fs::read_link(local).is_ok(), !fails);
    }
}

#[test]
fn a_local_that_cannot_be_is_refused_before_anything_is_done() {
    let (folder, world) = device();
    let inside = format!("{}/share/app", world.transaction().steps[0].content.local);
    let twice = world.transaction().steps[0].content.local.clone();
    let file = folder.path().join("log/app").display().to_string();
    fs::write(folder.path().join("log"), "").unwrap();
    for (local, named) in [
        (inside.as_str(), "inside another package"),
        (&twice, "another package's too"),
        ("opt/app", "no absolute path"),
        ("", "no absolute path"),
        ("/", "no absolute path"),
        (&file, "is no folder"),
    ] {
        let _ = fs::remove_file(world.folders.root().join("outcome"));
        let mut transaction = world.transaction();
        for step in &transaction.steps {
            world.stage(
                &step.content.package,
                NEW,
                &world.release(&step.content.package, NEW),
            );
        }
        transaction.id += "-again";
        transaction.steps[2].content.local = local.to_owned();
        let failure = failure(&world.run(&transaction).outcome);
        assert_eq!(failure.code, INSTALL_FAILED);
        assert!(
            failure.message.contains(named),
            "{local}: {}",
            failure.message
        );
        assert!(world.state().failed.is_empty());
        assert_eq!(world.version_of_links(), ['1', '1']);
    }
}

#[test]
fn a_restore_that_fails_is_a_warning() {
    let (_folder, world) = device();
    let mut transaction = world.transaction();
    fs::write(world.root.join("restore-tool"), "echo no data; exit 4\n").unwrap();
    transaction.steps[2].content.restore = "nowhere.sh".to_owned();
    let finished = world.run(&transaction);
    assert_eq!(finished.outcome, Outcome::Updated);
    assert_eq!(finished.warnings.len(), 2, "{finished:?}");
    assert_eq!(
        finished.warnings[0],
        "restore of tool exited with 4; its output ends: no data"
    );
    assert!(finished.warnings[1].starts_with("restore of app exited with"));
}

/// Refuses acts of which `which` says so.
struct Refusing<F>(F);

impl<F: Fn(&Act) -> Option<rustix::io::Errno> + Send + Sync> Witness for Refusing<F> {
    fn before(&self, _act: &Act) {}

    fn refusal(&self, act: &Act) -> Option<io::Error> {
        (self.0)(act).map(io::Error::from)
    }
}

#[test]
fn a_journal_that_does_not_fit_on_the_disk_is_a_failure_before_anything_is_done() {
    let (_folder, world) = device();
    let disk = Disk::watched(Refusing(|act: &Act| {
        matches!(act, Act::Append { .. }).then_some(rustix::io::Errno::NOSPC)
    }));
    let finished = world.with_updater(&disk, |updater| updater.run(world.transaction()));
    world.sweep(&disk);
    let failure = failure(&finished.unwrap().outcome);
    assert_eq!(failure.code, DISK_FULL);
    assert!(!world.log().exists(), "a script ran");
    assert_eq!(world.check(), Ok('1'));
    assert!(world.state().failed.is_empty());
    let mut transaction = world.transaction();
    transaction.id += "-again";
    for step in &transaction.steps {
        world.stage(&step.content.package, NEW, &step.release);
    }
    assert_eq!(world.run(&transaction).outcome, Outcome::Updated);
}

#[test]
fn a_swap_that_finds_no_space_or_no_right_to_write_is_undone_and_not_held_against_the_version() {
    for (errno, code) in [
        (rustix::io::Errno::NOSPC, DISK_FULL),
        (rustix::io::Errno::ROFS, INSTALL_FAILED),
        (rustix::io::Errno::ACCESS, INSTALL_FAILED),
    ] {
        let (_folder, world) = device();
        let disk = Disk::watched(Refusing(move |act: &Act| match act {
            Act::Symlink { path, .. } if path.ends_with("app.airlift-old") => Some(errno),
            _ => None,
        }));
        let finished = world.with_updater(&disk, |updater| updater.run(world.transaction()));
        world.sweep(&disk);
        let failure = failure(&finished.unwrap().outcome);
        assert_eq!(failure.code, code);
        assert!(failure.message.contains("app"), "{failure:?}");
        assert_eq!(world.check(), Ok('1'));
        assert!(world.state().failed.is_empty());
    }
}

#[test]
fn an_undo_that_fails_keeps_the_journal_refuses_other_updates_and_is_tried_again() {
    let (_folder, world) = device();
    let failed = Arc::new(AtomicUsize::new(0));
    let count = failed.clone();
    let disk = Disk::watched(Refusing(move |act: &Act| {
        let Act::Rename { to, .. } = act else {
            return None;
        };
        // The first puts the new one there; every other one would put the old one back.
        let is_undo = to.ends_with("opt/lib") && count.fetch_add(1, SeqCst) > 0;
        is_undo.then_some(rustix::io::Errno::ROFS)
    }));
    let mut transaction = world.transaction();
    transaction.steps[2].content.after_update = "exit 1".to_owned();
    world.with_updater(&disk, |updater| {
        for _ in 0..2 {
            let error = match failed.load(SeqCst) {
                0 => updater.run(transaction.clone()).map(|_| ()),
                _ => updater.recover().map(|_| ()),
            };
            let error = error.unwrap_err();
            assert!(matches!(error, UpdateError::NotUndone { .. }), "{error:?}");
            let text = error.to_string();
            assert!(
                text.contains("AfterUpdate") && text.contains("opt/lib"),
                "{text}"
            );
        }
        let other = updater.run(world.transaction());
        assert!(matches!(other, Err(UpdateError::Unfinished)), "{other:?}");
    });
    assert!(failed.load(SeqCst) >= 3);
    // The others are old again meanwhile.
    assert!(
        !fs::symlink_metadata(world.local("app"))
            .unwrap()
            .is_symlink()
    );
    let finished = world.recover().unwrap().unwrap();
    assert_eq!(failure(&finished.outcome).code, SCRIPT_FAILED);
    assert_eq!(world.check(), Ok('1'));
}

#[test]
fn a_version_that_is_interrupted_three_times_is_not_tried_a_fourth_time() {
    let folder = world::folder();
    let world = World::make(folder.path(), Case::One);
    for times in 1..=3 {
        world.stage("app", NEW, &world.release("app", NEW));
        let id = format!("{}-{times}", folder.path().file_name().unwrap().display());
        let transaction = Transaction {
            id,
            ..world.transaction()
        };
        world.keep(&transaction);
        child(&world, Call::Run, &Fate::Killed(15));
        // The recovery of one interruption, itself interrupted, is still one.
        child(&world, Call::Recover, &Fate::Killed(12));
        let finished = world.recover().unwrap().unwrap();
        let failure = failure(&finished.outcome);
        assert!(failure.interrupted);
        assert_eq!(failure.code, INTERRUPTED);
        let state = world.state();
        assert_eq!(state.interruptions["app"].times, times);
        assert_eq!(state.failed.contains_key("app"), times == 3);
        assert_eq!(world.check(), Ok('1'));
    }
}

#[test]
fn a_journal_that_makes_no_sense_stops_everything_and_says_what_to_do() {
    let (_folder, world) = device();
    let transaction = serde_json::to_value(world.transaction()).unwrap();
    let begun = serde_json::json!({"record": "begun", "transaction": transaction});
    let torn = "{\"record\":\"sw";
    for (journal, named) in [
        (format!("nonsense\n{begun}\n"), Some("line 1")),
        (format!("{begun}\n{begun}\n"), Some("line 2")),
        (
            format!("{begun}\n{{\"record\":\"swap\",\"step\":0,\"kept\":true}}\n{begun}\n"),
            Some("line 2"),
        ),
        (
            format!("{begun}\n{{\"record\":\"committed\",\"at\":1}}\n"),
            Some("line 2"),
        ),
        (format!("{begun}\n{torn}"), None),
        (torn.to_owned(), None),
    ] {
        fs::write(world.folders.journal(), &journal).unwrap();
        let recovered = world.recover();
        let Some(named) = named else {
            assert!(recovered.is_ok(), "{journal}: {recovered:?}");
            continue;
        };
        let error = recovered.unwrap_err();
        assert!(
            error.contains(named) && error.contains("by hand"),
            "{error}"
        );
        let disk = Disk::default();
        let run = world.with_updater(&disk, |updater| updater.run(world.transaction()));
        assert!(matches!(run, Err(UpdateError::Journal(_))), "{run:?}");
        assert_eq!(
            fs::read_to_string(world.folders.journal()).unwrap(),
            journal
        );
    }
    assert_eq!(world.version_of_links(), ['1', '1']);
}

#[test]
fn a_release_that_is_missing_is_a_failure_before_its_scripts_run() {
    let (_folder, world) = device();
    let mut transaction = world.transaction();
    transaction.steps[2].release = Path::new("/nowhere").into();
    let failure = failure(&world.run(&transaction).outcome);
    assert_eq!(failure.code, INSTALL_FAILED);
    assert!(failure.message.contains("/nowhere"), "{failure:?}");
    assert_eq!(world.version_of_links(), ['1', '1']);
}

#[test]
fn a_link_of_the_users_own_is_put_back_word_for_word() {
    let (folder, world) = device();
    let local = world.local("lib");
    fs::remove_file(&local).unwrap();
    let own = Path::new("../elsewhere/lib");
    symlink(own, &local).unwrap();
    let mut transaction = world.transaction();
    transaction.steps[2].content.after_update = "exit 1".to_owned();
    let before = format!(
        "echo \"$OTA_PREVIOUS\" > {}/previous",
        folder.path().display()
    );
    transaction.steps[0].content.before_update = before;
    failure(&world.run(&transaction).outcome);
    assert_eq!(fs::read_link(&local).unwrap(), own);
    let previous = fs::read_to_string(folder.path().join("previous")).unwrap();
    assert_eq!(
        Path::new(previous.trim()),
        folder.path().join("opt").join(own)
    );
    assert_eq!(world.state().installed["lib"].content.version, "1.0");
}
