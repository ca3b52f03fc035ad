//! Who may do what, as the page shows it.

use std::path::Path;

use airlift::store::Db;
use airlift_testkit::{Process, binary, free_port};
use serde_json::{Value, json};

use super::{
    super::server::{Api, PATIENCE, Server},
    nothing, run,
};

const PASSWORD: &str = "four plain words here";

/// A server with a broker of its own and no credentials.
fn open_server(folder: &Path) -> Server {
    let own_broker = [format!("--mqtt-listen=127.0.0.1:{}", free_port().unwrap())];
    Server::start(folder, &own_broker, &[])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_server_s_link_makes_the_first_administrator_who_logs_in() {
    let folder = tempfile::tempdir().unwrap();
    let port = free_port().unwrap();
    let url = format!("http://127.0.0.1:{port}");
    // An address that others can reach.
    let args = [
        "serve".to_owned(),
        format!("--data-dir={}", folder.path().display()),
        format!("--listen=0.0.0.0:{port}"),
        format!("--public-url={url}"),
        format!("--mqtt-listen=127.0.0.1:{}", free_port().unwrap()),
    ];
    let mut process = Process::spawn(binary("airlift").unwrap(), &args, &[], "airlift").unwrap();
    let link = process.wait_for_line("/setup#", PATIENCE).unwrap();
    assert!(!process.wait(PATIENCE).unwrap().success());
    process.start_again().unwrap();
    let mut server = Server { process, url };
    server.wait_until_serving();
    let input = json!({ "link": link.trim() });
    run("first_start", &server.url, input, nothing).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_server_is_closed_by_a_user_who_makes_and_revokes_credentials() {
    let folder = tempfile::tempdir().unwrap();
    let server = open_server(folder.path());
    run("tokens", &server.url, json!({}), nothing).await;
}

/// A server that ann administers.
async fn closed_server(folder: &Path) -> Server {
    let server = open_server(folder);
    let user = json!({ "name": "ann", "role": "admin", "password": PASSWORD });
    Api::new(&[&server.url]).post("/api/ota/users", &user).await;
    server
}

#[tokio::test(flavor = "multi_thread")]
async fn the_audit_log_is_filtered_saved_and_grows_as_one_looks() {
    let folder = tempfile::tempdir().unwrap();
    let server = closed_server(folder.path()).await;
    let input = json!({ "password": PASSWORD });
    run("audit", &server.url, input, nothing).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_ends_while_the_page_is_open_leads_to_the_login() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = closed_server(folder.path()).await;
    let url = server.url.clone();
    let input = json!({ "password": PASSWORD });
    run("session_end", &url, input, async |what| {
        assert_eq!(what, "restart");
        server.kill9_and_start_again();
        Value::Null
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_token_is_not_lost_as_it_closes_the_server_to_the_page_that_shows_it() {
    let folder = tempfile::tempdir().unwrap();
    let server = open_server(folder.path());
    let api = Api::new(&[&server.url]);
    api.release("1.0.0", b"a firmware").await;
    api.trigger("HQ2026TEST001", "1.0.0").await;
    let input = json!({ "gatewayId": "HQ2026TEST001" });
    run("first_token", &server.url, input, nothing).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_is_changed_and_libraries_show_their_licences() {
    let folder = tempfile::tempdir().unwrap();
    let server = closed_server(folder.path()).await;
    let input = json!({ "password": PASSWORD });
    run("settings", &server.url, input, nothing).await;
}

/// As if all attempts but one had failed.
async fn let_the_next_attempt_be_the_last(data_dir: &Path) {
    let url = format!("sqlite:{}/airlift.db", data_dir.display());
    let db = Db::open(&url).await.unwrap();
    let Db::Sqlite { writer, .. } = &db else {
        panic!("{}", data_dir.display());
    };
    let done = sqlx::query("UPDATE webhook_deliveries SET attempts = $1 WHERE status = 'waiting'")
        .bind(airlift::domain::ATTEMPTS_MAX - 1)
        .execute(writer)
        .await
        .unwrap();
    assert_eq!(done.rows_affected(), 1);
    db.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_is_tried_and_what_it_missed_is_sent_again() {
    let folder = tempfile::tempdir().unwrap();
    let server = open_server(folder.path());
    let last = async |what: &str| {
        assert_eq!(what, "let the next attempt be the last");
        let_the_next_attempt_be_the_last(folder.path()).await;
        Value::Null
    };
    run("webhook", &server.url, json!({}), last).await;
}
