use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::{QueryBuilder, types::Json};
use uuid::Uuid;

use super::{Error, Result, Tx, db::TxInner};
use crate::domain::{Event, EventKind};

/// Rows per INSERT; SQLite takes 32,766 parameters.
const ROWS_PER_INSERT: usize = 1000;
/// Held from the first event of a transaction to its commit, so that numbers are committed in
/// their order and nobody who reads on from a number misses one.
const ORDER_LOCK: i64 = 0x6169_726c_6966_7401;

/// An event and its number.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredEvent {
    /// Grows with each commit.
    pub event_id: i64,
    pub event: Event,
}

#[derive(sqlx::FromRow)]
struct EventRow {
    event_id: i64,
    kind: String,
    gateway_id: Option<String>,
    task_id: Option<Uuid>,
    rollout_id: Option<Uuid>,
    data: Json<Value>,
    created_at: DateTime<Utc>,
}

impl TryFrom<EventRow> for StoredEvent {
    type Error = Error;

    fn try_from(row: EventRow) -> Result<StoredEvent> {
        Ok(StoredEvent {
            event: Event {
                kind: EventKind::parse(&row.kind).ok_or_else(|| Error::BadRow {
                    table: "events",
                    column: "kind",
                    row: row.event_id.to_string(),
                    value: row.kind.clone(),
                })?,
                gateway_id: row.gateway_id,
                task_id: row.task_id,
                rollout_id: row.rollout_id,
                data: row.data.0,
                created_at: row.created_at,
            },
            event_id: row.event_id,
        })
    }
}

macro_rules! insert {
    ($conn:expr, $events:expr) => {
        for events in $events.chunks(ROWS_PER_INSERT) {
            let mut query = QueryBuilder::new(
                "INSERT INTO events (kind, gateway_id, task_id, rollout_id, data, created_at) ",
            );
            query.push_values(events, |mut row, event| {
                row.push_bind(event.kind.as_str())
                    .push_bind(event.gateway_id.as_deref())
                    .push_bind(event.task_id)
                    .push_bind(event.rollout_id)
                    .push_bind(Json(&event.data))
                    .push_bind(event.created_at);
            });
            query.build().execute(&mut **$conn).await?;
        }
    };
}

impl Tx {
    /// Keeps an event; it is written last, when the transaction commits.
    pub fn record(&mut self, event: Event) {
        self.events.push(event);
    }

    /// Writes what is kept so far. The commit does it; only a transaction with very many events does
    /// it before, when it has locked every row it needs: who waits for the order's lock, or holds
    /// it, waits for nothing else.
    pub async fn write_events(&mut self) -> Result<()> {
        let events = std::mem::take(&mut self.events);
        if events.is_empty() {
            return Ok(());
        }
        match &mut self.inner {
            TxInner::Postgres(tx) => {
                sqlx::query("SELECT pg_advisory_xact_lock($1)")
                    .bind(ORDER_LOCK)
                    .execute(&mut **tx)
                    .await?;
                insert!(tx, events);
            }
            TxInner::Sqlite(tx) => insert!(tx, events),
        }
        Ok(())
    }

    /// What happened to a task, oldest first.
    pub async fn task_events(&mut self, task_id: Uuid) -> Result<Vec<StoredEvent>> {
        on!(self, |conn| sqlx::query_as::<_, EventRow>(
            "SELECT event_id, kind, gateway_id, task_id, rollout_id, data, created_at
             FROM events WHERE task_id = $1 ORDER BY event_id",
        )
        .bind(task_id)
        .fetch_all(conn)
        .await)?
        .into_iter()
        .map(StoredEvent::try_from)
        .collect()
    }
}
