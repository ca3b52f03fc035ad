//! Gateways that nobody has heard of come all at once.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use serde_json::{Map, json};
use tokio::{task::JoinSet, time::sleep};

use super::{ingest::percentile, run};
use crate::{
    Plan,
    figure::{Aim, Figure, Round},
    memory::{memory, reset_peak},
    mqtt::{Client, Session, connections_max},
    server::{Broker, Database, Server},
};

const GATEWAYS: usize = 20_000;
/// Contacts that are being made at any moment.
const AT_ONCE: usize = 256;
/// Between two questions whether all are known.
const KNOWN_INTERVAL: Duration = Duration::from_millis(50);
const WAIT_MS_MAX: f64 = 2000.0;
/// No run takes so long.
const LIMIT: Duration = Duration::from_secs(300);

pub fn contact(plan: &Plan) -> Result<Vec<Figure>> {
    run(measure(plan))
}

async fn measure(plan: &Plan) -> Result<Vec<Figure>> {
    let gateways = plan.scaled(GATEWAYS);
    let connected = gateways.min(connections_max());
    let server = Server::start(Database::Postgres, Broker::Mosquitto, &[]).await?;
    server.fill(1000 * plan.data).await?;
    let before = memory(server.pid())?;
    let (mut rounds, mut longest) = (Vec::new(), Vec::new());
    reset_peak(server.pid())?;
    for round in 0..plan.rounds {
        let began = Instant::now();
        let (clients, _) =
            make_contact(server.mqtt_port, "alone", round, gateways, connected).await?;
        let limit = Some(gateways as f64 / began.elapsed().as_secs_f64());
        disconnect(clients).await?;
        let known = known_gateways(&server).await?;
        let began = Instant::now();
        let (clients, waits) =
            make_contact(server.mqtt_port, "hanqi", round, gateways, connected).await?;
        while known_gateways(&server).await? < known + gateways as u64 {
            ensure!(
                began.elapsed() < LIMIT,
                "not all gateways are known after {LIMIT:?}"
            );
            sleep(KNOWN_INTERVAL).await;
        }
        let value = gateways as f64 / began.elapsed().as_secs_f64();
        disconnect(clients).await?;
        rounds.push(Round { value, limit });
        longest.push(Round {
            value: percentile(waits, 1.0),
            limit: None,
        });
    }
    let after = memory(server.pid())?;
    let figure = |name: &str, unit, aim, rounds| Figure {
        name: name.to_owned(),
        unit,
        aim,
        limit: "the broker alone",
        rounds,
        details: Map::new(),
    };
    Ok(vec![
        figure("contact", "gateways/s", Aim::RatioMin(0.7), rounds)
            .detail("gateways", gateways)
            .detail("connectedAtOnceMax", connected)
            .detail("contactsMadeAtOnce", gateways.min(AT_ONCE))
            .memory(before, after),
        figure(
            "contact.wait",
            "ms, the longest",
            Aim::Max(WAIT_MS_MAX),
            longest,
        ),
    ])
}

/// Each gateway connects, subscribes and sends a heartbeat, and stays connected while there is room. Those that are
/// connected in the end, and how long each waited from its beginning to the broker's acknowledgement, in milliseconds.
async fn make_contact(
    port: u16,
    prefix: &'static str,
    round: usize,
    gateways: usize,
    connected_max: usize,
) -> Result<(VecDeque<Client>, Vec<f64>)> {
    let (mut connected, mut waits) = (VecDeque::new(), Vec::new());
    let mut running = JoinSet::new();
    for number in 0..gateways {
        if running.len() + connected.len() >= connected_max.max(AT_ONCE)
            && let Some(first) = connected.pop_front()
        {
            Client::disconnect(first).await?;
        }
        if running.len() >= AT_ONCE
            && let Some(made) = running.join_next().await
        {
            let (client, waited) = made??;
            connected.push_back(client);
            waits.push(waited);
        }
        let id = format!("FC{round:02}{number:06}");
        running.spawn(async move {
            let began = Instant::now();
            let mut client = Client::connect(port, &id, Session::default()).await?;
            client.subscribe(&format!("{prefix}/gateway/{id}/command")).await?;
            let heartbeat = json!({
                "msgType": "heartbeat",
                "uuid": id,
                "data": { "firmwareVersion": "1.0.1", "battery": 87, "freeHeap": 183_456, "rssi": -61 },
            });
            let topic = format!("{prefix}/gateway/{id}/report");
            client.publish(&topic, [heartbeat.to_string()]).await?;
            anyhow::Ok((client, began.elapsed().as_secs_f64() * 1000.0))
        });
    }
    while let Some(made) = running.join_next().await {
        let (client, waited) = made??;
        connected.push_back(client);
        waits.push(waited);
    }
    Ok((connected, waits))
}

async fn disconnect(clients: VecDeque<Client>) -> Result<()> {
    for client in clients {
        client.disconnect().await?;
    }
    Ok(())
}

async fn known_gateways(server: &Server) -> Result<u64> {
    let page = server.get("/api/ota/gateways?limit=1&count=true").await?;
    page["total"]
        .as_u64()
        .context("how many gateways there are")
}
