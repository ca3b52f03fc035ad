use std::sync::Arc;

use bytes::Bytes;
use chrono::TimeDelta;
use sha2::{Digest, Sha256};
use tokio::sync::{mpsc, oneshot};

use super::{InboundMessage, Result, Service};
use crate::store::InboxMessage;

/// Messages taken over from a crashed run per transaction.
const INBOX_BATCH_MAX: i64 = 256;
/// Messages written to the inbox per transaction.
const WRITE_BATCH_MAX: usize = 256;

/// A message on its way into the inbox, and who waits for it to be there.
pub(super) type Keeping = (InboxMessage, oneshot::Sender<()>);

/// Messages that wait to be written: gateways have one each on its way, so this bounds itself by
/// the broker's number of sessions.
pub(super) type KeepQueue = mpsc::UnboundedSender<Keeping>;

/// Writes the inbox. Gateways report all at once, and a transaction each would make them wait in
/// line for the disk: what has gathered while one was written goes into the next.
pub struct InboxWriter {
    pub(super) queue: mpsc::UnboundedReceiver<Keeping>,
}

impl InboxWriter {
    /// Writes until the service is gone.
    pub async fn run(mut self, service: Arc<Service>) {
        let mut batch = Vec::with_capacity(WRITE_BATCH_MAX);
        while self.queue.recv_many(&mut batch, WRITE_BATCH_MAX).await > 0 {
            match service.write_inbox(&batch).await {
                Ok(()) => {
                    for (_, kept) in batch.drain(..) {
                        // Whoever waited may have given up; then the message comes again.
                        let _ = kept.send(());
                    }
                }
                Err(error) => {
                    tracing::warn!(
                        %error,
                        messages = batch.len(),
                        "messages are not acknowledged; they come again"
                    );
                    batch.clear();
                }
            }
        }
    }
}

impl Service {
    /// Keeps a message that the built-in broker is about to acknowledge to a gateway; whether it
    /// is kept. Only what the server takes in is kept; what else gateways publish is between them
    /// and the broker.
    pub async fn keep_in_inbox(&self, topic: String, payload: Bytes) -> bool {
        if !self.takes_in(&topic) {
            return true;
        }
        let message = InboxMessage {
            message_id: message_id(&topic, &payload),
            topic,
            payload: payload.to_vec(),
            received_at: self.clock.now(),
        };
        let (kept, keeping) = oneshot::channel();
        self.inbox.send((message, kept)).is_ok() && keeping.await.is_ok()
    }

    async fn write_inbox(&self, batch: &[Keeping]) -> Result<()> {
        let mut tx = self.db.begin().await?;
        for (message, _) in batch {
            tx.put_inbox(message).await?;
        }
        tx.commit().await?;
        Ok(())
    }

    /// Takes in what was left between the built-in broker's acknowledgement and the ingest: by a
    /// crash, or because it came when the server's own session was not up. Younger than `age` it
    /// is still on its way.
    pub async fn recover_inbox(&self, age: TimeDelta) -> Result<usize> {
        let before = self.clock.now() - age;
        let mut recovered = 0;
        loop {
            let mut tx = self.db.read().await?;
            let messages = tx.inbox(before, INBOX_BATCH_MAX).await?;
            drop(tx);
            if messages.is_empty() {
                return Ok(recovered);
            }
            recovered += messages.len();
            let messages: Vec<InboundMessage> = messages
                .into_iter()
                .map(|message| InboundMessage {
                    topic: message.topic,
                    payload: message.payload.into(),
                    late: true,
                })
                .collect();
            self.record_messages(&messages).await?;
        }
    }
}

pub(super) fn message_id(topic: &str, payload: &[u8]) -> String {
    let mut digest = Sha256::new();
    digest.update(topic.as_bytes());
    digest.update([0]);
    digest.update(payload);
    hex::encode(digest.finalize())
}
