use std::{collections::VecDeque, io, sync::Arc, time::Duration};

use airlift_proto::{TopicKind, Topics};
use async_trait::async_trait;
use bytes::Bytes;
use rumqttc::v5::{
    AsyncClient, ConnectionError, Event, EventLoop, MqttOptions,
    mqttbytes::{
        QoS,
        v5::{ConnAck, Packet, Publish},
    },
};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{
    BrokerUrl, Publisher,
    receipts::Receipts,
    relay::{self, Acks},
};

/// Messages that the broker may send before the first of them is acknowledged: as many as MQTT
/// has packet ids. What holds the broker back is the room in our queue.
const RECEIVE_MAXIMUM: u16 = u16::MAX;
/// Messages between connection and ingest.
pub const INCOMING_QUEUE_MAX: usize = 8192;
/// Publishes waiting for the connection.
pub(super) const OUTGOING_QUEUE_MAX: usize = 8192;
/// Publishes that the broker may leave unacknowledged, if it allows so many; `rumqttc` makes room for
/// all of them beforehand.
const OUTGOING_INFLIGHT_MAX: u16 = 1024;
/// Wait for room among the messages to be stored; less than [`KEEP_ALIVE`].
const ROOM_TIMEOUT: Duration = Duration::from_secs(10);
/// Between two looks whether all is stored.
const STORED_POLL: Duration = Duration::from_millis(20);
/// Largest message either way, in bytes; brokers keep larger ones from us.
const PACKET_BYTES_MAX: u32 = 256 << 10;
/// How long the broker keeps a session whose server is gone, in seconds.
const SESSION_EXPIRY_SECONDS: u32 = 7 * 24 * 3600;
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// Wait after a failed connection.
const RECONNECT_DELAY: Duration = Duration::from_millis(500);
/// Between two renewals of a client id's lease.
const RENEW_INTERVAL: Duration = Duration::from_secs(3);
/// Between two looks for sessions of dead servers.
const ADOPT_INTERVAL: Duration = Duration::from_secs(5);
/// The broker of a session that is drained is asked after so long a silence whether this was all.
const SILENCE: Duration = Duration::from_secs(2);
/// Wait for a clean disconnect.
const DISCONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// Leases of MQTT client ids, so that no two servers use one at once and none is lost.
#[async_trait]
pub trait SessionIds: Send + Sync {
    /// An id for `holder`: that of a dead server, or a new one. `None` if there is none now.
    async fn acquire(&self, holder: Uuid) -> Option<String>;
    /// The id of a dead server, if there is one.
    async fn acquire_expired(&self, holder: Uuid) -> Option<String>;
    /// Keeps an id; false if it was lost to another server.
    async fn renew(&self, client_id: &str, holder: Uuid) -> bool;
    /// Gives an id back for others to take over.
    async fn release(&self, client_id: &str, holder: Uuid);
    /// Ends an id for good: its session is drained.
    async fn forget(&self, client_id: &str, holder: Uuid);
}

#[derive(Clone)]
pub struct SessionOptions {
    pub broker: BrokerUrl,
    pub topics: Topics,
    /// Names this process among the holders of client ids.
    pub holder: Uuid,
    pub ids: Arc<dyn SessionIds>,
    pub publisher: Publisher,
    pub incoming: mpsc::Sender<Incoming>,
}

/// A message from a gateway.
#[derive(Debug)]
pub struct Incoming {
    pub topic: String,
    pub payload: Bytes,
    /// It waited in the session of a dead server, while a living one took in what came after.
    pub late: bool,
    pub ack: Ack,
}

/// Tells the broker that a message was taken in. Dropped instead, the broker sends it again when
/// the session is next resumed.
#[derive(Debug)]
pub struct Ack {
    /// `None` where there is nobody to tell: QoS 0, or the connection has ended.
    delivery: Option<(Acks, u16)>,
    /// Lives as long as this: a connection counts what it passed on and is still to be stored.
    _outstanding: Arc<()>,
}

impl Ack {
    pub fn acknowledge(self) {
        if let Some((acks, packet_id)) = self.delivery {
            // The connection may be gone; then the broker sends the message again, and taking it
            // in twice changes nothing.
            let _ = acks.send(packet_id);
        }
    }
}

/// Keeps the server connected until `shutdown`, and takes over the sessions of dead servers.
pub async fn run_session(options: SessionOptions, shutdown: CancellationToken) {
    let adopting = async {
        loop {
            sleep(ADOPT_INTERVAL).await;
            if let Some(client_id) = options.ids.acquire_expired(options.holder).await {
                adopt(&options, &client_id).await;
            }
        }
    };
    tokio::select! {
        () = keep_connected(&options, &shutdown) => {}
        () = adopting => {}
    }
}

async fn keep_connected(options: &SessionOptions, shutdown: &CancellationToken) {
    while !shutdown.is_cancelled() {
        let Some(client_id) = options.ids.acquire(options.holder).await else {
            sleep(RECONNECT_DELAY).await;
            continue;
        };
        // The id is ours until a renewal fails; connections come and go.
        let lost = async {
            loop {
                sleep(RENEW_INTERVAL).await;
                if !options.ids.renew(&client_id, options.holder).await {
                    tracing::warn!(client_id, "another server took over this MQTT client id");
                    return;
                }
            }
        };
        let connecting = async {
            while !shutdown.is_cancelled() {
                // A new client each time: acknowledgements of an old connection must not reach a
                // new one, where the same packet id may mean another message.
                let outstanding = Arc::new(());
                let result = connection(options, &client_id, &outstanding, shutdown).await;
                options.publisher.set(None);
                if let Err(error) = result {
                    tracing::warn!(broker = %options.broker, %error, "no connection to the broker");
                }
                if !shutdown.is_cancelled() {
                    sleep(RECONNECT_DELAY).await;
                    all_stored(&outstanding).await;
                }
            }
        };
        tokio::select! {
            () = lost => {}
            () = connecting => {}
        }
        options.publisher.set(None);
        options.ids.release(&client_id, options.holder).await;
    }
}

/// One connection, from CONNECT to its end.
async fn connection(
    options: &SessionOptions,
    client_id: &str,
    outstanding: &Arc<()>,
    shutdown: &CancellationToken,
) -> Result<(), ConnectionError> {
    let (client, acks, mut events) = open(options, client_id, false).await?;
    let receipts = Receipts::default();
    let mut closing = false;
    loop {
        let event = tokio::select! {
            event = events.poll() => event,
            () = shutdown.cancelled(), if !closing => {
                options.publisher.set(None);
                let _ = client.try_disconnect();
                closing = true;
                continue;
            }
            () = sleep(DISCONNECT_TIMEOUT), if closing => return Ok(()),
        };
        if let Ok(event) = &event {
            receipts.observe(event);
        }
        match event {
            Ok(Event::Incoming(Packet::ConnAck(connack))) => {
                for filter in filters(&options.topics) {
                    let _ = client.try_subscribe(filter, QoS::AtLeastOnce);
                }
                options
                    .publisher
                    .set(Some((client.clone(), receipts.clone())));
                tracing::info!(
                    broker = %options.broker,
                    client_id,
                    session_present = connack.session_present,
                    "connected to the broker"
                );
            }
            Ok(Event::Incoming(Packet::Publish(publish))) => {
                if !take(options, Some(&acks), outstanding, publish, false).await {
                    return Ok(());
                }
            }
            Ok(Event::Outgoing(rumqttc::Outgoing::Disconnect)) => return Ok(()),
            Ok(_) => {}
            Err(error) => {
                for event in &events.state.events {
                    receipts.observe(event);
                }
                take_read(options, &mut events.state.events, outstanding, false).await;
                return if closing { Ok(()) } else { Err(error) };
            }
        }
    }
}

/// Takes in what had been read when the connection broke: the broker may have died, and with it
/// its memory of these.
async fn take_read(
    options: &SessionOptions,
    events: &mut VecDeque<Event>,
    outstanding: &Arc<()>,
    late: bool,
) {
    for event in events.drain(..) {
        if let Event::Incoming(Packet::Publish(publish)) = event {
            take(options, None, outstanding, publish, late).await;
        }
    }
}

/// Passes a message on. Waiting for room holds the broker back; false if none comes.
async fn take(
    options: &SessionOptions,
    acks: Option<&Acks>,
    outstanding: &Arc<()>,
    publish: Publish,
    late: bool,
) -> bool {
    let acknowledged = publish.qos != QoS::AtMostOnce;
    let incoming = Incoming {
        topic: String::from_utf8_lossy(&publish.topic).into_owned(),
        payload: publish.payload,
        late,
        ack: Ack {
            delivery: acks
                .filter(|_| acknowledged)
                .map(|acks| (acks.clone(), publish.pkid)),
            _outstanding: Arc::clone(outstanding),
        },
    };
    let sent = timeout(ROOM_TIMEOUT, options.incoming.send(incoming)).await;
    if sent.is_err() {
        tracing::warn!("reports arrive faster than they are stored; reconnecting");
    }
    matches!(sent, Ok(Ok(())))
}

/// Returns when the ingest is done with all that a connection passed on. Until then a new
/// connection would bring the same messages again, on top of these, and a server that is behind
/// would never catch up.
async fn all_stored(outstanding: &Arc<()>) {
    while Arc::strong_count(outstanding) > 1 {
        sleep(STORED_POLL).await;
    }
}

/// Takes in what waits in the session of a dead server, then ends that session.
async fn adopt(options: &SessionOptions, client_id: &str) {
    tracing::info!(
        client_id,
        "taking over the MQTT session of a server that is gone"
    );
    if drain(options, client_id).await && end_session(options, client_id).await {
        options.ids.forget(client_id, options.holder).await;
    } else {
        options.ids.release(client_id, options.holder).await;
    }
}

/// Whether everything that waited was passed on and acknowledged. That is so when all is stored, and
/// the broker answers what it is asked behind the last acknowledgement without a message before the
/// answer: silence alone may be a broker that is slow.
async fn drain(options: &SessionOptions, client_id: &str) -> bool {
    let Ok((client, acks, mut events)) = open(options, client_id, false).await else {
        return false;
    };
    let Some(connack) = connected(&mut events).await else {
        return false;
    };
    if !connack.session_present {
        return true;
    }
    // Nothing new is to come in here.
    let mut unanswered = unsubscribe(options, &client);
    let mut asked = false;
    let outstanding = Arc::new(());
    let mut renew_at = Instant::now() + RENEW_INTERVAL;
    loop {
        if renew_at <= Instant::now() {
            if !options.ids.renew(client_id, options.holder).await {
                return false;
            }
            renew_at = Instant::now() + RENEW_INTERVAL;
        }
        match timeout(SILENCE, events.poll()).await {
            Ok(Ok(Event::Incoming(Packet::Publish(publish)))) => {
                asked = false;
                if !take(options, Some(&acks), &outstanding, publish, true).await {
                    return false;
                }
            }
            Ok(Ok(Event::Incoming(Packet::UnsubAck(_)))) => {
                unanswered = unanswered.saturating_sub(1);
                if asked && unanswered == 0 {
                    let _ = client.try_disconnect();
                    let _ = timeout(DISCONNECT_TIMEOUT, events.poll()).await;
                    return true;
                }
            }
            Ok(Ok(_)) => {}
            Ok(Err(_)) => {
                take_read(options, &mut events.state.events, &outstanding, true).await;
                return false;
            }
            Err(_) if !asked && Arc::strong_count(&outstanding) == 1 => {
                let questions = unsubscribe(options, &client);
                unanswered += questions;
                asked = questions > 0;
            }
            Err(_) => {}
        }
    }
}

/// The broker's answer to CONNECT. Waiting for it has a limit in `rumqttc`; a poll that is given up
/// before would connect anew.
async fn connected(events: &mut EventLoop) -> Option<ConnAck> {
    match events.poll().await {
        Ok(Event::Incoming(Packet::ConnAck(connack))) => Some(connack),
        _ => None,
    }
}

/// How many answers there will be, also where nothing is subscribed.
fn unsubscribe(options: &SessionOptions, client: &AsyncClient) -> usize {
    let asked = |filter: &String| client.try_unsubscribe(filter.clone()).is_ok();
    filters(&options.topics)
        .iter()
        .filter(|it| asked(it))
        .count()
}

/// Has the broker drop a session: whether it did.
async fn end_session(options: &SessionOptions, client_id: &str) -> bool {
    let Ok((client, _acks, mut events)) = open(options, client_id, true).await else {
        return false;
    };
    let dropped = connected(&mut events).await.is_some();
    let _ = client.try_disconnect();
    let _ = timeout(DISCONNECT_TIMEOUT, events.poll()).await;
    dropped
}

async fn open(
    options: &SessionOptions,
    client_id: &str,
    fresh: bool,
) -> io::Result<(AsyncClient, Acks, EventLoop)> {
    let (port, acks) = relay::connect(&options.broker).await?;
    let mut mqtt = MqttOptions::new(client_id, "127.0.0.1", port);
    if let Some((user, password)) = &options.broker.credentials {
        mqtt.set_credentials(user, password);
    }
    mqtt.set_manual_acks(true)
        .set_clean_start(fresh)
        .set_keep_alive(KEEP_ALIVE)
        .set_session_expiry_interval(Some(if fresh { 0 } else { SESSION_EXPIRY_SECONDS }))
        .set_receive_maximum(Some(RECEIVE_MAXIMUM))
        .set_outgoing_inflight_upper_limit(OUTGOING_INFLIGHT_MAX)
        .set_max_packet_size(Some(PACKET_BYTES_MAX));
    let (client, events) = AsyncClient::new(mqtt, OUTGOING_QUEUE_MAX);
    Ok((client, acks, events))
}

/// Shared, so that servers on one broker divide the gateways' messages among them.
fn filters(topics: &Topics) -> [String; 2] {
    [TopicKind::Report, TopicKind::Status]
        .map(|kind| format!("$share/airlift/{}", topics.filter(kind)))
}
