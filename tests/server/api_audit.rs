//! Who did what: every change has its line, and so has every change that was refused.

use std::collections::{BTreeMap, BTreeSet};

use airlift::domain::{ATTEMPTS_MAX, REFUSALS_PER_MINUTE_OF_A_CALLER_MAX};
use chrono::TimeDelta;
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    api_audit_credentials::CREDENTIALS,
    app::{Setup, TestApp, eventually},
    device::{Device, update},
    grants::{self, Ask},
    packages::{pushed, sha256},
    receiver::{Answers, Receiver},
};

pub const AUDIT: &str = "/api/ota/audit";

/// Routes that change something, and what the audit log calls it.
const AUDITED: [(&str, &str, &str); 24] = [
    ("POST", "/api/ota/firmware/upload", "firmware.upload"),
    ("DELETE", "/api/ota/firmware/{version}", "firmware.delete"),
    (
        "POST",
        "/api/ota/firmware/{version}/release",
        "firmware.release",
    ),
    (
        "POST",
        "/api/ota/firmware/{version}/status",
        "firmware.status",
    ),
    ("POST", "/api/ota/upgrade/{gateway_id}", "upgrade.trigger"),
    ("POST", "/api/ota/task/{id}/cancel", "task.cancel"),
    ("POST", "/api/ota/task/{id}/retry", "task.retry"),
    ("POST", "/api/ota/gateways/tags", "gateway.import"),
    ("PATCH", "/api/ota/gateways/{gateway_id}", "gateway.edit"),
    ("POST", "/api/ota/gateways/{gateway_id}/task", "task.begin"),
    ("POST", "/api/ota/rollouts", "rollout.create"),
    ("POST", "/api/ota/rollouts/{id}/pause", "rollout.pause"),
    ("POST", "/api/ota/rollouts/{id}/resume", "rollout.resume"),
    ("POST", "/api/ota/rollouts/{id}/cancel", "rollout.cancel"),
    ("POST", "/api/ota/rollouts/{id}/retry", "rollout.retry"),
    ("POST", "/api/ota/webhooks", "webhook.create"),
    ("DELETE", "/api/ota/webhooks/{webhook_id}", "webhook.delete"),
    (
        "POST",
        "/api/ota/webhooks/{webhook_id}/ping",
        "webhook.ping",
    ),
    (
        "POST",
        "/api/ota/webhooks/{webhook_id}/deliveries/{delivery_id}/retry",
        "webhook.retry_delivery",
    ),
    ("PUT", "/update", "package.push"),
    (
        "POST",
        "/api/ota/packages/{name}/rollback",
        "package.rollback",
    ),
    (
        "POST",
        "/api/ota/packages/{name}/{version}/release",
        "package.release",
    ),
    (
        "DELETE",
        "/api/ota/packages/{name}/{version}",
        "package.delete",
    ),
    // A release is a change of the status, too, however it is asked for.
    (
        "POST",
        "/api/ota/firmware/{version}/status",
        "firmware.release",
    ),
];

/// Routes with a method other than GET that are not audited, and why.
const NOT_AUDITED: [(&str, &str, &str); 2] = [
    (
        "POST",
        "/api/ota/gateways/{gateway_id}/report",
        "what gateways report stands in tasks and events",
    ),
    ("POST", "/api/ota/rollouts/dry-run", "it changes nothing"),
];

#[test]
fn every_route_that_changes_something_is_audited_or_says_why_not() {
    let listed: BTreeSet<(String, String)> = AUDITED
        .iter()
        .chain(&CREDENTIALS)
        .chain(&NOT_AUDITED)
        .map(|(method, path, _)| ((*method).to_owned(), (*path).to_owned()))
        .collect();
    let routed: BTreeSet<(String, String)> = airlift::http::rules()
        .into_iter()
        .filter(|rule| rule.method != "GET")
        .map(|rule| (rule.method.to_string(), rule.path.to_owned()))
        .collect();
    let missing: Vec<_> = routed.difference(&listed).collect();
    assert!(
        missing.is_empty(),
        "in neither list of this file, audited and not audited: {missing:?}"
    );
    let gone: Vec<_> = listed.difference(&routed).collect();
    assert!(gone.is_empty(), "no such route: {gone:?}");
    for (method, path, why) in NOT_AUDITED {
        let audited = AUDITED.iter().any(|it| (it.0, it.1) == (method, path));
        assert!(!audited && !why.is_empty(), "{method} {path}");
    }
}

async fn lines(app: &TestApp, query: &str) -> Vec<Value> {
    let page = app.get(&format!("{AUDIT}?limit=500&{query}")).await.data();
    assert_eq!(page["nextCursor"], Value::Null);
    page["items"].as_array().unwrap().clone()
}

pub fn id<'v>(value: &'v Value, field: &str) -> &'v str {
    value[field]
        .as_str()
        .unwrap_or_else(|| panic!("{field}: {value}"))
}

/// How often each action is in the log.
async fn actions(app: &TestApp) -> BTreeMap<String, usize> {
    let mut actions = BTreeMap::new();
    for line in lines(app, "").await {
        *actions.entry(id(&line, "action").to_owned()).or_default() += 1;
    }
    actions
}

async fn change_webhooks(app: &TestApp) {
    let receiver = Receiver::start().await;
    let url = receiver.url().replace("http://", "http://user:hunter2@") + "?key=hunter2";
    let new = json!({ "url": url, "kinds": ["firmware"], "secret": "hunter2 hunter2 hunter2" });
    let webhook = app.post_json("/api/ota/webhooks", new).await.data();
    let path = format!("/api/ota/webhooks/{}", id(&webhook, "webhookId"));
    app.post(&format!("{path}/ping")).await.data();
    receiver.answer(Answers::With(500, Vec::new()));
    app.upload("0.0.1", b"nobody hears").await.data();
    let failed = "airlift_webhook_deliveries_total{outcome=\"failed\"}";
    for attempt in 1..ATTEMPTS_MAX {
        app.metric_reaches(failed, f64::from(attempt)).await;
        app.clock.advance(TimeDelta::hours(2));
    }
    let dead = eventually("a dead delivery", async || {
        let dead = app.get(&format!("{path}/deliveries?status=dead")).await;
        dead.data()["items"].get(0).cloned()
    })
    .await;
    let retry = format!("{path}/deliveries/{}/retry", id(&dead, "deliveryId"));
    app.post(&retry).await.data();
    app.delete(&path).await.data();
}

async fn change_firmwares(app: &TestApp) {
    app.upload("1.0.1", b"image").await.data();
    app.delete("/api/ota/firmware/1.0.1").await.data();
    app.upload("1.0.2", b"image").await.data();
    let testing = json!({ "status": "testing" });
    let path = "/api/ota/firmware/1.0.2/status";
    app.post_json(path, testing).await.data();
    app.release("1.0.2").await.data();
    app.release("1.0.2").await.refused(409, "firmware_status");
}

async fn change_tasks(app: &TestApp) {
    let task = app.trigger("g", "1.0.2").await.data();
    assert_eq!(app.trigger("g", "1.0.2").await.data(), task);
    let path = format!("/api/ota/task/{}", id(&task, "taskId"));
    app.post(&format!("{path}/cancel")).await.data();
    app.post(&format!("{path}/cancel"))
        .await
        .refused(409, "task_ended");
    app.post(&format!("{path}/retry")).await.data();
    let list = "gatewayId,site\nr1,lab\n";
    let tags = "/api/ota/gateways/tags";
    for _ in 0..2 {
        app.post_as(tags, Some("text/csv"), list).await.data();
    }
    let edit = json!({ "tags": { "rack": "7" } });
    for _ in 0..2 {
        app.patch_json("/api/ota/gateways/r1", edit.clone())
            .await
            .data();
    }
}

async fn change_rollouts(app: &TestApp) {
    let new = json!({
        "version": "1.0.2", "target": { "gatewayIds": ["r1"] }, "jitterSeconds": 0,
        "haltAtFailurePercent": 0,
    });
    let rollout = app.post_json("/api/ota/rollouts", new).await.data();
    let path = format!("/api/ota/rollouts/{}", id(&rollout, "rolloutId"));
    app.post(&format!("{path}/pause")).await.data();
    app.post(&format!("{path}/resume")).await.data();
    let task = eventually("a task", async || {
        let tasks = app.get("/api/ota/tasks?gatewayId=r1&status=pending").await;
        tasks.data()["items"].get(0).cloned()
    })
    .await;
    Device::new(app, "r1")
        .fails(&task["msgId"], "SCRIPT_FAILED")
        .await;
    eventually("the rollout to halt", async || {
        app.clock.advance(TimeDelta::seconds(1));
        (app.get(&path).await.data()["state"] == "halted").then_some(())
    })
    .await;
    app.post(&format!("{path}/retry")).await.data();
    app.post(&format!("{path}/cancel")).await.data();
}

async fn change_packages(app: &TestApp) {
    for version in ["1.0.0", "1.1.0", "1.1.0", "1.2.0"] {
        pushed(app, version).await;
    }
    app.post("/api/ota/packages/app/rollback?branch=main")
        .await
        .data();
    app.delete("/api/ota/packages/app/1.0.0?branch=main")
        .await
        .data();
    let release = "/api/ota/packages/app/1.1.0/release?branch=main";
    for _ in 0..2 {
        app.post(release).await.data();
    }
    let device = Device::new(app, "edge-1");
    for _ in 0..2 {
        device.begin(update("1.0.0", "1.1.0")).await.data();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_change_has_its_line_and_what_changes_nothing_has_none() {
    for postgres in [false, true] {
        let setup = Setup {
            postgres,
            ..Setup::manual_clock()
        };
        let app = setup.start().await;
        change_webhooks(&app).await;
        change_firmwares(&app).await;
        change_tasks(&app).await;
        change_rollouts(&app).await;
        change_packages(&app).await;
        let counted = actions(&app).await;
        let audited: BTreeSet<&str> = AUDITED.iter().map(|it| it.2).collect();
        assert_eq!(
            counted.keys().map(String::as_str).collect::<BTreeSet<_>>(),
            audited
        );
        for (action, count) in &counted {
            let expected = match action.as_str() {
                "firmware.upload" | "package.push" => 3,
                _ => 1,
            };
            assert_eq!(*count, expected, "{action}");
        }
        let release = lines(&app, "action=firmware.release").await.remove(0);
        assert_eq!(release["subject"], "gateway/1.0.2");
        assert_eq!(release["actorKind"], "anyone");
        assert_eq!(
            release["detail"],
            json!({ "from": "testing", "to": "released" })
        );
        let all = format!("{:?}", lines(&app, "").await);
        assert!(!all.contains("hunter2"), "{all}");
        app.stop().await;
    }
}

#[tokio::test]
async fn a_change_that_is_undone_leaves_no_line() {
    let app = TestApp::start().await;
    app.upload("1.0.2", b"image").await.data();
    app.upload("1.0.2", b"another")
        .await
        .refused(409, "firmware_exists");
    app.post("/api/ota/firmware/9.9.9/release").await;
    assert_eq!(lines(&app, "").await.len(), 1);
    app.stop().await;
}

#[tokio::test]
async fn the_log_names_who_came_and_is_for_administrators() {
    let app = TestApp::start().await;
    let publisher = grants::token(&app, "publisher").await;
    let admin = grants::token(&app, "admin").await;
    let file = crate::app::file_part(b"image");
    let upload = Ask {
        token: Some(&publisher),
        form: Some(
            reqwest::multipart::Form::new()
                .text("version", "1.0.2")
                .part("file", file),
        ),
        ..Ask::default()
    };
    let path = crate::app::UPLOAD;
    upload.send(&app, Method::POST, path).await.data();
    for (token, refusal) in [
        (None, Some((401, "unauthenticated"))),
        (Some("alt_made-up"), Some((401, "invalid_token"))),
        (Some(publisher.as_str()), Some((403, "forbidden"))),
        (Some(admin.as_str()), None),
    ] {
        for path in [AUDIT.to_owned(), format!("{AUDIT}.csv")] {
            let answer = grants::get(&app, &path, token).await;
            match refusal {
                Some((status, code)) => drop(answer.refused(status, code)),
                None => assert_eq!(answer.status, 200),
            }
        }
    }
    let page = grants::get(&app, AUDIT, Some(&admin)).await.data();
    let line = &page["items"][0];
    assert_eq!(line["actorKind"], "token");
    assert_eq!(line["actorName"], "the publisher");
    assert_eq!(line["action"], "firmware.upload");
    assert_eq!(
        line["detail"],
        json!({ "sha256": sha256(b"image"), "fileSize": 5 })
    );
    assert!(!page.to_string().contains(&publisher));
    app.stop().await;
}

#[tokio::test]
async fn pages_follow_each_other_and_the_export_has_them_all() {
    let app = TestApp::start().await;
    for n in 0..5 {
        app.upload(&format!("1.0.{n}"), b"image").await.data();
    }
    let mut subjects = Vec::new();
    let mut path = format!("{AUDIT}?limit=2");
    loop {
        let page = app.get(&path).await.data();
        for line in page["items"].as_array().unwrap() {
            subjects.push(id(line, "subject").to_owned());
        }
        match page["nextCursor"].as_str() {
            Some(cursor) => path = format!("{AUDIT}?limit=2&cursor={cursor}"),
            None => break,
        }
    }
    let expected: Vec<String> = (0..5).rev().map(|n| format!("gateway/1.0.{n}")).collect();
    assert_eq!(subjects, expected);
    let rows = app.get(&format!("{AUDIT}.csv")).await.csv();
    let place = rows[0].iter().position(|name| name == "subject").unwrap();
    let exported: Vec<&String> = rows[1..].iter().map(|row| &row[place]).collect();
    assert_eq!(exported, expected.iter().collect::<Vec<_>>());
    let one = format!("{AUDIT}.csv?subject=gateway/1.0.3&action=firmware.upload&actor=anyone");
    assert_eq!(app.get(&one).await.csv().len(), 2);
    for (query, code) in [
        ("limit=0", "invalid_limit"),
        ("cursor=x", "invalid_cursor"),
        ("since=yesterday", "invalid_query"),
    ] {
        let answer = app.get(&format!("{AUDIT}?{query}")).await;
        answer.refused(400, code);
    }
    app.stop().await;
}

#[tokio::test]
async fn refused_changes_are_in_the_log_and_a_flood_of_them_is_counted() {
    let app = Setup::manual_clock().start().await;
    let viewer = grants::token(&app, "viewer").await;
    let admin = grants::token(&app, "admin").await;
    let most = REFUSALS_PER_MINUTE_OF_A_CALLER_MAX;
    let path = "/api/ota/upgrade/g?secret=x";
    for _ in 0..most + 5 {
        let refused = grants::post(&app, path, Some(&viewer), json!({})).await;
        refused.refused(403, "forbidden");
    }
    grants::post(&app, path, None, json!({}))
        .await
        .refused(401, "unauthenticated");
    // Reading is no change.
    grants::get(&app, "/api/ota/tasks", None)
        .await
        .refused(401, "unauthenticated");
    app.clock.advance(TimeDelta::minutes(1));
    grants::post(&app, path, Some(&viewer), json!({}))
        .await
        .refused(403, "forbidden");
    let page = grants::get(&app, &format!("{AUDIT}?limit=500"), Some(&admin)).await;
    let page = page.data();
    let items = page["items"].as_array().unwrap();
    assert_eq!(items.len(), most as usize + 2);
    assert_eq!(items[0]["action"], "access.refused");
    assert_eq!(items[0]["actorName"], "the viewer");
    assert_eq!(items[0]["subject"], "POST /api/ota/upgrade/g");
    assert_eq!(
        items[0]["detail"],
        json!({ "code": "forbidden", "leftOut": 5 })
    );
    assert_eq!(items[1]["actorKind"], "nobody");
    assert_eq!(items[1]["detail"], json!({ "code": "unauthenticated" }));
    let metrics = grants::get(&app, "/metrics", Some(&viewer)).await.text();
    for series in [
        "airlift_refusals_not_audited_total 5",
        "airlift_access_refused_total{reason=\"forbidden\"} 16",
        "airlift_access_refused_total{reason=\"unauthenticated\"} 2",
    ] {
        assert!(metrics.contains(series), "{series}\n{metrics}");
    }
    app.stop().await;
}

#[tokio::test]
async fn old_history_goes_and_the_audit_log_stays() {
    let app = Setup::manual_clock().start().await;
    app.released("1.0.2").await;
    let task = app.trigger("g", "1.0.2").await.data();
    let cancel = format!("/api/ota/task/{}/cancel", id(&task, "taskId"));
    app.post(&cancel).await.data();
    let before = lines(&app, "").await;
    assert_eq!(before.len(), 4);
    app.clock.advance(TimeDelta::days(3650));
    assert!(app.service().delete_history().await.unwrap() > 0);
    assert_eq!(lines(&app, "").await, before);
    app.stop().await;
}
