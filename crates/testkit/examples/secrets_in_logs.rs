//! Looks whether any log of a test run has a secret in it: `secrets_in_logs FOLDER`. Run by `test.sh`.

use std::{env, path::Path, process::ExitCode};

use airlift_testkit::secrets_in_logs;
use anyhow::{Context, ensure};

fn main() -> anyhow::Result<ExitCode> {
    let folder = env::args()
        .nth(1)
        .context("usage: secrets_in_logs FOLDER")?;
    let sighting = secrets_in_logs(Path::new(&folder))?;
    for leak in &sighting.leaks {
        println!("{leak}");
    }
    ensure!(
        sighting.leaks.is_empty(),
        "{} lines of logs have secrets in them",
        sighting.leaks.len()
    );
    println!(
        "no secret in {} logs of {} MB; {} secrets were noted",
        sighting.logs,
        sighting.bytes >> 20,
        sighting.secrets
    );
    Ok(ExitCode::SUCCESS)
}
