use std::{collections::HashMap, sync::Arc};

use super::{Error, Result, Service, trigger_upgrade::check_gateway_id};
use crate::domain::Task;

/// Gateways whose tasks are asked for by one statement.
pub(super) const POLL_BATCH_MAX: usize = 256;
/// Such statements at the same time: a slow one holds up only whom it answers. With more of them each
/// answers fewer.
pub(super) const POLL_BATCHES_MAX: usize = 2;

/// The newest task of a gateway that has one; of several who ask for the same.
pub(super) type Newest = Option<Arc<Task>>;

impl Service {
    /// The gateway's newest task. Phones poll it, many at once: what is asked at the same moment is
    /// answered by one statement that begins after it.
    pub async fn newest_task(&self, gateway_id: &str) -> Result<Task> {
        check_gateway_id(gateway_id)?;
        let newest = self.polls.ask(gateway_id.to_owned()).await?;
        newest.map(Arc::unwrap_or_clone).ok_or_else(|| {
            Error::not_found(
                "task_not_found",
                format!(
                    "gateway {gateway_id} has no task: trigger one with \
                     POST /api/ota/upgrade/{gateway_id}"
                ),
            )
        })
    }

    pub(super) async fn newest_tasks(&self, gateway_ids: &[String]) -> Result<Vec<Newest>> {
        let tasks: HashMap<String, Arc<Task>> = self
            .db
            .newest_tasks(gateway_ids)
            .await?
            .into_iter()
            .map(|(gateway_id, task)| (gateway_id, Arc::new(task)))
            .collect();
        Ok(gateway_ids
            .iter()
            .map(|it| tasks.get(it).cloned())
            .collect())
    }
}
