use std::{collections::BTreeMap, sync::Arc};

use axum::extract::State;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::{
    http::{
        envelope::{Envelope, ErrorEnvelope},
        error::ApiError,
        extract::ApiQuery,
    },
    service::{Service, StatisticsFilter, VersionStatistics},
};

#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub struct StatisticsQuery {
    /// The target version.
    version: Option<String>,
    device_type: Option<String>,
    /// Only tasks made at or after this time (RFC 3339).
    since: Option<DateTime<Utc>>,
}

/// How upgrades went.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Statistics)]
pub struct StatisticsDto {
    #[serde(flatten)]
    pub all: CountsDto,
    /// By target version.
    pub by_version: BTreeMap<String, CountsDto>,
    /// Failed tasks by error code.
    pub by_error_code: BTreeMap<String, i64>,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Counts)]
pub struct CountsDto {
    pub total: i64,
    pub completed: i64,
    pub failed: i64,
    /// Of all tasks.
    #[schema(examples("98.50%"))]
    pub success_rate: String,
    /// Of all tasks.
    #[schema(examples("1.50%"))]
    pub failure_rate: String,
    /// Seconds a completed task took on average.
    pub avg_duration: f64,
}

impl From<VersionStatistics> for CountsDto {
    fn from(counts: VersionStatistics) -> Self {
        CountsDto {
            total: counts.total,
            completed: counts.completed,
            failed: counts.failed,
            success_rate: format!("{:.2}%", counts.success_rate()),
            failure_rate: format!("{:.2}%", counts.failure_rate()),
            avg_duration: (counts.avg_duration() * 1000.0).round() / 1000.0,
        }
    }
}

/// How upgrades went
#[utoipa::path(
    get,
    path = "/api/ota/statistics",
    tag = "statistics",
    params(StatisticsQuery),
    responses(
        (status = 200, description = "The counts", body = Envelope<StatisticsDto>),
        (status = 400, description = "A parameter that makes no sense", body = ErrorEnvelope),
        (status = 503, description = "Database away", body = ErrorEnvelope),
    )
)]
pub async fn get(
    State(service): State<Arc<Service>>,
    ApiQuery(query): ApiQuery<StatisticsQuery>,
) -> Result<Envelope<StatisticsDto>, ApiError> {
    let statistics = service
        .statistics(StatisticsFilter {
            version: query.version,
            device_type: query.device_type,
            since: query.since,
        })
        .await?;
    Ok(Envelope::of(StatisticsDto {
        all: statistics.all.into(),
        by_version: statistics
            .by_version
            .into_iter()
            .map(|(version, counts)| (version, counts.into()))
            .collect(),
        by_error_code: statistics.by_error_code,
    }))
}
