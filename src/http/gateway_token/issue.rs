use std::sync::Arc;

use axum::extract::State;
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::GatewayTokenDto;
use crate::{
    domain::Caller,
    http::{
        envelope::{Envelope, ErrorEnvelope},
        error::ApiError,
        extract::{ApiPath, OptionalJson},
    },
    service::{Service, TokenIssue},
};

/// Which gateways a token may be made for.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = TokenIssue)]
pub enum TokenIssueDto {
    /// One without a token.
    First,
    /// One that has a token.
    Rotation,
    /// Either.
    Any,
}

#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NewGatewayToken {
    /// So long a token from before stays good, unless the new one is used before; default a week.
    #[schema(minimum = 0, maximum = 604_800)]
    grace_seconds: Option<u32>,
    /// Default `any`.
    issue: Option<TokenIssueDto>,
}

/// A new token of a gateway, with its secret.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CreatedGatewayToken {
    #[serde(flatten)]
    details: GatewayTokenDto,
    /// Shown this once: the gateway's MQTT password and its bearer token.
    token: String,
    /// Until when the token before it is good, unless the new one is used before.
    predecessor_ends_at: Option<DateTime<Utc>>,
}

/// Make or rotate a gateway's token
///
/// The gateway need not be known. A token from before stays good until the new one is first used,
/// at latest for `graceSeconds`. The token is shown in this answer alone.
#[utoipa::path(
    post,
    path = "/api/ota/gateways/{gatewayId}/token",
    tag = "gateway",
    params(("gatewayId" = String, Path, example = "HQ2026TEST001")),
    request_body = Option<NewGatewayToken>,
    responses(
        (status = 200, description = "The token", body = Envelope<CreatedGatewayToken>),
        (status = 400, description = "Not a gateway id, or a body that makes no sense", body = ErrorEnvelope),
        (status = 404, description = "It has no token to be rotated", body = ErrorEnvelope),
        (status = 409, description = "It has a token already", body = ErrorEnvelope),
        (status = 413, description = "Larger than the limit that the message names", body = ErrorEnvelope),
        (status = 415, description = "Not JSON", body = ErrorEnvelope),
        (status = 503, description = "Database away", body = ErrorEnvelope),
    )
)]
pub async fn issue(
    State(service): State<Arc<Service>>,
    caller: Caller,
    ApiPath(gateway_id): ApiPath<String>,
    OptionalJson(body): OptionalJson<NewGatewayToken>,
) -> Result<Envelope<CreatedGatewayToken>, ApiError> {
    let new = body.unwrap_or_default();
    let issue = match new.issue {
        Some(TokenIssueDto::First) => TokenIssue::First,
        Some(TokenIssueDto::Rotation) => TokenIssue::Rotation,
        Some(TokenIssueDto::Any) | None => TokenIssue::Any,
    };
    let grace = new
        .grace_seconds
        .map(|seconds| TimeDelta::seconds(seconds.into()));
    let made = service
        .issue_gateway_token(&caller, &gateway_id, issue, grace)
        .await?;
    Ok(Envelope::of(CreatedGatewayToken {
        token: made.secret.reveal().to_owned(),
        details: made.token.into(),
        predecessor_ends_at: made.predecessor_ends_at,
    }))
}
