//! Real MQTT clients of both versions, for the tests of the built-in broker.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use airlift::mqtt::embedded::{Admission, EmbeddedBroker, EmbeddedBrokerOptions, Ended, OnPublish};
use rumqttc::v5::mqttbytes::QoS as QoS5;
use rumqttc::v5::mqttbytes::v5::{Packet as Packet5, Publish as Publish5};
use rumqttc::v5::{
    AsyncClient as Client5, Event as Event5, EventLoop as EventLoop5, MqttOptions as Options5,
};
use rumqttc::{AsyncClient, Event, EventLoop, MqttOptions, Packet, Publish, QoS};
use tokio::time::timeout;

/// Long enough for anything that should happen, on a busy machine.
pub const SOON: Duration = Duration::from_secs(10);
/// Long enough to believe that something does not happen.
pub const QUIET: Duration = Duration::from_millis(400);
/// Seconds a test session outlives its connection.
pub const SESSION_SECONDS: u32 = 600;

pub async fn broker(on_publish: OnPublish) -> EmbeddedBroker {
    let listen = SocketAddr::from(([127, 0, 0, 1], 0));
    EmbeddedBroker::start(open_to_all(listen, on_publish))
        .await
        .expect("a free port")
}

/// A broker without credentials.
pub fn open_to_all(listen: SocketAddr, on_publish: OnPublish) -> EmbeddedBrokerOptions {
    EmbeddedBrokerOptions {
        listen,
        on_publish,
        on_connect: Arc::new(|_| Box::pin(async { Ok(Admission::Open) })),
        on_look: Arc::new(|_| Box::pin(async { Some(Ended::default()) })),
        topic_prefix: "hanqi".to_owned(),
        messages_per_second: 0,
        tls: None,
    }
}

pub fn take_all() -> OnPublish {
    Arc::new(|_, _| Box::pin(async { true }))
}

pub fn options(broker: &EmbeddedBroker, id: &str) -> MqttOptions {
    let mut options = MqttOptions::new(id, "127.0.0.1", broker.local_addr().port());
    options.set_keep_alive(Duration::from_secs(30));
    options
}

/// An MQTT 5 session that is kept between connections, acknowledging by hand.
pub fn options5(broker: &EmbeddedBroker, id: &str) -> Options5 {
    let mut options = Options5::new(id, "127.0.0.1", broker.local_addr().port());
    options.set_keep_alive(Duration::from_secs(30));
    options
        .set_clean_start(false)
        .set_session_expiry_interval(Some(SESSION_SECONDS));
    options.set_manual_acks(true);
    options
}

pub async fn until<T>(events: &mut EventLoop, mut wanted: impl FnMut(Packet) -> Option<T>) -> T {
    let found = async {
        loop {
            if let Event::Incoming(packet) = events.poll().await.expect("connected")
                && let Some(found) = wanted(packet)
            {
                return found;
            }
        }
    };
    timeout(SOON, found).await.expect("the packet comes soon")
}

pub async fn until5<T>(events: &mut EventLoop5, mut wanted: impl FnMut(Packet5) -> Option<T>) -> T {
    let found = async {
        loop {
            if let Event5::Incoming(packet) = events.poll().await.expect("connected")
                && let Some(found) = wanted(packet)
            {
                return found;
            }
        }
    };
    timeout(SOON, found).await.expect("the packet comes soon")
}

pub async fn message(events: &mut EventLoop) -> Publish {
    until(events, |packet| {
        if let Packet::Publish(publish) = packet {
            Some(publish)
        } else {
            None
        }
    })
    .await
}

pub async fn message5(events: &mut EventLoop5) -> Publish5 {
    until5(events, |packet| {
        if let Packet5::Publish(publish) = packet {
            Some(publish)
        } else {
            None
        }
    })
    .await
}

pub async fn acknowledged(events: &mut EventLoop) {
    until(events, |packet| {
        matches!(packet, Packet::PubAck(_)).then_some(())
    })
    .await
}

/// Everything that comes in, for `QUIET`, when nothing more is expected.
pub async fn rest5(events: &mut EventLoop5) -> Vec<Publish5> {
    let mut seen = Vec::new();
    while let Ok(Ok(event)) = timeout(QUIET, events.poll()).await {
        if let Event5::Incoming(Packet5::Publish(publish)) = event {
            seen.push(publish);
        }
    }
    seen
}

pub async fn subscribe5(client: &Client5, events: &mut EventLoop5, filter: &str) {
    client
        .subscribe(filter, QoS5::AtLeastOnce)
        .await
        .expect("queued");
    until5(events, |packet| {
        matches!(packet, Packet5::SubAck(_)).then_some(())
    })
    .await
}

pub async fn subscribe(client: &AsyncClient, events: &mut EventLoop, filter: &str) {
    client
        .subscribe(filter, QoS::AtLeastOnce)
        .await
        .expect("queued");
    until(events, |packet| {
        matches!(packet, Packet::SubAck(_)).then_some(())
    })
    .await
}

/// One publisher for a whole test; returns when the broker has acknowledged.
pub struct Publisher(AsyncClient, EventLoop);

impl Publisher {
    pub fn new(broker: &EmbeddedBroker) -> Self {
        let (client, events) = AsyncClient::new(options(broker, "publisher"), 10);
        Self(client, events)
    }

    pub async fn send(&mut self, topic: &str, payload: impl Into<Vec<u8>>, retain: bool) {
        self.0
            .publish(topic, QoS::AtLeastOnce, retain, payload)
            .await
            .expect("queued");
        acknowledged(&mut self.1).await;
    }
}
