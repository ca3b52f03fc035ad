use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use super::{Result, Service};
use crate::{
    domain::{EventKind, last_id_at},
    metrics::KindLabel,
};

/// Tasks looked at per transaction.
const TASKS_BATCH_MAX: i64 = 1000;
/// Events deleted per transaction.
const EVENTS_BATCH_MAX: i64 = 1000;
/// Heartbeats deleted per transaction.
const HEARTBEATS_BATCH_MAX: i64 = 1000;
/// Members of a rollout deleted per transaction.
const MEMBERS_BATCH_MAX: i64 = 1000;
/// A task's progress is worth following while it runs, not afterwards.
const PROGRESS_KEPT: TimeDelta = TimeDelta::days(1);

impl Service {
    /// Deletes tasks, events, rollouts and heartbeats that are older than the settings keep them; how many.
    /// Servers that do this at once share the work.
    pub async fn delete_history(&self) -> Result<usize> {
        let now = self.clock.now();
        let history = now - self.settings.history_kept;
        let mut deleted = 0;
        for (kind, count) in [
            ("rollout", self.delete_old_rollouts(history).await?),
            ("task", self.delete_old_tasks(history).await?),
            ("event", self.delete_old_events(now).await?),
            ("heartbeat", self.delete_old_heartbeats(now).await?),
        ] {
            self.metrics
                .history_deleted
                .get_or_create(&KindLabel { kind })
                .inc_by(count as u64);
            if count > 0 {
                tracing::info!(kind, count, "old history deleted");
            }
            deleted += count;
        }
        Ok(deleted)
    }

    async fn delete_old_rollouts(&self, before: DateTime<Utc>) -> Result<usize> {
        let mut deleted = 0;
        loop {
            let mut tx = self.db.begin().await?;
            let Some(rollout_id) = tx.lock_old_rollout(before).await? else {
                return Ok(deleted);
            };
            let gone = tx.delete_rollout(rollout_id, MEMBERS_BATCH_MAX).await?;
            tx.commit().await?;
            deleted += usize::from(gone);
        }
    }

    /// Looks at all tasks that are old enough, window by window: most of a fleet's are the newest
    /// of their gateways and stay.
    async fn delete_old_tasks(&self, before: DateTime<Utc>) -> Result<usize> {
        let upto = last_id_at(before);
        let mut after = Uuid::nil();
        let mut deleted = 0;
        loop {
            let mut tx = self.db.begin().await?;
            let window = tx.task_window(after, upto, TASKS_BATCH_MAX).await?;
            let Some(end) = window else {
                return Ok(deleted);
            };
            let tasks = tx.lock_old_tasks(after, end, before).await?;
            tx.delete_tasks(&tasks).await?;
            tx.commit().await?;
            deleted += tasks.len();
            after = end;
        }
    }

    async fn delete_old_heartbeats(&self, now: DateTime<Utc>) -> Result<usize> {
        let before = now - self.settings.heartbeats_kept;
        let mut deleted = 0;
        loop {
            let mut tx = self.db.begin().await?;
            let heartbeats = tx
                .delete_old_heartbeats(before, HEARTBEATS_BATCH_MAX)
                .await?;
            tx.commit().await?;
            deleted += heartbeats;
            if heartbeats == 0 {
                return Ok(deleted);
            }
        }
    }

    async fn delete_old_events(&self, now: DateTime<Utc>) -> Result<usize> {
        let mut deleted = 0;
        for kind in EventKind::ALL {
            let kept = match kind {
                // They go with their task.
                EventKind::Task => continue,
                EventKind::TaskProgress => PROGRESS_KEPT,
                _ => self.settings.events_kept,
            };
            loop {
                let mut tx = self.db.begin().await?;
                let events = tx
                    .delete_old_events(kind, now - kept, EVENTS_BATCH_MAX)
                    .await?;
                tx.commit().await?;
                deleted += events;
                if events == 0 {
                    break;
                }
            }
        }
        Ok(deleted)
    }
}
