//! Upgrades triggered one by one, as many clients do at once.

use std::{
    fs,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use airlift_testkit::{Postgres, Scratch};
use anyhow::{Context, Result, ensure};
use serde_json::{Map, json};
use tokio::task::JoinSet;

use super::run;
use crate::{
    Plan,
    commands::Commands,
    figure::{Aim, Figure, Round},
    http::{self, Connection},
    memory::{memory, reset_peak},
    server::{Broker, Database, Server},
};

const CONNECTIONS: usize = 64;
const TRIGGERS: usize = 10_000;
const PGBENCH_SECONDS: f64 = 5.0;
/// Of a row that pgbench inserts: a task's is as wide.
const ROW_BYTES: usize = 600;
const LIMIT: Duration = Duration::from_secs(120);

pub fn on_postgres(plan: &Plan) -> Result<Vec<Figure>> {
    run(measure(plan))
}

async fn measure(plan: &Plan) -> Result<Vec<Figure>> {
    let triggers = plan.scaled(TRIGGERS);
    let server = Server::start(Database::Postgres, Broker::Mosquitto, &[]).await?;
    server.fill(plan.gateways()).await?;
    server.release("1.0.1", vec![0x5a; 100_000]).await?;
    let postgres = server.postgres.as_ref().context("it runs on PostgreSQL")?;
    let pgbench = Pgbench::new(postgres)?;
    let commands = Commands::listen(server.mqtt_port).await?;
    let before = memory(server.pid())?;
    reset_peak(server.pid())?;
    let mut rounds = Vec::new();
    let (mut answers, mut slowest) = (Vec::new(), Vec::new());
    for round in 0..plan.rounds {
        let limit = pgbench.inserts_per_second(postgres, plan)?;
        commands.clear();
        let began = Instant::now();
        let mut waits = trigger_all(&server, round, triggers).await?;
        let answered = began.elapsed();
        let (_, last) = commands.of(triggers, LIMIT).await?;
        rounds.push(Round {
            value: triggers as f64 / (last - began).max(answered).as_secs_f64(),
            limit: Some(limit),
        });
        answers.push(triggers as f64 / answered.as_secs_f64());
        // As the gateways' answers would: else they are sent again while the limit is measured.
        postgres.psql("DELETE FROM commands")?;
        waits.sort();
        slowest.push(waits[waits.len() * 99 / 100].as_secs_f64() * 1e3);
    }
    let after = memory(server.pid())?;
    Ok(vec![
        Figure {
            name: "trigger".to_owned(),
            unit: "triggers/s",
            aim: Aim::RatioMin(0.7),
            limit: "pgbench, one insert per transaction, on the same PostgreSQL",
            rounds,
            details: Map::new(),
        }
        .detail("triggers", triggers)
        .detail("answersPerSecond", crate::figure::median(answers).round())
        .detail("answer99Ms", crate::figure::median(slowest).round())
        .memory(before, after),
    ])
}

/// How long each answer took.
async fn trigger_all(server: &Server, round: usize, triggers: usize) -> Result<Vec<Duration>> {
    let next = Arc::new(AtomicUsize::new(0));
    let mut clients = JoinSet::new();
    let body = json!({"version": "1.0.1"}).to_string();
    for _ in 0..CONNECTIONS {
        let mut connection = Connection::open(server.http_port).await?;
        let (next, body) = (next.clone(), body.clone());
        clients.spawn(async move {
            let mut waits = Vec::new();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= triggers {
                    return anyhow::Ok(waits);
                }
                let path = format!("/api/ota/upgrade/NEW{round}-{number:06}");
                let request = http::post(&path, &body);
                let began = Instant::now();
                connection.ask(&request).await?;
                waits.push(began.elapsed());
            }
        });
    }
    let mut waits = Vec::with_capacity(triggers);
    while let Some(client) = clients.join_next().await {
        waits.extend(client??);
    }
    Ok(waits)
}

struct Pgbench {
    folder: Scratch,
}

impl Pgbench {
    fn new(postgres: &Postgres) -> Result<Pgbench> {
        let folder = Scratch::new("pgbench")?;
        postgres.psql(
            "CREATE TABLE pgbench_rows
             (row_id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, number INT, content TEXT)",
        )?;
        let content = "0123456789abcdef".repeat(ROW_BYTES / 16);
        let script = format!(
            "\\set number random(1, 1000000)\n\
             INSERT INTO pgbench_rows (number, content) VALUES (:number, '{content}');\n"
        );
        fs::write(folder.path().join("insert.sql"), script)?;
        Ok(Pgbench { folder })
    }

    fn inserts_per_second(&self, postgres: &Postgres, plan: &Plan) -> Result<f64> {
        let seconds = (PGBENCH_SECONDS * plan.scale.min(1.0)).ceil();
        let output = Command::new(postgres.program("pgbench"))
            .args(["--no-vacuum", "--jobs=2"])
            .arg(format!("--client={CONNECTIONS}"))
            .arg(format!("--time={seconds}"))
            .arg("--file=insert.sql")
            .arg(postgres.url())
            .current_dir(self.folder.path())
            .output()
            .context("running pgbench, which PostgreSQL's package brings")?;
        let text = String::from_utf8_lossy(&output.stdout);
        ensure!(
            output.status.success(),
            "pgbench failed: {text}{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let rate = text.lines().find_map(|line| line.strip_prefix("tps = "));
        let rate = rate.and_then(|line| line.split(' ').next());
        Ok(rate.context("pgbench printed no rate")?.parse()?)
    }
}
