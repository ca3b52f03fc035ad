use std::{collections::VecDeque, sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    time::sleep,
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{Error, Result, Service, trigger_upgrade::check_gateway_id};
use crate::{
    metrics::Metrics,
    store::{Db, EventFilter, StoredEvent},
};

/// Listeners per server.
const EVENT_STREAMS_MAX: usize = 256;
/// Events read at a time: a slow listener holds so many and no more.
const STREAM_BATCH_MAX: i64 = 100;
/// Event numbers looked through per statement, so that none takes long however rare the events
/// are that a filter lets pass.
pub(super) const EVENT_WINDOW: i64 = 10_000;
/// Wait before a stream asks a database again that did not answer.
const READ_RETRY_DELAY: Duration = Duration::from_secs(1);

/// An event as everybody outside sees it.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EventMessage {
    pub event_id: i64,
    pub kind: &'static str,
    pub gateway_id: Option<String>,
    pub task_id: Option<Uuid>,
    pub rollout_id: Option<Uuid>,
    pub created_at: DateTime<Utc>,
    /// An object, by kind.
    pub data: Value,
}

impl EventMessage {
    /// The JSON that listeners and receivers get.
    pub fn json(&self) -> String {
        serde_json::json!(self).to_string()
    }
}

impl From<StoredEvent> for EventMessage {
    fn from(stored: StoredEvent) -> Self {
        EventMessage {
            event_id: stored.event_id,
            kind: stored.event.kind.as_str(),
            gateway_id: stored.event.gateway_id,
            task_id: stored.event.task_id,
            rollout_id: stored.event.rollout_id,
            created_at: stored.event.created_at,
            data: stored.event.data,
        }
    }
}

/// What a listener is told.
#[derive(Clone, Debug)]
pub enum Told {
    Event(EventMessage),
    /// The events after the one it named are not all kept any more, or there was never one of that
    /// number.
    Gap(EventGap),
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EventGap {
    /// The one that the listener named.
    pub last_event_id: i64,
    /// Events up to this one may be missing.
    pub deleted_up_to: i64,
    /// The newest there is.
    pub newest_event_id: i64,
}

impl EventGap {
    /// The JSON that listeners get.
    pub fn json(&self) -> String {
        serde_json::json!(self).to_string()
    }
}

/// What the streams of this server share.
pub(super) struct EventStreams {
    /// Number of the newest event; rung when it grows.
    newest: watch::Sender<i64>,
    ended: CancellationToken,
    permits: Arc<Semaphore>,
}

impl Default for EventStreams {
    fn default() -> Self {
        EventStreams {
            newest: watch::Sender::new(0),
            ended: CancellationToken::new(),
            permits: Arc::new(Semaphore::new(EVENT_STREAMS_MAX)),
        }
    }
}

/// One listener's place in the events. It reads from the database as fast as the listener takes.
pub struct EventStream {
    db: Db,
    filter: EventFilter,
    /// Everything up to this number was told or did not pass the filter.
    after: i64,
    read: VecDeque<Told>,
    newest: watch::Receiver<i64>,
    ended: CancellationToken,
    _counted: Counted,
    _permit: OwnedSemaphorePermit,
}

struct Counted(Arc<Metrics>);

impl Counted {
    fn new(metrics: Arc<Metrics>) -> Counted {
        metrics.event_streams.inc();
        Counted(metrics)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.event_streams.dec();
    }
}

impl EventStream {
    /// The next event; none when the server stops.
    pub async fn next(&mut self) -> Option<Told> {
        while !self.ended.is_cancelled() {
            if let Some(told) = self.read.pop_front() {
                return Some(told);
            }
            let newest = *self.newest.borrow_and_update();
            if self.after < newest {
                if let Err(error) = self.read_on(newest).await {
                    tracing::debug!(%error, "events could not be read; trying again");
                    tokio::select! {
                        () = sleep(READ_RETRY_DELAY) => {}
                        () = self.ended.cancelled() => {}
                    }
                }
                continue;
            }
            tokio::select! {
                _ = self.newest.changed() => {}
                () = self.ended.cancelled() => {}
            }
        }
        None
    }

    async fn read_on(&mut self, newest: i64) -> Result<()> {
        let to = newest.min(self.after.saturating_add(EVENT_WINDOW));
        let mut tx = self.db.read().await?;
        let events = tx
            .events(&self.filter, self.after, to, STREAM_BATCH_MAX)
            .await?;
        self.after = match events.last() {
            Some(last) if events.len() as i64 == STREAM_BATCH_MAX => last.event_id,
            _ => to,
        };
        let told = events.into_iter().map(|event| Told::Event(event.into()));
        self.read.extend(told);
        Ok(())
    }
}

impl Service {
    /// Events as they happen; with `last_event_id`, all that came after that one first. 0 stands
    /// before the oldest.
    pub async fn event_stream(
        &self,
        filter: EventFilter,
        last_event_id: Option<i64>,
    ) -> Result<EventStream> {
        if let Some(gateway_id) = &filter.gateway_id {
            check_gateway_id(gateway_id)?;
        }
        let permit = Arc::clone(&self.events.permits)
            .try_acquire_owned()
            .map_err(|_| {
                Error::busy(
                    "too_many_streams",
                    format!(
                        "{EVENT_STREAMS_MAX} listeners hear this server's events already: end \
                         one, or ask another server"
                    ),
                )
            })?;
        // Before the newest number is looked up, so that nothing falls in between.
        let newest = self.events.newest.subscribe();
        let mut tx = self.db.read().await?;
        let bounds = tx.event_bounds().await?;
        let deleted_up_to = tx.deleted_events(&filter.kinds).await?;
        drop(tx);
        let last = last_event_id.unwrap_or(bounds.newest);
        let mut read = VecDeque::new();
        if last > 0 && !(deleted_up_to..=bounds.newest).contains(&last) {
            read.push_back(Told::Gap(EventGap {
                last_event_id: last,
                deleted_up_to,
                newest_event_id: bounds.newest,
            }));
        }
        let before_oldest = bounds.oldest.map_or(bounds.newest, |oldest| oldest - 1);
        let after = last.max(before_oldest).min(bounds.newest);
        Ok(EventStream {
            db: self.db.clone(),
            filter,
            after,
            read,
            newest,
            ended: self.events.ended.clone(),
            _counted: Counted::new(Arc::clone(&self.metrics)),
            _permit: permit,
        })
    }

    /// Looks for events that any server has stored and wakes the streams; 1 if there are new ones.
    pub async fn watch_events(&self) -> Result<usize> {
        let found = self.db.read().await?.event_bounds().await?.newest;
        let grew = self.events.newest.send_if_modified(|newest| {
            let grew = found > *newest;
            *newest = found.max(*newest);
            grew
        });
        Ok(usize::from(grew))
    }

    /// Ends every stream, for good: the server stops.
    pub fn end_event_streams(&self) {
        self.events.ended.cancel();
    }
}
