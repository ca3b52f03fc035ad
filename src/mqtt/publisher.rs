use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use rumqttc::v5::{
    AsyncClient,
    mqttbytes::{QoS, v5::PublishProperties},
};
use tokio::{
    sync::{oneshot, watch},
    time::{sleep, timeout},
};

use super::{
    receipts::{Answer, Receipts},
    session::OUTGOING_QUEUE_MAX,
};

/// Wait for the broker to acknowledge a message.
pub const ACKNOWLEDGE_TIMEOUT: Duration = Duration::from_secs(10);
/// Messages in the connection's queue so that one more counts as leaving at once. The rest of its
/// room is for acknowledgements.
const AT_ONCE_MAX: usize = OUTGOING_QUEUE_MAX / 2;
/// Between two looks for room in the connection's queue.
const ROOM_POLL: Duration = Duration::from_millis(20);

/// Sends to whichever connection is up.
#[derive(Clone, Debug)]
pub struct Publisher {
    connection: Arc<watch::Sender<Option<Connection>>>,
}

#[derive(Clone, Debug)]
struct Connection {
    client: AsyncClient,
    receipts: Receipts,
    since: Instant,
}

#[derive(Debug, thiserror::Error)]
#[error("there is no connection to the broker")]
pub struct NotConnected;

/// Why the broker may not have a message.
#[derive(Debug, thiserror::Error)]
pub enum NotAcknowledged {
    #[error("there is no connection to the broker")]
    NotConnected,
    #[error("the connection to the broker ended before it acknowledged the message")]
    ConnectionEnded,
    #[error("the broker did not acknowledge the message within {ACKNOWLEDGE_TIMEOUT:?}")]
    Silent,
    #[error(
        "the broker refused the message ({0}): look whether the server's user may write to this topic"
    )]
    Refused(String),
}

impl Default for Publisher {
    fn default() -> Self {
        Publisher {
            connection: Arc::new(watch::Sender::new(None)),
        }
    }
}

impl Publisher {
    pub fn is_connected(&self) -> bool {
        self.connection.borrow().is_some()
    }

    /// Whether so many messages would leave without waiting for room in the connection's queue.
    pub fn has_room(&self, messages: usize) -> bool {
        let connection = self.connection.borrow();
        let queued = connection.as_ref().map(|it| it.receipts.queued());
        queued.is_some_and(|queued| queued + messages <= AT_ONCE_MAX)
    }

    /// How long the connection has been up; `None` without one.
    pub fn connected_for(&self) -> Option<Duration> {
        let connection = self.connection.borrow();
        connection.as_ref().map(|it| it.since.elapsed())
    }

    /// The connection that is up, and where it keeps its receipts.
    pub(super) fn set(&self, connection: Option<(AsyncClient, Receipts)>) {
        let since = Instant::now();
        let connection = connection.map(|(client, receipts)| Connection {
            client,
            receipts,
            since,
        });
        self.connection.send_replace(connection);
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
        self.send(topic, payload, expiry).await.map(drop)
    }

    /// The same, and waits until the broker has the message.
    pub async fn publish_acknowledged(
        &self,
        topic: &str,
        payload: &str,
        expiry: Duration,
    ) -> Result<(), NotAcknowledged> {
        let acknowledged = async {
            let answer = self
                .send(topic, payload, expiry)
                .await
                .map_err(|NotConnected| NotAcknowledged::NotConnected)?;
            match answer.await {
                Ok(Answer::Taken) => Ok(()),
                Ok(Answer::Refused(reason)) => Err(NotAcknowledged::Refused(reason)),
                Err(_) => Err(NotAcknowledged::ConnectionEnded),
            }
        };
        timeout(ACKNOWLEDGE_TIMEOUT, acknowledged)
            .await
            .unwrap_or(Err(NotAcknowledged::Silent))
    }

    /// Waits for room in the queue of the connection; gives where the broker's answer will come.
    async fn send(
        &self,
        topic: &str,
        payload: &str,
        expiry: Duration,
    ) -> Result<oneshot::Receiver<Answer>, NotConnected> {
        let properties = PublishProperties {
            message_expiry_interval: u32::try_from(expiry.as_secs()).ok(),
            ..PublishProperties::default()
        };
        loop {
            {
                let connection = self.connection.borrow();
                let Connection {
                    client, receipts, ..
                } = connection.as_ref().ok_or(NotConnected)?;
                let answer = receipts.expect(|| {
                    let payload = payload.as_bytes().to_vec();
                    let properties = properties.clone();
                    let queued = client.try_publish_with_properties(
                        topic,
                        QoS::AtLeastOnce,
                        false,
                        payload,
                        properties,
                    );
                    queued.is_ok()
                });
                if let Some(answer) = answer {
                    return Ok(answer);
                }
            }
            // The queue is full, or the connection has just ended, which the next turn sees.
            sleep(ROOM_POLL).await;
        }
    }
}
