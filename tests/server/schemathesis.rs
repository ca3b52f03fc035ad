//! Hundreds of requests made up from the API's own description, by a tool that has never seen the
//! code: no crash, and no answer that the description does not know.

use std::{
    env,
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
};

use crate::app::Setup;

/// Another version makes up other requests.
const VERSION: &str = "4.32.5";
/// For the same requests every time.
const SEED: &str = "20260301";
/// Requests made up per operation and phase.
const EXAMPLES_MAX: &str = "20";

#[tokio::test(flavor = "multi_thread")]
async fn no_request_makes_the_server_fail_or_answer_what_it_does_not_describe() {
    make_up_requests(Setup::default()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_request_makes_postgres_fail() {
    let setup = Setup {
        postgres: true,
        ..Setup::default()
    };
    make_up_requests(setup).await;
}

async fn make_up_requests(setup: Setup) {
    let program = program();
    let app = setup.start().await;
    // Something to find.
    for version in ["1.0.1", "1.0.2"] {
        app.released(version).await;
    }
    app.upload("2.0.0", b"a draft").await.data();
    app.trigger("HQ2026TEST001", "1.0.2").await.data();

    let mut command = Command::new(program);
    command
        .arg("run")
        .arg(app.url("/openapi.json"))
        // The description does not say which ids exist and which versions are free.
        .args([
            "--checks",
            "all",
            "--exclude-checks",
            "positive_data_acceptance",
        ])
        .args(["--max-examples", EXAMPLES_MAX])
        .args(["--seed", SEED])
        .args(["--request-timeout", "10"])
        // CPython 3.11 parses in several threads at once with an error now and then.
        .args(["--workers", "1"])
        .arg("--no-color")
        .current_dir(env!("CARGO_TARGET_TMPDIR"));
    let output = tokio::task::spawn_blocking(move || command.output())
        .await
        .unwrap()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    println!("{text}");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "schemathesis: {text}\n{errors}");
    app.stop().await;
}

/// The tool of this version from `PATH`, or else from a virtual environment under `target`, which
/// is made if need be.
fn program() -> PathBuf {
    let path = env::var_os("PATH").unwrap_or_default();
    let installed = env::split_paths(&path)
        .map(|folder| folder.join("schemathesis"))
        .find(|candidate| candidate.is_file());
    if let Some(program) = installed
        && let Ok(output) = Command::new(&program).arg("--version").output()
        && String::from_utf8_lossy(&output.stdout)
            .trim()
            .ends_with(VERSION)
    {
        return program;
    }
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let folder = target.join("schemathesis-venv");
    let complete = folder.join(format!("complete-{VERSION}"));
    // Tests are processes of their own; one of them makes it.
    let lock = File::create(target.join("schemathesis-venv.lock")).unwrap();
    lock.lock().unwrap();
    if !complete.exists() {
        let _ = fs::remove_dir_all(&folder);
        run(Command::new("python3").args(["-m", "venv"]).arg(&folder));
        let package = format!("schemathesis=={VERSION}");
        run(Command::new(folder.join("bin/pip")).args(["install", "--quiet", &package]));
        fs::write(&complete, "").unwrap();
    }
    folder.join("bin/schemathesis")
}

fn run(command: &mut Command) {
    let advice = "the API test needs schemathesis: install it (pip install schemathesis), or \
                  python3 with venv and a way to PyPI, as ./test.sh does";
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}; {advice}"));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {errors}; {advice}");
}
