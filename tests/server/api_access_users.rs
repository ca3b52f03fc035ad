//! Users, their logins and sessions.

use airlift::store::Db;
use airlift::{config::Options, service::CREDENTIAL_KEPT};
use chrono::TimeDelta;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::{
    api_access_tokens::{ask, token},
    app::{Answer, Setup, TestApp},
};

pub const USERS: &str = "/api/ota/users";
pub const PASSWORD: &str = "correct horse battery";
/// As a browser says it of a page of this server.
pub const OURS: (&str, &str) = ("sec-fetch-site", "same-origin");

pub async fn log_in(app: &TestApp, name: &str, password: &str) -> Answer {
    let body = json!({ "name": name, "password": password });
    app.ask(Method::POST, "/api/ota/login", &[OURS], Some(body))
        .await
}

/// What a browser keeps of an answer's cookie.
pub fn cookie(answer: &Answer) -> String {
    let cookie = answer.header("set-cookie").expect("a cookie");
    cookie.split(';').next().unwrap().to_owned()
}

pub async fn with_cookie(app: &TestApp, cookie: &str, path: &str) -> Answer {
    app.get_with(path, &[("cookie", cookie)]).await
}

pub async fn user(app: &TestApp, root: &str, name: &str, role: &str) -> Value {
    let body = json!({ "name": name, "role": role, "password": PASSWORD });
    ask(app, Some(root), Method::POST, USERS, Some(body))
        .await
        .data()
}

/// Actor's kind and name, action and subject of each line of the audit log.
pub async fn audited(app: &TestApp) -> Vec<(String, Option<String>, String, String)> {
    let db = Db::open(&app.config.database_url).await.unwrap();
    let lines = "SELECT actor_kind, actor_name, action, subject FROM audit ORDER BY audit_id";
    let rows = match &db {
        Db::Postgres(pool) => sqlx::query_as(lines).fetch_all(pool).await,
        Db::Sqlite { writer, .. } => sqlx::query_as(lines).fetch_all(writer).await,
    };
    db.close().await;
    rows.unwrap()
}

#[tokio::test]
async fn a_user_logs_in_and_out_and_all_of_it_is_audited() {
    let app = TestApp::start().await;
    let root = token(&app, None, "root", "admin").await;
    let made = user(&app, &root, "ann", "operator").await;
    assert_eq!(made["hasPassword"], true);
    log_in(&app, "ann", "wrong")
        .await
        .refused(401, "log_in_failed");
    log_in(&app, "bob", PASSWORD)
        .await
        .refused(401, "log_in_failed");
    let first = log_in(&app, "ann", PASSWORD).await;
    let attributes = first.header("set-cookie").unwrap().to_owned();
    let (secret, attributes) = attributes.split_once("; ").unwrap();
    assert!(secret.starts_with("airlift_session=alc_"), "{secret}");
    assert_eq!(attributes, "HttpOnly; SameSite=Lax; Path=/; Max-Age=43200");
    assert_eq!(first.data()["name"], "ann");
    let second = log_in(&app, "ann", PASSWORD).await;
    assert_ne!(cookie(&first), cookie(&second), "each login has its secret");
    let session = with_cookie(&app, &cookie(&first), "/api/ota/session").await;
    let session = session.data();
    assert_eq!(session["kind"], "user");
    assert_eq!(session["role"], "operator");
    assert_eq!(
        with_cookie(&app, &cookie(&first), "/api/ota/firmware")
            .await
            .status,
        200
    );
    with_cookie(&app, &cookie(&first), USERS)
        .await
        .refused(403, "forbidden");
    let headers = [("cookie", &*cookie(&first)), OURS];
    let out = app
        .ask(Method::POST, "/api/ota/logout", &headers, None)
        .await;
    assert!(out.header("set-cookie").unwrap().contains("Max-Age=0"));
    with_cookie(&app, &cookie(&first), "/api/ota/session")
        .await
        .refused(401, "unauthenticated");
    assert_eq!(
        with_cookie(&app, &cookie(&second), "/api/ota/session")
            .await
            .status,
        200,
        "the other session goes on"
    );
    let audited = audited(&app).await;
    let lines: Vec<String> = audited
        .iter()
        .map(|(kind, name, action, subject)| {
            let name = name.as_deref().unwrap_or("-");
            format!("{kind} {name} {action} {subject}")
        })
        .collect();
    assert_eq!(
        lines,
        [
            "anyone - token.create root",
            "token root user.create ann",
            "nobody - session.log_in_failed ann",
            "nobody - session.log_in_failed bob",
            "user ann session.log_in ann",
            "user ann session.log_in ann",
            "user ann session.log_out ann",
        ]
    );
    app.stop().await;
}

#[tokio::test]
async fn a_change_of_a_user_ends_the_sessions() {
    let app = TestApp::start().await;
    let root = token(&app, None, "root", "admin").await;
    let ann = user(&app, &root, "ann", "viewer").await;
    let path = format!("{USERS}/{}", ann["userId"].as_str().unwrap());
    let edit = async |body| ask(&app, Some(&root), Method::PATCH, &path, Some(body)).await;
    let mut password = PASSWORD;
    for change in [
        json!({ "role": "operator" }),
        json!({ "password": "another long password" }),
        json!({ "disabled": true }),
    ] {
        let session = cookie(&log_in(&app, "ann", password).await);
        assert_eq!(
            with_cookie(&app, &session, "/api/ota/firmware")
                .await
                .status,
            200
        );
        edit(change.clone()).await.data();
        with_cookie(&app, &session, "/api/ota/firmware")
            .await
            .refused(401, "unauthenticated");
        if change["password"].is_string() {
            log_in(&app, "ann", password)
                .await
                .refused(401, "log_in_failed");
            password = "another long password";
        }
    }
    log_in(&app, "ann", password)
        .await
        .refused(401, "log_in_failed");
    edit(json!({ "disabled": false })).await.data();
    let session = cookie(&log_in(&app, "ann", password).await);
    let deleted = ask(&app, Some(&root), Method::DELETE, &path, None).await;
    assert_eq!(deleted.data()["warning"], Value::Null);
    with_cookie(&app, &session, "/api/ota/firmware")
        .await
        .refused(401, "unauthenticated");
    edit(json!({ "disabled": false }))
        .await
        .refused(404, "user_not_found");
    for (body, status, code) in [
        (
            json!({ "name": "b", "role": "viewer", "password": "short" }),
            400,
            "invalid_password",
        ),
        (
            json!({ "name": " b", "role": "viewer", "password": PASSWORD }),
            400,
            "invalid_name",
        ),
    ] {
        ask(&app, Some(&root), Method::POST, USERS, Some(body))
            .await
            .refused(status, code);
    }
    user(&app, &root, "b", "viewer").await;
    let body = json!({ "name": "b", "role": "admin", "password": PASSWORD });
    ask(&app, Some(&root), Method::POST, USERS, Some(body))
        .await
        .refused(409, "user_exists");
    app.stop().await;
}

#[tokio::test]
async fn who_is_logged_in_changes_the_own_password_by_the_old_one() {
    let app = TestApp::start().await;
    let root = token(&app, None, "root", "admin").await;
    user(&app, &root, "ann", "viewer").await;
    let session = cookie(&log_in(&app, "ann", PASSWORD).await);
    let other = cookie(&log_in(&app, "ann", PASSWORD).await);
    let change = async |old: &str, new: &str| {
        let body = json!({ "oldPassword": old, "newPassword": new });
        let headers = [("cookie", session.as_str()), OURS];
        app.ask(
            Method::POST,
            "/api/ota/session/password",
            &headers,
            Some(body),
        )
        .await
    };
    change("wrong", "another long password")
        .await
        .refused(403, "wrong_password");
    change(PASSWORD, "short")
        .await
        .refused(400, "invalid_password");
    let changed = change(PASSWORD, "another long password").await;
    assert_eq!(changed.data()["name"], "ann");
    for ended in [&session, &other] {
        with_cookie(&app, ended, "/api/ota/firmware")
            .await
            .refused(401, "unauthenticated");
    }
    let new = cookie(&changed);
    assert_eq!(
        with_cookie(&app, &new, "/api/ota/firmware").await.status,
        200
    );
    log_in(&app, "ann", PASSWORD)
        .await
        .refused(401, "log_in_failed");
    log_in(&app, "ann", "another long password").await.data();
    let body = json!({ "oldPassword": "x", "newPassword": "another long password" });
    ask(
        &app,
        Some(&root),
        Method::POST,
        "/api/ota/session/password",
        Some(body),
    )
    .await
    .refused(403, "no_password");
    app.stop().await;
}

#[tokio::test]
async fn a_session_ends_after_its_hours_and_is_swept() {
    let mut setup = Setup::manual_clock();
    setup.options = Options {
        session_hours: Some(2),
        ..Options::default()
    };
    let app = setup.start().await;
    let root = token(&app, None, "root", "admin").await;
    user(&app, &root, "ann", "viewer").await;
    let login = log_in(&app, "ann", PASSWORD).await;
    assert!(login.header("set-cookie").unwrap().contains("Max-Age=7200"));
    let session = cookie(&login);
    app.clock.advance(TimeDelta::minutes(119));
    let now = with_cookie(&app, &session, "/api/ota/session").await.data();
    assert_eq!(now["expiresAt"], "2026-03-01T10:00:00Z");
    assert_eq!(app.service().sweep_sessions().await.unwrap(), 0);
    app.clock.advance(TimeDelta::minutes(1));
    sleep(CREDENTIAL_KEPT).await;
    with_cookie(&app, &session, "/api/ota/session")
        .await
        .refused(401, "unauthenticated");
    assert_eq!(app.service().sweep_sessions().await.unwrap(), 1);
    app.stop().await;
}

#[tokio::test]
async fn a_browser_finds_the_pages_without_credentials_and_is_sent_to_the_login() {
    let app = TestApp::start().await;
    let open = app.get("/api/ota/session").await.data();
    assert_eq!(
        (&open["open"], &open["kind"]),
        (&json!(true), &json!("anyone"))
    );
    token(&app, None, "root", "admin").await;
    for (path, content_type) in [
        ("/", "text/html; charset=utf-8"),
        ("/login", "text/html; charset=utf-8"),
        ("/setup", "text/html; charset=utf-8"),
        ("/static/app.js", "text/javascript; charset=utf-8"),
        ("/static/css/base.css", "text/css; charset=utf-8"),
    ] {
        let page = app.get(path).await;
        assert_eq!(page.status, 200, "{path}");
        assert_eq!(page.header("content-type"), Some(content_type));
        let text = page.text();
        for inline in ["<style", "style=", "onclick", "<script>"] {
            assert!(!text.contains(inline), "{path} has {inline}");
        }
    }
    app.get("/static/nothing.js")
        .await
        .refused(404, "no_such_file");
    let sent = app.raw(
        "GET /docs/ HTTP/1.1\r\nHost: x\r\nAccept: text/html,*/*\r\nConnection: close\r\n\r\n",
    );
    let sent = sent.await;
    assert!(sent.starts_with("HTTP/1.1 303"), "{sent}");
    assert!(sent.contains("location: /login?next=/docs\r\n"), "{sent}");
    app.get("/docs/").await.refused(401, "unauthenticated");
    app.stop().await;
}
