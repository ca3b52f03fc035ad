use std::sync::Arc;

use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::WebhookDto;
use crate::{
    domain::Caller,
    http::{
        envelope::{Envelope, ErrorEnvelope},
        error::ApiError,
        event::EventKindDto,
        extract::OptionalJson,
    },
    service::{Service, WebhookDetails},
};

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NewWebhook {
    /// `http://` or `https://`; may contain a user name and a password.
    #[schema(examples("https://example.com/airlift"), max_length = 2048)]
    url: String,
    #[schema(min_items = 1)]
    kinds: Vec<EventKindDto>,
    /// Only events of this gateway.
    #[schema(examples("HQ2026TEST001"))]
    gateway_id: Option<String>,
    /// Only events of this rollout.
    rollout_id: Option<Uuid>,
    /// What deliveries are signed with. Default: one is made up.
    #[schema(min_length = 16, max_length = 256)]
    secret: Option<String>,
}

/// A new webhook, with its secret.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CreatedWebhook {
    #[serde(flatten)]
    webhook: WebhookDto,
    /// Shown this once.
    secret: String,
}

/// Make a webhook
///
/// Its address gets a POST for each event from now on. The secret is shown in this answer alone.
#[utoipa::path(
    post,
    path = "/api/ota/webhooks",
    tag = "event",
    request_body = NewWebhook,
    responses(
        (status = 200, description = "The webhook and its secret", body = Envelope<CreatedWebhook>),
        (status = 400, description = "A body that makes no sense", body = ErrorEnvelope),
        (status = 409, description = "There are as many as there may be", body = ErrorEnvelope),
        (status = 413, description = "Larger than the limit that the message names", body = ErrorEnvelope),
        (status = 415, description = "Not JSON", body = ErrorEnvelope),
        (status = 503, description = "Database away", body = ErrorEnvelope),
    )
)]
pub async fn create(
    State(service): State<Arc<Service>>,
    caller: Caller,
    OptionalJson(body): OptionalJson<NewWebhook>,
) -> Result<Envelope<CreatedWebhook>, ApiError> {
    let new = body.ok_or_else(|| {
        ApiError::bad_request(
            "invalid_json",
            "send the webhook: {\"url\":\"https://example.com/airlift\",\"kinds\":[\"task\"]}",
        )
    })?;
    let webhook = service
        .create_webhook(
            &caller,
            WebhookDetails {
                url: new.url,
                secret: new.secret,
                kinds: new.kinds.into_iter().map(Into::into).collect(),
                gateway_id: new.gateway_id,
                rollout_id: new.rollout_id,
            },
        )
        .await?;
    Ok(Envelope::of(CreatedWebhook {
        secret: webhook.secret.clone(),
        webhook: webhook.into(),
    }))
}
