//! `/api/ota/signing-keys`: which keys the server trusts now.

use std::fs;

use airlift::config::RequireSignature;
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

use crate::{
    app::TestApp,
    bundles::{Keys, RELEASE},
};

const KEYS: &str = "/api/ota/signing-keys";

fn time(value: &Value) -> DateTime<Utc> {
    value.as_str().unwrap().parse().unwrap()
}

#[tokio::test]
async fn keys_are_listed_as_they_lie_in_the_folder() {
    let keys = Keys::none();
    let app = keys.server().await;
    let none = json!({ "required": false, "items": [] });
    assert_eq!(app.get(KEYS).await.data(), none);

    let fingerprint = keys.make(RELEASE, "ed25519");
    keys.trust("release-1", RELEASE);
    let ends = "ends@example.org";
    keys.gpg.generate(ends, "rsa3072", "1y").unwrap();
    keys.trust("a", ends);
    let listed = app.get(KEYS).await.data();
    assert_eq!(listed["required"], true);
    let items = listed["items"].as_array().unwrap();
    assert_eq!(items.len(), 2, "{listed}");
    assert_eq!(
        (&items[0]["name"], &items[1]["name"]),
        (&json!("a"), &json!("release-1"))
    );
    assert_eq!(items[0]["algorithm"], "RSA 3072");
    let lasts = time(&items[0]["expiresAt"]) - time(&items[0]["createdAt"]);
    assert!(
        lasts > TimeDelta::days(364) && lasts < TimeDelta::days(367),
        "{lasts}"
    );
    let made = time(&items[1]["createdAt"]);
    assert!(
        (app.clock.now() - made).abs() < TimeDelta::minutes(10),
        "{made}"
    );
    let expected = json!({
        "name": "release-1", "fingerprint": fingerprint, "userIds": [RELEASE],
        "algorithm": "Ed25519", "createdAt": items[1]["createdAt"], "expiresAt": null,
        "revoked": false,
    });
    assert_eq!(items[1], expected);

    fs::write(keys.file("broken"), "no key").unwrap();
    app.get(KEYS).await.refused(503, "trusted_keys_unreadable");
    app.stop().await;
}

#[tokio::test]
async fn who_trusts_nobody_has_no_keys_and_requires_no_signature() {
    let app = TestApp::start().await;
    let none = json!({ "required": false, "items": [] });
    assert_eq!(app.get(KEYS).await.data(), none);
    app.stop().await;
}

#[tokio::test]
async fn keys_that_are_trusted_need_not_be_required() {
    let keys = Keys::new();
    let mut setup = keys.setup();
    setup.require_signature = Some(RequireSignature::Never);
    let app = setup.start().await;
    let listed = app.get(KEYS).await.data();
    assert_eq!(listed["required"], false);
    assert_eq!(listed["items"].as_array().unwrap().len(), 1);
    app.stop().await;
}
