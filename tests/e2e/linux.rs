//! Linux devices: `airlift serve` and `airlift-agent`, as processes.

mod device;
mod failures;
mod rollout;

use std::{path::Path, time::Duration};

use airlift_testkit::free_port;
use serde_json::{Value, json};

use self::device::{Device, draft};
use super::server::{Api, PATIENCE, Server, eventually};

struct Scene {
    server: Server,
    api: Api,
    folder: tempfile::TempDir,
}

impl Scene {
    fn start() -> Scene {
        let folder = tempfile::tempdir().unwrap();
        let mqtt_port = free_port().unwrap();
        let args = [format!("--mqtt-listen=127.0.0.1:{mqtt_port}")];
        let server = Server::start(folder.path(), &args, &[]);
        Scene {
            api: Api::new(&[&server.url]),
            server,
            folder,
        }
    }

    fn data_dir(&self) -> &Path {
        self.folder.path()
    }

    async fn newest_task(&self, device: &Device) -> Value {
        let path = format!("/api/ota/task/{}", device.id);
        self.api.get(&path).await.unwrap_or_default()
    }

    async fn gateway(&self, device: &Device) -> Value {
        let path = format!("/api/ota/gateways/{}", device.id);
        self.api.get(&path).await.unwrap_or_default()
    }

    /// Polls until the device's newest task is confirmed.
    async fn confirmed(&self, device: &Device) -> Value {
        for _ in 0..5 {
            let task = self.newest_task(device).await;
            if !task["confirmedAt"].is_null() {
                return task;
            }
            let poll = device.poll().await;
            assert_eq!(poll.code, Some(0), "{}", poll.output);
        }
        panic!("not confirmed: {}", self.newest_task(device).await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn three_packages_that_depend_on_each_other_are_updated_as_one() {
    let scene = Scene::start();
    let url = &scene.server.url;
    draft("base", "1.0.0").push(url).await;
    let needs = json!({ "base": "^1" });
    let lib = draft("lib", "1.9").with("dependencies", needs);
    lib.push(url).await;
    let needs = json!({ "base": "1.*", "lib": ">=1.9" });
    let app = draft("app", "1.0.0").with("dependencies", needs);
    app.push(url).await;

    let device = Device::new("LINUX-1", url, &["app", "lib", "base"]);
    let poll = device.poll().await;
    assert_eq!(poll.code, Some(0), "{}", poll.output);
    assert_eq!(device.runs("app"), "app 1.0.0");
    let first = scene.confirmed(&device).await;
    assert_eq!(first["toVersion"], "1.0.0");

    // All three at once: none of the new ones goes with an old one.
    let log = device.folder().join("order");
    let noted = json!(format!(
        "echo $OTA_PACKAGE $OTA_VERSION >>{}",
        log.display()
    ));
    let drafts = [
        draft("base", "2.0.0"),
        draft("lib", "1.10").with("dependencies", json!({ "base": "^2" })),
        draft("app", "2.0.0").with("dependencies", json!({ "base": "2.*", "lib": ">1.9" })),
    ];
    for draft in drafts {
        draft.with("AfterUpdate", noted.clone()).push(url).await;
    }
    let poll = device.poll().await;
    assert_eq!(poll.code, Some(0), "{}", poll.output);
    assert_eq!(
        std::fs::read_to_string(&log).unwrap(),
        "base 2.0.0\nlib 1.10\napp 2.0.0\n"
    );
    for (package, runs) in [
        ("app", "app 2.0.0"),
        ("lib", "lib 1.10"),
        ("base", "base 2.0.0"),
    ] {
        assert_eq!(device.runs(package), runs);
    }

    let task = scene.confirmed(&device).await;
    assert_eq!(task["status"], "completed");
    assert_eq!(task["fromVersion"], "1.0.0");
    assert_eq!(task["toVersion"], "2.0.0");
    assert_eq!(task["packages"].as_array().unwrap().len(), 3, "{task}");
    let gateway = scene.gateway(&device).await;
    assert_eq!(gateway["deviceType"], "linux");
    assert_eq!(gateway["currentVersion"], "2.0.0");
    assert_eq!(gateway["online"], true);
    assert_eq!(gateway["attributes"]["packages"]["lib"], "1.10");
    let path = "/api/ota/statistics?deviceType=linux";
    let statistics = scene.api.get(path).await.unwrap();
    assert_eq!(statistics["completed"], 2, "{statistics}");
    let path = format!("/api/ota/gateways/{}/why", device.id);
    assert!(scene.api.get(&path).await.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_falls_silent_counts_as_offline() {
    let scene = Scene::start();
    draft("app", "1.0.0").push(&scene.server.url).await;
    let mut device = Device::new("LINUX-SILENT", &scene.server.url, &["app"]);
    device.set("pollSeconds", json!(10));
    device.poll().await;
    assert_eq!(scene.gateway(&device).await["online"], true);
    eventually("it is offline", PATIENCE, async || {
        scene.gateway(&device).await["online"] == false
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_withdrawn_version_is_left_for_the_one_before() {
    let scene = Scene::start();
    let url = &scene.server.url;
    draft("app", "1.0.0").push(url).await;
    draft("app", "1.1.0").push(url).await;
    let device = Device::new("LINUX-BACK", url, &["app"]);
    scene.confirmed(&device).await;
    assert_eq!(device.runs("app"), "app 1.1.0");

    let path = "/api/ota/packages/app/rollback?branch=main";
    scene.api.post(path, &json!({})).await;
    let poll = device.poll().await;
    assert_eq!(poll.code, Some(0), "{}", poll.output);
    assert_eq!(device.runs("app"), "app 1.0.0");
    scene.confirmed(&device).await;
    assert_eq!(scene.gateway(&device).await["currentVersion"], "1.0.0");
}

#[tokio::test(flavor = "multi_thread")]
async fn kill_9_of_the_agent_at_any_moment_leaves_the_device_wholly_old_or_wholly_new() {
    let scene = Scene::start();
    let url = &scene.server.url;
    draft("base", "0.0.0").push(url).await;
    // So that neither ever goes alone.
    let app = draft("app", "0.0.0").with("dependencies", json!({ "base": "0.0.0" }));
    app.push(url).await;
    let device = Device::new("LINUX-KILLED", url, &["app", "base"]);
    scene.confirmed(&device).await;
    assert_eq!(device.runs("base"), "base 0.0.0");
    let (mut killed, mut current) = (0, "0.0.0".to_owned());
    for round in 1..=8_u64 {
        let version = format!("{round}.0.0");
        let slow = json!("sleep 0.05");
        let needs = json!({ "base": version });
        let base = draft("base", &version).larger(300_000);
        base.with("BeforeUpdate", slow.clone()).push(url).await;
        let app = draft("app", &version).with("dependencies", needs);
        app.with("AfterUpdate", slow).push(url).await;
        for attempt in 1.. {
            let mut agent = device.begin_poll();
            tokio::time::sleep(Duration::from_millis(25 * attempt + 7 * round)).await;
            if !agent.is_running().unwrap() {
                break;
            }
            agent.kill9().unwrap();
            killed += 1;
            // The next start puts right what the kill left; a kill may hit that too.
            if attempt > 40 {
                panic!("round {round} never ended");
            }
        }
        let both = [device.runs("app"), device.runs("base")];
        let new = [format!("app {version}"), format!("base {version}")];
        if both == new {
            current = version;
        } else {
            // Given up after three interruptions.
            assert_eq!(both, [format!("app {current}"), format!("base {current}")]);
        }
    }
    println!("killed {killed} times, {current} runs");
    assert!(killed >= 16, "{killed}");
}
