use bytes::Bytes;
use chrono::TimeDelta;
use sha2::{Digest, Sha256};

use super::{InboundMessage, Result, Service};
use crate::store::InboxMessage;

/// Messages taken over from a crashed run per transaction.
const INBOX_BATCH_MAX: i64 = 256;
/// Messages written to the inbox per transaction. Gateways report all at once, and a transaction
/// each would make them wait in line for the disk.
pub(super) const WRITE_BATCH_MAX: usize = 256;

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
        self.inbox.ask(message).await.is_ok()
    }

    pub(super) async fn keep_messages(&self, messages: &[InboxMessage]) -> Result<Vec<()>> {
        let kept = self.write_inbox(messages).await;
        kept.inspect_err(|error| {
            tracing::warn!(
                %error,
                messages = messages.len(),
                "messages are not acknowledged; they come again"
            );
        })
    }

    async fn write_inbox(&self, messages: &[InboxMessage]) -> Result<Vec<()>> {
        let mut tx = self.db.begin().await?;
        tx.put_inbox(messages).await?;
        tx.commit().await?;
        Ok(vec![(); messages.len()])
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
