//! Which version may follow which, and what proves that it runs.

use airlift::domain::{EventKind, Task};
use airlift_testkit::{Mosquitto, MosquittoOptions, TestDatabase};
use chrono::TimeDelta;
use reqwest::multipart::Form;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    app::{Setup, TestApp, UPLOAD, eventually, file_part},
    gateway::Gateway,
};

/// Uploads and releases a firmware that may be installed from `min_version` on.
async fn released(app: &TestApp, version: &str, min_version: Option<&str>) {
    let file = format!("image {version}");
    let mut form = Form::new().text("version", version.to_owned());
    if let Some(min_version) = min_version {
        form = form.text("minVersion", min_version.to_owned());
    }
    let form = form.part("file", file_part(file.as_bytes()));
    app.post_form(UPLOAD, form).await.data();
    app.release(version).await.data();
}

/// A connected gateway that the server knows to run `version`.
async fn running(app: &TestApp, id: &str, version: &str) -> Gateway {
    let mut gateway = Gateway::connect(app, id).await;
    gateway.heartbeat(version).await;
    eventually("the heartbeat", async || {
        let known = app.get(&format!("/api/ota/gateways/{id}")).await;
        (known.status == 200 && known.data()["currentVersion"] == version).then_some(())
    })
    .await;
    gateway
}

async fn stored(app: &TestApp, task: &Value) -> Task {
    let id: Uuid = task["taskId"].as_str().unwrap().parse().unwrap();
    app.service().task(id).await.unwrap()
}

/// Takes the next command for `version`, reports it done and comes back with it.
async fn install(gateway: &mut Gateway, version: &str) -> Value {
    let command = eventually("the command", async || {
        let command = gateway.command().await;
        (command["data"]["version"] == version).then_some(command)
    })
    .await;
    gateway.progress(&command["msgId"], "downloading", 50).await;
    gateway.progress(&command["msgId"], "completed", 100).await;
    gateway.heartbeat(version).await;
    command
}

#[tokio::test]
async fn a_gateway_goes_from_1_0_over_1_4_to_2_0_by_itself() {
    for postgres in [false, true] {
        let setup = Setup {
            postgres,
            ..Setup::default()
        };
        let app = setup.start().await;
        released(&app, "1.3.0", None).await;
        released(&app, "1.4.0", Some("1.0.0")).await;
        released(&app, "2.0.0", Some("1.4.0")).await;
        let mut gateway = running(&app, "g", "1.0.0").await;
        let forced = json!({ "version": "2.0.0", "forceUpgrade": true });
        let first = app.post_json("/api/ota/upgrade/g", forced).await.data();
        assert_eq!(first["toVersion"], "1.4.0");
        assert_eq!(stored(&app, &first).await.path, ["1.4.0", "2.0.0"]);

        // The same final version is the same upgrade, and another is on its way meanwhile.
        let again = app.trigger("g", "2.0.0").await.data();
        assert_eq!(again["taskId"], first["taskId"]);
        let other = app.trigger("g", "1.4.0").await;
        let message = other.refused(409, "upgrade_in_progress");
        assert!(message.contains("on its way to 2.0.0"), "{message}");

        install(&mut gateway, "1.4.0").await;
        install(&mut gateway, "2.0.0").await;
        app.metric_reaches("ota_success_total", 2.0).await;
        let tasks = app.get("/api/ota/tasks?gatewayId=g").await.data();
        let tasks = tasks["items"].as_array().unwrap();
        let steps: Vec<_> = tasks
            .iter()
            .map(|task| (&task["fromVersion"], &task["toVersion"], &task["status"]))
            .collect();
        let (from, between, to) = (json!("1.0.0"), json!("1.4.0"), json!("2.0.0"));
        let completed = json!("completed");
        assert_eq!(
            steps,
            [(&between, &to, &completed), (&from, &between, &completed)]
        );
        let second = stored(&app, &tasks[0]).await;
        assert!(second.confirmed_at.is_some());
        assert!(second.force_upgrade, "as the first step was");
        assert_eq!(second.path, [""; 0], "it is the last");
        app.stop().await;
    }
}

#[tokio::test]
async fn a_step_that_is_completed_but_not_proven_is_still_the_same_upgrade() {
    let app = Setup::manual_clock().start().await;
    released(&app, "1.4.0", None).await;
    released(&app, "2.0.0", Some("1.4.0")).await;
    let mut gateway = running(&app, "g", "1.0.0").await;
    let first = app.trigger("g", "2.0.0").await.data();
    gateway.progress(&first["msgId"], "completed", 100).await;
    app.task_with("g", "completed").await;
    let again = app.trigger("g", "2.0.0").await.data();
    assert_eq!(again["taskId"], first["taskId"]);

    // It fails, and a retry leads to the final version again.
    app.clock.advance(TimeDelta::hours(1));
    app.task_with("g", "failed").await;
    let path = format!("/api/ota/task/{}/retry", first["taskId"].as_str().unwrap());
    let retried = app.post(&path).await.data();
    assert_ne!(retried["taskId"], first["taskId"]);
    assert_eq!(stored(&app, &retried).await.path, ["1.4.0", "2.0.0"]);
    app.stop().await;
}

#[tokio::test]
async fn a_way_that_was_withdrawn_ends_at_the_step_that_is_proven() {
    let app = TestApp::start().await;
    released(&app, "1.4.0", None).await;
    released(&app, "2.0.0", Some("1.4.0")).await;
    let mut gateway = running(&app, "g", "1.0.0").await;
    app.trigger("g", "2.0.0").await.data();
    let status = json!({ "status": "deprecated" });
    app.post_json("/api/ota/firmware/2.0.0/status", status)
        .await
        .data();
    install(&mut gateway, "1.4.0").await;
    app.metric_reaches("ota_success_total", 1.0).await;
    let task = app.task("g").await;
    assert_eq!(task["toVersion"], "1.4.0");
    assert!(task["confirmedAt"].is_string());
    app.stop().await;
}

#[tokio::test]
async fn what_may_not_be_installed_is_refused_by_its_reason() {
    let app = TestApp::start().await;
    released(&app, "1.0.0", None).await;
    released(&app, "2.0.0", Some("1.4.0")).await;
    running(&app, "old", "1.0.0").await;
    running(&app, "new", "2.1.0").await;
    running(&app, "odd", "main-4f2a").await;

    let message = app
        .trigger("old", "2.0.0")
        .await
        .refused(409, "no_upgrade_path");
    assert!(message.contains("1.4.0"), "{message}");
    for gateway in ["odd", "never-heard-of"] {
        let answer = app.trigger(gateway, "2.0.0").await;
        answer.refused(409, "version_unknown");
    }
    let path = "/api/ota/upgrade/new";
    app.trigger("new", "2.0.0").await.refused(409, "downgrade");
    app.post(path).await.refused(409, "downgrade");
    let forced = |version: &str| json!({ "version": version, "forceUpgrade": true });
    let task = app.post_json(path, forced("2.0.0")).await.data();
    assert_eq!(task["toVersion"], "2.0.0");
    let missing = app.post_json("/api/ota/upgrade/old", forced("2.0.0")).await;
    missing.refused(409, "no_upgrade_path");
    // The version it runs may be installed anew.
    let same = app.trigger("old", "1.0.0").await.data();
    assert_eq!(same["toVersion"], "1.0.0");
    app.stop().await;
}

#[tokio::test]
async fn completed_without_a_heartbeat_fails_as_unconfirmed() {
    let app = Setup::manual_clock().start().await;
    app.released("1.0.2").await;
    let mut gateway = running(&app, "g", "1.0.1").await;
    let mut proven = running(&app, "proven", "1.0.1").await;
    let task = app.trigger("g", "1.0.2").await.data();
    gateway.progress(&task["msgId"], "completed", 100).await;
    app.task_with("g", "completed").await;
    app.clock.advance(TimeDelta::seconds(1));
    let other = app.trigger("proven", "1.0.2").await.data();
    proven.progress(&other["msgId"], "completed", 100).await;
    app.task_with("proven", "completed").await;

    app.clock.advance(TimeDelta::seconds(3599));
    let failed = app.task_at("g", "failed", 100).await;
    assert_eq!(failed["errorCode"], "UNCONFIRMED");
    let message = failed["errorMessage"].as_str().unwrap();
    assert!(
        message.contains("heartbeat with version 1.0.2"),
        "{message}"
    );
    app.metric_reaches(r#"ota_failure_total{reason="UNCONFIRMED"}"#, 1.0)
        .await;
    // It has ended; and the other one had a second more.
    proven.heartbeat("1.0.2").await;
    gateway.heartbeat("1.0.2").await;
    app.metric_reaches("ota_success_total", 1.0).await;
    app.metric_reaches(r#"airlift_messages_stored_total{kind="heartbeat"}"#, 4.0)
        .await;
    assert_eq!(app.task("g").await, failed);
    app.clock.advance(TimeDelta::hours(2));
    app.get("/readyz").await;
    assert!(app.task("proven").await["confirmedAt"].is_string());
    app.stop().await;
}

#[tokio::test]
async fn a_heartbeat_proves_the_task_before_the_one_that_waits() {
    let app = TestApp::start().await;
    app.released("1.0.2").await;
    app.released("1.0.3").await;
    let mut gateway = running(&app, "g", "1.0.1").await;
    let old = app.trigger("g", "1.0.2").await.data();
    gateway.progress(&old["msgId"], "completed", 100).await;
    app.task_with("g", "completed").await;
    let new = app.trigger("g", "1.0.3").await.data();
    gateway.heartbeat("1.0.2").await;
    app.metric_reaches("ota_success_total", 1.0).await;
    assert!(stored(&app, &old).await.confirmed_at.is_some());
    assert_eq!(app.task("g").await["taskId"], new["taskId"]);
    assert_eq!(app.task("g").await["status"], "pending");
    app.stop().await;
}

/// Two servers on one PostgreSQL and one broker; the one that took the report in dies.
#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_is_kept_by_whichever_server_lives() {
    let database = TestDatabase::create().unwrap();
    let broker = Mosquitto::start(&MosquittoOptions::default()).unwrap();
    let clock = Setup::manual_clock().clock;
    let setup = || Setup {
        clock: clock.clone(),
        database_url: Some(database.url().to_owned()),
        mqtt_url: Some(broker.url()),
        ..Setup::default()
    };
    let mut first = setup().start().await;
    first.released("1.0.2").await;
    let mut gateway = running(&first, "g", "1.0.1").await;
    let task = first.trigger("g", "1.0.2").await.data();
    gateway.progress(&task["msgId"], "completed", 100).await;
    first.task_with("g", "completed").await;
    let second = setup().start().await;
    first.end().await;
    clock.advance(TimeDelta::hours(1));
    let failed = second.task_with("g", "failed").await;
    assert_eq!(failed["errorCode"], "UNCONFIRMED");
    assert_eq!(
        second
            .metric(r#"ota_failure_total{reason="UNCONFIRMED"}"#)
            .await,
        1.0
    );

    // So it is by one that was down all the time.
    let task = second.trigger("g", "1.0.2").await.data();
    gateway.progress(&task["msgId"], "completed", 100).await;
    second.task_with("g", "completed").await;
    let mut second = second;
    second.end().await;
    clock.advance(TimeDelta::hours(1));
    first.run().await;
    first.ready().await;
    let failed = first.task_with("g", "failed").await;
    assert_eq!(failed["errorCode"], "UNCONFIRMED");
    first.stop().await;
}

#[tokio::test]
async fn each_step_of_a_task_is_told_once_and_in_order() {
    let app = TestApp::start().await;
    released(&app, "1.0.2", None).await;
    let mut gateway = running(&app, "g", "1.0.1").await;
    let cancelled = app.trigger("g", "1.0.2").await.data();
    let path = format!("/api/ota/task/{}", cancelled["taskId"].as_str().unwrap());
    app.post(&format!("{path}/cancel")).await.data();
    let task = app.post(&format!("{path}/retry")).await.data();
    for (state, progress) in [
        ("downloading", 10),
        ("downloading", 20),
        ("downloading", 20),
        ("verifying", 95),
        ("completed", 100),
    ] {
        gateway.progress(&task["msgId"], state, progress).await;
        app.task_at("g", state, progress).await;
    }
    gateway.heartbeat("1.0.2").await;
    app.metric_reaches("ota_success_total", 1.0).await;
    let told = async |task: &Value| -> Vec<(EventKind, String, i64, bool)> {
        let mut tx = app.db().await.read().await.unwrap();
        let id: Uuid = task["taskId"].as_str().unwrap().parse().unwrap();
        let events = tx.task_events(id).await.unwrap();
        events
            .into_iter()
            .map(|stored| {
                let data = stored.event.data;
                (
                    stored.event.kind,
                    data["status"].as_str().unwrap().to_owned(),
                    data["progress"].as_i64().unwrap(),
                    data["confirmedAt"].is_string(),
                )
            })
            .collect()
    };
    use EventKind::{Task, TaskProgress};
    let row =
        |kind, status: &str, progress, confirmed| (kind, status.to_owned(), progress, confirmed);
    assert_eq!(
        told(&task).await,
        [
            row(Task, "pending", 0, false),
            row(Task, "downloading", 10, false),
            row(TaskProgress, "downloading", 20, false),
            row(Task, "verifying", 95, false),
            row(Task, "completed", 100, false),
            row(Task, "completed", 100, true),
        ]
    );
    assert_eq!(
        told(&cancelled).await,
        [
            row(Task, "pending", 0, false),
            row(Task, "cancelled", 0, false),
        ]
    );
    app.stop().await;
}
