//! What the server tells everyone on MQTT: releases, and bundles that were refused.

use std::fs;

use airlift::domain::{ALERTS_PER_MINUTE_OF_A_KIND_MAX, Alert, Bundle, BundleFile, RefusedBy};
use airlift_bundle::{Kind, Refusal};
use airlift_proto::AVAILABLE_TOPIC;
use airlift_testkit::{Mosquitto, MosquittoOptions, Scratch};
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

use crate::{
    app::{QUIET, Setup, TestApp, eventually},
    gateway::Gateway,
    subscriber::Subscriber,
};

const ALERTS: &str = "hanqi/alerts";

async fn listen(app: &TestApp, topic: &str) -> Subscriber {
    Subscriber::listen(app.mqtt_port, topic, None).await
}

/// Long enough for each job to have looked again, the one for releases among them.
async fn jobs_look_again(app: &TestApp) {
    app.service().announce_releases().await.unwrap();
    tokio::time::sleep(QUIET).await;
}

fn alert(refusal: Refusal) -> Alert {
    Alert {
        refusal,
        refused_by: RefusedBy::Server,
        device_type: Some("jxct".into()),
        version: Some("2.7.0".into()),
        message: "signed by nobody we know".into(),
    }
}

/// A gateway that reports that its upgrade has failed.
async fn fails(app: &TestApp, gateway: &mut Gateway, code: &str) -> Value {
    let task = app.trigger(&gateway.id, "1.0.2").await.data();
    gateway
        .report(json!({
            "msgType": "ota_progress", "msgId": task["msgId"],
            "data": { "state": "failed", "progress": 0, "errorCode": code,
                      "errorMessage": "I trust no key of this kind" },
        }))
        .await;
    app.task_with(&gateway.id, "failed").await
}

#[tokio::test]
async fn a_release_is_announced_to_everyone() {
    let app = Setup::manual_clock().start().await;
    let mut releases = listen(&app, AVAILABLE_TOPIC).await;
    app.upload("1.0.2+b.1", b"image").await.data();
    releases.hears_nothing().await;
    let firmware = app.release("1.0.2+b.1").await.data();
    let announced = releases.message().await;
    let url = app.url("/ota/changelog?version=1.0.2%2Bb.1&deviceType=gateway");
    assert_eq!(
        announced,
        json!({
            "version": "1.0.2+b.1", "deviceType": "gateway", "kind": "firmware",
            "fileSize": 5, "sha256": firmware["sha256"], "fileUrl": firmware["fileUrl"],
            "changelogUrl": url, "releaseDate": firmware["releaseDate"],
            "timestamp": app.clock.now().timestamp(),
        })
    );
    app.metric_reaches("airlift_announcements_sent_total{kind=\"available\"}", 1.0)
        .await;
    assert_eq!(app.metric("airlift_announcements_waiting").await, 0.0);
    releases.hears_nothing().await;
    app.stop().await;
}

#[tokio::test]
async fn the_newest_release_is_announced_again_each_day_until_nothing_is_released() {
    let app = Setup::manual_clock().start().await;
    let mut releases = listen(&app, AVAILABLE_TOPIC).await;
    for version in ["1.9.0", "1.10.0"] {
        app.released(version).await;
        assert_eq!(releases.message().await["version"], version);
    }
    app.clock.advance(TimeDelta::hours(21));
    jobs_look_again(&app).await;
    releases.hears_nothing().await;
    app.clock.advance(TimeDelta::hours(3));
    jobs_look_again(&app).await;
    assert_eq!(releases.message().await["version"], "1.10.0");
    releases.hears_nothing().await;

    let deprecate = json!({ "status": "deprecated" });
    let status = |version| format!("/api/ota/firmware/{version}/status");
    app.post_json(&status("1.10.0"), deprecate.clone())
        .await
        .data();
    app.clock.advance(TimeDelta::hours(24));
    jobs_look_again(&app).await;
    assert_eq!(releases.message().await["version"], "1.9.0");

    app.post_json(&status("1.9.0"), deprecate).await.data();
    app.clock.advance(TimeDelta::hours(24));
    jobs_look_again(&app).await;
    releases.hears_nothing().await;
    // And from the next release on as before.
    app.released("1.11.0").await;
    assert_eq!(releases.message().await["version"], "1.11.0");
    app.clock.advance(TimeDelta::hours(24));
    jobs_look_again(&app).await;
    assert_eq!(releases.message().await["version"], "1.11.0");
    app.stop().await;
}

/// A signed bundle as the server keeps it, released, with the file of another firmware.
async fn put_bundle(app: &TestApp, version: &str, expires_at: DateTime<Utc>) {
    let db = app.db().await;
    let mut tx = db.begin().await.unwrap();
    let mut firmware = tx.firmware("gateway", "1.0.2").await.unwrap().unwrap();
    let file = |end: &str| BundleFile {
        file_name: format!("gateway_v{version}{end}"),
        size: 1,
        sha256: firmware.sha256.clone(),
    };
    firmware.bundle = Some(Bundle {
        kind: Kind::Web,
        target: "esp32-wrover".into(),
        release_counter: 7,
        allow_rollback: false,
        built_at: app.clock.now(),
        expires_at: Some(expires_at),
        signed_by: None,
        manifest: file(".manifest.json"),
        signature: file(".manifest.json.asc"),
        parts: Vec::new(),
    });
    firmware.file_name = format!("gateway_v{version}.bin");
    firmware.firmware_id = app.clock.new_id();
    firmware.version = version.into();
    tx.insert_firmware(&firmware).await.unwrap();
    tx.commit().await.unwrap();
    db.close().await;
}

#[tokio::test]
async fn a_bundle_is_announced_until_it_expires_and_then_the_newest_that_has_not() {
    let app = Setup::manual_clock().start().await;
    let mut releases = listen(&app, AVAILABLE_TOPIC).await;
    app.released("1.0.2").await;
    assert_eq!(releases.message().await["version"], "1.0.2");
    put_bundle(&app, "1.1.0", app.clock.now() + TimeDelta::hours(36)).await;
    app.clock.advance(TimeDelta::hours(24));
    jobs_look_again(&app).await;
    let bundle = releases.message().await;
    assert_eq!(bundle["version"], "1.1.0");
    assert_eq!(
        (&bundle["kind"], &bundle["releaseCounter"]),
        (&json!("web"), &json!(7))
    );
    assert_eq!(
        bundle["manifestUrl"],
        app.url("/firmware/gateway_v1.1.0.manifest.json")
    );
    assert_eq!(
        bundle["signatureUrl"],
        app.url("/firmware/gateway_v1.1.0.manifest.json.asc")
    );
    app.clock.advance(TimeDelta::hours(24));
    jobs_look_again(&app).await;
    assert_eq!(releases.message().await["version"], "1.0.2");
    app.stop().await;
}

#[tokio::test]
async fn releases_of_before_an_upgrade_of_the_server_are_announced_within_a_day() {
    let app = Setup::manual_clock().start().await;
    app.released("1.0.2").await;
    app.metric_reaches("airlift_announcements_sent_total{kind=\"available\"}", 1.0)
        .await;
    // As an older airlift left it.
    let db = app.db().await;
    let mut tx = db.begin().await.unwrap();
    tx.delete_release_announcement("gateway").await.unwrap();
    tx.commit().await.unwrap();
    db.close().await;
    let mut releases = listen(&app, AVAILABLE_TOPIC).await;
    jobs_look_again(&app).await;
    app.clock.advance(TimeDelta::hours(24));
    jobs_look_again(&app).await;
    assert_eq!(releases.message().await["version"], "1.0.2");
    app.stop().await;
}

#[tokio::test]
async fn a_server_can_be_told_to_announce_releases_once_only() {
    let setup = Setup {
        announce_hours: Some(0),
        ..Setup::manual_clock()
    };
    let app = setup.start().await;
    let mut releases = listen(&app, AVAILABLE_TOPIC).await;
    app.released("1.0.2").await;
    releases.message().await;
    app.clock.advance(TimeDelta::days(3));
    jobs_look_again(&app).await;
    releases.hears_nothing().await;
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_released_while_the_broker_is_away_is_announced_when_it_is_back() {
    let mut broker = Mosquitto::start(&MosquittoOptions::default()).unwrap();
    let setup = Setup {
        mqtt_url: Some(broker.url()),
        ..Setup::default()
    };
    let app = setup.start().await;
    broker.terminate().unwrap();
    eventually("the loss of the broker", async || {
        (app.metric("airlift_broker_connected").await == 0.0).then_some(())
    })
    .await;
    for version in ["1.0.2", "1.0.3"] {
        app.released(version).await;
    }
    let status = "/api/ota/firmware/1.0.3/status";
    app.post_json(status, json!({ "status": "deprecated" }))
        .await
        .data();
    app.service().alert_alone(&alert(Refusal::Unsigned)).await;
    assert_eq!(app.metric("airlift_announcements_waiting").await, 2.0);

    broker.start_again().unwrap();
    let mut releases = Subscriber::listen(broker.port(), AVAILABLE_TOPIC, None).await;
    let mut alerts = Subscriber::listen(broker.port(), ALERTS, None).await;
    // If they left before we came, they are gone: then they were sent, which the metric tells.
    eventually("both to have left", async || {
        (app.metric("airlift_announcements_waiting").await == 0.0).then_some(())
    })
    .await;
    assert_eq!(
        app.metric("airlift_announcements_sent_total{kind=\"alert\"}")
            .await,
        1.0
    );
    let sent = app.metric("airlift_announcements_sent_total{kind=\"available\"}");
    assert_eq!(sent.await, 1.0, "the deprecated one is not announced");
    releases.hears_nothing_but("1.0.2").await;
    alerts.hears_nothing_but("UNSIGNED").await;
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_announcement_that_the_broker_refuses_is_tried_until_it_is_taken() {
    let files = Scratch::new("acl").unwrap();
    let acl = files.path().join("acl");
    fs::write(&acl, "user airlift\ntopic readwrite hanqi/#\n").unwrap();
    let options = MosquittoOptions {
        users: vec![("airlift".into(), "secret".into())],
        extra_config: vec![format!("acl_file {}", acl.display())],
    };
    let mut broker = Mosquitto::start(&options).unwrap();
    let setup = Setup {
        mqtt_url: Some(broker.url().replace("//", "//airlift:secret@")),
        ..Setup::manual_clock()
    };
    let app = setup.start().await;
    app.released("1.0.2").await;
    // A command on the way shows that nothing else is held up.
    let user = Some(("airlift", "secret"));
    let mut commands = Subscriber::listen(broker.port(), "hanqi/gateway/g/command", user).await;
    app.trigger("g", "1.0.2").await.data();
    commands.message().await;
    let sent = "airlift_announcements_sent_total{kind=\"available\"}";
    for _ in 0..3 {
        app.clock.advance(TimeDelta::minutes(6));
        tokio::time::sleep(QUIET).await;
        assert_eq!(app.metric("airlift_announcements_waiting").await, 1.0);
        assert_eq!(app.metric(sent).await, 0.0);
    }

    fs::write(&acl, "user airlift\ntopic readwrite #\n").unwrap();
    broker.terminate().unwrap();
    broker.start_again().unwrap();
    let mut releases = Subscriber::listen(broker.port(), AVAILABLE_TOPIC, user).await;
    app.ready().await;
    app.clock.advance(TimeDelta::minutes(6));
    assert_eq!(releases.message().await["version"], "1.0.2");
    app.metric_reaches(sent, 1.0).await;
    app.stop().await;
}

#[tokio::test]
async fn a_gateway_that_refuses_a_bundle_raises_an_alert_and_one_that_fails_otherwise_does_not() {
    let app = Setup::manual_clock().start().await;
    let mut alerts = listen(&app, ALERTS).await;
    app.released("1.0.2").await;
    let mut gateway = Gateway::connect(&app, "g").await;
    fails(&app, &mut gateway, "DIGEST_MISMATCH").await;
    fails(&app, &mut gateway, "MADE_UP").await;
    let task = fails(&app, &mut gateway, "UNTRUSTED_KEY").await;
    let now = app.clock.now().timestamp();
    assert_eq!(
        alerts.text().await,
        format!(
            r#"{{"alert":"signature_failure","code":"UNTRUSTED_KEY","source":"gateway","gatewayId":"g","deviceType":"gateway","version":"1.0.2","message":"I trust no key of this kind","timestamp":{now}}}"#
        )
    );
    // The same report again says nothing new.
    gateway
        .report(json!({
            "msgType": "ota_progress", "msgId": task["msgId"],
            "data": { "state": "failed", "progress": 0, "errorCode": "UNTRUSTED_KEY" },
        }))
        .await;
    alerts.hears_nothing().await;
    let counted = "airlift_alerts_total{code=\"UNTRUSTED_KEY\",source=\"gateway\"}";
    assert_eq!(app.metric(counted).await, 1.0);
    assert_eq!(
        app.metric("ota_failure_total{reason=\"UNTRUSTED_KEY\"}")
            .await,
        1.0
    );
    app.stop().await;
}

#[tokio::test]
async fn every_refusal_has_a_failure_and_an_alert_of_its_own_in_the_metrics() {
    let app = TestApp::start().await;
    let text = app.get("/metrics").await.text();
    for refusal in Refusal::ALL {
        let code = refusal.code();
        for series in [
            format!("ota_failure_total{{reason=\"{code}\"}} 0"),
            format!("airlift_alerts_total{{code=\"{code}\",source=\"server\"}} 0"),
            format!("airlift_alerts_total{{code=\"{code}\",source=\"gateway\"}} 0"),
        ] {
            assert!(text.lines().any(|line| line == series), "{series}");
        }
    }
    app.stop().await;
}

#[tokio::test]
async fn a_fleet_that_refuses_at_once_sends_a_few_alerts_and_later_says_how_many_there_were() {
    let app = Setup::manual_clock().start().await;
    let mut alerts = listen(&app, ALERTS).await;
    let most = ALERTS_PER_MINUTE_OF_A_KIND_MAX;
    for _ in 0..most + 25 {
        app.service()
            .alert_alone(&alert(Refusal::BadSignature))
            .await;
    }
    for _ in 0..most {
        assert_eq!(alerts.message().await.get("suppressed"), None);
    }
    alerts.hears_nothing().await;
    app.clock.advance(TimeDelta::minutes(1));
    app.service()
        .alert_alone(&alert(Refusal::BadSignature))
        .await;
    let next = alerts.message().await;
    assert_eq!(
        (&next["code"], &next["suppressed"]),
        (&json!("BAD_SIGNATURE"), &json!(25))
    );
    let counted = "airlift_alerts_total{code=\"BAD_SIGNATURE\",source=\"server\"}";
    assert_eq!(app.metric(counted).await, f64::from(most) + 26.0);
    let dropped = "airlift_alerts_dropped_total{reason=\"limit\"}";
    assert_eq!(app.metric(dropped).await, 25.0);
    app.stop().await;
}

#[tokio::test]
async fn what_a_stranger_writes_into_an_alert_is_cut() {
    let app = TestApp::start().await;
    let mut alerts = listen(&app, ALERTS).await;
    let long = "ü".repeat(5_000);
    let mut alert = alert(Refusal::InvalidManifest);
    (alert.version, alert.device_type, alert.message) =
        (Some(long.clone()), Some(long.clone()), long);
    app.service().alert_alone(&alert).await;
    let heard = alerts.message().await;
    for (field, length) in [("version", 64), ("deviceType", 64), ("message", 1024)] {
        assert_eq!(
            heard[field].as_str().unwrap().chars().count(),
            length,
            "{field}"
        );
    }
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn alerts_that_wait_for_more_than_a_day_are_dropped_and_counted_and_releases_are_not() {
    let mut broker = Mosquitto::start(&MosquittoOptions::default()).unwrap();
    let setup = Setup {
        mqtt_url: Some(broker.url()),
        announce_hours: Some(0),
        ..Setup::manual_clock()
    };
    let app = setup.start().await;
    broker.terminate().unwrap();
    eventually("the loss of the broker", async || {
        (app.metric("airlift_broker_connected").await == 0.0).then_some(())
    })
    .await;
    app.released("1.0.2").await;
    app.service().alert_alone(&alert(Refusal::Unsigned)).await;
    app.clock.advance(TimeDelta::hours(12));
    app.service().alert_alone(&alert(Refusal::Expired)).await;
    app.clock.advance(TimeDelta::hours(12));
    assert_eq!(app.service().drop_old_alerts().await.unwrap(), 0);
    app.clock.advance(TimeDelta::seconds(1));
    assert_eq!(app.service().drop_old_alerts().await.unwrap(), 1);
    assert_eq!(app.metric("airlift_announcements_waiting").await, 2.0);
    let dropped = "airlift_alerts_dropped_total{reason=\"expired\"}";
    assert_eq!(app.metric(dropped).await, 1.0);
    app.clock.advance(TimeDelta::days(30));
    assert_eq!(app.service().drop_old_alerts().await.unwrap(), 1);
    assert_eq!(app.metric("airlift_announcements_waiting").await, 1.0);
    broker.start_again().unwrap();
    app.metric_reaches("airlift_announcements_sent_total{kind=\"available\"}", 1.0)
        .await;
    app.stop().await;
}
