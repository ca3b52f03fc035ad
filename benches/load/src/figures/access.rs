//! What it costs that somebody asks who comes.

use std::{sync::Arc, time::Duration};

use anyhow::{Context, Result};
use serde_json::{Map, json};

use super::run;
use crate::{
    Plan,
    figure::{Aim, Figure, Round},
    fill::gateway_id,
    http,
    server::{Broker, Database, Server},
};

const CONNECTIONS: usize = 64;
const TIME: Duration = Duration::from_secs(4);

pub fn access(plan: &Plan) -> Result<Vec<Figure>> {
    run(measure(plan))
}

/// One server at a time has the machine to itself: the other waits for requests.
async fn measure(plan: &Plan) -> Result<Vec<Figure>> {
    let gateways = plan.gateways();
    let (open, closed) = (filled(gateways).await?, filled(gateways).await?);
    let token = json!({"name": "airlift-load", "role": "viewer"});
    let made = closed.post("/api/ota/tokens", &token).await?;
    let token = made["token"].as_str().context("a token")?;
    let polls = |token| -> Arc<Vec<Vec<u8>>> {
        let paths = (0..gateways).map(|it| format!("/api/ota/task/{}", gateway_id(it)));
        Arc::new(paths.map(|path| http::get_as(&path, token)).collect())
    };
    let (without, with) = (polls(None), polls(Some(token)));
    let time = TIME.mul_f64(plan.scale.min(1.0));
    let mut rounds = Vec::new();
    for _ in 0..plan.rounds {
        let limit = http::rate(open.http_port, CONNECTIONS, without.clone(), time).await?;
        let value = http::rate(closed.http_port, CONNECTIONS, with.clone(), time).await?;
        let limit = Some(limit);
        rounds.push(Round { value, limit });
    }
    Ok(vec![Figure {
        name: "access".to_owned(),
        unit: "requests/s",
        aim: Aim::RatioMin(0.9),
        limit: "the same poll of a server without credentials",
        rounds,
        details: Map::new(),
    }])
}

async fn filled(gateways: usize) -> Result<Server> {
    let server = Server::start(Database::Sqlite, Broker::BuiltIn, &[]).await?;
    server.fill(gateways).await?;
    Ok(server)
}
