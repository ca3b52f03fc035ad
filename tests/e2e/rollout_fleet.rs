//! Rollouts over five hundred simulated gateways, some of which misbehave by plan: two servers, one
//! PostgreSQL, one Mosquitto, and counts that must be exact.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::Duration,
};

use airlift_proto::Command;
use rumqttc::v5::{
    AsyncClient, Event, MqttOptions,
    mqttbytes::{QoS, v5::Packet},
};
use serde_json::{Value, json};

use super::{
    gateway::{NEW, OLD, assert_slot_holds, image},
    replicas::{Pair, pair},
    server::{Api, eventually},
    simulator::{Simulator, by_gateway, gateways, text},
};

const GATEWAYS: usize = 500;
const IMAGE_BYTES: usize = 50_000;
/// Three waves in which some never answer, on a busy machine.
const ROLLOUT_LIMIT: Duration = Duration::from_secs(400);
/// 25 never answer, 25 roll back, 10 get a wrong digest.
const FLAWS: [&str; 4] = [
    "--never-answer=5",
    "--roll-back=5",
    "--wrong-digest=2",
    "--heartbeat-seconds=10",
];

/// The message ids of the upgrade commands that each gateway was sent.
type Commands = Arc<Mutex<BTreeMap<String, BTreeSet<String>>>>;

/// Writes down every upgrade command that any server publishes.
async fn spy(mqtt_port: u16) -> Commands {
    let commands = Commands::default();
    let options = MqttOptions::new("spy", "127.0.0.1", mqtt_port);
    let (client, mut events) = AsyncClient::new(options, 16);
    client
        .subscribe("hanqi/gateway/+/command", QoS::AtLeastOnce)
        .await
        .unwrap();
    let (ready, subscribed) = tokio::sync::oneshot::channel();
    let mut ready = Some(ready);
    let heard = commands.clone();
    tokio::spawn(async move {
        while let Ok(event) = events.poll().await {
            match event {
                Event::Incoming(Packet::Publish(publish)) => {
                    let topic = String::from_utf8_lossy(&publish.topic).into_owned();
                    let id = topic.split('/').nth(2).unwrap().to_owned();
                    if let Ok(Command::Upgrade(command)) = serde_json::from_slice(&publish.payload)
                    {
                        let mut heard = heard.lock().unwrap();
                        let ids = heard.entry(id).or_default();
                        ids.insert(command.data.msg_id.unwrap());
                    }
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
    commands
}

struct Stage {
    pair: Pair,
    commands: Commands,
    simulator: Simulator,
    image: Vec<u8>,
}

/// Two servers that know the whole fleet, and a release for it.
async fn stage(flaws: &[&str]) -> Stage {
    let pair = pair();
    let commands = spy(pair.mosquitto.port()).await;
    let simulator = Simulator::start(GATEWAYS, pair.mosquitto.port(), flaws);
    simulator.registered(&pair.api).await;
    let image = image(IMAGE_BYTES);
    pair.api.release(NEW, &image).await;
    Stage {
        pair,
        commands,
        simulator,
        image,
    }
}

/// Starts a rollout to the whole fleet; its id.
async fn start(api: &Api, halt_at_failure_percent: u8, task_timeout_seconds: u32) -> String {
    let request = json!({
        "version": NEW,
        "waves": [10, 50, 100],
        "maxInFlight": 100,
        "haltAtFailurePercent": halt_at_failure_percent,
        "taskTimeoutSeconds": task_timeout_seconds,
        "jitterSeconds": 1,
        "seed": 7,
    });
    let rollout = api.post("/api/ota/rollouts", &request).await;
    text(&rollout["rolloutId"])
}

/// The rollout once `is` says so.
async fn rollout_that(api: &Api, id: &str, what: &str, is: impl Fn(&Value) -> bool) -> Value {
    let mut rollout = Value::Null;
    eventually(what, ROLLOUT_LIMIT, async || {
        let path = format!("/api/ota/rollouts/{id}");
        rollout = api.get(&path).await.unwrap_or_default();
        is(&rollout)
    })
    .await;
    rollout
}

async fn ended(api: &Api, id: &str) -> Value {
    let rollout = rollout_that(api, id, "the rollout ends", |rollout| {
        rollout["state"] == "completed" || rollout["state"] == "halted"
    })
    .await;
    assert_eq!(rollout["state"], "completed", "{rollout}");
    rollout
}

/// Every book says the same: the rollout's, the statistics', each task's, each gateway's flash.
async fn assert_exact(stage: &Stage, rollout: &Value) {
    let api = &stage.pair.api;
    let tasks = by_gateway(api.tasks("").await.unwrap());
    // One each, and none of another rollout.
    assert_eq!(tasks.len(), GATEWAYS);
    let healthy = stage.simulator.healthy();
    let wronged: Vec<&Value> = healthy
        .iter()
        .map(|id| &tasks[id])
        .filter(|task| task["status"] != "completed" || task["confirmedAt"].is_null())
        .collect();
    assert!(wronged.is_empty(), "nothing is wrong with: {wronged:?}");

    let counters = &rollout["counters"];
    for (name, count) in [
        ("total", 500),
        ("waiting", 0),
        ("active", 0),
        ("confirmed", 440),
        ("failed", 60),
        ("skipped", 0),
        ("cancelled", 0),
    ] {
        assert_eq!(counters[name], count, "{name} of {rollout}");
    }
    let waves = rollout["waveCounters"].as_array().unwrap();
    let totals: Vec<&Value> = waves.iter().map(|wave| &wave["total"]).collect();
    assert_eq!(totals, [50, 200, 250], "{rollout}");
    for wave in waves {
        let ended = wave["confirmed"].as_i64().unwrap() + wave["failed"].as_i64().unwrap();
        assert_eq!(wave["total"], ended, "{wave}");
    }

    let path = format!("/api/ota/statistics?version={NEW}");
    let statistics = api.get(&path).await.unwrap();
    assert_eq!(
        statistics["byErrorCode"],
        json!({ "TIMEOUT": 25, "ROLLED_BACK": 25, "DIGEST_MISMATCH": 10 }),
        "{statistics}"
    );

    let known = gateways(api).await.unwrap();
    for (flaw, count, error_code) in [
        ("never_answer", 25, "TIMEOUT"),
        ("roll_back", 25, "ROLLED_BACK"),
        ("wrong_digest", 10, "DIGEST_MISMATCH"),
    ] {
        let flawed = stage.simulator.flawed(flaw);
        assert_eq!(flawed.len(), count);
        for id in flawed {
            assert_eq!(tasks[&id]["errorCode"], error_code, "{}", tasks[&id]);
            assert_eq!(known[&id]["currentVersion"], OLD, "{}", known[&id]);
        }
    }
    for id in healthy {
        assert_eq!(known[&id]["currentVersion"], NEW, "{}", known[&id]);
        assert_slot_holds(&stage.simulator.process, &id, &stage.image);
    }

    let commands = stage.commands.lock().unwrap();
    assert_eq!(commands.len(), GATEWAYS);
    for (id, msg_ids) in &*commands {
        let own = BTreeSet::from([text(&tasks[id]["msgId"])]);
        assert_eq!(*msg_ids, own, "{id} was sent more than its task");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollout_to_five_hundred_counts_each_gateway_once() {
    let stage = stage(&FLAWS).await;
    let api = &stage.pair.api;
    let id = start(api, 40, 45).await;
    let rollout = ended(api, &id).await;
    assert_exact(&stage, &rollout).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_version_halts_in_the_first_wave_and_nobody_else_is_sent_it() {
    let flaws = ["--wrong-digest=30", "--heartbeat-seconds=5"];
    let stage = stage(&flaws).await;
    let api = &stage.pair.api;
    assert_eq!(stage.simulator.flawed("wrong_digest").len(), 150);
    let id = start(api, 10, 45).await;
    let halted = rollout_that(api, &id, "the rollout halts", |rollout| {
        rollout["state"] == "halted"
    })
    .await;
    assert_eq!(halted["wave"], 1, "{halted}");
    assert!(halted["reason"].is_string(), "{halted}");
    // What had begun goes on to its end.
    let halted = rollout_that(api, &id, "the last upgrades end", |rollout| {
        rollout["counters"]["active"] == 0
    })
    .await;
    let commands = stage.commands.lock().unwrap().clone();
    let sent = [&stage.pair.first, &stage.pair.second];
    let mut heard = 0;
    for server in sent {
        heard += stored_heartbeats(server).await;
    }

    // The fleet lives on, long enough for a server to think of it.
    eventually("two heartbeats of each", ROLLOUT_LIMIT, async || {
        let mut now = 0;
        for server in sent {
            now += stored_heartbeats(server).await;
        }
        now >= heard + 2 * GATEWAYS as u64
    })
    .await;
    let still = rollout_that(api, &id, "the rollout is there", |rollout| {
        rollout.is_object()
    })
    .await;
    assert_eq!(still["state"], "halted", "{still}");
    assert_eq!(still["counters"], halted["counters"]);
    assert_eq!(*stage.commands.lock().unwrap(), commands, "sent afterwards");

    let path = format!("/api/ota/rollouts/{id}/gateways");
    let first_wave = by_gateway(api.list(&path, "wave=1").await.unwrap());
    assert_eq!(first_wave.len(), 50);
    let tasks = by_gateway(api.tasks("").await.unwrap());
    for gateway_id in tasks.keys().chain(commands.keys()) {
        assert!(first_wave.contains_key(gateway_id), "{gateway_id}");
    }
    let failed = tasks.values().filter(|task| task["status"] == "failed");
    for task in failed.clone() {
        assert_eq!(task["errorCode"], "DIGEST_MISMATCH", "{task}");
    }
    // More than 10 % of 50.
    assert!(failed.count() > 5);
    for wave in &still["waveCounters"].as_array().unwrap()[1..] {
        assert_eq!(wave["waiting"], wave["total"], "{wave}");
    }
}

async fn stored_heartbeats(server: &super::server::Server) -> u64 {
    let name = "airlift_messages_stored_total";
    server.metric(name, "kind=\"heartbeat\"").await
}

#[tokio::test(flavor = "multi_thread")]
async fn kill_9_of_a_server_in_mid_rollout_changes_no_count() {
    let mut stage = stage(&FLAWS).await;
    // Reports wait for up to 15 s in the dead server's session, which are no silence of theirs.
    let id = start(&stage.pair.api, 40, 45).await;
    let midway = |rollout: &Value| {
        let wave = &rollout["waveCounters"][1];
        rollout["state"] == "running"
            && rollout["wave"] == 2
            && wave["confirmed"].as_i64().unwrap() >= 20
            && wave["active"] != 0
            && wave["waiting"] != 0
    };
    let api = &stage.pair.api;
    rollout_that(api, &id, "the second wave is on its way", midway).await;
    // Refuses to kill what is dead already.
    stage.pair.second.process.kill9().unwrap();
    let path = format!("/api/ota/rollouts/{id}");
    let after = api.get(&path).await.unwrap();
    assert_eq!(after["state"], "running", "{after}");
    assert_eq!(after["wave"], 2, "{after}");
    println!("killed at {}", after["counters"]);

    let rollout = ended(api, &id).await;
    assert_exact(&stage, &rollout).await;
    let log = stage.pair.first.process.log();
    assert!(log.contains("taking over the MQTT session of a server that is gone"));
}
