//! Hundreds of gateways in one process, which write down what the broker acknowledged to them.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use airlift_proto::{
    Command, HeartbeatData, Message, ProgressData, Report, ReportState, TopicKind, Topics,
};
use rumqttc::v5::{
    AsyncClient, Event, EventLoop, MqttOptions,
    mqttbytes::{
        QoS,
        v5::{Packet, PubAckReason},
    },
};
use sha2::{Digest, Sha256};
use tokio::{task::JoinSet, time::sleep};

/// What a gateway sends for one upgrade: 0 to 90 in tens, 95, 98, 100.
pub const REPORTS_PER_UPGRADE: usize = 13;

/// Between two heartbeats of a gateway that has nothing else to say.
const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(5);

/// A progress report that the broker acknowledged.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AckedReport {
    pub msg_id: String,
    pub state: &'static str,
    pub progress: i64,
}

/// What the whole fleet has seen.
#[derive(Default)]
pub struct Ledger {
    pub acked: Mutex<Vec<AckedReport>>,
    pub acked_count: AtomicUsize,
    /// Commands that came, duplicates among them.
    pub commands: AtomicUsize,
}

pub struct Fleet {
    pub ledger: Arc<Ledger>,
    pub ids: Vec<String>,
    _gateways: JoinSet<()>,
}

impl Fleet {
    /// `count` gateways on version 1.0.1, subscribed when this returns.
    pub async fn start(count: usize, mqtt_port: u16) -> Fleet {
        let ledger = Arc::new(Ledger::default());
        let ids: Vec<String> = (0..count).map(|n| format!("GW{n:04}")).collect();
        let ready = Arc::new(tokio::sync::Semaphore::new(0));
        let mut gateways = JoinSet::new();
        for id in &ids {
            let gateway = Gateway {
                id: id.clone(),
                mqtt_port,
                ledger: ledger.clone(),
                version: "1.0.1".into(),
                outbox: VecDeque::new(),
                seen: Vec::new(),
                http: reqwest::Client::new(),
            };
            gateways.spawn(gateway.run(ready.clone()));
        }
        let all = ready.acquire_many(count as u32);
        let permits = tokio::time::timeout(Duration::from_secs(60), all).await;
        permits.expect("the fleet connects").unwrap().forget();
        Fleet {
            ledger,
            ids,
            _gateways: gateways,
        }
    }
}

struct Gateway {
    id: String,
    mqtt_port: u16,
    ledger: Arc<Ledger>,
    version: String,
    /// What is still to be acknowledged by the broker, the first of it on its way.
    outbox: VecDeque<(String, Option<AckedReport>, Option<String>)>,
    seen: Vec<String>,
    http: reqwest::Client,
}

impl Gateway {
    async fn run(mut self, ready: Arc<tokio::sync::Semaphore>) {
        let mut ready = Some(ready);
        self.push_heartbeat();
        loop {
            let mut options = MqttOptions::new(&self.id, "127.0.0.1", self.mqtt_port);
            options
                .set_clean_start(false)
                .set_session_expiry_interval(Some(3600))
                .set_keep_alive(Duration::from_secs(30));
            let (client, mut events) = AsyncClient::new(options, 16);
            self.connection(&client, &mut events, &mut ready).await;
            sleep(Duration::from_millis(200)).await;
        }
    }

    async fn connection(
        &mut self,
        client: &AsyncClient,
        events: &mut EventLoop,
        ready: &mut Option<Arc<tokio::sync::Semaphore>>,
    ) {
        loop {
            let event = tokio::select! {
                event = events.poll() => event,
                () = sleep(HEARTBEAT_INTERVAL), if self.outbox.is_empty() => {
                    self.push_heartbeat();
                    self.send_first(client).await;
                    continue;
                }
            };
            match event {
                Ok(Event::Incoming(Packet::ConnAck(_))) => {
                    let topic = Topics::new("hanqi").topic(&self.id, TopicKind::Command);
                    client.subscribe(topic, QoS::AtLeastOnce).await.unwrap();
                    self.send_first(client).await;
                }
                Ok(Event::Incoming(Packet::SubAck(_))) => {
                    if let Some(ready) = ready.take() {
                        ready.add_permits(1);
                    }
                }
                Ok(Event::Incoming(Packet::Publish(publish))) => {
                    self.ledger.commands.fetch_add(1, Ordering::SeqCst);
                    let was_idle = self.outbox.is_empty();
                    self.obey(&publish.payload).await;
                    if was_idle {
                        self.send_first(client).await;
                    }
                }
                // Mosquitto before 2.0.12 forgets shared subscriptions when it restarts, and says
                // by this code that it kept the message for nobody: it was not taken.
                Ok(Event::Incoming(Packet::PubAck(ack)))
                    if ack.reason == PubAckReason::NoMatchingSubscribers =>
                {
                    sleep(Duration::from_millis(200)).await;
                    self.send_first(client).await;
                }
                Ok(Event::Incoming(Packet::PubAck(_))) => {
                    if let Some((_, Some(report), _)) = self.outbox.pop_front() {
                        self.ledger.acked.lock().unwrap().push(report);
                        self.ledger.acked_count.fetch_add(1, Ordering::SeqCst);
                    }
                    if let Some((_, _, Some(version))) = self.outbox.front() {
                        self.version.clone_from(version);
                    }
                    self.send_first(client).await;
                }
                Ok(_) => {}
                Err(_) => return,
            }
        }
    }

    /// One message at a time: the acknowledgement that comes is the first one's.
    async fn send_first(&self, client: &AsyncClient) {
        if let Some((payload, _, _)) = self.outbox.front() {
            let topic = Topics::new("hanqi").topic(&self.id, TopicKind::Report);
            let sent = client.publish(topic, QoS::AtLeastOnce, false, payload.clone());
            sent.await.unwrap();
        }
    }

    async fn obey(&mut self, payload: &[u8]) {
        let Ok(Command::Upgrade(command)) = serde_json::from_slice(payload) else {
            return;
        };
        let msg_id = command.data.msg_id.clone().unwrap();
        if self.seen.contains(&msg_id) {
            return;
        }
        let image = self.download(&command.data.firmware_url).await;
        let sha256 = hex::encode(Sha256::digest(&image));
        assert_eq!(Some(sha256), command.data.sha256, "{}", self.id);
        self.seen.push(msg_id.clone());
        let target = command.data.version;
        for tenth in 0..=9 {
            self.push_report(&msg_id, &target, ReportState::Downloading, tenth * 10);
        }
        self.push_report(&msg_id, &target, ReportState::Verifying, 95);
        self.push_report(&msg_id, &target, ReportState::Installing, 98);
        self.push_report(&msg_id, &target, ReportState::Completed, 100);
        let before = std::mem::replace(&mut self.version, target.clone());
        self.push_heartbeat();
        self.version = before;
        self.outbox.back_mut().unwrap().2 = Some(target);
    }

    /// Servers come and go.
    async fn download(&self, url: &str) -> Vec<u8> {
        loop {
            if let Ok(answer) = self.http.get(url).send().await
                && answer.status() == 200
                && let Ok(bytes) = answer.bytes().await
            {
                return bytes.to_vec();
            }
            sleep(Duration::from_millis(100)).await;
        }
    }

    fn push_report(&mut self, msg_id: &str, target: &str, state: ReportState, progress: i64) {
        let report: Report = Report::Progress(Message {
            msg_id: Some(msg_id.to_owned()),
            uuid: Some(self.id.clone()),
            timestamp: None,
            data: ProgressData {
                state,
                progress,
                current_version: Some(self.version.clone()),
                target_version: Some(target.to_owned()),
                error_code: None,
                error_message: None,
            },
        });
        let state = match state {
            ReportState::Downloading => "downloading",
            ReportState::Verifying => "verifying",
            ReportState::Installing => "installing",
            ReportState::Completed => "completed",
            other => unreachable!("{other:?} is not sent here"),
        };
        let acked = AckedReport {
            msg_id: msg_id.to_owned(),
            state,
            progress,
        };
        let payload = serde_json::to_string(&report).unwrap();
        self.outbox.push_back((payload, Some(acked), None));
    }

    fn push_heartbeat(&mut self) {
        let heartbeat: Report = Report::Heartbeat(Message {
            msg_id: None,
            uuid: Some(self.id.clone()),
            timestamp: None,
            data: HeartbeatData {
                firmware_version: self.version.clone(),
                ..HeartbeatData::default()
            },
        });
        let payload = serde_json::to_string(&heartbeat).unwrap();
        self.outbox.push_back((payload, None, None));
    }
}
