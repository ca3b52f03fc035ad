//! A rollout over Linux devices that wait for the server's command.

use std::time::Duration;

use serde_json::{Value, json};

use super::{
    Scene,
    device::{Device, draft},
};
use crate::server::eventually;

const DEVICES: usize = 6;

#[tokio::test(flavor = "multi_thread")]
async fn a_rollout_takes_linux_devices_wave_by_wave_and_counts_the_one_whose_script_fails() {
    let scene = Scene::start();
    let url = &scene.server.url;
    draft("app", "1.0.0").push(url).await;
    let mut agents = Vec::new();
    let mut devices = Vec::new();
    for number in 0..DEVICES {
        let mut device = Device::new(&format!("LINUX-{number}"), url, &["app"]);
        device.set("pollSeconds", json!(1));
        // The first version as the branch has it, what comes then as the server commands.
        assert_eq!(device.poll().await.code, Some(0));
        device.set("updates", json!("command"));
        agents.push(device.start());
        devices.push(device);
    }

    let script = json!("test $OTA_DEVICE != LINUX-3 || { echo not here; exit 3; }");
    let draft = draft("app", "1.1.0").with("AfterUpdate", script);
    draft.push(url).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(devices.iter().all(|it| it.runs("app") == "app 1.0.0"));

    let path = "/api/ota/packages/app/1.1.0/release?branch=main&deviceType=linux";
    scene.api.post(path, &json!({})).await;
    let plan = json!({
        "version": "1.1.0",
        "deviceType": "linux",
        "target": {},
        "waves": [34, 100],
        "haltAtFailurePercent": 60,
        "taskTimeoutSeconds": 60,
    });
    let rollout = scene.api.post("/api/ota/rollouts", &plan).await;
    let path = format!(
        "/api/ota/rollouts/{}",
        rollout["rolloutId"].as_str().unwrap()
    );
    let mut ended = Value::Null;
    eventually("the rollout ends", Duration::from_secs(90), async || {
        ended = scene.api.get(&path).await.unwrap_or_default();
        ended["state"] == "completed"
    })
    .await;
    let counters = &ended["counters"];
    assert_eq!(counters["confirmed"], DEVICES - 1, "{ended}");
    assert_eq!(counters["failed"], 1, "{ended}");

    for device in &devices {
        let (version, code) = match device.id.as_str() {
            "LINUX-3" => ("1.0.0", json!("SCRIPT_FAILED")),
            _ => ("1.1.0", Value::Null),
        };
        assert_eq!(device.runs("app"), format!("app {version}"));
        let task = scene.newest_task(device).await;
        assert_eq!(task["errorCode"], code, "{task}");
    }
    let path = "/api/ota/statistics?deviceType=linux&version=1.1.0";
    let statistics = scene.api.get(path).await.unwrap();
    assert_eq!(statistics["completed"], DEVICES - 1, "{statistics}");
    assert_eq!(statistics["failed"], 1, "{statistics}");
    for mut agent in agents {
        let status = agent.terminate(Duration::from_secs(20)).unwrap();
        assert!(status.success(), "{}", agent.log());
    }
}
