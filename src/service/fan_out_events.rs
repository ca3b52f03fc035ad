use uuid::Uuid;

use super::{EventMessage, Result, Service, stream_events::EVENT_WINDOW};
use crate::{
    domain::{Delivery, DeliveryStatus, Webhook},
    store::{EventFilter, StoredEvent},
};

/// Deliveries made per transaction.
const FAN_OUT_BATCH_MAX: i64 = 500;
/// Waiting deliveries of a webhook from which its other events wait among the events: a receiver
/// that is away must not fill the database.
const WAITING_DELIVERIES_MAX: i64 = 10_000;

impl Service {
    /// Makes deliveries of the events that came since each webhook's last ones; how many webhooks
    /// went on. A webhook's row is locked meanwhile, so servers share the work.
    pub async fn fan_out_events(&self) -> Result<usize> {
        let behind = self.db.read().await?.webhooks_behind().await?;
        let mut went_on = 0;
        for webhook_id in behind {
            went_on += usize::from(self.fan_out_to(webhook_id).await?);
        }
        if went_on > 0 {
            self.deliveries_queued.notify_one();
        }
        Ok(went_on)
    }

    async fn fan_out_to(&self, webhook_id: Uuid) -> Result<bool> {
        let mut tx = self.db.begin().await?;
        let Some(webhook) = tx.lock_webhook(webhook_id).await? else {
            return Ok(false);
        };
        let newest = tx.event_bounds().await?.newest;
        let waiting = tx.count_waiting_deliveries(webhook_id).await?;
        if webhook.cursor >= newest || waiting >= WAITING_DELIVERIES_MAX {
            return Ok(false);
        }
        let deleted_up_to = tx.deleted_events(&webhook.kinds).await?;
        if webhook.cursor < deleted_up_to {
            tracing::warn!(
                %webhook_id,
                after = webhook.cursor,
                deleted_up_to,
                "events were deleted before this webhook had room for them"
            );
        }
        let after = webhook.cursor;
        let to = newest.min(after.saturating_add(EVENT_WINDOW));
        let filter = EventFilter {
            kinds: webhook.kinds.clone(),
            gateway_id: webhook.gateway_id.clone(),
            task_id: None,
            rollout_id: webhook.rollout_id,
        };
        let events = tx.events(&filter, after, to, FAN_OUT_BATCH_MAX).await?;
        let cursor = match events.last() {
            Some(last) if events.len() as i64 == FAN_OUT_BATCH_MAX => last.event_id,
            _ => to,
        };
        let deliveries: Vec<Delivery> = events
            .into_iter()
            .map(|event| self.delivery(&webhook, event))
            .collect();
        tx.insert_deliveries(&deliveries).await?;
        tx.update_webhook_cursor(webhook_id, cursor).await?;
        tx.commit().await?;
        Ok(true)
    }

    fn delivery(&self, webhook: &Webhook, event: StoredEvent) -> Delivery {
        let now = self.clock.now();
        let kind = event.event.kind;
        let message = EventMessage::from(event);
        Delivery {
            delivery_id: self.clock.new_id(),
            webhook_id: webhook.webhook_id,
            event_id: message.event_id,
            kind,
            body: message.json(),
            status: DeliveryStatus::Waiting,
            attempts: 0,
            next_attempt_at: now,
            last_status: None,
            last_error: None,
            created_at: now,
            ended_at: None,
        }
    }
}
