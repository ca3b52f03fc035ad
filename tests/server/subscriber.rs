//! Someone who listens to a topic that goes to everyone.

use std::time::Duration;

use rumqttc::{AsyncClient, Event, MqttOptions, Packet, QoS};
use serde_json::Value;
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
    time::timeout,
};

use crate::app::{QUIET, SOON};

const QUEUE_MAX: usize = 100;
const RECONNECT_DELAY: Duration = Duration::from_millis(100);

/// Subscribed; comes back if the broker does. Dropped, it leaves.
pub struct Subscriber {
    messages: mpsc::UnboundedReceiver<String>,
    events: JoinHandle<()>,
}

impl Subscriber {
    /// With a session that the broker keeps.
    pub async fn listen(port: u16, topic: &str, user: Option<(&str, &str)>) -> Subscriber {
        let mut options = MqttOptions::new(
            format!("listens{}", topic.replace('/', "-")),
            "127.0.0.1",
            port,
        );
        options.set_clean_session(false);
        if let Some((user, password)) = user {
            options.set_credentials(user, password);
        }
        let (client, mut events) = AsyncClient::new(options, QUEUE_MAX);
        client
            .subscribe(topic, QoS::AtLeastOnce)
            .await
            .expect("queued");
        let (received, messages) = mpsc::unbounded_channel();
        let (ready, subscribed) = oneshot::channel();
        let topic = topic.to_owned();
        let events = tokio::spawn(async move {
            let mut ready = Some(ready);
            loop {
                match events.poll().await {
                    Ok(Event::Incoming(Packet::SubAck(_))) => {
                        ready.take().map(|ready| ready.send(()));
                    }
                    Ok(Event::Incoming(Packet::ConnAck(_))) => {
                        // A broker that was killed may have forgotten.
                        let _ = client.try_subscribe(&topic, QoS::AtLeastOnce);
                    }
                    Ok(Event::Incoming(Packet::Publish(publish))) => {
                        assert!(!publish.retain, "{topic} is not retained");
                        let text = String::from_utf8(publish.payload.to_vec()).expect("UTF-8");
                        let _ = received.send(text);
                    }
                    Ok(_) => {}
                    Err(_) => tokio::time::sleep(RECONNECT_DELAY).await,
                }
            }
        });
        timeout(SOON, subscribed)
            .await
            .expect("a subscription in time")
            .expect("a connection");
        Subscriber { messages, events }
    }

    /// The next message, as it is.
    pub async fn text(&mut self) -> String {
        timeout(SOON, self.messages.recv())
            .await
            .expect("a message in time")
            .expect("a connection")
    }

    pub async fn message(&mut self) -> Value {
        serde_json::from_str(&self.text().await).expect("JSON")
    }

    /// No message comes, nor was one waiting, but such that contain `part`.
    pub async fn hears_nothing_but(&mut self, part: &str) {
        while let Ok(Some(message)) = timeout(QUIET, self.messages.recv()).await {
            assert!(message.contains(part), "{message} was not to come");
        }
    }

    /// No message comes, and none was waiting.
    pub async fn hears_nothing(&mut self) {
        if let Ok(message) = timeout(QUIET, self.messages.recv()).await {
            panic!("{message:?} was not to come");
        }
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        self.events.abort();
    }
}
