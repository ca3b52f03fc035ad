//! Who listens to the commands that leave for gateways.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use rumqttc::v5::{
    AsyncClient, Event, EventLoop, Incoming, MqttOptions,
    mqttbytes::{QoS, v5::Packet},
};
use tokio::{
    sync::Notify,
    task::JoinHandle,
    time::{sleep, timeout},
};

const COMMANDS: &str = "hanqi/gateway/+/command";
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
const RETRY_DELAY: Duration = Duration::from_millis(100);

/// A subscriber of all commands. A gateway counts once, however often its command is sent.
pub struct Commands {
    seen: Arc<Seen>,
    listening: JoinHandle<()>,
}

#[derive(Default)]
struct Seen {
    topics: Mutex<Topics>,
    more: Notify,
}

#[derive(Default)]
struct Topics {
    names: HashSet<Box<[u8]>>,
    /// When each name was first seen, in their order.
    at: Vec<Instant>,
}

impl Commands {
    pub async fn listen(mqtt_port: u16) -> Result<Commands> {
        let mut options = MqttOptions::new("airlift-load-commands", "127.0.0.1", mqtt_port);
        options.set_max_packet_size(Some(256 << 10));
        let (client, mut events) = AsyncClient::new(options, 16);
        client.subscribe(COMMANDS, QoS::AtMostOnce).await?;
        timeout(CONNECT_LIMIT, subscribed(&mut events)).await??;
        let seen = Arc::new(Seen::default());
        let listening = tokio::spawn({
            let seen = seen.clone();
            async move {
                // Ends the connection when it is dropped.
                let _client = client;
                loop {
                    match events.poll().await {
                        Ok(Event::Incoming(Packet::Publish(publish))) => seen.add(&publish.topic),
                        Ok(_) => {}
                        Err(_) => sleep(RETRY_DELAY).await,
                    }
                }
            }
        });
        Ok(Commands { seen, listening })
    }

    /// Forgets what was seen.
    pub fn clear(&self) {
        *self.seen.lock() = Topics::default();
    }

    /// Waits until so many gateways were sent a command; when the first and the last of them were.
    pub async fn of(&self, gateways: usize, limit: Duration) -> Result<(Instant, Instant)> {
        let all = async {
            loop {
                let more = self.seen.more.notified();
                if let Some(last) = self.seen.lock().at.get(gateways - 1) {
                    return *last;
                }
                more.await;
            }
        };
        let last = timeout(limit, all).await;
        let topics = self.seen.lock();
        let seen = topics.at.len();
        ensure!(
            last.is_ok(),
            "only {seen} of {gateways} commands were seen within {limit:?}"
        );
        Ok((topics.at[0], last?))
    }
}

impl Drop for Commands {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

impl Seen {
    fn add(&self, topic: &[u8]) {
        let mut topics = self.lock();
        if topics.names.insert(topic.into()) {
            topics.at.push(Instant::now());
            self.more.notify_one();
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Topics> {
        self.topics.lock().expect("nobody panics with it")
    }
}

async fn subscribed(events: &mut EventLoop) -> Result<()> {
    while !matches!(events.poll().await?, Event::Incoming(Incoming::SubAck(_))) {}
    Ok(())
}
