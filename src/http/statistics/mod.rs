//! `/api/ota/statistics`

pub mod gateways;
pub mod get;
pub mod timeline;

use serde::Serialize;
use utoipa::ToSchema;

use crate::service::Counts;

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Counts)]
pub struct CountsDto {
    pub total: i64,
    pub completed: i64,
    pub failed: i64,
    pub cancelled: i64,
    /// Not ended.
    pub active: i64,
    /// Completed, and proven by a heartbeat with the target version.
    pub confirmed: i64,
    /// Of all tasks.
    #[schema(examples("98.50%"))]
    pub success_rate: String,
    /// Of all tasks.
    #[schema(examples("1.50%"))]
    pub failure_rate: String,
    /// Seconds a completed task took on average.
    pub avg_duration: f64,
    /// Half of the completed tasks took this many seconds or less, by nearest rank; null without
    /// one.
    pub duration_p50: Option<f64>,
    /// As `durationP50`, for 90 percent.
    pub duration_p90: Option<f64>,
    /// As `durationP50`, for 99 percent.
    pub duration_p99: Option<f64>,
}

/// Columns of [`CountsDto`] in CSV, after those that name what is counted.
macro_rules! count_columns {
    ($($naming:literal),+) => {
        [
            $($naming,)+
            "total", "completed", "failed", "cancelled", "active", "confirmed", "successRate",
            "failureRate", "avgDuration", "durationP50", "durationP90", "durationP99",
        ]
    };
}
use count_columns;

impl From<Counts> for CountsDto {
    fn from(counts: Counts) -> Self {
        let seconds = |ms: i64| ms as f64 / 1000.0;
        let percentiles = counts.percentiles;
        CountsDto {
            total: counts.total,
            completed: counts.completed,
            failed: counts.failed,
            cancelled: counts.cancelled,
            active: counts.active,
            confirmed: counts.confirmed,
            success_rate: format!("{:.2}%", counts.success_rate()),
            failure_rate: format!("{:.2}%", counts.failure_rate()),
            avg_duration: (counts.avg_duration() * 1000.0).round() / 1000.0,
            duration_p50: percentiles.map(|percentiles| seconds(percentiles.p50)),
            duration_p90: percentiles.map(|percentiles| seconds(percentiles.p90)),
            duration_p99: percentiles.map(|percentiles| seconds(percentiles.p99)),
        }
    }
}
