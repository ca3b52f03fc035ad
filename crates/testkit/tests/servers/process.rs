use std::time::Duration;

use airlift_testkit::Process;
use anyhow::{Context, Result, ensure};

const LIMIT: Duration = Duration::from_secs(10);

#[test]
fn a_program_is_watched_ended_politely_and_started_again() -> Result<()> {
    let script =
        r#"trap 'echo leaving; exit 3' TERM; echo "ready $WORD"; while :; do sleep 0.05; done"#;
    let env = [("WORD", "steady".to_owned())];
    let mut process = Process::spawn("sh", &["-c", script], &env, "script")?;
    ensure!(process.wait_for_line("ready", LIMIT)? == "ready steady");
    let first = process.pid();

    let status = process.terminate(LIMIT)?;
    ensure!(status.code() == Some(3), "{status}");
    ensure!(process.log().contains("leaving"), "{}", process.log());

    process.start_again()?;
    process.wait_for_line("ready", LIMIT)?;
    ensure!(process.pid() != first, "the same process");
    process.kill9()?;
    let folder = process.folder().to_path_buf();
    drop(process);
    ensure!(!folder.exists(), "{} remains", folder.display());
    Ok(())
}

#[test]
fn a_program_that_dies_says_so_with_its_last_words() -> Result<()> {
    let mut process = Process::spawn("sh", &["-c", "echo out of luck >&2; exit 7"], &[], "loser")?;
    let error = process
        .wait_for_line("ready", LIMIT)
        .err()
        .context("it was ready")?
        .to_string();
    ensure!(
        error.contains("out of luck") && error.contains("exit status: 7"),
        "{error}"
    );
    Ok(())
}

#[test]
fn a_program_deaf_to_sigterm_is_killed_and_reported() -> Result<()> {
    let mut process = Process::spawn(
        "sh",
        &[
            "-c",
            "trap '' TERM; echo ready; while :; do sleep 0.05; done",
        ],
        &[],
        "deaf",
    )?;
    process.wait_for_line("ready", LIMIT)?;
    let error = process
        .terminate(Duration::from_millis(200))
        .err()
        .context("it ended")?
        .to_string();
    ensure!(error.contains("was killed"), "{error}");
    ensure!(!process.is_running()?);
    Ok(())
}

#[test]
fn a_binary_that_is_not_built_is_an_error_that_says_what_to_do() -> Result<()> {
    let error = airlift_testkit::binary("airlift-nothing")
        .err()
        .context("found")?
        .to_string();
    ensure!(error.contains("cargo build --workspace"), "{error}");
    Ok(())
}
