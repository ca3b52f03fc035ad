//! What is old enough goes, a bounded piece per transaction. Rows that another server is at are
//! passed over.

use chrono::{DateTime, Utc};
use sqlx::QueryBuilder;
use uuid::Uuid;

use super::{Result, Tx};
use crate::domain::EventKind;

/// `DELETE FROM $table WHERE $column IN ($ids)`.
macro_rules! delete_in {
    ($tx:expr, $table:literal, $column:literal, $ids:expr) => {
        if !$ids.is_empty() {
            on!($tx, |conn| {
                let mut query =
                    QueryBuilder::new(concat!("DELETE FROM ", $table, " WHERE ", $column, " IN ("));
                let mut separated = query.separated(", ");
                for id in $ids {
                    separated.push_bind(id);
                }
                query.push(")");
                // Each length is another text: none is worth keeping.
                query
                    .build()
                    .persistent(false)
                    .execute(conn)
                    .await
                    .map(drop)
            })?;
        }
    };
}

impl Tx {
    /// The last of the next `count` tasks after `after` and not after `upto`, by id.
    pub async fn task_window(
        &mut self,
        after: Uuid,
        upto: Uuid,
        count: i64,
    ) -> Result<Option<Uuid>> {
        Ok(on!(self, |conn| sqlx::query_scalar::<_, Uuid>(
            "SELECT task_id FROM (
                 SELECT task_id FROM upgrade_tasks WHERE task_id > $1 AND task_id <= $2
                 ORDER BY task_id LIMIT $3
             ) AS next_tasks ORDER BY task_id DESC LIMIT 1",
        )
        .bind(after)
        .bind(upto)
        .bind(count)
        .fetch_optional(conn)
        .await)?)
    }

    /// Of the tasks after `after` and not after `upto` those that ended before `before`, locked;
    /// but never the newest of a gateway, nor one of a rollout that may go on.
    pub async fn lock_old_tasks(
        &mut self,
        after: Uuid,
        upto: Uuid,
        before: DateTime<Utc>,
    ) -> Result<Vec<Uuid>> {
        Ok(on_locked!(
            self,
            ["SELECT task_id FROM upgrade_tasks AS task
                 WHERE task_id > $1 AND task_id <= $2 AND complete_time < $3
                   AND EXISTS (
                       SELECT 1 FROM upgrade_tasks AS newer
                       WHERE newer.gateway_id = task.gateway_id AND newer.task_id > task.task_id)
                   AND NOT EXISTS (
                       SELECT 1 FROM rollouts
                       WHERE rollouts.rollout_id = task.rollout_id
                         AND rollouts.state IN ('scheduled', 'running', 'paused', 'halted'))
                 ORDER BY task_id"],
            "FOR UPDATE OF task SKIP LOCKED",
            |sql, conn| sqlx::query_scalar::<_, Uuid>(sql)
                .bind(after)
                .bind(upto)
                .bind(before)
                .fetch_all(conn)
                .await
        )?)
    }

    /// Deletes tasks with their reports, commands and events.
    pub async fn delete_tasks(&mut self, task_ids: &[Uuid]) -> Result<()> {
        delete_in!(self, "task_reports", "task_id", task_ids);
        delete_in!(self, "commands", "task_id", task_ids);
        self.note_deleted_events_of(task_ids).await?;
        delete_in!(self, "events", "task_id", task_ids);
        delete_in!(self, "upgrade_tasks", "task_id", task_ids);
        Ok(())
    }

    async fn note_deleted_events_of(&mut self, task_ids: &[Uuid]) -> Result<()> {
        if task_ids.is_empty() {
            return Ok(());
        }
        let last: Vec<(String, i64)> = on!(self, |conn| {
            let mut query =
                QueryBuilder::new("SELECT kind, MAX(event_id) FROM events WHERE task_id IN (");
            let mut separated = query.separated(", ");
            for task_id in task_ids {
                separated.push_bind(task_id);
            }
            // In one order, so that servers that do this at once wait for each other in turn.
            query.push(") GROUP BY kind ORDER BY kind");
            query
                .build_query_as()
                .persistent(false)
                .fetch_all(conn)
                .await
        })?;
        for (kind, event_id) in last {
            self.note_deleted_events(&kind, event_id).await?;
        }
        Ok(())
    }

    /// Deletes events of a kind that are older than `before`; how many.
    pub async fn delete_old_events(
        &mut self,
        kind: EventKind,
        before: DateTime<Utc>,
        limit: i64,
    ) -> Result<usize> {
        let events: Vec<i64> = on_locked!(
            self,
            [
                "SELECT event_id FROM events WHERE kind = $1 AND created_at < $2
              ORDER BY created_at LIMIT $3"
            ],
            "FOR UPDATE SKIP LOCKED",
            |sql, conn| sqlx::query_scalar(sql)
                .bind(kind.as_str())
                .bind(before)
                .bind(limit)
                .fetch_all(conn)
                .await
        )?;
        if let Some(last) = events.iter().max() {
            self.note_deleted_events(kind.as_str(), *last).await?;
        }
        delete_in!(self, "events", "event_id", &events);
        Ok(events.len())
    }

    /// A rollout that ended before `before`, locked.
    pub async fn lock_old_rollout(&mut self, before: DateTime<Utc>) -> Result<Option<Uuid>> {
        Ok(on_locked!(
            self,
            ["SELECT rollout_id FROM rollouts
              WHERE state IN ('completed', 'cancelled') AND ended_at < $1
              ORDER BY ended_at LIMIT 1"],
            "FOR UPDATE SKIP LOCKED",
            |sql, conn| sqlx::query_scalar(sql)
                .bind(before)
                .fetch_optional(conn)
                .await
        )?)
    }

    /// Deletes up to `limit` members of a rollout. With the last of them goes the rollout itself,
    /// and its waves: whether it did.
    pub async fn delete_rollout(&mut self, rollout_id: Uuid, limit: i64) -> Result<bool> {
        let members = on!(self, |conn| sqlx::query(
            "DELETE FROM rollout_gateways WHERE rollout_id = $1 AND gateway_id IN (
                 SELECT gateway_id FROM rollout_gateways WHERE rollout_id = $1 LIMIT $2)",
        )
        .bind(rollout_id)
        .bind(limit)
        .execute(conn)
        .await
        .map(|done| done.rows_affected()))?;
        let last = members < limit.unsigned_abs();
        if last {
            on!(self, |conn| sqlx::query(
                "DELETE FROM rollouts WHERE rollout_id = $1"
            )
            .bind(rollout_id)
            .execute(conn)
            .await
            .map(drop))?;
        }
        Ok(last)
    }
}
