//! Reports of updates, until the API shows the last of each gateway.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use rumqttc::v5::mqttbytes::v5::Publish;
use serde_json::{Map, Value, json};
use tokio::{
    task::JoinSet,
    time::{MissedTickBehavior, interval, sleep},
};

use super::run;
use crate::{
    Plan,
    figure::{Aim, Figure, Round},
    http::{self, Connection},
    memory::{memory, reset_peak},
    mqtt::{Client, Session, connections_max},
    server::{Broker, Database, Server},
};

const VERSION: &str = "1.0.2";
/// Connections that trigger the updates and ask for each in the end.
const CONNECTIONS: usize = 32;
/// Between two polls of the API while reports are taken in.
const POLL_INTERVAL: Duration = Duration::from_millis(10);
/// Between two questions whether all is shown.
const SHOWN_INTERVAL: Duration = Duration::from_millis(50);
const POLL_P99_MS_MAX: f64 = 50.0;
/// No run takes so long.
const LIMIT: Duration = Duration::from_secs(300);

/// Who reports how often.
struct Fleet {
    name: &'static str,
    gateways: usize,
    reports: usize,
    ratio_min: f64,
}

pub fn of_few(plan: &Plan) -> Result<Vec<Figure>> {
    let fleet = Fleet {
        name: "ingest.few",
        gateways: 200,
        reports: plan.scaled(500),
        ratio_min: 0.7,
    };
    run(measure(plan, fleet))
}

pub fn of_many(plan: &Plan) -> Result<Vec<Figure>> {
    let fleet = Fleet {
        name: "ingest.many",
        gateways: plan.scaled(7692),
        reports: 13,
        ratio_min: 0.5,
    };
    run(measure(plan, fleet))
}

async fn measure(plan: &Plan, fleet: Fleet) -> Result<Vec<Figure>> {
    ensure!(
        fleet.gateways < connections_max(),
        "{} gateways do not fit into this machine's limit of open files: ulimit -Hn",
        fleet.gateways
    );
    let server = Server::start(Database::Postgres, Broker::Mosquitto, &[]).await?;
    server.fill(1000 * plan.data).await?;
    server.release(VERSION, vec![0x5a; 100_000]).await?;
    let before = memory(server.pid())?;
    let mut publishers = Vec::new();
    for number in 0..fleet.gateways {
        let id = gateway_id(number);
        publishers.push(Client::connect(server.mqtt_port, &id, Session::default()).await?);
    }
    let messages = (fleet.gateways * fleet.reports) as f64;
    let (mut rounds, mut polls) = (Vec::new(), Vec::new());
    reset_peak(server.pid())?;
    for _ in 0..plan.rounds {
        let elapsed = count_reports(&server, &fleet, &mut publishers).await?;
        let limit = Some(messages / elapsed.as_secs_f64());
        let (elapsed, waited) = take_in_reports(&server, &fleet, &mut publishers).await?;
        let value = messages / elapsed.as_secs_f64();
        rounds.push(Round { value, limit });
        polls.push(Round {
            value: percentile(waited, 0.99),
            limit: None,
        });
    }
    let after = memory(server.pid())?;
    let figure = |name: &str, unit, aim, rounds| Figure {
        name: name.to_owned(),
        unit,
        aim,
        limit: "a subscriber that only counts and acknowledges",
        rounds,
        details: Map::new(),
    };
    let polled = format!("{}.poll", fleet.name);
    Ok(vec![
        figure(
            fleet.name,
            "reports/s",
            Aim::RatioMin(fleet.ratio_min),
            rounds,
        )
        .detail("gateways", fleet.gateways)
        .detail("reportsEach", fleet.reports)
        .memory(before, after),
        figure(&polled, "ms p99", Aim::Max(POLL_P99_MS_MAX), polls),
    ])
}

/// All gateways publish all their reports at once.
async fn publish(
    publishers: &mut Vec<Client>,
    message: impl Fn(usize, usize) -> String + Clone + Send + Sync + 'static,
    topic: impl Fn(usize) -> String,
    reports: usize,
) -> Result<()> {
    let mut running = JoinSet::new();
    for (number, mut client) in publishers.drain(..).enumerate() {
        let (topic, message) = (topic(number), message.clone());
        running.spawn(async move {
            let payloads = (0..reports).map(|report| message(number, report));
            client.publish(&topic, payloads).await?;
            anyhow::Ok(client)
        });
    }
    while let Some(client) = running.join_next().await {
        publishers.push(client??);
    }
    Ok(())
}

/// The limit: how long it takes until a client that does nothing else has got and acknowledged as many
/// reports, to topics that the server does not hear.
async fn count_reports(
    server: &Server,
    fleet: &Fleet,
    publishers: &mut Vec<Client>,
) -> Result<Duration> {
    let session = Session {
        receive_maximum: Some(u16::MAX),
        ..Session::default()
    };
    let mut counter = Client::connect(server.mqtt_port, "counter", session).await?;
    counter
        .subscribe("$share/counter/count/gateway/+/report")
        .await?;
    let expected = fleet.gateways * fleet.reports;
    let began = Instant::now();
    let counting = tokio::spawn(async move {
        let mut counted = 0;
        while counted < expected {
            let messages: Vec<Publish> = counter.messages().await?;
            counter.acknowledge(&messages).await?;
            counted += messages.len();
        }
        counter.disconnect().await
    });
    let reports = fleet.reports;
    let message = move |_, number| report(&"x".repeat(36), number, reports);
    let topic = |number| format!("count/gateway/{}/report", gateway_id(number));
    publish(publishers, message, topic, reports).await?;
    counting.await??;
    Ok(began.elapsed())
}

/// The value: how long it takes until the API shows that all updates are completed; and how long polls
/// waited meanwhile, in milliseconds.
async fn take_in_reports(
    server: &Server,
    fleet: &Fleet,
    publishers: &mut Vec<Client>,
) -> Result<(Duration, Vec<f64>)> {
    let before = completed(server).await?;
    let msg_ids = Arc::new(trigger_all(server, fleet.gateways).await?);
    let stop = Arc::new(AtomicBool::new(false));
    let polling = tokio::spawn(poll(server.http_port, fleet.gateways, stop.clone()));
    let reports = fleet.reports;
    let ids = msg_ids.clone();
    let message = move |gateway: usize, number| report(&ids[gateway], number, reports);
    let topic = |number| format!("hanqi/gateway/{}/report", gateway_id(number));
    let began = Instant::now();
    publish(publishers, message, topic, reports).await?;
    while completed(server).await? < before + fleet.gateways {
        ensure!(
            began.elapsed() < LIMIT,
            "not all updates are completed after {LIMIT:?}"
        );
        sleep(SHOWN_INTERVAL).await;
    }
    let elapsed = began.elapsed();
    stop.store(true, Ordering::Relaxed);
    let waited = polling.await??;
    let mut connection = Connection::open(server.http_port).await?;
    for (number, msg_id) in msg_ids.iter().enumerate() {
        let task: Value = serde_json::from_slice(connection.ask(&poll_request(number)).await?)?;
        let task = &task["data"];
        ensure!(
            task["msgId"] == *msg_id && task["status"] == "completed" && task["progress"] == 100,
            "the API does not show the last report: {task}"
        );
    }
    Ok((elapsed, waited))
}

/// How many updates the API shows as completed.
async fn completed(server: &Server) -> Result<usize> {
    let statistics = server.get("/api/ota/statistics").await?;
    let completed = statistics["completed"].as_u64().context("completed")?;
    Ok(usize::try_from(completed)?)
}

/// Begins an update of each gateway; the message ids of their tasks.
async fn trigger_all(server: &Server, gateways: usize) -> Result<Vec<String>> {
    let body = json!({ "version": VERSION }).to_string();
    let mut running = JoinSet::new();
    for first in 0..CONNECTIONS {
        let (port, body) = (server.http_port, body.clone());
        running.spawn(async move {
            let mut connection = Connection::open(port).await?;
            let mut made = Vec::new();
            for number in (first..gateways).step_by(CONNECTIONS) {
                let path = format!("/api/ota/upgrade/{}", gateway_id(number));
                let task: Value =
                    serde_json::from_slice(connection.ask(&http::post(&path, &body)).await?)?;
                let msg_id = task["data"]["msgId"].as_str().context("a task's msgId")?;
                made.push((number, msg_id.to_owned()));
            }
            anyhow::Ok(made)
        });
    }
    let mut msg_ids = vec![String::new(); gateways];
    while let Some(made) = running.join_next().await {
        for (number, msg_id) in made?? {
            msg_ids[number] = msg_id;
        }
    }
    Ok(msg_ids)
}

async fn poll(port: u16, gateways: usize, stop: Arc<AtomicBool>) -> Result<Vec<f64>> {
    let mut connection = Connection::open(port).await?;
    let mut ticks = interval(POLL_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut waited = Vec::new();
    for number in 0.. {
        ticks.tick().await;
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let asked = Instant::now();
        connection.ask(&poll_request(number % gateways)).await?;
        waited.push(asked.elapsed().as_secs_f64() * 1000.0);
    }
    Ok(waited)
}

fn poll_request(number: usize) -> Vec<u8> {
    http::get(&format!("/api/ota/task/{}", gateway_id(number)))
}

fn gateway_id(number: usize) -> String {
    format!("IN{number:07}")
}

/// The report of this number of so many: from `downloading` 0 % on to `completed`.
fn report(msg_id: &str, number: usize, reports: usize) -> String {
    let (state, progress) = match reports - number - 1 {
        0 => ("completed", 100),
        1 => ("installing", 98),
        2 => ("verifying", 95),
        _ => ("downloading", 90 * number / (reports - 4).max(1)),
    };
    format!(
        r#"{{"msgType":"ota_progress","msgId":"{msg_id}","data":{{"state":"{state}","progress":{progress},"currentVersion":"1.0.1","targetVersion":"{VERSION}"}}}}"#
    )
}

/// What so great a part of the values does not exceed.
pub fn percentile(mut values: Vec<f64>, part: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let rank = (values.len() as f64 * part).ceil() as usize;
    values
        .get(rank.saturating_sub(1))
        .copied()
        .unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_go_from_downloading_to_completed() {
        let of = |number, reports| {
            let report: Value = serde_json::from_str(&report("x", number, reports)).unwrap();
            (
                report["data"]["state"].as_str().unwrap().to_owned(),
                report["data"]["progress"].clone(),
            )
        };
        assert_eq!(of(0, 13), ("downloading".into(), 0.into()));
        assert_eq!(of(9, 13), ("downloading".into(), 90.into()));
        assert_eq!(of(12, 13), ("completed".into(), 100.into()));
        assert_eq!(of(0, 1), ("completed".into(), 100.into()));
    }

    #[test]
    fn a_percentile_is_by_nearest_rank() {
        let values = (1..=200).map(f64::from).collect();
        assert_eq!(percentile(values, 0.99), 198.0);
        assert!(percentile(Vec::new(), 0.99).is_nan());
    }
}
