//! `/api/ota/rollouts` when something comes between: what must not go out, what must not be counted,
//! who must not be held up.

use airlift::{
    domain::{Rollout, RolloutPlan, RolloutState, RolloutTarget},
    store::Db,
};
use chrono::TimeDelta;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    app::{Setup, TestApp, eventually, file_part},
    crowd::{Fate, act, create, ids, is, meet, members, play, run, tasks},
};

/// As many members are active.
fn active(count: i64) -> impl Fn(&Value) -> bool {
    move |rollout| rollout["counters"]["active"] == count
}

/// A rollout whose target this version can't read: an older one has stored it, say.
fn unreadable(app: &TestApp) -> Rollout {
    let now = app.clock.now() - TimeDelta::hours(1);
    Rollout {
        rollout_id: Uuid::from_u128(1),
        name: "unreadable".into(),
        device_type: "gateway".into(),
        version: "1.0.2".into(),
        target: RolloutTarget {
            filter: Some("colour:red".into()),
            ..Default::default()
        },
        plan: RolloutPlan::default(),
        seed: 7,
        state: RolloutState::Scheduled,
        reason: None,
        enrolled_to: None,
        enrolled: false,
        wave: 0,
        paced_at: None,
        next_look_at: Some(now),
        next_join_at: None,
        started_at: None,
        ended_at: None,
        created_at: now,
        updated_at: now,
    }
}

#[tokio::test]
async fn a_rollout_that_cannot_go_on_holds_up_no_other_and_can_be_cancelled() {
    let app = TestApp::start().await;
    app.released("1.0.2").await;
    run(&app, &ids("g", 3), "1.0.1").await;
    let broken = unreadable(&app);
    let db = app.db().await;
    let mut tx = db.begin().await.unwrap();
    tx.insert_rollout(&broken).await.unwrap();
    tx.commit().await.unwrap();
    db.close().await;
    let id = create(&app, json!({ "version": "1.0.2", "jitterSeconds": 0 })).await;
    let ended = play(&app, &id, |_| Fate::Updates, is("completed")).await;
    assert_eq!(ended["counters"]["confirmed"], 3, "{ended}");
    let broken = broken.rollout_id.to_string();
    assert_eq!(
        act(&app, &broken, "cancel").await.data()["state"],
        "cancelled"
    );
    app.stop().await;
}

#[tokio::test]
async fn the_next_step_of_a_gateway_waits_while_its_rollout_is_paused() {
    let app = TestApp::start().await;
    for (version, min_version) in [("1.4.0", ""), ("2.0.0", "1.4.0")] {
        let form = reqwest::multipart::Form::new()
            .text("version", version)
            .text("minVersion", min_version)
            .part("file", file_part(version.as_bytes()));
        app.post_form(crate::app::UPLOAD, form).await.data();
        app.release(version).await.data();
    }
    run(&app, &ids("g", 1), "1.0.0").await;
    let id = create(&app, json!({ "version": "2.0.0", "jitterSeconds": 0 })).await;
    play(&app, &id, |_| Fate::Silent, active(1)).await;
    meet(&app, &tasks(&app, &id, "pending").await[0], Fate::Lingers).await;
    act(&app, &id, "pause").await.data();
    let first = &tasks(&app, &id, "downloading").await[0];
    assert_eq!(first["toVersion"], "1.4.0");
    meet(&app, first, Fate::Updates).await;
    let paused = play(&app, &id, |_| Fate::Silent, active(0)).await;
    assert_eq!(paused["counters"]["waiting"], 1, "{paused}");
    let all = app
        .get(&format!("/api/ota/rollouts/{id}/tasks"))
        .await
        .data();
    assert_eq!(all["items"].as_array().unwrap().len(), 1, "a command left");
    act(&app, &id, "resume").await.data();
    let ended = play(&app, &id, |_| Fate::Updates, is("completed")).await;
    assert_eq!(ended["counters"]["confirmed"], 1, "{ended}");
    app.stop().await;
}

#[tokio::test]
async fn a_gateway_that_somebody_upgrades_further_while_its_wave_soaks_has_not_failed() {
    let app = Setup::manual_clock().start().await;
    app.released("1.0.2").await;
    app.released("1.0.3").await;
    run(&app, &ids("g", 4), "1.0.1").await;
    let request = json!({ "version": "1.0.2", "waves": [50, 100], "soakSeconds": 600 });
    let id = create(&app, request).await;
    let first = members(&app, &id, "wave=1").await;
    let soaks = |it: &Value| it["waveCounters"][0]["endedAt"].is_string();
    play(&app, &id, |_| Fate::Updates, soaks).await;
    let further = app.trigger(&first[0], "1.0.3").await.data();
    meet(&app, &further, Fate::Updates).await;
    app.clock.advance(TimeDelta::seconds(600));
    let second = |it: &Value| it["wave"] == 2 || it["state"] == "halted";
    let begun = play(&app, &id, |_| Fate::Updates, second).await;
    assert_eq!(begun["state"], "running", "{begun}");
    assert_eq!(begun["waveCounters"][0]["confirmed"], 2, "{begun}");
    act(&app, &id, "cancel").await.data();
    app.stop().await;
}

#[tokio::test]
async fn failures_that_came_while_it_was_paused_halt_the_rollout_when_it_is_resumed() {
    let app = TestApp::start().await;
    app.released("1.0.2").await;
    run(&app, &ids("g", 8), "1.0.1").await;
    let request = json!({ "version": "1.0.2", "waves": [50, 100], "jitterSeconds": 0 });
    let id = create(&app, request).await;
    play(&app, &id, |_| Fate::Lingers, active(4)).await;
    eventually("all to have begun", async || {
        for task in tasks(&app, &id, "pending").await {
            meet(&app, &task, Fate::Lingers).await;
        }
        (tasks(&app, &id, "downloading").await.len() == 4).then_some(())
    })
    .await;
    act(&app, &id, "pause").await.data();
    for task in tasks(&app, &id, "downloading").await {
        meet(&app, &task, Fate::Fails).await;
    }
    play(&app, &id, |_| Fate::Silent, active(0)).await;
    act(&app, &id, "resume").await.data();
    let moved = |it: &Value| it["state"] == "halted" || it["wave"] == 2;
    let halted = play(&app, &id, |_| Fate::Updates, moved).await;
    assert_eq!(halted["state"], "halted", "{halted}");
    assert_eq!(halted["reason"], "wave 1: 4 of 4 failed, more than 10 %");
    // Who resumes it now has seen them.
    act(&app, &id, "resume").await.data();
    let ended = play(&app, &id, |_| Fate::Updates, is("completed")).await;
    assert_eq!(ended["counters"]["confirmed"], 4, "{ended}");
    app.stop().await;
}

#[tokio::test]
async fn what_is_retried_includes_what_failed_since_the_last_look() {
    // The clock stands still: the rollout does not look by itself.
    let app = Setup::manual_clock().start().await;
    app.released("1.0.2").await;
    run(&app, &ids("g", 1), "1.0.1").await;
    let id = create(&app, json!({ "version": "1.0.2", "jitterSeconds": 0 })).await;
    play(&app, &id, |_| Fate::Silent, active(1)).await;
    let task = &tasks(&app, &id, "pending").await[0];
    meet(&app, task, Fate::Fails).await;
    let retried = act(&app, &id, "retry").await.data();
    assert_eq!(retried["counters"]["failed"], 0, "{retried}");
    let ended = play(&app, &id, |_| Fate::Updates, is("completed")).await;
    assert_eq!(ended["counters"]["confirmed"], 1, "{ended}");
    app.stop().await;
}

#[tokio::test]
async fn a_forced_rollout_ends_an_upgrade_to_another_version() {
    let app = TestApp::start().await;
    app.released("1.0.2").await;
    app.released("1.0.3").await;
    run(&app, &ids("g", 1), "1.0.1").await;
    let other = app.trigger("g000", "1.0.2").await.data();
    let request = json!({ "version": "1.0.3", "forceUpgrade": true, "jitterSeconds": 0 });
    let id = create(&app, request).await;
    let ended = play(&app, &id, |_| Fate::Updates, is("completed")).await;
    assert_eq!(ended["counters"]["confirmed"], 1, "{ended}");
    assert_eq!(app.task("g000").await["forceUpgrade"], true);
    let cancelled = app.get("/api/ota/tasks?status=cancelled").await.data();
    assert_eq!(cancelled["items"][0]["taskId"], other["taskId"]);
    app.stop().await;
}

#[tokio::test]
async fn an_upgrade_that_is_taken_over_has_the_time_that_the_rollout_gives() {
    let app = Setup::manual_clock().start().await;
    app.released("1.0.2").await;
    run(&app, &ids("g", 1), "1.0.1").await;
    app.trigger("g000", "1.0.2").await.data();
    let began = app.clock.now();
    let request = json!({ "version": "1.0.2", "taskTimeoutSeconds": 60 });
    let id = create(&app, request).await;
    play(&app, &id, |_| Fate::Silent, active(1)).await;
    app.clock.advance(TimeDelta::seconds(60));
    play(&app, &id, |_| Fate::Silent, is("halted")).await;
    assert_eq!(app.task("g000").await["errorCode"], "TIMEOUT");
    assert!(app.clock.now() - began < TimeDelta::seconds(900));
    app.stop().await;
}

#[tokio::test]
async fn a_gateway_that_no_longer_needs_the_version_at_its_turn_is_skipped() {
    let app = Setup::manual_clock().start().await;
    app.released("1.0.2").await;
    run(&app, &ids("g", 3), "1.0.1").await;
    let request = json!({ "version": "1.0.2", "startAt": "2026-03-01T12:00:00Z" });
    let id = create(&app, request).await;
    run(&app, &["g000".to_owned()], "1.0.2").await;
    run(&app, &["g001".to_owned()], "1.0.3").await;
    app.clock.advance(TimeDelta::hours(4));
    let ended = play(&app, &id, |_| Fate::Updates, is("completed")).await;
    assert_eq!(ended["counters"]["confirmed"], 1, "{ended}");
    assert_eq!(members(&app, &id, "state=skipped").await, ["g000", "g001"]);
    app.stop().await;
}

/// Whether somebody in the database waits for another's rows.
async fn waits_for_lock(db: &Db) -> bool {
    let Db::Postgres(pool) = db else {
        panic!("only PostgreSQL locks rows")
    };
    let waiting = "SELECT COUNT(*) FROM pg_stat_activity
                   WHERE datname = current_database() AND wait_event_type = 'Lock'";
    let waiting: i64 = sqlx::query_scalar(waiting).fetch_one(pool).await.unwrap();
    waiting > 0
}

#[tokio::test]
async fn a_task_that_ended_while_its_rollout_takes_it_back_stays_ended() {
    let setup = Setup {
        postgres: true,
        ..Setup::default()
    };
    let app = setup.start().await;
    app.released("1.0.2").await;
    run(&app, &ids("g", 1), "1.0.1").await;
    let id = create(&app, json!({ "version": "1.0.2", "jitterSeconds": 0 })).await;
    play(&app, &id, |_| Fate::Silent, active(1)).await;
    // As another server's expiry does, which is slow.
    let db = app.db().await;
    let mut tx = db.begin().await.unwrap();
    let later = app.clock.now() + TimeDelta::hours(1);
    let mut task = tx.lock_expired_tasks(later, 1).await.unwrap().remove(0);
    task.expire(later);
    tx.update_tasks(&[&task]).await.unwrap();
    act(&app, &id, "pause").await.data();
    eventually("the rollout to wait for the task", async || {
        waits_for_lock(&db).await.then_some(())
    })
    .await;
    tx.commit().await.unwrap();
    let paused = play(&app, &id, |_| Fate::Silent, active(0)).await;
    assert_eq!(paused["counters"]["failed"], 1, "{paused}");
    assert_eq!(app.task("g000").await["status"], "failed");
    db.close().await;
    app.stop().await;
}

#[tokio::test]
async fn a_gateway_of_another_type_is_named_in_vain() {
    let app = TestApp::start().await;
    app.released("1.0.2").await;
    run(&app, &ids("g", 2), "1.0.1").await;
    let other = json!({ "deviceType": "other" });
    app.patch_json("/api/ota/gateways/g001", other).await.data();
    let request = json!({
        "version": "1.0.2", "target": { "gatewayIds": ["g000", "g001"] }, "jitterSeconds": 0
    });
    let path = "/api/ota/rollouts/dry-run";
    let said = app.post_json(path, request.clone()).await.data();
    assert_eq!(said["exclusions"][0]["reason"], "other_device_type");
    assert_eq!(said["gateways"]["items"][1]["reason"], "other_device_type");
    let id = create(&app, request).await;
    assert_eq!(members(&app, &id, "").await, ["g000"]);
    app.stop().await;
}

#[tokio::test]
async fn a_task_that_somebody_cancels_is_neither_a_success_nor_a_failure() {
    let app = TestApp::start().await;
    app.released("1.0.2").await;
    run(&app, &ids("g", 2), "1.0.1").await;
    let request = json!({ "version": "1.0.2", "haltAtFailurePercent": 0, "jitterSeconds": 0 });
    let id = create(&app, request).await;
    play(
        &app,
        &id,
        |_| Fate::Silent,
        |it| it["counters"]["active"] == 2,
    )
    .await;
    let task = app.task("g000").await["taskId"].clone();
    let path = format!("/api/ota/task/{}/cancel", task.as_str().unwrap());
    app.post(&path).await.data();
    let ended = play(&app, &id, |_| Fate::Updates, is("completed")).await;
    assert_eq!(ended["counters"]["cancelled"], 1, "{ended}");
    assert_eq!(ended["counters"]["confirmed"], 1, "{ended}");
    app.stop().await;
}

#[tokio::test]
async fn the_last_wave_soaks_like_any_other() {
    let app = Setup::manual_clock().start().await;
    app.released("1.0.2").await;
    run(&app, &ids("g", 2), "1.0.1").await;
    let id = create(&app, json!({ "version": "1.0.2", "soakSeconds": 600 })).await;
    let soaks = |it: &Value| {
        let waiting_for = it["waitingFor"].as_str();
        waiting_for.is_some_and(|it| it.contains("soaks"))
    };
    play(&app, &id, |_| Fate::Updates, soaks).await;
    run(&app, &ids("g", 1), "1.0.1").await;
    app.clock.advance(TimeDelta::seconds(600));
    let halted = play(&app, &id, |_| Fate::Updates, is("halted")).await;
    assert_eq!(halted["counters"]["failed"], 1, "{halted}");
    app.stop().await;
}
