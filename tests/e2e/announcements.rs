//! What the server tells everyone, heard by `mosquitto_sub`, through kills and with two servers.

use std::collections::HashMap;

use airlift::{
    domain::Announcement,
    store::{Db, Tx},
};
use airlift_testkit::{Mosquitto, MosquittoOptions, Process, program};
use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use uuid::Uuid;

use super::server::{Api, PATIENCE, Server, eventually};

const AVAILABLE: &str = "/jxct/ota/available";
pub const ALERTS: &str = "hanqi/alerts";
/// More than the servers' jobs take to look again, twice over.
const SEVERAL_LOOKS: std::time::Duration = std::time::Duration::from_secs(12);

/// `mosquitto_sub`, with a session that the broker keeps.
pub struct Listener(Process);

impl Listener {
    /// Subscribed when this returns.
    pub fn start(mqtt_port: u16) -> Listener {
        let program = program("mosquitto_sub", "mosquitto-clients").unwrap();
        let port = mqtt_port.to_string();
        // `stdbuf`: else it writes when its buffer is full.
        let mut args = vec!["-oL", program.to_str().unwrap(), "-d", "-h", "127.0.0.1"];
        args.extend(["-p", &port, "-q", "1", "-i", "everyone", "-c"]);
        args.extend(["-F", "heard %t %r %q %p", "-t", AVAILABLE, "-t", ALERTS]);
        let mut listener = Process::spawn("stdbuf", &args, &[], "listener").unwrap();
        listener.wait_for_line("Subscribed", PATIENCE).unwrap();
        Listener(listener)
    }

    /// The payloads that came on a topic, not retained and at QoS 1.
    pub fn heard(&self, topic: &str) -> Vec<String> {
        let head = format!("heard {topic} 0 1 ");
        let log = self.0.log();
        let lines = log.lines().filter_map(|line| line.strip_prefix(&head));
        lines.map(str::to_owned).collect()
    }

    async fn hears(&self, topic: &str, count: usize) -> Vec<String> {
        let what = format!("{count} messages on {topic}");
        eventually(&what, PATIENCE, async || self.heard(topic).len() >= count).await;
        self.heard(topic)
    }
}

/// The seconds in a message's `timestamp`, which must be about now.
fn timestamp(message: &str) -> i64 {
    let message: Value = serde_json::from_str(message).unwrap();
    let seconds = message["timestamp"].as_i64().unwrap();
    let age = airlift::domain::Clock::System.now().timestamp() - seconds;
    assert!((0..120).contains(&age), "{message}");
    seconds
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscriber_gets_the_announcement_and_the_alert_byte_for_byte() {
    let folder = tempfile::tempdir().unwrap();
    let mosquitto = Mosquitto::start(&MosquittoOptions::default()).unwrap();
    let args = [format!("--mqtt-url={}", mosquitto.url())];
    let server = Server::start(folder.path(), &args, &[]);
    let api = Api::new(&[&server.url]);
    let listener = Listener::start(mosquitto.port());
    api.release("1.0.2", b"image").await;
    let announced = listener.hears(AVAILABLE, 1).await.remove(0);
    let firmware = api.get("/api/ota/firmware/1.0.2").await.unwrap();
    let text = |field: &str| firmware[field].as_str().unwrap().to_owned();
    assert_eq!(
        announced,
        format!(
            r#"{{"version":"1.0.2","deviceType":"gateway","kind":"firmware","fileSize":5,"sha256":"{}","fileUrl":"{}","changelogUrl":"{}/ota/changelog?version=1.0.2&deviceType=gateway","releaseDate":"{}","timestamp":{}}}"#,
            text("sha256"),
            text("fileUrl"),
            server.url,
            text("releaseDate"),
            timestamp(&announced)
        )
    );

    let task = api.trigger("GW1", "1.0.2").await;
    let report = json!({ "msgType": "ota_progress", "msgId": task["msgId"],
        "data": { "state": "failed", "progress": 0, "errorCode": "BAD_SIGNATURE",
                  "errorMessage": "the manifest is not what \"release\" signed" } })
    .to_string();
    let port = mosquitto.port().to_string();
    let mut args = vec!["-h", "127.0.0.1", "-p", &port, "-q", "1"];
    args.extend(["-t", "hanqi/gateway/GW1/report", "-m", &report]);
    let program = program("mosquitto_pub", "mosquitto-clients").unwrap();
    let mut gateway = Process::spawn(program, &args, &[], "gateway").unwrap();
    assert!(gateway.wait(PATIENCE).unwrap().success());
    let alert = listener.hears(ALERTS, 1).await.remove(0);
    assert_eq!(
        alert,
        format!(
            r#"{{"alert":"signature_failure","code":"BAD_SIGNATURE","source":"gateway","gatewayId":"GW1","deviceType":"gateway","version":"1.0.2","message":"the manifest is not what \"release\" signed","timestamp":{}}}"#,
            timestamp(&alert)
        )
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_is_announced_although_the_server_is_killed_before_it_could() {
    let folder = tempfile::tempdir().unwrap();
    let mut mosquitto = Mosquitto::start(&MosquittoOptions::default()).unwrap();
    let args = [format!("--mqtt-url={}", mosquitto.url())];
    let mut server = Server::start(folder.path(), &args, &[]);
    let api = Api::new(&[&server.url]);
    // Without a broker it cannot have left; with one, it may or may not have.
    let listener = Listener::start(mosquitto.port());
    for version in ["1.0.1", "1.0.2", "1.0.3"] {
        let broker_is_away = version == "1.0.1";
        if broker_is_away {
            mosquitto.terminate().unwrap();
        }
        api.release(version, b"image").await;
        server.process.kill9().unwrap();
        if broker_is_away {
            mosquitto.start_again().unwrap();
        }
        server.process.start_again().unwrap();
        server.wait_until_serving();
        let part = format!("{{\"version\":\"{version}\"");
        eventually(version, PATIENCE, async || {
            let heard = listener.heard(AVAILABLE);
            heard.iter().any(|message| message.starts_with(&part))
        })
        .await;
    }
    eventually("an empty outbox", PATIENCE, async || {
        server.metric("airlift_announcements_waiting", "").await == 0
    })
    .await;
}

async fn in_transaction(db: &Db, change: impl AsyncFnOnce(&mut Tx)) {
    let mut tx = db.begin().await.unwrap();
    change(&mut tx).await;
    tx.commit().await.unwrap();
}

/// How often each message came.
fn counted(messages: Vec<String>) -> HashMap<String, usize> {
    let mut counts = HashMap::new();
    for message in messages {
        *counts.entry(message).or_default() += 1;
    }
    counts
}

#[tokio::test(flavor = "multi_thread")]
async fn two_servers_announce_a_release_once_and_each_waiting_message_once() {
    let pair = super::replicas::pair();
    let listener = Listener::start(pair.mosquitto.port());
    pair.api.release("1.0.2", b"image").await;
    listener.hears(AVAILABLE, 1).await;

    // A day has passed, twice.
    let db = Db::open(&pair.database_url).await.unwrap();
    for day in [1, 2] {
        in_transaction(&db, async |tx| {
            let past = DateTime::<Utc>::UNIX_EPOCH;
            tx.set_release_announcement("gateway", past).await.unwrap();
        })
        .await;
        listener.hears(AVAILABLE, 1 + day).await;
        tokio::time::sleep(SEVERAL_LOOKS).await;
        assert_eq!(listener.heard(AVAILABLE).len(), 1 + day, "once a day");
    }

    // More than either publishes at a time.
    let now = airlift::domain::Clock::System.now();
    let waiting: Vec<Announcement> = (0..500_u128)
        .map(|n| Announcement {
            announcement_id: Uuid::from_u128(n + 1),
            topic: ALERTS.to_owned(),
            payload: json!({ "n": n }).to_string(),
            created_at: now,
            next_send_at: now,
        })
        .collect();
    in_transaction(&db, async |tx| {
        for announcement in &waiting {
            tx.put_announcement(announcement).await.unwrap();
        }
    })
    .await;
    listener.hears(ALERTS, waiting.len()).await;
    tokio::time::sleep(SEVERAL_LOOKS).await;
    let counts = counted(listener.heard(ALERTS));
    assert_eq!(counts.len(), waiting.len());
    assert!(counts.values().all(|count| *count == 1), "{counts:?}");
    let of = async |server: &Server| {
        let name = "airlift_announcements_sent_total";
        server.metric(name, "kind=\"alert\"").await
    };
    let (first, second) = (of(&pair.first).await, of(&pair.second).await);
    println!("the first sent {first}, the second {second}");
    assert_eq!(first + second, waiting.len() as u64);
}
