//! What stays of earlier versions, and what scripts are told.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use airlift_agent::transaction::{Outcome, Transaction};

use super::world::{self, Case, OLD, World, digest, names};

/// A third version, and so on, staged.
fn next(world: &World, version: char) -> Transaction {
    let mut transaction = world.transaction();
    transaction.id = format!("{}-{version}", transaction.id);
    for step in &mut transaction.steps {
        let package = step.content.package.clone();
        step.from_version = Some(step.content.version.clone());
        step.content.version = format!("{version}.0");
        step.content_digest = digest(&package, version);
        step.release = world.release(&package, version);
        world.stage(&package, version, &step.release);
    }
    transaction
}

fn update(world: &World, transaction: &Transaction) {
    let finished = world.run(transaction);
    assert_eq!(finished.outcome, Outcome::Updated);
    assert_eq!(finished.warnings, Vec::<String>::new());
}

#[test]
fn the_release_before_is_kept_and_older_ones_are_removed() {
    let folder = world::folder();
    let world = World::make(folder.path(), Case::Three);
    let old = folder.path().join("opt/app.airlift-old");
    update(&world, &world.transaction());
    assert!(old.join("bin/run").exists());
    update(&world, &next(&world, '3'));
    let kept = ["a2", "a3", "b2", "b3", "c2", "c3"].map(|it| it.repeat(32));
    assert_eq!(names(&world.folders.releases()), kept);
    assert!(!old.exists());
    let previous = &world.state().installed["app"].previous;
    assert_eq!(*previous, Some(world.release("app", '2')));
    update(&world, &next(&world, '4'));
    let kept = ["a3", "a4", "b3", "b4", "c3", "c4"].map(|it| it.repeat(32));
    assert_eq!(names(&world.folders.releases()), kept);
}

#[test]
fn an_update_of_scripts_alone_swaps_nothing_and_keeps_what_was_kept() {
    let folder = world::folder();
    let world = World::make(folder.path(), Case::Three);
    update(&world, &world.transaction());
    let before = world.state();
    let inode = |package: &str| fs::symlink_metadata(world.local(package)).unwrap().ino();
    let inodes = ["lib", "tool", "app"].map(inode);
    let mut transaction = world.transaction();
    transaction.id += "-again";
    for step in &mut transaction.steps {
        step.content_digest = "f".repeat(64);
        step.content.version = "2.1".to_owned();
    }
    update(&world, &transaction);
    assert_eq!(["lib", "tool", "app"].map(inode), inodes);
    let after = world.state();
    for (package, installed) in &after.installed {
        assert_eq!(installed.content.version, "2.1");
        assert_eq!(installed.previous, before.installed[package].previous);
    }
    assert!(folder.path().join("opt/app.airlift-old/bin/run").exists());
    assert_eq!(names(&world.folders.releases()).len(), 5);
}

#[test]
fn a_release_that_another_package_uses_is_not_removed() {
    let folder = world::folder();
    let world = World::make(folder.path(), Case::Three);
    // Both are of the same file.
    let mut transaction = world.transaction();
    let shared = world.release("lib", OLD);
    transaction.steps[2].release = shared.clone();
    update(&world, &transaction);
    let mut later = next(&world, '3');
    later.steps.truncate(1);
    update(&world, &later);
    let mut later = next(&world, '4');
    later.steps.truncate(1);
    update(&world, &later);
    assert_eq!(fs::read_link(world.local("app")).unwrap(), shared);
    assert!(shared.join("bin/run").exists());
    let kept = ["a1", "a3", "a4", "b1", "b2"].map(|it| it.repeat(32));
    assert_eq!(names(&world.folders.releases()), kept);
}

#[test]
fn a_local_put_back_by_hand_is_kept_in_place_of_what_was_kept_before() {
    let folder = world::folder();
    let world = World::make(folder.path(), Case::One);
    update(&world, &world.transaction());
    let local = world.local("app");
    fs::remove_file(&local).unwrap();
    fs::create_dir(&local).unwrap();
    fs::write(local.join("own"), "by hand").unwrap();
    update(&world, &next(&world, '3'));
    assert_eq!(names(&folder.path().join("opt/app.airlift-old")), ["own"]);
}

#[test]
fn every_script_is_told_what_it_is_about() {
    for fails in [false, true] {
        let folder = world::folder();
        let world = World::make(folder.path(), Case::One);
        let mut transaction = world.transaction();
        let told = |stage: &str| {
            let path = folder.path().join(stage);
            format!("env > {}; pwd > {}.pwd", path.display(), path.display())
        };
        let content = &mut transaction.steps[0].content;
        content.before_update = told("before");
        content.after_update = told("after");
        content.health = told("health");
        if fails {
            content.after_update += "; exit 1";
        }
        let restore = folder.path().join("restore.sh");
        fs::write(&restore, told("restore")).unwrap();
        content.restore = restore.display().to_string();
        let outcome = world.run(&transaction).outcome;
        assert_eq!(outcome == Outcome::Updated, !fails);
        let read = |stage: &str, name: &str| -> Option<String> {
            let text = fs::read_to_string(folder.path().join(stage)).unwrap();
            let start = format!("{name}=");
            let mut values = text.lines().filter_map(|line| line.strip_prefix(&start));
            values.next().map(str::to_owned)
        };
        let local = world.local("app");
        let old: PathBuf = folder.path().join("opt/app.airlift-old");
        let stages: &[&str] = match fails {
            true => &["before", "after", "restore"],
            false => &["before", "after", "health", "restore"],
        };
        for stage in stages {
            let is_away = ["after", "health"].contains(stage) || (*stage == "restore" && !fails);
            let previous = if is_away { &old } else { &local };
            for (name, value) in [
                ("OTA_DEVICE", "device-1"),
                ("OTA_PACKAGE", "app"),
                ("OTA_VERSION", "2.0"),
                ("OTA_FROM_VERSION", "1.0"),
                ("OTA_BRANCH", "main"),
                ("OTA_LOCAL", local.to_str().unwrap()),
                ("OTA_RELEASE", world.release("app", '2').to_str().unwrap()),
                ("OTA_PREVIOUS", previous.to_str().unwrap()),
                ("OTA_STAGE", stage),
                ("OTA_TRANSACTION", &transaction.id),
            ] {
                assert_eq!(read(stage, name).as_deref(), Some(value), "{name}, {stage}");
            }
            let result = match (*stage, fails) {
                ("restore", false) => Some("updated"),
                ("restore", true) => Some("rolled_back"),
                _ => None,
            };
            assert_eq!(read(stage, "OTA_RESULT").as_deref(), result);
            let folder = fs::read_to_string(folder.path().join(format!("{stage}.pwd"))).unwrap();
            let release = world.release("app", '2');
            let expected: &Path = if is_away { &release } else { &local };
            let folders = [expected, &local];
            assert!(
                folders.contains(&Path::new(folder.trim())),
                "{stage} in {folder}"
            );
        }
    }
}
