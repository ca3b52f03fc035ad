//! Who a rollout is for: targets, refusals, dry runs, the way over several versions.

use serde_json::{Value, json};

use crate::{
    app::{Setup, TestApp},
    crowd::{Fate, create, ids, is, meet, members, play, run},
};

const ROLLOUTS: &str = "/api/ota/rollouts";
const DRY_RUN: &str = "/api/ota/rollouts/dry-run";

/// A request that is refused: what it has besides a version that exists, the status, the code and
/// words of its sentence.
type Refusal = (Value, u16, &'static str, &'static str);

fn refused_targets() -> Vec<Refusal> {
    let target = |target: Value| json!({ "target": target });
    vec![
        (
            json!({ "version": "9.9.9" }),
            404,
            "firmware_not_found",
            "9.9.9",
        ),
        (
            json!({ "version": "1.0.3" }),
            409,
            "firmware_not_installable",
            "draft",
        ),
        (
            json!({ "deviceType": "other" }),
            404,
            "firmware_not_found",
            "other",
        ),
        (
            json!({ "deviceType": "/" }),
            400,
            "invalid_device_type",
            "\"/\"",
        ),
        (
            target(json!({ "gatewayIds": [] })),
            400,
            "empty_target",
            "empty",
        ),
        (
            target(json!({ "gatewayIds": ["g000", "nobody"] })),
            404,
            "gateway_not_found",
            "nobody",
        ),
        (
            target(json!({ "tags": { "site": "moon" } })),
            409,
            "empty_target",
            "matches the target",
        ),
        (
            target(json!({ "currentVersion": ">=1.0.2" })),
            409,
            "empty_target",
            "matches the target",
        ),
        (
            target(json!({ "currentVersion": "old" })),
            400,
            "invalid_target",
            "`old`",
        ),
        (
            target(json!({ "filter": "colour:red" })),
            400,
            "invalid_target",
            "colour:red",
        ),
        (
            target(json!({ "tags": { "": "x" } })),
            400,
            "invalid_target",
            "key",
        ),
        (
            target(json!({ "site": "lab" })),
            400,
            "invalid_json",
            "site",
        ),
        (json!({ "wafes": [100] }), 400, "invalid_json", "wafes"),
    ]
}

fn refused_plans() -> Vec<Refusal> {
    let window = |from: &str, to: &str, timezone: &str| json!({ "window": { "from": from, "to": to, "timezone": timezone } });
    vec![
        (json!({ "waves": [] }), 400, "waves_empty", "[100]"),
        (
            json!({ "waves": [50, 10] }),
            400,
            "waves_not_rising",
            "10 %",
        ),
        (
            json!({ "waves": [50, 50] }),
            400,
            "waves_not_rising",
            "50 %",
        ),
        (json!({ "waves": [50, 120] }), 400, "wave_above_100", "120"),
        (json!({ "waves": [0, 100] }), 400, "wave_zero", "0 %"),
        (
            window("01:00", "01:00", "Asia/Shanghai"),
            400,
            "window_empty",
            "01:00",
        ),
        (
            window("01:00", "05:00", "Asia/Atlantis"),
            400,
            "unknown_timezone",
            "Atlantis",
        ),
        (
            window("25:00", "05:00", "Asia/Shanghai"),
            400,
            "window_from_invalid",
            "25:00",
        ),
        (
            window("01:00", "5", "Asia/Shanghai"),
            400,
            "window_to_invalid",
            "\"5\"",
        ),
        (
            window("01:00", "01:05", "Asia/Shanghai"),
            400,
            "window_shorter_than_timeout",
            "300 s",
        ),
        (
            json!({ "maxInFlight": 0 }),
            400,
            "invalid_max_in_flight",
            "0",
        ),
        (
            json!({ "commandsPerMinute": 0 }),
            400,
            "invalid_commands_per_minute",
            "0",
        ),
        (
            json!({ "haltAtFailurePercent": 101 }),
            400,
            "invalid_halt_percent",
            "101",
        ),
        (
            json!({ "taskTimeoutSeconds": 0 }),
            400,
            "invalid_task_timeout",
            "0",
        ),
        (
            json!({ "joinUntil": "2020-01-01T00:00:00Z" }),
            400,
            "join_until_past",
            "2020",
        ),
        (
            json!({ "startAt": "+10026-03-01T00:00:00Z" }),
            400,
            "time_too_far",
            "startAt",
        ),
        (
            json!({ "joinUntil": "+10026-03-01T00:00:00Z" }),
            400,
            "time_too_far",
            "joinUntil",
        ),
        (json!({ "seed": -1 }), 400, "invalid_seed", "-1"),
    ]
}

#[tokio::test]
async fn every_refusal_has_its_sentence() {
    let app = TestApp::start().await;
    app.released("1.0.2").await;
    app.upload("1.0.3", b"a draft").await.data();
    run(&app, &ids("g", 3), "1.0.1").await;
    for (mut request, status, code, words) in [refused_targets(), refused_plans()].concat() {
        if request.get("version").is_none() {
            request["version"] = json!("1.0.2");
        }
        for path in [ROLLOUTS, DRY_RUN] {
            // A dry run of nobody says who is left out instead.
            if path == DRY_RUN && status == 409 && code == "empty_target" {
                continue;
            }
            let answer = app.post_json(path, request.clone()).await;
            let message = answer.refused(status, code);
            assert!(message.contains(words), "{request}: {message}");
        }
    }
    app.post(ROLLOUTS).await.refused(400, "no_body");
    assert_eq!(app.get(ROLLOUTS).await.data()["items"], json!([]));
    let path = format!("{ROLLOUTS}/{}", uuid::Uuid::nil());
    for path in [
        path.clone(),
        format!("{path}/tasks"),
        format!("{path}/gateways"),
    ] {
        app.get(&path).await.refused(404, "rollout_not_found");
    }
    let pause = format!("{path}/pause");
    app.post(&pause).await.refused(404, "rollout_not_found");
    let no_id = format!("{ROLLOUTS}/x");
    app.get(&no_id).await.refused(400, "invalid_rollout_id");
    app.stop().await;
}

/// A fleet of every kind: who gets 2.0.0, which wants at least 1.4.0, on which way.
async fn motley(app: &TestApp) {
    for (version, min_version) in [("1.0.0", ""), ("1.4.0", ""), ("2.0.0", "1.4.0")] {
        let form = reqwest::multipart::Form::new()
            .text("version", version)
            .text("minVersion", min_version)
            .part("file", crate::app::file_part(version.as_bytes()));
        app.post_form(crate::app::UPLOAD, form).await.data();
        app.release(version).await.data();
    }
    for (prefix, version) in [
        ("old", "1.0.0"),
        ("mid", "1.4.0"),
        ("now", "2.0.0"),
        ("new", "2.1.0"),
        ("odd", "main"),
    ] {
        run(app, &ids(prefix, 3), version).await;
    }
}

#[tokio::test]
async fn a_dry_run_says_who_would_get_what_and_the_rollout_does_that() {
    for postgres in [false, true] {
        let setup = Setup {
            postgres,
            ..Setup::default()
        };
        let app = setup.start().await;
        motley(&app).await;
        let request =
            json!({ "version": "2.0.0", "waves": [50, 100], "seed": 7, "jitterSeconds": 0 });
        let said = app.post_json(DRY_RUN, request.clone()).await.data();
        assert_eq!(said["included"], 6);
        assert_eq!(said["excluded"], 9);
        let reasons: Vec<(&str, i64)> = said["exclusions"]
            .as_array()
            .unwrap()
            .iter()
            .map(|it| {
                (
                    it["reason"].as_str().unwrap(),
                    it["total"].as_i64().unwrap(),
                )
            })
            .collect();
        assert_eq!(
            reasons,
            [
                ("already_runs", 3),
                ("downgrade", 3),
                ("version_unknown", 3)
            ]
        );
        let gateways = said["gateways"]["items"].as_array().unwrap();
        assert_eq!(gateways.len(), 15);
        let id = create(&app, request).await;
        for wave in 1..=2 {
            let promised: Vec<&str> = gateways
                .iter()
                .filter(|it| it["wave"] == wave)
                .map(|it| it["gatewayId"].as_str().unwrap())
                .collect();
            assert_eq!(promised.len(), 3);
            assert_eq!(members(&app, &id, &format!("wave={wave}")).await, promised);
        }
        let path = |id: &str| {
            let gateway = gateways.iter().find(|it| it["gatewayId"] == id).unwrap();
            gateway["path"].clone()
        };
        assert_eq!(path("old000"), json!(["1.4.0", "2.0.0"]));
        assert_eq!(path("mid000"), json!(["2.0.0"]));
        assert_eq!(path("new000"), json!([]));
        // Those in between go there by themselves.
        let ended = play(&app, &id, |_| Fate::Updates, is("completed")).await;
        assert_eq!(ended["counters"]["confirmed"], 6, "{ended}");
        let versions = app
            .get("/api/ota/gateways?currentVersion=2.0.0")
            .await
            .data();
        assert_eq!(versions["items"].as_array().unwrap().len(), 9);
        app.stop().await;
    }
}

#[tokio::test]
async fn a_forced_rollout_goes_back_but_never_over_a_gap() {
    let app = TestApp::start().await;
    motley(&app).await;
    let request = json!({ "version": "1.4.0", "forceUpgrade": true, "jitterSeconds": 0 });
    let said = app.post_json(DRY_RUN, request.clone()).await.data();
    assert_eq!(said["included"], 12, "{said}");
    let id = create(&app, request).await;
    let ended = play(&app, &id, |_| Fate::Updates, is("completed")).await;
    assert_eq!(ended["counters"]["confirmed"], 12, "{ended}");
    app.stop().await;
}

#[tokio::test]
async fn a_target_is_what_all_its_parts_mean() {
    let app = TestApp::start().await;
    app.released("1.0.2").await;
    run(&app, &ids("a", 4), "1.0.0").await;
    run(&app, &ids("b", 4), "1.0.1").await;
    for id in ["a000", "a001", "b000", "b001"] {
        let tags = json!({ "tags": { "site": "lab", "floor": id } });
        app.patch_json(&format!("/api/ota/gateways/{id}"), tags)
            .await
            .data();
    }
    for (target, expected) in [
        (json!({}), 8),
        (json!({ "tags": { "site": "lab" } }), 4),
        (json!({ "tags": { "site": "lab", "floor": "a001" } }), 1),
        (json!({ "currentVersion": "<1.0.1" }), 4),
        (
            json!({ "tags": { "site": "lab" }, "currentVersion": "1.0.1" }),
            2,
        ),
        (
            json!({ "gatewayIds": ["a000", "a003", "b000"], "tags": { "site": "lab" } }),
            2,
        ),
        (json!({ "filter": "id:b* tag:floor" }), 2),
    ] {
        let request = json!({ "version": "1.0.2", "target": target });
        let said = app.post_json(DRY_RUN, request).await.data();
        assert_eq!(said["included"], expected, "{target}");
    }
    app.stop().await;
}

#[tokio::test]
async fn a_batch_of_a_percentage_ends_with_it() {
    let app = TestApp::start().await;
    app.released("1.0.2").await;
    run(&app, &ids("g", 20), "1.0.1").await;
    let id = create(
        &app,
        json!({ "version": "1.0.2", "waves": [5, 25], "jitterSeconds": 0 }),
    )
    .await;
    let ended = play(&app, &id, |_| Fate::Updates, is("completed")).await;
    assert_eq!(ended["counters"]["total"], 5);
    assert_eq!(members(&app, &id, "").await.len(), 5);
    let all = app.get("/api/ota/tasks").await.data();
    assert_eq!(all["items"].as_array().map(Vec::len), Some(5));
    app.stop().await;
}

#[tokio::test]
async fn an_upgrade_that_is_under_way_is_taken_over_or_left_alone() {
    let app = TestApp::start().await;
    app.released("1.0.2").await;
    app.released("1.0.3").await;
    run(&app, &ids("g", 3), "1.0.1").await;
    let same = app.trigger("g000", "1.0.3").await.data();
    let other = app.trigger("g001", "1.0.2").await.data();
    let id = create(&app, json!({ "version": "1.0.3", "jitterSeconds": 0 })).await;
    let fate = |gateway: &str| match gateway {
        "g001" => Fate::Silent,
        _ => Fate::Updates,
    };
    let ended = play(&app, &id, fate, is("completed")).await;
    assert_eq!(ended["counters"]["confirmed"], 2, "{ended}");
    assert_eq!(ended["counters"]["skipped"], 1, "{ended}");
    assert_eq!(app.task("g000").await["taskId"], same["taskId"]);
    let left: Value = app.task("g001").await;
    assert_eq!(
        (&left["taskId"], &left["status"]),
        (&other["taskId"], &json!("pending"))
    );
    let path = format!("{ROLLOUTS}/{id}/gateways?state=skipped");
    let skipped = app.get(&path).await.data();
    let reason = skipped["items"][0]["reason"].as_str().unwrap();
    assert!(reason.starts_with("it is on its way to 1.0.2"), "{reason}");
    // Once it is free, a retry reaches it, too.
    meet(&app, &other, Fate::Fails).await;
    let path = format!("{ROLLOUTS}/{id}/retry");
    app.post(&path).await.data();
    let ended = play(&app, &id, |_| Fate::Updates, is("completed")).await;
    assert_eq!(ended["counters"]["confirmed"], 3, "{ended}");
    assert_eq!(ended["counters"]["skipped"], 0, "{ended}");
    app.stop().await;
}
