use bytes::Bytes;
use sha2::{Digest, Sha256};

use super::{InboundMessage, Result, Service};
use crate::store::InboxMessage;

/// Messages taken over from a crashed run per transaction.
const INBOX_BATCH_MAX: i64 = 256;

impl Service {
    /// Keeps a message that the built-in broker is about to acknowledge to a gateway. Only what
    /// the server takes in is kept; what else gateways publish is between them and the broker.
    pub async fn keep_in_inbox(&self, topic: &str, payload: &Bytes) -> Result<()> {
        if !self.takes_in(topic) {
            return Ok(());
        }
        let mut tx = self.db.begin().await?;
        tx.put_inbox(&InboxMessage {
            message_id: message_id(topic, payload),
            topic: topic.to_owned(),
            payload: payload.to_vec(),
            received_at: self.clock.now(),
        })
        .await?;
        tx.commit().await?;
        Ok(())
    }

    /// Takes in what a crash left between the built-in broker's acknowledgement and the ingest.
    pub async fn recover_inbox(&self) -> Result<usize> {
        let mut recovered = 0;
        loop {
            let mut tx = self.db.read().await?;
            let messages = tx.inbox(INBOX_BATCH_MAX).await?;
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
