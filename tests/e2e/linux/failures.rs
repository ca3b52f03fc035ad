//! Whatever fails, the old release works on, and the server is told why.

use std::{fs, net::SocketAddr, path::PathBuf, time::Duration};

use airlift_testkit::FaultProxy;
use serde_json::{Value, json};

use super::{
    Scene,
    device::{Device, Draft, Poll, draft},
};
use crate::server::{PATIENCE, eventually};

const OLD: &str = "1.0.0";
const NEW: &str = "1.1.0";

impl Scene {
    /// A device that runs the old version, which the server has confirmed.
    async fn device(&self, id: &str) -> Device {
        self.device_behind(id, &self.server.url).await
    }

    async fn device_behind(&self, id: &str, remote: &str) -> Device {
        draft("app", OLD).push(&self.server.url).await;
        let mut device = Device::new(id, remote, &["app"]);
        device.set("scriptTimeoutSeconds", json!(2));
        device.set("healthTimeoutSeconds", json!(2));
        self.confirmed(&device).await;
        assert_eq!(device.runs("app"), format!("app {OLD}"));
        device
    }

    /// The poll failed, the old release works, and the task says `code` and `why`.
    async fn failed(&self, device: &Device, poll: &Poll, code: &str, why: &str) {
        assert_eq!(poll.code, Some(1), "{}", poll.output);
        assert_eq!(device.runs("app"), format!("app {OLD}"), "{}", poll.output);
        let task = self.newest_task(device).await;
        assert_eq!(task["toVersion"], NEW, "{task}\n{}", poll.output);
        assert_eq!(task["status"], "failed", "{task}\n{}", poll.output);
        assert_eq!(task["errorCode"], code, "{task}\n{}", poll.output);
        let message = task["errorMessage"].as_str().unwrap();
        assert!(message.contains(why), "{message}");
        assert_eq!(self.gateway(device).await["currentVersion"], OLD);
    }

    /// Pushes a version in which nothing is wrong; the device gets it.
    async fn mended(&self, device: &Device) {
        draft("app", "1.2.0").push(&self.server.url).await;
        let poll = device.poll().await;
        assert_eq!(poll.code, Some(0), "{}", poll.output);
        assert_eq!(device.runs("app"), "app 1.2.0");
        self.confirmed(device).await;
    }
}

/// A version whose `key` is wrong fails with `code`, is left alone from then on, and the next one is
/// installed.
async fn fails(id: &str, key: &str, value: Value, code: &str, why: &str) {
    let scene = Scene::start();
    let device = scene.device(id).await;
    let draft = draft("app", NEW).with(key, value);
    draft.push(&scene.server.url).await;
    let poll = device.poll().await;
    scene.failed(&device, &poll, code, why).await;

    // It is not tried again until it changes.
    let tasks = format!("gatewayId={id}");
    let before = scene.api.tasks(&tasks).await.unwrap().len();
    device.poll().await;
    assert_eq!(scene.api.tasks(&tasks).await.unwrap().len(), before);
    scene.mended(&device).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_script_that_exits_1_is_told_with_its_last_words() {
    let script = json!("echo no licence for $OTA_VERSION; exit 1");
    let why = "no licence for 1.1.0";
    fails("LINUX-EXIT", "AfterUpdate", script, "SCRIPT_FAILED", why).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_script_that_hangs_is_ended() {
    let script = json!("echo waits for nobody; sleep 1000");
    let why = "waits for nobody";
    fails("LINUX-HANG", "BeforeUpdate", script, "SCRIPT_TIMEOUT", why).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_is_not_healthy_is_taken_back() {
    let check = json!("echo no answer; false");
    let why = "no answer";
    fails("LINUX-ILL", "health", check, "HEALTH_FAILED", why).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_rotted_on_the_server_is_refused() {
    let scene = Scene::start();
    let device = scene.device("LINUX-ROT").await;
    let draft = draft("app", NEW);
    draft.push(&scene.server.url).await;
    let blob = blob_of(&scene, &draft);
    let mut bytes = fs::read(&blob).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&blob, bytes).unwrap();
    let poll = device.poll().await;
    let sha256 = draft.content["sha256"].as_str().unwrap();
    scene
        .failed(&device, &poll, "DIGEST_MISMATCH", sha256)
        .await;
    scene.mended(&device).await;
}

fn blob_of(scene: &Scene, draft: &Draft) -> PathBuf {
    let sha256 = draft.content["sha256"].as_str().unwrap();
    let mut folders = vec![scene.data_dir().to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => folders.push(path),
                false if path.ends_with(sha256) => return path,
                false => {}
            }
        }
    }
    panic!("the server has no blob {sha256}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_goes_in_the_middle_costs_the_update_and_hears_of_it_when_it_is_back() {
    let scene = Scene::start();
    let address: SocketAddr = scene.server.url["http://".len()..].parse().unwrap();
    let proxy = FaultProxy::start(address).unwrap();
    let remote = format!("http://{}", proxy.addr());
    let device = scene.device_behind("LINUX-ALONE", &remote).await;
    let large = draft("app", NEW).larger(2_000_000);
    large.push(&scene.server.url).await;

    let cuts = proxy.cuts_fired();
    proxy.cut_after(500_000);
    let mut agent = device.begin_poll();
    eventually("the download is cut", PATIENCE, async || {
        proxy.cuts_fired() > cuts
    })
    .await;
    proxy.refuse(true).unwrap();
    // Also the connections that it kept open.
    proxy.cut();
    let status = agent.wait(Duration::from_secs(200)).unwrap();
    assert_eq!(status.code(), Some(1), "{}", agent.log());
    assert_eq!(device.runs("app"), format!("app {OLD}"));
    let task = scene.newest_task(&device).await;
    assert_eq!(task["status"], "downloading", "{task}");

    // Back again: it hears what was, and the rest is downloaded.
    proxy.refuse(false).unwrap();
    scene.confirmed(&device).await;
    assert_eq!(device.runs("app"), format!("app {NEW}"));
    let tasks = scene.api.tasks("gatewayId=LINUX-ALONE").await.unwrap();
    let failed: Vec<&Value> = tasks.iter().filter(|it| it["status"] == "failed").collect();
    assert_eq!(failed.len(), 1, "{tasks:?}");
    assert_eq!(failed[0]["errorCode"], "DOWNLOAD_FAILED");
}

/// In a mount namespace of its own, on a file system of 8 MiB.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_costs_the_update_and_nothing_else() {
    let scene = Scene::start();
    let url = &scene.server.url;
    draft("app", OLD).push(url).await;
    let large = draft("app", NEW).larger(12 << 20);
    large.with("branch", json!("large")).push(url).await;

    let mut device = Device::new("LINUX-FULL", url, &["app"]);
    let small = device.folder().join("small");
    fs::create_dir(&small).unwrap();
    device.set("stateDir", json!(small.join("state")));
    let configs = [device.config(), device.folder().join("large.json")];
    let old_config = fs::read_to_string(&configs[0]).unwrap();
    device.set_of_packages("branch", &json!("large"));
    fs::rename(&configs[0], &configs[1]).unwrap();
    fs::write(&configs[0], old_config).unwrap();

    let agent = airlift_testkit::binary("airlift-agent").unwrap();
    let script = r#"
        mount -t tmpfs -o size=8m tmpfs "$1" || exit 77
        "$2" --config "$3" --once || exit 78
        "$2" --config "$4" --once
        echo "the agent says $?"
        "$5"
        df --output=avail -k "$1" | tail -n 1
    "#;
    let output = tokio::process::Command::new("unshare")
        .args([
            "--user",
            "--map-root-user",
            "--mount",
            "sh",
            "-c",
            script,
            "sh",
        ])
        .args([&small, &agent, &configs[0], &configs[1]])
        .arg(device.local("app").join("bin/run"))
        .output()
        .await
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let all = format!("{text}\n{}", String::from_utf8_lossy(&output.stderr));
    let lines: Vec<&str> = text.lines().collect();
    let [.., said, runs, free] = &lines[..] else {
        panic!("{all}");
    };
    assert_eq!(*said, "the agent says 1", "{all}");
    assert_eq!(*runs, format!("app {OLD}"), "{all}");
    let free: u64 = free.trim().parse().unwrap();
    assert!(free > 7 << 10, "{free} KiB are free again: {all}");
    let task = scene.newest_task(&device).await;
    assert_eq!(task["status"], "failed", "{task}\n{all}");
    assert_eq!(task["errorCode"], "DISK_FULL", "{task}\n{all}");
}
