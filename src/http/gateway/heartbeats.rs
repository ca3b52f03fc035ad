use std::sync::Arc;

use axum::extract::State;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::{
    domain::KeptHeartbeat,
    http::{
        envelope::{Envelope, ErrorEnvelope},
        error::ApiError,
        extract::{ApiPath, ApiQuery},
    },
    service::{HeartbeatFilter, HeartbeatHistory, Service},
};

/// Heartbeats of an answer: two weeks of one each ten minutes.
const HEARTBEATS_MAX: i64 = 2000;

#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub struct HeartbeatsQuery {
    /// Only intervals that begin at or after this time (RFC 3339).
    since: Option<DateTime<Utc>>,
    /// Only intervals that begin before this time (RFC 3339).
    until: Option<DateTime<Utc>>,
}

/// What a gateway said of itself over time.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Heartbeats)]
pub struct HeartbeatsDto {
    /// Of each so many seconds the first heartbeat is kept; 0: none is.
    pub interval_seconds: i64,
    /// Oldest first; the newest 2000. Intervals without a heartbeat are left out.
    pub items: Vec<HeartbeatDto>,
}

/// A heartbeat that is kept.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Heartbeat)]
pub struct HeartbeatDto {
    /// When its interval began.
    pub at: DateTime<Utc>,
    pub firmware_version: String,
    /// Percent.
    pub battery: Option<f32>,
    /// Bytes.
    pub free_heap: Option<i64>,
    /// dBm.
    pub rssi: Option<f32>,
}

impl From<HeartbeatHistory> for HeartbeatsDto {
    fn from(history: HeartbeatHistory) -> Self {
        HeartbeatsDto {
            interval_seconds: history
                .interval
                .map_or(0, |interval| interval.num_seconds()),
            items: history
                .heartbeats
                .into_iter()
                .map(HeartbeatDto::from)
                .collect(),
        }
    }
}

impl From<KeptHeartbeat> for HeartbeatDto {
    fn from(heartbeat: KeptHeartbeat) -> Self {
        HeartbeatDto {
            at: heartbeat.at,
            firmware_version: heartbeat.firmware_version,
            battery: heartbeat.vitals.battery,
            free_heap: heartbeat.vitals.free_heap,
            rssi: heartbeat.vitals.rssi,
        }
    }
}

/// A gateway's heartbeats, for charts
///
/// Of each interval the first one.
#[utoipa::path(
    get,
    path = "/api/ota/gateways/{gatewayId}/heartbeats",
    tag = "gateway",
    params(("gatewayId" = String, Path, example = "HQ2026TEST001"), HeartbeatsQuery),
    responses(
        (status = 200, description = "The heartbeats", body = Envelope<HeartbeatsDto>),
        (status = 400, description = "A parameter that makes no sense", body = ErrorEnvelope),
        (status = 404, description = "Never heard of", body = ErrorEnvelope),
        (status = 503, description = "Database away", body = ErrorEnvelope),
    )
)]
pub async fn heartbeats(
    State(service): State<Arc<Service>>,
    ApiPath(gateway_id): ApiPath<String>,
    ApiQuery(query): ApiQuery<HeartbeatsQuery>,
) -> Result<Envelope<HeartbeatsDto>, ApiError> {
    let history = service
        .heartbeats(&HeartbeatFilter {
            gateway_id,
            since: query.since,
            until: query.until,
            limit: HEARTBEATS_MAX,
        })
        .await?;
    Ok(Envelope::of(history.into()))
}
