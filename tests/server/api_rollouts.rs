//! `/api/ota/rollouts`: who gets it, in which order, and when it stops.

use serde_json::{Value, json};

use crate::{
    app::TestApp,
    crowd::{Fate, create, ids, is, members, play, run, tasks},
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
