//! Many gateways without connections: what they would say goes straight into the server's intake.

use airlift::{domain::Clock, service::InboundMessage};
use chrono::TimeDelta;
use serde_json::{Value, json};

use crate::app::{Answer, TestApp, eventually};

/// What a manual clock moves by between two looks at a rollout that is played.
const STEP: TimeDelta = TimeDelta::seconds(1);

/// How a gateway takes an upgrade.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fate {
    /// It completes, reboots and runs the version.
    Updates,
    /// It says that it failed.
    Fails,
    /// It completes and comes back with the old version.
    RollsBack,
    /// It completes and is never heard of again.
    Vanishes,
    /// It begins and does not end.
    Lingers,
    /// It never answers.
    Silent,
}

/// The ids `<prefix>000` to `<prefix><count - 1>`.
pub fn ids(prefix: &str, count: usize) -> Vec<String> {
    (0..count).map(|n| format!("{prefix}{n:03}")).collect()
}

pub async fn say(app: &TestApp, messages: Vec<(String, Value)>) {
    let messages: Vec<InboundMessage> = messages
        .into_iter()
        .map(|(gateway_id, message)| InboundMessage {
            topic: format!("hanqi/gateway/{gateway_id}/report"),
            payload: message.to_string().into(),
            late: false,
        })
        .collect();
    app.service().record_messages(&messages).await.unwrap();
}

pub fn heartbeat(version: &str) -> Value {
    json!({ "msgType": "heartbeat", "data": { "firmwareVersion": version } })
}

/// All of them say that they run `version`.
pub async fn run(app: &TestApp, ids: &[String], version: &str) {
    let all = ids.iter().map(|id| (id.clone(), heartbeat(version)));
    say(app, all.collect()).await;
}

fn report(task: &Value, state: &str, progress: i64, error: Option<&str>) -> (String, Value) {
    let report = json!({
        "msgType": "ota_progress",
        "msgId": task["msgId"],
        "data": { "state": state, "progress": progress, "errorCode": error },
    });
    (task["gatewayId"].as_str().unwrap().to_owned(), report)
}

/// Lets the gateway of a pending task meet its fate.
pub async fn meet(app: &TestApp, task: &Value, fate: Fate) {
    let gateway_id = task["gatewayId"].as_str().unwrap().to_owned();
    let back = |version: &Value| (gateway_id.clone(), heartbeat(version.as_str().unwrap()));
    let completed = report(task, "completed", 100, None);
    let messages = match fate {
        Fate::Silent => vec![],
        Fate::Lingers => vec![report(task, "downloading", 10, None)],
        Fate::Fails => vec![report(task, "failed", 10, Some("DIGEST_MISMATCH"))],
        Fate::Vanishes => vec![completed],
        Fate::Updates => vec![completed, back(&task["toVersion"])],
        Fate::RollsBack => vec![completed, back(&task["fromVersion"])],
    };
    if !messages.is_empty() {
        say(app, messages).await;
    }
}

pub async fn rollout(app: &TestApp, id: &str) -> Value {
    app.get(&format!("/api/ota/rollouts/{id}")).await.data()
}

/// Makes a rollout; its id.
pub async fn create(app: &TestApp, request: Value) -> String {
    let made = app.post_json("/api/ota/rollouts", request).await.data();
    made["rolloutId"].as_str().unwrap().to_owned()
}

/// Pauses, resumes, cancels or retries a rollout.
pub async fn act(app: &TestApp, id: &str, action: &str) -> Answer {
    app.post(&format!("/api/ota/rollouts/{id}/{action}")).await
}

/// The rollout's tasks with `status`.
pub async fn tasks(app: &TestApp, id: &str, status: &str) -> Vec<Value> {
    let path = format!("/api/ota/rollouts/{id}/tasks?limit=500&status={status}");
    let page = app.get(&path).await.data();
    assert_eq!(page["nextCursor"], Value::Null, "more tasks than one page");
    page["items"].as_array().unwrap().clone()
}

/// The ids of the rollout's gateways that `query` (such as `wave=1`) selects.
pub async fn members(app: &TestApp, id: &str, query: &str) -> Vec<String> {
    let path = format!("/api/ota/rollouts/{id}/gateways?limit=500&{query}");
    let page = app.get(&path).await.data();
    let items = page["items"].as_array().unwrap();
    let id = |item: &Value| item["gatewayId"].as_str().unwrap().to_owned();
    items.iter().map(id).collect()
}

/// Lets gateways meet their fates until the rollout `until`; how it then is.
pub async fn play(
    app: &TestApp,
    id: &str,
    fate: impl Fn(&str) -> Fate,
    until: impl Fn(&Value) -> bool,
) -> Value {
    eventually("the rollout to come so far", async || {
        if let Clock::Manual(_) = app.clock {
            app.clock.advance(STEP);
        }
        for task in tasks(app, id, "pending").await {
            meet(app, &task, fate(task["gatewayId"].as_str().unwrap())).await;
        }
        let rollout = rollout(app, id).await;
        until(&rollout).then_some(rollout)
    })
    .await
}

pub fn is(state: &'static str) -> impl Fn(&Value) -> bool {
    move |rollout| rollout["state"] == state
}
