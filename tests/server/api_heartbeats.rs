//! `/api/ota/gateways/{gatewayId}/heartbeats`: what a gateway said of itself over time.

use airlift::{
    config::Options,
    domain::{KeptHeartbeat, Vitals},
};
use chrono::TimeDelta;
use serde_json::{Value, json};

use crate::{
    app::{Setup, TestApp},
    crowd,
};

async fn heartbeats(app: &TestApp, query: &str) -> Value {
    let path = format!("/api/ota/gateways/g/heartbeats?{query}");
    app.get(&path).await.data()
}

async fn times(app: &TestApp, query: &str) -> Vec<String> {
    let items = heartbeats(app, query).await["items"].clone();
    let items = items.as_array().unwrap().iter();
    items
        .map(|item| item["at"].as_str().unwrap().to_owned())
        .collect()
}

async fn say(app: &TestApp, data: Value) {
    let heartbeat = json!({ "msgType": "heartbeat", "data": data });
    crowd::say(app, vec![("g".to_owned(), heartbeat)]).await;
}

#[tokio::test]
async fn of_each_ten_minutes_the_first_heartbeat_is_kept() {
    for postgres in [false, true] {
        let setup = Setup {
            postgres,
            ..Setup::manual_clock()
        };
        let app = setup.start().await;
        let whole = json!({
            "firmwareVersion": "1.0.1", "battery": 87.3, "freeHeap": 183_000, "rssi": -61,
        });
        app.clock.advance(TimeDelta::seconds(61));
        say(&app, whole).await;
        app.clock.advance(TimeDelta::seconds(538));
        say(&app, json!({ "firmwareVersion": "1.0.2" })).await;
        app.clock.advance(TimeDelta::seconds(1));
        say(&app, json!({ "firmwareVersion": "1.0.3" })).await;
        app.clock.advance(TimeDelta::hours(1));
        say(&app, json!({ "firmwareVersion": "1.0.3", "battery": 0 })).await;
        let expected = json!({ "intervalSeconds": 600, "items": [
            {
                "at": "2026-03-01T08:00:00Z", "firmwareVersion": "1.0.1", "battery": 87.3,
                "freeHeap": 183_000, "rssi": -61.0,
            },
            {
                "at": "2026-03-01T08:10:00Z", "firmwareVersion": "1.0.3", "battery": null,
                "freeHeap": null, "rssi": null,
            },
            {
                "at": "2026-03-01T09:10:00Z", "firmwareVersion": "1.0.3", "battery": 0.0,
                "freeHeap": null, "rssi": null,
            },
        ]});
        let all = app.get("/api/ota/gateways/g/heartbeats").await;
        // As text: 87.3 must not become 87.30000305175781.
        assert!(all.text().contains("\"battery\":87.3,"), "{}", all.text());
        assert_eq!(heartbeats(&app, "").await, expected);
        let within = "since=2026-03-01T08:10:00Z&until=2026-03-01T09:10:00Z";
        assert_eq!(times(&app, within).await, ["2026-03-01T08:10:00Z"]);
        app.stop().await;
    }
}

#[tokio::test]
async fn a_heartbeat_that_was_overtaken_is_not_kept() {
    let app = Setup::manual_clock().start().await;
    let sent = async |version: &str, timestamp: i64| {
        let heartbeat = json!({
            "msgType": "heartbeat", "timestamp": timestamp,
            "data": { "firmwareVersion": version },
        });
        crowd::say(&app, vec![("g".to_owned(), heartbeat)]).await;
    };
    sent("1.0.2", 1_770_000_600).await;
    app.clock.advance(TimeDelta::minutes(10));
    sent("1.0.1", 1_770_000_000).await;
    let kept = heartbeats(&app, "").await;
    assert_eq!(kept["items"].as_array().unwrap().len(), 1, "{kept}");
    assert_eq!(kept["items"][0]["firmwareVersion"], "1.0.2");
    app.stop().await;
}

#[tokio::test]
async fn the_answer_has_the_newest_two_thousand_oldest_first() {
    let app = Setup::manual_clock().start().await;
    say(&app, json!({ "firmwareVersion": "1.0.1" })).await;
    let now = app.clock.now();
    let older: Vec<KeptHeartbeat> = (1..=2000)
        .map(|n| KeptHeartbeat {
            gateway_id: "g".into(),
            at: now - TimeDelta::minutes(10 * n),
            firmware_version: "1.0.1".into(),
            vitals: Vitals::default(),
        })
        .collect();
    let db = app.db().await;
    let mut tx = db.begin().await.unwrap();
    tx.put_heartbeats(&older).await.unwrap();
    tx.commit().await.unwrap();
    db.close().await;
    let times = times(&app, "").await;
    assert_eq!(times.len(), 2000);
    assert!(times.is_sorted());
    assert_eq!(times[1999], "2026-03-01T08:00:00Z");
    app.stop().await;
}

#[tokio::test]
async fn heartbeats_go_when_they_are_as_old_as_the_setting_says() {
    let mut setup = Setup::manual_clock();
    setup.options = Options {
        heartbeat_interval_seconds: Some(60),
        heartbeats_keep_hours: Some(1),
        ..Options::default()
    };
    let app = setup.start().await;
    for _ in 0..3 {
        say(&app, json!({ "firmwareVersion": "1.0.1" })).await;
        app.clock.advance(TimeDelta::minutes(30));
    }
    assert_eq!(heartbeats(&app, "").await["intervalSeconds"], 60);
    // It is 9:30. What was said at 8:00 is too old; at 8:30, not yet.
    app.service().delete_history().await.unwrap();
    app.metric_reaches(r#"airlift_history_deleted_total{kind="heartbeat"}"#, 1.0)
        .await;
    let left = ["2026-03-01T08:30:00Z", "2026-03-01T09:00:00Z"];
    assert_eq!(times(&app, "").await, left);
    app.stop().await;
}

#[tokio::test]
async fn without_an_interval_no_heartbeat_is_kept() {
    let setup = Setup {
        options: Options {
            heartbeat_interval_seconds: Some(0),
            ..Options::default()
        },
        ..Setup::default()
    };
    let app = setup.start().await;
    say(&app, json!({ "firmwareVersion": "1.0.1" })).await;
    assert_eq!(app.gateway("g").await["currentVersion"], "1.0.1");
    let none = json!({ "intervalSeconds": 0, "items": [] });
    assert_eq!(heartbeats(&app, "").await, none);
    app.stop().await;
}

#[tokio::test]
async fn heartbeats_of_nobody_and_of_no_time_are_refused() {
    let app = TestApp::start().await;
    let path = "/api/ota/gateways/g/heartbeats";
    app.get(path).await.refused(404, "gateway_not_found");
    say(&app, json!({ "firmwareVersion": "1.0.1" })).await;
    for (query, code) in [
        (
            "since=2026-03-02T00:00:00Z&until=2026-03-01T00:00:00Z",
            "invalid_period",
        ),
        ("since=yesterday", "invalid_query"),
    ] {
        app.get(&format!("{path}?{query}")).await.refused(400, code);
    }
    let senseless = app.get("/api/ota/gateways/a%20b/heartbeats").await;
    senseless.refused(400, "invalid_gateway_id");
    // Beyond every calendar.
    let far = "since=-262143-01-01T00:00:00Z&until=%2B262142-01-01T00:00:00Z";
    assert_eq!(times(&app, far).await.len(), 1);
    app.stop().await;
}
