use chrono::{DateTime, Utc};
use serde_json::json;
use url::Url;
use uuid::Uuid;

use super::{Error, EventMessage, Page, Result, Service, trigger_upgrade::check_gateway_id};
use crate::{
    domain::{AuditEntry, Caller, Delivery, DeliveryStatus, EventKind, Webhook},
    store::{DeliveryFilter, Tx},
    webhook::Post,
};

/// Each event is compared with each webhook.
const WEBHOOKS_MAX: i64 = 100;
const URL_LENGTH_MAX: usize = 2048;
/// Shorter ones can be guessed from a signature.
const SECRET_LENGTH_MIN: usize = 16;
const SECRET_LENGTH_MAX: usize = 256;
/// What a test sends as the kind of its event.
const PING: &str = "ping";

/// What an operator says of a webhook.
#[derive(Clone)]
pub struct WebhookDetails {
    pub url: String,
    /// One is made up if there is none.
    pub secret: Option<String>,
    pub kinds: Vec<EventKind>,
    pub gateway_id: Option<String>,
    pub rollout_id: Option<Uuid>,
}

/// What came of a test.
#[derive(Clone, Debug)]
pub struct Ping {
    pub delivery_id: Uuid,
    /// HTTP status of the answer; none if there was no answer.
    pub status: Option<u16>,
    /// Why the receiver has not taken it.
    pub error: Option<String>,
}

impl WebhookDetails {
    fn check(&self) -> Result<()> {
        let url = Url::parse(&self.url).ok();
        let fits = self.url.len() <= URL_LENGTH_MAX
            && url.is_some_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
        if !fits {
            return Err(Error::invalid(
                "invalid_url",
                format!(
                    "url must be an address that begins with http:// or https://, of at most \
                     {URL_LENGTH_MAX} characters"
                ),
            ));
        }
        if self.kinds.is_empty() {
            let kinds = EventKind::ALL.map(EventKind::as_str).join(", ");
            return Err(Error::invalid(
                "no_kinds",
                format!("kinds names no kind of events: choose from {kinds}"),
            ));
        }
        if let Some(gateway_id) = &self.gateway_id {
            check_gateway_id(gateway_id)?;
        }
        match &self.secret {
            Some(secret) if !(SECRET_LENGTH_MIN..=SECRET_LENGTH_MAX).contains(&secret.len()) => {
                Err(Error::invalid(
                    "invalid_secret",
                    format!(
                        "secret must have {SECRET_LENGTH_MIN} to {SECRET_LENGTH_MAX} bytes: leave \
                         it out, and the server makes one up"
                    ),
                ))
            }
            _ => Ok(()),
        }
    }
}

impl Service {
    /// Makes a webhook; it is told of what happens from now on.
    pub async fn create_webhook(
        &self,
        caller: &Caller,
        details: WebhookDetails,
    ) -> Result<Webhook> {
        details.check()?;
        let mut kinds = details.kinds;
        kinds.sort_by_key(|kind| kind.as_str());
        kinds.dedup();
        let mut tx = self.db.begin().await?;
        if tx.count_webhooks().await? >= WEBHOOKS_MAX {
            return Err(Error::conflict(
                "too_many_webhooks",
                format!("there are {WEBHOOKS_MAX} webhooks already: delete one that is not used"),
            ));
        }
        let webhook = Webhook {
            webhook_id: self.clock.new_id(),
            url: details.url,
            secret: details
                .secret
                .unwrap_or_else(|| hex::encode(rand::random::<[u8; 32]>())),
            kinds,
            gateway_id: details.gateway_id,
            rollout_id: details.rollout_id,
            cursor: tx.event_bounds().await?.newest,
            created_at: self.clock.now(),
        };
        tx.insert_webhook(&webhook).await?;
        let now = webhook.created_at;
        tx.audit(&audited(caller, "webhook.create", &webhook, now))
            .await?;
        tx.commit().await?;
        tracing::info!(webhook_id = %webhook.webhook_id, url = webhook.masked_url(), "webhook made");
        Ok(webhook)
    }

    pub async fn webhook(&self, webhook_id: Uuid) -> Result<Webhook> {
        find(&mut self.db.read().await?, webhook_id).await
    }

    /// Webhooks made before `before`, newest first.
    pub async fn webhooks(&self, before: Uuid, limit: i64) -> Result<Page<Webhook>> {
        let mut tx = self.db.read().await?;
        Ok(Page::cut(tx.webhooks(before, limit + 1).await?, limit))
    }

    /// Deletes a webhook with its deliveries.
    pub async fn delete_webhook(&self, caller: &Caller, webhook_id: Uuid) -> Result<Webhook> {
        let mut tx = self.db.begin().await?;
        let webhook = find(&mut tx, webhook_id).await?;
        tx.delete_webhook(webhook_id).await?;
        let now = self.clock.now();
        tx.audit(&audited(caller, "webhook.delete", &webhook, now))
            .await?;
        tx.commit().await?;
        tracing::info!(%webhook_id, url = webhook.masked_url(), "webhook deleted");
        Ok(webhook)
    }

    /// Sends a test event, once.
    pub async fn ping_webhook(&self, caller: &Caller, webhook_id: Uuid) -> Result<Ping> {
        let now = self.clock.now();
        let mut tx = self.db.begin().await?;
        let webhook = find(&mut tx, webhook_id).await?;
        tx.audit(&audited(caller, "webhook.ping", &webhook, now))
            .await?;
        tx.commit().await?;
        let delivery_id = self.clock.new_id();
        let message = EventMessage {
            event_id: 0,
            kind: PING,
            gateway_id: None,
            task_id: None,
            rollout_id: None,
            created_at: now,
            data: json!({ "webhookId": webhook_id }),
        };
        let attempt = self
            .webhooks
            .post(Post {
                url: &webhook.url,
                secret: &webhook.secret,
                event: PING,
                delivery_id,
                timestamp: now.timestamp(),
                body: &message.json(),
            })
            .await;
        Ok(Ping {
            delivery_id,
            status: attempt.status(),
            error: attempt.error(),
        })
    }

    pub async fn deliveries(
        &self,
        webhook_id: Uuid,
        mut filter: DeliveryFilter,
    ) -> Result<Page<Delivery>> {
        let limit = filter.limit;
        filter.limit += 1;
        let mut tx = self.db.read().await?;
        find(&mut tx, webhook_id).await?;
        Ok(Page::cut(tx.deliveries(webhook_id, &filter).await?, limit))
    }

    /// Gives a dead delivery all its attempts again.
    pub async fn retry_delivery(
        &self,
        caller: &Caller,
        webhook_id: Uuid,
        delivery_id: Uuid,
    ) -> Result<Delivery> {
        let mut tx = self.db.begin().await?;
        find(&mut tx, webhook_id).await?;
        let delivery = tx.lock_delivery(webhook_id, delivery_id).await?;
        let mut delivery = delivery.ok_or_else(|| {
            Error::not_found(
                "delivery_not_found",
                format!(
                    "webhook {webhook_id} has no delivery {delivery_id}: delivered ones are kept \
                     for a day, dead ones for 30 days"
                ),
            )
        })?;
        if delivery.status != DeliveryStatus::Dead {
            return Err(Error::conflict(
                "delivery_not_dead",
                format!(
                    "delivery {delivery_id} is {}: only a dead one can be retried",
                    delivery.status.as_str()
                ),
            ));
        }
        let now = self.clock.now();
        delivery.revive(now);
        tx.update_delivery(&delivery).await?;
        let detail = json!({ "deliveryId": delivery_id });
        tx.audit(&caller.did(
            "webhook.retry_delivery",
            webhook_id.to_string(),
            detail,
            now,
        ))
        .await?;
        tx.commit().await?;
        self.deliveries_queued.notify_one();
        Ok(delivery)
    }
}

/// Of the address no more than the host: secrets may stand in its path and query, too.
fn audited(
    caller: &Caller,
    action: &'static str,
    webhook: &Webhook,
    now: DateTime<Utc>,
) -> AuditEntry {
    let receiver = Url::parse(&webhook.url).map(|url| url.origin().ascii_serialization());
    let kinds = webhook.kinds.iter().map(|kind| kind.as_str());
    let detail = json!({
        "receiver": receiver.unwrap_or_default(),
        "kinds": kinds.collect::<Vec<_>>(),
        "gatewayId": webhook.gateway_id,
        "rolloutId": webhook.rollout_id,
    });
    caller.did(action, webhook.webhook_id.to_string(), detail, now)
}

async fn find(tx: &mut Tx, webhook_id: Uuid) -> Result<Webhook> {
    tx.webhook(webhook_id).await?.ok_or_else(|| {
        Error::not_found(
            "webhook_not_found",
            format!(
                "there is no webhook {webhook_id}: GET /api/ota/webhooks lists those there are"
            ),
        )
    })
}
