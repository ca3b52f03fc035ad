//! Triggering upgrades, and what becomes of them.

use airlift_testkit::{Mosquitto, MosquittoOptions};
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

use crate::{
    app::{Setup, TestApp, eventually},
    crowd::{self, Fate},
    gateway::Gateway,
};

#[tokio::test]
async fn a_second_trigger_for_the_same_version_returns_the_same_task() {
    let app = TestApp::start().await;
    app.released("1.0.2").await;
    let task = app.trigger("g", "1.0.2").await.data();
    assert_eq!(app.trigger("g", "1.0.2").await.data(), task);
    let forced = json!({ "version": "1.0.2", "forceUpgrade": true });
    let again = app.post_json("/api/ota/upgrade/g", forced).await.data();
    assert_eq!(again["taskId"], task["taskId"]);
    let all = app.get("/api/ota/tasks?gatewayId=g").await.data();
    assert_eq!(all["items"], json!([task]));
    app.stop().await;
}

#[tokio::test]
async fn twenty_triggers_at_once_make_one_task() {
    for postgres in [false, true] {
        let setup = Setup {
            postgres,
            ..Setup::default()
        };
        let app = setup.start().await;
        app.released("1.0.2").await;
        let triggers = (0..20).map(|_| app.trigger("g", "1.0.2"));
        let tasks: Vec<Value> = futures_util::future::join_all(triggers)
            .await
            .iter()
            .map(|answer| answer.data()["taskId"].clone())
            .collect();
        assert!(tasks.iter().all(|id| *id == tasks[0]), "{tasks:?}");
        app.stop().await;
    }
}

#[tokio::test]
async fn another_version_is_a_conflict_unless_forced_which_tells_the_gateway() {
    let app = TestApp::start().await;
    app.released("1.0.2").await;
    app.released("1.0.3").await;
    let mut gateway = Gateway::connect(&app, "g").await;
    let old = app.trigger("g", "1.0.2").await.data();
    assert_eq!(gateway.command().await["msgId"], old["msgId"]);

    let refusal = app.trigger("g", "1.0.3").await;
    let message = refusal.refused(409, "upgrade_in_progress");
    for word in ["1.0.2", "forceUpgrade", old["taskId"].as_str().unwrap()] {
        assert!(message.contains(word), "{message}");
    }

    let forced = json!({ "version": "1.0.3", "forceUpgrade": true });
    let new = app.post_json("/api/ota/upgrade/g", forced).await.data();
    assert_eq!(new["toVersion"], "1.0.3");
    assert_eq!(new["forceUpgrade"], true);
    assert_eq!(app.task("g").await["taskId"], new["taskId"]);
    let mut commands = [gateway.command().await, gateway.command().await];
    commands.sort_by_key(|command| command["msgType"].to_string());
    assert_eq!(commands[0]["msgType"], "ota_cancel");
    assert_eq!(commands[0]["data"]["msgId"], old["msgId"]);
    assert_eq!(commands[1]["msgType"], "ota_upgrade");
    assert_eq!(commands[1]["msgId"], new["msgId"]);
    assert_eq!(commands[1]["data"]["forceUpgrade"], true);
    let cancelled = app.get("/api/ota/tasks?status=cancelled").await.data();
    assert_eq!(cancelled["items"][0]["taskId"], old["taskId"]);
    app.stop().await;
}

#[tokio::test]
async fn a_cancelled_task_stays_so_and_can_be_tried_again() {
    let app = TestApp::start().await;
    app.released("1.0.2").await;
    let mut gateway = Gateway::connect(&app, "g").await;
    let task = app.trigger("g", "1.0.2").await.data();
    gateway.command().await;
    gateway.progress(&task["msgId"], "downloading", 10).await;
    app.task_at("g", "downloading", 10).await;

    let path = format!("/api/ota/task/{}", task["taskId"].as_str().unwrap());
    let retry = app.post(&format!("{path}/retry")).await;
    retry.refused(409, "task_not_retryable");
    let cancelled = app.post(&format!("{path}/cancel")).await.data();
    assert_eq!(cancelled["status"], "cancelled");
    assert!(cancelled["completeTime"].is_string());
    let command = gateway.command().await;
    assert_eq!(command["msgType"], "ota_cancel");
    assert_eq!(command["data"]["msgId"], task["msgId"]);
    let again = app.post(&format!("{path}/cancel")).await;
    again.refused(409, "task_ended");
    gateway.progress(&task["msgId"], "completed", 100).await;
    app.metric_reaches(r#"airlift_messages_stored_total{kind="ota_progress"}"#, 2.0)
        .await;
    assert_eq!(app.task("g").await, cancelled);

    let new = app.post(&format!("{path}/retry")).await.data();
    assert_ne!(new["taskId"], task["taskId"]);
    assert_eq!(new["status"], "pending");
    assert_eq!(new["toVersion"], "1.0.2");
    eventually("the new command", async || {
        let command = gateway.command().await;
        (command["msgId"] == new["msgId"]).then_some(())
    })
    .await;
    app.stop().await;
}

#[tokio::test]
async fn a_task_that_does_not_exist_can_be_neither_cancelled_nor_retried() {
    let app = TestApp::start().await;
    let nobody = "00000000-0000-7000-8000-000000000000";
    for verb in ["cancel", "retry"] {
        let answer = app.post(&format!("/api/ota/task/{nobody}/{verb}")).await;
        answer.refused(404, "task_not_found");
        let answer = app.post(&format!("/api/ota/task/seven/{verb}")).await;
        answer.refused(400, "invalid_task_id");
    }
    let answer = app.get("/api/ota/task/nobody").await;
    answer.refused(404, "task_not_found");
    let answer = app.get("/api/ota/gateways/nobody").await;
    answer.refused(404, "gateway_not_found");
    app.stop().await;
}

#[tokio::test]
async fn a_scheduled_upgrade_sends_nothing_before_its_time() {
    let app = Setup::manual_clock().start().await;
    app.released("1.0.2").await;
    let mut gateway = Gateway::connect(&app, "g").await;
    gateway.heartbeat("1.0.1").await;
    let at = app.clock.now() + TimeDelta::hours(1);
    let scheduled = json!({ "version": "1.0.2", "scheduledAt": at });
    let task = app.post_json("/api/ota/upgrade/g", scheduled).await.data();
    assert_eq!(task["status"], "pending");
    let told: DateTime<Utc> = task["scheduledAt"].as_str().unwrap().parse().unwrap();
    assert_eq!(told, at);
    let too_far = json!({ "version": "1.0.2", "scheduledAt": "+10026-03-01T00:00:00Z" });
    let refusal = app.post_json("/api/ota/upgrade/g", too_far).await;
    refusal.refused(400, "time_too_far");
    app.clock.advance(TimeDelta::minutes(59));
    gateway.status(false).await;
    gateway.status(true).await;
    gateway.hears_nothing().await;
    app.clock.advance(TimeDelta::minutes(1));
    assert_eq!(gateway.command().await["msgId"], task["msgId"]);
    app.stop().await;
}

#[tokio::test]
async fn a_task_cancelled_before_its_time_is_never_heard_of() {
    let app = Setup::manual_clock().start().await;
    app.released("1.0.2").await;
    let mut gateway = Gateway::connect(&app, "g").await;
    let at = app.clock.now() + TimeDelta::hours(1);
    let scheduled = json!({ "version": "1.0.2", "scheduledAt": at });
    let task = app.post_json("/api/ota/upgrade/g", scheduled).await.data();
    let path = format!("/api/ota/task/{}/cancel", task["taskId"].as_str().unwrap());
    assert_eq!(app.post(&path).await.data()["status"], "cancelled");
    app.clock.advance(TimeDelta::hours(2));
    gateway.hears_nothing().await;
    app.stop().await;
}

#[tokio::test]
async fn a_command_is_sent_again_until_the_gateway_shows_life() {
    let app = Setup::manual_clock().start().await;
    app.released("1.0.2").await;
    let mut gateway = Gateway::connect(&app, "g").await;
    let task = app.trigger("g", "1.0.2").await.data();
    let first = gateway.command().await;
    for seconds in [5, 10, 20] {
        app.clock.advance(TimeDelta::seconds(seconds));
        assert_eq!(gateway.command().await, first);
    }
    gateway.progress(&task["msgId"], "downloading", 0).await;
    app.task_with("g", "downloading").await;
    app.clock.advance(TimeDelta::seconds(600));
    gateway.hears_nothing().await;
    app.stop().await;
}

#[tokio::test]
async fn a_gateway_that_comes_online_later_gets_its_command_soon() {
    let app = Setup::manual_clock().start().await;
    app.released("1.0.2").await;
    let task = app.trigger("g", "1.0.2").await.data();
    let sent = r#"airlift_commands_sent_total{kind="ota_upgrade"}"#;
    // The next would come in ten minutes.
    for (sends, wait) in [5, 10, 20, 40, 80, 160, 320].into_iter().enumerate() {
        app.metric_reaches(sent, (sends + 1) as f64).await;
        app.clock.advance(TimeDelta::seconds(wait));
    }
    app.metric_reaches(sent, 8.0).await;
    let mut gateway = Gateway::connect(&app, "g").await;
    gateway.hears_nothing().await;
    gateway.status(true).await;
    eventually("the gateway to be online", async || {
        (app.gateway("g").await["online"] == true).then_some(())
    })
    .await;
    app.clock.advance(TimeDelta::seconds(2));
    assert_eq!(gateway.command().await["msgId"], task["msgId"]);
    app.stop().await;
}

#[tokio::test]
async fn a_gateway_that_falls_silent_fails_its_task_by_deadline() {
    let app = Setup::manual_clock().start().await;
    app.released("1.0.2").await;
    let mut gateway = Gateway::connect(&app, "silent").await;
    let task = app.trigger("silent", "1.0.2").await.data();
    gateway.progress(&task["msgId"], "downloading", 10).await;
    app.task_at("silent", "downloading", 10).await;
    app.trigger("absent", "1.0.2").await.data();

    app.clock.advance(TimeDelta::seconds(899));
    gateway.progress(&task["msgId"], "downloading", 20).await;
    app.task_at("silent", "downloading", 20).await;
    app.clock.advance(TimeDelta::seconds(899));
    app.get("/readyz").await;
    assert_eq!(app.task("silent").await["status"], "downloading");
    app.clock.advance(TimeDelta::seconds(1));
    let failed = app.task_with("silent", "failed").await;
    assert_eq!(failed["errorCode"], "TIMEOUT");
    assert!(failed["errorMessage"].as_str().unwrap().contains("silent"));
    assert_eq!(app.task("absent").await["status"], "pending");
    gateway.progress(&task["msgId"], "completed", 100).await;
    app.metric_reaches(r#"airlift_messages_stored_total{kind="ota_progress"}"#, 3.0)
        .await;
    assert_eq!(app.task("silent").await, failed);

    app.clock.advance(TimeDelta::days(7));
    let failed = app.task_with("absent", "failed").await;
    assert_eq!(failed["errorCode"], "TIMEOUT");
    app.metric_reaches(r#"ota_failure_total{reason="TIMEOUT"}"#, 2.0)
        .await;
    app.stop().await;
}

#[tokio::test]
async fn an_upgrade_to_no_version_is_one_to_the_latest() {
    let app = TestApp::start().await;
    let nothing = app.post("/api/ota/upgrade/g").await;
    nothing.refused(404, "no_release");
    // Refused triggers leave no gateway behind.
    let unknown = app.get("/api/ota/gateways/g").await;
    unknown.refused(404, "gateway_not_found");
    app.released("1.9.0").await;
    app.released("1.10.0").await;
    let task = app.post("/api/ota/upgrade/a").await.data();
    assert_eq!(task["toVersion"], "1.10.0");
    for (gateway, body) in [("b", json!({})), ("c", json!({ "version": null }))] {
        let path = format!("/api/ota/upgrade/{gateway}");
        let task = app.post_json(&path, body).await.data();
        assert_eq!(task["toVersion"], "1.10.0");
    }
    app.stop().await;
}

#[tokio::test]
async fn only_a_firmware_in_testing_or_released_can_be_installed() {
    let app = TestApp::start().await;
    let unknown = app.trigger("g", "1.0.2").await;
    assert!(unknown.refused(404, "firmware_not_found").contains("1.0.2"));
    app.upload("1.0.2", b"image").await.data();
    let draft = app.trigger("g", "1.0.2").await;
    let message = draft.refused(409, "firmware_not_installable");
    assert!(message.contains("release"), "{message}");

    let path = "/api/ota/firmware/1.0.2/status";
    app.post_json(path, json!({ "status": "testing" }))
        .await
        .data();
    app.trigger("in-testing", "1.0.2").await.data();
    app.release("1.0.2").await.data();
    app.post_json(path, json!({ "status": "deprecated" }))
        .await
        .data();
    let deprecated = app.trigger("g", "1.0.2").await;
    deprecated.refused(409, "firmware_not_installable");
    app.stop().await;
}

#[tokio::test]
async fn tasks_are_listed_newest_first_in_pages_and_by_filter() {
    let app = TestApp::start().await;
    app.released("1.0.2").await;
    app.released("1.0.3").await;
    let mut made = Vec::new();
    for n in 0..7 {
        let version = if n % 2 == 0 { "1.0.2" } else { "1.0.3" };
        let task = app.trigger(&format!("g{n}"), version).await.data();
        made.push(task["taskId"].clone());
    }
    made.reverse();
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let path = format!("/api/ota/tasks?limit=3{cursor}");
        let page = app.get(&path).await.data();
        let items = page["items"].as_array().unwrap();
        assert!(items.len() <= 3);
        seen.extend(items.iter().map(|task| task["taskId"].clone()));
        match page["nextCursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(seen, made);

    let count = async |filter: &str| {
        let page = app.get(&format!("/api/ota/tasks?{filter}")).await.data();
        page["items"].as_array().unwrap().len()
    };
    assert_eq!(count("version=1.0.2").await, 4);
    assert_eq!(count("gatewayId=g3").await, 1);
    assert_eq!(count("gatewayId=g3&version=1.0.2").await, 0);
    assert_eq!(count("status=pending").await, 7);
    assert_eq!(count("status=failed").await, 0);
    for (query, code) in [
        ("limit=0", "invalid_limit"),
        ("limit=501", "invalid_limit"),
        ("limit=many", "invalid_query"),
        ("cursor=x", "invalid_cursor"),
        ("status=asleep", "invalid_query"),
    ] {
        let answer = app.get(&format!("/api/ota/tasks?{query}")).await;
        answer.refused(400, code);
    }
    app.stop().await;
}

#[tokio::test]
async fn a_server_whose_clock_is_set_back_still_knows_the_newest_task() {
    let app = Setup::manual_clock().start().await;
    app.released("1.0.2").await;
    let old = app.trigger("g", "1.0.2").await.data();
    let path = format!("/api/ota/task/{}", old["taskId"].as_str().unwrap());
    app.post(&format!("{path}/cancel")).await.data();
    app.clock.advance(TimeDelta::minutes(-10));
    let new = app.trigger("g", "1.0.2").await.data();
    assert_ne!(new["taskId"], old["taskId"]);
    assert_eq!(app.task("g").await["taskId"], new["taskId"]);
    assert_eq!(
        app.trigger("g", "1.0.2").await.data()["taskId"],
        new["taskId"]
    );
    let mut gateway = Gateway::connect(&app, "g").await;
    gateway.progress(&Value::Null, "completed", 100).await;
    let completed = app.task_with("g", "completed").await;
    assert_eq!(completed["taskId"], new["taskId"]);
    app.stop().await;
}

#[tokio::test]
async fn a_deadline_that_passed_while_the_server_was_away_waits_for_what_the_broker_kept() {
    let broker = Mosquitto::start(&MosquittoOptions::default()).unwrap();
    let mut setup = Setup::manual_clock();
    setup.mqtt_url = Some(broker.url());
    let mut app = setup.start().await;
    app.released("1.0.2").await;
    let mut gateway = Gateway::connect(&app, "g").await;
    gateway.heartbeat("1.0.1").await;
    let task = app.trigger("g", "1.0.2").await.data();
    gateway.progress(&task["msgId"], "downloading", 50).await;
    app.task_at("g", "downloading", 50).await;
    app.end().await;
    gateway.progress(&task["msgId"], "completed", 100).await;
    gateway.heartbeat("1.0.2").await;
    app.clock.advance(TimeDelta::days(1));
    app.run().await;
    let task = app.task_with("g", "completed").await;
    assert!(task["confirmedAt"].is_string(), "{task}");
    // Who is silent now is failed all the same.
    let silent = app.trigger("silent", "1.0.2").await.data();
    assert_eq!(silent["status"], "pending");
    app.clock.advance(TimeDelta::days(8));
    assert_eq!(
        app.task_with("silent", "failed").await["errorCode"],
        "TIMEOUT"
    );
    app.stop().await;
}

#[tokio::test]
async fn failed_tasks_are_found_by_their_cause() {
    let app = TestApp::start().await;
    app.released("1.0.2").await;
    crowd::run(&app, &crowd::ids("g", 4), "1.0.1").await;
    let request = json!({ "version": "1.0.2", "jitterSeconds": 0, "haltAtFailurePercent": 100 });
    let rollout = crowd::create(&app, request).await;
    let fate = |gateway_id: &str| match gateway_id {
        "g001" => Fate::Fails,
        "g002" => Fate::RollsBack,
        _ => Fate::Updates,
    };
    crowd::play(&app, &rollout, fate, crowd::is("completed")).await;
    // One that no rollout asked for.
    crowd::run(&app, &["h".to_owned()], "1.0.1").await;
    let task = app.trigger("h", "1.0.2").await.data();
    crowd::meet(&app, &task, Fate::Fails).await;

    let found = async |path: &str| -> Vec<Value> {
        let page = app.get(path).await.data();
        let items = page["items"].as_array().unwrap().iter();
        items.map(|task| task["gatewayId"].clone()).collect()
    };
    let tasks = "/api/ota/tasks?errorCode";
    assert_eq!(
        found(&format!("{tasks}=DIGEST_MISMATCH")).await,
        ["h", "g001"]
    );
    assert_eq!(found(&format!("{tasks}=ROLLED_BACK")).await, ["g002"]);
    let none = format!("{tasks}=ROLLED_BACK&status=completed");
    assert_eq!(found(&none).await, [""; 0]);
    let of_rollout = format!("/api/ota/rollouts/{rollout}/tasks?errorCode=DIGEST_MISMATCH");
    assert_eq!(found(&of_rollout).await, ["g001"]);
    let table = app.get("/api/ota/tasks.csv?errorCode=ROLLED_BACK").await;
    let table = table.csv();
    assert_eq!(table.len(), 2, "{table:?}");
    assert_eq!(table[1][1], "g002");
    app.stop().await;
}
