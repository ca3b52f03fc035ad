//! The phone app's poll.

use std::{sync::Arc, time::Duration};

use anyhow::Result;
use axum::{Router, http::header::CONTENT_TYPE, routing::get};
use serde_json::{Map, json};
use tokio::net::TcpListener;

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

pub fn on_sqlite(plan: &Plan) -> Result<Vec<Figure>> {
    run(measure(
        plan,
        "poll.sqlite",
        Database::Sqlite,
        Broker::BuiltIn,
    ))
}

pub fn on_postgres(plan: &Plan) -> Result<Vec<Figure>> {
    run(measure(
        plan,
        "poll.postgres",
        Database::Postgres,
        Broker::Mosquitto,
    ))
}

async fn measure(
    plan: &Plan,
    name: &str,
    database: Database,
    broker: Broker,
) -> Result<Vec<Figure>> {
    let gateways = plan.gateways();
    let server = Server::start(database, broker, &[]).await?;
    server.fill(gateways).await?;
    let requests: Vec<_> = (0..gateways)
        .map(|number| http::get(&format!("/api/ota/task/{}", gateway_id(number))))
        .collect();
    let requests = Arc::new(requests);
    // As long as a real answer.
    let answer = server
        .get(&format!("/api/ota/task/{}", gateway_id(0)))
        .await?;
    let answer = json!({"success": true, "data": answer}).to_string();
    let peer = TcpListener::bind("127.0.0.1:0").await?;
    let peer_port = peer.local_addr()?.port();
    let constant = get(move || async move { ([(CONTENT_TYPE, "application/json")], answer) });
    let router = Router::new().route("/api/ota/task/{id}", constant);
    tokio::spawn(async { axum::serve(peer, router).await });
    let time = TIME.mul_f64(plan.scale.min(1.0));
    let mut rounds = Vec::new();
    for _ in 0..plan.rounds {
        let limit = http::rate(peer_port, CONNECTIONS, requests.clone(), time).await?;
        let value = http::rate(server.http_port, CONNECTIONS, requests.clone(), time).await?;
        let limit = Some(limit);
        rounds.push(Round { value, limit });
    }
    Ok(vec![
        Figure {
            name: name.to_owned(),
            unit: "requests/s",
            aim: Aim::RatioMin(0.5),
            limit: "an axum handler of constant JSON",
            rounds,
            details: Map::new(),
        }
        .detail("gateways", gateways),
    ])
}
