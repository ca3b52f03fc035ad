//! Each screen of a server where something has happened.

use airlift_testkit::free_port;
use reqwest::{
    Client,
    multipart::{Form, Part},
};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{
    super::{
        gateway::{NEW, image},
        server::{Api, PATIENCE, Server, eventually},
        simulator::Simulator,
    },
    nothing, run,
};

const PASSWORD: &str = "a long one for the pictures";
const GATEWAYS: usize = 12;

async fn token(api: &Api) -> String {
    let body = json!({ "name": "ci", "role": "admin" });
    let made = api.post("/api/ota/tokens", &body).await;
    made["token"].as_str().unwrap().to_owned()
}

async fn upload(server: &Server, token: &str, version: &str, changelog: &str, size: usize) {
    let form = Form::new()
        .text("version", version.to_owned())
        .text("description", "for the gateways of the north lab")
        .text("changelog", changelog.to_owned())
        .part("file", Part::bytes(image(size)).file_name("firmware.bin"));
    let url = format!("{}/api/ota/firmware/upload", server.url);
    let request = Client::new().post(url).bearer_auth(token).multipart(form);
    assert_eq!(request.send().await.unwrap().status(), 200);
}

async fn push_package(server: &Server, token: &str, name: &str, version: &str) {
    let file = format!("{name} {version}").into_bytes();
    let content = json!({
        "package": name, "description": format!("the {name} of the north lab"), "version": version,
        "branch": "main", "local": format!("/opt/{name}"), "remote": server.url,
        "sha256": hex::encode(Sha256::digest(&file)), "BeforeUpdate": "", "AfterUpdate": "",
        "dependencies": {}, "restore": "",
    });
    let part = |name: &str, bytes: Vec<u8>| Part::bytes(bytes).file_name(name.to_owned());
    let form = Form::new()
        .part(
            "content",
            part("content.json", content.to_string().into_bytes()),
        )
        .part("file", part("app.tar.zst", file));
    let url = format!("{}/update", server.url);
    let request = Client::new().put(url).bearer_auth(token).multipart(form);
    assert_eq!(request.send().await.unwrap().status(), 200);
}

/// A fleet of which some fail, a rollout that they halt, packages, and somebody to log in.
async fn something_happens(server: &Server, mqtt_port: u16) -> (Simulator, String) {
    let token = token(&Api::new(&[&server.url])).await;
    let api = Api::with_token(&[&server.url], &token);
    let key = json!({ "name": "factory" });
    let key = api.post("/api/ota/provisioning-keys", &key).await;
    let simulator = Simulator::start(
        GATEWAYS,
        mqtt_port,
        &[
            "--heartbeat-seconds=1",
            "--wrong-digest=20",
            &format!("--server={}", server.url),
            &format!("--provisioning-key={}", key["key"].as_str().unwrap()),
        ],
    );
    simulator.registered(&api).await;
    upload(
        server,
        &token,
        NEW,
        "## Fixed\n\n- The fan stops when it is cold.\n\n**Please** restart once.",
        700_000,
    )
    .await;
    api.post(&format!("/api/ota/firmware/{NEW}/release"), &Value::Null)
        .await;
    upload(
        server,
        &token,
        "1.1.0",
        "## New\n\n- Speaks to the *second* sensor.",
        750_000,
    )
    .await;
    for version in ["1.0", "1.1"] {
        push_package(server, &token, "app", version).await;
    }
    push_package(server, &token, "lib", "2.4").await;
    let rollout = json!({
        "version": NEW, "name": "spring", "target": { "filter": "id:SIM*" }, "waves": [50, 100],
        "haltAtFailurePercent": 10, "jitterSeconds": 0,
    });
    let rollout = api.post("/api/ota/rollouts", &rollout).await;
    let path = format!(
        "/api/ota/rollouts/{}",
        rollout["rolloutId"].as_str().unwrap()
    );
    eventually("the rollout ends or halts", PATIENCE, async || {
        let rollout = api.get(&path).await.unwrap();
        ["halted", "completed"].contains(&rollout["state"].as_str().unwrap())
            && rollout["counters"]["active"] == 0
    })
    .await;
    let user = json!({ "name": "root", "password": PASSWORD, "role": "admin" });
    api.post("/api/ota/users", &user).await;
    (simulator, path.rsplit('/').next().unwrap().to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_screen_is_accessible_and_fits_a_phone_in_every_language() {
    let folder = tempfile::tempdir().unwrap();
    let mqtt_port = free_port().unwrap();
    let args = [
        format!("--mqtt-listen=127.0.0.1:{mqtt_port}"),
        "--heartbeat-interval-seconds=1".to_owned(),
    ];
    let server = Server::start(folder.path(), &args, &[]);
    let (simulator, rollout) = something_happens(&server, mqtt_port).await;
    let gateway = simulator.healthy().into_iter().next().unwrap();
    let screens = json!({
        "overview": "#/",
        "firmware": "#/firmware",
        "firmware-version": format!("#/firmware/gateway/{NEW}"),
        "gateways": "#/gateways",
        "gateway": format!("#/gateways/{gateway}"),
        "rollouts": "#/rollouts",
        "rollout": format!("#/rollouts/{rollout}"),
        "rollout-new": "#/rollouts/new",
        "packages": "#/packages",
        "package": "#/packages/app",
        "audit": "#/audit",
        "access": "#/access",
        "settings": "#/settings",
    });
    let views = screens.as_object().unwrap().len() * 5;
    let input = json!({
        "user": { "name": "root", "password": PASSWORD },
        "screens": screens,
        "inTheDark": ["overview", "gateway"],
        "onThePhone": ["overview", "gateways", "gateway"],
    });
    let said = run("screens", &server.url, input, nothing).await;
    assert!(said.contains(&format!("looked at {views} views")), "{said}");
}
