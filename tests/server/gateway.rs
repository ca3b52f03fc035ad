//! A gateway as far as MQTT goes: 3.1.1, a clean session, as the sketches in the field have it.

use std::time::Duration;

use rumqttc::{AsyncClient, Event, MqttOptions, Packet, QoS};
use serde_json::{Value, json};
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
    time::timeout,
};

use crate::app::{QUIET, SOON, TestApp};

const QUEUE_MAX: usize = 1000;
const KEEP_ALIVE: Duration = Duration::from_secs(30);

/// A connected gateway. Dropped, its connection breaks.
pub struct Gateway {
    pub id: String,
    client: AsyncClient,
    commands: mpsc::UnboundedReceiver<Value>,
    acknowledged: watch::Receiver<usize>,
    sent: usize,
    events: JoinHandle<()>,
}

impl Gateway {
    /// Connects and subscribes to its commands.
    pub async fn connect(app: &TestApp, id: &str) -> Gateway {
        Self::connect_with(app.mqtt_port, id, QoS::AtLeastOnce).await
    }

    pub async fn connect_with(port: u16, id: &str, qos: QoS) -> Gateway {
        let mut options = MqttOptions::new(format!("gateway-{id}"), "127.0.0.1", port);
        options.set_keep_alive(KEEP_ALIVE).set_clean_session(true);
        let (client, mut events) = AsyncClient::new(options, QUEUE_MAX);
        let (received, commands) = mpsc::unbounded_channel();
        let (count, acknowledged) = watch::channel(0);
        let (subscribed, mut is_subscribed) = watch::channel(false);
        let topic = format!("hanqi/gateway/{id}/command");
        client.subscribe(topic, qos).await.expect("queued");
        let events = tokio::spawn(async move {
            while let Ok(event) = events.poll().await {
                match event {
                    Event::Incoming(Packet::SubAck(_)) => drop(subscribed.send(true)),
                    Event::Incoming(Packet::PubAck(_)) => count.send_modify(|count| *count += 1),
                    Event::Incoming(Packet::Publish(publish)) => {
                        let command = serde_json::from_slice(&publish.payload).expect("JSON");
                        let _ = received.send(command);
                    }
                    _ => {}
                }
            }
        });
        timeout(SOON, is_subscribed.wait_for(|is| *is))
            .await
            .expect("a subscription in time")
            .expect("a connection");
        Gateway {
            id: id.to_owned(),
            client,
            commands,
            acknowledged,
            sent: 0,
            events,
        }
    }

    /// The next command.
    pub async fn command(&mut self) -> Value {
        timeout(SOON, self.commands.recv())
            .await
            .expect("a command in time")
            .expect("a connection")
    }

    /// No command comes, and none was waiting.
    pub async fn hears_nothing(&mut self) {
        if let Ok(command) = timeout(QUIET, self.commands.recv()).await {
            panic!("{command:?} was not to come");
        }
    }

    /// Publishes to `topic` (`report` or `status`); returns when the broker has acknowledged.
    pub async fn publish(&mut self, topic: &str, retain: bool, payload: impl Into<Vec<u8>>) {
        let topic = format!("hanqi/gateway/{}/{topic}", self.id);
        self.client
            .publish(topic, QoS::AtLeastOnce, retain, payload)
            .await
            .expect("queued");
        self.sent += 1;
        let sent = self.sent;
        timeout(SOON, self.acknowledged.wait_for(|count| *count >= sent))
            .await
            .expect("an acknowledgement in time")
            .expect("a connection");
    }

    /// Reports at QoS 0, which nobody acknowledges.
    pub async fn mumble(&mut self, payload: Value) {
        let topic = format!("hanqi/gateway/{}/report", self.id);
        self.client
            .publish(topic, QoS::AtMostOnce, false, payload.to_string())
            .await
            .expect("queued");
    }

    pub async fn report(&mut self, payload: Value) {
        self.publish("report", false, payload.to_string()).await;
    }

    /// An `ota_progress` about the task `msg_id`.
    pub async fn progress(&mut self, msg_id: &Value, state: &str, progress: i64) {
        self.report(progress_report(msg_id, state, progress)).await;
    }

    pub async fn heartbeat(&mut self, version: &str) {
        self.report(json!({
            "msgType": "heartbeat", "uuid": self.id,
            "data": { "firmwareVersion": version },
        }))
        .await;
    }

    /// Its retained status.
    pub async fn status(&mut self, online: bool) {
        let payload = json!({ "online": online, "firmwareVersion": null });
        self.publish("status", true, payload.to_string()).await;
    }
}

/// An `ota_progress` without the gateway's time, which it may not know.
pub fn progress_report(msg_id: &Value, state: &str, progress: i64) -> Value {
    json!({
        "msgType": "ota_progress", "msgId": msg_id,
        "data": { "state": state, "progress": progress },
    })
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.events.abort();
    }
}
