use chrono::{DateTime, Utc};
use sqlx::{QueryBuilder, types::Json};
use uuid::Uuid;

use super::{Error, Result, Tx};
use crate::domain::{Delivery, DeliveryStatus, EventKind, Webhook};

/// Rows per INSERT; SQLite takes 32,766 parameters.
const ROWS_PER_INSERT: usize = 1000;

macro_rules! webhook_columns {
    () => {
        "w.webhook_id, w.url, w.secret, w.kinds, w.gateway_id, w.rollout_id, w.cursor, w.created_at"
    };
}

macro_rules! delivery_columns {
    () => {
        "delivery_id, webhook_id, event_id, kind, body, status, attempts, next_attempt_at, \
         last_status, last_error, created_at, ended_at"
    };
}

#[derive(sqlx::FromRow)]
struct WebhookRow {
    webhook_id: Uuid,
    url: String,
    secret: String,
    kinds: Json<Vec<String>>,
    gateway_id: Option<String>,
    rollout_id: Option<Uuid>,
    cursor: i64,
    created_at: DateTime<Utc>,
}

impl TryFrom<WebhookRow> for Webhook {
    type Error = Error;

    fn try_from(row: WebhookRow) -> Result<Webhook> {
        let kind = |word: &String| {
            EventKind::parse(word).ok_or_else(|| Error::BadRow {
                table: "webhooks",
                column: "kinds",
                row: row.webhook_id.to_string(),
                value: word.clone(),
            })
        };
        Ok(Webhook {
            kinds: row.kinds.0.iter().map(kind).collect::<Result<_>>()?,
            webhook_id: row.webhook_id,
            url: row.url,
            secret: row.secret,
            gateway_id: row.gateway_id,
            rollout_id: row.rollout_id,
            cursor: row.cursor,
            created_at: row.created_at,
        })
    }
}

#[derive(sqlx::FromRow)]
struct DeliveryRow {
    delivery_id: Uuid,
    webhook_id: Uuid,
    event_id: i64,
    kind: String,
    body: String,
    status: String,
    attempts: i32,
    next_attempt_at: DateTime<Utc>,
    last_status: Option<i32>,
    last_error: Option<String>,
    created_at: DateTime<Utc>,
    ended_at: Option<DateTime<Utc>>,
}

impl TryFrom<DeliveryRow> for Delivery {
    type Error = Error;

    fn try_from(row: DeliveryRow) -> Result<Delivery> {
        let bad = |column, value: &String| Error::BadRow {
            table: "webhook_deliveries",
            column,
            row: row.delivery_id.to_string(),
            value: value.clone(),
        };
        Ok(Delivery {
            kind: EventKind::parse(&row.kind).ok_or_else(|| bad("kind", &row.kind))?,
            status: DeliveryStatus::parse(&row.status).ok_or_else(|| bad("status", &row.status))?,
            delivery_id: row.delivery_id,
            webhook_id: row.webhook_id,
            event_id: row.event_id,
            body: row.body,
            attempts: row.attempts,
            next_attempt_at: row.next_attempt_at,
            last_status: row.last_status,
            last_error: row.last_error,
            created_at: row.created_at,
            ended_at: row.ended_at,
        })
    }
}

/// Which deliveries of a webhook to list, newest event first.
#[derive(Clone, Debug)]
pub struct DeliveryFilter {
    pub status: Option<DeliveryStatus>,
    /// Only those of events before this one.
    pub before: i64,
    pub limit: i64,
}

fn webhooks(rows: Vec<WebhookRow>) -> Result<Vec<Webhook>> {
    rows.into_iter().map(Webhook::try_from).collect()
}

fn deliveries(rows: Vec<DeliveryRow>) -> Result<Vec<Delivery>> {
    rows.into_iter().map(Delivery::try_from).collect()
}

impl Tx {
    pub async fn insert_webhook(&mut self, webhook: &Webhook) -> Result<()> {
        let kinds: Vec<&str> = webhook.kinds.iter().map(|kind| kind.as_str()).collect();
        on!(self, |conn| sqlx::query(
            "INSERT INTO webhooks
             (webhook_id, url, secret, kinds, gateway_id, rollout_id, cursor, created_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        )
        .bind(webhook.webhook_id)
        .bind(&webhook.url)
        .bind(&webhook.secret)
        .bind(Json(&kinds))
        .bind(&webhook.gateway_id)
        .bind(webhook.rollout_id)
        .bind(webhook.cursor)
        .bind(webhook.created_at)
        .execute(conn)
        .await
        .map(drop))?;
        Ok(())
    }

    pub async fn count_webhooks(&mut self) -> Result<i64> {
        Ok(on!(self, |conn| sqlx::query_scalar(
            "SELECT COUNT(*) FROM webhooks"
        )
        .fetch_one(conn)
        .await)?)
    }

    pub async fn webhook(&mut self, webhook_id: Uuid) -> Result<Option<Webhook>> {
        on!(self, |conn| sqlx::query_as::<_, WebhookRow>(concat!(
            "SELECT ",
            webhook_columns!(),
            " FROM webhooks w WHERE w.webhook_id = $1"
        ))
        .bind(webhook_id)
        .fetch_optional(conn)
        .await)?
        .map(Webhook::try_from)
        .transpose()
    }

    /// Webhooks made before `before`, newest first.
    pub async fn webhooks(&mut self, before: Uuid, limit: i64) -> Result<Vec<Webhook>> {
        let rows = on!(self, |conn| sqlx::query_as(concat!(
            "SELECT ",
            webhook_columns!(),
            " FROM webhooks w WHERE w.webhook_id < $1 ORDER BY w.webhook_id DESC LIMIT $2"
        ))
        .bind(before)
        .bind(limit)
        .fetch_all(conn)
        .await)?;
        webhooks(rows)
    }

    /// Deletes a webhook and its deliveries; whether there was one.
    pub async fn delete_webhook(&mut self, webhook_id: Uuid) -> Result<bool> {
        let gone = on!(self, |conn| sqlx::query(
            "DELETE FROM webhooks WHERE webhook_id = $1"
        )
        .bind(webhook_id)
        .execute(conn)
        .await
        .map(|done| done.rows_affected()))?;
        Ok(gone > 0)
    }

    /// The webhooks whose cursor is before the newest event.
    pub async fn webhooks_behind(&mut self) -> Result<Vec<Uuid>> {
        Ok(on!(self, |conn| sqlx::query_scalar(
            "SELECT webhook_id FROM webhooks
             WHERE cursor < (SELECT MAX(event_id) FROM events) ORDER BY cursor",
        )
        .fetch_all(conn)
        .await)?)
    }

    /// The webhook with its row locked for this transaction; none if it is gone or another server
    /// holds it.
    pub async fn lock_webhook(&mut self, webhook_id: Uuid) -> Result<Option<Webhook>> {
        on_locked!(
            self,
            [
                "SELECT ",
                webhook_columns!(),
                " FROM webhooks w WHERE w.webhook_id = $1"
            ],
            "FOR UPDATE SKIP LOCKED",
            |sql, conn| sqlx::query_as::<_, WebhookRow>(sql)
                .bind(webhook_id)
                .fetch_optional(conn)
                .await
        )?
        .map(Webhook::try_from)
        .transpose()
    }

    pub async fn update_webhook_cursor(&mut self, webhook_id: Uuid, cursor: i64) -> Result<()> {
        on!(self, |conn| sqlx::query(
            "UPDATE webhooks SET cursor = $2 WHERE webhook_id = $1",
        )
        .bind(webhook_id)
        .bind(cursor)
        .execute(conn)
        .await
        .map(drop))?;
        Ok(())
    }

    pub async fn insert_deliveries(&mut self, deliveries: &[Delivery]) -> Result<()> {
        for deliveries in deliveries.chunks(ROWS_PER_INSERT) {
            on!(self, |conn| {
                let mut query = QueryBuilder::new(concat!(
                    "INSERT INTO webhook_deliveries (",
                    delivery_columns!(),
                    ") "
                ));
                query.push_values(deliveries, |mut row, delivery| {
                    row.push_bind(delivery.delivery_id)
                        .push_bind(delivery.webhook_id)
                        .push_bind(delivery.event_id)
                        .push_bind(delivery.kind.as_str())
                        .push_bind(&delivery.body)
                        .push_bind(delivery.status.as_str())
                        .push_bind(delivery.attempts)
                        .push_bind(delivery.next_attempt_at)
                        .push_bind(delivery.last_status)
                        .push_bind(&delivery.last_error)
                        .push_bind(delivery.created_at)
                        .push_bind(delivery.ended_at);
                });
                query.build().execute(conn).await.map(drop)
            })?;
        }
        Ok(())
    }

    /// How many deliveries of a webhook wait.
    pub async fn count_waiting_deliveries(&mut self, webhook_id: Uuid) -> Result<i64> {
        Ok(on!(self, |conn| sqlx::query_scalar(
            "SELECT COUNT(*) FROM webhook_deliveries
             WHERE webhook_id = $1 AND status = 'waiting'",
        )
        .bind(webhook_id)
        .fetch_one(conn)
        .await)?)
    }

    /// The webhooks that have a delivery due.
    pub async fn webhooks_due(&mut self, now: DateTime<Utc>) -> Result<Vec<Webhook>> {
        let rows = on!(self, |conn| sqlx::query_as(concat!(
            "SELECT ",
            webhook_columns!(),
            " FROM webhooks w WHERE EXISTS (
                 SELECT 1 FROM webhook_deliveries d
                 WHERE d.webhook_id = w.webhook_id AND d.status = 'waiting'
                   AND d.next_attempt_at <= $1)"
        ))
        .bind(now)
        .fetch_all(conn)
        .await)?;
        webhooks(rows)
    }

    /// Deliveries of a webhook that are due, most overdue first, locked for this transaction;
    /// those that another server holds are passed over.
    pub async fn lock_due_deliveries(
        &mut self,
        webhook_id: Uuid,
        now: DateTime<Utc>,
        limit: i64,
    ) -> Result<Vec<Delivery>> {
        let rows = on_locked!(
            self,
            [
                "SELECT ",
                delivery_columns!(),
                " FROM webhook_deliveries
                  WHERE webhook_id = $1 AND status = 'waiting' AND next_attempt_at <= $2
                  ORDER BY next_attempt_at, event_id LIMIT $3"
            ],
            "FOR UPDATE SKIP LOCKED",
            |sql, conn| sqlx::query_as(sql)
                .bind(webhook_id)
                .bind(now)
                .bind(limit)
                .fetch_all(conn)
                .await
        )?;
        deliveries(rows)
    }

    /// A delivery of this webhook, locked until the transaction ends.
    pub async fn lock_delivery(
        &mut self,
        webhook_id: Uuid,
        delivery_id: Uuid,
    ) -> Result<Option<Delivery>> {
        on_locked!(
            self,
            [
                "SELECT ",
                delivery_columns!(),
                " FROM webhook_deliveries WHERE webhook_id = $1 AND delivery_id = $2"
            ],
            "FOR UPDATE",
            |sql, conn| sqlx::query_as::<_, DeliveryRow>(sql)
                .bind(webhook_id)
                .bind(delivery_id)
                .fetch_optional(conn)
                .await
        )?
        .map(Delivery::try_from)
        .transpose()
    }

    pub async fn update_delivery(&mut self, delivery: &Delivery) -> Result<()> {
        on!(self, |conn| sqlx::query(
            "UPDATE webhook_deliveries SET status = $2, attempts = $3, next_attempt_at = $4,
             last_status = $5, last_error = $6, ended_at = $7 WHERE delivery_id = $1",
        )
        .bind(delivery.delivery_id)
        .bind(delivery.status.as_str())
        .bind(delivery.attempts)
        .bind(delivery.next_attempt_at)
        .bind(delivery.last_status)
        .bind(&delivery.last_error)
        .bind(delivery.ended_at)
        .execute(conn)
        .await
        .map(drop))?;
        Ok(())
    }

    pub async fn deliveries(
        &mut self,
        webhook_id: Uuid,
        filter: &DeliveryFilter,
    ) -> Result<Vec<Delivery>> {
        let rows = on!(self, |conn| sqlx::query_as(concat!(
            "SELECT ",
            delivery_columns!(),
            " FROM webhook_deliveries
             WHERE webhook_id = $1 AND (CAST($2 AS TEXT) IS NULL OR status = $2)
               AND event_id < $3
             ORDER BY event_id DESC LIMIT $4"
        ))
        .bind(webhook_id)
        .bind(filter.status.map(DeliveryStatus::as_str))
        .bind(filter.before)
        .bind(filter.limit)
        .fetch_all(conn)
        .await)?;
        deliveries(rows)
    }

    /// Deletes up to `limit` deliveries that ended with `status` before `before`; how many.
    pub async fn delete_deliveries(
        &mut self,
        status: DeliveryStatus,
        before: DateTime<Utc>,
        limit: i64,
    ) -> Result<u64> {
        Ok(on!(self, |conn| sqlx::query(
            "DELETE FROM webhook_deliveries WHERE delivery_id IN (
                 SELECT delivery_id FROM webhook_deliveries
                 WHERE status = $1 AND status <> 'waiting' AND ended_at < $2 LIMIT $3)",
        )
        .bind(status.as_str())
        .bind(before)
        .bind(limit)
        .execute(conn)
        .await
        .map(|done| done.rows_affected()))?)
    }
}
