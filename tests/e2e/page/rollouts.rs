//! Rollouts and packages on the page, with real gateways.

use airlift_testkit::{Process, binary, free_port};
use reqwest::multipart::{Form, Part};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{
    super::{
        gateway::{NEW, OLD, image},
        server::{Api, PATIENCE, Server, eventually},
    },
    nothing, run,
};

/// By it, the first half of SIM-0001 to -0017 and WEAK-0001 to -0003 has all three weak ones.
const SEED_WITH_WEAK_IN_FRONT: u32 = 11;

struct Cloud {
    _folder: tempfile::TempDir,
    server: Server,
    api: Api,
    mqtt_port: u16,
}

impl Cloud {
    /// A server that has released the old version and the new one.
    async fn start() -> Cloud {
        let folder = tempfile::tempdir().unwrap();
        let mqtt_port = free_port().unwrap();
        let args = [format!("--mqtt-listen=127.0.0.1:{mqtt_port}")];
        let server = Server::start(folder.path(), &args, &[]);
        let api = Api::new(&[&server.url]);
        api.release(OLD, &image(1000)).await;
        api.release(NEW, &image(100_000)).await;
        Cloud {
            _folder: folder,
            server,
            api,
            mqtt_port,
        }
    }

    /// So many gateways of the name's beginning, once the server knows what they run.
    async fn gateways(&self, id: &str, count: usize, args: &[&str]) -> Process {
        let mut all = vec![
            format!("--id={id}"),
            format!("--fleet={count}"),
            format!("--mqtt=mqtt://127.0.0.1:{}", self.mqtt_port),
            format!("--firmware-version={OLD}"),
            "--reboot-seconds=0".to_owned(),
            "--heartbeat-seconds=1".to_owned(),
        ];
        all.extend(args.iter().map(|arg| (*arg).to_owned()));
        let process = Process::spawn(binary("airlift-gateway").unwrap(), &all, &[], id).unwrap();
        eventually("the gateways are known", PATIENCE, async || {
            let query = format!("filter=online:true%20id:{id}*");
            let known = self.api.list("/api/ota/gateways", &query).await;
            known.is_some_and(|known| {
                let runs = |gateway: &&Value| !gateway["currentVersion"].is_null();
                known.iter().filter(runs).count() == count
            })
        })
        .await;
        process
    }

    async fn roll_out(&self, request: Value) -> String {
        let rollout = self.api.post("/api/ota/rollouts", &request).await;
        rollout["rolloutId"].as_str().unwrap().to_owned()
    }

    /// A rollout that halted by gateways with empty batteries; it has begun with all of them.
    async fn halted(&self) -> String {
        let id = self
            .roll_out(json!({"version": NEW, "name": "Weak", "jitterSeconds": 0}))
            .await;
        eventually("the rollout halts", PATIENCE, async || {
            let path = format!("/api/ota/rollouts/{id}");
            let rollout = self.api.get(&path).await.unwrap_or_default();
            rollout["state"] == "halted" && rollout["counters"]["active"] == 0
        })
        .await;
        id
    }

    async fn push(&self, name: &str, version: &str, branch: &str) {
        let file = format!("{name} {version} of {branch}");
        let content = json!({
            "package": name,
            "version": version,
            "branch": branch,
            "sha256": hex::encode(Sha256::digest(&file)),
            "description": "The <b>application</b> of <script>",
            "AfterUpdate": "systemctl restart app",
            "dependencies": {"lib": ">=1.2, <2"},
        });
        let form = Form::new()
            .text("content", content.to_string())
            .part("file", Part::text(file));
        let url = format!("{}/update", self.server.url);
        let request = reqwest::Client::new().put(url).multipart(form);
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), 200, "{}", answer.text().await.unwrap());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollout_is_previewed_fills_halts_and_is_brought_to_its_end() {
    let cloud = Cloud::start().await;
    let _strong = cloud
        .gateways("SIM", 17, &["--download-bytes-per-second=100000"])
        .await;
    let mut weak = cloud.gateways("WEAK", 3, &["--battery=12"]).await;
    let input = json!({"seed": SEED_WITH_WEAK_IN_FRONT});
    run("rollout", &cloud.server.url, input, async |what| {
        assert_eq!(what, "charge");
        weak.terminate(PATIENCE).unwrap();
        weak = cloud.gateways("WEAK", 3, &["--battery=80"]).await;
        Value::Null
    })
    .await;
    let tasks = cloud.api.tasks("status=failed").await.unwrap();
    assert!(tasks.iter().all(|task| task["errorCode"] == "BATTERY_LOW"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollout_is_paused_resumed_and_cancelled_in_two_windows() {
    let cloud = Cloud::start().await;
    let slow = ["--download-bytes-per-second=25000"];
    let _gateways = cloud.gateways("SIM", 12, &slow).await;
    let request = json!({
        "version": NEW,
        "name": "Slow",
        "waves": [50, 100],
        "maxInFlight": 1,
        "jitterSeconds": 0,
    });
    let input = json!({"rolloutId": cloud.roll_out(request).await});
    run("rollout_paused", &cloud.server.url, input, nothing).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn packages_appear_are_rolled_back_released_deleted_and_pushed_by_drop() {
    let cloud = Cloud::start().await;
    let answer = async |what: &str| {
        let words: Vec<&str> = what.split(' ').collect();
        let ["push", name, version, branch] = words[..] else {
            panic!("the scenario asks for {what}");
        };
        cloud.push(name, version, branch).await;
        Value::Null
    };
    run("packages", &cloud.server.url, json!({}), answer).await;
    let tool = cloud
        .api
        .get("/api/ota/packages/tool/0.1?branch=main")
        .await;
    assert_eq!(tool.unwrap()["fileSize"], 10);
    let firmware = "/api/ota/firmware/1.10.0?deviceType=linux";
    let firmware = cloud.api.get(firmware).await.unwrap();
    assert_eq!(firmware["status"], "released");
}

/// A server with something on each screen: a rollout that has halted, and packages.
async fn furnished() -> (Cloud, String, Process) {
    let cloud = Cloud::start().await;
    let weak = cloud.gateways("WEAK", 4, &["--battery=12"]).await;
    let halted = cloud.halted().await;
    for version in ["1.9.0", "1.10.0"] {
        cloud.push("app", version, "main").await;
    }
    let list = "gatewayId,site\nAWAY-1,lab\nAWAY-2,field\n";
    let url = format!("{}/api/ota/gateways/tags", cloud.server.url);
    let request = reqwest::Client::new().post(url).body(list);
    let answer = request.header("Content-Type", "text/csv").send().await;
    assert_eq!(answer.unwrap().status(), 200);
    (cloud, halted, weak)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollout_is_made_and_paused_by_keyboard_alone() {
    let (cloud, _halted, _weak) = furnished().await;
    run("rollout_keyboard", &cloud.server.url, json!({}), nothing).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rollouts_and_packages_fit_a_phone_in_each_language() {
    let (cloud, halted, _weak) = furnished().await;
    let phone = json!({
        "viewport": {"width": 390, "height": 844},
        "isMobile": true,
        "hasTouch": true,
    });
    let input = json!({"halted": halted, "context": phone});
    run("rollout_phone", &cloud.server.url, input, nothing).await;
}
