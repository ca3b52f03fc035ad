//! What a stolen publisher token is good for: nothing that is not signed reaches a gateway.

use airlift_bundle::Kind;
use airlift_testkit::{Process, binary, free_port, note_secret};
use serde_json::{Value, json};
use tokio::process::Command;

use super::{
    attacks::{uploads_of_forgeries, uploads_of_what_is_old_or_malformed},
    forge::Forge,
    server::{Api, PATIENCE, Server, eventually},
};

const OLD: &str = "1.0.0";
const NEW: &str = "1.2.0";
const GATEWAY: &str = "WATCHED";

/// A token as `airlift token create` prints it, for a server that may run meanwhile.
pub async fn token(data_dir: &std::path::Path, role: &str) -> String {
    let output = Command::new(binary("airlift").unwrap())
        .args(["token", "create", "--role", role, "--name", role])
        .arg(format!("--data-dir={}", data_dir.display()))
        .output()
        .await
        .unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{complaint}");
    let out = String::from_utf8(output.stdout).unwrap();
    out.lines().last().unwrap().to_owned()
}

/// Status and body of a request with a token.
async fn ask(url: &str, token: &str, method: &str, body: Option<Value>) -> (u16, String) {
    let client = reqwest::Client::new();
    let request = client
        .request(method.parse().unwrap(), url)
        .bearer_auth(token);
    let request = match body {
        Some(body) => request.json(&body),
        None => request,
    };
    let answer = request.send().await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

async fn upload(url: &str, token: &str, file: Vec<u8>) -> (u16, Value) {
    let part = reqwest::multipart::Part::bytes(file).file_name("bundle.jota");
    // A plain image wants a version; of a bundle it is ignored or must agree.
    let form = reqwest::multipart::Form::new().part("file", part);
    let request = reqwest::Client::new()
        .post(format!("{url}/api/ota/firmware/upload"))
        .bearer_auth(token)
        .multipart(form);
    let answer = request.send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

/// By none of these would a gateway take something.
async fn may_do_nothing_else(server: &str, stolen: &str) {
    for (method, path, body) in [
        (
            "POST",
            format!("/api/ota/upgrade/{GATEWAY}"),
            json!({"version": "1.1.0"}),
        ),
        (
            "POST",
            "/api/ota/rollouts".to_owned(),
            json!({"version": "1.1.0", "target": {}}),
        ),
        (
            "POST",
            "/api/ota/tokens".to_owned(),
            json!({"name": "mine", "role": "admin"}),
        ),
        (
            "POST",
            "/api/ota/users".to_owned(),
            json!({"name": "me", "password": "let me in, please", "role": "admin"}),
        ),
        (
            "POST",
            format!("/api/ota/gateways/{GATEWAY}/token"),
            json!({}),
        ),
        (
            "POST",
            "/api/ota/provisioning-keys".to_owned(),
            json!({"name": "mine"}),
        ),
        (
            "GET",
            format!("/api/ota/gateways/{GATEWAY}/command"),
            json!({}),
        ),
        (
            "POST",
            format!("/api/ota/gateways/{GATEWAY}/report"),
            json!({"msgType": "heartbeat", "data": {"firmwareVersion": "9.9.9"}}),
        ),
        ("GET", "/api/ota/audit".to_owned(), json!({})),
    ] {
        let url = format!("{server}{path}");
        let (status, answer) = ask(&url, stolen, method, Some(body)).await;
        assert_eq!(status, 403, "{method} {path}: {answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stolen_publisher_token_brings_nothing_unsigned_onto_a_gateway() {
    let forge = Forge::new();
    let folder = tempfile::tempdir().unwrap();
    let mqtt_port = free_port().unwrap();
    let args = [
        format!("--mqtt-listen=127.0.0.1:{mqtt_port}"),
        format!("--trusted-keys={}", forge.trusted().display()),
    ];
    let server = Server::start(folder.path(), &args, &[]);
    let admin = token(folder.path(), "admin").await;
    let stolen = token(folder.path(), "publisher").await;
    let operator = token(folder.path(), "operator").await;
    let api = Api::with_token(&[&server.url], &admin);
    let issued = api
        .post(&format!("/api/ota/gateways/{GATEWAY}/token"), &json!({}))
        .await;
    let gateway_token = issued["token"].as_str().unwrap().to_owned();
    note_secret(&gateway_token);
    let args = [
        format!("--id={GATEWAY}"),
        format!("--mqtt=mqtt://127.0.0.1:{mqtt_port}"),
        format!("--firmware-version={OLD}"),
        format!("--trusted-keys={}", forge.trusted().display()),
        "--reboot-seconds=0".to_owned(),
        "--heartbeat-seconds=1".to_owned(),
    ];
    let env = [("AIRLIFT_GATEWAY_TOKEN", gateway_token)];
    let gateway = Process::spawn(binary("airlift-gateway").unwrap(), &args, &env, GATEWAY).unwrap();

    // What it uploads is taken only if a trusted key has signed it, all of it.
    let genuine = forge.bundle(Kind::Firmware, "1.1.0", 15, |_| {});
    assert_eq!(upload(&server.url, &stolen, genuine.jota()).await.0, 200);
    let mut tried = 0;
    for (name, file, code, status) in uploads_of_forgeries(&forge)
        .into_iter()
        .chain(uploads_of_what_is_old_or_malformed(&forge))
    {
        let answer = upload(&server.url, &stolen, file).await;
        assert_eq!(
            (answer.0, &answer.1["code"]),
            (status, &json!(code)),
            "{name}"
        );
        tried += 1;
    }
    assert!(tried > 10, "{tried} attacks");
    may_do_nothing_else(&server.url, &stolen).await;
    let task = api.get(&format!("/api/ota/task/{GATEWAY}")).await;
    assert!(task.is_none(), "no task was made: {task:?}");

    // The gateway is there and takes what is signed: that it took nothing else is not for want of a
    // connection.
    let newer = forge.bundle(Kind::Firmware, NEW, 20, |_| {});
    assert_eq!(upload(&server.url, &stolen, newer.jota()).await.0, 200);
    let release = format!("{}/api/ota/firmware/{NEW}/release", server.url);
    assert_eq!(ask(&release, &stolen, "POST", None).await.0, 200);
    let operator = Api::with_token(&[&server.url], &operator);
    operator.trigger(GATEWAY, NEW).await;
    eventually("the signed release is proven", PATIENCE, async || {
        let task = operator
            .get(&format!("/api/ota/task/{GATEWAY}"))
            .await
            .unwrap();
        assert_eq!(task["errorCode"], Value::Null, "{task}");
        !task["confirmedAt"].is_null()
    })
    .await;
    assert_eq!(
        gateway.log().matches("reboots").count(),
        1,
        "{}",
        gateway.log()
    );
    let audit = api
        .list("/api/ota/audit", "action=access.refused")
        .await
        .unwrap();
    assert!(
        audit.iter().any(|line| line["actorName"] == "publisher"),
        "{audit:?}"
    );
}
