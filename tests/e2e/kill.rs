//! `kill -9` at any point of many upgrades: every accepted trigger ends `completed` and proven, and
//! no report that the broker acknowledged is missing.
//!
//! `AIRLIFT_UPGRADES` sets how many (default 500), `AIRLIFT_SEED` where the kills hit; the seed is
//! printed, so that a failing run can be repeated.

use std::{
    collections::{HashMap, HashSet},
    sync::atomic::Ordering,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use airlift::store::Db;
use airlift_testkit::{Durability, Mosquitto, MosquittoOptions, Postgres, free_port};
use rand::{Rng, SeedableRng, rngs::StdRng};
use serde_json::Value;

use super::{
    fleet::{Fleet, REPORTS_PER_UPGRADE},
    server::{Api, PATIENCE, Server, eventually},
};

const UPGRADES_DEFAULT: usize = 500;
/// Kills per run.
const KILLS: usize = 3;
/// All upgrades must be proven within this of the last kill.
const SETTLE_LIMIT: Duration = Duration::from_secs(150);

fn upgrades() -> usize {
    match std::env::var("AIRLIFT_UPGRADES") {
        Ok(count) => count.parse().expect("AIRLIFT_UPGRADES is a number"),
        Err(_) => UPGRADES_DEFAULT,
    }
}

#[allow(clippy::disallowed_methods, reason = "a seed, printed")]
fn seed() -> u64 {
    let seed = match std::env::var("AIRLIFT_SEED") {
        Ok(seed) => seed.parse().expect("AIRLIFT_SEED is a number"),
        Err(_) => SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap()
            .as_nanos() as u64,
    };
    println!("AIRLIFT_SEED={seed}");
    seed
}

/// Runs the upgrades while `kill` kills and revives its victim; then compares the books.
async fn upgrades_survive(
    api: &Api,
    fleet: &Fleet,
    database_url: &str,
    mut kill: impl AsyncFnMut(),
) {
    let mut random = StdRng::seed_from_u64(seed());
    let total = fleet.ids.len() * REPORTS_PER_UPGRADE;
    let mut kill_points: Vec<usize> = (0..KILLS).map(|_| random.random_range(1..total)).collect();
    kill_points.sort();
    println!(
        "{} upgrades, {total} reports, kills at {kill_points:?}",
        fleet.ids.len()
    );

    let image = vec![7_u8; 20_000];
    api.release("1.0.2", &image).await;
    let triggering = async {
        let mut accepted = Vec::new();
        for chunk in fleet.ids.chunks(50) {
            let triggers = chunk.iter().map(|id| api.trigger(id, "1.0.2"));
            accepted.extend(futures_util::future::join_all(triggers).await);
        }
        accepted
    };
    let killing = async {
        for point in &kill_points {
            eventually(
                "enough reports for the next kill",
                SETTLE_LIMIT,
                async || fleet.ledger.acked_count.load(Ordering::SeqCst) >= *point,
            )
            .await;
            let acked = fleet.ledger.acked_count.load(Ordering::SeqCst);
            kill().await;
            println!("killed when {acked} of {total} reports were acknowledged");
        }
    };
    let (accepted, ()) = tokio::join!(triggering, killing);
    assert_eq!(accepted.len(), fleet.ids.len());

    let mut left = Vec::new();
    let settled = tokio::time::timeout(SETTLE_LIMIT, async {
        loop {
            if let Some(tasks) = api.tasks("").await {
                left = tasks
                    .iter()
                    .filter(|task| task["status"] != "completed" || task["confirmedAt"].is_null())
                    .map(|task| {
                        format!(
                            "{} {} {}",
                            task["gatewayId"], task["status"], task["progress"]
                        )
                    })
                    .collect();
                if left.is_empty() {
                    return tasks.len();
                }
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    })
    .await;
    let settled = settled.unwrap_or_else(|_| panic!("not proven: {left:?}"));
    assert_eq!(settled, accepted.len(), "one task per accepted trigger");

    let db = Db::open(database_url).await.unwrap();
    let acked = fleet.ledger.acked.lock().unwrap().clone();
    // What waits in the session of a killed server comes when its lease has run out.
    let deadline = tokio::time::Instant::now() + SETTLE_LIMIT;
    let missing = loop {
        let stored = stored_reports(&db, &accepted).await;
        let missing: Vec<_> = acked
            .iter()
            .filter(|report| {
                !stored[&report.msg_id].contains(&(report.state.to_owned(), report.progress as i16))
            })
            .collect();
        if missing.is_empty() || tokio::time::Instant::now() > deadline {
            break missing;
        }
        println!("{} acknowledged reports are still to come", missing.len());
        tokio::time::sleep(Duration::from_secs(1)).await;
    };
    assert!(
        missing.is_empty(),
        "{} of {} acknowledged reports are missing: {missing:?}",
        missing.len(),
        acked.len()
    );
    println!(
        "{} proven, {} acknowledged reports all stored, {} commands received",
        accepted.len(),
        acked.len(),
        fleet.ledger.commands.load(Ordering::SeqCst)
    );
}

/// What is stored of each task, by its message id.
async fn stored_reports(db: &Db, tasks: &[Value]) -> HashMap<String, HashSet<(String, i16)>> {
    let mut tx = db.read().await.unwrap();
    let mut stored = HashMap::new();
    for task in tasks {
        let task_id = task["taskId"].as_str().unwrap().parse().unwrap();
        let reports = tx.task_reports(task_id).await.unwrap();
        let msg_id = task["msgId"].as_str().unwrap().to_owned();
        stored.insert(msg_id, reports.into_iter().collect());
    }
    stored
}

fn outside(postgres: &Postgres, mosquitto: &Mosquitto) -> Vec<String> {
    vec![
        format!("--database-url={}", postgres.url()),
        format!("--mqtt-url={}", mosquitto.url()),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn kill_9_of_the_server_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let postgres = Postgres::start(Durability::Fast).unwrap();
    let mosquitto = Mosquitto::start(&MosquittoOptions::default()).unwrap();
    let mut server = Server::start(folder.path(), &outside(&postgres, &mosquitto), &[]);
    let api = Api::new(&[&server.url]);
    let fleet = Fleet::start(upgrades(), mosquitto.port()).await;
    let url = postgres.url();
    upgrades_survive(&api, &fleet, &url, async || server.kill9_and_start_again()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kill_9_of_postgres_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut postgres = Postgres::start(Durability::Real).unwrap();
    let mosquitto = Mosquitto::start(&MosquittoOptions::default()).unwrap();
    let server = Server::start(folder.path(), &outside(&postgres, &mosquitto), &[]);
    let api = Api::new(&[&server.url]);
    let fleet = Fleet::start(upgrades(), mosquitto.port()).await;
    let url = postgres.url();
    upgrades_survive(&api, &fleet, &url, async || {
        postgres.kill9().unwrap();
        postgres.start_again().unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kill_9_of_the_broker_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let postgres = Postgres::start(Durability::Fast).unwrap();
    let mut mosquitto = Mosquitto::start(&MosquittoOptions::default()).unwrap();
    let server = Server::start(folder.path(), &outside(&postgres, &mosquitto), &[]);
    let api = Api::new(&[&server.url]);
    let fleet = Fleet::start(upgrades(), mosquitto.port()).await;
    let url = postgres.url();
    upgrades_survive(&api, &fleet, &url, async || {
        mosquitto.kill9().unwrap();
        mosquitto.start_again().unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kill_9_of_the_server_with_the_broker_built_in_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mqtt_port = free_port().unwrap();
    let listen = vec![format!("--mqtt-listen=127.0.0.1:{mqtt_port}")];
    let mut server = Server::start(folder.path(), &listen, &[]);
    let api = Api::new(&[&server.url]);
    let fleet = Fleet::start(upgrades(), mqtt_port).await;
    let url = format!("sqlite:{}/airlift.db", folder.path().display());
    upgrades_survive(&api, &fleet, &url, async || server.kill9_and_start_again()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_ends_cleanly_and_the_next_start_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let mqtt_port = free_port().unwrap();
    let listen = vec![format!("--mqtt-listen=127.0.0.1:{mqtt_port}")];
    let mut server = Server::start(folder.path(), &listen, &[]);
    let api = Api::new(&[&server.url]);
    let fleet = Fleet::start(20, mqtt_port).await;
    let url = format!("sqlite:{}/airlift.db", folder.path().display());
    upgrades_survive(&api, &fleet, &url, async || {
        let status = server.process.terminate(PATIENCE).unwrap();
        assert!(status.success(), "{status}");
        server.process.start_again().unwrap();
        server.wait_until_serving();
    })
    .await;
}
