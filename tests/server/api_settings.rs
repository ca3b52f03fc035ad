//! `/api/ota/settings`: what the server runs with, and none of its secrets.

use std::{collections::BTreeMap, fs, process::Command};

use airlift::config::Options;
use airlift_testkit::{Mosquitto, MosquittoOptions, Process, TestDatabase, binary};
use serde_json::{Value, json};

use crate::app::{SOON, Setup};

const SETTINGS: &str = "/api/ota/settings";

/// The settings by name.
fn by_name(answer: &Value) -> BTreeMap<String, Value> {
    let settings = answer["settings"].as_array().unwrap().iter();
    settings
        .map(|setting| {
            (
                setting["name"].as_str().unwrap().to_owned(),
                setting.clone(),
            )
        })
        .collect()
}

#[tokio::test]
async fn the_settings_say_what_the_server_runs_with() {
    let mut setup = Setup::manual_clock();
    setup.options = Options {
        blob_url: Some("memory:".into()),
        history_days: Some(7),
        ..Options::default()
    };
    let app = setup.start().await;
    let answer = app.get(SETTINGS).await.data();
    assert_eq!(answer["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(answer["startedAt"], "2026-03-01T08:00:00Z");
    assert_eq!(answer["blobs"], "memory");
    assert_eq!(answer["broker"], "built-in");
    assert_eq!(answer["database"], "sqlite");
    let settings = by_name(&answer);
    let days = json!({
        "name": "--history-days", "value": "7", "source": "command line",
        "help": "Days for which ended tasks and rollouts are kept [default: 365]",
    });
    assert_eq!(settings["--history-days"], days);
    assert_eq!(settings["--event-days"]["value"], "30");
    assert_eq!(settings["--event-days"]["source"], "default");
    assert_eq!(settings["--mqtt-url"]["value"], Value::Null);
    app.stop().await;
}

#[tokio::test]
async fn on_postgres_and_an_outside_broker_the_settings_say_so() {
    let broker = Mosquitto::start(&MosquittoOptions::default()).unwrap();
    let setup = Setup {
        postgres: true,
        mqtt_url: Some(broker.url()),
        ..Setup::default()
    };
    let app = setup.start().await;
    let answer = app.get(SETTINGS).await.data();
    assert_eq!(answer["database"], "postgresql");
    assert_eq!(answer["blobs"], "files");
    assert_eq!(answer["broker"], "external");
    assert_eq!(by_name(&answer)["--mqtt-listen"]["value"], Value::Null);
    app.stop().await;
}

/// The address of the database with a password in it.
fn with_password(database: &TestDatabase) -> String {
    let (user, place) = database.url().rsplit_once('@').unwrap();
    let user = match user.matches(':').count() {
        1 => format!("{user}:SECRET1"),
        _ => user.to_owned(),
    };
    format!("{user}@{place}?application_name=SECRET2")
}

// A process, for what stands on the command line, in the environment and in the file is told apart there.
#[tokio::test]
async fn no_secret_that_a_server_was_started_with_is_shown() {
    let database = TestDatabase::create().unwrap();
    let url = with_password(&database);
    let app = Setup::default().prepare();
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    fs::write(path("oidc"), "SECRET3").unwrap();
    let file = format!(
        "mqtt-url = \"mqtt://SECRET4:SECRET5@127.0.0.1:{}\"\n\
         oidc-issuer = \"http://SECRET6:SECRET7@localhost:9/\"\n\
         oidc-client-id = \"airlift\"\n\
         oidc-client-secret-file = {:?}\n",
        app.mqtt_port,
        path("oidc"),
    );
    fs::write(path("airlift.toml"), file).unwrap();
    let arguments = [
        "serve".to_owned(),
        format!("--listen={}", app.http_addr),
        format!("--public-url=http://SECRET8@{}", app.http_addr),
        format!("--data-dir={}", path("data")),
        format!("--config={}", path("airlift.toml")),
        "--uploads-max=3".to_owned(),
    ];
    let environment = [
        ("AIRLIFT_DATABASE_URL", url.clone()),
        ("AIRLIFT_HISTORY_DAYS", "9".to_owned()),
        ("AWS_SECRET_ACCESS_KEY", "SECRET9".to_owned()),
    ];
    let program = binary("airlift").unwrap();
    let mut process = Process::spawn(&program, &arguments, &environment, "airlift").unwrap();
    process.wait_for_line("airlift serves", SOON).unwrap();
    let made = Command::new(&program)
        .args(["token", "create", "--role", "admin", "--name", "ann"])
        .env("AIRLIFT_DATABASE_URL", &url)
        .output()
        .unwrap();
    let made = String::from_utf8(made.stdout).unwrap();
    let token = format!("Bearer {}", made.lines().last().unwrap());
    let headers = [("authorization", token.as_str())];
    app.get(SETTINGS).await.refused(401, "unauthenticated");
    let answer = app.get_with(SETTINGS, &headers).await;
    let text = answer.text();
    assert!(!text.contains("SECRET"), "{text}");
    let answer = answer.data();
    assert_eq!(answer["database"], "postgresql");
    assert_eq!(answer["broker"], "external");
    let settings = by_name(&answer);
    for (name, source) in [
        ("--database-url", "environment"),
        ("--history-days", "environment"),
        ("--mqtt-url", "file"),
        ("--oidc-issuer", "file"),
        ("--oidc-client-secret-file", "file"),
        ("--uploads-max", "command line"),
        ("--public-url", "command line"),
        ("--event-days", "default"),
    ] {
        assert_eq!(settings[name]["source"], source, "{name}");
    }
    let mqtt = format!("mqtt://***@127.0.0.1:{}", app.mqtt_port);
    assert_eq!(settings["--mqtt-url"]["value"], mqtt);
    assert_eq!(settings["--history-days"]["value"], "9");
    assert_eq!(settings["--oidc-client-secret-file"]["value"], path("oidc"));
    process.terminate(SOON).unwrap();
}
