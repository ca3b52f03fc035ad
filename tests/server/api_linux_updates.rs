//! `POST /api/ota/gateways/{id}/task`: updates that devices begin on their own.

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::{
    app::{Setup, TestApp},
    device::{Device, push, release, update},
};

#[tokio::test]
async fn an_update_that_a_device_begins_is_a_task_like_any_other() {
    let app = TestApp::start().await;
    let package = push(&app, "1.2.0").await;
    let device = Device::new(&app, "edge-1");
    let task = device.begin(update("1.1.0", "1.2.0")).await.data();
    assert_eq!(task["status"], "downloading");
    assert_eq!(task["sha256"], package["sha256"]);
    assert_eq!(task["fileSize"], package["fileSize"]);
    assert_eq!(
        task["firmwareUrl"],
        app.url(&format!(
            "/otafiles/{}",
            package["sha256"].as_str().unwrap()
        ))
    );
    let packages = json!([{ "name": "app", "fromVersion": "1.1.0", "toVersion": "1.2.0" }]);
    assert_eq!(task["packages"], packages);
    let known = app.gateway("edge-1").await;
    assert_eq!(known["deviceType"], "linux");
    assert_eq!(known["currentVersion"], "1.1.0");
    assert!(known["offlineAt"].is_string());
    // Nobody has to tell it what it does already.
    assert_eq!(device.command().await, Value::Null);
    let why = app.get("/api/ota/gateways/edge-1/why").await.data();
    assert_eq!(why["verdict"], "updating");
    assert!(
        why["findings"].to_string().contains("nobody sent it"),
        "{why}"
    );

    // Its answer was lost, and it asks again.
    assert_eq!(device.begin(update("1.1.0", "1.2.0")).await.data(), task);
    device
        .progress(&task["msgId"], "completed", 100)
        .await
        .data();
    device.heartbeat("1.2.0").await;
    let proven = app.task("edge-1").await;
    assert!(proven["confirmedAt"].is_string());
    assert_eq!(proven["packages"], packages);
    let rows = app.get("/api/ota/tasks.csv").await.csv();
    let column = rows[0].iter().position(|name| name == "packages").unwrap();
    assert!(rows[1][column].contains("app"), "{rows:?}");
    let statistics = app.get("/api/ota/statistics?deviceType=linux").await.data();
    assert_eq!(statistics["completed"], 1);
    app.stop().await;
}

#[tokio::test]
async fn an_update_that_leaves_the_leading_version_is_proven_by_a_later_heartbeat() {
    let app = TestApp::start().await;
    push(&app, "2.1.0").await;
    let device = Device::new(&app, "edge-1");
    let at = |second: i64| 1_770_000_000 + second;
    let mut body = update("1.0.0", "1.0.0");
    body["version"] = json!("2.1.0");
    let task = device.begin(body).await.data();
    let completed = json!({
        "msgType": "ota_progress", "msgId": task["msgId"], "timestamp": at(10),
        "data": { "state": "completed", "progress": 100 },
    });
    let heartbeat = |second: i64| {
        json!({
            "msgType": "heartbeat", "timestamp": at(second),
            "data": { "firmwareVersion": "1.0.0", "deviceType": "linux" },
        })
    };
    device.report(heartbeat(9)).await.data();
    device.report(completed).await.data();
    // The same second may have been before.
    device.report(heartbeat(10)).await.data();
    assert_eq!(app.task("edge-1").await["confirmedAt"], Value::Null);
    device.report(heartbeat(11)).await.data();
    assert!(app.task("edge-1").await["confirmedAt"].is_string());
    app.stop().await;
}

#[tokio::test]
async fn one_update_at_a_time_and_a_command_before_its_own() {
    let app = TestApp::start().await;
    for version in ["1.2.0", "1.3.0"] {
        push(&app, version).await;
        release(&app, version).await.data();
    }
    let device = Device::new(&app, "edge-1");
    device.heartbeat("1.1.0").await;
    let sent = app.trigger("edge-1", "1.2.0").await.data();
    for to in ["1.2.0", "1.3.0"] {
        let refused = device.begin(update("1.1.0", to)).await;
        let message = refused.refused(409, "upgrade_in_progress");
        assert!(message.contains("ask for its command"), "{message}");
    }
    device.fails(&sent["msgId"], "DISK_FULL").await;
    let own = device.begin(update("1.1.0", "1.3.0")).await.data();
    let other = device.begin(update("1.1.0", "1.2.0")).await;
    other.refused(409, "upgrade_in_progress");
    // The same target with other packages is another update.
    let mut more = update("1.1.0", "1.3.0");
    let lib = json!({ "name": "lib", "toVersion": "2.0" });
    more["packages"].as_array_mut().unwrap().push(lib);
    let other = device.begin(more.clone()).await;
    other.refused(409, "upgrade_in_progress");
    // A trigger for the version that it is at finds it there.
    let trigger = app.trigger("edge-1", "1.3.0").await.data();
    assert_eq!(trigger["taskId"], own["taskId"]);

    device.fails(&own["msgId"], "SCRIPT_FAILED").await;
    let path = format!("/api/ota/task/{}/retry", own["taskId"].as_str().unwrap());
    let refused = app.post(&path).await.refused(409, "task_not_retryable");
    assert!(refused.contains("airlift-agent retry"), "{refused}");
    let again = device.begin(more).await.data();
    assert_ne!(again["taskId"], own["taskId"]);
    let path = format!("/api/ota/task/{}/cancel", again["taskId"].as_str().unwrap());
    app.post(&path).await.data();
    assert_eq!(device.command().await["msgType"], "ota_cancel");
    app.stop().await;
}

#[tokio::test]
async fn the_same_update_begun_twice_at_once_is_one_task() {
    for postgres in [false, true] {
        let setup = Setup {
            postgres,
            ..Setup::default()
        };
        let app = setup.start().await;
        push(&app, "1.2.0").await;
        let device = Device::new(&app, "edge-1");
        let begun = join_all((0..8).map(|_| device.begin(update("1.1.0", "1.2.0")))).await;
        let ids: Vec<Value> = begun.iter().map(|it| it.data()["taskId"].clone()).collect();
        assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
        let tasks = app.get("/api/ota/tasks?gatewayId=edge-1").await.data();
        assert_eq!(tasks["items"].as_array().unwrap().len(), 1);
        app.stop().await;
    }
}

#[tokio::test]
async fn what_the_server_does_not_have_or_makes_no_sense_begins_nothing() {
    let app = TestApp::start().await;
    push(&app, "1.2.0").await;
    let device = Device::new(&app, "edge-1");
    device
        .begin(update("1.1.0", "1.2.1"))
        .await
        .refused(404, "package_not_found");
    let change = |path: &str, value: Value| {
        let mut body = update("1.1.0", "1.2.0");
        *body.pointer_mut(path).unwrap() = value;
        body
    };
    let many: Vec<Value> = (0..257)
        .map(|n| json!({ "name": format!("p{n}"), "toVersion": "1" }))
        .collect();
    let twice = json!([
        { "name": "app", "toVersion": "1" },
        { "name": "app", "toVersion": "2" },
    ]);
    for (body, code) in [
        (change("/name", json!("../app")), "invalid_update"),
        (change("/branch", json!("ma in")), "invalid_update"),
        (change("/version", json!("")), "invalid_update"),
        (
            change("/toVersion", json!("x".repeat(65))),
            "invalid_update",
        ),
        (change("/fromVersion", json!("<b>")), "invalid_update"),
        (change("/packages", json!([])), "invalid_update"),
        (change("/packages", json!(many)), "invalid_update"),
        (change("/packages", twice), "invalid_update"),
        (change("/packages/0/name", json!("a/b")), "invalid_update"),
        (
            change("/packages/0/toVersion", json!("\n")),
            "invalid_update",
        ),
        (change("/packages", json!("app")), "invalid_json"),
        (json!([]), "invalid_json"),
        (json!({ "name": "app" }), "invalid_json"),
    ] {
        device.begin(body).await.refused(400, code);
    }
    let path = "/api/ota/gateways/edge-1/task";
    app.post(path).await.refused(400, "invalid_json");
    let unknown = app.get("/api/ota/gateways/edge-1").await;
    unknown.refused(404, "gateway_not_found");
    app.stop().await;
}
