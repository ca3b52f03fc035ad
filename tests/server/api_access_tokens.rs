//! Tokens of people and machines, over REST.

use chrono::TimeDelta;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::app::{Answer, QUIET, Setup, TestApp};

pub const TOKENS: &str = "/api/ota/tokens";

/// Makes a token on a server that is open, or asks `by`.
pub async fn token(app: &TestApp, by: Option<&str>, name: &str, role: &str) -> String {
    let body = json!({ "name": name, "role": role });
    let made = ask(app, by, Method::POST, TOKENS, Some(body)).await.data();
    made["token"].as_str().expect("a token").to_owned()
}

pub async fn ask(
    app: &TestApp,
    token: Option<&str>,
    method: Method,
    path: &str,
    body: Option<Value>,
) -> Answer {
    let bearer = token.map(|token| format!("Bearer {token}"));
    let headers = bearer.as_deref().map(|bearer| ("authorization", bearer));
    app.ask(method, path, headers.as_slice(), body).await
}

/// What is there, newest first.
async fn list(app: &TestApp, by: &str, query: &str) -> Vec<Value> {
    let path = format!("{TOKENS}?{query}");
    let page = ask(app, Some(by), Method::GET, &path, None).await.data();
    page["items"].as_array().unwrap().clone()
}

#[tokio::test]
async fn a_token_is_shown_once_and_opens_what_its_role_may() {
    let app = TestApp::start().await;
    let root = token(&app, None, "root", "admin").await;
    assert!(root.starts_with("alt_") && root.len() == 47);
    app.get(TOKENS).await.refused(401, "unauthenticated");
    let ci = token(&app, Some(&root), "ci", "publisher").await;
    for (method, path, expected) in [
        (Method::GET, "/api/ota/firmware", 200),
        (Method::POST, "/api/ota/firmware/9.9.9/release", 404),
        (Method::POST, "/api/ota/upgrade/G", 403),
        (Method::GET, TOKENS, 403),
    ] {
        let answer = ask(&app, Some(&ci), method, path, None).await;
        assert_eq!(answer.status, expected, "{path}: {}", answer.text());
    }
    let listed = ask(&app, Some(&root), Method::GET, TOKENS, None).await;
    assert!(!listed.text().contains(&ci), "{}", listed.text());
    let listed = listed.data();
    let first = &listed["items"][0];
    for (field, value) in [
        ("name", "ci"),
        ("role", "publisher"),
        ("state", "good"),
        ("createdBy", "root"),
    ] {
        assert_eq!(first[field], value, "{first}");
    }
    let path = format!("{TOKENS}/{}", first["tokenId"].as_str().unwrap());
    let revoked = ask(&app, Some(&root), Method::DELETE, &path, None).await;
    assert_eq!(revoked.data()["warning"], Value::Null);
    ask(&app, Some(&ci), Method::GET, "/api/ota/firmware", None)
        .await
        .refused(401, "invalid_token");
    assert_eq!(list(&app, &root, "").await.len(), 1);
    assert_eq!(
        list(&app, &root, "revoked=true").await[0]["state"],
        "revoked"
    );
    let me = list(&app, &root, "").await[0]["tokenId"].clone();
    let path = format!("{TOKENS}/{}", me.as_str().unwrap());
    let last = ask(&app, Some(&root), Method::DELETE, &path, None).await;
    let warning = last.data()["warning"].as_str().unwrap().to_owned();
    assert!(warning.contains("airlift token create"), "{warning}");
    ask(&app, Some(&root), Method::GET, TOKENS, None)
        .await
        .refused(401, "invalid_token");
    app.stop().await;
}

#[tokio::test]
async fn a_token_ends_at_its_time_and_the_list_says_so() {
    let app = Setup::manual_clock().start().await;
    let root = token(&app, None, "root", "admin").await;
    // The list is sorted by when they were made.
    app.clock.advance(TimeDelta::seconds(1));
    let expires_at = app.clock.now() + TimeDelta::hours(1);
    let body = json!({ "name": "short", "role": "viewer", "expiresAt": expires_at });
    let made = ask(&app, Some(&root), Method::POST, TOKENS, Some(body)).await;
    let short = made.data()["token"].as_str().unwrap().to_owned();
    let reads = async || ask(&app, Some(&short), Method::GET, "/api/ota/session", None).await;
    let session = reads().await.data();
    assert_eq!(session["kind"], "token");
    assert_eq!(session["name"], "short");
    assert_eq!(session["role"], "viewer");
    assert_eq!(session["open"], false);
    assert_eq!(session["expiresAt"], json!(expires_at));
    app.clock.advance(TimeDelta::hours(1));
    // What is remembered of a credential.
    sleep(airlift::service::CREDENTIAL_KEPT).await;
    reads().await.refused(401, "unauthenticated");
    ask(&app, Some(&short), Method::GET, "/api/ota/firmware", None)
        .await
        .refused(401, "invalid_token");
    assert_eq!(list(&app, &root, "").await[0]["state"], "expired");
    app.stop().await;
}

#[tokio::test]
async fn what_makes_no_sense_in_a_token_is_refused() {
    let app = TestApp::start().await;
    let root = token(&app, None, "root", "admin").await;
    for (body, status, code) in [
        (json!({ "name": "", "role": "viewer" }), 400, "invalid_name"),
        (
            json!({ "name": "a\nb", "role": "viewer" }),
            400,
            "invalid_name",
        ),
        (json!({ "name": "a", "role": "root" }), 400, "invalid_json"),
        (
            json!({ "name": "root", "role": "viewer" }),
            409,
            "token_exists",
        ),
        (
            json!({ "name": "a", "role": "viewer", "expiresAt": "2001-01-01T00:00:00Z" }),
            400,
            "invalid_expires_at",
        ),
    ] {
        ask(&app, Some(&root), Method::POST, TOKENS, Some(body))
            .await
            .refused(status, code);
    }
    let path = format!("{TOKENS}/01a20000-0000-7000-8000-000000000000");
    ask(&app, Some(&root), Method::DELETE, &path, None)
        .await
        .refused(404, "token_not_found");
    app.stop().await;
}

#[tokio::test]
async fn when_a_token_was_used_is_kept_to_a_minute() {
    let app = Setup::manual_clock().start().await;
    let root = token(&app, None, "root", "admin").await;
    let mut noted = Vec::new();
    // The job is at it, too: whichever of the two notes it, the row says when.
    for _ in 0..3 {
        list(&app, &root, "").await;
        app.service().note_token_uses().await.unwrap();
        noted.push(list(&app, &root, "").await[0]["lastUsedAt"].clone());
        app.clock.advance(TimeDelta::seconds(40));
        sleep(airlift::service::CREDENTIAL_KEPT).await;
    }
    assert_eq!(noted[0], "2026-03-01T08:00:00Z");
    assert_eq!(noted[1], noted[0], "40 s later");
    assert_eq!(noted[2], "2026-03-01T08:01:20Z");
    app.stop().await;
}

#[tokio::test]
async fn an_event_stream_ends_with_the_token_that_opened_it() {
    let app = TestApp::start().await;
    let root = token(&app, None, "root", "admin").await;
    let ear = token(&app, Some(&root), "ear", "viewer").await;
    let listen = format!(
        "GET /api/ota/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {ear}\r\n\
         Connection: close\r\n\r\n"
    );
    let revoke = async || {
        // Longer than between two looks whether it still may.
        sleep(QUIET * 2).await;
        let id = list(&app, &root, "").await[0]["tokenId"].clone();
        let path = format!("{TOKENS}/{}", id.as_str().unwrap());
        ask(&app, Some(&root), Method::DELETE, &path, None)
            .await
            .data();
    };
    let (heard, ()) = tokio::join!(app.raw(&listen), revoke());
    assert!(heard.starts_with("HTTP/1.1 200"), "{heard}");
    app.stop().await;
}
