//! Mosquitto with the files that `airlift broker mosquitto` writes: a gateway tries everything against
//! another, which is upgraded all the while.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::{Arc, Mutex},
    time::Duration,
};

use airlift::{
    domain::{Clock, Secret, SecretKind},
    store::Db,
};
use airlift_testkit::{Process, Scratch, binary, free_port, program};
use rumqttc::v5::{
    AsyncClient, ConnectionError, Event, EventLoop, Incoming, MqttOptions,
    mqttbytes::{
        QoS,
        v5::{ConnectReturnCode, Filter, LastWill, RetainForwardRule},
    },
};
use serde_json::{Value, json};
use tokio::time::timeout;

use super::{
    production::{text, wait_for_port},
    server::{PATIENCE, Server, eventually},
};

const SERVER_PASSWORD: &str = "server-password";
const THIEF: &str = "THIEF";
const VICTIM: &str = "VICTIM";
const OLD: &str = "1.0.1";
const NEW: &str = "1.0.2";
/// What a gateway may want to hear of others.
const CURIOUS: [&str; 10] = [
    "#",
    "+/#",
    "/#",
    "+/+/+/+",
    "hanqi/gateway/VICTIM/command",
    "hanqi/gateway/+/report",
    "hanqi/alerts",
    "$SYS/#",
    "$share/airlift/hanqi/gateway/+/report",
    "$share/mine/hanqi/gateway/VICTIM/#",
];

/// A database with an administrator's token, as `airlift token create` leaves it.
async fn administrator(data_dir: &Path) -> String {
    let db = Db::open(&format!("sqlite:{}/airlift.db", data_dir.display())).await;
    let db = db.unwrap();
    let secret = Secret::make(SecretKind::Token);
    let Db::Sqlite { writer, .. } = &db else {
        panic!("it is SQLite");
    };
    sqlx::query(
        "INSERT INTO tokens (token_id, name, role, hash, created_by, created_at)
         VALUES ($1, 'boss', 'admin', $2, 'test', $3)",
    )
    .bind(Clock::System.new_id())
    .bind(secret.hash())
    .bind(Clock::System.now())
    .execute(writer)
    .await
    .unwrap();
    let mut tx = db.begin().await.unwrap();
    tx.close_doors(Clock::System.now()).await.unwrap();
    tx.commit().await.unwrap();
    db.close().await;
    secret.reveal().to_owned()
}

struct World {
    folder: tempfile::TempDir,
    boss: String,
    server: Server,
    servers_port: u16,
    gateways_port: u16,
    http: reqwest::Client,
}

impl World {
    async fn start() -> World {
        let folder = tempfile::tempdir().unwrap();
        let boss = administrator(folder.path()).await;
        let (servers_port, gateways_port) = (free_port().unwrap(), free_port().unwrap());
        let mqtt = format!("mqtt://airlift:{SERVER_PASSWORD}@127.0.0.1:{servers_port}");
        // Its broker is not there yet.
        let server = Server::start(folder.path(), &[], &[("AIRLIFT_MQTT_URL", mqtt)]);
        World {
            folder,
            boss,
            server,
            servers_port,
            gateways_port,
            http: reqwest::Client::new(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// What `airlift` prints that does what it is told.
    fn airlift(&self, args: &[&str]) -> String {
        let output = Command::new(binary("airlift").unwrap())
            .args(args)
            .args(["--server", &self.server.url])
            .env("AIRLIFT_TOKEN", &self.boss)
            .output()
            .unwrap();
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{args:?}: {complaint}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Gateways' tokens by id, in the order of the ids.
    fn add_gateways(&self, ids: &[&str]) -> Vec<String> {
        let (list, tokens) = (self.path("ids.csv"), self.path("tokens.csv"));
        fs::write(&list, format!("gatewayId\n{}\n", ids.join("\n"))).unwrap();
        let args = [
            "gateway",
            "add",
            "--csv",
            text(&list),
            "--out",
            text(&tokens),
        ];
        self.airlift(&args);
        let tokens = fs::read_to_string(&tokens).unwrap();
        let token = |line: &str| line.split_once(',').unwrap().1.to_owned();
        tokens.lines().skip(1).map(token).collect()
    }

    /// Writes Mosquitto's files; what its configuration is to say.
    fn write_files(&self) -> String {
        self.airlift(&["broker", "mosquitto", "--out", text(&self.path("broker"))])
    }

    fn start_broker(&self) -> Process {
        let lines = self.write_files();
        let passwords = self.path("broker/passwords");
        let set = Command::new(program("mosquitto_passwd", "mosquitto").unwrap())
            .args(["-b", text(&passwords), "airlift", SERVER_PASSWORD])
            .status();
        assert!(set.unwrap().success());
        let [servers, gateways] = ["listener 1883 127.0.0.1", "listener 8883"];
        assert!(
            lines.contains(servers) && lines.contains(gateways),
            "{lines}"
        );
        let lines = lines
            .replace(
                servers,
                &format!("listener {} 127.0.0.1", self.servers_port),
            )
            .replace(
                gateways,
                &format!("listener {} 127.0.0.1", self.gateways_port),
            );
        // Started as root it would else become a user who may not read our folder.
        let config = format!("user root\nlog_dest stdout\n{lines}");
        let scratch = Arc::new(Scratch::new("mosquitto").unwrap());
        let path = scratch.path().join("mosquitto.conf");
        fs::write(&path, config).unwrap();
        let mosquitto = program("mosquitto", "mosquitto").unwrap();
        let args = ["-c", text(&path)];
        let mut process = Process::spawn_in(scratch, mosquitto, &args, &[], "mosquitto").unwrap();
        wait_for_port(&mut process, self.servers_port);
        wait_for_port(&mut process, self.gateways_port);
        process
    }

    async fn api(&self, path: &str, body: Option<Value>) -> Value {
        let url = format!("{}{path}", self.server.url);
        let request = match body {
            Some(body) => self.http.post(url).json(&body),
            None => self.http.get(url),
        };
        let answer = request.bearer_auth(&self.boss).send().await.unwrap();
        let status = answer.status();
        let mut answer: Value = answer.json().await.unwrap();
        assert_eq!(status, 200, "{path}: {answer}");
        answer["data"].take()
    }

    async fn release(&self, version: &str) {
        let part = reqwest::multipart::Part::bytes(vec![7; 100_000]).file_name("firmware.bin");
        let form = reqwest::multipart::Form::new()
            .part("file", part)
            .text("version", version.to_owned());
        let upload = self
            .http
            .post(format!("{}/api/ota/firmware/upload", self.server.url));
        let answer = upload.bearer_auth(&self.boss).multipart(form).send().await;
        assert_eq!(answer.unwrap().status(), 200);
        let path = format!("/api/ota/firmware/{version}/release");
        self.api(&path, Some(json!({}))).await;
    }

    fn options(&self, client_id: &str, user: &str, password: &str) -> MqttOptions {
        let mut options = MqttOptions::new(client_id, "127.0.0.1", self.gateways_port);
        options
            .set_credentials(user, password)
            .set_keep_alive(Duration::from_secs(5));
        options
    }

    /// Why the broker does not let somebody in.
    async fn refusal(&self, options: MqttOptions) -> ConnectReturnCode {
        let (_client, mut events) = AsyncClient::new(options, 10);
        loop {
            match timeout(PATIENCE, events.poll()).await.unwrap() {
                Err(ConnectionError::ConnectionRefused(code)) => return code,
                Ok(Event::Incoming(Incoming::ConnAck(_))) => panic!("it is let in"),
                Ok(_) => {}
                Err(error) => panic!("{error}"),
            }
        }
    }
}

/// A client, and all that it has heard.
struct Listener {
    client: AsyncClient,
    heard: Arc<Mutex<Vec<(String, String)>>>,
    acknowledged: Arc<Mutex<Vec<String>>>,
}

impl Listener {
    async fn start(options: MqttOptions) -> Listener {
        let (client, mut events) = AsyncClient::new(options, 100);
        connected(&mut events).await;
        let heard: Arc<Mutex<Vec<(String, String)>>> = Arc::default();
        let acknowledged: Arc<Mutex<Vec<String>>> = Arc::default();
        let (hears, acks) = (heard.clone(), acknowledged.clone());
        tokio::spawn(async move {
            while let Ok(event) = events.poll().await {
                match event {
                    Event::Incoming(Incoming::Publish(publish)) => {
                        let topic = String::from_utf8_lossy(&publish.topic).into_owned();
                        let payload = String::from_utf8_lossy(&publish.payload).into_owned();
                        hears.lock().unwrap().push((topic, payload));
                    }
                    Event::Incoming(Incoming::PubAck(ack)) => {
                        acks.lock().unwrap().push(format!("{:?}", ack.reason));
                    }
                    Event::Incoming(Incoming::SubAck(_)) => {
                        acks.lock().unwrap().push("subscribed".to_owned());
                    }
                    _ => {}
                }
            }
        });
        Listener {
            client,
            heard,
            acknowledged,
        }
    }

    async fn acknowledged(&self, count: usize) {
        eventually("acknowledgements", PATIENCE, async || {
            self.acknowledged.lock().unwrap().len() >= count
        })
        .await;
    }
}

async fn connected(events: &mut EventLoop) {
    loop {
        let event = timeout(PATIENCE, events.poll()).await.unwrap().unwrap();
        if matches!(event, Event::Incoming(Incoming::ConnAck(_))) {
            return;
        }
    }
}

fn topic(gateway_id: &str, kind: &str) -> String {
    format!("hanqi/gateway/{gateway_id}/{kind}")
}

fn forged_report() -> String {
    json!({ "msgType": "ota_progress",
        "data": { "state": "failed", "progress": 0, "errorCode": "FORGED" } })
    .to_string()
}

/// Everything that the thief may publish in the victim's name, also by its last will.
async fn forges(world: &World, thief: &Listener, token: &str) {
    let acknowledged = thief.acknowledged.lock().unwrap().len();
    let status = json!({ "online": true, "firmwareVersion": "6.6.6" }).to_string();
    let command = json!({ "msgType": "ota_cancel", "msgId": "x", "data": {} }).to_string();
    let forgeries = [
        (topic(VICTIM, "report"), forged_report(), false),
        (topic(VICTIM, "status"), status.clone(), true),
        (topic(VICTIM, "command"), command.clone(), true),
        (topic(THIEF, "command"), command, false),
        ("hanqi/alerts".to_owned(), "{}".to_owned(), true),
        ("/jxct/ota/available".to_owned(), "{}".to_owned(), true),
    ];
    let count = forgeries.len();
    for (topic, payload, retain) in forgeries {
        let sent = thief
            .client
            .publish(topic, QoS::AtLeastOnce, retain, payload);
        sent.await.unwrap();
    }
    thief.acknowledged(acknowledged + count).await;
    let answers = thief.acknowledged.lock().unwrap()[acknowledged..].to_vec();
    assert_eq!(answers, vec!["NotAuthorized"; count]);

    // By client id the victim's, by user and last will: cut off, so that the will is sent.
    let mut options = world.options(VICTIM, THIEF, token);
    let will = LastWill::new(
        topic(VICTIM, "status"),
        status,
        QoS::AtLeastOnce,
        true,
        None,
    );
    options.set_last_will(will);
    let (_client, mut events) = AsyncClient::new(options, 10);
    connected(&mut events).await;
    drop(events);
}

/// Its token is good no longer, and Mosquitto is told.
async fn revoke_the_thief(world: &World, broker: &Process, thief_token: &str) {
    world.airlift(&["gateway", "revoke", THIEF]);
    world.write_files();
    let hup = Command::new("kill")
        .args(["-HUP", &broker.pid().to_string()])
        .status();
    assert!(hup.unwrap().success());
    eventually("the thief is out", PATIENCE, async || {
        let (_client, mut events) = AsyncClient::new(world.options("x", THIEF, thief_token), 10);
        let refused = timeout(PATIENCE, events.poll()).await.unwrap();
        matches!(refused, Err(ConnectionError::ConnectionRefused(_)))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn gateways_at_mosquitto_have_their_own_topics_and_no_others() {
    let world = World::start().await;
    let tokens = world.add_gateways(&[THIEF, VICTIM]);
    let broker = world.start_broker();
    let (thief_token, victim_token) = (&tokens[0], &tokens[1]);

    for (user, password) in [
        (THIEF, victim_token.as_str()),
        (VICTIM, thief_token),
        (VICTIM, ""),
        ("airlift", thief_token),
        ("nobody", thief_token),
    ] {
        let refused = world.refusal(world.options("x", user, password)).await;
        assert_eq!(refused, ConnectReturnCode::NotAuthorized, "{user}");
    }
    let anonymous = MqttOptions::new("x", "127.0.0.1", world.gateways_port);
    let refused = world.refusal(anonymous).await;
    assert_eq!(refused, ConnectReturnCode::NotAuthorized);

    let thief = Listener::start(world.options(THIEF, THIEF, thief_token)).await;
    for (number, filter) in CURIOUS.iter().enumerate() {
        let mut filter = Filter::new(*filter, QoS::AtLeastOnce);
        filter.retain_forward_rule = RetainForwardRule::OnEverySubscribe;
        thief.client.subscribe_many([filter]).await.unwrap();
        thief.acknowledged(number + 1).await;
    }
    let flash = world.path("victim.img");
    let gateway_args = [
        format!("--id={VICTIM}"),
        format!("--mqtt=mqtt://127.0.0.1:{}", world.gateways_port),
        format!("--tokens={}", world.path("tokens.csv").display()),
        format!("--flash={}", flash.display()),
        format!("--firmware-version={OLD}"),
        "--reboot-seconds=0".to_owned(),
        "--heartbeat-seconds=1".to_owned(),
        // Time to be forged.
        "--download-bytes-per-second=50000".to_owned(),
    ];
    let program = binary("airlift-gateway").unwrap();
    let mut victim = Process::spawn(program, &gateway_args, &[], VICTIM).unwrap();
    victim
        .wait_for_line("connected to the broker", PATIENCE)
        .unwrap();
    world.release(NEW).await;
    world
        .api(&format!("/api/ota/upgrade/{VICTIM}"), Some(json!({})))
        .await;
    forges(&world, &thief, thief_token).await;
    let mut task = Value::Null;
    eventually("the upgrade is proven", PATIENCE, async || {
        task = world.api(&format!("/api/ota/task/{VICTIM}"), None).await;
        assert_eq!(task["errorCode"], Value::Null, "{task}");
        !task["confirmedAt"].is_null()
    })
    .await;
    let gateway = world
        .api(&format!("/api/ota/gateways/{VICTIM}"), None)
        .await;
    assert_eq!(gateway["currentVersion"], NEW, "{gateway}");

    // Its own command comes: that it heard no other is not for want of a subscription.
    let own = topic(THIEF, "command");
    // The first session ended with the forged client id: the broker made it the thief's own.
    let thief_again = Listener::start(world.options("other", THIEF, thief_token)).await;
    for filter in CURIOUS.into_iter().chain([own.as_str()]) {
        let heard = thief_again.client.subscribe(filter, QoS::AtLeastOnce);
        heard.await.unwrap();
    }
    world
        .api(&format!("/api/ota/upgrade/{THIEF}"), Some(json!({})))
        .await;
    eventually("the thief's own command", PATIENCE, async || {
        let heard = thief_again.heard.lock().unwrap();
        heard.iter().any(|(topic, _)| *topic == own)
    })
    .await;
    for listener in [&thief, &thief_again] {
        let heard = listener.heard.lock().unwrap();
        assert!(heard.iter().all(|(topic, _)| *topic == own), "{heard:?}");
    }
    let kicked = format!("Client {VICTIM} already connected");
    assert!(!broker.log().contains(&kicked), "{}", broker.log());

    revoke_the_thief(&world, &broker, thief_token).await;
    assert!(victim.is_running().unwrap());
    let log = [victim.log(), broker.log()].concat();
    assert!(!log.contains("alg_"), "a token is in a log");
}
