//! Hundreds of requests made up from the API's own description, by a tool that has never seen the
//! code: no crash, and no answer that the description does not know.

use std::process::Command;

use airlift::{
    domain::{Actor, Caller, Role},
    service::NewToken,
};
use airlift_bundle::Kind;
use airlift_testkit::python_with;

use crate::{
    app::{Setup, TestApp},
    bundles::{Keys, RELEASE, Sample, upload_bundle},
    packages::pushed,
};

/// Another version makes up other requests.
const VERSION: &str = "4.32.5";
/// For the same requests every time.
const SEED: &str = "20260301";
/// Requests made up per operation and phase.
const EXAMPLES_MAX: &str = "20";
/// The same on a server that asks for credentials.
const EXAMPLES_WITH_TOKEN_MAX: &str = "3";
const EXAMPLES_WITHOUT_TOKEN_MAX: &str = "3";
/// Without those that go through all limits of each parameter: the open server has seen them.
const SHORT_PHASES: &str = "examples,fuzzing";
/// Says what a server must answer to who shows nothing.
const WITHOUT_TOKEN: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/tests/server/schemathesis_without_token.py"
);
const DESCRIPTION: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/server/openapi.json");
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

#[tokio::test(flavor = "multi_thread")]
async fn no_request_of_an_administrator_is_answered_without_the_token_too() {
    let app = Setup::default().start().await;
    let token = admin_token(&app).await;
    let header = format!("Authorization: Bearer {token}");
    run(&app, |command| {
        command
            .arg(app.url("/openapi.json"))
            .args(["--header", &header])
            .args(["--checks", "all"])
            .args(["--exclude-checks", "positive_data_acceptance"])
            .args(["--phases", SHORT_PHASES])
            .args(["--max-examples", EXAMPLES_WITH_TOKEN_MAX]);
    })
    .await;
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_gets_anything_without_a_token() {
    let app = Setup::default().start().await;
    admin_token(&app).await;
    let text = run(&app, |command| {
        command
            .arg(DESCRIPTION)
            .args(["--url", &app.url("")])
            .args(["--checks", "not_a_server_error,asks_for_credentials"])
            .args(["--phases", SHORT_PHASES])
            .args(["--max-examples", EXAMPLES_WITHOUT_TOKEN_MAX])
            .env("SCHEMATHESIS_HOOKS", WITHOUT_TOKEN);
    })
    .await;
    assert!(!text.contains("0 generated"), "{text}");
    app.stop().await;
}

/// The server's doors are closed by it.
async fn admin_token(app: &TestApp) -> String {
    let caller = Caller {
        actor: Actor::Anyone,
        address: None,
    };
    let new = NewToken {
        name: "schemathesis".to_owned(),
        role: Role::Admin,
        expires_at: None,
    };
    let (_, secret) = app.service().create_token(&caller, new).await.unwrap();
    secret.reveal().to_owned()
}

async fn make_up_requests(setup: Setup, examples_max: &str) {
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
    run(&app, |command| {
        command
            .arg(app.url("/openapi.json"))
            // The description does not say which ids exist and which versions are free; an open server
            // asks nobody for credentials.
            .args(["--checks", "all"])
            .args(["--exclude-checks", "positive_data_acceptance,ignored_auth"])
            // They would close it.
            .args(["--exclude-path-regex", "^/api/ota/(tokens|users|setup)"])
            .args(["--max-examples", examples_max]);
    })
    .await;
    app.stop().await;
}

/// Runs schemathesis, which must find nothing.
async fn run(app: &TestApp, options: impl FnOnce(&mut Command)) -> String {
    let program = python_with("schemathesis", VERSION)
        .unwrap()
        .with_file_name("schemathesis");
    let mut command = Command::new(program);
    command.arg("run");
    options(&mut command);
    command
        // Its answer has no end.
        .args(["--exclude-path", "/api/ota/events"])
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
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    println!("{text}");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "schemathesis: {text}\n{errors}");
    app.get("/healthz").await;
    text
}
