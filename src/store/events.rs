use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::{QueryBuilder, types::Json};
use uuid::Uuid;

use super::{Error, Result, Tx, db::TxInner};
use crate::domain::{Event, EventKind};

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

/// Which events to read; all if nothing is said.
#[derive(Clone, Debug, Default)]
pub struct EventFilter {
    /// Of any of these kinds; of all if there is none.
    pub kinds: Vec<EventKind>,
    pub gateway_id: Option<String>,
    pub task_id: Option<Uuid>,
    pub rollout_id: Option<Uuid>,
}

/// How far the numbers of events go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventBounds {
    /// None if no event is kept.
    pub oldest: Option<i64>,
    /// The highest so far, also if that event was deleted; 0 before the first.
    pub newest: i64,
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
        if let TxInner::Postgres(tx) = &mut self.inner {
            sqlx::query("SELECT pg_advisory_xact_lock($1)")
                .bind(ORDER_LOCK)
                .execute(&mut **tx)
                .await?;
        }
        execute_rows!(
            self,
            &events,
            |event| {
                kind: event.kind.as_str(),
                gateway_id: event.gateway_id.as_deref(),
                task_id: event.task_id,
                rollout_id: event.rollout_id,
                data: Json(&event.data),
                created_at: event.created_at,
            },
            "INSERT INTO events (kind, gateway_id, task_id, rollout_id, data, created_at)
             SELECT kind, gateway_id, task_id, rollout_id, data, created_at FROM v",
        );
        Ok(())
    }

    /// Whatever is committed later has a number above the newest.
    pub async fn event_bounds(&mut self) -> Result<EventBounds> {
        type Numbers = (Option<i64>, Option<i64>, Option<i64>);
        let (oldest, newest, deleted): Numbers = on!(self, |conn| sqlx::query_as(
            "SELECT (SELECT MIN(event_id) FROM events), (SELECT MAX(event_id) FROM events),
                    (SELECT MAX(event_id) FROM deleted_events)",
        )
        .fetch_one(conn)
        .await)?;
        Ok(EventBounds {
            oldest,
            newest: newest.max(deleted).unwrap_or(0),
        })
    }

    /// The highest number of the deleted events of any of `kinds`, of all if there is none; 0 if
    /// nothing was deleted.
    pub async fn deleted_events(&mut self, kinds: &[EventKind]) -> Result<i64> {
        let deleted = on!(self, |conn| sqlx::query_as::<_, (String, i64)>(
            "SELECT kind, event_id FROM deleted_events",
        )
        .fetch_all(conn)
        .await)?;
        let of_kinds = deleted.iter().filter(|(kind, _)| {
            kinds.is_empty() || kinds.iter().any(|wanted| wanted.as_str() == kind)
        });
        Ok(of_kinds.map(|(_, event_id)| *event_id).max().unwrap_or(0))
    }

    /// Remembers that events of `kind` up to `event_id` are being deleted.
    pub(super) async fn note_deleted_events(&mut self, kind: &str, event_id: i64) -> Result<()> {
        on!(self, |conn| sqlx::query(
            "INSERT INTO deleted_events (kind, event_id) VALUES ($1, $2)
             ON CONFLICT (kind) DO UPDATE SET event_id = excluded.event_id
             WHERE deleted_events.event_id < excluded.event_id",
        )
        .bind(kind)
        .bind(event_id)
        .execute(conn)
        .await
        .map(drop))?;
        Ok(())
    }

    /// Events that pass `filter`, numbered above `after` up to `to`, oldest first.
    pub async fn events(
        &mut self,
        filter: &EventFilter,
        after: i64,
        to: i64,
        limit: i64,
    ) -> Result<Vec<StoredEvent>> {
        on!(self, |conn| {
            let mut query = QueryBuilder::new(
                "SELECT event_id, kind, gateway_id, task_id, rollout_id, data, created_at
                 FROM events WHERE event_id > ",
            );
            query.push_bind(after);
            query.push(" AND event_id <= ").push_bind(to);
            if !filter.kinds.is_empty() {
                query.push(" AND kind IN (");
                let mut kinds = query.separated(", ");
                for kind in &filter.kinds {
                    kinds.push_bind(kind.as_str());
                }
                query.push(")");
            }
            if let Some(gateway_id) = &filter.gateway_id {
                query.push(" AND gateway_id = ").push_bind(gateway_id);
            }
            if let Some(task_id) = filter.task_id {
                query.push(" AND task_id = ").push_bind(task_id);
            }
            if let Some(rollout_id) = filter.rollout_id {
                query.push(" AND rollout_id = ").push_bind(rollout_id);
            }
            query.push(" ORDER BY event_id LIMIT ").push_bind(limit);
            query.build_query_as::<EventRow>().fetch_all(conn).await
        })?
        .into_iter()
        .map(StoredEvent::try_from)
        .collect()
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
