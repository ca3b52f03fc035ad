//! How upgrades went, and who is out there.

use std::collections::BTreeSet;

use airlift::domain::{Task, TaskStatus};
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    api_history::{ended_task, put_tasks},
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
        "cancelled": 0, "active": 0, "confirmed": 0, "durationP50": null, "durationP90": null,
        "durationP99": null, "byRollout": {},
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
        "failureRate": "33.33%", "avgDuration": 90.0, "cancelled": 0, "active": 0,
        "confirmed": 0, "durationP50": 90.0, "durationP90": 90.0, "durationP99": 90.0,
    });
    assert_eq!(statistics["byVersion"]["1.0.2"], first);
    assert_eq!(statistics["byVersion"]["1.0.3"]["successRate"], "0.00%");
    assert_eq!(statistics["byVersion"]["1.0.3"]["active"], 1);

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
    assert_eq!(total(&format!("until={}", query_time(later))).await, 1);
    assert_eq!(total("since=0001-01-01T00:00:00Z").await, 6);
    assert_eq!(total("until=%2B262142-01-01T00:00:00Z").await, 6);
    let (since, until) = (query_time(later), query_time(since));
    let period = format!("/api/ota/statistics?since={since}&until={until}");
    app.get(&period).await.refused(400, "invalid_period");

    let cell = |row: &[String], name: &str, header: &[String]| {
        let column = header.iter().position(|column| column == name);
        row[column.expect(name)].clone()
    };
    for table in [
        app.get("/api/ota/statistics?format=csv").await.csv(),
        app.get_with("/api/ota/statistics", &[("accept", "text/csv")])
            .await
            .csv(),
    ] {
        let groups: Vec<&[String]> = table.iter().map(|row| &row[..2]).collect();
        let expected = [
            ["group", "key"],
            ["all", ""],
            ["version", "1.0.2"],
            ["version", "1.0.3"],
            ["errorCode", "BATTERY_LOW"],
            ["errorCode", "DIGEST_MISMATCH"],
        ];
        assert_eq!(groups, expected);
        for (row, name, value) in [
            (1, "total", "6"),
            (1, "successRate", "33.33%"),
            (2, "avgDuration", "90.0"),
            (2, "durationP99", "90.0"),
            (3, "durationP99", ""),
            (4, "failed", "2"),
            (4, "completed", ""),
        ] {
            assert_eq!(cell(&table[row], name, &table[0]), value, "{row} {name}");
        }
    }
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

/// A task that was made at `created` and took a minute.
fn completed_task(app: &TestApp, rollout_id: Option<Uuid>, created: &str) -> Task {
    let created: DateTime<Utc> = created.parse().unwrap();
    Task {
        rollout_id,
        created_at: created,
        duration_ms: Some(60_000),
        ..ended_task(app, "g")
    }
}

#[tokio::test]
async fn a_timeline_has_every_hour_day_or_week_also_those_without_tasks() {
    // It is 2026-03-01, a Sunday, 08:00.
    let app = Setup::manual_clock().start().await;
    let rollout = Uuid::from_u128(7);
    let tasks = [
        (None, "2026-02-27T23:59:59.999Z"),
        (Some(rollout), "2026-02-28T00:00:00Z"),
        (None, "2026-03-01T07:59:59.999Z"),
        (None, "2026-03-01T08:00:00Z"),
    ]
    .map(|(rollout, created)| completed_task(&app, rollout, created));
    put_tasks(&app, &tasks).await;
    let totals = async |query: &str| {
        let path = format!("/api/ota/statistics/timeline?{query}");
        let timeline = app.get(&path).await.data();
        let buckets = timeline["buckets"].as_array().unwrap().iter();
        let totals: Vec<Value> = buckets
            .map(|bucket| json!([bucket["start"], bucket["total"]]))
            .collect();
        totals
    };
    let days = totals("since=2026-02-26T12:00:00Z").await;
    let expected = [
        ("2026-02-26T00:00:00Z", 0),
        ("2026-02-27T00:00:00Z", 1),
        ("2026-02-28T00:00:00Z", 1),
        ("2026-03-01T00:00:00Z", 2),
    ]
    .map(|(start, total)| json!([start, total]));
    assert_eq!(days, expected);
    let hours = totals("interval=hour&since=2026-03-01T06:30:00Z").await;
    let expected = [
        ("2026-03-01T06:00:00Z", 0),
        ("2026-03-01T07:00:00Z", 1),
        ("2026-03-01T08:00:00Z", 1),
    ]
    .map(|(start, total)| json!([start, total]));
    assert_eq!(hours, expected);
    // What is made at `until` is not within, and its bucket is not there.
    let until = "interval=hour&since=2026-03-01T07:00:00Z&until=2026-03-01T08:00:00Z";
    assert_eq!(totals(until).await, [json!(["2026-03-01T07:00:00Z", 1])]);
    let weeks = totals("interval=week").await;
    assert_eq!(weeks.len(), 30);
    assert_eq!(weeks[29], json!(["2026-02-23T00:00:00Z", 4]));
    assert_eq!(weeks[28], json!(["2026-02-16T00:00:00Z", 0]));
    let of_rollout = totals(&format!("rolloutId={rollout}&since=2026-02-28T00:00:00Z")).await;
    assert_eq!(of_rollout[0][1], 1);
    assert_eq!(of_rollout[1][1], 0);
    assert_eq!(
        totals("since=2026-03-01T08:00:00Z&version=9").await[0][1],
        0
    );

    let path = "/api/ota/statistics/timeline?since=2026-02-28T00:00:00Z";
    let timeline = app.get(path).await.data();
    assert_eq!(timeline["interval"], "day");
    assert_eq!(timeline["until"], "2026-03-01T08:00:00Z");
    assert_eq!(timeline["buckets"][0]["durationP50"], 60.0);
    let table = app.get(&format!("{path}&format=csv")).await.csv();
    assert_eq!(table.len(), 3);
    assert_eq!(table[0][..3], ["start", "total", "completed"]);
    assert_eq!(table[2][..3], ["2026-03-01T00:00:00Z", "2", "2"]);
    let keys = timeline["buckets"][0].as_object().unwrap().keys();
    let columns: BTreeSet<&String> = table[0].iter().collect();
    assert_eq!(columns, keys.collect());

    let refused = async |query: &str, code: &str| {
        let path = format!("/api/ota/statistics/timeline?{query}");
        app.get(&path).await.refused(400, code)
    };
    let thousand = "interval=hour&since=2026-01-18T17:00:00Z";
    assert_eq!(totals(thousand).await.len(), 1000);
    let more = "interval=hour&since=2026-01-18T16:59:59Z";
    let message = refused(more, "too_many_buckets").await;
    assert!(message.contains("1001 buckets of one hour"), "{message}");
    refused("since=2026-03-01T08:00:01Z", "invalid_period").await;
    refused("interval=month", "invalid_query").await;
    app.stop().await;
}

#[tokio::test]
async fn statistics_count_the_tasks_of_each_rollout() {
    let app = Setup::manual_clock().start().await;
    let rollouts = [Uuid::from_u128(7), Uuid::from_u128(8)];
    let mut tasks: Vec<Task> = [
        None,
        Some(rollouts[0]),
        Some(rollouts[0]),
        Some(rollouts[1]),
    ]
    .map(|rollout| completed_task(&app, rollout, "2026-02-28T00:00:00Z"))
    .into();
    tasks[1].confirmed_at = Some(app.clock.now());
    tasks[2].duration_ms = Some(1500);
    tasks[3].status = TaskStatus::Cancelled;
    put_tasks(&app, &tasks).await;
    let statistics = app.get("/api/ota/statistics").await.data();
    assert_eq!(statistics["total"], 4);
    assert_eq!(statistics["cancelled"], 1);
    assert_eq!(statistics["confirmed"], 1);
    let by_rollout = statistics["byRollout"].as_object().unwrap();
    assert_eq!(by_rollout.len(), 2);
    let first = &by_rollout[&rollouts[0].to_string()];
    assert_eq!(first["total"], 2);
    assert_eq!(first["confirmed"], 1);
    assert_eq!(first["avgDuration"], 30.75);
    assert_eq!(first["durationP50"], 1.5);
    assert_eq!(first["durationP90"], 60.0);
    let second = &by_rollout[&rollouts[1].to_string()];
    assert_eq!(second["durationP50"], Value::Null);

    let path = format!("/api/ota/statistics?rolloutId={}", rollouts[0]);
    assert_eq!(app.get(&path).await.data()["total"], 2);
    let table = app.get(&format!("{path}&format=csv")).await.csv();
    assert_eq!(table[3][..3], ["rollout", &rollouts[0].to_string(), "2"]);
    app.stop().await;
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
