//! Logins by OpenID Connect, at a real provider.

use std::fs;

use airlift::{
    config::OidcOptions,
    domain::{Clock, Role, User},
};
use chrono::TimeDelta;
use reqwest::Response;
use serde_json::{Value, json};
use url::Url;

use crate::{
    app::{Setup, TestApp},
    oidc_provider::{Browser, CLIENT_ID, CLIENT_SECRET, OidcServer, location},
};

const BEGIN: &str = "/api/ota/login/oidc";
const SESSION: &str = "airlift_session";
const TICKET: &str = "airlift_oidc";

/// A server and its provider.
async fn start(clock: Clock, default_role: Option<&str>) -> (TestApp, OidcServer) {
    let setup = Setup {
        clock,
        ..Setup::default()
    };
    let mut app = setup.prepare();
    let provider = OidcServer::start(&app.url(""));
    let secret = app.config.data_dir.join("client-secret");
    fs::write(&secret, format!("{CLIENT_SECRET}\n")).unwrap();
    app.config.oidc = Some(OidcOptions {
        issuer: provider.issuer.clone(),
        client_id: CLIENT_ID.to_owned(),
        client_secret_file: Some(secret),
        role_claim: "groups".to_owned(),
        default_role: default_role.map(str::to_owned),
    });
    app.run().await;
    app.ready().await;
    (app, provider)
}

/// As far as the provider's answer, which the browser has not brought back yet.
async fn to_the_callback(app: &TestApp, browser: &mut Browser, person: &str) -> String {
    let begun = browser.get(&app.url(&format!("{BEGIN}?next=/docs/"))).await;
    assert_eq!(begun.status(), 303);
    let url = location(&begun).unwrap();
    browser.log_in_at_provider(&url, person).await
}

async fn log_in(app: &TestApp, browser: &mut Browser, person: &str) -> Response {
    let back = to_the_callback(app, browser, person).await;
    browser.get(&back).await
}

/// What `/api/ota/session` says to the browser.
async fn session(app: &TestApp, browser: &mut Browser) -> Value {
    let answer = browser.get(&app.url("/api/ota/session")).await;
    assert_eq!(answer.status(), 200);
    answer.json::<Value>().await.unwrap()["data"].clone()
}

async fn is_refused(response: Response, status: u16, code: &str) -> String {
    assert_eq!(response.status(), status);
    let body: Value = response.json().await.unwrap();
    assert_eq!(body["code"], code, "{body}");
    body["message"].as_str().unwrap().to_owned()
}

async fn user(app: &TestApp, name: &str) -> Option<User> {
    let db = app.db().await;
    let user = db.read().await.unwrap().user_by_name(name).await.unwrap();
    db.close().await;
    user
}

/// Action and detail of what the audit log has of logins.
async fn audited(app: &TestApp, action: &str) -> Vec<Value> {
    let db = app.db().await;
    let details = match &db {
        airlift::store::Db::Postgres(pool) => {
            sqlx::query_scalar("SELECT detail FROM audit WHERE action = $1 ORDER BY audit_id")
                .bind(action)
                .fetch_all(pool)
                .await
        }
        airlift::store::Db::Sqlite { writer, .. } => {
            sqlx::query_scalar("SELECT detail FROM audit WHERE action = $1 ORDER BY audit_id")
                .bind(action)
                .fetch_all(writer)
                .await
        }
    };
    db.close().await;
    details.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_provider_says_who_comes_and_with_which_role_at_each_login() {
    let (app, provider) = start(Clock::default(), None).await;
    // With a provider the doors are closed.
    app.get("/api/ota/firmware")
        .await
        .refused(401, "unauthenticated");
    let page = app.get("/login?next=/docs/").await.text();
    assert!(
        page.contains("href=\"/api/ota/login/oidc?next=%2Fdocs%2F\""),
        "{page}"
    );
    let claims = json!({ "preferred_username": "anna", "groups": ["staff", "airlift-operator"] });
    provider.set_claims("person-1", claims).await;
    let mut browser = Browser::new();
    let done = log_in(&app, &mut browser, "person-1").await;
    assert_eq!(done.status(), 303, "{}", done.text().await.unwrap());
    assert_eq!(location(&done).unwrap(), "/docs/");
    assert_eq!(browser.cookie(TICKET), None, "it is used up");
    let cookies: Vec<&str> = done
        .headers()
        .get_all("set-cookie")
        .iter()
        .map(|cookie| cookie.to_str().unwrap())
        .collect();
    assert!(
        cookies[0].contains("; HttpOnly; SameSite=Lax; Path=/;"),
        "{cookies:?}"
    );
    let who = session(&app, &mut browser).await;
    assert_eq!(
        (&who["name"], &who["role"]),
        (&json!("anna"), &json!("operator"))
    );
    let made = user(&app, "anna").await.unwrap();
    assert_eq!(made.password_hash, None);
    let logins = audited(&app, "session.log_in").await;
    assert!(
        logins[0]["by"].as_str().unwrap().contains(&provider.issuer),
        "{logins:?}"
    );

    // The same person, whatever the name is by now, with another role.
    let claims = json!({ "preferred_username": "anna b", "groups": "airlift-viewer" });
    provider.set_claims("person-1", claims).await;
    let mut other = Browser::new();
    assert_eq!(log_in(&app, &mut other, "person-1").await.status(), 303);
    let who = session(&app, &mut other).await;
    assert_eq!(
        (&who["name"], &who["role"]),
        (&json!("anna"), &json!("viewer"))
    );
    assert_eq!(user(&app, "anna").await.unwrap().user_id, made.user_id);
    assert_eq!(user(&app, "anna b").await, None);
    // Also where the person was logged in before.
    assert_eq!(session(&app, &mut browser).await["role"], "viewer");
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_no_role_is_told_what_to_ask_for() {
    let (app, provider) = start(Clock::default(), None).await;
    let claims = json!({ "email": "ben@example.com", "groups": ["staff"] });
    provider.set_claims("ben", claims).await;
    let mut browser = Browser::new();
    let refused = log_in(&app, &mut browser, "ben").await;
    let message = is_refused(refused, 403, "no_role").await;
    for part in [
        "ben@example.com",
        "airlift-viewer",
        "groups",
        "--oidc-default-role",
    ] {
        assert!(message.contains(part), "{message}");
    }
    assert_eq!(browser.cookie(SESSION), None);
    assert_eq!(user(&app, "ben@example.com").await, None);
    let failures = audited(&app, "session.log_in_failed").await;
    assert_eq!(failures[0]["by"], provider.issuer);
    app.stop().await;

    let (app, provider) = start(Clock::default(), Some("publisher")).await;
    provider
        .set_claims("ben", json!({ "email": "ben@example.com" }))
        .await;
    assert_eq!(log_in(&app, &mut browser, "ben").await.status(), 303);
    let ben = user(&app, "ben@example.com").await.unwrap();
    assert_eq!(ben.role, Role::Publisher);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_becomes_another_by_a_name() {
    let (app, provider) = start(Clock::default(), Some("viewer")).await;
    let claims = json!({ "preferred_username": "root", "groups": ["airlift-viewer"] });
    for person in ["person-1", "person-2"] {
        provider.set_claims(person, claims.clone()).await;
        assert_eq!(
            log_in(&app, &mut Browser::new(), person).await.status(),
            303
        );
    }
    let first = user(&app, "root").await.unwrap();
    let second = user(&app, "root (2)").await.unwrap();
    assert_ne!(first.user_id, second.user_id);
    // A user with a password has the name already.
    let caller = airlift::domain::Caller {
        actor: airlift::domain::Actor::Anyone,
        address: None,
    };
    let with_password = airlift::service::NewUser {
        name: "carla".to_owned(),
        role: Role::Admin,
        password: "a password of several words".to_owned(),
    };
    let carla = app
        .service()
        .create_user(&caller, with_password)
        .await
        .unwrap();
    let claims = json!({ "preferred_username": "carla" });
    provider.set_claims("person-3", claims).await;
    let mut browser = Browser::new();
    assert_eq!(log_in(&app, &mut browser, "person-3").await.status(), 303);
    let who = session(&app, &mut browser).await;
    assert_eq!(
        (&who["name"], &who["role"]),
        (&json!("carla (2)"), &json!("viewer"))
    );
    assert_eq!(user(&app, "carla").await.unwrap(), carla);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_to_another_login_lets_nobody_in() {
    let (app, provider) = start(Clock::default(), Some("viewer")).await;
    provider
        .set_claims("anna", json!({ "preferred_username": "anna" }))
        .await;

    // Another state.
    let mut browser = Browser::new();
    let back = to_the_callback(&app, &mut browser, "anna").await;
    let ticket = browser.cookie(TICKET).unwrap().to_owned();
    let wrong = back.replace("state=", "state=x");
    is_refused(browser.get(&wrong).await, 401, "log_in_failed").await;
    assert_eq!(browser.cookie(TICKET), None);

    // A browser that has begun nothing, one that has begun another login, and one that changes its own.
    is_refused(Browser::new().get(&back).await, 401, "log_in_failed").await;
    let mut other = Browser::new();
    to_the_callback(&app, &mut other, "anna").await;
    is_refused(other.get(&back).await, 401, "log_in_failed").await;
    let (text, signature) = ticket.split_once('.').unwrap();
    let tampered = format!("{}A.{signature}", &text[..text.len() - 1]);
    for ticket in [tampered.as_str(), text, "", ".", "x.y"] {
        browser.set_cookie(TICKET, ticket);
        is_refused(browser.get(&back).await, 401, "log_in_failed").await;
    }

    // The right one, once.
    browser.set_cookie(TICKET, &ticket);
    assert_eq!(browser.get(&back).await.status(), 303);
    browser.set_cookie(TICKET, &ticket);
    let message = is_refused(browser.get(&back).await, 401, "log_in_failed").await;
    assert!(message.contains("invalid_grant"), "{message}");

    // An ID token made for another login.
    let begun = browser.get(&app.url(BEGIN)).await;
    let mut url = Url::parse(&location(&begun).unwrap()).unwrap();
    let pairs: Vec<(String, String)> = url.query_pairs().into_owned().collect();
    assert!(pairs.iter().any(|(name, _)| name == "nonce"));
    url.query_pairs_mut()
        .clear()
        .extend_pairs(pairs.iter().map(|(name, value)| {
            let value = if name == "nonce" {
                "another"
            } else {
                value.as_str()
            };
            (name.as_str(), value)
        }));
    let back = browser.log_in_at_provider(url.as_str(), "anna").await;
    let message = is_refused(browser.get(&back).await, 401, "log_in_failed").await;
    assert!(message.contains("ID token"), "{message}");

    // A login that was cancelled at the provider.
    let begun = browser.get(&app.url(BEGIN)).await;
    let url = Url::parse(&location(&begun).unwrap()).unwrap();
    let state = url
        .query_pairs()
        .find(|(name, _)| name == "state")
        .unwrap()
        .1
        .into_owned();
    let cancelled = app.url(&format!(
        "{BEGIN}/callback?error=access_denied&state={state}"
    ));
    let message = is_refused(browser.get(&cancelled).await, 401, "log_in_failed").await;
    assert!(message.contains("access_denied"), "{message}");
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_that_takes_too_long_is_to_be_begun_again() {
    let clock = Clock::manual(Clock::System.now());
    let (app, provider) = start(clock.clone(), Some("viewer")).await;
    provider
        .set_claims("anna", json!({ "preferred_username": "anna" }))
        .await;
    let mut browser = Browser::new();
    let back = to_the_callback(&app, &mut browser, "anna").await;
    clock.advance(TimeDelta::minutes(10));
    let message = is_refused(browser.get(&back).await, 401, "log_in_failed").await;
    assert!(message.contains("10 minutes"), "{message}");
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_the_provider_has_changed_is_fetched() {
    let (app, provider) = start(Clock::default(), Some("viewer")).await;
    provider
        .set_claims("anna", json!({ "preferred_username": "anna" }))
        .await;
    assert_eq!(
        log_in(&app, &mut Browser::new(), "anna").await.status(),
        303
    );
    provider.change_keys().await;
    let done = log_in(&app, &mut Browser::new(), "anna").await;
    assert_eq!(done.status(), 303, "{}", done.text().await.unwrap());
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_its_provider_the_server_serves_and_says_so() {
    let (mut app, mut provider) = start(Clock::default(), Some("viewer")).await;
    provider
        .set_claims("anna", json!({ "preferred_username": "anna" }))
        .await;
    let mut browser = Browser::new();
    let back = to_the_callback(&app, &mut browser, "anna").await;
    provider.kill();
    let message = is_refused(browser.get(&back).await, 503, "login_provider_unavailable").await;
    assert!(message.contains("password"), "{message}");
    // As a new process that has never reached it.
    app.end().await;
    app.run().await;
    app.ready().await;
    let refused = browser.get(&app.url(BEGIN)).await;
    is_refused(refused, 503, "login_provider_unavailable").await;
    app.get("/api/ota/firmware")
        .await
        .refused(401, "unauthenticated");
    let page = reqwest::Client::new().get(app.url(BEGIN));
    let page = page.header("accept", "text/html").send().await.unwrap();
    assert_eq!(page.status(), 503);
    assert!(page.text().await.unwrap().contains("href=\"/login\""));
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_goes_on_to_this_server_and_no_other() {
    let (app, _provider) = start(Clock::default(), None).await;
    for next in [
        "//evil.example",
        "https://evil.example/",
        "/%5Cevil.example",
        "docs",
    ] {
        let answer = app.get(&format!("{BEGIN}?next={next}")).await;
        answer.refused(400, "invalid_next");
    }
    app.stop().await;
    let app = TestApp::start().await;
    app.get(BEGIN).await.refused(404, "no_login_provider");
    app.get(&format!("{BEGIN}/callback"))
        .await
        .refused(404, "no_login_provider");
    app.stop().await;
}
