use super::{Result, Service};
use crate::domain::{CommandKind, Outcome};

/// Tasks failed per transaction.
const EXPIRE_BATCH_MAX: i64 = 100;

impl Service {
    /// Fails tasks whose gateway fell silent; how many. Servers that do this at once share the
    /// work.
    pub async fn expire_tasks(&self) -> Result<usize> {
        let now = self.clock.now();
        let mut tx = self.db.begin().await?;
        let mut tasks = tx.lock_expired_tasks(now, EXPIRE_BATCH_MAX).await?;
        tasks.retain_mut(|task| task.expire(now) == Outcome::Changed);
        for task in &tasks {
            tx.update_task(task).await?;
            tx.delete_command(task.task_id, CommandKind::Upgrade)
                .await?;
        }
        tx.commit().await?;
        for task in &tasks {
            self.metrics.count_failure(task.error_code.as_deref());
            tracing::warn!(
                gateway_id = task.gateway_id,
                task_id = %task.task_id,
                reason = task.error_message,
                "upgrade timed out"
            );
        }
        Ok(tasks.len())
    }
}
