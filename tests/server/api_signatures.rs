//! Who has to sign what: the policy, keys that come and go, and what was stored before.

use std::fs;

use airlift::{config::RequireSignature, domain::Clock};
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

use crate::{
    app::{Answer, Setup, TestApp},
    bundles::{Keys, RELEASE, STRANGER, Sample, upload_bundle},
    gateway::Gateway,
};

/// A folder in which nobody is trusted yet.
fn no_keys() -> Keys {
    let keys = Keys::none();
    keys.make(RELEASE, "ed25519");
    keys.make(STRANGER, "ed25519");
    keys
}

async fn status(app: &TestApp, version: &str, status: &str) -> Answer {
    let path = format!("/api/ota/firmware/{version}/status");
    app.post_json(&path, json!({ "status": status })).await
}

async fn roll_out(app: &TestApp, path: &str, version: &str) -> Answer {
    let body = json!({ "version": version, "target": {}, "waves": [100] });
    app.post_json(&format!("/api/ota/rollouts{path}"), body)
        .await
}

/// A rule of a gateway's answer to why.
async fn rules(app: &TestApp, gateway: &str) -> Vec<String> {
    let why = app.get(&format!("/api/ota/gateways/{gateway}/why")).await;
    let why = why.data();
    let findings = why["findings"].as_array().unwrap().iter();
    findings
        .map(|finding| finding["rule"].as_str().unwrap().to_owned())
        .collect()
}

/// A gateway that runs 1.0.0.
async fn gateway(app: &TestApp, id: &str) -> Gateway {
    let mut gateway = Gateway::connect(app, id).await;
    gateway.heartbeat("1.0.0").await;
    crate::app::eventually("its version", async || {
        let answer = app.get(&format!("/api/ota/gateways/{id}")).await;
        (answer.status == 200 && answer.data()["currentVersion"] == "1.0.0").then_some(())
    })
    .await;
    gateway
}

/// Each way to send the version is refused by this code.
async fn cannot_be_sent(app: &TestApp, version: &str, code: &str) {
    for answer in [
        app.trigger("g", version).await,
        roll_out(app, "", version).await,
        roll_out(app, "/dry-run", version).await,
    ] {
        let message = answer.refused(409, code);
        assert!(message.contains(version), "{message}");
    }
}

#[tokio::test]
async fn a_plain_image_is_taken_until_a_key_is_trusted() {
    let keys = no_keys();
    let app = keys.server().await;
    app.upload("1.0.1", b"image").await.data();
    keys.trust("release", RELEASE);
    for image in [&b"image"[..], b"i", &[7; 100_000]] {
        let message = app.upload("1.0.2", image).await.refused(400, "unsigned");
        assert!(message.contains("airlift bundle build"), "{message}");
    }
    app.upload("1.0.2", b"").await.refused(400, "empty_file");
    let refused = "airlift_bundles_refused_total{reason=\"unsigned\"}";
    assert_eq!(app.metric(refused).await, 3.0);
    keys.distrust("release");
    app.upload("1.0.2", b"image").await.data();
    app.stop().await;
}

#[tokio::test]
async fn without_a_trusted_key_a_bundle_wants_a_signature_that_nobody_checks() {
    let keys = no_keys();
    let app = keys.server().await;
    let sample = Sample::new("1.0.2", 1);
    let unsigned = upload_bundle(&app, &sample.sealed(b"")).await;
    unsigned.refused(400, "unsigned");
    let firmware = upload_bundle(&app, &keys.seal_by(STRANGER, &sample)).await;
    let firmware = firmware.data();
    assert_eq!(firmware.get("signedBy"), Some(&Value::Null));
    assert_eq!(firmware.get("expiresAt"), Some(&Value::Null));
    app.release("1.0.2").await.data();
    app.trigger("g", "1.0.2").await.data();
    app.stop().await;
}

#[tokio::test]
async fn where_no_signature_is_required_one_by_a_stranger_is_still_refused() {
    let keys = Keys::new();
    let setup = Setup {
        require_signature: Some(RequireSignature::Never),
        ..keys.setup()
    };
    let app = setup.start().await;
    app.upload("1.0.1", b"image").await.data();
    app.release("1.0.1").await.data();
    app.trigger("g", "1.0.1").await.data();
    let sample = Sample::new("1.0.2", 1);
    let answer = upload_bundle(&app, &keys.seal_by(STRANGER, &sample)).await;
    answer.refused(400, "untrusted_key");
    let answer = upload_bundle(&app, &sample.sealed(b"")).await;
    answer.refused(400, "unsigned");
    let firmware = upload_bundle(&app, &keys.seal(&sample)).await.data();
    assert_eq!(firmware["signedBy"]["name"], "release");
    app.stop().await;
}

#[tokio::test]
async fn where_signatures_are_always_required_nothing_is_taken_before_a_key_is_trusted() {
    let keys = no_keys();
    let setup = Setup {
        require_signature: Some(RequireSignature::Always),
        ..keys.setup()
    };
    let app = setup.start().await;
    app.upload("1.0.1", b"image").await.refused(400, "unsigned");
    let bundle = keys.seal(&Sample::new("1.0.2", 1));
    let answer = upload_bundle(&app, &bundle).await;
    answer.refused(400, "untrusted_key");
    keys.trust("release", RELEASE);
    upload_bundle(&app, &bundle).await.data();
    app.stop().await;
}

#[tokio::test]
async fn what_was_stored_unsigned_is_not_sent_any_more_once_a_key_is_trusted() {
    let keys = no_keys();
    let app = keys.server().await;
    let mut gateway = gateway(&app, "g").await;
    app.upload("1.0.1", b"stone").await.data();
    app.upload("1.0.2", b"released").await.data();
    app.upload("1.0.3", b"draft").await.data();
    app.release("1.0.1").await.data();
    app.release("1.0.2").await.data();
    let task = app.trigger("g", "1.0.2").await.data();
    let task_path = format!("/api/ota/task/{}", task["taskId"].as_str().unwrap());
    app.post(&format!("{task_path}/cancel")).await.data();
    keys.trust("release", RELEASE);

    app.release("1.0.3").await.refused(409, "unsigned");
    status(&app, "1.0.3", "testing")
        .await
        .refused(409, "unsigned");
    cannot_be_sent(&app, "1.0.2", "unsigned").await;
    let retry = app.post(&format!("{task_path}/retry")).await;
    retry.refused(409, "unsigned");
    let latest = app.post("/api/ota/upgrade/g").await;
    latest.refused(409, "unsigned");
    assert_eq!(rules(&app, "g").await[0], "unsigned");
    // It is not stepped on, either.
    let mut sample = Sample::new("2.0.0", 1);
    sample.manifest.min_version = Some("1.0.1".to_owned());
    upload_bundle(&app, &keys.seal(&sample)).await.data();
    app.release("2.0.0").await.data();
    let answer = app.trigger("g", "2.0.0").await;
    answer.refused(409, "no_upgrade_path");
    // A release can be taken back all the same.
    status(&app, "1.0.2", "deprecated").await.data();

    upload_bundle(&app, &keys.seal(&Sample::new("1.1.0", 2)))
        .await
        .data();
    app.release("1.1.0").await.data();
    while gateway.command().await["msgType"] != "ota_cancel" {}
    let task = app.trigger("g", "2.0.0").await.data();
    assert_eq!(task["toVersion"], "1.1.0");
    app.stop().await;
}

#[tokio::test]
async fn a_rollout_halts_when_its_firmware_must_be_signed_and_is_not() {
    let keys = no_keys();
    let app = keys.server().await;
    let mut gateway = gateway(&app, "g").await;
    app.released("1.0.2").await;
    let body = json!({
        "version": "1.0.2", "target": {}, "waves": [100],
        "startAt": app.clock.now() + TimeDelta::seconds(3),
    });
    let rollout = app.post_json("/api/ota/rollouts", body).await.data();
    keys.trust("release", RELEASE);
    let path = format!(
        "/api/ota/rollouts/{}",
        rollout["rolloutId"].as_str().unwrap()
    );
    let halted = crate::app::eventually("the rollout to halt", async || {
        let rollout = app.get(&path).await.data();
        (rollout["state"] == "halted").then_some(rollout)
    })
    .await;
    let reason = halted["reason"].as_str().unwrap();
    assert!(reason.contains("not signed"), "{reason}");
    gateway.hears_nothing().await;
    app.stop().await;
}

#[tokio::test]
async fn keys_come_and_go_without_a_restart() {
    let keys = Keys::new();
    let app = keys.server().await;
    upload_bundle(&app, &keys.seal(&Sample::new("1.0.1", 1)))
        .await
        .data();
    app.release("1.0.1").await.data();
    let by_the_next = keys.seal_by(STRANGER, &Sample::new("1.0.2", 2));
    let early = upload_bundle(&app, &by_the_next).await;
    early.refused(400, "untrusted_key");

    keys.trust("next", STRANGER);
    let firmware = upload_bundle(&app, &by_the_next).await.data();
    assert_eq!(firmware["signedBy"]["name"], "next");
    app.trigger("g", "1.0.1").await.data();

    keys.distrust("release");
    let late = keys.seal(&Sample::new("1.0.3", 3));
    let late = upload_bundle(&app, &late).await;
    late.refused(400, "untrusted_key");
    cannot_be_sent(&app, "1.0.1", "untrusted_key").await;
    app.release("1.0.2").await.data();
    app.trigger("h", "1.0.2").await.data();
    app.stop().await;
}

#[tokio::test]
async fn a_manifest_signed_by_two_keys_lasts_while_one_of_them_is_trusted() {
    let keys = Keys::new();
    let app = keys.server().await;
    let sample = Sample::new("1.0.1", 1);
    let both = keys
        .gpg
        .sign(&[STRANGER, RELEASE], &sample.manifest.to_json());
    let firmware = upload_bundle(&app, &sample.sealed(&both.unwrap())).await;
    assert_eq!(firmware.data()["signedBy"]["name"], "release");
    app.stop().await;
}

#[tokio::test]
async fn a_subkey_signs_for_its_key() {
    let keys = Keys::none();
    let primary = keys.make(RELEASE, "rsa3072");
    let subkey = keys.gpg.add_subkey(&primary, "ed25519", "never").unwrap();
    keys.trust("release", RELEASE);
    let app = keys.server().await;
    let bundle = keys.seal_by(&format!("{subkey}!"), &Sample::new("1.0.1", 1));
    let firmware = upload_bundle(&app, &bundle).await.data();
    assert_eq!(firmware["signedBy"]["fingerprint"], subkey);
    app.release("1.0.1").await.data();
    app.trigger("g", "1.0.1").await.data();
    app.stop().await;
}

#[tokio::test]
async fn a_bundle_that_expires_after_its_upload_is_neither_released_nor_sent() {
    let keys = Keys::new();
    let now: DateTime<Utc> = Clock::System.now();
    let setup = Setup {
        clock: Clock::manual(now),
        ..keys.setup()
    };
    let app = setup.start().await;
    let _gateway = gateway(&app, "g").await;
    for (version, counter) in [("1.0.1", 1), ("1.0.2", 2)] {
        let mut sample = Sample::new(version, counter);
        sample.manifest.expires_at = Some(now.timestamp() + 3600);
        upload_bundle(&app, &keys.seal(&sample)).await.data();
    }
    app.release("1.0.1").await.data();
    app.clock.advance(TimeDelta::hours(1));
    app.release("1.0.2").await.refused(409, "bundle_expired");
    cannot_be_sent(&app, "1.0.1", "bundle_expired").await;
    assert!(
        rules(&app, "g")
            .await
            .contains(&"bundle_expired".to_owned())
    );
    app.stop().await;
}

#[tokio::test]
async fn keys_that_cannot_be_read_stop_uploads_and_say_nothing_of_the_servers_files() {
    let keys = Keys::new();
    let app = keys.server().await;
    upload_bundle(&app, &keys.seal(&Sample::new("1.0.1", 1)))
        .await
        .data();
    let bundle = keys.seal(&Sample::new("1.0.2", 2));
    fs::write(keys.file("broken"), "no key").unwrap();
    for answer in [
        upload_bundle(&app, &bundle).await,
        app.upload("1.0.2", b"image").await,
        app.release("1.0.1").await,
        app.trigger("g", "1.0.1").await,
    ] {
        let message = answer.refused(503, "trusted_keys_unreadable");
        assert!(!message.contains("broken"), "{message}");
    }
    keys.distrust("broken");
    upload_bundle(&app, &bundle).await.data();
    app.stop().await;
}

#[tokio::test]
async fn a_server_does_not_start_with_keys_that_it_cannot_read() {
    let keys = Keys::new();
    fs::write(keys.file("broken"), "no key").unwrap();
    let refusal = keys.setup().prepare().refuses_to_start().await;
    assert!(refusal.contains("broken.asc"), "{refusal}");
    assert!(refusal.contains("--trusted-keys"), "{refusal}");
    let setup = Setup {
        trusted_keys: Some(keys.folder().join("not-there")),
        ..Setup::default()
    };
    let refusal = setup.prepare().refuses_to_start().await;
    assert!(refusal.contains("not-there"), "{refusal}");
}
