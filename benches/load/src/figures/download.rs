//! Gateways that fetch a release all at once.

use std::time::Duration;

use anyhow::Result;
use serde_json::Map;

use super::run;
use crate::{
    Plan,
    figure::{Aim, Figure, Round},
    http,
    memory::{memory, reset_peak},
    nginx::Nginx,
    server::{Broker, Database, Server},
};

const SMALL_BYTES: usize = 1_500_000;
const SMALL_CONNECTIONS: usize = 64;
const LARGE_BYTES: usize = 50_000_000;
const LARGE_CONNECTIONS: usize = 8;
const TIME: Duration = Duration::from_secs(5);

pub fn small(plan: &Plan) -> Result<Vec<Figure>> {
    run(measure(
        plan,
        "download.small",
        SMALL_BYTES,
        SMALL_CONNECTIONS,
    ))
}

pub fn large(plan: &Plan) -> Result<Vec<Figure>> {
    let bytes = plan.scaled(LARGE_BYTES);
    run(measure(plan, "download.large", bytes, LARGE_CONNECTIONS))
}

async fn measure(plan: &Plan, name: &str, bytes: usize, connections: usize) -> Result<Vec<Figure>> {
    let server = Server::start(Database::Postgres, Broker::Mosquitto, &[]).await?;
    let image = pattern(bytes);
    let file_name = server.release("1.0.1", image.clone()).await?;
    let nginx = Nginx::start(&file_name, &image)?;
    let ours = http::get(&format!("/firmware/{file_name}"));
    let theirs = http::get(&format!("/{file_name}"));
    let time = TIME.mul_f64(plan.scale.min(1.0));
    let before = memory(server.pid())?;
    reset_peak(server.pid())?;
    let mut rounds = Vec::new();
    for _ in 0..plan.rounds {
        let limit = http::throughput(nginx.port, connections, &theirs, time).await?;
        let value = http::throughput(server.http_port, connections, &ours, time).await?;
        rounds.push(Round {
            value: value / 1e6,
            limit: Some(limit / 1e6),
        });
    }
    let after = memory(server.pid())?;
    Ok(vec![
        Figure {
            name: name.to_owned(),
            unit: "MB/s",
            aim: Aim::RatioMin(0.9),
            limit: "nginx with sendfile, the same file",
            rounds,
            details: Map::new(),
        }
        .detail("connections", connections)
        .detail("fileBytes", bytes)
        .memory(before, after),
    ])
}

/// Bytes that no two pages have alike.
fn pattern(bytes: usize) -> Vec<u8> {
    (0..bytes.div_ceil(8) as u64)
        .flat_map(|number| number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes())
        .take(bytes)
        .collect()
}
