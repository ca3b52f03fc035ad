use std::{collections::BTreeMap, sync::Arc};

use axum::extract::State;
use serde::Deserialize;
use utoipa::ToSchema;

use super::GatewayDto;
use crate::{
    domain::Caller,
    http::{
        envelope::{Envelope, ErrorEnvelope},
        error::ApiError,
        extract::{ApiPath, OptionalJson},
    },
    service::{GatewayChanges, Service},
};

/// What people say of a gateway: a JSON merge patch (RFC 7396).
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct EditGateway {
    /// By key, 1 to 64 of `A-Z a-z 0-9 . _ - /`: a value of at most 128 characters, or null, which
    /// removes the tag. Tags that are not named stay.
    #[schema(example = json!({"site": "lab", "old": null}))]
    pub tags: BTreeMap<String, Option<String>>,
    /// Until the gateway says another in a heartbeat.
    pub device_type: Option<String>,
}

/// Change a gateway's tags
#[utoipa::path(
    patch,
    path = "/api/ota/gateways/{gatewayId}",
    tag = "gateway",
    params(("gatewayId" = String, Path, example = "HQ2026TEST001")),
    request_body = EditGateway,
    responses(
        (status = 200, description = "The gateway", body = Envelope<GatewayDto>),
        (status = 400, description = "An id, tag or device type that makes no sense", body = ErrorEnvelope),
        (status = 404, description = "Never heard of", body = ErrorEnvelope),
        (status = 413, description = "Larger than the limit that the message names", body = ErrorEnvelope),
        (status = 415, description = "Not JSON", body = ErrorEnvelope),
        (status = 503, description = "Database away", body = ErrorEnvelope),
    )
)]
pub async fn edit(
    State(service): State<Arc<Service>>,
    caller: Caller,
    ApiPath(gateway_id): ApiPath<String>,
    OptionalJson(body): OptionalJson<EditGateway>,
) -> Result<Envelope<GatewayDto>, ApiError> {
    let body = body.ok_or_else(|| {
        ApiError::bad_request(
            "invalid_json",
            "send what is to change: {\"tags\":{\"site\":\"lab\",\"old\":null}}",
        )
    })?;
    let changes = GatewayChanges {
        device_type: body.device_type,
        tags: body.tags,
    };
    let gateway = service.edit_gateway(&caller, &gateway_id, changes).await?;
    Ok(Envelope::of(gateway.into()))
}
