//! How a new gateway gets its first token by itself.

use airlift::domain::{Actor, Secret, SecretKind};
use airlift::service::{Presented, ProvisioningKeyDetails, TokenIssue};
use chrono::TimeDelta;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::{
    answer::Answer,
    api_gateway_tokens::{admin, audit},
    app::{Setup, TestApp},
};

/// A key as an administrator makes it.
async fn key(app: &TestApp, name: &str, claims_max: Option<i64>) -> String {
    let details = ProvisioningKeyDetails {
        name: name.into(),
        device_type: None,
        claims_max,
        expires_at: None,
    };
    key_of(app, details).await
}

async fn key_of(app: &TestApp, details: ProvisioningKeyDetails) -> String {
    let service = app.service();
    let made = service.create_provisioning_key(&admin(), details).await;
    made.unwrap().secret.reveal().to_owned()
}

fn own_token() -> String {
    Secret::make(SecretKind::GatewayToken).reveal().to_owned()
}

async fn claim(app: &TestApp, id: &str, key: &str, body: Value) -> Answer {
    let path = format!("/api/ota/gateways/{id}/claim");
    let bearer = format!("Bearer {key}");
    app.post_json_with(&path, &[("authorization", &bearer)], body)
        .await
}

fn refused(answer: &Answer) -> (u16, String) {
    let code = answer.json()["code"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    (answer.status, code)
}

async fn owner(app: &TestApp, token: &str) -> Option<Actor> {
    let presented = Presented {
        token: Some(token),
        ..Presented::default()
    };
    app.service().authenticate(presented).await.ok()
}

fn gateway(id: &str) -> Option<Actor> {
    Some(Actor::Gateway {
        gateway_id: id.into(),
    })
}

#[tokio::test]
async fn a_gateway_claims_the_token_that_it_made_and_may_ask_again() {
    let app = TestApp::start().await;
    let key = key(&app, "line", None).await;
    let token = own_token();
    let body = json!({ "token": token });
    for _ in 0..2 {
        let granted = claim(&app, "G1", &key, body.clone()).await;
        assert_eq!(granted.status, 200, "{}", granted.text());
        let data = json!({ "gatewayId": "G1", "token": null });
        assert_eq!(granted.data(), data);
    }
    assert_eq!(owner(&app, &token).await, gateway("G1"));
    let other = claim(&app, "G1", &key, json!({ "token": own_token() })).await;
    assert_eq!(refused(&other), (409, "already_claimed".into()));
    let taken = claim(&app, "G2", &key, body).await;
    assert_eq!(refused(&taken), (409, "token_taken".into()));
    // Its row is not there: what was refused left nothing.
    assert_eq!(app.service().gateway_tokens("G2").await.unwrap(), []);
    let keys = app.service().provisioning_keys(uuid::Uuid::max(), 9).await;
    assert_eq!(keys.unwrap().items[0].claims, 1);

    let log: Vec<_> = audit(&app).await;
    let log: Vec<_> = log
        .iter()
        .map(|(action, subject, detail)| {
            let refused = detail["refused"].as_str().unwrap_or_default();
            (action.as_str(), subject.as_str(), refused)
        })
        .collect();
    assert_eq!(
        log,
        [
            ("provisioning_key.create", "line", ""),
            ("gateway_token.claim", "G1", ""),
            ("gateway_token.claim", "G1", "already_claimed"),
            ("gateway_token.claim", "G2", "token_taken"),
        ]
    );
    app.stop().await;
}

#[tokio::test]
async fn without_a_token_of_its_own_a_gateway_is_shown_one_once() {
    let app = TestApp::start().await;
    let key = key(&app, "line", None).await;
    let granted = claim(&app, "G1", &key, json!({})).await.data();
    let token = granted["token"].as_str().unwrap();
    assert_eq!(owner(&app, token).await, gateway("G1"));
    let again = claim(&app, "G1", &key, json!({})).await;
    assert_eq!(refused(&again), (409, "already_claimed".into()));
    app.stop().await;
}

#[tokio::test]
async fn a_provisioning_key_opens_nothing_else() {
    let app = TestApp::start().await;
    let key = key(&app, "line", None).await;
    let bearer = format!("Bearer {key}");
    let with = [("authorization", bearer.as_str())];
    for path in [
        "/api/ota/gateways",
        "/api/ota/gateways/G1",
        "/metrics",
        "/api/ota/firmware/latest",
    ] {
        assert_eq!(app.get_with(path, &with).await.status, 401, "{path}");
    }
    app.stop().await;
}

#[tokio::test]
async fn only_a_good_key_and_a_well_formed_token_are_taken() {
    let app = Setup::manual_clock().start().await;
    let good = key(&app, "line", None).await;
    let body = json!({ "token": own_token() });
    let strange = Secret::make(SecretKind::ProvisioningKey);
    let admins = Secret::make(SecretKind::Token);
    for wrong in [strange.reveal(), admins.reveal(), "alp_"] {
        let answer = claim(&app, "G1", wrong, body.clone()).await;
        assert_eq!(refused(&answer), (401, "invalid_provisioning_key".into()));
        assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
    }
    for token in ["alg_short", "x", strange.reveal()] {
        let answer = claim(&app, "G1", &good, json!({ "token": token })).await;
        assert_eq!(refused(&answer), (400, "invalid_token_form".into()));
    }
    let answer = claim(&app, "G%201", &good, body.clone()).await;
    assert_eq!(refused(&answer), (400, "invalid_gateway_id".into()));

    let details = ProvisioningKeyDetails {
        name: "short".into(),
        device_type: None,
        claims_max: None,
        expires_at: Some(app.clock.now() + TimeDelta::seconds(60)),
    };
    let short = key_of(&app, details).await;
    assert_eq!(claim(&app, "G1", &short, body.clone()).await.status, 200);
    app.clock.advance(TimeDelta::seconds(60));
    let late = claim(&app, "G2", &short, json!({ "token": own_token() })).await;
    assert_eq!(refused(&late), (401, "invalid_provisioning_key".into()));
    // What was granted is still said to whoever has not heard.
    assert_eq!(claim(&app, "G1", &short, body).await.status, 200);
    app.stop().await;
}

#[tokio::test]
async fn limits_types_and_revocations_hold() {
    let app = TestApp::start().await;
    let service = app.service();
    let one = key(&app, "one", Some(1)).await;
    assert_eq!(claim(&app, "G1", &one, json!({})).await.status, 200);
    let more = claim(&app, "G2", &one, json!({})).await;
    assert_eq!(refused(&more), (403, "claims_used_up".into()));

    let details = ProvisioningKeyDetails {
        name: "esp".into(),
        device_type: Some("esp32".into()),
        claims_max: None,
        expires_at: None,
    };
    let esp = key_of(&app, details).await;
    assert_eq!(claim(&app, "E1", &esp, json!({})).await.status, 200);
    let known = service.gateway("E1").await.unwrap();
    assert_eq!(known.gateway.device_type, "esp32");
    service.revoke_gateway_tokens(&admin(), "G1").await.unwrap();
    let revoked = claim(&app, "G1", &esp, json!({})).await;
    assert_eq!(refused(&revoked), (403, "gateway_revoked".into()));
    let any = key(&app, "any", None).await;
    assert_eq!(claim(&app, "G3", &any, json!({})).await.status, 200);
    let again = service
        .issue_gateway_token(&admin(), "G1", TokenIssue::First, None)
        .await;
    again.unwrap();

    let keys = service
        .provisioning_keys(uuid::Uuid::max(), 9)
        .await
        .unwrap();
    let key_id = keys
        .items
        .iter()
        .find(|key| key.name == "any")
        .unwrap()
        .key_id;
    service
        .revoke_provisioning_key(&admin(), key_id)
        .await
        .unwrap();
    let gone = claim(&app, "G4", &any, json!({})).await;
    assert_eq!(refused(&gone), (401, "invalid_provisioning_key".into()));
    app.stop().await;
}

async fn race(setup: Setup) {
    let app = setup.start().await;
    let key = key(&app, "line", Some(20)).await;
    let tokens: Vec<String> = (0..8).map(|_| own_token()).collect();
    let http = reqwest::Client::new();
    let mut claims = JoinSet::new();
    for token in tokens.clone() {
        let request = http
            .post(app.url("/api/ota/gateways/G1/claim"))
            .bearer_auth(&key)
            .json(&json!({ "token": token }));
        claims.spawn(async move { (token, request.send().await.unwrap().status().as_u16()) });
    }
    let answers = claims.join_all().await;
    let won: Vec<_> = answers
        .iter()
        .filter(|(_, status)| *status == 200)
        .collect();
    assert_eq!(
        won.len(),
        1,
        "{:?}",
        answers.iter().map(|it| it.1).collect::<Vec<_>>()
    );
    assert!(
        answers
            .iter()
            .all(|(_, status)| [200, 409].contains(status))
    );
    for (token, status) in &answers {
        let is_good = owner(&app, token).await.is_some();
        assert_eq!(is_good, *status == 200);
    }
    app.stop().await;
}

#[tokio::test]
async fn of_claims_at_once_one_wins_on_sqlite() {
    race(Setup::default()).await;
}

#[tokio::test]
async fn of_claims_at_once_one_wins_on_postgres() {
    race(Setup {
        postgres: true,
        ..Setup::default()
    })
    .await;
}
