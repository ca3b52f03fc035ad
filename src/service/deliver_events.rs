use std::collections::HashMap;

use chrono::TimeDelta;
use uuid::Uuid;

use super::{Result, Service};
use crate::{
    domain::{Delivery, DeliveryStatus, Webhook},
    metrics::OutcomeLabel,
    webhook::Post,
};

/// Attempts at once per server.
const ATTEMPTS_AT_ONCE_MAX: usize = 64;
/// Attempts at once per server and webhook: a slow receiver takes no more of the above.
const ATTEMPTS_AT_ONCE_PER_WEBHOOK_MAX: usize = 4;
/// How long an attempt that nothing is heard of keeps its delivery to itself; longer than a
/// receiver is waited for.
const LEASE: TimeDelta = TimeDelta::seconds(60);
const DELIVERED_KEPT: TimeDelta = TimeDelta::days(1);
const DEAD_KEPT: TimeDelta = TimeDelta::days(30);
/// Deliveries deleted per transaction.
const SWEEP_BATCH_MAX: i64 = 1000;

/// A delivery that this server attempts now, and where it goes.
#[derive(Debug)]
pub struct ClaimedDelivery {
    pub webhook: Webhook,
    pub delivery: Delivery,
}

impl Service {
    /// Claims deliveries that are due, beside those `under_way`, counted by webhook. Claiming moves
    /// the next attempt into the future: no second server attempts it meanwhile, and one that is
    /// lost with this process is attempted again when that time comes.
    pub async fn claim_deliveries(
        &self,
        under_way: &HashMap<Uuid, usize>,
    ) -> Result<Vec<ClaimedDelivery>> {
        let mut free = ATTEMPTS_AT_ONCE_MAX.saturating_sub(under_way.values().sum());
        let busy = |webhook: &Webhook| under_way.get(&webhook.webhook_id).copied().unwrap_or(0);
        let now = self.clock.now();
        let mut due = self.db.read().await?.webhooks_due(now).await?;
        due.retain(|webhook| busy(webhook) < ATTEMPTS_AT_ONCE_PER_WEBHOOK_MAX);
        if free == 0 || due.is_empty() {
            return Ok(Vec::new());
        }
        due.sort_by_key(busy);
        let mut claimed = Vec::new();
        let mut tx = self.db.begin().await?;
        for webhook in due {
            let room = free.min(ATTEMPTS_AT_ONCE_PER_WEBHOOK_MAX - busy(&webhook));
            let deliveries = tx
                .lock_due_deliveries(webhook.webhook_id, now, room as i64)
                .await?;
            free -= deliveries.len();
            for mut delivery in deliveries {
                delivery.claim(now, LEASE);
                tx.update_delivery(&delivery).await?;
                claimed.push(ClaimedDelivery {
                    webhook: webhook.clone(),
                    delivery,
                });
            }
        }
        tx.commit().await?;
        Ok(claimed)
    }

    /// Attempts a claimed delivery and stores what came of it.
    pub async fn attempt_delivery(&self, claimed: &ClaimedDelivery) -> Result<()> {
        let ClaimedDelivery { webhook, delivery } = claimed;
        let attempt = self
            .webhooks
            .post(Post {
                url: &webhook.url,
                secret: &webhook.secret,
                event: delivery.kind.as_str(),
                delivery_id: delivery.delivery_id,
                timestamp: self.clock.now().timestamp(),
                body: &delivery.body,
            })
            .await;
        let mut tx = self.db.begin().await?;
        let stored = tx
            .lock_delivery(webhook.webhook_id, delivery.delivery_id)
            .await?;
        let Some(mut stored) = stored.filter(|stored| stored.status == DeliveryStatus::Waiting)
        else {
            return Ok(());
        };
        let failed = attempt.error().is_some();
        if failed && stored.attempts != delivery.attempts {
            // The lease ran out, and whoever took it over says what comes of it.
            return Ok(());
        }
        stored.settle(&attempt, self.clock.now(), rand::random());
        tx.update_delivery(&stored).await?;
        tx.commit().await?;
        let outcome = match stored.status {
            DeliveryStatus::Waiting => "failed",
            DeliveryStatus::Delivered => "delivered",
            DeliveryStatus::Dead => "dead",
        };
        self.metrics
            .webhook_deliveries
            .get_or_create(&OutcomeLabel { outcome })
            .inc();
        let (webhook_id, delivery_id) = (stored.webhook_id, stored.delivery_id);
        let (attempts, error) = (stored.attempts, stored.last_error);
        if stored.status == DeliveryStatus::Dead {
            tracing::warn!(%webhook_id, %delivery_id, error, "a webhook delivery is given up");
        } else {
            tracing::debug!(%webhook_id, %delivery_id, attempts, error, outcome, "webhook attempt");
        }
        Ok(())
    }

    /// Returns when this server has queued deliveries.
    pub async fn delivery_queued(&self) {
        self.deliveries_queued.notified().await;
    }

    /// Deletes deliveries that ended long ago; how many.
    pub async fn sweep_deliveries(&self) -> Result<usize> {
        let now = self.clock.now();
        let mut swept = 0;
        for (status, before) in [
            (DeliveryStatus::Delivered, now - DELIVERED_KEPT),
            (DeliveryStatus::Dead, now - DEAD_KEPT),
        ] {
            loop {
                let mut tx = self.db.begin().await?;
                let deleted = tx
                    .delete_deliveries(status, before, SWEEP_BATCH_MAX)
                    .await?;
                tx.commit().await?;
                if deleted == 0 {
                    break;
                }
                swept += usize::try_from(deleted).unwrap_or(usize::MAX);
            }
        }
        Ok(swept)
    }
}
