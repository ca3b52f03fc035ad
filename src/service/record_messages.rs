use std::collections::BTreeMap;

use airlift_proto::{Message, Report, Status, TopicKind};
use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;
use uuid::Uuid;

use super::{Error, Result, Service, inbox::message_id, make_task::record_task};
use crate::{
    domain::{
        Alert, CommandKind, DEVICE_TYPE_DEFAULT, Event, Gateway, Heartbeat, KeptHeartbeat,
        Progress, ReportRefusal, Task, TaskStatus, Vitals,
    },
    metrics::{KindLabel, ReasonLabel},
    store::Tx,
};

/// Longest text a gateway can put into a task, in characters; what is longer is cut.
const TEXT_LENGTH_MAX: usize = 1024;
/// Largest heartbeat `data` that is kept whole, in bytes of JSON.
const ATTRIBUTES_BYTES_MAX: usize = 8 << 10;
/// A gateway that comes online is sent its waiting command again after this: time for the one
/// that the broker may have kept for it to be answered.
const HASTEN_DELAY: TimeDelta = TimeDelta::seconds(2);

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
enum Said {
    Progress {
        msg_id: Option<String>,
        report: Progress,
    },
    Heartbeat(Heartbeat),
    Status(Status),
}

impl Said {
    fn kind(&self) -> &'static str {
        match self {
            Said::Progress { .. } => "ota_progress",
            Said::Heartbeat(_) => "heartbeat",
            Said::Status(_) => "status",
        }
    }
}

/// What is written at the end, of all gateways at once.
#[derive(Default)]
struct Rows {
    reports: Vec<(Uuid, Progress)>,
    heartbeats: Vec<KeptHeartbeat>,
}

/// What to count once the transaction has committed.
#[derive(Default)]
struct Tally {
    stored: Vec<&'static str>,
    refused: Vec<(String, ReportRefusal)>,
    changed: Vec<Task>,
    alerts: Vec<Alert>,
    /// Whether a command waits to be sent.
    queued: bool,
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
                self.record_one_by_one(messages).await
            }
            Ok(_) => Ok(()),
        }
    }

    /// One of them can't be stored: it must not keep the others out.
    async fn record_one_by_one(&self, messages: &[InboundMessage]) -> Result<()> {
        for message in messages {
            let message = std::slice::from_ref(message);
            match self.record_together(message, Door::Broker).await {
                Err(Error::Store(error)) if error.is_transient() => return Err(error.into()),
                Err(error) => {
                    self.count_refusal(&message[0].topic, "unstorable", &error.to_string());
                    let mut tx = self.db.begin().await?;
                    self.forget_inbox(&mut tx, message).await?;
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
        // By gateway, so that concurrent servers lock gateways in the same order.
        let mut by_gateway: BTreeMap<&str, Vec<Said>> = BTreeMap::new();
        for message in messages {
            match self.parse(message, door) {
                Ok((gateway_id, said)) => by_gateway.entry(gateway_id).or_default().push(said),
                Err(refusal) => tally.refused.push((message.topic.clone(), refusal)),
            }
        }
        let now = self.clock.now();
        let mut tx = self.db.begin().await?;
        let mut rows = Rows::default();
        for (gateway_id, said) in by_gateway {
            let words = (said, door);
            self.record_gateway(&mut tx, gateway_id, words, now, &mut tally, &mut rows)
                .await?;
        }
        tx.put_task_reports(&rows.reports, now).await?;
        tx.put_heartbeats(&rows.heartbeats).await?;
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
            for message in messages {
                tx.delete_inbox(&message_id(&message.topic, &message.payload))
                    .await?;
            }
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

    /// Applies what one gateway said through a door, in its order, and writes the gateway and each task once. What
    /// is kept of its reports and heartbeats goes to `rows`.
    async fn record_gateway(
        &self,
        tx: &mut Tx,
        gateway_id: &str,
        (said, door): (Vec<Said>, Door),
        now: DateTime<Utc>,
        tally: &mut Tally,
        rows: &mut Rows,
    ) -> Result<()> {
        let mut gateway = tx
            .lock_gateway(&Gateway::new(gateway_id, DEVICE_TYPE_DEFAULT, now))
            .await?;
        let before = gateway.clone();
        let mut tasks = Tasks::default();
        if let Some(newest) = tx.lock_newest_task(gateway_id).await? {
            let unproven = newest.status.is_active()
                && said.iter().any(|said| matches!(said, Said::Heartbeat(_)));
            tasks.add(newest);
            if unproven {
                for task in tx.lock_unproven_tasks(gateway_id).await? {
                    tasks.add(task);
                }
            }
        }
        for said in said {
            let kind = said.kind();
            match said {
                Said::Heartbeat(heartbeat) => {
                    if gateway.heard_heartbeat(&heartbeat, now) {
                        rows.heartbeats
                            .extend(self.kept(gateway_id, &heartbeat, now));
                    }
                    tasks.take_heartbeat(&heartbeat, now);
                }
                Said::Status(status) if status.online => {
                    gateway.heard(now);
                    if gateway.current_version.is_none() {
                        gateway.current_version =
                            status.firmware_version.map(|version| storable(&version));
                    }
                }
                // The will of a connection that it had before it spoke HTTP.
                Said::Status(_) if gateway.speaks_http() => {}
                Said::Status(_) => {
                    gateway.online = false;
                    gateway.updated_at = now;
                }
                Said::Progress { msg_id, report } => {
                    gateway.heard(now);
                    let found = tasks.find(tx, gateway_id, msg_id.as_deref()).await?;
                    let task = match found {
                        Ok(task) => task,
                        Err(refusal) => {
                            tally.refused.push((gateway_id.to_owned(), refusal));
                            continue;
                        }
                    };
                    let deadlines = &self.settings.deadlines;
                    task.now.take_progress(&report, now, deadlines);
                    rows.reports.push((task.now.task_id, report));
                }
            }
            tally.stored.push(kind);
        }
        if door == Door::Http {
            gateway.await_report(now);
        }
        tx.update_gateway(&gateway).await?;
        let change = gateway.changes_since(&before);
        if !change.is_empty() {
            tx.record(Event::gateway(&gateway, &change, now));
        }
        for Tracked { before, now: task } in tasks.0 {
            if task != before {
                tx.update_task(&task).await?;
                record_task(tx, Some(&before), &task, now);
            }
            if before.status == TaskStatus::Pending && task.status != TaskStatus::Pending {
                tx.delete_command(task.task_id, CommandKind::Upgrade)
                    .await?;
            }
            if task.confirmed_at != before.confirmed_at {
                tally.queued |= self.begin_next_step(tx, &gateway, &task, now).await?;
            }
            if (task.status, task.confirmed_at) != (before.status, before.confirmed_at) {
                if before.status != TaskStatus::Failed {
                    tally.alerts.extend(Alert::of_task(&task));
                }
                tally.changed.push(task);
            }
        }
        if gateway.online && !before.online {
            tx.hasten_commands(gateway_id, now + HASTEN_DELAY).await?;
        }
        Ok(())
    }

    fn kept(&self, id: &str, heartbeat: &Heartbeat, now: DateTime<Utc>) -> Option<KeptHeartbeat> {
        let interval = self.settings.heartbeat_interval?;
        Some(KeptHeartbeat::new(id, heartbeat, now, interval))
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

/// The tasks that a batch touches, the gateway's newest first.
#[derive(Default)]
struct Tasks(Vec<Tracked>);

struct Tracked {
    before: Task,
    now: Task,
}

impl Tasks {
    fn add(&mut self, task: Task) {
        self.0.push(Tracked {
            before: task.clone(),
            now: task,
        });
    }

    /// The proof, or refutation, of the newest; and of one before it that still waits for it.
    fn take_heartbeat(&mut self, heartbeat: &Heartbeat, now: DateTime<Utc>) {
        let Some((newest, earlier)) = self.0.split_first_mut() else {
            return;
        };
        newest.now.take_heartbeat(heartbeat, now);
        let version = &heartbeat.firmware_version;
        for task in earlier {
            // That the newest one's version runs says nothing of the one before.
            if *version != newest.now.to_version || *version == task.now.to_version {
                task.now.take_heartbeat(heartbeat, now);
            }
        }
    }

    fn newest(&mut self) -> Option<&mut Tracked> {
        self.0.first_mut()
    }

    /// The task that a report is about: the one its message id names, else the active one.
    async fn find(
        &mut self,
        tx: &mut Tx,
        gateway_id: &str,
        msg_id: Option<&str>,
    ) -> Result<std::result::Result<&mut Tracked, ReportRefusal>> {
        let Some(msg_id) = msg_id else {
            let active = self.newest().filter(|task| task.now.status.is_active());
            return Ok(active.ok_or(ReportRefusal::NoActiveTask));
        };
        let position = match self.0.iter().position(|task| task.now.msg_id == msg_id) {
            Some(position) => position,
            None => {
                let Some(task) = tx.lock_task_by_msg_id(msg_id).await? else {
                    return Ok(Err(ReportRefusal::UnknownTask));
                };
                if task.gateway_id != gateway_id {
                    return Ok(Err(ReportRefusal::ForeignTask));
                }
                self.add(task);
                self.0.len() - 1
            }
        };
        Ok(Ok(&mut self.0[position]))
    }
}

/// PostgreSQL has no NUL in text, and nobody reads a megabyte of error message.
fn storable(text: &str) -> String {
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
