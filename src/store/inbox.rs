use chrono::{DateTime, Utc};

use super::{Result, Tx};

/// A message the built-in broker has acknowledged to its sender, until the server has taken it in.
#[derive(Clone, Debug, PartialEq, sqlx::FromRow)]
pub struct InboxMessage {
    /// SHA-256 of topic and payload: the same message twice is kept once, for taking it in twice
    /// changes nothing.
    pub message_id: String,
    pub topic: String,
    pub payload: Vec<u8>,
    pub received_at: DateTime<Utc>,
}

impl Tx {
    pub async fn put_inbox(&mut self, messages: &[InboxMessage]) -> Result<()> {
        execute_rows!(
            self,
            messages,
            |message| {
                message_id: message.message_id.as_str(),
                topic: message.topic.as_str(),
                payload: message.payload.as_slice(),
                received_at: message.received_at,
            },
            "INSERT INTO inbox (message_id, topic, payload, received_at)
             SELECT message_id, topic, payload, received_at FROM v WHERE TRUE
             ON CONFLICT (message_id) DO NOTHING",
        );
        Ok(())
    }

    pub async fn delete_inbox(&mut self, message_ids: &[String]) -> Result<()> {
        execute_rows!(
            self,
            message_ids,
            |message_id| { message_id: message_id.as_str() },
            "DELETE FROM inbox WHERE message_id IN (SELECT message_id FROM v)",
        );
        Ok(())
    }

    /// What was left behind, oldest first.
    pub async fn inbox(
        &mut self,
        received_before: DateTime<Utc>,
        limit: i64,
    ) -> Result<Vec<InboxMessage>> {
        Ok(on!(self, |conn| sqlx::query_as::<_, InboxMessage>(
            "SELECT message_id, topic, payload, received_at FROM inbox
             WHERE received_at <= $1 ORDER BY received_at LIMIT $2",
        )
        .bind(received_before)
        .bind(limit)
        .fetch_all(conn)
        .await)?)
    }
}
