//! `/api/ota/webhooks`

pub mod create;
pub mod delete;
pub mod deliveries;
pub mod get;
pub mod list;
pub mod ping;
pub mod retry_delivery;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{error::ApiError, event::EventKindDto};
use crate::domain::{Delivery, DeliveryStatus, Webhook};

/// Whom to tell of which events.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Webhook)]
pub struct WebhookDto {
    pub webhook_id: Uuid,
    /// User name and password in it are shown as `***`.
    #[schema(examples("https://example.com/airlift"))]
    pub url: String,
    pub kinds: Vec<EventKindDto>,
    /// Only events of this gateway.
    pub gateway_id: Option<String>,
    /// Only events of this rollout.
    pub rollout_id: Option<Uuid>,
    pub created_at: DateTime<Utc>,
}

impl From<Webhook> for WebhookDto {
    fn from(webhook: Webhook) -> Self {
        WebhookDto {
            url: webhook.masked_url(),
            webhook_id: webhook.webhook_id,
            kinds: webhook.kinds.into_iter().map(Into::into).collect(),
            gateway_id: webhook.gateway_id,
            rollout_id: webhook.rollout_id,
            created_at: webhook.created_at,
        }
    }
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = DeliveryStatus)]
pub enum DeliveryStatusDto {
    Waiting,
    Delivered,
    Dead,
}

impl From<DeliveryStatus> for DeliveryStatusDto {
    fn from(status: DeliveryStatus) -> Self {
        match status {
            DeliveryStatus::Waiting => DeliveryStatusDto::Waiting,
            DeliveryStatus::Delivered => DeliveryStatusDto::Delivered,
            DeliveryStatus::Dead => DeliveryStatusDto::Dead,
        }
    }
}

impl From<DeliveryStatusDto> for DeliveryStatus {
    fn from(status: DeliveryStatusDto) -> Self {
        match status {
            DeliveryStatusDto::Waiting => DeliveryStatus::Waiting,
            DeliveryStatusDto::Delivered => DeliveryStatus::Delivered,
            DeliveryStatusDto::Dead => DeliveryStatus::Dead,
        }
    }
}

/// One event on its way to a receiver.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Delivery)]
pub struct DeliveryDto {
    /// The header `X-Airlift-Delivery` of every attempt.
    pub delivery_id: Uuid,
    pub webhook_id: Uuid,
    pub event_id: i64,
    pub kind: EventKindDto,
    pub status: DeliveryStatusDto,
    /// So far.
    pub attempts: i32,
    /// Null unless it waits.
    pub next_attempt_at: Option<DateTime<Utc>>,
    /// HTTP status of the last answer; null if the last attempt had none.
    pub last_status: Option<i32>,
    /// Why the last attempt failed.
    pub last_error: Option<String>,
    pub created_at: DateTime<Utc>,
    /// When it was delivered or given up.
    pub ended_at: Option<DateTime<Utc>>,
    /// What is sent.
    #[schema(value_type = Object)]
    pub body: Value,
}

impl From<Delivery> for DeliveryDto {
    fn from(delivery: Delivery) -> Self {
        let waits = delivery.status == DeliveryStatus::Waiting;
        DeliveryDto {
            delivery_id: delivery.delivery_id,
            webhook_id: delivery.webhook_id,
            event_id: delivery.event_id,
            kind: delivery.kind.into(),
            status: delivery.status.into(),
            attempts: delivery.attempts,
            next_attempt_at: waits.then_some(delivery.next_attempt_at),
            last_status: delivery.last_status,
            last_error: delivery.last_error,
            created_at: delivery.created_at,
            ended_at: delivery.ended_at,
            body: serde_json::from_str(&delivery.body).unwrap_or_default(),
        }
    }
}

fn webhook_id(text: &str) -> Result<Uuid, ApiError> {
    text.parse().map_err(|_| {
        ApiError::bad_request(
            "invalid_webhook_id",
            format!("{text:?} is not a webhook id: it is the webhookId of a webhook, a UUID"),
        )
    })
}

fn delivery_id(text: &str) -> Result<Uuid, ApiError> {
    text.parse().map_err(|_| {
        ApiError::bad_request(
            "invalid_delivery_id",
            format!("{text:?} is not a delivery id: it is the deliveryId of a delivery, a UUID"),
        )
    })
}
