//! The admin page in Chromium, before a real server with real gateways.

mod access;
mod firmware;
mod fleet;
mod gateway;
mod rollouts;
mod scenarios;
mod screens;
mod scripts;

use std::{
    env,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use airlift_testkit::{node_folder, program, target_folder};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    process::Command,
    time::timeout,
};

/// A whole scenario, with the start of a browser on a busy machine.
const LIMIT: Duration = Duration::from_secs(240);

fn source(folder: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)
}

/// The scripts of `tests/page`, beside the packages that they use.
fn scripts_folder() -> PathBuf {
    node_folder("page", &source("tests/page")).unwrap()
}

/// Where screenshots go: into `docs/screens` if that is asked for.
fn screenshots() -> PathBuf {
    match env::var_os("AIRLIFT_BLESS") {
        Some(_) => source("docs/screens"),
        None => target_folder().unwrap().join("screens"),
    }
}

/// Runs `tests/page/<scenario>.mjs` in Chromium at the server's `url`; what it said.
///
/// `input` goes to the scenario, and what it asks of its test to `answer`.
async fn run(
    scenario: &str,
    url: &str,
    input: Value,
    mut answer: impl AsyncFnMut(&str) -> Value,
) -> String {
    let mut all = json!({
        "url": url,
        "chromium": program("chromium", "chromium").unwrap(),
        "screenshots": screenshots(),
    });
    for (name, value) in input.as_object().unwrap() {
        all[name] = value.clone();
    }
    let mut node = Command::new(program("node", "nodejs").unwrap())
        .args(["browser.mjs", scenario])
        .current_dir(scripts_folder())
        .env("AIRLIFT_SCENARIO", all.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut stdin = node.stdin.take().unwrap();
    let mut lines = BufReader::new(node.stdout.take().unwrap()).lines();
    let mut said = String::new();
    let work = async {
        while let Some(line) = lines.next_line().await.unwrap() {
            if let Some(what) = line.strip_prefix("@ask ") {
                let line = format!("{}\n", answer(what).await);
                stdin.write_all(line.as_bytes()).await.unwrap();
            } else {
                println!("{line}");
                said.push_str(&line);
                said.push('\n');
            }
        }
        node.wait().await.unwrap()
    };
    let status = timeout(LIMIT, work).await.expect("the scenario ends");
    assert!(
        status.success(),
        "{scenario}: {status}; its words are above"
    );
    said
}

/// For scenarios that ask nothing.
async fn nothing(what: &str) -> Value {
    panic!("the scenario asks for {what}, and nobody is there")
}
