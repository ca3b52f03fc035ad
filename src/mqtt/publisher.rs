use std::{sync::Arc, time::Duration};

use rumqttc::v5::{
    AsyncClient,
    mqttbytes::{QoS, v5::PublishProperties},
};
use tokio::sync::watch;

/// Sends to whichever connection is up.
#[derive(Clone, Debug)]
pub struct Publisher {
    client: Arc<watch::Sender<Option<AsyncClient>>>,
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

    pub(super) fn set(&self, client: Option<AsyncClient>) {
        self.client.send_replace(client);
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
        let client = self.client.borrow().clone().ok_or(NotConnected)?;
        let properties = PublishProperties {
            message_expiry_interval: u32::try_from(expiry.as_secs()).ok(),
            ..PublishProperties::default()
        };
        client
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
