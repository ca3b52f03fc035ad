//! `airlift rollout …`: what it says, and how it ends.

use std::{
    io::{self, Write},
    sync::{Arc, Mutex},
};

use airlift::cli::{
    Cli, Command,
    rollout::{self, Console, Outcome},
};
use airlift_testkit::free_port;
use clap::Parser;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    time::timeout,
};

use crate::{
    app::{SOON, TestApp, eventually},
    crowd::{Fate, create, ids, is, play, rollout, run},
};

/// What a command has written so far.
#[derive(Clone, Default)]
struct Said(Arc<Mutex<Vec<u8>>>);

impl Said {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }

    async fn says(&self, words: &str) {
        eventually(&format!("the command to say {words:?}"), async || {
            self.text().contains(words).then_some(())
        })
        .await;
    }
}

impl Write for Said {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Runs `airlift rollout <line> --server <server>`, not on a terminal; notes go where answers go.
async fn command_at(server: &str, line: &str, input: &str, said: &Said) -> Result<Outcome, String> {
    let words = ["airlift", "rollout", "--server", server];
    let words = words.into_iter().chain(line.split_whitespace());
    let cli = Cli::try_parse_from(words).unwrap();
    let Some(Command::Rollout(args)) = cli.command else {
        panic!("{line} is a rollout command");
    };
    let console = Console {
        input: &mut input.as_bytes(),
        out: &mut said.clone(),
        notes: &mut said.clone(),
        is_terminal: false,
    };
    let ran = rollout::run(args, console).await;
    ran.map_err(|error| format!("{error:#}"))
}

/// What a command says that does what it was told to.
async fn command(app: &TestApp, line: &str) -> String {
    let said = Said::default();
    let outcome = command_at(&app.url(""), line, "", &said).await;
    assert_eq!(outcome, Ok(Outcome::Done), "{}", said.text());
    said.text()
}

async fn json_of(app: &TestApp, line: &str) -> Value {
    serde_json::from_str(&command(app, &format!("{line} --json")).await).unwrap()
}

/// A server with 20 gateways that run 1.0.1 and five that run 1.0.2, which is released.
pub async fn fleet() -> TestApp {
    let app = TestApp::start().await;
    app.released("1.0.2").await;
    run(&app, &ids("g", 20), "1.0.1").await;
    run(&app, &ids("h", 5), "1.0.2").await;
    app
}

#[tokio::test]
async fn create_asks_for_what_its_flags_say() {
    let app = fleet().await;
    let line = "create 1.0.2 --name first --device-type gateway --gateways-file - --gateway g001 \
        --current-version <1.0.2 --filter version<2.0.0 --waves 50,100 --max-in-flight 5 \
        --commands-per-minute 60 --jitter-seconds 0 --start-at 2126-03-01T09:00:00+08:00 \
        --join-until 2126-03-02T00:00:00Z --window 22:00-05:00 --timezone Asia/Shanghai \
        --halt-at-failure-percent 3 --task-timeout 600 --soak 60 --force --seed 7 --json";
    let said = Said::default();
    let outcome = command_at(&app.url("/"), line, "g002\n\ng003\n", &said).await;
    assert_eq!(outcome, Ok(Outcome::Done));
    let made: Value = serde_json::from_str(&said.text()).unwrap();
    let id = made["rolloutId"].as_str().unwrap();
    let stored = rollout(&app, id).await;
    for (field, value) in [
        ("name", json!("first")),
        (
            "target",
            json!({ "gatewayIds": ["g001", "g002", "g003"],
            "currentVersion": "<1.0.2", "filter": "version<2.0.0" }),
        ),
        ("waves", json!([50, 100])),
        ("maxInFlight", json!(5)),
        ("commandsPerMinute", json!(60)),
        ("jitterSeconds", json!(0)),
        ("startAt", json!("2126-03-01T01:00:00Z")),
        ("joinUntil", json!("2126-03-02T00:00:00Z")),
        (
            "window",
            json!({ "from": "22:00", "to": "05:00", "timezone": "Asia/Shanghai" }),
        ),
        ("haltAtFailurePercent", json!(3)),
        ("taskTimeoutSeconds", json!(600)),
        ("soakSeconds", json!(60)),
        ("forceUpgrade", json!(true)),
        ("seed", json!(7)),
        ("state", json!("scheduled")),
    ] {
        assert_eq!(stored[field], value, "{field}");
    }
    app.stop().await;
}

#[tokio::test]
async fn a_dry_run_shows_waves_exclusions_and_the_first_gateways() {
    let app = fleet().await;
    let said = command(&app, "dry-run 1.0.2 --waves 10,100 --seed 7 --limit 2").await;
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(
        lines[..8],
        [
            "1.0.2 would go to 20 of 25 gateways; --seed 7 gives the same waves again",
            "",
            "WAVE  PERCENT  GATEWAYS",
            "   1       10         2",
            "   2      100        18",
            "",
            "LEFT OUT  REASON        THE FIRST OF THEM",
            "       5  already_runs  it runs this version already",
        ],
        "{said}"
    );
    assert_eq!(lines[9], "GATEWAY  RUNS   WAVE  WOULD RUN");
    assert!(lines[10].starts_with("g000     1.0.1     "), "{said}");
    assert_eq!(*lines.last().unwrap(), "… and more: --limit shows them");
    let data = json_of(&app, "dry-run 1.0.2 --filter id:g00* --limit 500").await;
    assert_eq!(data["included"], 10);
    assert_eq!(data["gateways"]["items"].as_array().unwrap().len(), 10);
    assert_eq!(json_of(&app, "dry-run 1.0.2").await["excluded"], 5);
    assert_eq!(command(&app, "list --json").await, "", "nothing was made");
    app.stop().await;
}

#[tokio::test]
async fn a_rollout_is_listed_shown_paused_resumed_cancelled() {
    let app = fleet().await;
    let made = command(
        &app,
        "create 1.0.2 --name lab --waves 10,100 --current-version <1.0.2",
    )
    .await;
    let id = made
        .lines()
        .next()
        .unwrap()
        .split_whitespace()
        .last()
        .unwrap();
    assert!(
        made.contains(&format!(
            "airlift rollout watch {id} --server {}",
            app.url("")
        )),
        "{made}"
    );

    let status = command(&app, &format!("status {id}")).await;
    for line in [
        "name      lab",
        "target    version <1.0.2",
        "WAVE  PERCENT  TOTAL  WAITING  ACTIVE  CONFIRMED  FAILED  SKIPPED  CANCELLED  STARTED",
        "   2      100     18       18       0          0       0        0          0  -",
    ] {
        assert!(
            status.lines().any(|it| it.starts_with(line)),
            "{line}\n{status}"
        );
    }
    assert_eq!(json_of(&app, &format!("status {id}")).await["name"], "lab");

    let paused = command(&app, &format!("pause {id}")).await;
    assert!(
        paused.starts_with(&format!("rollout {id}: paused, ")),
        "{paused}"
    );
    let list = command(&app, "list --state paused").await;
    assert!(
        list.lines()
            .nth(1)
            .unwrap()
            .starts_with(&format!("{id}  paused  1.0.2    gateway")),
        "{list}"
    );
    assert_eq!(
        command(&app, "list --state running").await.lines().count(),
        1
    );
    assert_eq!(
        json_of(&app, &format!("resume {id}")).await["state"],
        "running"
    );
    let cancelled = command(&app, &format!("cancel {id}")).await;
    assert!(cancelled.contains(": cancelled, "), "{cancelled}");
    app.stop().await;
}

#[tokio::test]
async fn a_list_goes_on_over_pages_up_to_its_limit() {
    let app = TestApp::start().await;
    app.released("1.0.2").await;
    run(&app, &ids("g", 510), "1.0.1").await;
    let id = create(&app, json!({ "version": "1.0.2", "waves": [10, 100] })).await;
    let all = command(&app, &format!("gateways {id}")).await;
    assert_eq!(all.lines().count(), 1 + 510);
    assert!(all.lines().last().unwrap().ends_with("  g509"), "{all}");
    let some = command(&app, &format!("gateways {id} --limit 503 --json")).await;
    assert_eq!(some.lines().count(), 503);
    let first = command(&app, &format!("gateways {id} --wave 1")).await;
    assert_eq!(first.lines().count(), 1 + 51);
    let cut = command(&app, &format!("gateways {id} --limit 3")).await;
    assert_eq!(cut.lines().last(), Some("… and more: --limit shows them"));
    app.stop().await;
}

#[tokio::test]
async fn create_and_watch_says_each_change_until_all_are_confirmed() {
    let app = fleet().await;
    let said = Said::default();
    let url = app.url("");
    let line = "create 1.0.2 --waves 10,100 --jitter-seconds 0 --watch";
    let watched = command_at(&url, line, "", &said);
    let played = async {
        said.says("rollout ").await;
        let id = said.text().lines().next().unwrap().replace("rollout ", "");
        play(&app, &id, |_| Fate::Updates, is("completed")).await;
    };
    let (outcome, ()) = tokio::join!(watched, played);
    assert_eq!(outcome, Ok(Outcome::Done), "{}", said.text());
    let text = said.text();
    let last = text.lines().last().unwrap();
    assert!(
        last.ends_with(" UTC completed, wave 2 of 2, 20 of 20 confirmed"),
        "{text}"
    );
    let mut lines: Vec<&str> = text
        .lines()
        .map(|line| line.split_once(" UTC ").unwrap_or_default().1)
        .collect();
    let count = lines.len();
    lines.dedup();
    assert_eq!(lines.len(), count, "{text}");
    app.stop().await;
}

#[tokio::test]
async fn watching_a_rollout_that_halts_ends_as_a_failure_that_says_what_to_do() {
    let app = fleet().await;
    let id = create(&app, json!({ "version": "1.0.2", "jitterSeconds": 0 })).await;
    let fate = |gateway: &str| match gateway < "g003" {
        true => Fate::Fails,
        false => Fate::Updates,
    };
    play(&app, &id, fate, is("halted")).await;
    let said = Said::default();
    let url = app.url("");
    let outcome = command_at(&url, &format!("status {id} --watch"), "", &said).await;
    assert_eq!(outcome, Ok(Outcome::Failures));
    let text = said.text();
    assert!(text.contains(" failed, more than 10 %"), "{text}");
    assert!(
        text.contains(&format!("airlift rollout retry {id} --server {url}")),
        "{text}"
    );
    let failed = command(&app, &format!("gateways {id} --state failed")).await;
    assert!(
        failed
            .lines()
            .any(|line| line.starts_with("failed     1  g00")),
        "{failed}"
    );

    command(&app, &format!("retry {id}")).await;
    let ended = play(&app, &id, |_| Fate::Updates, is("completed")).await;
    assert_eq!(ended["counters"]["failed"], 0);
    let watched = command(&app, &format!("watch {id} --json")).await;
    let last: Value = serde_json::from_str(watched.lines().last().unwrap()).unwrap();
    assert_eq!(last["state"], "completed");
    app.stop().await;
}

#[tokio::test]
async fn a_watch_outlives_the_server() {
    let mut app = fleet().await;
    let id = create(&app, json!({ "version": "1.0.2", "jitterSeconds": 0 })).await;
    let said = Said::default();
    let (url, line, told) = (app.url(""), format!("watch {id}"), said.clone());
    let watch = tokio::spawn(async move { command_at(&url, &line, "", &told).await });
    said.says("20 active").await;
    app.end().await;
    said.says(&format!("can't reach http://{} (", app.http_addr))
        .await;
    app.run().await;
    said.says("the server answers again").await;
    play(&app, &id, |_| Fate::Updates, is("completed")).await;
    let outcome = timeout(SOON, watch).await.unwrap().unwrap();
    assert_eq!(outcome, Ok(Outcome::Done), "{}", said.text());
    app.stop().await;
}

#[tokio::test]
async fn a_refusal_is_told_in_the_servers_words_and_code() {
    let app = fleet().await;
    let url = app.url("");
    let nobody = "00000000-0000-7000-8000-000000000000";
    for (line, code) in [
        ("create 9.9.9".to_owned(), "(firmware_not_found)"),
        (
            "create 1.0.2 --waves 50,10".to_owned(),
            "(waves_not_rising)",
        ),
        (
            "dry-run 1.0.2 --filter nonsense".to_owned(),
            "(invalid_target)",
        ),
        (format!("status {nobody}"), "(rollout_not_found)"),
        (format!("watch {nobody}"), "(rollout_not_found)"),
        (format!("pause {nobody}"), "(rollout_not_found)"),
        ("gateways ../firmware".to_owned(), "(invalid_rollout_id)"),
    ] {
        let refusal = command_at(&url, &line, "", &Said::default()).await;
        let refusal = refusal.unwrap_err();
        assert!(refusal.ends_with(code), "{line}: {refusal}");
    }
    app.stop().await;
}

#[tokio::test]
async fn a_server_that_is_not_there_is_named_with_what_to_do() {
    let server = format!("http://127.0.0.1:{}", free_port().unwrap());
    for line in ["list", "create 1.0.2", "watch x"] {
        let refusal = command_at(&server, line, "", &Said::default()).await;
        let refusal = refusal.unwrap_err();
        assert!(
            refusal.starts_with(&format!("can't reach {server} (Connection refused")),
            "{refusal}"
        );
        assert!(
            refusal.contains("`airlift serve`") && refusal.contains("--server"),
            "{refusal}"
        );
    }
}

#[tokio::test]
async fn the_token_is_sent_as_bearer() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = format!("http://{}", listener.local_addr().unwrap());
    let answer = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = vec![0; 4096];
        let length = stream.read(&mut request).await.unwrap();
        let body = r#"{"data":{"items":[{"a":1}],"nextCursor":null}}"#;
        let answer = format!(
            "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(answer.as_bytes()).await.unwrap();
        String::from_utf8_lossy(&request[..length]).into_owned()
    };
    let said = Said::default();
    let asked = command_at(&server, "list --token s3cret --json", "", &said);
    let (request, outcome) = tokio::join!(answer, asked);
    assert_eq!(outcome, Ok(Outcome::Done));
    assert!(
        request.contains("authorization: Bearer s3cret\r\n"),
        "{request}"
    );
    assert_eq!(said.text(), "{\"a\":1}\n");
}
