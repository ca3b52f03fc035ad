//! The audit log of who may come.

use std::collections::BTreeMap;

use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    api_audit::{AUDIT, id},
    app::{Answer, Setup, TestApp},
    grants::{self, Ask},
};

/// Routes that make, change and take away credentials, and what the audit log calls it.
pub const CREDENTIALS: [(&str, &str, &str); 16] = [
    ("POST", "/api/ota/tokens", "token.create"),
    ("DELETE", "/api/ota/tokens/{token_id}", "token.revoke"),
    ("POST", "/api/ota/users", "user.create"),
    ("PATCH", "/api/ota/users/{user_id}", "user.update"),
    ("DELETE", "/api/ota/users/{user_id}", "user.delete"),
    (
        "POST",
        "/api/ota/session/password",
        "user.change_own_password",
    ),
    ("POST", "/api/ota/login", "session.log_in"),
    ("POST", "/api/ota/logout", "session.log_out"),
    ("POST", "/api/ota/setup", "setup.use_failed"),
    ("POST", "/api/ota/gateways/tokens", "gateway_token.create"),
    (
        "POST",
        "/api/ota/gateways/{gateway_id}/token",
        "gateway_token.rotate",
    ),
    (
        "DELETE",
        "/api/ota/gateways/{gateway_id}/token",
        "gateway_token.revoke",
    ),
    (
        "POST",
        "/api/ota/gateways/{gateway_id}/claim",
        "gateway_token.claim",
    ),
    (
        "POST",
        "/api/ota/provisioning-keys",
        "provisioning_key.create",
    ),
    (
        "DELETE",
        "/api/ota/provisioning-keys/{key_id}",
        "provisioning_key.revoke",
    ),
    ("POST", "/api/ota/login", "session.log_in_failed"),
];

/// A request with an administrator's token; what it made.
async fn administer(app: &TestApp, admin: &str, method: Method, path: &str, json: Value) -> Value {
    let ask = Ask {
        token: Some(admin),
        json: Some(json),
        ..Ask::default()
    };
    ask.send(app, method, path).await.data()
}

/// A request of the web page with this session, if any.
async fn from_page(app: &TestApp, session: &str, path: &str, json: Value) -> Answer {
    let ask = Ask {
        headers: &[("sec-fetch-site", "same-origin"), ("cookie", session)],
        json: Some(json),
        ..Ask::default()
    };
    ask.send(app, Method::POST, path).await
}

async fn change_people(app: &TestApp, admin: &str) {
    let (post, patch, delete) = (Method::POST, Method::PATCH, Method::DELETE);
    let token = json!({ "name": "ci", "role": "viewer" });
    let token = administer(app, admin, post.clone(), "/api/ota/tokens", token).await;
    let path = format!("/api/ota/tokens/{}", id(&token, "tokenId"));
    administer(app, admin, delete.clone(), &path, json!({})).await;
    let user = json!({ "name": "ann", "role": "viewer", "password": "hunter2 hunter2" });
    let user = administer(app, admin, post, "/api/ota/users", user).await;
    let user = format!("/api/ota/users/{}", id(&user, "userId"));
    administer(app, admin, patch, &user, json!({ "role": "operator" })).await;
    let wrong = json!({ "name": "ann", "password": "hunter2 hunter3" });
    from_page(app, "", "/api/ota/login", wrong)
        .await
        .refused(401, "log_in_failed");
    let right = json!({ "name": "ann", "password": "hunter2 hunter2" });
    let answer = from_page(app, "", "/api/ota/login", right).await;
    answer.data();
    let cookie = answer
        .header("set-cookie")
        .unwrap()
        .split(';')
        .next()
        .unwrap();
    let change = json!({ "oldPassword": "hunter2 hunter2", "newPassword": "hunter2 hunter4" });
    let answer = from_page(app, cookie, "/api/ota/session/password", change).await;
    answer.data();
    let cookie = answer
        .header("set-cookie")
        .map_or(cookie, |it| it.split(';').next().unwrap());
    from_page(app, cookie, "/api/ota/logout", json!({}))
        .await
        .data();
    administer(app, admin, delete, &user, json!({})).await;
    let link = json!({ "link": "als_hunter2", "name": "eve", "password": "hunter2 hunter2" });
    let refused = from_page(app, "", "/api/ota/setup", link).await;
    refused.refused(403, "invalid_setup_link");
}

async fn change_gateway_tokens(app: &TestApp, admin: &str) {
    let path = "/api/ota/gateways/g9/token";
    for _ in 0..2 {
        administer(app, admin, Method::POST, path, json!({})).await;
    }
    administer(app, admin, Method::DELETE, path, json!({})).await;
    let keys = "/api/ota/provisioning-keys";
    let key = administer(app, admin, Method::POST, keys, json!({ "name": "line" })).await;
    let claim = "/api/ota/gateways/g10/claim";
    grants::post(app, claim, Some(id(&key, "key")), json!({}))
        .await
        .data();
    let path = format!("{keys}/{}", id(&key, "keyId"));
    administer(app, admin, Method::DELETE, &path, json!({})).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_change_of_credentials_has_its_line_without_a_secret() {
    for postgres in [false, true] {
        let setup = Setup {
            postgres,
            ..Setup::default()
        };
        let app = setup.start().await;
        let admin = grants::token(&app, "admin").await;
        change_people(&app, &admin).await;
        change_gateway_tokens(&app, &admin).await;
        let page = grants::get(&app, &format!("{AUDIT}?limit=500"), Some(&admin)).await;
        let lines = page.data()["items"].as_array().unwrap().clone();
        let mut counted = BTreeMap::new();
        for line in &lines {
            *counted.entry(id(line, "action")).or_insert(0) += 1;
        }
        let mut expected: BTreeMap<&str, i32> = CREDENTIALS.iter().map(|it| (it.2, 1)).collect();
        // A new password begins a new session.
        expected.insert("session.log_in", 2);
        assert_eq!(counted, expected);
        let all = format!("{lines:?}");
        for secret in ["hunter2", "alg_", "alp_", "als_", "alt_"] {
            assert!(!all.contains(secret), "{secret}: {all}");
        }
        app.stop().await;
    }
}
