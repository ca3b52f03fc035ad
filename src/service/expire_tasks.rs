use std::time::Duration;

use uuid::Uuid;

use super::{Result, Service, make_task::record_task};
use crate::domain::{CommandKind, Outcome, Task};

/// Tasks failed per transaction.
const EXPIRE_BATCH_MAX: i64 = 100;

/// From the connection to the broker until what waited there has been taken in. Part of it may wait
/// in the session of a server that died: until its lease has run out and somebody drains it.
const CATCHING_UP: Duration = Duration::from_secs(20);
/// The same with an embedded database: the one server has its session back at once.
const CATCHING_UP_ALONE: Duration = Duration::from_secs(2);

impl Service {
    /// Fails tasks whose gateway fell silent or did not prove what it completed; how many. Servers
    /// that do this at once share the work. A server that has not listened for long does not: what
    /// the gateway said may still be on its way to it.
    pub async fn expire_tasks(&self) -> Result<usize> {
        let catching_up = match self.db.is_embedded() {
            true => CATCHING_UP_ALONE,
            false => CATCHING_UP,
        };
        if self.publisher.connected_for() < Some(catching_up) {
            return Ok(0);
        }
        let now = self.clock.now();
        let mut tx = self.db.begin().await?;
        let mut tasks: Vec<Task> = Vec::new();
        for before in tx.lock_expired_tasks(now, EXPIRE_BATCH_MAX).await? {
            let mut task = before.clone();
            if task.expire(now) == Outcome::Unchanged {
                continue;
            }
            record_task(&mut tx, Some(&before), &task, now);
            tasks.push(task);
        }
        tx.update_tasks(&tasks.iter().collect::<Vec<_>>()).await?;
        let expired: Vec<Uuid> = tasks.iter().map(|task| task.task_id).collect();
        tx.delete_commands(&expired, CommandKind::Upgrade).await?;
        tx.commit().await?;
        for task in &tasks {
            self.metrics.count_failure(task.error_code.as_deref());
            tracing::warn!(
                gateway_id = task.gateway_id,
                task_id = %task.task_id,
                reason = task.error_message,
                error_code = task.error_code,
                "upgrade timed out"
            );
        }
        Ok(tasks.len())
    }
}
