//! What a server costs that nobody asks anything.

use std::time::Duration;

use anyhow::Result;
use serde_json::Map;
use tokio::time::sleep;

use super::run;
use crate::{
    Plan,
    figure::{Aim, Figure, Round, median},
    memory::memory,
    server::{Broker, Database, Server},
};

/// Until everything that a start leads to is over.
const SETTLE_TIME: Duration = Duration::from_secs(5);

pub fn idle(plan: &Plan) -> Result<Vec<Figure>> {
    run(measure(plan))
}

/// With embedded defaults, each time in a new folder.
async fn measure(plan: &Plan) -> Result<Vec<Figure>> {
    let (mut starts, mut resident, mut anonymous) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..plan.rounds {
        let server = Server::start(Database::Sqlite, Broker::BuiltIn, &[]).await?;
        starts.push(server.first_answer.as_secs_f64() * 1000.0);
        sleep(SETTLE_TIME.mul_f64(plan.scale.min(1.0))).await;
        let memory = memory(server.pid())?;
        resident.push(memory.resident);
        anonymous.push(memory.anonymous);
    }
    let figure = |name: &str, unit, max, values: Vec<f64>| Figure {
        name: name.to_owned(),
        unit,
        aim: Aim::Max(max),
        limit: "",
        rounds: values
            .into_iter()
            .map(|value| Round { value, limit: None })
            .collect(),
        details: Map::new(),
    };
    Ok(vec![
        figure("idle.start", "ms", 100.0, starts),
        figure("idle.memory", "MiB", 25.0, resident).detail("anonymousMib", median(anonymous)),
    ])
}
