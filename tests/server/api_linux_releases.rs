//! `POST /api/ota/packages/{name}/{version}/release`, and rollouts of what it makes.

use std::collections::BTreeSet;

use airlift::config::RequireSignature;
use serde_json::{Value, json};

use crate::{
    app::{Setup, TestApp, eventually},
    bundles::Keys,
    crowd::{create, ids, is, members, rollout, tasks},
    device::{Device, insert, push, release, withdraw},
    subscriber::Subscriber,
};

#[tokio::test]
async fn a_package_is_released_once_and_is_a_firmware_like_any_other() {
    let app = TestApp::start().await;
    let mut releases = Subscriber::listen(app.mqtt_port, "/jxct/ota/available", None).await;
    let package = push(&app, "1.2.0").await;
    let firmware = release(&app, "1.2.0").await.data();
    assert_eq!(firmware["status"], "released");
    assert_eq!(firmware["fileName"], "linux_v1.2.0.bin");
    assert_eq!(firmware["sha256"], package["sha256"]);
    assert_eq!(firmware["description"], "what it is");
    assert_eq!(firmware["kind"], "package");
    assert_eq!(firmware["package"]["name"], "app");
    assert_eq!(firmware["package"]["branch"], "main");
    assert_eq!(firmware["signedBy"], Value::Null);
    let manifest = app.url("/getVersion?package=app&branch=main&version=1.2.0");
    assert_eq!(firmware["manifestUrl"], manifest);
    let told = releases.message().await;
    assert_eq!(told["kind"], "package");
    assert_eq!(told["deviceType"], "linux");
    assert_eq!(told["manifestUrl"], manifest);
    let changelog = app.get("/ota/changelog?deviceType=linux").await.text();
    assert_eq!(changelog, "# what is new");
    let latest = app
        .get("/api/ota/firmware/latest?deviceType=linux")
        .await
        .data();
    assert_eq!(latest["version"], "1.2.0");

    let again = release(&app, "1.2.0").await.data();
    assert_eq!(again["createdAt"], firmware["createdAt"]);
    let path = "/api/ota/packages/app/1.2.0?branch=main";
    app.delete(path).await.refused(409, "package_released");
    let other = "/api/ota/packages/app/1.2.0/release?branch=main&deviceType=edge";
    assert_eq!(app.post(other).await.data()["fileName"], "edge_v1.2.0.bin");
    let deprecate = json!({ "status": "deprecated" });
    app.post_json("/api/ota/firmware/1.2.0/status?deviceType=edge", deprecate)
        .await
        .data();
    app.post(other).await.refused(409, "firmware_status");
    app.stop().await;
}

#[tokio::test]
async fn what_cannot_be_a_firmware_is_not_released() {
    let app = TestApp::start().await;
    release(&app, "1.2.0")
        .await
        .refused(404, "package_not_found");
    push(&app, "1.10").await;
    let refused = release(&app, "1.10").await.refused(400, "invalid_version");
    assert!(refused.contains("SemVer"), "{refused}");
    push(&app, "1.2.0").await;
    for (path, status, code) in [
        ("/api/ota/packages/app/1.2.0/release", 400, "invalid_query"),
        (
            "/api/ota/packages/app/1.2.0/release?branch=old",
            404,
            "package_not_found",
        ),
        (
            "/api/ota/packages/app/1.2.0/release?branch=main&deviceType=a/b",
            400,
            "invalid_device_type",
        ),
    ] {
        app.post(path).await.refused(status, code);
    }
    // Another has the version.
    app.upload_for("linux", "1.2.0", b"an image").await.data();
    release(&app, "1.2.0").await.refused(409, "firmware_exists");
    push(&app, "1.3.0").await;
    withdraw(&app, "1.3.0").await;
    release(&app, "1.3.0")
        .await
        .refused(409, "package_withdrawn");
    app.stop().await;
}

#[tokio::test]
async fn only_a_package_that_a_trusted_key_signed_is_released_where_signatures_are_required() {
    let keys = Keys::new();
    let setup = Setup {
        require_signature: Some(RequireSignature::Never),
        ..keys.setup()
    };
    let mut app = setup.start().await;
    insert(&app, "1.2.0", Some("AB")).await;
    let firmware = release(&app, "1.2.0").await.data();
    assert_eq!(firmware["signedBy"]["fingerprint"], "AB");
    let signature = app.url("/getSignature?package=app&branch=main&version=1.2.0");
    assert_eq!(firmware["signatureUrl"], signature);
    // The files are not there.
    app.end().await;

    let mut app = keys.setup().start().await;
    insert(&app, "1.2.0", None).await;
    let refused = release(&app, "1.2.0").await.refused(409, "unsigned");
    assert!(refused.contains("PUT /update"), "{refused}");
    insert(&app, "1.3.0", Some("AB")).await;
    release(&app, "1.3.0").await.refused(409, "untrusted_key");
    // The files are not there.
    app.end().await;
}

/// Devices take their commands until the rollout `until`; `broken` ones fail at their script.
async fn play(
    app: &TestApp,
    id: &str,
    broken: &BTreeSet<String>,
    until: impl Fn(&Value) -> bool,
) -> Value {
    eventually("the rollout to come so far", async || {
        for task in tasks(app, id, "pending").await {
            let device = Device::new(app, task["gatewayId"].as_str().unwrap());
            let command = device.command().await;
            let msg_id = &command["data"]["msgId"];
            if *msg_id != task["msgId"] {
                continue; // Taken back since.
            }
            let version = command["data"]["version"].as_str().unwrap();
            device.progress(msg_id, "downloading", 0).await.data();
            if broken.contains(&device.id) {
                device.fails(msg_id, "SCRIPT_FAILED").await;
            } else {
                device.progress(msg_id, "completed", 100).await.data();
                device.heartbeat(version).await;
            }
        }
        let rollout = rollout(app, id).await;
        until(&rollout).then_some(rollout)
    })
    .await
}

async fn roll_out(setup: Setup) {
    let app = setup.start().await;
    for version in ["1.2.0", "1.3.0"] {
        push(&app, version).await;
        release(&app, version).await.data();
    }
    for id in ids("edge-", 12) {
        Device::new(&app, &id).heartbeat("1.1.0").await;
    }
    let request = |version: &str| {
        json!({
            "version": version, "deviceType": "linux", "waves": [25, 100], "jitterSeconds": 0,
        })
    };
    let dry = app
        .post_json("/api/ota/rollouts/dry-run", request("1.2.0"))
        .await
        .data();
    assert_eq!(dry["included"], 12, "{dry}");
    let id = create(&app, request("1.2.0")).await;
    let ended = play(&app, &id, &BTreeSet::new(), is("completed")).await;
    assert_eq!(ended["counters"]["confirmed"], 12, "{ended}");
    let waves = ended["waveCounters"].as_array().unwrap();
    assert_eq!(
        (&waves[0]["total"], &waves[1]["total"]),
        (&json!(3), &json!(9))
    );

    // One script fails in the first wave: a third of it.
    let id = create(&app, request("1.3.0")).await;
    let first = eventually("the waves", async || {
        let first = members(&app, &id, "wave=1").await;
        (first.len() == 3).then_some(first)
    })
    .await;
    let broken = BTreeSet::from([first[0].clone()]);
    let halted = play(&app, &id, &broken, is("halted")).await;
    let reason = halted["reason"].as_str().unwrap();
    assert!(reason.contains("1 of 3 failed"), "{reason}");
    let second = members(&app, &id, "wave=2").await;
    for gateway in &second {
        let known = app.gateway(gateway).await;
        assert_eq!(known["currentVersion"], "1.2.0", "nothing more is sent");
        assert_eq!(Device::new(&app, gateway).command().await, Value::Null);
    }
    let path = format!("/api/ota/rollouts/{id}/gateways?state=failed");
    let failed = app.get(&path).await.data();
    let reason = failed["items"][0]["reason"].as_str().unwrap();
    assert!(reason.starts_with("SCRIPT_FAILED: app 1.2.0"), "{reason}");
    let statistics = app.get("/api/ota/statistics?deviceType=linux").await.data();
    let text = statistics.to_string();
    assert!(text.contains("SCRIPT_FAILED"), "{text}");
    assert_eq!(
        app.metric(r#"ota_failure_total{reason="SCRIPT_FAILED"}"#)
            .await,
        1.0
    );
    let why = app
        .get(&format!("/api/ota/gateways/{}/why", second[0]))
        .await
        .data();
    assert_eq!(why["findings"][0]["rule"], "rollout_halted", "{why}");
    app.stop().await;
}

#[tokio::test]
async fn devices_over_http_go_through_waves_and_a_failing_script_halts_the_rollout() {
    roll_out(Setup::default()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn devices_over_http_go_through_waves_on_postgres() {
    let setup = Setup {
        postgres: true,
        ..Setup::default()
    };
    roll_out(setup).await;
}

#[tokio::test]
async fn a_package_that_is_withdrawn_halts_its_rollout() {
    let app = TestApp::start().await;
    push(&app, "1.2.0").await;
    release(&app, "1.2.0").await.data();
    for id in ids("edge-", 3) {
        Device::new(&app, &id).heartbeat("1.1.0").await;
    }
    let request = json!({
        "version": "1.2.0", "deviceType": "linux", "maxInFlight": 1, "jitterSeconds": 0,
    });
    let id = create(&app, request).await;
    let one = |it: &Value| it["counters"]["active"] == 1;
    eventually("the first command", async || {
        one(&rollout(&app, &id).await).then_some(())
    })
    .await;
    withdraw(&app, "1.2.0").await;
    let halted = play(&app, &id, &BTreeSet::new(), is("halted")).await;
    assert_eq!(halted["counters"]["confirmed"], 1, "{halted}");
    let reason = halted["reason"].as_str().unwrap();
    assert!(reason.contains("withdrawn"), "{reason}");
    app.trigger("edge-000", "1.2.0")
        .await
        .refused(409, "package_withdrawn");
    let firmware = app
        .get("/api/ota/firmware/1.2.0?deviceType=linux")
        .await
        .data();
    assert!(firmware["package"]["withdrawnAt"].is_string(), "{firmware}");
    app.stop().await;
}
