//! `/api/ota/rollouts`: who gets it, in which order, and when it stops.

use chrono::TimeDelta;
use serde_json::{Value, json};

use crate::{
    app::{Setup, TestApp},
    crowd::{Fate, act, create, ids, is, meet, members, play, run, tasks},
};

/// The counters of a rollout or a wave.
fn counts(of: &Value) -> [i64; 7] {
    [
        "total",
        "waiting",
        "active",
        "confirmed",
        "failed",
        "skipped",
        "cancelled",
    ]
    .map(|name| {
        of[name]
            .as_i64()
            .unwrap_or_else(|| panic!("{name} of {of}"))
    })
}

fn totals(rollout: &Value) -> Vec<i64> {
    let waves = rollout["waveCounters"].as_array().unwrap();
    waves
        .iter()
        .map(|wave| wave["total"].as_i64().unwrap())
        .collect()
}

#[tokio::test]
async fn a_rollout_takes_its_waves_in_their_order_and_ends_when_all_are_proven() {
    let app = TestApp::start().await;
    app.released("1.0.2").await;
    run(&app, &ids("g", 25), "1.0.1").await;
    let request = json!({
        "version": "1.0.2", "waves": [10, 50, 100], "jitterSeconds": 0, "maxInFlight": 4
    });
    let id = create(&app, request).await;
    let first = members(&app, &id, "wave=1").await;
    assert_eq!(first.len(), 3, "a tenth of 25, rounded up");
    let ended = play(
        &app,
        &id,
        |_| Fate::Updates,
        |rollout| {
            let waves = rollout["waveCounters"].as_array().unwrap();
            let active: i64 = waves
                .iter()
                .map(|wave| wave["active"].as_i64().unwrap())
                .sum();
            assert!(active <= 4, "{rollout}");
            for pair in waves.windows(2) {
                let begun = pair[1]["active"] != 0 || pair[1]["confirmed"] != 0;
                assert!(
                    !begun || pair[0]["confirmed"] == pair[0]["total"],
                    "{rollout}"
                );
            }
            rollout["state"] == "completed"
        },
    )
    .await;
    assert_eq!(totals(&ended), [3, 10, 12]);
    assert_eq!(counts(&ended["counters"]), [25, 0, 0, 25, 0, 0, 0]);
    assert!(
        ended["endedAt"].is_string() && ended["waitingFor"].is_null(),
        "{ended}"
    );
    assert_eq!(tasks(&app, &id, "completed").await.len(), 25);
    app.stop().await;
}

#[tokio::test]
async fn too_many_failures_halt_the_rollout_in_the_wave_where_they_are() {
    let app = TestApp::start().await;
    app.released("1.0.2").await;
    run(&app, &ids("g", 40), "1.0.1").await;
    let id = create(
        &app,
        json!({ "version": "1.0.2", "waves": [25, 100], "jitterSeconds": 0 }),
    )
    .await;
    let first = members(&app, &id, "wave=1").await;
    let bad = &first[..2];
    let fate = |gateway: &str| match bad.iter().any(|id| id == gateway) {
        true => Fate::Fails,
        false => Fate::Updates,
    };
    let halted = play(&app, &id, fate, is("halted")).await;
    assert_eq!(halted["reason"], "wave 1: 2 of 10 failed, more than 10 %");
    let all = app.get("/api/ota/tasks?limit=500").await.data();
    for task in all["items"].as_array().unwrap() {
        let gateway = task["gatewayId"].as_str().unwrap();
        assert!(
            first.iter().any(|id| id == gateway),
            "{gateway} is of no begun wave"
        );
    }
    assert_eq!(counts(&halted["waveCounters"][1]), [30, 30, 0, 0, 0, 0, 0]);
    app.stop().await;
}

#[tokio::test]
async fn silence_a_lost_proof_and_a_roll_back_are_failures_with_their_reasons() {
    let app = Setup::manual_clock().start().await;
    app.released("1.0.2").await;
    run(&app, &ids("g", 6), "1.0.1").await;
    let request = json!({
        "version": "1.0.2", "haltAtFailurePercent": 100, "taskTimeoutSeconds": 60,
        "jitterSeconds": 30
    });
    let id = create(&app, request).await;
    let fate = |gateway: &str| match gateway {
        "g000" => Fate::Silent,
        "g001" => Fate::Vanishes,
        "g002" => Fate::RollsBack,
        "g003" => Fate::Lingers,
        "g004" => Fate::Fails,
        _ => Fate::Updates,
    };
    let ended = play(&app, &id, fate, is("completed")).await;
    assert_eq!(counts(&ended["counters"]), [6, 0, 0, 1, 5, 0, 0]);
    let path = format!("/api/ota/rollouts/{id}/gateways?state=failed");
    let failed = app.get(&path).await.data();
    let reasons: Vec<&str> = failed["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| item["reason"].as_str().unwrap().split(':').next().unwrap())
        .collect();
    assert_eq!(
        reasons,
        [
            "TIMEOUT",
            "UNCONFIRMED",
            "ROLLED_BACK",
            "TIMEOUT",
            "DIGEST_MISMATCH"
        ]
    );
    app.stop().await;
}

#[tokio::test]
async fn nothing_begins_before_its_start_nor_outside_its_window() {
    let app = Setup::manual_clock().start().await; // 08:00 UTC is 16:00 in Shanghai
    app.released("1.0.2").await;
    run(&app, &ids("g", 4), "1.0.1").await;
    let request = json!({
        "version": "1.0.2", "maxInFlight": 2, "startAt": "2026-03-01T12:00:00Z", "taskTimeoutSeconds": 5000,
        "window": { "from": "23:00", "to": "01:00", "timezone": "Asia/Shanghai" }
    });
    let id = create(&app, request).await;
    let waits = |sentence: &'static str| {
        move |rollout: &Value| {
            rollout["waitingFor"]
                .as_str()
                .is_some_and(|it| it.contains(sentence))
        }
    };
    play(&app, &id, |_| Fate::Silent, waits("startAt")).await;
    app.clock.advance(TimeDelta::hours(4));
    play(
        &app,
        &id,
        |_| Fate::Silent,
        waits("until 2026-03-01T15:00:00Z"),
    )
    .await;
    assert_eq!(tasks(&app, &id, "pending").await, [""; 0]);
    app.clock.advance(TimeDelta::minutes(3 * 60 + 110));
    play(
        &app,
        &id,
        |_| Fate::Silent,
        |it| it["counters"]["active"] == 2,
    )
    .await;
    // One has answered when the window closes; the other's command is taken back.
    let begun = tasks(&app, &id, "pending").await;
    meet(&app, &begun[0], Fate::Lingers).await;
    app.clock.advance(TimeDelta::minutes(15));
    let closed = play(
        &app,
        &id,
        |_| Fate::Silent,
        |it| it["counters"]["active"] == 1,
    )
    .await;
    assert_eq!(counts(&closed["counters"]), [4, 3, 1, 0, 0, 0, 0]);
    let cancelled = tasks(&app, &id, "cancelled").await;
    assert_eq!(cancelled.len(), 1);
    assert_eq!(cancelled[0]["gatewayId"], begun[1]["gatewayId"]);
    app.stop().await;
}

#[tokio::test]
async fn a_paused_rollout_takes_back_what_nobody_answered_and_goes_on_when_resumed() {
    let app = TestApp::start().await;
    app.released("1.0.2").await;
    run(&app, &ids("g", 6), "1.0.1").await;
    let request = json!({ "version": "1.0.2", "maxInFlight": 3, "jitterSeconds": 0 });
    let id = create(&app, request).await;
    play(
        &app,
        &id,
        |_| Fate::Silent,
        |it| it["counters"]["active"] == 3,
    )
    .await;
    let begun = tasks(&app, &id, "pending").await;
    meet(&app, &begun[0], Fate::Lingers).await;
    assert_eq!(act(&app, &id, "pause").await.data()["state"], "paused");
    let taken_back = |it: &Value| it["counters"]["active"] == 1;
    let paused = play(&app, &id, |_| Fate::Silent, taken_back).await;
    assert_eq!(counts(&paused["counters"]), [6, 5, 1, 0, 0, 0, 0]);
    act(&app, &id, "pause")
        .await
        .refused(409, "rollout_not_pausable");
    // What had begun goes on and counts.
    let lingering = &tasks(&app, &id, "downloading").await[0];
    meet(&app, lingering, Fate::Updates).await;
    play(
        &app,
        &id,
        |_| Fate::Silent,
        |it| it["counters"]["confirmed"] == 1,
    )
    .await;
    assert_eq!(act(&app, &id, "resume").await.data()["state"], "running");
    let ended = play(&app, &id, |_| Fate::Updates, is("completed")).await;
    assert_eq!(counts(&ended["counters"]), [6, 0, 0, 6, 0, 0, 0]);
    act(&app, &id, "cancel").await.refused(409, "rollout_ended");
    app.stop().await;
}

#[tokio::test]
async fn a_halted_rollout_goes_on_past_its_failures_or_tries_them_again() {
    let app = TestApp::start().await;
    app.released("1.0.2").await;
    run(&app, &ids("g", 8), "1.0.1").await;
    let request = json!({ "version": "1.0.2", "waves": [50, 100], "jitterSeconds": 0 });
    let id = create(&app, request).await;
    let first = members(&app, &id, "wave=1").await;
    let bad = |gateway: &str| match first.iter().position(|id| id == gateway) {
        Some(0) => Fate::Fails,
        _ => Fate::Updates,
    };
    play(&app, &id, bad, is("halted")).await;
    assert_eq!(act(&app, &id, "resume").await.data()["reason"], Value::Null);
    let ended = play(&app, &id, |_| Fate::Updates, is("completed")).await;
    assert_eq!(counts(&ended["counters"]), [8, 0, 0, 7, 1, 0, 0]);
    let again = act(&app, &id, "retry").await.data();
    assert_eq!(again["state"], "running");
    assert_eq!(again["endedAt"], Value::Null);
    assert_eq!(again["waveCounters"][1]["endedAt"], Value::Null);
    // Who tries again accepts no failure any more.
    let halted = play(&app, &id, bad, is("halted")).await;
    assert_eq!(halted["reason"], "wave 1: 1 of 4 failed, more than 10 %");
    act(&app, &id, "retry").await.data();
    let ended = play(&app, &id, |_| Fate::Updates, is("completed")).await;
    assert_eq!(counts(&ended["counters"]), [8, 0, 0, 8, 0, 0, 0]);
    act(&app, &id, "retry")
        .await
        .refused(409, "nothing_to_retry");
    app.stop().await;
}

#[tokio::test]
async fn a_cancelled_rollout_sends_nothing_more() {
    let app = TestApp::start().await;
    app.released("1.0.2").await;
    run(&app, &ids("g", 5), "1.0.1").await;
    let request = json!({ "version": "1.0.2", "maxInFlight": 2, "jitterSeconds": 0 });
    let id = create(&app, request).await;
    play(
        &app,
        &id,
        |_| Fate::Silent,
        |it| it["counters"]["active"] == 2,
    )
    .await;
    let path = format!("/api/ota/rollouts/{id}/cancel");
    let cancelled = app.post(&path).await.data();
    assert_eq!(cancelled["state"], "cancelled");
    assert!(cancelled["endedAt"].is_string(), "{cancelled}");
    let ended = play(
        &app,
        &id,
        |_| Fate::Silent,
        |it| it["counters"]["active"] == 0,
    )
    .await;
    assert_eq!(counts(&ended["counters"]), [5, 3, 0, 0, 0, 0, 2]);
    let cancelled = tasks(&app, &id, "cancelled").await;
    assert_eq!(cancelled.len(), 2);
    let path = format!("/api/ota/rollouts/{id}/gateways?state=cancelled");
    let members = app.get(&path).await.data();
    let of_first = |item: &Value| item["taskId"] == cancelled[0]["taskId"];
    assert!(members["items"].as_array().unwrap().iter().any(of_first));
    app.stop().await;
}

#[tokio::test]
async fn a_gateway_that_falls_back_while_its_wave_soaks_has_failed_after_all() {
    let app = Setup::manual_clock().start().await;
    app.released("1.0.2").await;
    run(&app, &ids("g", 4), "1.0.1").await;
    let request = json!({ "version": "1.0.2", "waves": [50, 100], "soakSeconds": 600 });
    let id = create(&app, request).await;
    let first = members(&app, &id, "wave=1").await;
    let soaks = |it: &Value| {
        it["waitingFor"]
            .as_str()
            .is_some_and(|it| it.contains("soaks"))
    };
    play(&app, &id, |_| Fate::Updates, soaks).await;
    run(&app, &first[..1], "1.0.1").await;
    app.clock.advance(TimeDelta::seconds(600));
    let halted = play(&app, &id, |_| Fate::Updates, is("halted")).await;
    assert_eq!(counts(&halted["waveCounters"][0]), [2, 0, 0, 1, 1, 0, 0]);
    assert_eq!(halted["waveCounters"][1]["waiting"], 2);
    app.stop().await;
}

#[tokio::test]
async fn gateways_that_come_later_join_until_the_time_that_the_rollout_says() {
    let app = Setup::manual_clock().start().await;
    app.released("1.0.2").await;
    run(&app, &ids("early", 4), "1.0.1").await;
    let request = json!({
        "version": "1.0.2", "waves": [50, 100], "joinUntil": "2026-03-01T10:00:00Z"
    });
    let id = create(&app, request).await;
    let joins = |it: &Value| {
        it["waitingFor"]
            .as_str()
            .is_some_and(|it| it.contains("joinUntil"))
    };
    play(&app, &id, |_| Fate::Updates, joins).await;
    run(&app, &ids("late", 3), "1.0.1").await;
    let joined = |it: &Value| it["counters"]["confirmed"] == 7;
    play(&app, &id, |_| Fate::Updates, joined).await;
    app.clock.advance(TimeDelta::hours(2));
    play(&app, &id, |_| Fate::Updates, is("completed")).await;
    run(&app, &ids("too-late", 1), "1.0.1").await;
    app.clock.advance(TimeDelta::hours(1));
    let ended = play(&app, &id, |_| Fate::Updates, is("completed")).await;
    assert_eq!(counts(&ended["counters"]), [7, 0, 0, 7, 0, 0, 0]);
    app.stop().await;
}

#[tokio::test]
async fn commands_leave_no_faster_than_the_rate_and_ask_for_a_time_of_their_own() {
    let app = Setup::manual_clock().start().await;
    app.released("1.0.2").await;
    run(&app, &ids("g", 10), "1.0.1").await;
    let request = json!({ "version": "1.0.2", "commandsPerMinute": 6, "jitterSeconds": 3600 });
    let id = create(&app, request).await;
    let mut begun = Vec::new();
    for _ in 0..6 {
        app.clock.advance(TimeDelta::seconds(20));
        let rated = |it: &Value| {
            it["waitingFor"]
                .as_str()
                .is_some_and(|it| it.contains("PerMinute"))
        };
        let rollout = play(&app, &id, |_| Fate::Silent, rated).await;
        begun.push(rollout["counters"]["active"].as_i64().unwrap());
    }
    assert!(
        begun.windows(2).all(|pair| pair[1] - pair[0] <= 3),
        "{begun:?}"
    );
    assert!(begun[5] > begun[0], "{begun:?}");
    let tasks = tasks(&app, &id, "pending").await;
    let mut times: Vec<&str> = tasks
        .iter()
        .map(|it| it["notBefore"].as_str().unwrap())
        .collect();
    times.sort_unstable();
    times.dedup();
    assert!(times.len() > tasks.len() / 2, "{times:?}");
    app.stop().await;
}

#[tokio::test]
async fn a_firmware_that_is_deprecated_meanwhile_halts_its_rollout() {
    let app = TestApp::start().await;
    app.released("1.0.2").await;
    run(&app, &ids("g", 4), "1.0.1").await;
    let request = json!({ "version": "1.0.2", "maxInFlight": 1, "jitterSeconds": 0 });
    let id = create(&app, request).await;
    play(
        &app,
        &id,
        |_| Fate::Silent,
        |it| it["counters"]["active"] == 1,
    )
    .await;
    let deprecated = json!({ "status": "deprecated" });
    app.post_json("/api/ota/firmware/1.0.2/status", deprecated)
        .await
        .data();
    let halted = play(&app, &id, |_| Fate::Updates, is("halted")).await;
    assert_eq!(halted["reason"], "firmware 1.0.2 is deprecated now");
    assert_eq!(counts(&halted["counters"]), [4, 3, 0, 1, 0, 0, 0]);
    app.stop().await;
}
