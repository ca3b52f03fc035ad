use std::sync::Arc;

use axum::{
    extract::State,
    http::HeaderMap,
    response::{IntoResponse, Response},
};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::{CountsDto, count_columns};
use crate::{
    domain::Interval,
    http::{
        csv_answer::{self, FormatDto, wants_csv},
        envelope::{Envelope, ErrorEnvelope},
        error::ApiError,
        extract::ApiQuery,
    },
    service::{Service, StatisticsFilter},
};

#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub struct TimelineQuery {
    /// Length of a bucket; default `day`.
    #[param(inline)]
    interval: Option<IntervalDto>,
    /// Only tasks made at or after this time (RFC 3339); default: thirty buckets before the end.
    since: Option<DateTime<Utc>>,
    /// Only tasks made before this time (RFC 3339); default: up to now.
    until: Option<DateTime<Utc>>,
    /// The target version.
    version: Option<String>,
    device_type: Option<String>,
    rollout_id: Option<Uuid>,
    /// `csv` does what `Accept: text/csv` does.
    #[param(inline)]
    format: Option<FormatDto>,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = Interval)]
pub enum IntervalDto {
    Hour,
    Day,
    Week,
}

impl From<IntervalDto> for Interval {
    fn from(interval: IntervalDto) -> Self {
        match interval {
            IntervalDto::Hour => Interval::Hour,
            IntervalDto::Day => Interval::Day,
            IntervalDto::Week => Interval::Week,
        }
    }
}

/// How upgrades went over time, by when they were made.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Timeline)]
pub struct TimelineDto {
    pub interval: IntervalDto,
    pub since: DateTime<Utc>,
    /// Not itself within.
    pub until: DateTime<Utc>,
    /// In their order and without a gap; the first and the last may be cut by `since` and `until`.
    pub buckets: Vec<BucketDto>,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Bucket)]
pub struct BucketDto {
    /// A full hour, midnight, or Monday's midnight, in UTC.
    pub start: DateTime<Utc>,
    #[serde(flatten)]
    pub counts: CountsDto,
}

/// How upgrades went over time
///
/// Tasks by when they were made, in hours, days or weeks (from Monday) of UTC; at most 1000.
#[utoipa::path(
    get,
    path = "/api/ota/statistics/timeline",
    tag = "statistics",
    params(TimelineQuery),
    responses(
        (status = 200, description = "The counts", content(
            (Envelope<TimelineDto> = "application/json"),
            (String = "text/csv"),
        )),
        (status = 400, description = "A parameter that makes no sense", body = ErrorEnvelope),
        (status = 503, description = "Database away", body = ErrorEnvelope),
    )
)]
pub async fn timeline(
    State(service): State<Arc<Service>>,
    ApiQuery(query): ApiQuery<TimelineQuery>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let interval = query.interval.unwrap_or(IntervalDto::Day);
    let filter = StatisticsFilter {
        version: query.version,
        device_type: query.device_type,
        rollout_id: query.rollout_id,
        since: query.since,
        until: query.until,
    };
    let timeline = service.timeline(interval.into(), filter).await?;
    let buckets = timeline
        .buckets
        .into_iter()
        .map(|(start, counts)| BucketDto {
            start,
            counts: counts.into(),
        });
    if wants_csv(query.format, &headers) {
        return csv_answer::table("timeline", &count_columns!("start"), buckets);
    }
    let timeline = TimelineDto {
        interval,
        since: timeline.since,
        until: timeline.until,
        buckets: buckets.collect(),
    };
    Ok(Envelope::of(timeline).into_response())
}
