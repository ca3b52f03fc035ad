//! `GET /api/ota/gateways/{gatewayId}/why`: what keeps a gateway from its update.

use serde_json::{Value, json};

use crate::{
    app::{Answer, Setup, TestApp, eventually},
    crowd::{Fate, create, ids, is, meet, members, play, rollout, run, tasks},
};

async fn ask(app: &TestApp, gateway: &str) -> Answer {
    app.get(&format!("/api/ota/gateways/{gateway}/why")).await
}

async fn why(app: &TestApp, gateway: &str) -> Value {
    ask(app, gateway).await.data()
}

/// The verdict and the rule that makes it.
fn verdict(why: &Value) -> (&str, &str) {
    let rule = &why["findings"][0]["rule"];
    (why["verdict"].as_str().unwrap(), rule.as_str().unwrap())
}

/// The sentence of a rule.
fn message<'w>(why: &'w Value, rule: &str) -> &'w str {
    let findings = why["findings"].as_array().unwrap();
    let finding = findings.iter().find(|it| it["rule"] == rule);
    finding.unwrap_or_else(|| panic!("no {rule} in {why}"))["message"]
        .as_str()
        .unwrap()
}

/// The answer once its verdict is made by `rule`.
async fn why_by(app: &TestApp, gateway: &str, rule: &str) -> Value {
    eventually(&format!("{gateway} to be told {rule}"), async || {
        let why = why(app, gateway).await;
        (verdict(&why).1 == rule).then_some(why)
    })
    .await
}

#[tokio::test]
async fn the_answer_follows_a_gateway_from_nothing_to_its_proof() {
    let app = TestApp::start().await;
    let unknown = ask(&app, "g").await.refused(404, "gateway_not_found");
    assert!(unknown.contains("g is not registered"), "{unknown}");
    ask(&app, "a%20b").await.refused(400, "invalid_gateway_id");

    run(&app, &["g".into()], "1.0.1").await;
    let nothing = why(&app, "g").await;
    assert_eq!(verdict(&nothing), ("nothing_released", "nothing_released"));
    assert_eq!(nothing["latestVersion"], Value::Null);

    app.released("1.0.2").await;
    let unasked = why(&app, "g").await;
    assert_eq!(verdict(&unasked), ("not_targeted", "not_triggered"));
    assert_eq!(unasked["currentVersion"], "1.0.1");
    assert_eq!(unasked["latestVersion"], "1.0.2");
    assert_eq!(unasked["online"], true);

    let task = app.trigger("g", "1.0.2").await.data();
    let unanswered = why_by(&app, "g", "command_unanswered").await;
    assert_eq!(unanswered["verdict"], "waiting");
    assert_eq!(unanswered["findings"][0]["taskId"], task["taskId"]);
    assert!(
        message(&unanswered, "command_unanswered").contains("was sent"),
        "{unanswered}"
    );

    meet(&app, &task, Fate::Lingers).await;
    let downloading = why(&app, "g").await;
    assert_eq!(verdict(&downloading), ("updating", "downloading"));
    let summary = downloading["summary"].as_str().unwrap();
    assert!(
        summary.contains("downloading 1.0.2 at 10 %, nothing new since 20"),
        "{summary}"
    );
    assert!(
        downloading["findings"][0]["until"].is_string(),
        "{downloading}"
    );

    meet(&app, &task, Fate::Fails).await;
    let failed = why(&app, "g").await;
    assert_eq!(verdict(&failed), ("failed", "task_failed"));
    let told = message(&failed, "task_failed");
    let retry = format!("/api/ota/task/{}/retry", task["taskId"].as_str().unwrap());
    assert!(
        told.contains("DIGEST_MISMATCH") && told.contains(&retry),
        "{told}"
    );
    assert!(told.contains("its last report, failed at 10 %"), "{told}");

    let again = app.post(&retry).await.data();
    meet(&app, &again, Fate::Vanishes).await;
    assert_eq!(
        verdict(&why(&app, "g").await),
        ("updating", "proof_awaited")
    );
    run(&app, &["g".into()], "1.0.2").await;
    assert_eq!(
        verdict(&why(&app, "g").await),
        ("up_to_date", "runs_latest")
    );
    app.stop().await;
}

#[tokio::test]
async fn a_gateway_that_was_triggered_before_it_ever_connected_is_waited_for() {
    let app = TestApp::start().await;
    app.released("1.0.2").await;
    app.trigger("g", "1.0.2").await.data();
    let why = why_by(&app, "g", "waits_for_gateway").await;
    assert_eq!(why["verdict"], "waiting");
    assert!(
        message(&why, "waits_for_gateway").contains("offline, never heard of"),
        "{why}"
    );
    message(&why, "never_heard_of");
    message(&why, "version_unknown");
    app.stop().await;
}

/// Who comes later, and whom another rollout does not mean.
async fn outsiders(app: &TestApp, member: &str) {
    run(app, &["late".into()], "1.0.1").await;
    let other = json!({
        "name": "one", "version": "1.0.2", "target": { "filter": "id:late" },
        "startAt": "2100-01-01T00:00:00Z"
    });
    create(app, other).await;
    let late = why(app, "late").await;
    assert_eq!(verdict(&late), ("waiting", "rollout_scheduled"));
    assert_eq!(late["findings"][0]["until"], "2100-01-01T00:00:00Z");
    assert!(
        message(&late, "joins_nobody").contains("\"spring\""),
        "{late}"
    );
    let later = why(app, member).await;
    let told = message(&later, "not_in_target");
    let expected = format!("it is for id:late, and its id is {}", member);
    assert!(
        told.contains("\"one\"") && told.contains(&expected),
        "{told}"
    );
}

/// All but the one that was sent to stand in a queue.
async fn queue(app: &TestApp, wave: &[String], sent: &Value) {
    let mut places = Vec::new();
    for gateway in wave {
        if sent["gatewayId"] != gateway.as_str() {
            let queued = why(app, gateway).await;
            assert_eq!(verdict(&queued), ("waiting", "in_flight_limit"));
            let told = message(&queued, "in_flight_limit");
            assert!(
                told.contains("1 under way of at most 1 (maxInFlight)"),
                "{told}"
            );
            places.push(told.rsplit("; ").next().unwrap().to_owned());
        }
    }
    places.sort();
    let mut expected: Vec<String> = (2..8)
        .map(|n| format!("{n} gateways wait before it"))
        .collect();
    expected.insert(0, "1 gateway waits before it".to_owned());
    expected.push("it is the next".to_owned());
    assert_eq!(places, expected);
}

/// What gateways are told while a rollout goes through its waves.
async fn rollout_story(setup: Setup) {
    let app = setup.start().await;
    app.released("1.0.2").await;
    run(&app, &ids("g", 10), "1.0.1").await;
    let request = json!({
        "name": "spring", "version": "1.0.2", "waves": [10, 100], "maxInFlight": 1, "jitterSeconds": 0
    });
    let id = create(&app, request).await;
    let first = &members(&app, &id, "wave=1").await[0];
    let second = members(&app, &id, "wave=2").await;
    let active = why_by(&app, first, "command_unanswered").await;
    assert_eq!(active["findings"][0]["rolloutId"], id);
    assert!(
        message(&active, "in_rollout").contains("wave 1 of 2"),
        "{active}"
    );
    let later = why(&app, &second[0]).await;
    assert_eq!(verdict(&later), ("waiting", "wave_not_begun"));
    let told = message(&later, "wave_not_begun");
    assert!(
        told.contains("wave 1 runs (0 of 1 confirmed, 1 active)"),
        "{told}"
    );

    outsiders(&app, &second[0]).await;

    app.post(&format!("/api/ota/rollouts/{id}/pause"))
        .await
        .data();
    let paused = why_by(&app, first, "rollout_paused").await;
    assert_eq!(paused["verdict"], "blocked");
    app.post(&format!("/api/ota/rollouts/{id}/resume"))
        .await
        .data();

    let fate = |gateway: &str| match gateway == first {
        true => Fate::Updates,
        false => Fate::Silent,
    };
    let one_sent = |rollout: &Value| rollout["waveCounters"][1]["active"] == 1;
    play(&app, &id, fate, one_sent).await;
    assert_eq!(
        verdict(&why(&app, first).await),
        ("up_to_date", "runs_latest")
    );
    let sent = tasks(&app, &id, "pending").await[0].clone();
    queue(&app, &second, &sent).await;

    meet(&app, &sent, Fate::RollsBack).await;
    eventually("the halt", async || {
        is("halted")(&rollout(&app, &id).await).then_some(())
    })
    .await;
    let rolled_back = why(&app, sent["gatewayId"].as_str().unwrap()).await;
    assert_eq!(verdict(&rolled_back), ("failed", "rolled_back"));
    let told = message(&rolled_back, "failed_in_rollout");
    assert!(
        told.contains("ROLLED_BACK: the gateway reported completed"),
        "{told}"
    );
    let waits = second
        .iter()
        .find(|id| sent["gatewayId"] != id.as_str())
        .unwrap();
    let halted = why(&app, waits).await;
    assert_eq!(verdict(&halted), ("blocked", "rollout_halted"));
    assert!(
        halted["summary"]
            .as_str()
            .unwrap()
            .contains("1 of 9 failed"),
        "{halted}"
    );
    app.stop().await;
}

#[tokio::test]
async fn each_gateway_of_a_rollout_is_told_what_it_waits_for() {
    rollout_story(Setup::default()).await;
}

#[tokio::test]
async fn each_gateway_of_a_rollout_on_postgres_is_told_what_it_waits_for() {
    let setup = Setup {
        postgres: true,
        ..Setup::default()
    };
    rollout_story(setup).await;
}
