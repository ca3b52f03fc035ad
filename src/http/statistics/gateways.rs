use std::sync::Arc;

use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    http::{
        envelope::{Envelope, ErrorEnvelope},
        error::ApiError,
        extract::ApiQuery,
        gateway::GatewaysQuery,
    },
    service::{DeviceTypeStatistics, GatewayCount, GatewayStatistics, Service},
};

/// Who is out there.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = GatewayStatistics)]
pub struct GatewayStatisticsDto {
    pub total: i64,
    pub online: i64,
    /// Those for which something newer is released.
    pub need_upgrade: i64,
    /// By name.
    pub device_types: Vec<DeviceTypeStatisticsDto>,
}

/// The gateways of a device type.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = DeviceTypeStatistics)]
pub struct DeviceTypeStatisticsDto {
    pub device_type: String,
    pub total: i64,
    pub online: i64,
    /// Those for which something newer is released.
    pub need_upgrade: i64,
    /// The latest release; null without one.
    pub latest_version: Option<String>,
    /// Highest first by SemVer precedence, then those that are not SemVer as texts.
    pub versions: Vec<VersionStatisticsDto>,
}

/// The gateways of a device type that run a version.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = VersionStatistics)]
pub struct VersionStatisticsDto {
    /// Null, and last, for those that never said.
    pub version: Option<String>,
    pub total: i64,
    pub online: i64,
}

impl From<GatewayStatistics> for GatewayStatisticsDto {
    fn from(statistics: GatewayStatistics) -> Self {
        GatewayStatisticsDto {
            total: statistics.all.total,
            online: statistics.all.online,
            need_upgrade: statistics.all.need_upgrade,
            device_types: statistics
                .device_types
                .into_iter()
                .map(DeviceTypeStatisticsDto::from)
                .collect(),
        }
    }
}

impl From<DeviceTypeStatistics> for DeviceTypeStatisticsDto {
    fn from(statistics: DeviceTypeStatistics) -> Self {
        DeviceTypeStatisticsDto {
            device_type: statistics.device_type,
            total: statistics.all.total,
            online: statistics.all.online,
            need_upgrade: statistics.all.need_upgrade,
            latest_version: statistics.latest_version,
            versions: statistics
                .versions
                .into_iter()
                .map(VersionStatisticsDto::from)
                .collect(),
        }
    }
}

impl From<GatewayCount> for VersionStatisticsDto {
    fn from(count: GatewayCount) -> Self {
        VersionStatisticsDto {
            version: count.current_version,
            total: count.total,
            online: count.online,
        }
    }
}

/// How many gateways run what
///
/// By device type and version, with the filters of the list.
#[utoipa::path(
    get,
    path = "/api/ota/statistics/gateways",
    tag = "statistics",
    params(GatewaysQuery),
    responses(
        (status = 200, description = "The counts", body = Envelope<GatewayStatisticsDto>),
        (status = 400, description = "A parameter that makes no sense", body = ErrorEnvelope),
        (status = 503, description = "Database away", body = ErrorEnvelope),
    )
)]
pub async fn gateways(
    State(service): State<Arc<Service>>,
    ApiQuery(gateways): ApiQuery<GatewaysQuery>,
) -> Result<Envelope<GatewayStatisticsDto>, ApiError> {
    let statistics = service.gateway_statistics(&gateways.query()?).await?;
    Ok(Envelope::of(statistics.into()))
}
