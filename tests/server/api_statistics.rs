//! How upgrades went, and who is out there.

use chrono::TimeDelta;
use serde_json::{Value, json};

use crate::{
    app::{Setup, TestApp, eventually},
    gateway::{Gateway, progress_report},
};

#[tokio::test]
async fn without_tasks_the_statistics_are_zeros() {
    let app = TestApp::start().await;
    let statistics = app.get("/api/ota/statistics").await.data();
    let expected = json!({
        "total": 0, "completed": 0, "failed": 0, "successRate": "0.00%",
        "failureRate": "0.00%", "avgDuration": 0.0, "byVersion": {}, "byErrorCode": {},
    });
    assert_eq!(statistics, expected);
    app.stop().await;
}

#[tokio::test]
async fn statistics_count_tasks_by_version_and_error_code() {
    let app = Setup::manual_clock().start().await;
    app.released("1.0.2").await;
    app.released("1.0.3").await;
    let since = app.clock.now();
    // One old task, then five of which one is still pending.
    finish(&app, "old", "1.0.2", "completed", None).await;
    app.clock.advance(TimeDelta::hours(1));
    let later = app.clock.now();
    finish(&app, "a", "1.0.2", "completed", None).await;
    finish(&app, "b", "1.0.2", "failed", Some("BATTERY_LOW")).await;
    finish(&app, "c", "1.0.3", "failed", Some("BATTERY_LOW")).await;
    finish(&app, "d", "1.0.3", "failed", Some("DIGEST_MISMATCH")).await;
    app.trigger("e", "1.0.3").await.data();

    let statistics = app.get("/api/ota/statistics").await.data();
    assert_eq!(statistics["total"], 6);
    assert_eq!(statistics["completed"], 2);
    assert_eq!(statistics["failed"], 3);
    assert_eq!(statistics["successRate"], "33.33%");
    assert_eq!(statistics["failureRate"], "50.00%");
    assert_eq!(statistics["avgDuration"], 90.0);
    let codes = json!({ "BATTERY_LOW": 2, "DIGEST_MISMATCH": 1 });
    assert_eq!(statistics["byErrorCode"], codes);
    let first = json!({
        "total": 3, "completed": 2, "failed": 1, "successRate": "66.67%",
        "failureRate": "33.33%", "avgDuration": 90.0,
    });
    assert_eq!(statistics["byVersion"]["1.0.2"], first);
    assert_eq!(statistics["byVersion"]["1.0.3"]["successRate"], "0.00%");

    let total = async |query: &str| {
        let path = format!("/api/ota/statistics?{query}");
        app.get(&path).await.data()["total"].clone()
    };
    assert_eq!(total("version=1.0.3").await, 3);
    assert_eq!(total("deviceType=esp32").await, 0);
    assert_eq!(total("deviceType=gateway").await, 6);
    let query_time = |time: chrono::DateTime<chrono::Utc>| time.to_rfc3339().replace('+', "%2B");
    assert_eq!(total(&format!("since={}", query_time(later))).await, 5);
    assert_eq!(total(&format!("since={}", query_time(since))).await, 6);
    app.stop().await;
}

/// An upgrade that takes ninety seconds and ends with `state`.
async fn finish(app: &TestApp, id: &str, version: &str, state: &str, code: Option<&str>) {
    let mut gateway = Gateway::connect(app, id).await;
    let task = app.trigger(id, version).await.data();
    app.clock.advance(TimeDelta::seconds(90));
    let mut report = progress_report(&task["msgId"], state, 100);
    report["data"]["errorCode"] = json!(code);
    gateway.report(report).await;
    app.task_with(id, state).await;
}

#[tokio::test]
async fn gateways_are_listed_by_id_in_pages_and_by_filter() {
    let app = TestApp::start().await;
    app.released("1.0.2").await;
    let mut gateways = Vec::new();
    for n in 0..5 {
        let mut gateway = Gateway::connect(&app, &format!("g{n}")).await;
        let version = if n == 0 { "1.0.2" } else { "1.0.1" };
        let device_type = if n == 4 { "esp32" } else { "gateway" };
        gateway
            .report(json!({
                "msgType": "heartbeat",
                "data": { "firmwareVersion": version, "deviceType": device_type },
            }))
            .await;
        gateways.push(gateway);
    }
    gateways[1].status(false).await;
    let ids = async |query: &str| -> Vec<Value> {
        let page = app.get(&format!("/api/ota/gateways{query}")).await.data();
        let items = page["items"].as_array().unwrap().iter();
        items.map(|item| item["gatewayId"].clone()).collect()
    };
    eventually("four gateways online", async || {
        (ids("?online=true").await.len() == 4).then_some(())
    })
    .await;
    assert_eq!(ids("").await, ["g0", "g1", "g2", "g3", "g4"]);
    assert_eq!(ids("?online=false").await, ["g1"]);
    assert_eq!(ids("?currentVersion=1.0.2").await, ["g0"]);
    assert_eq!(ids("?deviceType=esp32").await, ["g4"]);
    assert_eq!(ids("?deviceType=esp32&online=false").await, [""; 0]);

    let page = app.get("/api/ota/gateways?limit=2").await.data();
    assert_eq!(page["nextCursor"], "g1");
    assert_eq!(ids("?limit=2&cursor=g1").await, ["g2", "g3"]);
    let last = app.get("/api/ota/gateways?limit=2&cursor=g3").await.data();
    assert_eq!(last["nextCursor"], Value::Null);
    assert_eq!(last["items"].as_array().unwrap().len(), 1);

    let all = app.get("/api/ota/gateways").await.data();
    let need: Vec<&Value> = all["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| &item["needUpgrade"])
        .collect();
    // Nothing is released for the esp32.
    assert_eq!(need, [false, true, true, true, false]);
    assert_eq!(all["items"][4]["latestVersion"], Value::Null);
    app.metric_reaches("airlift_gateways", 5.0).await;
    app.metric_reaches("airlift_gateways_online", 4.0).await;
    app.stop().await;
}
