//! A real Prometheus that asks a real server.

use std::{fs, sync::Arc, time::Duration};

use airlift_testkit::{Process, Scratch, free_port, program};
use serde_json::{Value, json};
use tokio::time::sleep;

use super::{dashboard::queries, named_in, older_text, read, repository, rules, series_names};
use crate::{
    app::{TestApp, eventually},
    gateway::Gateway,
};

/// Nothing gives these a series in this test; a metric without one is not shown.
const EMPTY: [&str; 1] = ["airlift_bundles_refused_total"];

struct Prometheus {
    _process: Process,
    url: String,
}

impl Prometheus {
    /// As `deploy/` sets it up, but for whom it asks and how often.
    fn start(app: &TestApp) -> Prometheus {
        let scratch = Arc::new(Scratch::new("prometheus").unwrap());
        let config = read("deploy/prometheus.yml");
        let (global_and_rules, _) = config.split_once("    dns_sd_configs:").unwrap();
        let mut config = global_and_rules
            .replace("scrape_interval: 15s", "scrape_interval: 1s")
            .replace("scrape_timeout: 10s", "scrape_timeout: 1s")
            .replace("evaluation_interval: 15s", "evaluation_interval: 1s")
            .replace(
                "prometheus-rules.yml",
                repository("deploy/prometheus-rules.yml").to_str().unwrap(),
            );
        fs::write(
            scratch.path().join("metrics-token"),
            "unused where nobody asks",
        )
        .unwrap();
        let address = app.http_addr;
        config.push_str(&format!(
            "    static_configs: [{{ targets: [\"{address}\"] }}]\n"
        ));
        assert_eq!(config.matches(": 1s").count(), 3, "{config}");
        let path = scratch.path().join("prometheus.yml");
        fs::write(&path, config).unwrap();
        let port = free_port().unwrap();
        let args = [
            format!("--config.file={}", path.display()),
            format!("--storage.tsdb.path={}/data", scratch.path().display()),
            format!("--web.listen-address=127.0.0.1:{port}"),
        ];
        let program = program("prometheus", "prometheus").unwrap();
        let process = Process::spawn_in(scratch, program, &args, &[], "prometheus").unwrap();
        Prometheus {
            _process: process,
            url: format!("http://127.0.0.1:{port}"),
        }
    }

    /// The data of an answer; `None` while it does not listen yet.
    async fn get(&self, path: &str) -> Option<Value> {
        let answer = reqwest::get(format!("{}{path}", self.url)).await.ok()?;
        let mut answer: Value = answer.json().await.ok()?;
        assert_eq!(answer["status"], "success", "{path}: {answer}");
        Some(answer["data"].take())
    }

    /// The series that a query finds.
    async fn query(&self, expression: &str) -> Option<Vec<Value>> {
        let query = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("query", &expression.replace("$__rate_interval", "1m"))
            .finish();
        let mut data = self.get(&format!("/api/v1/query?{query}")).await?;
        match data["result"].take() {
            Value::Array(series) => Some(series),
            other => panic!("{expression}: {other}"),
        }
    }
}

/// Something of everything that is counted.
pub async fn live(app: &TestApp) {
    app.released("1.0.2").await;
    let mut gateway = Gateway::connect(app, "g").await;
    gateway.heartbeat("1.0.1").await;
    let task = app.trigger("g", "1.0.2").await.data();
    gateway.progress(&task["msgId"], "downloading", 10).await;
    app.get("/firmware/gateway_v1.0.2.bin").await;
    gateway.progress(&task["msgId"], "completed", 100).await;
    app.task_with("g", "completed").await;
    // A heartbeat of the same second proves it as well.
    gateway.heartbeat("1.0.2").await;
    app.metric_reaches("ota_success_total", 1.0).await;
    app.released("1.0.3").await;
    let task = app.trigger("g", "1.0.3").await.data();
    gateway
        .report(json!({
            "msgType": "ota_progress", "msgId": task["msgId"],
            "data": { "state": "failed", "progress": 0, "errorCode": "UNTRUSTED_KEY" },
        }))
        .await;
    app.task_with("g", "failed").await;
    gateway.publish("report", false, "nonsense").await;
    // More of a kind than are sent.
    let alert = airlift::domain::Alert {
        refusal: airlift_bundle::Refusal::Unsigned,
        refused_by: airlift::domain::RefusedBy::Server,
        device_type: None,
        version: None,
        message: "no signature".into(),
    };
    for _ in 0..20 {
        app.service().alert_alone(&alert).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_prometheus_answers_each_query_of_the_dashboard_and_the_rules() {
    let app = TestApp::start().await;
    let prometheus = Prometheus::start(&app);
    eventually("the first scrape", async || {
        let up = prometheus.query("up{job=\"airlift\"} == 1").await?;
        (up.len() == 1).then_some(())
    })
    .await;
    live(&app).await;

    let mut known = series_names(&older_text(&app).await);
    known.extend(EMPTY.map(str::to_owned));
    for (of, expression) in queries().into_iter().chain(rules()) {
        let named = named_in(&expression);
        let unknown: Vec<_> = named.difference(&known).collect();
        assert!(unknown.is_empty(), "{of}: {unknown:?}");
        assert!(!named.is_empty() || expression.contains("up{"), "{of}");
        prometheus.query(&expression).await.unwrap();
    }
    for (title, expression) in queries() {
        if EMPTY.iter().any(|name| expression.contains(name)) {
            continue;
        }
        let what = format!("an answer to {title:?}: {expression}");
        eventually(&what, async || {
            let series = prometheus.query(&expression).await.unwrap();
            (!series.is_empty()).then_some(())
        })
        .await;
    }
    evaluated(&prometheus).await;
    app.stop().await;
}

/// Waits until each rule was evaluated without an error, and looks whether the refused bundles have set
/// off theirs.
async fn evaluated(prometheus: &Prometheus) {
    let rules = eventually("an evaluation of the rules", async || {
        let data = prometheus.get("/api/v1/rules").await.unwrap();
        let rules = data["groups"][0]["rules"].as_array().unwrap().clone();
        let done = |rule: &Value| rule["health"] != "unknown";
        rules.iter().all(done).then_some(rules)
    })
    .await;
    assert_eq!(rules.len(), super::rules().len());
    for rule in &rules {
        assert_eq!(rule["health"], "ok", "{rule}");
    }
    eventually("the alarm about refused bundles", async || {
        let data = prometheus.get("/api/v1/alerts").await.unwrap();
        let alerts = data["alerts"].as_array().unwrap().clone();
        let refused = |alert: &Value| {
            let labels = &alert["labels"];
            labels["alertname"] == "AirliftSignatureFailures" && labels["code"] == "UNTRUSTED_KEY"
        };
        alerts.iter().any(refused).then_some(())
    })
    .await;
    // No other rule fires but those that this test gives reason to.
    sleep(Duration::from_secs(2)).await;
    let data = prometheus.get("/api/v1/alerts").await.unwrap();
    let alerts = data["alerts"].as_array().unwrap();
    for alert in alerts.iter().filter(|alert| alert["state"] == "firing") {
        assert_eq!(
            alert["labels"]["alertname"], "AirliftSignatureFailures",
            "{alert}"
        );
    }
}
