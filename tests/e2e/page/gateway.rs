//! The page of one gateway, with a real gateway that is upgraded.

use std::path::Path;

use airlift_testkit::{Process, binary, free_port};
use serde_json::{Value, json};

use super::{
    super::{
        gateway::{NEW, OLD, image},
        server::{Api, PATIENCE, Server, eventually},
    },
    nothing, run,
};

const ID: &str = "HQ2026TEST001";

/// A server with its broker, which knows a gateway that runs [`OLD`] and could run [`NEW`].
struct Stage {
    server: Server,
    api: Api,
    _gateway: Process,
}

impl Stage {
    /// The gateway downloads so many bytes in a second.
    async fn set(folder: &Path, image_bytes: usize, bytes_per_second: u32) -> Stage {
        let mqtt_port = free_port().unwrap();
        let args = [format!("--mqtt-listen=127.0.0.1:{mqtt_port}")];
        let server = Server::start(folder, &args, &[]);
        let api = Api::new(&[&server.url]);
        api.release(NEW, &image(image_bytes)).await;
        let args = [
            format!("--id={ID}"),
            format!("--mqtt=mqtt://127.0.0.1:{mqtt_port}"),
            format!("--firmware-version={OLD}"),
            format!("--download-bytes-per-second={bytes_per_second}"),
            "--reboot-seconds=0".to_owned(),
            "--heartbeat-seconds=1".to_owned(),
        ];
        let gateway = binary("airlift-gateway").unwrap();
        let gateway = Process::spawn(gateway, &args, &[], ID).unwrap();
        eventually("the gateway is known", PATIENCE, async || {
            let known = api.get(&path("")).await;
            known.is_some_and(|known| known["currentVersion"] == OLD)
        })
        .await;
        Stage {
            server,
            api,
            _gateway: gateway,
        }
    }

    async fn confirmed(&self) -> bool {
        let task = self.api.get(&format!("/api/ota/task/{ID}")).await;
        task.is_some_and(|task| task["confirmedAt"].is_string())
    }
}

fn path(below: &str) -> String {
    format!("/api/ota/gateways/{ID}{below}")
}

fn input() -> Value {
    json!({ "gatewayId": ID, "old": OLD, "new": NEW })
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upgrade_is_begun_and_watched_to_its_proof() {
    let folder = tempfile::tempdir().unwrap();
    let stage = Stage::set(folder.path(), 4_000_000, 500_000).await;
    run("upgrade", &stage.server.url, input(), nothing).await;
    assert!(stage.confirmed().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_shown_stays_while_the_server_is_killed_and_what_was_missed_comes() {
    let folder = tempfile::tempdir().unwrap();
    let mut stage = Stage::set(folder.path(), 4_000_000, 250_000).await;
    let url = stage.server.url.clone();
    run("restart", &url, input(), async |what| {
        match what {
            "kill and start again" => stage.server.kill9_and_start_again(),
            "kill" => stage.server.process.kill9().unwrap(),
            "start and tag" => {
                stage.server.process.start_again().unwrap();
                stage.server.wait_until_serving();
                let request = reqwest::Client::new().patch(format!("{url}{}", path("")));
                let tags = json!({ "tags": { "site": "back again" } });
                let answer = request.json(&tags).send().await.unwrap();
                assert_eq!(answer.status(), 200);
            }
            other => panic!("{other}"),
        }
        Value::Null
    })
    .await;
    assert!(stage.confirmed().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_keyboard_alone_upgrades_a_gateway() {
    let folder = tempfile::tempdir().unwrap();
    let stage = Stage::set(folder.path(), 500_000, 1_000_000).await;
    run("keyboard", &stage.server.url, input(), nothing).await;
    assert!(stage.confirmed().await);
}

/// Texts that would run, load or lead somewhere if the page took them for more than text.
const HOSTILE: [&str; 3] = [
    "<img src=x onerror=alert(1)>",
    "</script><script>fetch('/stolen')</script>",
    "[click](javascript:alert(2)) <a href=\"javascript:alert(3)\">me</a>",
];

/// A firmware, a gateway and a failed task whose every text is hostile.
async fn hostile_gateway(api: &Api, url: &str) {
    let [image_tag, script, link] = HOSTILE;
    let part = reqwest::multipart::Part::bytes(image(1000)).file_name("firmware.bin");
    let form = reqwest::multipart::Form::new()
        .part("file", part)
        .text("version", NEW)
        .text("description", format!("{image_tag}{script}"))
        .text("changelog", format!("{link}\n{image_tag}"));
    let client = reqwest::Client::new();
    let upload = client.post(format!("{url}/api/ota/firmware/upload"));
    let answer = upload.multipart(form).send().await.unwrap();
    assert_eq!(answer.status(), 200, "{}", answer.text().await.unwrap());
    api.post(&format!("/api/ota/firmware/{NEW}/release"), &json!({}))
        .await;

    let report = path("/report");
    let heartbeat = json!({"msgType": "heartbeat", "data": {
        "firmwareVersion": OLD, "battery": 77, "bootReason": image_tag, "note": script,
        "<b>name</b>": link, "slot": image_tag, "slots": {image_tag: script, "ota_1": link},
    }});
    api.post(&report, &heartbeat).await;
    let tags = json!({ "tags": { "site": image_tag, "rack": script, "row": link } });
    let patch = client.patch(format!("{url}{}", path("")));
    let answer = patch.json(&tags).send().await.unwrap();
    assert_eq!(answer.status(), 200, "{}", answer.text().await.unwrap());
    let task = api.trigger(ID, NEW).await;
    let failed = json!({"msgType": "ota_progress", "msgId": task["msgId"], "data": {
        "state": "failed", "progress": 10, "errorCode": "FLASH_WRITE", "errorMessage": script,
    }});
    api.post(&report, &failed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_gateways_and_people_write_is_shown_as_text() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), &[], &[]);
    hostile_gateway(&Api::new(&[&server.url]), &server.url).await;
    let [image_tag, script, link] = HOSTILE;
    let input = json!({ "gatewayId": ID, "imageTag": image_tag, "script": script, "link": link });
    run("gateway_hostile", &server.url, input, nothing).await;
}
