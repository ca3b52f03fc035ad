use std::{collections::HashMap, sync::Arc, time::Duration};

use tokio::{
    task::{Id, JoinSet},
    time::sleep,
};
use uuid::Uuid;

use super::report;
use crate::service::Service;

/// Longest wait between two looks for deliveries that are due.
const DELIVER_INTERVAL: Duration = Duration::from_millis(500);

/// Attempts deliveries as they come due, several at once. Attempts under way when this is dropped
/// are cut, and made again by whichever server finds them due.
pub async fn deliver(service: &Arc<Service>) {
    let mut attempts = JoinSet::new();
    let mut webhook_of: HashMap<Id, Uuid> = HashMap::new();
    loop {
        let mut under_way = HashMap::new();
        for webhook_id in webhook_of.values() {
            *under_way.entry(*webhook_id).or_default() += 1;
        }
        let claimed = service.claim_deliveries(&under_way).await;
        for claimed in report("claim deliveries", claimed).unwrap_or_default() {
            let webhook_id = claimed.webhook.webhook_id;
            let service = Arc::clone(service);
            let attempt = attempts.spawn(async move {
                report("deliver events", service.attempt_delivery(&claimed).await);
            });
            webhook_of.insert(attempt.id(), webhook_id);
        }
        let ended = tokio::select! {
            Some(ended) = attempts.join_next_with_id() => Some(ended),
            () = service.delivery_queued() => None,
            () = sleep(DELIVER_INTERVAL) => None,
        };
        let mut next = ended;
        while let Some(ended) = next {
            let id = ended.map_or_else(|panicked| panicked.id(), |(id, ())| id);
            webhook_of.remove(&id);
            next = attempts.try_join_next_with_id();
        }
    }
}
