//! What gateways say, and what it changes.

use std::{
    io::{Read, Write},
    net::TcpStream,
};

use rumqttc::{AsyncClient, LastWill, MqttOptions, QoS};
use serde_json::{Value, json};

use crate::{
    app::{SOON, Setup, TestApp, eventually},
    gateway::{Gateway, progress_report},
};

/// A released 1.0.2, a gateway that runs 1.0.1, and its pending task.
async fn upgrading(app: &TestApp, id: &str) -> (Gateway, Value) {
    if app.get("/api/ota/firmware/1.0.2").await.status == 404 {
        app.released("1.0.2").await;
    }
    let mut gateway = Gateway::connect(app, id).await;
    gateway.heartbeat("1.0.1").await;
    eventually("the heartbeat", async || {
        let known = app.get(&format!("/api/ota/gateways/{id}")).await;
        (known.status == 200).then_some(())
    })
    .await;
    let task = app.trigger(id, "1.0.2").await.data();
    (gateway, task)
}

#[tokio::test]
async fn a_heartbeat_with_the_target_version_confirms_a_completed_task() {
    let app = TestApp::start().await;
    let (mut gateway, task) = upgrading(&app, "g").await;
    assert_eq!(task["fromVersion"], "1.0.1");
    gateway.progress(&task["msgId"], "completed", 100).await;
    let completed = app.task_at("g", "completed", 100).await;
    assert_eq!(completed["confirmedAt"], Value::Null);

    gateway.heartbeat("1.0.2").await;
    app.metric_reaches("ota_success_total", 1.0).await;
    let confirmed = app.task("g").await;
    assert!(confirmed["confirmedAt"].is_string());
    assert_eq!(confirmed["status"], "completed");
    gateway.heartbeat("1.0.2").await;
    app.metric_reaches(r#"airlift_messages_stored_total{kind="heartbeat"}"#, 3.0)
        .await;
    assert_eq!(app.task("g").await, confirmed);
    assert_eq!(app.metric("ota_success_total").await, 1.0);
    app.stop().await;
}

#[tokio::test]
async fn a_heartbeat_with_another_version_after_completed_is_a_rollback() {
    let app = TestApp::start().await;
    let (mut gateway, task) = upgrading(&app, "g").await;
    gateway.progress(&task["msgId"], "completed", 100).await;
    gateway.heartbeat("1.0.1").await;
    let failed = app.task_at("g", "failed", 100).await;
    assert_eq!(failed["errorCode"], "ROLLED_BACK");
    assert!(failed["errorMessage"].as_str().unwrap().contains("1.0.1"));
    assert_eq!(failed["confirmedAt"], Value::Null);
    app.metric_reaches("ota_rollback_total", 1.0).await;
    app.metric_reaches(r#"ota_failure_total{reason="ROLLED_BACK"}"#, 1.0)
        .await;
    app.stop().await;
}

#[tokio::test]
async fn a_heartbeat_from_before_completed_that_comes_late_is_no_rollback() {
    let app = TestApp::start().await;
    let (mut gateway, task) = upgrading(&app, "g").await;
    let mut completed = progress_report(&task["msgId"], "completed", 100);
    completed["timestamp"] = json!(1_770_000_100);
    gateway.report(completed).await;
    let heartbeat = |version: &str, timestamp: i64| {
        json!({
            "msgType": "heartbeat", "timestamp": timestamp,
            "data": { "firmwareVersion": version },
        })
    };
    gateway.report(heartbeat("1.0.1", 1_770_000_099)).await;
    gateway.report(heartbeat("1.0.2", 1_770_000_101)).await;
    app.metric_reaches("ota_success_total", 1.0).await;
    let confirmed = app.task("g").await;
    assert_eq!(confirmed["status"], "completed");
    // Nor does one that comes later still bring the old version back.
    gateway.report(heartbeat("1.0.1", 1_770_000_099)).await;
    app.metric_reaches(r#"airlift_messages_stored_total{kind="heartbeat"}"#, 4.0)
        .await;
    assert_eq!(app.task("g").await, confirmed);
    assert_eq!(app.gateway("g").await["currentVersion"], "1.0.2");
    app.stop().await;
}

#[tokio::test]
async fn a_report_with_another_gateways_message_id_is_refused_and_counted() {
    let app = TestApp::start().await;
    let (mut victim, task) = upgrading(&app, "victim").await;
    let (mut liar, own) = upgrading(&app, "liar").await;
    liar.progress(&task["msgId"], "failed", 0).await;
    app.metric_reaches(
        r#"airlift_messages_refused_total{reason="foreign_task"}"#,
        1.0,
    )
    .await;
    assert_eq!(app.task("victim").await["status"], "pending");
    assert_eq!(app.task("liar").await, own);
    victim.progress(&task["msgId"], "downloading", 10).await;
    app.task_at("victim", "downloading", 10).await;
    app.stop().await;
}

#[tokio::test]
async fn nonsense_is_counted_by_its_reason_and_keeps_nobody_out() {
    let app = TestApp::start().await;
    let (mut gateway, task) = upgrading(&app, "g").await;
    let id = &task["msgId"];
    let nonsense = [
        ("malformed", "{\"msgType\":\"ota_pro".to_owned()),
        ("malformed", "\u{0}\u{1}".to_owned()),
        ("malformed", json!({ "msgType": "dance" }).to_string()),
        (
            "malformed",
            progress_report(id, "failed", 1).to_string() + "}",
        ),
        (
            "unknown_state",
            progress_report(id, "exploded", 1).to_string(),
        ),
        (
            "progress_out_of_range",
            progress_report(id, "downloading", 400).to_string(),
        ),
        (
            "progress_out_of_range",
            progress_report(id, "downloading", -1).to_string(),
        ),
        (
            "unknown_task",
            progress_report(&json!("ota_nobodys"), "failed", 1).to_string(),
        ),
    ];
    for (_, payload) in &nonsense {
        gateway.publish("report", false, payload.as_str()).await;
    }
    gateway.progress(id, "downloading", 10).await;
    app.task_at("g", "downloading", 10).await;
    for (reason, _) in &nonsense {
        let sent = nonsense.iter().filter(|(other, _)| other == reason).count();
        let series = format!("airlift_messages_refused_total{{reason=\"{reason}\"}}");
        app.metric_reaches(&series, sent as f64).await;
    }
    app.stop().await;
}

#[tokio::test]
async fn duplicate_late_and_reordered_reports_change_nothing() {
    let app = TestApp::start().await;
    let (mut gateway, task) = upgrading(&app, "g").await;
    let id = &task["msgId"];
    gateway.progress(id, "downloading", 50).await;
    gateway.progress(id, "downloading", 30).await;
    gateway.progress(id, "downloading", 50).await;
    gateway.progress(id, "verifying", 95).await;
    gateway.progress(id, "downloading", 90).await;
    gateway.progress(id, "downloading", 70).await;
    let stored = r#"airlift_messages_stored_total{kind="ota_progress"}"#;
    app.metric_reaches(stored, 6.0).await;
    app.task_at("g", "verifying", 95).await;

    gateway.progress(id, "completed", 100).await;
    let completed = app.task_at("g", "completed", 100).await;
    gateway.progress(id, "downloading", 40).await;
    gateway.progress(id, "failed", 40).await;
    gateway.progress(id, "completed", 100).await;
    // Without an id a report belongs to the active task, and there is none.
    gateway.progress(&Value::Null, "failed", 0).await;
    app.metric_reaches(
        r#"airlift_messages_refused_total{reason="no_active_task"}"#,
        1.0,
    )
    .await;
    app.metric_reaches(stored, 10.0).await;
    assert_eq!(app.task("g").await, completed);
    app.stop().await;
}

#[tokio::test]
async fn a_failure_is_told_in_the_gateways_own_words() {
    let app = TestApp::start().await;
    let (mut gateway, task) = upgrading(&app, "g").await;
    let mut report = progress_report(&task["msgId"], "failed", 40);
    report["data"]["errorCode"] = json!("BATTERY_LOW");
    report["data"]["errorMessage"] = json!("15 %");
    gateway.report(report).await;
    let failed = app.task_with("g", "failed").await;
    assert_eq!(failed["errorCode"], "BATTERY_LOW");
    assert_eq!(failed["errorMessage"], "15 %");
    assert!(failed["completeTime"].is_string());
    app.metric_reaches(r#"ota_failure_total{reason="BATTERY_LOW"}"#, 1.0)
        .await;

    // One that says no more than "failed", and one that makes up a code.
    for (code, stored, counted) in [
        (Value::Null, "UNSPECIFIED", "UNSPECIFIED"),
        (json!("GREMLINS"), "GREMLINS", "OTHER"),
    ] {
        let task = app.trigger("g", "1.0.2").await.data();
        let mut report = progress_report(&task["msgId"], "failed", 0);
        report["data"]["errorCode"] = code;
        gateway.report(report).await;
        let failed = app.task_with("g", "failed").await;
        assert_eq!(failed["errorCode"], stored);
        let series = format!("ota_failure_total{{reason=\"{counted}\"}}");
        eventually(&series, async || {
            (app.metric(&series).await > 0.0).then_some(())
        })
        .await;
    }
    app.stop().await;
}

#[tokio::test]
async fn a_heartbeat_registers_a_gateway_and_says_what_it_runs() {
    let app = TestApp::start().await;
    app.released("1.0.2").await;
    let mut gateway = Gateway::connect(&app, "HQ:new_1").await;
    gateway
        .report(json!({
            "msgType": "heartbeat", "uuid": "HQ:new_1", "timestamp": 1_770_000_010,
            "data": { "firmwareVersion": "1.0.1", "battery": 80.5, "rssi": -61, "extra": [1] },
        }))
        .await;
    let known = eventually("the gateway", async || {
        let known = app.get("/api/ota/gateways/HQ:new_1").await;
        (known.status == 200).then(|| known.data())
    })
    .await;
    assert_eq!(known["currentVersion"], "1.0.1");
    assert_eq!(known["latestVersion"], "1.0.2");
    assert_eq!(known["needUpgrade"], true);
    assert_eq!(known["online"], true);
    assert_eq!(known["deviceType"], "gateway");
    assert_eq!(known["attributes"]["battery"], 80.5);
    assert_eq!(known["attributes"]["extra"], json!([1]));
    assert!(known["lastSeenAt"].is_string());

    gateway.heartbeat("1.0.2").await;
    eventually("the new version", async || {
        let known = app.gateway("HQ:new_1").await;
        (known["currentVersion"] == "1.0.2" && known["needUpgrade"] == false).then_some(())
    })
    .await;
    app.stop().await;
}

#[tokio::test]
async fn a_last_will_says_that_a_gateway_is_gone_and_its_status_that_it_is_back() {
    let app = TestApp::start().await;
    let mut options = MqttOptions::new("gateway-mortal", "127.0.0.1", app.mqtt_port);
    options.set_last_will(LastWill::new(
        "hanqi/gateway/mortal/status",
        r#"{"online":false,"firmwareVersion":"1.0.1"}"#,
        QoS::AtLeastOnce,
        true,
    ));
    let (client, mut events) = AsyncClient::new(options, 10);
    let online = r#"{"online":true,"firmwareVersion":"1.0.1"}"#;
    client
        .publish(
            "hanqi/gateway/mortal/status",
            QoS::AtLeastOnce,
            true,
            online,
        )
        .await
        .unwrap();
    let events = tokio::spawn(async move { while events.poll().await.is_ok() {} });
    let is_online = async |online: bool| {
        eventually("the gateway's status", async || {
            let known = app.get("/api/ota/gateways/mortal").await;
            (known.status == 200 && known.data()["online"] == online).then_some(())
        })
        .await;
    };
    is_online(true).await;
    assert_eq!(app.gateway("mortal").await["currentVersion"], "1.0.1");
    events.abort();
    drop(client);
    is_online(false).await;

    let mut gateway = Gateway::connect(&app, "mortal").await;
    gateway.status(true).await;
    is_online(true).await;
    gateway.status(false).await;
    is_online(false).await;
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_that_comes_before_the_server_listens_is_taken_in() {
    // Gateways wait at the door while the server starts: their reports reach the built-in broker
    // before the server's own session subscribes.
    const GATEWAYS: usize = 10;
    let mut app = Setup::default().prepare();
    let port = app.mqtt_port;
    let gateways: Vec<_> = (0..GATEWAYS)
        .map(|n| std::thread::spawn(move || report_as_soon_as_possible(port, n)))
        .collect();
    app.run().await;
    for gateway in gateways {
        gateway.join().unwrap();
    }
    eventually("all gateways", async || {
        let page = app.get("/api/ota/gateways?limit=100").await.data();
        (page["items"].as_array().unwrap().len() == GATEWAYS).then_some(())
    })
    .await;
    app.stop().await;
}

/// CONNECT and a heartbeat at QoS 1 in one write the moment somebody listens; returns when it is
/// acknowledged.
fn report_as_soon_as_possible(port: u16, n: usize) {
    let id = format!("eager-{n}");
    let topic = format!("hanqi/gateway/{id}/report");
    let payload = r#"{"msgType":"heartbeat","data":{"firmwareVersion":"1.0.1"}}"#;
    let field = |text: &str| {
        let length = u16::try_from(text.len()).unwrap().to_be_bytes();
        [&length, text.as_bytes()].concat()
    };
    let packet = |kind: u8, body: &[u8]| {
        let length = u8::try_from(body.len()).ok().filter(|n| *n < 128).unwrap();
        [&[kind, length], body].concat()
    };
    let clean_session_and_keep_alive = [4, 2, 0, 30];
    let connect = [
        field("MQTT"),
        clean_session_and_keep_alive.into(),
        field(&id),
    ]
    .concat();
    let packet_id = [0, 1];
    let publish = [field(&topic), packet_id.into(), payload.into()].concat();
    let bytes = [packet(0x10, &connect), packet(0x32, &publish)].concat();
    let mut broker = loop {
        if let Ok(stream) = TcpStream::connect(("127.0.0.1", port)) {
            break stream;
        }
    };
    broker.set_read_timeout(Some(SOON)).unwrap();
    broker.write_all(&bytes).unwrap();
    let (connected, acknowledged) = ([0x20, 2, 0, 0], [0x40, 2, 0, 1]);
    let mut answers = [0; 8];
    broker.read_exact(&mut answers).unwrap();
    assert_eq!(answers, *[connected, acknowledged].concat());
}
