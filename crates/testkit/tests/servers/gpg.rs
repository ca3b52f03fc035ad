use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use airlift_testkit::Gpg;
use anyhow::{Context, Result, ensure};

/// An agent that was told to end needs a moment.
const END_LIMIT: Duration = Duration::from_secs(5);

/// The process that answers for this home.
fn agent(home: &Path) -> Result<u32> {
    let output = Command::new("gpg-connect-agent")
        .args(["--no-autostart", "--homedir"])
        .arg(home)
        .args(["getinfo pid", "/bye"])
        .output()
        .context("running gpg-connect-agent")?;
    let told = String::from_utf8(output.stdout)?;
    let pid = told.lines().find_map(|line| line.strip_prefix("D "));
    Ok(pid.context("no agent answers")?.parse()?)
}

#[test]
fn a_gpg_signs_in_its_own_home_and_leaves_neither_agent_nor_folder() -> Result<()> {
    let gpg = Gpg::new()?;
    let name = gpg.generate("release", "ed25519", "never")?;
    ensure!(name.len() == 40, "{name} is no fingerprint");
    let signature = gpg.sign(&[&name], b"manifest")?;
    ensure!(gpg.verifies(&signature, b"manifest")?);
    ensure!(!gpg.verifies(&signature, b"another")?);
    let other = Gpg::new()?;
    ensure!(
        other.sign(&[&name], b"manifest").is_err(),
        "keys are shared"
    );
    let home = gpg.home().to_owned();
    let process = format!("/proc/{}", agent(&home)?);
    ensure!(Path::new(&process).exists());
    drop(gpg);
    let start = Instant::now();
    while Path::new(&process).exists() {
        ensure!(start.elapsed() < END_LIMIT, "the agent is left");
        thread::sleep(Duration::from_millis(20));
    }
    ensure!(!home.exists(), "the folder is left");
    Ok(())
}
