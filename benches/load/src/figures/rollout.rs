//! A rollout to a million gateways.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Map, Value, json};
use tokio::time::sleep;

use super::run;
use crate::{
    Plan,
    commands::Commands,
    figure::{Aim, Figure, Round, median},
    memory::{memory, reset_peak},
    server::{Broker, Database, Server},
};

const GATEWAYS: usize = 1_000_000;
/// Commands whose rate is taken. Nobody answers them here, so they are sent again after 5 s; these
/// have left before.
const COMMANDS: usize = 10_000;
const POLL: Duration = Duration::from_millis(20);
const LIMIT: Duration = Duration::from_secs(300);

pub fn on_postgres(plan: &Plan) -> Result<Vec<Figure>> {
    run(measure(plan))
}

async fn measure(plan: &Plan) -> Result<Vec<Figure>> {
    let gateways = plan.scaled(GATEWAYS);
    let server = Server::start(Database::Postgres, Broker::Mosquitto, &[]).await?;
    server.release("1.0.1", vec![0x5a; 100_000]).await?;
    psql(&server, &register(gateways))?;
    psql(&server, "VACUUM ANALYZE gateways")?;
    let before = memory(server.pid())?;
    reset_peak(server.pid())?;
    let (mut creation, mut dispatch) = (Vec::new(), Vec::new());
    for round in 0..plan.rounds {
        // Before, so that its rows are there to be copied; it begins when everything is over.
        let began = Instant::now();
        let waiting = json!({
            "version": "1.0.1",
            "startAt": "2100-01-01T00:00:00Z",
        });
        let id = create(&server, &waiting, gateways).await?;
        let created = began.elapsed();
        let limit = copy(&server, &id)?;
        creation.push(Round {
            value: gateways as f64 / created.as_secs_f64(),
            limit: Some(gateways as f64 / limit.as_secs_f64()),
        });
        act(&server, &id, "cancel").await?;
        dispatch.push(Round {
            value: dispatch_rate(&server, plan, round, gateways).await?,
            limit: None,
        });
    }
    let after = memory(server.pid())?;
    let dispatched = median(dispatch.iter().map(|round| round.value));
    Ok(vec![
        Figure {
            name: "rollout.create".to_owned(),
            unit: "gateways/s",
            aim: Aim::RatioMin(0.3),
            limit: "COPY of as many rows into the same columns and primary key",
            rounds: creation,
            details: Map::new(),
        }
        .detail("gateways", gateways)
        .memory(before, after),
        Figure {
            name: "rollout.dispatch".to_owned(),
            unit: "commands/s",
            aim: Aim::None,
            limit: "",
            rounds: dispatch,
            details: Map::new(),
        }
        .detail("commands", plan.scaled(COMMANDS))
        .detail("commandsPerMinute", (dispatched * 60.0).round()),
    ])
}

/// Registers so many gateways that run 1.0.0, as their heartbeats would.
fn register(gateways: usize) -> String {
    format!(
        "INSERT INTO gateways (gateway_id, device_type, current_version, online, attributes,
                               created_at, updated_at, version_key, shuffle)
         SELECT id, 'gateway', '1.0.0', TRUE, '{{\"freeHeap\": 150000}}', now(), now(), 'b1b0b0~',
                ('x' || encode(substr(sha256(id::bytea), 1, 4), 'hex'))::bit(32)::bigint % 2147483647
         FROM (SELECT 'GW' || to_char(n, 'FM0000000') AS id
               FROM generate_series(1, {gateways}) AS n) AS ids"
    )
}

/// Makes a rollout and waits until all gateways are taken in.
async fn create(server: &Server, rollout: &Value, gateways: usize) -> Result<String> {
    let rollout = server.post("/api/ota/rollouts", rollout).await?;
    let id = rollout["rolloutId"].as_str().context("it has an id")?;
    let began = Instant::now();
    loop {
        let rollout = server.get(&format!("/api/ota/rollouts/{id}")).await?;
        if rollout["enrolled"] == true {
            let total = &rollout["counters"]["total"];
            ensure!(*total == gateways, "{total} of {gateways} are in");
            return Ok(id.to_owned());
        }
        ensure!(began.elapsed() < LIMIT, "not all are in after {LIMIT:?}");
        sleep(POLL).await;
    }
}

async fn act(server: &Server, id: &str, verb: &str) -> Result<()> {
    let path = format!("/api/ota/rollouts/{id}/{verb}");
    server.post(&path, &json!({})).await.map(drop)
}

/// How long it takes to copy the rows of a rollout into an empty table.
fn copy(server: &Server, id: &str) -> Result<Duration> {
    let rows = server.process.folder().join("rows");
    let rows = rows.display();
    psql(
        server,
        "DROP TABLE IF EXISTS copied;
         CREATE TABLE copied (LIKE rollout_gateways, PRIMARY KEY (rollout_id, gateway_id))",
    )?;
    psql(
        server,
        &format!(
            "\\copy (SELECT * FROM rollout_gateways WHERE rollout_id = '{id}' ORDER BY gateway_id) TO '{rows}'"
        ),
    )?;
    let began = Instant::now();
    psql(server, &format!("\\copy copied FROM '{rows}'"))?;
    Ok(began.elapsed())
}

/// Commands per second that leave for gateways of a rollout that runs. It is cancelled after.
async fn dispatch_rate(server: &Server, plan: &Plan, round: usize, gateways: usize) -> Result<f64> {
    let count = plan.scaled(COMMANDS).min(gateways);
    let commands = Commands::listen(server.mqtt_port).await?;
    let rollout = json!({
        "name": format!("round {round}"),
        "version": "1.0.1",
        "maxInFlight": count,
        "jitterSeconds": 0,
    });
    let id = create(server, &rollout, gateways).await?;
    let (first, last) = commands.of(count, LIMIT).await?;
    act(server, &id, "cancel").await?;
    let began = Instant::now();
    // What is taken back belongs to this round.
    while server.get(&format!("/api/ota/rollouts/{id}")).await?["counters"]["active"] != 0 {
        ensure!(
            began.elapsed() < LIMIT,
            "it is not cancelled after {LIMIT:?}"
        );
        sleep(POLL).await;
    }
    Ok((count - 1) as f64 / (last - first).as_secs_f64())
}

fn psql(server: &Server, sql: &str) -> Result<String> {
    let postgres = server.postgres.as_ref().context("it runs on PostgreSQL")?;
    postgres.psql(sql)
}
