//! The connection to the broker: kept up by itself, one at a time, each begun afresh.
//!
//! The MQTT client's own retransmission is not used: what must be sent again after a reconnect is
//! the core's to say, so a connection that is lost takes everything under way on it along.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use airlift_firmware::{PublishId, backoff_ms};
use airlift_proto::{TopicKind, Topics};
use rumqttc::{
    Outgoing,
    v5::{
        AsyncClient, ConnectionError, Event, EventLoop, Incoming, MqttOptions, StateError,
        mqttbytes::{
            QoS,
            v5::{ConnectReturnCode, PubAckReason, Publish, SubscribeReasonCode},
        },
    },
};
use tokio::{
    sync::mpsc,
    task::JoinHandle,
    time::{sleep, sleep_until, timeout},
};

/// Requests that may wait for the connection.
const REQUESTS_MAX: usize = 64;
/// Things that happened on the connection and may wait for the gateway.
const SIGNALS_MAX: usize = 64;
/// Wait before the second connect, and the longest one.
const RECONNECT_MS_MIN: u64 = 500;
const RECONNECT_MS_MAX: u64 = 30_000;
/// A connection that held so long counts as good: the waits start anew.
const STABLE_SECONDS_MIN: u64 = 20;
/// Longest wait for the acknowledgement of a publish before the connection is given up.
const ACK_SECONDS_MAX: u64 = 30;
/// Wait before a message that nobody heard is published again, and the longest one; the jitter takes
/// up to half of either.
const UNHEARD_MS_MIN: u64 = 2_000;
const UNHEARD_MS_MAX: u64 = 10_000;
/// Longest wait for a goodbye to reach the broker.
const GOODBYE_SECONDS_MAX: u64 = 1;

/// What a gateway hears from its link.
#[derive(Debug)]
pub enum Signal {
    Connected,
    /// In words, with the wait before the next attempt.
    Lost(String),
    Acked(PublishId),
    /// To be given to [`Link::ack`] once it is dealt with.
    Message(Box<Publish>),
}

/// Whether the broker's acknowledgement is enough while no server listens there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ears {
    /// Published again and again until the broker has somebody to give it to.
    Needed,
    Optional,
}

/// What the connection's task says.
enum Report {
    Up(AsyncClient),
    Down {
        reason: String,
        wait: Duration,
    },
    /// The oldest publish that was asked for went out under this packet id.
    Sent(u16),
    Acked(u16),
    /// The broker took a publish and kept it for nobody (MQTT 5, reason 0x10): a shared subscription
    /// that Mosquitto before 2.0.12 forgot at its restart, or servers that never were here.
    Unheard(u16),
    /// The broker does not want a publish or the subscription.
    Refused(String),
    Message(Box<Publish>),
    Closed,
}

/// A publish the broker has not acknowledged.
#[derive(Debug)]
struct Waiting {
    id: PublishId,
    since: Instant,
    packet_id: Option<u16>,
    /// Kept if it needs ears.
    message: Option<Message>,
}

/// What is published again if nobody heard it.
#[derive(Clone, Debug)]
struct Message {
    kind: TopicKind,
    retain: bool,
    payload: Vec<u8>,
}

/// One gateway's connection; dropped, it is cut without a goodbye.
#[derive(Debug)]
pub struct Link {
    options: MqttOptions,
    gateway_id: String,
    topics: Topics,
    reports: mpsc::Receiver<Report>,
    task: JoinHandle<()>,
    client: Option<AsyncClient>,
    /// In the order they were asked for.
    waiting: VecDeque<Waiting>,
    /// Acknowledged, but heard by nobody; all published again at `again_at`.
    unheard: Vec<(PublishId, Message)>,
    again_at: Option<Instant>,
    /// Waits for ears in a row.
    unheard_rounds: u32,
    failures: u32,
    up_since: Option<Instant>,
    /// Why the connection is to be given up, if it is.
    broken: Option<String>,
}

impl Link {
    pub fn start(options: MqttOptions, gateway_id: &str, topics: Topics) -> Self {
        let (reports, task) = connect(options.clone(), Duration::ZERO, 0);
        Link {
            options,
            gateway_id: gateway_id.into(),
            topics,
            reports,
            task,
            client: None,
            waiting: VecDeque::new(),
            unheard: Vec::new(),
            again_at: None,
            unheard_rounds: 0,
            failures: 0,
            up_since: None,
            broken: None,
        }
    }

    pub fn subscribe(&mut self) {
        let topic = self.topics.topic(&self.gateway_id, TopicKind::Command);
        self.ask(|client| client.try_subscribe(topic, QoS::AtLeastOnce).is_ok());
    }

    pub fn publish(
        &mut self,
        id: PublishId,
        kind: TopicKind,
        retain: bool,
        payload: Vec<u8>,
        ears: Ears,
    ) {
        let topic = self.topics.topic(&self.gateway_id, kind);
        let message = (ears == Ears::Needed).then(|| Message {
            kind,
            retain,
            payload: payload.clone(),
        });
        let asked = self.ask(|client| {
            let sent = client.try_publish(topic, QoS::AtLeastOnce, retain, payload);
            sent.is_ok()
        });
        if asked {
            self.waiting.push_back(Waiting {
                id,
                since: Instant::now(),
                packet_id: None,
                message,
            });
        }
    }

    fn publish_unheard(&mut self) {
        self.again_at = None;
        for (id, message) in std::mem::take(&mut self.unheard) {
            let Message {
                kind,
                retain,
                payload,
            } = message;
            self.publish(id, kind, retain, payload, Ears::Needed);
        }
    }

    pub fn ack(&mut self, message: &Publish) {
        self.ask(|client| client.try_ack(message).is_ok());
    }

    /// Whether all that was published is acknowledged and heard, or can no longer be.
    pub fn is_flushed(&self) -> bool {
        self.client.is_none() || self.waiting.is_empty() && self.unheard.is_empty()
    }

    /// Has the connection given up at the next [`Self::next`]; false if there is none.
    pub fn cut(&mut self, reason: &str) -> bool {
        if self.client.is_some() {
            self.broken = Some(reason.into());
        }
        self.client.is_some()
    }

    fn ask(&mut self, request: impl FnOnce(&AsyncClient) -> bool) -> bool {
        let Some(client) = &self.client else {
            return false;
        };
        let asked = request(client);
        if !asked {
            self.broken = Some("it takes no more messages".into());
        }
        asked
    }

    /// The next thing that happens. Safe to be dropped while waiting.
    pub async fn next(&mut self) -> Signal {
        loop {
            if let Some(reason) = self.broken.take() {
                return self.give_up(&reason);
            }
            let overdue = self
                .waiting
                .front()
                .map(|oldest| oldest.since + Duration::from_secs(ACK_SECONDS_MAX));
            let report = tokio::select! {
                report = self.reports.recv() => report,
                () = sleep_until(overdue.unwrap_or_else(Instant::now).into()), if overdue.is_some() => {
                    self.broken = Some(format!(
                        "it did not acknowledge a message within {ACK_SECONDS_MAX} s"
                    ));
                    continue;
                }
                () = sleep_until(self.again_at.unwrap_or_else(Instant::now).into()), if self.again_at.is_some() => {
                    self.publish_unheard();
                    continue;
                }
            };
            if let Some(signal) = self.take(report) {
                return signal;
            }
        }
    }

    fn take(&mut self, report: Option<Report>) -> Option<Signal> {
        match report {
            Some(Report::Up(client)) => {
                self.client = Some(client);
                self.up_since = Some(Instant::now());
                Some(Signal::Connected)
            }
            Some(Report::Message(message)) => Some(Signal::Message(message)),
            Some(Report::Sent(packet_id)) => {
                let unsent = self.waiting.iter_mut().find(|one| one.packet_id.is_none());
                if let Some(one) = unsent {
                    one.packet_id = Some(packet_id);
                }
                None
            }
            Some(Report::Acked(packet_id)) => {
                let one = self.taken(packet_id)?;
                if one.message.is_some() {
                    self.unheard_rounds = 0;
                }
                Some(Signal::Acked(one.id))
            }
            Some(Report::Unheard(packet_id)) => {
                let one = self.taken(packet_id)?;
                let Some(message) = one.message else {
                    return Some(Signal::Acked(one.id));
                };
                self.unheard.push((one.id, message));
                if self.again_at.is_none() {
                    self.unheard_rounds = self.unheard_rounds.saturating_add(1);
                    self.again_at = Some(Instant::now() + unheard_wait(self.unheard_rounds));
                }
                None
            }
            Some(Report::Refused(reason)) => {
                self.broken = Some(reason);
                None
            }
            Some(Report::Down { reason, wait }) => {
                self.forget();
                Some(Signal::Lost(lost(&reason, wait)))
            }
            Some(Report::Closed) | None => {
                self.broken = Some("the connection ended".into());
                None
            }
        }
    }

    /// What went out under this packet id, which is free again.
    fn taken(&mut self, packet_id: u16) -> Option<Waiting> {
        let mut ids = self.waiting.iter().map(|one| one.packet_id);
        let at = ids.position(|id| id == Some(packet_id))?;
        self.waiting.remove(at)
    }

    /// Cuts the connection and begins another.
    fn give_up(&mut self, reason: &str) -> Signal {
        let held = self.up_since.is_some_and(held_long);
        self.failures = if held {
            1
        } else {
            self.failures.saturating_add(1)
        };
        let wait = wait_after(self.failures);
        self.forget();
        self.task.abort();
        (self.reports, self.task) = connect(self.options.clone(), wait, self.failures);
        Signal::Lost(lost(reason, wait))
    }

    fn forget(&mut self) {
        self.client = None;
        self.up_since = None;
        self.waiting.clear();
        self.unheard.clear();
        self.again_at = None;
        self.unheard_rounds = 0;
    }

    /// Says goodbye, so that the broker does not send the last will.
    pub async fn close(mut self) {
        let said = self.ask(|client| client.try_disconnect().is_ok());
        if said {
            let goodbye = async {
                while !matches!(self.reports.recv().await, Some(Report::Closed) | None) {}
            };
            // Too late is as good as cut off: the broker sends the will.
            let _ = timeout(Duration::from_secs(GOODBYE_SECONDS_MAX), goodbye).await;
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn connect(
    options: MqttOptions,
    wait: Duration,
    failures: u32,
) -> (mpsc::Receiver<Report>, JoinHandle<()>) {
    let (sender, receiver) = mpsc::channel(SIGNALS_MAX);
    let task = tokio::spawn(async move {
        sleep(wait).await;
        run(options, failures, sender).await;
    });
    (receiver, task)
}

/// Connects again and again until nobody listens.
async fn run(options: MqttOptions, mut failures: u32, reports: mpsc::Sender<Report>) {
    loop {
        let (client, mut eventloop) = AsyncClient::new(options.clone(), REQUESTS_MAX);
        // Room for a hundred packets is a third of what a gateway of a fleet costs.
        eventloop.state.events = VecDeque::new();
        let mut up_since = None;
        let reason = loop {
            let report = match poll(&mut eventloop, &client).await {
                Ok(Some(report)) => report,
                Ok(None) => continue,
                Err(reason) => break reason,
            };
            if matches!(report, Report::Up(_)) {
                up_since = Some(Instant::now());
            }
            let closed = matches!(report, Report::Closed);
            if reports.send(report).await.is_err() || closed {
                return;
            }
        };
        let held = up_since.is_some_and(held_long);
        failures = if held { 1 } else { failures.saturating_add(1) };
        let wait = wait_after(failures);
        if reports.send(Report::Down { reason, wait }).await.is_err() {
            return;
        }
        sleep(wait).await;
    }
}

async fn poll(eventloop: &mut EventLoop, client: &AsyncClient) -> Result<Option<Report>, String> {
    Ok(match eventloop.poll().await.map_err(describe)? {
        Event::Incoming(Incoming::ConnAck(_)) => Some(Report::Up(client.clone())),
        Event::Incoming(Incoming::Publish(message)) => Some(Report::Message(Box::new(message))),
        Event::Incoming(Incoming::PubAck(ack)) => Some(match ack.reason {
            PubAckReason::Success => Report::Acked(ack.pkid),
            PubAckReason::NoMatchingSubscribers => Report::Unheard(ack.pkid),
            reason => Report::Refused(format!("it refuses a message: {reason:?}")),
        }),
        Event::Incoming(Incoming::SubAck(ack)) => ack
            .return_codes
            .iter()
            .find(|code| !matches!(code, SubscribeReasonCode::Success(_)))
            .map(|code| Report::Refused(format!("it refuses the command topic: {code:?}"))),
        Event::Outgoing(Outgoing::Publish(packet_id)) => Some(Report::Sent(packet_id)),
        Event::Outgoing(Outgoing::Disconnect) => Some(Report::Closed),
        _ => None,
    })
}

fn held_long(since: Instant) -> bool {
    since.elapsed().as_secs() >= STABLE_SECONDS_MIN
}

fn wait_after(failures: u32) -> Duration {
    let jitter = fastrand::u64(..);
    Duration::from_millis(backoff_ms(
        failures,
        RECONNECT_MS_MIN,
        RECONNECT_MS_MAX,
        jitter,
    ))
}

fn unheard_wait(rounds: u32) -> Duration {
    let jitter = fastrand::u64(..);
    Duration::from_millis(backoff_ms(rounds, UNHEARD_MS_MIN, UNHEARD_MS_MAX, jitter))
}

fn lost(reason: &str, wait: Duration) -> String {
    format!("{reason}; connects again in {:.1} s", wait.as_secs_f32())
}

fn describe(error: ConnectionError) -> String {
    use ConnectReturnCode::{BadUserNamePassword, NotAuthorized};
    match error {
        ConnectionError::Io(error) => error.to_string(),
        ConnectionError::Tls(error) => error.to_string(),
        ConnectionError::Timeout(_) => "it does not answer".into(),
        ConnectionError::ConnectionRefused(BadUserNamePassword | NotAuthorized) => {
            "it refuses the credentials; check --id and --token".into()
        }
        ConnectionError::ConnectionRefused(code) => format!("it refuses the connection: {code:?}"),
        ConnectionError::MqttState(StateError::Io(error)) => error.to_string(),
        ConnectionError::MqttState(StateError::ConnectionAborted) => {
            "it closed the connection".into()
        }
        ConnectionError::MqttState(StateError::ServerDisconnect { reason_code, .. }) => {
            format!("it ended the connection: {reason_code:?}")
        }
        error => error.to_string(),
    }
}

#[cfg(test)]
mod tests;
