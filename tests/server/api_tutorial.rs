//! The tutorial's session, and the gateways it was written for.

use rumqttc::QoS;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::{
    app::{Setup, TestApp, UPLOAD, file_part},
    gateway::Gateway,
};

const GATEWAY: &str = "HQ2026TEST001";

/// Upload, look, release, upgrade, watch: as typed in the tutorial.
async fn run_the_tutorial(app: &TestApp) -> Value {
    let file: Vec<u8> = (0..100_000u32).map(|n| (n * 31 % 251) as u8).collect();
    let form = reqwest::multipart::Form::new()
        .part("file", file_part(&file))
        .text("version", "1.0.2")
        .text("description", "x");
    let firmware = app.post_form(UPLOAD, form).await.data();
    assert_eq!(firmware["status"], "draft");
    assert_eq!(firmware["version"], "1.0.2");
    assert_eq!(firmware["description"], "x");
    assert_eq!(firmware["deviceType"], "gateway");
    assert_eq!(firmware["fileName"], "gateway_v1.0.2.bin");
    assert_eq!(firmware["fileUrl"], app.url("/firmware/gateway_v1.0.2.bin"));
    assert_eq!(firmware["fileSize"], file.len());
    assert_eq!(firmware["sha256"], hex::encode(Sha256::digest(&file)));
    assert_eq!(firmware["md5"], hex::encode(md5::Md5::digest(&file)));
    assert_eq!(firmware["releaseDate"], Value::Null);

    let head = app.head("/firmware/gateway_v1.0.2.bin").await;
    assert_eq!(head.status, 200);
    assert_eq!(head.header("content-length"), Some("100000"));

    let released = app.release("1.0.2").await.data();
    assert_eq!(released["status"], "released");
    assert!(released["releaseDate"].is_string());

    let triggered = app.trigger(GATEWAY, "1.0.2").await.data();
    let task = app.task(GATEWAY).await;
    assert_eq!(task, triggered);
    assert_eq!(task["status"], "pending");
    assert_eq!(task["progress"], 0);
    assert_eq!(task["toVersion"], "1.0.2");
    assert_eq!(task["fromVersion"], Value::Null);
    assert_eq!(task["firmwareUrl"], firmware["fileUrl"]);
    for same in ["md5", "sha256", "fileSize"] {
        assert_eq!(task[same], firmware[same], "{same}");
    }
    assert_eq!(app.gateway(GATEWAY).await["gatewayId"], GATEWAY);
    assert_eq!(app.gateway(GATEWAY).await["online"], false);
    task
}

/// What a gateway of the first generation does with a command. It reads the message id from
/// `data`, if it knows of one at all, and sends no heartbeat.
async fn obey_like_an_old_gateway(app: &TestApp, sends: impl Fn(&Value) -> Option<Value>) {
    let mut gateway = Gateway::connect_with(app.mqtt_port, GATEWAY, QoS::AtMostOnce).await;
    let task = run_the_tutorial(app).await;
    let command = gateway.command().await;
    assert_eq!(command["msgType"], "ota_upgrade");
    assert_eq!(command["uuid"], GATEWAY);
    assert!(command["timestamp"].is_i64());
    assert_eq!(command["msgId"], task["msgId"]);
    let data = &command["data"];
    assert_eq!(data["msgId"], task["msgId"]);
    assert_eq!(data["version"], "1.0.2");
    assert_eq!(data["forceUpgrade"], false);
    for same in ["firmwareUrl", "md5", "sha256", "fileSize"] {
        assert_eq!(data[same], task[same], "{same}");
    }

    let file = app.get("/firmware/gateway_v1.0.2.bin").await;
    assert_eq!(data["firmwareUrl"], app.url("/firmware/gateway_v1.0.2.bin"));
    assert_eq!(data["sha256"], hex::encode(Sha256::digest(&file.body)));

    let steps = (0..=9).map(|tenth| ("downloading", tenth * 10));
    for (state, progress) in
        steps.chain([("verifying", 95), ("installing", 98), ("completed", 100)])
    {
        let mut report = json!({
            "msgType": "ota_progress", "uuid": GATEWAY, "timestamp": 1_770_000_000,
            "data": {
                "state": state, "progress": progress, "currentVersion": "1.0.1",
                "targetVersion": "1.0.2", "errorCode": null, "errorMessage": null,
            },
        });
        if let Some(msg_id) = sends(data) {
            report["msgId"] = msg_id;
        }
        gateway.mumble(report).await;
        app.task_at(GATEWAY, state, progress).await;
    }
    let task = app.task(GATEWAY).await;
    assert_eq!(task["fromVersion"], "1.0.1");
    assert!(task["completeTime"].is_string());
    assert_eq!(task["confirmedAt"], Value::Null);
    assert_eq!(task["errorCode"], Value::Null);
}

#[tokio::test]
async fn the_tutorials_session_runs_as_typed() {
    let app = TestApp::start().await;
    run_the_tutorial(&app).await;
    app.stop().await;
}

#[tokio::test]
async fn an_old_gateway_that_reads_the_message_id_from_data_completes() {
    let app = TestApp::start().await;
    obey_like_an_old_gateway(&app, |data| Some(data["msgId"].clone())).await;
    app.stop().await;
}

#[tokio::test]
async fn an_old_gateway_that_sends_no_message_id_completes() {
    let app = TestApp::start().await;
    obey_like_an_old_gateway(&app, |_| None).await;
    app.stop().await;
}

#[tokio::test]
async fn an_old_gateway_that_sends_null_for_a_message_id_completes() {
    let app = TestApp::start().await;
    obey_like_an_old_gateway(&app, |_| Some(Value::Null)).await;
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_gateway_completes_on_postgres_too() {
    let setup = Setup {
        postgres: true,
        ..Setup::default()
    };
    let app = setup.start().await;
    obey_like_an_old_gateway(&app, |data| Some(data["msgId"].clone())).await;
    app.stop().await;
}
