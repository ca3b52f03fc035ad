use std::sync::Arc;

use axum::extract::State;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{RoleDto, TokenDto};
use crate::{
    domain::Caller,
    http::{
        envelope::{Envelope, ErrorEnvelope},
        error::ApiError,
        extract::OptionalJson,
    },
    service::{NewToken, Service},
};

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = NewToken)]
pub struct NewTokenDto {
    /// No other token that is not revoked has it.
    #[schema(examples("ci"), min_length = 1, max_length = 100)]
    name: String,
    role: RoleDto,
    /// Default: never.
    expires_at: Option<DateTime<Utc>>,
}

/// A new token, shown this once.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CreatedToken {
    #[serde(flatten)]
    details: TokenDto,
    /// For `Authorization: Bearer`.
    #[schema(examples("alt_…"))]
    token: String,
}

/// Make a token
///
/// For a person or a machine. It is shown in this answer alone. From the first credential on, every
/// door asks for one.
#[utoipa::path(
    post,
    path = "/api/ota/tokens",
    tag = "access",
    request_body = NewTokenDto,
    responses(
        (status = 200, description = "The token", body = Envelope<CreatedToken>),
        (status = 400, description = "A body that makes no sense", body = ErrorEnvelope),
        (status = 409, description = "Another token has this name", body = ErrorEnvelope),
        (status = 413, description = "Larger than the limit that the message names", body = ErrorEnvelope),
        (status = 415, description = "Not JSON", body = ErrorEnvelope),
        (status = 503, description = "Database away", body = ErrorEnvelope),
    )
)]
pub async fn create(
    State(service): State<Arc<Service>>,
    caller: Caller,
    OptionalJson(body): OptionalJson<NewTokenDto>,
) -> Result<Envelope<CreatedToken>, ApiError> {
    let new = body.ok_or_else(|| {
        ApiError::bad_request(
            "invalid_json",
            "send the token's name and role: {\"name\":\"ci\",\"role\":\"publisher\"}",
        )
    })?;
    let new = NewToken {
        name: new.name,
        role: new.role.into(),
        expires_at: new.expires_at,
    };
    let (token, secret) = service.create_token(&caller, new).await?;
    Ok(Envelope::of(CreatedToken {
        details: TokenDto::new(token, service.now()),
        token: secret.reveal().to_owned(),
    }))
}
