//! Upgrades of the real gateway, `airlift-gateway`, by a server on its embedded defaults.

use std::{
    fs::File,
    io::{Read, Seek, SeekFrom},
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use airlift_testkit::{FaultProxy, Mosquitto, MosquittoOptions, Process, binary, free_port};
use chrono::{DateTime, Utc};
use rand::{RngCore, SeedableRng};
use serde_json::Value;

use super::server::{Api, PATIENCE, Server, eventually};

pub const OLD: &str = "1.0.1";
pub const NEW: &str = "1.0.2";
/// Where the first upgrade goes in the flash of a raw gateway: its partition `ota_1`.
const SLOT: u64 = 0x4001_0000;
/// Bytes of an image that are written last.
const HEAD_BYTES: usize = 16;

/// A server with its built-in broker.
struct Cloud {
    folder: tempfile::TempDir,
    server: Server,
    api: Api,
    mqtt_port: u16,
}

impl Cloud {
    fn start() -> Cloud {
        let folder = tempfile::tempdir().unwrap();
        let mqtt_port = free_port().unwrap();
        let args = [format!("--mqtt-listen=127.0.0.1:{mqtt_port}")];
        let server = Server::start(folder.path(), &args, &[]);
        Cloud::new(folder, server, mqtt_port)
    }

    /// One whose gateways download through a proxy.
    fn start_behind_proxy() -> (Cloud, FaultProxy) {
        let folder = tempfile::tempdir().unwrap();
        let mqtt_port = free_port().unwrap();
        let address = SocketAddr::from(([127, 0, 0, 1], free_port().unwrap()));
        let proxy = FaultProxy::start(address).unwrap();
        let args = [
            "serve".to_owned(),
            format!("--listen={address}"),
            format!("--public-url=http://{}", proxy.addr()),
            format!("--data-dir={}", folder.path().display()),
            format!("--mqtt-listen=127.0.0.1:{mqtt_port}"),
        ];
        let process = Process::spawn(binary("airlift").unwrap(), &args, &[], "airlift").unwrap();
        let url = format!("http://{address}");
        let mut server = Server { process, url };
        server.wait_until_serving();
        (Cloud::new(folder, server, mqtt_port), proxy)
    }

    fn new(folder: tempfile::TempDir, server: Server, mqtt_port: u16) -> Cloud {
        let api = Api::new(&[&server.url]);
        Cloud {
            folder,
            server,
            api,
            mqtt_port,
        }
    }

    /// A gateway that reboots at once and heartbeats every second; `args` come on top.
    fn gateway(&self, id: &str, args: &[&str]) -> Process {
        let mut all = vec![
            format!("--id={id}"),
            format!("--mqtt=mqtt://127.0.0.1:{}", self.mqtt_port),
            format!("--firmware-version={OLD}"),
            "--reboot-seconds=0".to_owned(),
            "--heartbeat-seconds=1".to_owned(),
        ];
        all.extend(args.iter().map(|arg| (*arg).to_owned()));
        Process::spawn(binary("airlift-gateway").unwrap(), &all, &[], id).unwrap()
    }

    async fn task(&self, gateway_id: &str) -> Value {
        let path = format!("/api/ota/task/{gateway_id}");
        self.api.get(&path).await.expect("the gateway has a task")
    }

    /// Waits for a task that `wanted` likes.
    async fn task_that(&self, gateway_id: &str, what: &str, wanted: fn(&Value) -> bool) -> Value {
        let mut task = Value::Null;
        eventually(what, PATIENCE, async || {
            task = self.task(gateway_id).await;
            wanted(&task)
        })
        .await;
        task
    }

    async fn confirmed(&self, gateway_id: &str) -> Value {
        let what = format!("{gateway_id} is confirmed");
        let task = self
            .task_that(gateway_id, &what, |task| !task["confirmedAt"].is_null())
            .await;
        assert_eq!(task["status"], "completed", "{task}");
        assert_eq!(task["progress"], 100, "{task}");
        task
    }

    /// Waits for the failed task of an upgrade, and until the old version was heard after it.
    async fn failed_and_runs_on(&self, gateway: &mut Process, gateway_id: &str) -> Value {
        let task = self
            .task_that(gateway_id, "the task fails", |task| {
                task["status"] == "failed"
            })
            .await;
        self.old_version_runs_on(gateway, gateway_id, &task).await;
        task
    }

    async fn old_version_runs_on(&self, gateway: &mut Process, gateway_id: &str, ended: &Value) {
        let ended_at = time(&ended["completeTime"]);
        let path = format!("/api/ota/gateways/{gateway_id}");
        let mut seen = Value::Null;
        eventually("a heartbeat after the end", PATIENCE, async || {
            seen = self.api.get(&path).await.unwrap();
            time(&seen["lastSeenAt"]) > ended_at
        })
        .await;
        assert_eq!(seen["currentVersion"], OLD, "{seen}");
        assert_eq!(seen["online"], true, "{seen}");
        assert!(gateway.is_running().unwrap());
        assert_slot_has_no_head(gateway, gateway_id);
    }

    async fn metric(&self, name: &str, label: &str) -> u64 {
        self.server.metric(name, label).await
    }
}

pub fn time(value: &Value) -> DateTime<Utc> {
    value.as_str().unwrap().parse().unwrap()
}

/// The flash of a gateway, which keeps its files in the folder it runs in.
fn flash_of(gateway: &Process, gateway_id: &str) -> PathBuf {
    gateway.folder().join(format!("{gateway_id}.img"))
}

/// At most so many bytes of the slot that the first upgrade goes to.
fn slot(gateway: &Process, gateway_id: &str, bytes: usize) -> Vec<u8> {
    let mut flash = File::open(flash_of(gateway, gateway_id)).unwrap();
    flash.seek(SeekFrom::Start(SLOT)).unwrap();
    let mut slot = Vec::new();
    flash.take(bytes as u64).read_to_end(&mut slot).unwrap();
    slot
}

pub fn assert_slot_holds(gateway: &Process, gateway_id: &str, image: &[u8]) {
    assert!(slot(gateway, gateway_id, image.len()) == image);
}

/// Whatever came of a download, it does not look like an image.
fn assert_slot_has_no_head(gateway: &Process, gateway_id: &str) {
    let head = slot(gateway, gateway_id, HEAD_BYTES);
    assert!(head.iter().all(|byte| *byte == 0xFF), "{head:02x?}");
}

/// Bytes of which no two stretches are alike, so that a wrong resume shows.
pub fn image(size: usize) -> Vec<u8> {
    let mut random = rand::rngs::StdRng::seed_from_u64(size as u64);
    let mut image = vec![0; size];
    random.fill_bytes(&mut image);
    image
}

/// The byte at which the gateway's log says that the server continued the file.
fn resumed_at(gateway: &Process) -> u64 {
    let log = gateway.log();
    let (_, after) = log
        .split_once("resumes the download at byte ")
        .unwrap_or_else(|| panic!("no resume in {log}"));
    let digits = after.split_whitespace().next().unwrap();
    digits.parse().unwrap()
}

fn find(folder: &Path, name: &str) -> Option<PathBuf> {
    folder.read_dir().unwrap().find_map(|entry| {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => find(&path, name),
            false => (path.file_name()? == name).then_some(path),
        }
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upgrade_ends_confirmed_and_the_image_equals_the_upload() {
    let cloud = Cloud::start();
    let image = image(3_000_001);
    cloud.api.release(NEW, &image).await;
    let mut gateway = cloud.gateway("WHOLE", &["--exit-after-update"]);
    cloud.api.trigger("WHOLE", NEW).await;
    let status = gateway.wait(PATIENCE).unwrap();
    assert!(status.success(), "{status}: {}", gateway.log());
    cloud.confirmed("WHOLE").await;
    assert_slot_holds(&gateway, "WHOLE", &image);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_download_that_is_cut_resumes_where_it_was() {
    const SIZE: u64 = 2_000_003;
    const CUT_AFTER: u64 = 700_000;
    let (cloud, proxy) = Cloud::start_behind_proxy();
    let image = image(SIZE as usize);
    cloud.api.release(NEW, &image).await;
    proxy.cut_after(CUT_AFTER);
    let mut gateway = cloud.gateway("CUT", &["--exit-after-update"]);
    cloud.api.trigger("CUT", NEW).await;
    let status = gateway.wait(PATIENCE).unwrap();
    assert!(status.success(), "{status}: {}", gateway.log());
    cloud.confirmed("CUT").await;
    assert_slot_holds(&gateway, "CUT", &image);

    assert_eq!(proxy.cuts_fired(), 1);
    assert_eq!(proxy.connections(), 2);
    let offset = resumed_at(&gateway);
    assert!((1..=CUT_AFTER).contains(&offset), "{offset}");
    let route = "airlift_http_requests_total{";
    assert_eq!(cloud.metric(route, "status=\"206\"").await, 1);
    // What the server was asked for: all, then the rest alone.
    let asked = cloud.metric("airlift_download_bytes_total", "").await;
    assert_eq!(asked, SIZE + SIZE - offset);
}

#[tokio::test(flavor = "multi_thread")]
async fn kill_9_of_the_gateway_in_mid_download_costs_only_the_rest() {
    const SIZE: u64 = 1_000_003;
    let cloud = Cloud::start();
    let image = image(SIZE as usize);
    cloud.api.release(NEW, &image).await;
    let slow = "--download-bytes-per-second=150000";
    let mut gateway = cloud.gateway("KILLED", &["--exit-after-update", slow]);
    cloud.api.trigger("KILLED", NEW).await;
    cloud
        .task_that("KILLED", "a third is downloaded", |task| {
            task["progress"].as_u64().unwrap() >= 30
        })
        .await;
    gateway.kill9().unwrap();
    let task = cloud.task("KILLED").await;
    assert_eq!(task["status"], "downloading", "{task}");
    assert!((30..90).contains(&task["progress"].as_u64().unwrap()));
    let flash = std::fs::metadata(flash_of(&gateway, "KILLED"));
    assert!(flash.unwrap().len() < SLOT + SIZE);
    assert_slot_has_no_head(&gateway, "KILLED");

    gateway.start_again().unwrap();
    let status = gateway.wait(PATIENCE).unwrap();
    assert!(status.success(), "{status}: {}", gateway.log());
    cloud.confirmed("KILLED").await;
    assert_slot_holds(&gateway, "KILLED", &image);
    assert!(resumed_at(&gateway) >= SIZE / 4, "{}", gateway.log());
    let route = "airlift_http_requests_total{";
    assert_eq!(cloud.metric(route, "status=\"206\"").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_with_a_wrong_digest_is_refused_and_the_old_version_runs_on() {
    let cloud = Cloud::start();
    let mut image = image(500_000);
    cloud.api.release(NEW, &image).await;
    let path = format!("/api/ota/firmware/{NEW}");
    let firmware = cloud.api.get(&path).await.unwrap();
    let blob = find(cloud.folder.path(), firmware["sha256"].as_str().unwrap()).unwrap();
    image[250_000] ^= 1;
    std::fs::write(blob, &image).unwrap();

    let mut gateway = cloud.gateway("BITROT", &[]);
    cloud.api.trigger("BITROT", NEW).await;
    let task = cloud.failed_and_runs_on(&mut gateway, "BITROT").await;
    assert_eq!(task["errorCode"], "DIGEST_MISMATCH", "{task}");
    assert!(task["confirmedAt"].is_null(), "{task}");
}

#[tokio::test(flavor = "multi_thread")]
async fn under_20_percent_of_battery_an_upgrade_is_refused_unfetched() {
    let cloud = Cloud::start();
    cloud.api.release(NEW, &image(10_000)).await;
    let mut gateway = cloud.gateway("WEAK", &["--battery=19"]);
    cloud.api.trigger("WEAK", NEW).await;
    let task = cloud.failed_and_runs_on(&mut gateway, "WEAK").await;
    assert_eq!(task["errorCode"], "BATTERY_LOW", "{task}");
    assert_eq!(task["progress"], 0, "{task}");
    assert_eq!(cloud.metric("airlift_download_bytes_total", "").await, 0);

    let _gateway = cloud.gateway("STRONG-ENOUGH", &["--battery=20"]);
    cloud.api.trigger("STRONG-ENOUGH", NEW).await;
    cloud.confirmed("STRONG-ENOUGH").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_was_away_gets_its_upgrade_when_it_comes() {
    let cloud = Cloud::start();
    let image = image(100_000);
    cloud.api.release(NEW, &image).await;
    let mut known = cloud.gateway("KNOWN", &[]);
    let line = "KNOWN heartbeat";
    known.wait_for_line(line, PATIENCE).unwrap();
    let status = known.terminate(PATIENCE).unwrap();
    assert!(status.success(), "{status}");
    eventually("the server knows that it left", PATIENCE, async || {
        let gateway = cloud.api.get("/api/ota/gateways/KNOWN").await;
        gateway.is_some_and(|gateway| gateway["online"] == false)
    })
    .await;

    for id in ["KNOWN", "NEVER-HEARD-OF"] {
        cloud.api.trigger(id, NEW).await;
    }
    // Long enough for the command to be sent to nobody.
    tokio::time::sleep(Duration::from_secs(1)).await;
    for id in ["KNOWN", "NEVER-HEARD-OF"] {
        let task = cloud.task(id).await;
        assert_eq!(task["status"], "pending", "{task}");
        assert_eq!(task["progress"], 0, "{task}");
    }

    known.start_again().unwrap();
    let fresh = cloud.gateway("NEVER-HEARD-OF", &[]);
    for (gateway, id) in [(&known, "KNOWN"), (&fresh, "NEVER-HEARD-OF")] {
        cloud.confirmed(id).await;
        assert_slot_holds(gateway, id, &image);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn cancel_ends_a_running_upgrade_and_the_gateway_stops() {
    let cloud = Cloud::start();
    cloud.api.release(NEW, &image(1_000_000)).await;
    // Ten seconds, if nobody cancels.
    let slow = "--download-bytes-per-second=100000";
    let mut gateway = cloud.gateway("STOPPED", &[slow]);
    cloud.api.trigger("STOPPED", NEW).await;
    let task = cloud
        .task_that("STOPPED", "the download runs", |task| {
            task["progress"].as_u64().unwrap() >= 10
        })
        .await;
    assert_eq!(task["status"], "downloading", "{task}");
    let task_id = task["taskId"].as_str().unwrap();
    let url = format!("{}/api/ota/task/{task_id}/cancel", cloud.server.url);
    let answer = reqwest::Client::new().post(url).send().await.unwrap();
    assert_eq!(answer.status(), 200, "{}", answer.text().await.unwrap());

    let line = "failed CANCELLED";
    gateway.wait_for_line(line, PATIENCE).unwrap();
    let task = cloud.task("STOPPED").await;
    cloud
        .old_version_runs_on(&mut gateway, "STOPPED", &task)
        .await;
    let task = cloud.task("STOPPED").await;
    assert_eq!(task["status"], "cancelled", "{task}");
    assert!(task["progress"].as_u64().unwrap() < 90, "{task}");
}

/// Mosquitto before 2.0.12 forgets the server's shared subscription when it restarts, and then
/// acknowledges reports that it keeps for nobody.
#[tokio::test(flavor = "multi_thread")]
async fn reports_that_nobody_heard_reach_the_server_when_it_is_back_at_the_broker() {
    let mut mosquitto = Mosquitto::start(&MosquittoOptions::default()).unwrap();
    let address = SocketAddr::from(([127, 0, 0, 1], mosquitto.port()));
    let proxy = FaultProxy::start(address).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let args = [format!("--mqtt-url=mqtt://{}", proxy.addr())];
    let server = Server::start(folder.path(), &args, &[]);
    let cloud = Cloud::new(folder, server, mosquitto.port());
    cloud.api.release(NEW, &image(300_000)).await;
    let slow = "--download-bytes-per-second=100000";
    let mut gateway = cloud.gateway("UNHEARD", &["--exit-after-update", slow]);
    cloud.api.trigger("UNHEARD", NEW).await;
    cloud
        .task_that("UNHEARD", "the download runs", |task| {
            task["progress"].as_u64().unwrap() >= 10
        })
        .await;

    proxy.refuse(true).unwrap();
    mosquitto.terminate().unwrap();
    mosquitto.start_again().unwrap();
    let line = "UNHEARD completed (";
    gateway.wait_for_line(line, PATIENCE).unwrap();
    // Long enough for the broker to acknowledge it.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let task = cloud.task("UNHEARD").await;
    assert_eq!(task["status"], "downloading", "{task}");

    proxy.refuse(false).unwrap();
    let status = gateway.wait(PATIENCE).unwrap();
    assert!(status.success(), "{status}: {}", gateway.log());
    cloud.confirmed("UNHEARD").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fleet_of_fifty_ends_confirmed() {
    const GATEWAYS: usize = 50;
    let cloud = Cloud::start();
    let image = image(200_000);
    cloud.api.release(NEW, &image).await;
    let fleet = format!("--fleet={GATEWAYS}");
    let mut gateways = cloud.gateway("FLEET", &["--exit-after-update", &fleet]);
    let ids: Vec<String> = (1..=GATEWAYS).map(|n| format!("FLEET-{n:04}")).collect();
    let triggers = ids.iter().map(|id| cloud.api.trigger(id, NEW));
    futures_util::future::join_all(triggers).await;
    let status = gateways.wait(PATIENCE).unwrap();
    assert!(status.success(), "{status}: {}", gateways.log());
    for id in &ids {
        cloud.confirmed(id).await;
        assert_slot_holds(&gateways, id, &image);
    }
    assert_eq!(cloud.api.tasks("").await.unwrap().len(), GATEWAYS);
}
