//! Hundreds of requests made up from the API's own description, by a tool that has never seen the
//! code: no crash, and no answer that the description does not know.

use std::process::Command;

use airlift_bundle::Kind;
use airlift_testkit::python_with;

use crate::{
    app::Setup,
    bundles::{Keys, RELEASE, Sample, upload_bundle},
    packages::pushed,
};

/// Another version makes up other requests.
const VERSION: &str = "4.32.5";
/// For the same requests every time.
const SEED: &str = "20260301";
/// Requests made up per operation and phase.
const EXAMPLES_MAX: &str = "20";
/// The same on PostgreSQL, which is to show what it alone can't store.
const EXAMPLES_ON_POSTGRES_MAX: &str = "8";

#[tokio::test(flavor = "multi_thread")]
async fn no_request_makes_the_server_fail_or_answer_what_it_does_not_describe() {
    make_up_requests(Setup::default(), EXAMPLES_MAX).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_request_makes_postgres_fail() {
    let setup = Setup {
        postgres: true,
        ..Setup::default()
    };
    make_up_requests(setup, EXAMPLES_ON_POSTGRES_MAX).await;
}

async fn make_up_requests(setup: Setup, examples_max: &str) {
    let program = python_with("schemathesis", VERSION)
        .unwrap()
        .with_file_name("schemathesis");
    let app = setup.start().await;
    // Something to find.
    for version in ["1.0.1", "1.0.2"] {
        app.released(version).await;
    }
    app.upload("2.0.0", b"a draft").await.data();
    app.trigger("HQ2026TEST001", "1.0.2").await.data();
    let keys = Keys::none();
    keys.make(RELEASE, "ed25519");
    let bundle = keys.seal(&Sample::of(Kind::FirmwareAndWeb, "1.0.3", 1));
    upload_bundle(&app, &bundle).await.data();
    app.release("1.0.3").await.data();
    for version in ["1.9", "1.10"] {
        pushed(&app, version).await;
    }

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
        // Its answer has no end.
        .args(["--exclude-path", "/api/ota/events"])
        .args(["--max-examples", examples_max])
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
