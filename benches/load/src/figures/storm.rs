//! A fleet that lost its connections comes back all at once.

use std::{
    fs,
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use serde_json::{Map, Value, json};
use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
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

const SESSIONS: usize = 50_000;
/// How long a session outlives its connection, seconds.
const SESSION_SECONDS: u32 = 3600;
/// Sessions that are made at the same time, before the storm.
const MADE_AT_ONCE: usize = 256;
const TRIGGERS_AT_ONCE: usize = 64;
/// Before a gateway tries again.
const RETRY: Duration = Duration::from_millis(500);
/// Between two looks whether all is stored.
const LOOK: Duration = Duration::from_millis(50);
/// What a server without clients has open, at most.
const OTHER_FILES: usize = 100;
const LIMIT: Duration = Duration::from_secs(300);

pub fn storm(plan: &Plan) -> Result<Vec<Figure>> {
    run(measure(plan))
}

async fn measure(plan: &Plan) -> Result<Vec<Figure>> {
    let sessions = plan.scaled(SESSIONS);
    let at_once = sessions.min(connections_max());
    let mut server = Server::start(Database::Sqlite, Broker::BuiltIn, &[]).await?;
    server.fill(plan.gateways()).await?;
    server.release("1.0.1", vec![0x5a; 100_000]).await?;
    let before = memory(server.pid())?.resident;
    eprintln!("  {sessions} sessions are made");
    make_sessions(server.mqtt_port, 0..sessions).await?;
    sockets_let_go(&server, sessions).await?;
    let with_sessions = memory(server.pid())?.resident;
    eprintln!("  a command for each");
    trigger(&server, 0..sessions).await?;
    let with_commands = memory(server.pid())?.resident;
    reset_peak(server.pid())?;
    let mut storm = Storm::default();
    let mut drained = Duration::ZERO;
    let mut connected = 0.0;
    for first in (0..sessions).step_by(at_once) {
        let turn = first..(first + at_once).min(sessions);
        eprintln!("  {} of them come back at once", turn.len());
        let began = Instant::now();
        let clients = storm
            .come_back(server.mqtt_port, turn.clone(), true)
            .await?;
        heartbeats_stored(&server, turn.end).await?;
        if turn.end == sessions {
            reports_stored(&server).await?;
        }
        drained += began.elapsed();
        connected = memory(server.pid())?.resident;
        drop(clients);
        sockets_let_go(&server, sessions).await?;
    }
    let after = memory(server.pid())?;
    let figure = figure("storm", sessions, drained, &storm)
        .detail("atOnce", at_once)
        .detail("memoryBeforeMib", before.round())
        .detail("memorySessionsMib", with_sessions.round())
        .detail("memoryCommandsMib", with_commands.round())
        .detail("memoryPeakMib", after.peak.round())
        .detail("memoryConnectedMib", connected.round())
        .detail("memoryAfterMib", after.resident.round());
    let restart = restart(&mut server, sessions, at_once).await?;
    Ok(vec![figure, restart])
}

/// The built-in broker keeps no sessions: they come with its server, and the commands from the outbox.
async fn restart(server: &mut Server, sessions: usize, at_once: usize) -> Result<Figure> {
    let fleet = sessions..sessions + at_once;
    trigger(server, fleet.clone()).await?;
    server.process.kill9()?;
    eprintln!("  {at_once} come back to a server that was killed");
    let began = Instant::now();
    server.process.start_again()?;
    let mut storm = Storm::default();
    let clients = storm
        .come_back(server.mqtt_port, fleet.clone(), false)
        .await?;
    heartbeats_stored(server, fleet.end).await?;
    reports_stored(server).await?;
    let drained = began.elapsed();
    let after = memory(server.pid())?;
    drop(clients);
    Ok(figure("storm.restart", at_once, drained, &storm)
        .detail("memoryPeakMib", after.peak.round())
        .detail("memoryConnectedMib", after.resident.round()))
}

fn figure(name: &str, gateways: usize, drained: Duration, storm: &Storm) -> Figure {
    Figure {
        name: name.to_owned(),
        unit: "gateways/s",
        aim: Aim::None,
        limit: "",
        rounds: vec![Round {
            value: gateways as f64 / drained.as_secs_f64(),
            limit: None,
        }],
        details: Map::new(),
    }
    .detail("gateways", gateways)
    .detail("drainedSeconds", drained.as_secs_f64().round())
    .detail(
        "longestToConnectMs",
        storm.longest_connect.as_millis() as u64,
    )
    .detail(
        "longestToCommandMs",
        storm.longest_command.as_millis() as u64,
    )
    .detail("triesThatFailed", storm.failed.load(Ordering::Relaxed))
}

#[derive(Default)]
struct Storm {
    longest_connect: Duration,
    longest_command: Duration,
    failed: Arc<AtomicUsize>,
}

impl Storm {
    /// All at once: connected again, each with a heartbeat, its command and the first report on it.
    async fn come_back(
        &mut self,
        port: u16,
        fleet: Range<usize>,
        resumed: bool,
    ) -> Result<Vec<Client>> {
        let mut running = JoinSet::new();
        for number in fleet.clone() {
            running.spawn(come_back(port, number, resumed, self.failed.clone()));
        }
        let mut clients = Vec::with_capacity(fleet.len());
        let all = async {
            while let Some(back) = running.join_next().await {
                let back = back??;
                self.longest_connect = self.longest_connect.max(back.connected);
                self.longest_command = self.longest_command.max(back.commanded);
                clients.push(back.client);
            }
            anyhow::Ok(())
        };
        match timeout(LIMIT, all).await {
            Ok(all) => all?,
            Err(_) => anyhow::bail!(
                "after {LIMIT:?} only {} of {} gateways have their command",
                clients.len(),
                fleet.len()
            ),
        }
        Ok(clients)
    }
}

struct Back {
    client: Client,
    connected: Duration,
    commanded: Duration,
}

/// What a gateway has got so far.
#[derive(Default)]
struct Got {
    connected: Option<Duration>,
    /// When, and the command's `msgId`.
    command: Option<(Duration, Value)>,
}

/// A gateway that is not let in, or cut off, tries again.
async fn come_back(
    port: u16,
    number: usize,
    resumed: bool,
    failed: Arc<AtomicUsize>,
) -> Result<Back> {
    let began = Instant::now();
    let mut got = Got::default();
    loop {
        match try_to_come_back(port, number, resumed, began, &mut got).await {
            Ok(client) => {
                return Ok(Back {
                    client,
                    connected: got.connected.unwrap_or_default(),
                    commanded: got.command.unwrap_or_default().0,
                });
            }
            Err(_) => failed.fetch_add(1, Ordering::Relaxed),
        };
        sleep(RETRY).await;
    }
}

async fn try_to_come_back(
    port: u16,
    number: usize,
    resumed: bool,
    began: Instant,
    got: &mut Got,
) -> Result<Client> {
    let mut client = connect(port, number, resumed).await?;
    got.connected.get_or_insert_with(|| began.elapsed());
    let id = gateway_id(number);
    let report = format!("hanqi/gateway/{id}/report");
    let heartbeat = json!({
        "msgType": "heartbeat",
        "uuid": id,
        "data": {"firmwareVersion": "1.0.0", "battery": 87, "freeHeap": 183_456, "rssi": -61},
    });
    client.publish(&report, [heartbeat.to_string()]).await?;
    if got.command.is_none() {
        let commands = client.messages().await?;
        client.acknowledge(&commands).await?;
        let command = commands.first().context("a message")?;
        let command: Value = serde_json::from_slice(&command.payload)?;
        got.command = Some((began.elapsed(), command["data"]["msgId"].clone()));
    }
    let progress = json!({
        "msgType": "ota_progress",
        "uuid": id,
        "msgId": got.command.as_ref().map(|(_, msg_id)| msg_id),
        "data": {"state": "downloading", "progress": 0, "targetVersion": "1.0.1"},
    });
    client.publish(&report, [progress.to_string()]).await?;
    Ok(client)
}

fn gateway_id(number: usize) -> String {
    format!("ST{number:07}")
}

async fn connect(port: u16, number: usize, resumed: bool) -> Result<Client> {
    let id = gateway_id(number);
    let session = Session {
        resumed,
        expiry: SESSION_SECONDS,
        receive_maximum: None,
    };
    let mut client = Client::connect(port, &id, session).await?;
    if !resumed {
        client
            .subscribe(&format!("hanqi/gateway/{id}/command"))
            .await?;
    }
    Ok(client)
}

async fn make_session(port: u16, number: usize) {
    while connect(port, number, false).await.is_err() {
        sleep(RETRY).await;
    }
}

/// Sessions with a subscription; their links are cut, they stay.
async fn make_sessions(port: u16, mut fleet: Range<usize>) -> Result<()> {
    let mut running = JoinSet::new();
    loop {
        while running.len() < MADE_AT_ONCE
            && let Some(number) = fleet.next()
        {
            running.spawn(make_session(port, number));
        }
        match running.join_next().await {
            Some(made) => made?,
            None => return Ok(()),
        }
    }
}

/// Waits until the server has closed what its clients have: here both share one limit of open files.
async fn sockets_let_go(server: &Server, sessions: usize) -> Result<()> {
    let began = Instant::now();
    let files = format!("/proc/{}/fd", server.pid());
    loop {
        let open = fs::read_dir(&files)?.count();
        if open < OTHER_FILES {
            return Ok(());
        }
        ensure!(
            began.elapsed() < LIMIT,
            "{open} files are open for {sessions} sessions without connections"
        );
        sleep(LOOK).await;
    }
}

async fn trigger(server: &Server, fleet: Range<usize>) -> Result<()> {
    let next = Arc::new(AtomicUsize::new(fleet.start));
    let mut clients = JoinSet::new();
    for _ in 0..TRIGGERS_AT_ONCE {
        let mut connection = Connection::open(server.http_port).await?;
        let (next, end) = (next.clone(), fleet.end);
        clients.spawn(async move {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= end {
                    return anyhow::Ok(());
                }
                let path = format!("/api/ota/upgrade/{}", gateway_id(number));
                let body = json!({"version": "1.0.1"}).to_string();
                connection.ask(&http::post(&path, &body)).await?;
            }
        });
    }
    while let Some(client) = clients.join_next().await {
        client??;
    }
    Ok(())
}

/// Waits until the heartbeats of so many gateways are stored.
async fn heartbeats_stored(server: &Server, gateways: usize) -> Result<()> {
    let heard = "/api/ota/gateways?limit=1&count=true&filter=version%3D1.0.0";
    let is_stored = |page: &Value| page["total"].as_u64() >= Some(gateways as u64);
    wait(server, heard, is_stored, "heartbeats").await
}

/// Waits until no command waits to be answered.
async fn reports_stored(server: &Server) -> Result<()> {
    let unheard = "/api/ota/tasks?limit=1&status=pending";
    let is_stored = |page: &Value| page["items"].as_array().is_some_and(Vec::is_empty);
    wait(server, unheard, is_stored, "reports").await
}

async fn wait(
    server: &Server,
    path: &str,
    is_stored: impl Fn(&Value) -> bool,
    what: &str,
) -> Result<()> {
    let began = Instant::now();
    loop {
        let page = server.get(path).await?;
        if is_stored(&page) {
            return Ok(());
        }
        ensure!(
            began.elapsed() < LIMIT,
            "after {LIMIT:?} not all {what} are stored: {page}"
        );
        sleep(LOOK).await;
    }
}
