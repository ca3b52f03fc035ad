//! What answers the batches, to be run beside the service until nobody asks any more.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::{Service, batches::BatchWorker};
use crate::store::InboxMessage;

/// The workers of a [`Service`]: without them, what is asked in batches waits.
pub struct Workers {
    pub(super) inbox: BatchWorker<InboxMessage, ()>,
}

impl Workers {
    /// Answers until `shutdown` and then what was asked before.
    pub async fn run(self, service: Arc<Service>, shutdown: CancellationToken) {
        // One at a time: they would wait in line for the disk, or for the order of events.
        let inbox = self.inbox.run(1, shutdown, move |messages| {
            let service = service.clone();
            async move { service.keep_messages(&messages).await }
        });
        inbox.await;
    }
}
