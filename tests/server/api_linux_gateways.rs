//! `/api/ota/gateways/{id}/report` and `/command`: devices that speak HTTP.

use airlift_testkit::TestDatabase;
use chrono::TimeDelta;
use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::{
    app::{Setup, TestApp, eventually},
    device::{Device, push, release},
    gateway::Gateway,
};

/// A released 1.2.0, a device that runs 1.1.0, and its pending task.
async fn upgrading<'a>(app: &'a TestApp, id: &str) -> (Device<'a>, Value) {
    if app
        .get("/api/ota/firmware/1.2.0?deviceType=linux")
        .await
        .status
        == 404
    {
        push(app, "1.2.0").await;
        release(app, "1.2.0").await.data();
    }
    let device = Device::new(app, id);
    device.heartbeat("1.1.0").await;
    let task = app.trigger(id, "1.2.0").await.data();
    (device, task)
}

#[tokio::test]
async fn a_device_fetches_its_command_reports_and_proves_the_version() {
    let app = TestApp::start().await;
    let (device, task) = upgrading(&app, "edge-1").await;
    let known = app.gateway("edge-1").await;
    assert_eq!(known["deviceType"], "linux");
    assert_eq!(known["online"], true);
    assert_eq!(known["attributes"]["packages"]["app"], "1.1.0");
    assert!(known["offlineAt"].is_string(), "{known}");

    let command = device.command().await;
    assert_eq!(command["msgType"], "ota_upgrade");
    let data = &command["data"];
    assert_eq!(data["kind"], "package");
    assert_eq!(data["msgId"], task["msgId"]);
    let manifest = app.url("/getVersion?package=app&branch=main&version=1.2.0");
    assert_eq!(data["manifestUrl"], manifest);
    assert_eq!(data.get("signatureUrl"), None, "{data}");
    assert_eq!(data.get("parts"), None, "{data}");
    assert_eq!(data["firmwareUrl"], app.url("/firmware/linux_v1.2.0.bin"));
    let file = app.get("/firmware/linux_v1.2.0.bin").await;
    assert_eq!(file.text(), "package 1.2.0");
    // An answer can be lost: until the device says that it is at it, it gets the same.
    assert_eq!(device.command().await, command);

    let id = &task["msgId"];
    device.progress(id, "downloading", 10).await.data();
    assert_eq!(device.command().await, Value::Null);
    device.progress(id, "completed", 100).await.data();
    let completed = app.task("edge-1").await;
    assert_eq!(completed["status"], "completed");
    device.heartbeat("1.2.0").await;
    assert!(app.task("edge-1").await["confirmedAt"].is_string());
    assert_eq!(app.metric("ota_success_total").await, 1.0);
    app.stop().await;
}

#[tokio::test]
async fn a_refused_report_is_answered_with_its_reason() {
    let app = TestApp::start().await;
    let (device, task) = upgrading(&app, "edge-1").await;
    let (other, _) = upgrading(&app, "edge-2").await;
    let id = &task["msgId"];
    let about = |msg_id: &Value, state: &str, progress: Value| {
        json!({
            "msgType": "ota_progress", "msgId": msg_id,
            "data": { "state": state, "progress": progress },
        })
    };
    for (report, status, code) in [
        (json!({}), 400, "malformed"),
        (json!([]), 400, "malformed"),
        (json!(["heartbeat"]), 400, "malformed"),
        (json!({ "msgType": "dance", "data": {} }), 400, "malformed"),
        (
            json!({ "msgType": "heartbeat", "data": {} }),
            400,
            "malformed",
        ),
        (about(id, "downloading", json!("x")), 400, "malformed"),
        (about(id, "exploded", json!(1)), 400, "unknown_state"),
        (
            about(id, "downloading", json!(101)),
            400,
            "progress_out_of_range",
        ),
        (
            about(id, "downloading", json!(-1)),
            400,
            "progress_out_of_range",
        ),
        (
            about(&json!("ota_0"), "failed", json!(1)),
            404,
            "unknown_task",
        ),
    ] {
        device.report(report).await.refused(status, code);
    }
    let foreign = other.progress(id, "failed", 0).await;
    foreign.refused(409, "foreign_task");
    let path = "/api/ota/gateways/edge-1/report";
    for garbage in [
        "",
        "{",
        "\u{0}",
        "{\"msgType\":\"ota_pro",
        "nul",
        "\u{fffd}",
    ] {
        app.post_as(path, Some("application/json"), garbage)
            .await
            .refused(400, "malformed");
    }
    let deep = "[".repeat(50_000);
    app.post_as(path, None, &deep)
        .await
        .refused(400, "malformed");
    let long = " ".repeat(70_000);
    app.post_as(path, None, &long)
        .await
        .refused(413, "too_large");
    app.post_as(path, Some("text/xml"), "<x/>")
        .await
        .refused(415, "unsupported_media_type");
    let path = "/api/ota/gateways/no%20id/report";
    app.post_json(path, json!({}))
        .await
        .refused(400, "invalid_gateway_id");
    assert_eq!(app.task("edge-1").await["status"], "pending");
    let counted = app.metric(r#"airlift_messages_refused_total{reason="foreign_task"}"#);
    assert_eq!(counted.await, 1.0);

    device.progress(id, "failed", 0).await.data();
    device
        .progress(&Value::Null, "failed", 0)
        .await
        .refused(409, "no_active_task");
    app.stop().await;
}

#[tokio::test]
async fn what_a_database_cannot_keep_is_cut_and_the_rest_is_stored() {
    for postgres in [false, true] {
        let setup = Setup {
            postgres,
            ..Setup::default()
        };
        let app = setup.start().await;
        let device = Device::new(&app, "edge-1");
        let heartbeat = json!({
            "msgType": "heartbeat",
            "data": { "firmwareVersion": "1.1\u{0}.0", "deviceType": "linux", "note": "\u{0}" },
        });
        device.report(heartbeat).await.data();
        let known = app.gateway("edge-1").await;
        assert_eq!(known["currentVersion"], "1.1.0");
        assert_eq!(known["attributes"], json!({}));
        app.stop().await;
    }
}

#[tokio::test]
async fn duplicate_late_and_reordered_reports_change_nothing() {
    let app = TestApp::start().await;
    let (device, task) = upgrading(&app, "edge-1").await;
    let id = &task["msgId"];
    for (state, progress) in [
        ("downloading", 50),
        ("downloading", 30),
        ("downloading", 50),
        ("verifying", 95),
        ("downloading", 90),
    ] {
        device.progress(id, state, progress).await.data();
    }
    let running = app.task("edge-1").await;
    assert_eq!(
        (&running["status"], &running["progress"]),
        (&json!("verifying"), &json!(95))
    );
    device.progress(id, "completed", 100).await.data();
    let completed = app.task("edge-1").await;
    for (state, progress) in [("downloading", 40), ("failed", 40), ("completed", 100)] {
        device.progress(id, state, progress).await.data();
    }
    assert_eq!(app.task("edge-1").await, completed);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn reports_of_one_device_to_two_servers_at_once_are_one_history() {
    let database = TestDatabase::create().unwrap();
    let server = async || {
        let setup = Setup {
            database_url: Some(database.url().to_owned()),
            ..Setup::default()
        };
        setup.start().await
    };
    let (one, mut other) = (server().await, server().await);
    for round in 0..5 {
        let id = format!("edge-{round}");
        let (first, task) = upgrading(&one, &id).await;
        let second = Device::new(&other, &id);
        let id = &task["msgId"];
        let reports = (0..20).map(|n| {
            let device = if n % 2 == 0 { &first } else { &second };
            let (state, progress) = match n {
                19 => ("completed", 100),
                17 | 18 => ("installing", 98),
                n => ("downloading", n * 5),
            };
            async move { device.progress(id, state, progress).await.data() }
        });
        join_all(reports).await;
        // Whichever came first, the end is the end, and each server knows it.
        for app in [&one, &other] {
            let ended = app.task(&first.id).await;
            assert_eq!(ended["status"], "completed", "{ended}");
            assert_eq!(ended["progress"], 100);
        }
        let proofs = [first.heartbeat("1.2.0"), second.heartbeat("1.2.0")];
        join_all(proofs).await;
        assert!(one.task(&first.id).await["confirmedAt"].is_string());
    }
    let proven = one.metric("ota_success_total").await + other.metric("ota_success_total").await;
    assert_eq!(proven, 5.0, "each once");
    other.end().await;
    one.stop().await;
}

#[tokio::test]
async fn a_device_that_misses_its_reports_is_offline_and_an_event_tells() {
    let mut app = Setup::manual_clock().start().await;
    let device = Device::new(&app, "edge-1");
    device.heartbeat("1.1.0").await;
    let goes_offline = async |app: &TestApp| {
        eventually("the device to be offline", async || {
            let known = app.gateway("edge-1").await;
            (known["online"] == false).then_some(known)
        })
        .await
    };
    // Three times its reportSeconds.
    app.clock.advance(TimeDelta::seconds(179));
    app.service().mark_silent_gateways().await.unwrap();
    assert_eq!(app.gateway("edge-1").await["online"], true);
    app.clock.advance(TimeDelta::seconds(1));
    let offline = goes_offline(&app).await;
    assert!(offline["offlineAt"].is_string());
    let why = app.get("/api/ota/gateways/edge-1/why").await.data();
    let said = why["findings"].to_string();
    assert!(said.contains("silent for too long"), "{said}");
    device.heartbeat("1.1.0").await;
    assert_eq!(app.gateway("edge-1").await["online"], true);
    let changes: Vec<Value> = app.gateway_events("edge-1").await;
    let online: Vec<&Value> = changes
        .iter()
        .filter(|data| data["change"].to_string().contains("online"))
        .map(|data| &data["online"])
        .collect();
    assert_eq!(online, [true, false, true]);

    // Nobody listened for hours: it may have reported to no avail.
    app.end().await;
    app.clock.advance(TimeDelta::hours(5));
    app.run().await;
    app.ready().await;
    while app.service().mark_silent_gateways().await.unwrap() > 0 {}
    assert_eq!(app.gateway("edge-1").await["online"], true);
    app.clock.advance(TimeDelta::seconds(180));
    goes_offline(&app).await;
    app.stop().await;
}

#[tokio::test]
async fn commands_go_to_the_broker_again_when_the_gateway_speaks_mqtt_again() {
    let app = TestApp::start().await;
    let mut on_mqtt = Gateway::connect(&app, "edge-1").await;
    let (device, task) = upgrading(&app, "edge-1").await;
    on_mqtt.hears_nothing().await;
    // The end of a connection that it had before says nothing of it.
    on_mqtt.status(false).await;
    let seen = r#"airlift_messages_stored_total{kind="status"}"#;
    app.metric_reaches(seen, 1.0).await;
    let known = app.gateway("edge-1").await;
    assert_eq!(known["online"], true, "{known}");
    let why = app.get("/api/ota/gateways/edge-1/why").await.data();
    assert_eq!(why["findings"][0]["rule"], "waits_for_poll", "{why}");

    on_mqtt.heartbeat("1.1.0").await;
    let command = on_mqtt.command().await;
    assert_eq!(command["msgId"], task["msgId"]);
    let known = app.gateway("edge-1").await;
    assert_eq!(known.get("offlineAt"), None, "{known}");
    // Who asks gets it all the same.
    assert_eq!(device.command().await["msgId"], task["msgId"]);
    app.stop().await;
}

#[tokio::test]
async fn a_command_is_given_out_when_it_is_due_and_a_cancel_once() {
    let app = Setup::manual_clock().start().await;
    let (device, task) = upgrading(&app, "edge-1").await;
    let cancel = async |task: &Value| {
        let path = format!("/api/ota/task/{}/cancel", task["taskId"].as_str().unwrap());
        app.post(&path).await.data();
    };
    // Never fetched: nobody has to be told.
    cancel(&task).await;
    assert_eq!(device.command().await, Value::Null);

    let later = app.clock.now() + TimeDelta::hours(1);
    let path = "/api/ota/upgrade/edge-1";
    let request = json!({ "version": "1.2.0", "scheduledAt": later });
    let task = app.post_json(path, request).await.data();
    assert_eq!(device.command().await, Value::Null);
    app.clock.advance(TimeDelta::hours(1));
    assert_eq!(device.command().await["msgId"], task["msgId"]);
    cancel(&task).await;
    let told = device.command().await;
    assert_eq!(told["msgType"], "ota_cancel");
    assert_eq!(told["data"]["msgId"], task["msgId"]);
    assert_eq!(device.command().await, Value::Null);
    assert_eq!(Device::new(&app, "nobody").command().await, Value::Null);
    app.get("/api/ota/gateways/no%20id/command")
        .await
        .refused(400, "invalid_gateway_id");
    app.stop().await;
}
