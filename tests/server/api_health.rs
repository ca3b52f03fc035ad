//! What operators see: readiness, metrics, the API's page.

use std::time::{Duration, Instant};

use airlift_testkit::{Durability, FaultProxy, Mosquitto, MosquittoOptions, Postgres};
use futures_util::future::join_all;
use serde_json::Value;
use tokio::time::sleep;

use crate::{
    app::{SOON, Setup, TestApp, eventually},
    gateway::Gateway,
};

async fn ready(app: &TestApp, ready: bool) -> Value {
    let what = format!("ready: {ready}");
    eventually(&what, async || {
        let answer = app.get("/readyz").await;
        let body = answer.json();
        assert_eq!(answer.status, if body["ready"] == true { 200 } else { 503 });
        (body["ready"] == ready).then_some(body)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_is_unready_while_its_broker_is_away_and_recovers() {
    let mut broker = Mosquitto::start(&MosquittoOptions::default()).unwrap();
    let setup = Setup {
        mqtt_url: Some(broker.url()),
        ..Setup::default()
    };
    let app = setup.start().await;
    app.released("1.0.2").await;
    broker.kill9().unwrap();
    let body = ready(&app, false).await;
    assert_eq!(body["broker"], "not connected");
    assert_eq!(body["database"], "ok");
    assert_eq!(app.get("/healthz").await.status, 200);
    assert_eq!(app.metric("airlift_broker_connected").await, 0.0);
    // What is asked for meanwhile is accepted, and done later.
    let task = app.trigger("g", "1.0.2").await.data();

    broker.start_again().unwrap();
    let mut gateway = Gateway::connect(&app, "g").await;
    ready(&app, true).await;
    assert_eq!(app.metric("airlift_broker_connected").await, 1.0);
    assert_eq!(gateway.command().await["msgId"], task["msgId"]);
    gateway.progress(&task["msgId"], "completed", 100).await;
    app.task_with("g", "completed").await;
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_is_unready_while_its_database_is_away_and_recovers() {
    let mut postgres = Postgres::start(Durability::Real).unwrap();
    let setup = Setup {
        database_url: Some(postgres.url()),
        ..Setup::default()
    };
    let app = setup.start().await;
    app.released("1.0.2").await;
    let task = app.trigger("g", "1.0.2").await.data();
    postgres.kill9().unwrap();
    let body = ready(&app, false).await;
    assert_ne!(body["database"], "ok");
    assert_eq!(app.get("/healthz").await.status, 200);
    // Each waits for a connection; together they wait once.
    let (metrics, tasks, upload) = tokio::join!(
        app.get("/metrics"),
        app.get("/api/ota/tasks"),
        app.upload("1.0.3", b"image"),
    );
    assert_eq!(metrics.status, 200);
    let message = tasks.refused(503, "unavailable");
    assert!(message.contains("database"), "{message}");
    assert_eq!(tasks.header("retry-after"), Some("5"));
    upload.refused(503, "unavailable");

    postgres.start_again().unwrap();
    ready(&app, true).await;
    assert_eq!(app.task("g").await["taskId"], task["taskId"]);
    app.upload("1.0.3", b"image").await.data();
    app.stop().await;
}

#[tokio::test]
async fn polls_are_told_when_the_line_to_the_database_is_dead_and_answered_when_it_lives_again() {
    let postgres = Postgres::start(Durability::Fast).unwrap();
    let proxy = FaultProxy::start(([127, 0, 0, 1], postgres.port()).into()).unwrap();
    let url = postgres.url();
    let port = |port: u16| format!(":{port}/");
    let setup = Setup {
        database_url: Some(url.replace(&port(postgres.port()), &port(proxy.addr().port()))),
        ..Setup::default()
    };
    let app = setup.start().await;
    app.released("1.0.2").await;
    let task = app.trigger("g", "1.0.2").await.data();
    proxy.stall(true);
    let began = Instant::now();
    // More than are answered at once, one batch after the other.
    let polls = (0..20).map(async |number| {
        sleep(Duration::from_millis(100 * number)).await;
        app.get("/api/ota/task/g").await
    });
    for answer in join_all(polls).await {
        answer.refused(503, "unavailable");
    }
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());

    proxy.stall(false);
    assert_eq!(app.task("g").await["taskId"], task["taskId"]);
    app.stop().await;
}

#[tokio::test]
async fn the_metrics_have_the_names_that_dashboards_ask_for() {
    let app = TestApp::start().await;
    app.released("1.0.2").await;
    let mut gateway = Gateway::connect(&app, "g").await;
    let task = app.trigger("g", "1.0.2").await.data();
    gateway.command().await;
    assert_eq!(app.metric("airlift_commands_waiting").await, 1.0);
    gateway.publish("report", false, "nonsense").await;
    gateway.progress(&task["msgId"], "failed", 0).await;
    app.task_with("g", "failed").await;
    let answer = app.get("/metrics").await;
    assert_eq!(answer.status, 200);
    let content_type = answer.header("content-type").unwrap();
    assert!(content_type.starts_with("application/openmetrics-text"));
    let text = answer.text();
    assert!(text.ends_with("# EOF\n"));
    for name in [
        "airlift_http_requests",
        "airlift_messages_stored",
        "airlift_messages_refused",
        "airlift_ingest_batch_messages",
        "airlift_commands_sent",
        "airlift_commands_waiting",
        "airlift_gateways",
        "airlift_gateways_online",
        "airlift_broker_connected",
        "airlift_upload_bytes",
        "airlift_download_bytes",
        "ota_success",
        "ota_rollback",
        "ota_failure",
    ] {
        assert!(text.contains(&format!("# HELP {name} ")), "{name}");
    }
    for series in ["ota_success_total 0", "ota_rollback_total 0"] {
        assert!(text.contains(series), "{series}");
    }
    let uploads = concat!(
        "airlift_http_requests_total{method=\"POST\",",
        "route=\"/api/ota/firmware/upload\",status=\"200\"}"
    );
    assert_eq!(app.metric(uploads).await, 1.0);
    assert_eq!(app.metric("airlift_upload_bytes_total").await, 11.0);
    app.get("/firmware/gateway_v1.0.2.bin").await;
    assert_eq!(app.metric("airlift_download_bytes_total").await, 11.0);
    assert_eq!(app.metric("airlift_commands_waiting").await, 0.0);
    app.stop().await;
}

#[tokio::test]
async fn addresses_that_do_not_exist_do_not_multiply_the_metrics() {
    let app = TestApp::start().await;
    let series = async || {
        let metrics = app.get("/metrics").await.text();
        let requests = "airlift_http_requests_total{";
        metrics
            .lines()
            .filter(|line| line.starts_with(requests))
            .count()
    };
    app.get("/no/such/address").await;
    app.get("/api/ota/gateways/g").await;
    app.get("/metrics").await;
    let before = series().await;
    assert!(before > 0);
    for n in 0..20 {
        app.get(&format!("/no/such/address/{n}")).await;
        app.get(&format!("/api/ota/gateways/g{n}")).await;
    }
    assert_eq!(series().await, before);
    app.stop().await;
}

#[tokio::test]
async fn the_api_page_needs_nothing_from_the_internet() {
    let app = TestApp::start().await;
    let page = app.get("/docs").await;
    assert_eq!(page.status, 200);
    assert!(page.text().contains("swagger-ui"));
    let mut assets = 0;
    let html = page.text();
    for attribute in ["src=\"", "href=\""] {
        for (at, _) in html.match_indices(attribute) {
            let rest = &html[at + attribute.len()..];
            let url = &rest[..rest.find('"').unwrap()];
            assert!(!url.contains("//"), "{url} is not ours");
            if url.starts_with("data:") {
                continue;
            }
            let asset = app
                .get(&format!("/docs/{}", url.trim_start_matches("./")))
                .await;
            assert_eq!(asset.status, 200, "{url}");
            assert!(!asset.body.is_empty(), "{url}");
            // The bundle is full of names of namespaces; what it loads is told by the others.
            if !url.contains("bundle") && !url.contains("preset") && url.ends_with("js") {
                let text = asset.text();
                assert!(!text.contains("http:") && !text.contains("https:"), "{url}");
            }
            if url.ends_with("css") {
                let text = asset.text();
                assert!(!text.contains("url(http") && !text.contains("@import"));
            }
            assets += 1;
        }
    }
    assert!(assets >= 4, "{assets} assets in {html}");
    let initializer = app.get("/docs/swagger-initializer.js").await.text();
    assert!(initializer.contains("/openapi.json"), "{initializer}");
    app.stop().await;
}
