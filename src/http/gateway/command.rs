use std::sync::Arc;

use axum::extract::State;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::{
    http::{
        envelope::{Envelope, ErrorEnvelope},
        error::ApiError,
        extract::ApiPath,
    },
    service::Service,
};

/// A command as docs/protocol.md describes it.
#[derive(Debug, Serialize, ToSchema)]
#[serde(transparent)]
#[schema(as = Command, value_type = Object)]
pub struct CommandDto(Value);

/// Fetch the command that waits
///
/// For devices that speak HTTP: the JSON that a gateway on MQTT gets on its command topic, or null.
/// An `ota_upgrade` comes again with each call until a report says that the device is at it; an
/// `ota_cancel` comes once.
#[utoipa::path(
    get,
    path = "/api/ota/gateways/{gatewayId}/command",
    tag = "gateway",
    params(("gatewayId" = String, Path, example = "EDGE2026001")),
    responses(
        (status = 200, description = "The oldest command that is due, or null", body = Envelope<Option<CommandDto>>),
        (status = 400, description = "A gateway id that makes no sense", body = ErrorEnvelope),
        (status = 503, description = "Database away", body = ErrorEnvelope),
    )
)]
pub async fn command(
    State(service): State<Arc<Service>>,
    ApiPath(gateway_id): ApiPath<String>,
) -> Result<Envelope<Option<CommandDto>>, ApiError> {
    let command = service.fetch_command(&gateway_id).await?;
    Ok(Envelope::of(command.map(CommandDto)))
}
