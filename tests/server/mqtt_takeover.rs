//! What a broker keeps for a server that is gone, taken over through a broker that is slow.

use std::{
    collections::BTreeSet,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::Duration,
};

use airlift::mqtt::{BrokerUrl, Incoming, Publisher, SessionIds, SessionOptions, run_session};
use airlift_proto::{TopicKind, Topics};
use airlift_testkit::{FaultProxy, Mosquitto, MosquittoOptions};
use async_trait::async_trait;
use rumqttc::v5::{
    AsyncClient, Event, MqttOptions,
    mqttbytes::{QoS, v5::Packet},
};
use tokio::{
    sync::{Notify, mpsc},
    time::sleep,
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

const MESSAGES: usize = 100;
/// How many of them the broker sends before the first is acknowledged.
const IN_FLIGHT: usize = 20;
/// Longer than the server believes a broker to have no more to say.
const STALL: Duration = Duration::from_secs(4);

/// One session of a dead server, whose end is told.
struct Ids {
    proxy: FaultProxy,
    is_taken: AtomicBool,
    ended: Notify,
}

impl Ids {
    fn stall(self: &Arc<Self>) {
        self.proxy.stall(true);
        let ids = self.clone();
        tokio::spawn(async move {
            sleep(STALL).await;
            ids.proxy.stall(false);
        });
    }
}

/// The same, as a session sees it.
struct Leases(Arc<Ids>);

#[async_trait]
impl SessionIds for Leases {
    async fn acquire(&self, _: Uuid) -> Option<String> {
        Some("alive".to_owned())
    }

    async fn acquire_expired(&self, _: Uuid) -> Option<String> {
        if self.0.is_taken.swap(true, SeqCst) {
            return None;
        }
        self.0.stall();
        Some("dead".to_owned())
    }

    async fn renew(&self, _: &str, _: Uuid) -> bool {
        true
    }

    async fn release(&self, client_id: &str, _: Uuid) {
        if client_id == "dead" {
            self.0.is_taken.store(false, SeqCst);
        }
    }

    async fn forget(&self, client_id: &str, _: Uuid) {
        assert_eq!(client_id, "dead");
        self.0.ended.notify_one();
    }
}

/// A client, driven to the first event that `is_last` says is the last.
async fn client(
    port: u16,
    id: &str,
    act: impl FnOnce(&AsyncClient),
    is_last: fn(&Packet) -> bool,
    times: usize,
) {
    let mut options = MqttOptions::new(id, "127.0.0.1", port);
    options
        .set_clean_start(false)
        .set_session_expiry_interval(Some(3600));
    let (client, mut events) = AsyncClient::new(options, 2 * MESSAGES);
    act(&client);
    let mut left = times;
    while left > 0 {
        if let Event::Incoming(packet) = events.poll().await.unwrap()
            && is_last(&packet)
        {
            left -= 1;
        }
    }
}

/// A server that died before it took in a message.
async fn leave_messages(port: u16, topics: &Topics) {
    let filter = format!("$share/airlift/{}", topics.filter(TopicKind::Report));
    let subscribe = |client: &AsyncClient| client.try_subscribe(filter, QoS::AtLeastOnce).unwrap();
    client(
        port,
        "dead",
        subscribe,
        |it| matches!(it, Packet::SubAck(_)),
        1,
    )
    .await;
    let publish = |client: &AsyncClient| {
        for number in 0..MESSAGES {
            let topic = topics.topic("GW1", TopicKind::Report);
            let payload = number.to_string();
            client
                .try_publish(topic, QoS::AtLeastOnce, false, payload)
                .unwrap();
        }
    };
    client(
        port,
        "gateway",
        publish,
        |it| matches!(it, Packet::PubAck(_)),
        MESSAGES,
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_is_slow_loses_nothing_of_a_session_that_is_taken_over() {
    let mosquitto = Mosquitto::start(&MosquittoOptions {
        extra_config: vec![format!("max_inflight_messages {IN_FLIGHT}")],
        ..MosquittoOptions::default()
    })
    .unwrap();
    let topics = Topics::new("hanqi");
    leave_messages(mosquitto.port(), &topics).await;
    let target = SocketAddr::from(([127, 0, 0, 1], mosquitto.port()));
    let proxy = FaultProxy::start(target).unwrap();
    let broker = BrokerUrl::parse(&format!("mqtt://{}", proxy.addr())).unwrap();
    let ids = Arc::new(Ids {
        proxy,
        is_taken: AtomicBool::new(false),
        ended: Notify::new(),
    });
    let (sender, mut incoming) = mpsc::channel::<Incoming>(MESSAGES);
    let options = SessionOptions {
        broker,
        topics,
        holder: Uuid::nil(),
        ids: Arc::new(Leases(ids.clone())),
        publisher: Publisher::default(),
        incoming: sender,
    };
    let session = tokio::spawn(run_session(options, CancellationToken::new()));
    let mut taken_in = BTreeSet::new();
    loop {
        tokio::select! {
            biased;
            message = incoming.recv() => {
                let message = message.unwrap();
                assert!(message.late);
                taken_in.insert(message.payload);
                // In the middle, too.
                if taken_in.len() == 2 * IN_FLIGHT {
                    ids.stall();
                }
                message.ack.acknowledge();
            }
            () = ids.ended.notified() => break,
        }
    }
    session.abort();
    assert_eq!(taken_in.len(), MESSAGES);
}
