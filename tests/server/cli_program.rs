//! The program `airlift` as people and scripts start it: exit codes, Ctrl-C, a terminal.

use std::process::Stdio;

use serde_json::json;
use tokio::{
    io::AsyncReadExt,
    process::{self, Child},
    time::timeout,
};

use crate::{
    app::SOON,
    cli_rollouts::fleet,
    crowd::{Fate, create, is, play, rollout},
};

const AIRLIFT: &str = env!("CARGO_BIN_EXE_airlift");

/// The program itself, its output in pipes.
fn program(words: &[&str]) -> process::Command {
    let mut program = process::Command::new(words[0]);
    program
        .args(&words[1..])
        .env_remove("AIRLIFT_SERVER")
        .env_remove("AIRLIFT_TOKEN")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    program
}

/// Its exit code, output and error output.
async fn end_of(child: Child) -> (Option<i32>, String, String) {
    let ended = timeout(SOON, child.wait_with_output()).await;
    let ended = ended.expect("it ends in time").unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (
        ended.status.code(),
        text(&ended.stdout),
        text(&ended.stderr),
    )
}

#[tokio::test]
async fn the_program_ends_with_a_code_that_says_how_it_went() {
    let app = fleet().await;
    let id = create(&app, json!({ "version": "1.0.2", "jitterSeconds": 0 })).await;
    play(&app, &id, |_| Fate::Fails, is("halted")).await;
    let server = app.url("");
    let watch = |id| [AIRLIFT, "rollout", "watch", id];
    let by_environment = |words: &[&str]| {
        let mut program = program(words);
        program.env("AIRLIFT_SERVER", &server).spawn().unwrap()
    };
    let (code, out, err) = end_of(by_environment(&watch(&id))).await;
    assert_eq!(code, Some(1), "{out}{err}");
    assert!(
        out.contains(" UTC halted, ") && !out.contains('\u{1b}'),
        "{out}"
    );
    let (code, out, err) = end_of(by_environment(&watch("x"))).await;
    assert_eq!((code, out.as_str()), (Some(2), ""));
    assert!(
        err.starts_with("airlift: ") && err.ends_with("(invalid_rollout_id)\n"),
        "{err}"
    );
    let (code, out, _) = end_of(by_environment(&[AIRLIFT, "rollout", "list"])).await;
    assert_eq!(code, Some(0));
    assert!(out.contains(&id), "{out}");
    app.stop().await;
}

#[tokio::test]
async fn on_ctrl_c_the_program_leaves_the_rollout_running_and_says_so() {
    let app = fleet().await;
    let id = create(&app, json!({ "version": "1.0.2", "jitterSeconds": 0 })).await;
    let server = app.url("");
    let words = [AIRLIFT, "rollout", "watch", &id, "--server", &server];
    let mut child = program(&words).spawn().unwrap();
    let mut first = [0; 10];
    let mut out = child.stdout.take().unwrap();
    out.read_exact(&mut first).await.unwrap();
    let pid = child.id().unwrap().to_string();
    let killed = process::Command::new("kill").args(["-INT", &pid]).status();
    assert!(killed.await.unwrap().success());
    let mut rest = String::new();
    out.read_to_string(&mut rest).await.unwrap();
    assert!(
        rest.contains("The rollout goes on without being watched"),
        "{rest}"
    );
    assert!(
        rest.contains(&format!("airlift rollout pause {id} --server {server}")),
        "{rest}"
    );
    assert_eq!(end_of(child).await.0, Some(130));
    assert_eq!(rollout(&app, &id).await["state"], "running");
    app.stop().await;
}

#[tokio::test]
async fn on_a_terminal_a_bar_shows_the_waves() {
    let app = fleet().await;
    let request = json!({ "version": "1.0.2", "waves": [10, 100], "jitterSeconds": 0 });
    let id = create(&app, request).await;
    let server = app.url("");
    let watch =
        format!("stty rows 30 cols 100; exec {AIRLIFT} rollout watch {id} --server {server}");
    let child = program(&["script", "-qec", &watch, "/dev/null"])
        .spawn()
        .unwrap();
    let played = play(&app, &id, |_| Fate::Updates, is("completed"));
    let ((code, out, err), _) = tokio::join!(end_of(child), played);
    assert_eq!(code, Some(0), "{out}{err}");
    assert!(out.contains('█') && out.contains('\u{1b}'), "{out}");
    for words in [
        "1.0.2 for gateway: completed",
        "100 %",
        "wave   2 100 %  18 of 18 confirmed",
    ] {
        assert!(out.contains(words), "{words}\n{out}");
    }
    app.stop().await;
}

#[tokio::test]
async fn the_help_lists_serving_and_rollouts() {
    let (code, out, _) = end_of(program(&[AIRLIFT, "--help"]).spawn().unwrap()).await;
    assert_eq!(code, Some(0));
    for words in [
        "\n  serve ",
        "\n  rollout ",
        "--listen",
        "airlift rollout create",
    ] {
        assert!(out.contains(words), "{words}\n{out}");
    }
    let (code, out, _) = end_of(
        program(&[AIRLIFT, "rollout", "create", "--help"])
            .spawn()
            .unwrap(),
    )
    .await;
    assert_eq!(code, Some(0));
    assert!(
        out.contains("airlift rollout create 1.0.2 --waves 10,50,100 --watch"),
        "{out}"
    );
}
