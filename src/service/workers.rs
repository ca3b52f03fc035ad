//! What answers the batches, to be run beside the service until nobody asks any more.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::{
    Result, Service,
    batches::BatchWorker,
    newest_task::{Newest, POLL_BATCHES_MAX},
    trigger_upgrade::{TRIGGER_LINGER_MAX, Trigger},
};
use crate::{domain::Task, store::InboxMessage};

/// The workers of a [`Service`]: without them, what is asked in batches waits.
pub struct Workers {
    pub(super) inbox: BatchWorker<InboxMessage, ()>,
    pub(super) triggers: BatchWorker<Trigger, Result<Task>>,
    pub(super) polls: BatchWorker<String, Newest>,
}

impl Workers {
    /// Answers until `shutdown` and then what was asked before.
    pub async fn run(self, service: Arc<Service>, shutdown: CancellationToken) {
        // One at a time: they would wait in line for the disk.
        let inbox = self.inbox.run(1, shutdown.clone(), {
            let service = service.clone();
            move |messages| {
                let service = service.clone();
                async move { service.keep_messages(&messages).await }
            }
        });
        // While one waits for its commit, the next locks its gateways; SQLite has one writer.
        let batches_max = if service.db.is_embedded() { 1 } else { 2 };
        let triggers = self.triggers.lingering(TRIGGER_LINGER_MAX);
        let triggers = triggers.run(batches_max, shutdown.clone(), {
            let service = service.clone();
            move |triggers| {
                let service = service.clone();
                async move { service.answer_triggers(&triggers).await }
            }
        });
        let polls = self.polls.run(POLL_BATCHES_MAX, shutdown, move |gateways| {
            let service = service.clone();
            async move { service.newest_tasks(&gateways).await }
        });
        tokio::join!(inbox, triggers, polls);
    }
}
