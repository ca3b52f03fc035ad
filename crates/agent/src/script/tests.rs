use std::{fs, path::Path};

use super::*;

/// Time for a command to come to where it hangs, on a busy machine too.
const HANGS_LIMIT: Duration = Duration::from_secs(3);

fn script(line: &str) -> Script {
    Script {
        package: "app".to_owned(),
        stage: Stage::After,
        command: ["/bin/sh", "-c", line].map(OsString::from).into(),
        folder: PathBuf::from("/"),
        environment: Vec::new(),
        limit: Duration::from_secs(20),
        grace: Duration::from_millis(300),
    }
}

fn run(script: &Script) -> Ran {
    script.run(&Disk::default(), &|| ())
}

fn is_alive(pid_file: &Path) -> bool {
    let pid = fs::read_to_string(pid_file).unwrap();
    let status = fs::read_to_string(format!("/proc/{}/status", pid.trim())).unwrap_or_default();
    // A zombie is nobody.
    !status.is_empty() && !status.contains("State:\tZ")
}

/// Killed processes take a moment to go.
fn is_gone_soon(pid_file: &Path) -> bool {
    (0..2000).any(|_| {
        thread::sleep(Duration::from_millis(5));
        !is_alive(pid_file)
    })
}

#[test]
fn a_command_says_how_it_ended_and_what_it_wrote() {
    let ran = run(&script("echo out; echo err >&2; exit 3"));
    assert!(!ran.succeeded());
    assert_eq!(ran.output, "out\nerr\n");
    assert_eq!(ran.to_string(), "exited with 3; its output ends: out\nerr");
    assert!(run(&script("true")).succeeded());
    let ran = run(&script("kill -SEGV $$"));
    assert_eq!(ran.to_string(), "was ended by signal 11; it wrote nothing");
}

#[test]
fn a_command_has_its_environment_its_folder_a_group_of_its_own_and_nothing_to_read() {
    let folder = tempfile::tempdir().unwrap();
    let mut script =
        script("read line; echo \"[$line] $OTA_PACKAGE $PWD\"; ps -o pgid= -p $$; echo $$");
    script.folder = fs::canonicalize(folder.path()).unwrap();
    script.environment = vec![("OTA_PACKAGE", "app".into())];
    let output = run(&script).output;
    let lines: Vec<&str> = output.lines().map(str::trim).collect();
    assert_eq!(lines[0], format!("[] app {}", script.folder.display()));
    assert_eq!(lines[1], lines[2]);
}

#[test]
fn megabytes_of_output_leave_the_last_four_kibibytes_as_valid_text() {
    let ran = run(&script(
        "head -c 8000000 /dev/urandom; yes é | head -n 100000 | tr -d '\\n'; printf 'x\\000end'",
    ));
    assert!(ran.succeeded());
    assert!(ran.output.len() <= OUTPUT_BYTES_MAX && ran.output.len() > OUTPUT_BYTES_MAX - 4);
    assert!(ran.output.starts_with('é'), "{:?}", &ran.output[..8]);
    assert!(ran.output.ends_with("éx\u{FFFD}end"));
    let garbage = run(&script("head -c 100000 /dev/urandom"));
    assert!(garbage.output.len() <= OUTPUT_BYTES_MAX);
}

#[test]
fn a_command_that_hangs_is_killed_with_its_children_also_those_that_ignore_sigterm() {
    let folder = tempfile::tempdir().unwrap();
    let child = folder.path().join("child");
    let line = format!(
        "sh -c 'trap \"\" TERM; echo $$ > {0}.new; mv {0}.new {0}; while :; do sleep 60; done' & wait",
        child.display()
    );
    let mut script = script(&line);
    script.limit = HANGS_LIMIT;
    let ran = run(&script);
    assert!(ran.timed_out());
    assert!(ran.to_string().starts_with("ran longer than 3 s"), "{ran}");
    assert!(is_gone_soon(&child));
}

#[test]
fn a_command_that_ignores_sigterm_is_killed() {
    let mut script = script("trap '' TERM; echo ready; while :; do sleep 60; done");
    script.limit = HANGS_LIMIT;
    let ran = run(&script);
    assert!(ran.timed_out());
    assert_eq!(ran.output, "ready\n");
}

#[test]
fn a_background_process_that_keeps_the_output_open_is_not_waited_for_and_lives() {
    let folder = tempfile::tempdir().unwrap();
    let child = folder.path().join("child");
    let line = format!("sleep 60 & echo $! > {}; echo done", child.display());
    let began = Instant::now();
    let ran = run(&script(&line));
    assert!(ran.succeeded());
    assert_eq!(ran.output, "done\n");
    assert!(began.elapsed() < Duration::from_secs(10));
    assert!(is_alive(&child));
    let pid = fs::read_to_string(child).unwrap().trim().parse().unwrap();
    rustix::process::kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
}

#[test]
fn a_shell_or_a_folder_that_is_missing_is_an_error_of_the_command() {
    let mut missing = script("true");
    missing.command[0] = "/nowhere/sh".into();
    let ran = run(&missing);
    assert!(!ran.succeeded());
    assert!(ran.to_string().starts_with("could not be started"), "{ran}");
    let mut missing = script("true");
    missing.folder = "/nowhere".into();
    assert!(run(&missing).to_string().contains("/nowhere"), "{ran}");
}

#[test]
fn the_watchdog_hears_of_a_command_that_takes_long() {
    let folder = tempfile::tempdir().unwrap();
    let beaten = folder.path().join("beaten");
    let line = format!("until test -e {}; do sleep 0.05; done", beaten.display());
    let ran = script(&line).run(&Disk::default(), &|| fs::write(&beaten, "").unwrap());
    assert!(ran.succeeded());
}
