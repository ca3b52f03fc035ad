use std::sync::Arc;

use axum::extract::State;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::ProvisioningKeyDto;
use crate::{
    domain::Caller,
    http::{
        envelope::{Envelope, ErrorEnvelope},
        error::ApiError,
        extract::OptionalJson,
    },
    service::{ProvisioningKeyDetails, Service},
};

#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NewProvisioningKey {
    #[schema(examples("line-3"), min_length = 1, max_length = 100)]
    name: String,
    /// Only gateways of this type may claim; those not known yet become of it.
    device_type: Option<String>,
    /// So many gateways may claim.
    #[schema(minimum = 1, maximum = 1_000_000_000)]
    claims_max: Option<i64>,
    /// Until when gateways may claim.
    expires_at: Option<DateTime<Utc>>,
}

/// A new key, with its secret.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CreatedProvisioningKey {
    #[serde(flatten)]
    details: ProvisioningKeyDto,
    /// Shown this once.
    key: String,
}

/// Make a provisioning key
///
/// Gateways that never had a token claim one with it. The key is shown in this answer alone.
#[utoipa::path(
    post,
    path = "/api/ota/provisioning-keys",
    tag = "gateway",
    request_body = NewProvisioningKey,
    responses(
        (status = 200, description = "The key", body = Envelope<CreatedProvisioningKey>),
        (status = 400, description = "A body that makes no sense", body = ErrorEnvelope),
        (status = 409, description = "Another key has this name", body = ErrorEnvelope),
        (status = 413, description = "Larger than the limit that the message names", body = ErrorEnvelope),
        (status = 415, description = "Not JSON", body = ErrorEnvelope),
        (status = 503, description = "Database away", body = ErrorEnvelope),
    )
)]
pub async fn create(
    State(service): State<Arc<Service>>,
    caller: Caller,
    OptionalJson(body): OptionalJson<NewProvisioningKey>,
) -> Result<Envelope<CreatedProvisioningKey>, ApiError> {
    let new = body.ok_or_else(|| {
        ApiError::bad_request("no_body", "send the key's name: {\"name\":\"line-3\"}")
    })?;
    let details = ProvisioningKeyDetails {
        name: new.name,
        device_type: new.device_type,
        claims_max: new.claims_max,
        expires_at: new.expires_at,
    };
    let made = service.create_provisioning_key(&caller, details).await?;
    Ok(Envelope::of(CreatedProvisioningKey {
        key: made.secret.reveal().to_owned(),
        details: made.key.into(),
    }))
}
