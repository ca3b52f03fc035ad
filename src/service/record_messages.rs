use std::collections::BTreeMap;

use airlift_proto::{Message, Report, Status, TopicKind};
use bytes::Bytes;
use serde_json::Value;
use tokio::task::yield_now;

use super::{Error, Result, Service, inbox::message_id};
use crate::{
    domain::{Alert, Heartbeat, Progress, ReportRefusal, Task, TaskStatus, Vitals},
    metrics::{KindLabel, ReasonLabel},
    store::Tx,
};

/// Longest text a gateway can put into a task, in characters; what is longer is cut.
const TEXT_LENGTH_MAX: usize = 1024;
/// Largest heartbeat `data` that is kept whole, in bytes of JSON.
const ATTRIBUTES_BYTES_MAX: usize = 8 << 10;
/// Of a batch so many messages, or gateways, are worked on before whoever polls gets a turn.
pub(super) const TURN: usize = 64;

/// A message as it came from the broker.
#[derive(Clone, Debug)]
pub struct InboundMessage {
    pub topic: String,
    pub payload: Bytes,
    /// It may have waited in a queue while later messages of the gateway overtook it.
    pub late: bool,
}

/// The door through which messages came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Door {
    Broker,
    Http,
}

/// What a gateway said.
#[derive(Debug)]
pub(super) enum Said {
    Progress {
        msg_id: Option<String>,
        report: Progress,
    },
    Heartbeat(Heartbeat),
    Status(Status),
}

impl Said {
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Said::Progress { .. } => "ota_progress",
            Said::Heartbeat(_) => "heartbeat",
            Said::Status(_) => "status",
        }
    }
}

/// What to count once the transaction has committed.
#[derive(Default)]
pub(super) struct Tally {
    pub(super) stored: Vec<&'static str>,
    pub(super) refused: Vec<(String, ReportRefusal)>,
    pub(super) changed: Vec<Task>,
    pub(super) alerts: Vec<Alert>,
    /// Whether a command waits to be sent.
    pub(super) queued: bool,
}

impl Service {
    /// Whether the server takes in what is published to `topic`.
    pub fn takes_in(&self, topic: &str) -> bool {
        matches!(
            self.settings.topics.parse(topic),
            Some((_, TopicKind::Report | TopicKind::Status))
        )
    }

    /// Takes in a batch of messages. When this returns `Ok`, each of them is stored or was counted
    /// as refused: it can be acknowledged. An error means that the database is away.
    pub async fn record_messages(&self, messages: &[InboundMessage]) -> Result<()> {
        match self.record_together(messages, Door::Broker).await {
            Err(Error::Store(error)) if error.is_transient() => Err(error.into()),
            Err(error) => {
                tracing::error!(%error, messages = messages.len(), "messages can't be stored");
                self.record_in_parts(messages).await
            }
            Ok(_) => Ok(()),
        }
    }

    /// One of them can't be stored: it must not keep the others out. Halves are tried, and halves of those that can't
    /// be stored, in the order of the messages.
    async fn record_in_parts(&self, messages: &[InboundMessage]) -> Result<()> {
        let mut parts = vec![messages];
        while let Some(part) = parts.pop() {
            let (first, second) = part.split_at(part.len() / 2);
            match self.record_together(part, Door::Broker).await {
                Err(Error::Store(error)) if error.is_transient() => return Err(error.into()),
                Err(_) if !first.is_empty() => parts.extend([second, first]),
                Err(error) => {
                    self.count_refusal(&part[0].topic, "unstorable", &error.to_string());
                    let mut tx = self.db.begin().await?;
                    self.forget_inbox(&mut tx, part).await?;
                    tx.commit().await?;
                }
                Ok(_) => {}
            }
        }
        Ok(())
    }

    /// All in one transaction; which of them were refused.
    pub(super) async fn record_together(
        &self,
        messages: &[InboundMessage],
        door: Door,
    ) -> Result<Vec<ReportRefusal>> {
        let mut tally = Tally::default();
        let mut words: BTreeMap<&str, Vec<Said>> = BTreeMap::new();
        for messages in messages.chunks(TURN) {
            for message in messages {
                match self.parse(message, door) {
                    Ok((gateway_id, said)) => words.entry(gateway_id).or_default().push(said),
                    Err(refusal) => tally.refused.push((message.topic.clone(), refusal)),
                }
            }
            yield_now().await;
        }
        let now = self.clock.now();
        let mut tx = self.db.begin().await?;
        self.take_in(&mut tx, words, door, now, &mut tally).await?;
        if door == Door::Broker {
            self.forget_inbox(&mut tx, messages).await?;
        }
        for alert in &tally.alerts {
            self.alert(&mut tx, alert).await?;
        }
        tx.commit().await?;
        if !tally.alerts.is_empty() {
            self.announcements_queued.notify_one();
        }
        if tally.queued {
            self.commands_queued.notify_one();
        }
        self.metrics
            .ingest_batch_messages
            .observe(messages.len() as f64);
        let refused = tally.refused.iter().map(|(_, refusal)| *refusal).collect();
        self.count(tally);
        Ok(refused)
    }

    async fn forget_inbox(&self, tx: &mut Tx, messages: &[InboundMessage]) -> Result<()> {
        if self.settings.built_in_broker {
            let id = |message: &InboundMessage| message_id(&message.topic, &message.payload);
            let ids: Vec<String> = messages.iter().map(id).collect();
            tx.delete_inbox(&ids).await?;
        }
        Ok(())
    }

    fn parse<'m>(
        &self,
        message: &'m InboundMessage,
        door: Door,
    ) -> std::result::Result<(&'m str, Said), ReportRefusal> {
        let (gateway_id, kind) = self
            .settings
            .topics
            .parse(&message.topic)
            .ok_or(ReportRefusal::UnknownTopic)?;
        let malformed = |_| ReportRefusal::Malformed;
        let said = match kind {
            TopicKind::Command => return Err(ReportRefusal::UnknownTopic),
            TopicKind::Status => {
                Said::Status(serde_json::from_slice(&message.payload).map_err(malformed)?)
            }
            TopicKind::Report => {
                match serde_json::from_slice::<Report>(&message.payload).map_err(malformed)? {
                    Report::Progress(Message {
                        msg_id,
                        timestamp,
                        data,
                        ..
                    }) => {
                        let mut report = Progress::check(data, timestamp)?;
                        for text in [
                            &mut report.current_version,
                            &mut report.error_code,
                            &mut report.error_message,
                        ] {
                            *text = text.take().map(|text| storable(&text));
                        }
                        Said::Progress {
                            msg_id: msg_id.map(|id| storable(&id)),
                            report,
                        }
                    }
                    Report::Heartbeat(Message {
                        timestamp, data, ..
                    }) => Said::Heartbeat(Heartbeat {
                        firmware_version: storable(&data.firmware_version),
                        vitals: Vitals::check(&data),
                        timestamp,
                        late: message.late,
                        shared: door == Door::Broker && !self.settings.built_in_broker,
                        attributes: attributes(&message.payload),
                    }),
                }
            }
        };
        Ok((gateway_id, said))
    }

    fn count(&self, tally: Tally) {
        for kind in tally.stored {
            self.metrics
                .messages_stored
                .get_or_create(&KindLabel { kind })
                .inc();
        }
        for (sender, refusal) in tally.refused {
            self.count_refusal(&sender, refusal.label(), &refusal.to_string());
        }
        for task in tally.changed {
            if task.confirmed_at.is_some() {
                self.metrics.ota_success.inc();
                if let Some(duration_ms) = task.duration_ms {
                    let seconds = duration_ms as f64 / 1000.0;
                    self.metrics.upgrade_duration.observe(seconds);
                }
            } else if task.status == TaskStatus::Failed {
                let code = task.error_code.as_deref();
                self.metrics.count_failure(code);
                if code == Some(airlift_proto::error_code::ROLLED_BACK) {
                    self.metrics.ota_rollback.inc();
                }
            }
            tracing::info!(
                gateway_id = task.gateway_id,
                task_id = %task.task_id,
                status = %task.status,
                progress = task.progress,
                error_code = task.error_code,
                confirmed = task.confirmed_at.is_some(),
                "upgrade moved"
            );
        }
    }

    /// Counts a message that is dropped; the log tells of the first of each reason only, so that
    /// a gateway gone mad can't fill it.
    fn count_refusal(&self, sender: &str, reason: &'static str, explanation: &str) {
        let counter = self
            .metrics
            .messages_refused
            .get_or_create_owned(&ReasonLabel { reason });
        if counter.inc() == 0 {
            tracing::warn!(
                sender,
                reason,
                "message dropped: {explanation}; more of these are only counted, in \
                 airlift_messages_refused_total"
            );
        } else {
            tracing::debug!(sender, reason, "message dropped");
        }
    }
}

/// PostgreSQL has no NUL in text, and nobody reads a megabyte of error message.
pub(super) fn storable(text: &str) -> String {
    text.chars()
        .filter(|c| *c != '\0')
        .take(TEXT_LENGTH_MAX)
        .collect()
}

/// A heartbeat's `data` as it came; empty if it is too large or can't be stored.
fn attributes(payload: &[u8]) -> Value {
    let empty = || Value::Object(Default::default());
    if payload.len() > ATTRIBUTES_BYTES_MAX || contains(payload, br"\u0000") {
        return empty();
    }
    match serde_json::from_slice::<Value>(payload) {
        Ok(mut message) => message["data"].take(),
        Err(_) => empty(),
    }
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack
        .windows(needle.len())
        .any(|window| window == needle)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_postgres_cannot_store_is_cut_away() {
        assert_eq!(storable("a\0b"), "ab");
        assert_eq!(storable(&"x".repeat(5000)).len(), TEXT_LENGTH_MAX);
        assert_eq!(
            attributes(br#"{"data":{"a":"\u0000"}}"#),
            serde_json::json!({})
        );
        assert_eq!(
            attributes(br#"{"data":{"a":1}}"#),
            serde_json::json!({"a": 1})
        );
    }
}
