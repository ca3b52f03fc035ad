use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use rumqttc::v5::{
    AsyncClient,
    mqttbytes::{QoS, v5::PublishProperties},
};
use tokio::sync::watch;

/// Sends to whichever connection is up.
#[derive(Clone, Debug)]
pub struct Publisher {
    client: Arc<watch::Sender<Option<Connection>>>,
}

#[derive(Clone, Debug)]
struct Connection {
    client: AsyncClient,
    since: Instant,
}

#[derive(Debug, thiserror::Error)]
#[error("there is no connection to the broker")]
pub struct NotConnected;

impl Default for Publisher {
    fn default() -> Self {
        Publisher {
            client: Arc::new(watch::Sender::new(None)),
        }
    }
}

impl Publisher {
    pub fn is_connected(&self) -> bool {
        self.client.borrow().is_some()
    }

    /// How long the connection has been up; `None` without one.
    pub fn connected_for(&self) -> Option<Duration> {
        let connection = self.client.borrow();
        connection.as_ref().map(|it| it.since.elapsed())
    }

    pub(super) fn set(&self, client: Option<AsyncClient>) {
        let since = Instant::now();
        let connection = client.map(|client| Connection { client, since });
        self.client.send_replace(connection);
    }

    /// Hands a message to the connection, QoS 1. The broker drops a copy that it could not
    /// deliver within `expiry`. Success is no proof of delivery: whoever needs one asks for an
    /// answer.
    pub async fn publish(
        &self,
        topic: &str,
        payload: &str,
        expiry: Duration,
    ) -> Result<(), NotConnected> {
        let connection = self.client.borrow().clone().ok_or(NotConnected)?;
        let properties = PublishProperties {
            message_expiry_interval: u32::try_from(expiry.as_secs()).ok(),
            ..PublishProperties::default()
        };
        connection
            .client
            .publish_with_properties(
                topic,
                QoS::AtLeastOnce,
                false,
                payload.as_bytes().to_vec(),
                properties,
            )
            .await
            .map_err(|_| NotConnected)
    }
}
