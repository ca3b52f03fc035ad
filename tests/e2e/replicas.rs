//! Two servers on one PostgreSQL and one broker share the work.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use airlift_testkit::{Durability, Mosquitto, MosquittoOptions, Postgres};
use rumqttc::v5::{
    AsyncClient, Event, MqttOptions,
    mqttbytes::{QoS, v5::Packet},
};

use super::{
    fleet::Fleet,
    server::{Api, PATIENCE, Server, eventually},
};

const GATEWAYS: usize = 60;

pub struct Pair {
    pub first: Server,
    pub second: Server,
    pub api: Api,
    pub mosquitto: Mosquitto,
    pub database_url: String,
    _postgres: Postgres,
    _folder: tempfile::TempDir,
}

/// Both keep their files in one folder, as both would in one bucket.
pub fn pair() -> Pair {
    let folder = tempfile::tempdir().unwrap();
    let postgres = Postgres::start(Durability::Fast).unwrap();
    let mosquitto = Mosquitto::start(&MosquittoOptions::default()).unwrap();
    let mut args = vec![
        format!("--database-url={}", postgres.url()),
        format!("--mqtt-url={}", mosquitto.url()),
    ];
    let first = Server::start(folder.path(), &args, &[]);
    args.push(format!("--public-url={}", first.url));
    let second = Server::start(folder.path(), &args, &[]);
    Pair {
        api: Api::new(&[&second.url, &first.url]),
        first,
        second,
        mosquitto,
        database_url: postgres.url(),
        _postgres: postgres,
        _folder: folder,
    }
}

/// Counts every command that any server publishes.
async fn count_commands(mqtt_port: u16) -> Arc<AtomicUsize> {
    let count = Arc::new(AtomicUsize::new(0));
    let options = MqttOptions::new("spy", "127.0.0.1", mqtt_port);
    let (client, mut events) = AsyncClient::new(options, 16);
    client
        .subscribe("hanqi/gateway/+/command", QoS::AtLeastOnce)
        .await
        .unwrap();
    let (ready, subscribed) = tokio::sync::oneshot::channel();
    let mut ready = Some(ready);
    let counted = count.clone();
    tokio::spawn(async move {
        while let Ok(event) = events.poll().await {
            match event {
                Event::Incoming(Packet::Publish(_)) => {
                    counted.fetch_add(1, Ordering::SeqCst);
                }
                Event::Incoming(Packet::SubAck(_)) => {
                    if let Some(ready) = ready.take() {
                        let _ = ready.send(());
                    }
                }
                _ => {}
            }
        }
    });
    subscribed.await.unwrap();
    count
}

async fn all_proven(api: &Api) -> bool {
    let tasks = api.tasks("").await.unwrap_or_default();
    tasks.len() == GATEWAYS && tasks.iter().all(|task| !task["confirmedAt"].is_null())
}

/// How many messages of gateways a server has taken in.
async fn stored_by(server: &Server) -> u64 {
    server.metric("airlift_messages_stored_total", "").await
}

#[tokio::test(flavor = "multi_thread")]
async fn two_servers_share_the_reports_and_never_both_send_a_command() {
    let pair = pair();
    let commands = count_commands(pair.mosquitto.port()).await;
    let fleet = Fleet::start(GATEWAYS, pair.mosquitto.port()).await;
    pair.api.release("1.0.2", &[7; 5000]).await;
    let triggers = fleet.ids.iter().map(|id| pair.api.trigger(id, "1.0.2"));
    futures_util::future::join_all(triggers).await;
    eventually("every upgrade is proven", PATIENCE, async || {
        all_proven(&pair.api).await
    })
    .await;
    // Gateways answer at once, so that no command was due a second time.
    assert_eq!(commands.load(Ordering::SeqCst), GATEWAYS);
    let (first, second) = (stored_by(&pair.first).await, stored_by(&pair.second).await);
    println!("the first took in {first} messages, the second {second}");
    assert!(first > 0 && second > 0, "{first} and {second}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_killed_for_good_is_replaced_by_the_other() {
    let mut pair = pair();
    let fleet = Fleet::start(GATEWAYS, pair.mosquitto.port()).await;
    pair.api.release("1.0.2", &[7; 5000]).await;
    let triggers = fleet.ids.iter().map(|id| pair.api.trigger(id, "1.0.2"));
    futures_util::future::join_all(triggers).await;
    eventually("some reports are in", PATIENCE, async || {
        fleet.ledger.acked_count.load(Ordering::SeqCst) >= GATEWAYS
    })
    .await;
    pair.second.process.kill9().unwrap();
    // What the broker keeps for the dead server comes only when the living one drains its session.
    eventually(
        "every upgrade is proven",
        Duration::from_secs(90),
        async || all_proven(&pair.api).await,
    )
    .await;
    eventually(
        "the dead server's session is drained",
        PATIENCE,
        async || {
            let log = pair.first.process.log();
            log.contains("taking over the MQTT session of a server that is gone")
        },
    )
    .await;
}
