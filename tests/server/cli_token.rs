//! `airlift token` and `airlift user`, beside a server that runs and without one.

use std::process::Stdio;

use airlift_testkit::TestDatabase;
use tokio::{io::AsyncWriteExt, process, time::timeout};

use crate::{
    api_access_users::{PASSWORD, cookie, log_in, with_cookie},
    app::{SOON, Setup, TestApp},
    workbench::Workbench,
};

const AIRLIFT: &str = env!("CARGO_BIN_EXE_airlift");

/// How a program ended.
#[derive(Debug)]
pub struct Ended {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Ended {
    pub fn done(self) -> Ended {
        assert_eq!(self.code, Some(0), "{self:?}");
        self
    }

    pub fn last_line(&self) -> &str {
        self.out.lines().last().expect("a line")
    }
}

pub async fn airlift(words: &[&str], input: &str) -> Ended {
    let mut program = process::Command::new(AIRLIFT);
    program.args(words).kill_on_drop(true);
    for name in ["AIRLIFT_DATA_DIR", "AIRLIFT_DATABASE_URL", "AIRLIFT_CONFIG"] {
        program.env_remove(name);
    }
    let mut child = program
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // It may end without reading it.
    let _ = stdin.write_all(input.as_bytes()).await;
    drop(stdin);
    let ended = timeout(SOON, child.wait_with_output()).await;
    let ended = ended.expect("it ends in time").unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ended {
        code: ended.status.code(),
        out: text(&ended.stdout),
        err: text(&ended.stderr),
    }
}

/// `airlift …` on the database of this server.
async fn beside(app: &TestApp, line: &str, input: &str) -> Ended {
    let words: Vec<&str> = line.split_whitespace().collect();
    let database = app.config.database_url.clone();
    airlift(
        &[&words[..], &["--database-url", &database]].concat(),
        input,
    )
    .await
}

async fn a_token_closes_the_doors_of_a_server_that_runs(setup: Setup) {
    let app = setup.start().await;
    assert_eq!(app.get("/api/ota/firmware").await.status, 200);
    let made = beside(&app, "token create --role viewer --name ci", "").await;
    let made = made.done();
    let token = made.last_line().to_owned();
    assert_eq!(made.out, format!("{token}\n"), "the token alone");
    assert!(token.starts_with("alt_") && token.len() == 47, "{token}");
    assert!(!made.err.contains(&token), "{}", made.err);
    // The command has returned: nothing is waited for.
    app.get("/api/ota/firmware")
        .await
        .refused(401, "unauthenticated");
    let bearer = format!("Bearer {token}");
    let with = [("authorization", bearer.as_str())];
    assert_eq!(app.get_with("/api/ota/firmware", &with).await.status, 200);
    app.get_with("/api/ota/tokens", &with)
        .await
        .refused(403, "forbidden");
    let listed = beside(&app, "token list", "").await.done();
    assert!(
        listed.out.contains("ci") && listed.out.contains("viewer") && listed.out.contains("good"),
        "{listed:?}"
    );
    assert!(!listed.out.contains(&token), "{listed:?}");
    let again = beside(&app, "token create --role admin --name ci", "").await;
    assert_eq!(again.code, Some(2), "{again:?}");
    assert!(again.err.contains("\"ci\" already"), "{again:?}");
    let revoked = beside(&app, "token revoke --name ci", "").await.done();
    assert!(
        revoked.err.contains("No administrator is left"),
        "{revoked:?}"
    );
    app.get_with("/api/ota/firmware", &with)
        .await
        .refused(401, "invalid_token");
    let reopened = app.get("/api/ota/firmware").await;
    reopened.refused(401, "unauthenticated");
    let listed = beside(&app, "token list --all --json", "").await.done();
    let line: serde_json::Value = serde_json::from_str(listed.last_line()).unwrap();
    assert_eq!(
        (&line["name"], &line["state"]),
        (&"ci".into(), &"revoked".into())
    );
    assert!(line["lastUsedAt"].is_null() || line["lastUsedAt"].is_string());
    app.stop().await;
}

#[tokio::test]
async fn on_sqlite_a_token_closes_the_doors_and_its_end_opens_none() {
    a_token_closes_the_doors_of_a_server_that_runs(Setup::default()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_postgres_a_token_closes_the_doors_and_its_end_opens_none() {
    let postgres = Setup {
        postgres: true,
        ..Setup::default()
    };
    a_token_closes_the_doors_of_a_server_that_runs(postgres).await;
}

#[tokio::test]
async fn a_token_is_made_where_no_server_has_ever_run() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("not/there/yet");
    let data = data.to_str().unwrap();
    let words = ["token", "create", "--role", "admin", "--name", "ann"];
    let made = airlift(
        &[&words[..], &["--expires-in", "90d", "--data-dir", data]].concat(),
        "",
    )
    .await
    .done();
    assert!(made.last_line().starts_with("alt_"), "{made:?}");
    assert!(made.err.contains("good until 2"), "{made:?}");
    let app = Setup {
        database_url: Some(format!("sqlite:{data}/airlift.db")),
        ..Setup::default()
    };
    if std::env::var_os("AIRLIFT_TEST_ON_POSTGRES").is_none() {
        let app = {
            let mut app = app.prepare();
            app.run().await;
            app
        };
        app.get("/api/ota/firmware")
            .await
            .refused(401, "unauthenticated");
        app.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_made_in_an_empty_postgresql() {
    let database = TestDatabase::create().unwrap();
    let words = ["token", "create", "--role", "admin", "--name", "ann"];
    let made = airlift(
        &[&words[..], &["--database-url", database.url()]].concat(),
        "",
    )
    .await
    .done();
    assert!(made.last_line().starts_with("alt_"));
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_with_advice() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().to_str().unwrap();
    for (line, said) in [
        ("token create --role root --name x", "choose from viewer"),
        (
            "token create --role admin --name x --expires-in 3w",
            "as in 90d",
        ),
        ("token revoke --name x", "no token named \"x\""),
        ("user create --name x --role admin", "12 to 128 characters"),
        ("user disable --name x", "no user named \"x\""),
    ] {
        let words: Vec<&str> = line.split(' ').collect();
        let ended = airlift(&[&words[..], &["--data-dir", data]].concat(), "short\n").await;
        assert_eq!(ended.code, Some(2), "{line}: {ended:?}");
        assert!(ended.err.contains(said), "{line}: {ended:?}");
    }
}

#[tokio::test]
async fn users_are_made_changed_and_deleted_beside_a_server_that_runs() {
    let app = TestApp::start().await;
    let line = "user create --name ann --role viewer";
    let made = beside(&app, line, &format!("{PASSWORD}\n")).await.done();
    assert_eq!(made.out, "user ann with the role viewer is made\n");
    assert!(!format!("{made:?}").contains(PASSWORD), "{made:?}");
    app.get("/api/ota/firmware")
        .await
        .refused(401, "unauthenticated");
    let session = cookie(&log_in(&app, "ann", PASSWORD).await);
    let role = with_cookie(&app, &session, "/api/ota/session").await.data()["role"].clone();
    assert_eq!(role, "viewer");
    let line = "user set-role --name ann --role operator";
    beside(&app, line, "").await.done();
    with_cookie(&app, &session, "/api/ota/firmware")
        .await
        .refused(401, "unauthenticated");
    let session = cookie(&log_in(&app, "ann", PASSWORD).await);
    beside(&app, "user disable --name ann", "").await.done();
    with_cookie(&app, &session, "/api/ota/firmware")
        .await
        .refused(401, "unauthenticated");
    beside(&app, "user enable --name ann", "").await.done();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("password");
    std::fs::write(&file, "another long password\r\nnot this\n").unwrap();
    let line = format!(
        "user set-password --name ann --password-file {}",
        file.display()
    );
    beside(&app, &line, "").await.done();
    log_in(&app, "ann", PASSWORD)
        .await
        .refused(401, "log_in_failed");
    log_in(&app, "ann", "another long password").await.data();
    let listed = beside(&app, "user list", "").await.done();
    assert!(
        listed.out.contains("ann   operator  enabled"),
        "{}",
        listed.out
    );
    let deleted = beside(&app, "user delete --name ann", "").await.done();
    assert!(
        deleted.err.contains("No administrator is left"),
        "{deleted:?}"
    );
    log_in(&app, "ann", "another long password")
        .await
        .refused(401, "log_in_failed");
    app.stop().await;
}

#[test]
fn a_password_is_asked_for_twice_and_not_shown() {
    let bench = Workbench::new();
    let line = "user create --name ann --role admin --data-dir data";
    let differ = [("Password: ", PASSWORD), ("The same again: ", "other")];
    let ended = bench.on_terminal(line, &differ);
    assert_eq!(ended.code, Some(2), "{ended:?}");
    assert!(ended.out.contains("the two passwords differ"), "{ended:?}");
    let same = ["Password: ", "The same again: "].map(|question| (question, PASSWORD));
    let ended = bench.on_terminal(line, &same);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.out.contains("is made"), "{ended:?}");
    assert!(!ended.out.contains(PASSWORD), "{ended:?}");
}
