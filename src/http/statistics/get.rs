use std::{collections::BTreeMap, sync::Arc};

use axum::{
    extract::State,
    http::HeaderMap,
    response::{IntoResponse, Response},
};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::{CountsDto, count_columns};
use crate::{
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
pub struct StatisticsQuery {
    /// The target version.
    version: Option<String>,
    device_type: Option<String>,
    rollout_id: Option<Uuid>,
    /// Only tasks made at or after this time (RFC 3339).
    since: Option<DateTime<Utc>>,
    /// Only tasks made before this time (RFC 3339).
    until: Option<DateTime<Utc>>,
    /// `csv` does what `Accept: text/csv` does.
    #[param(inline)]
    format: Option<FormatDto>,
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
    /// Tasks of rollouts, by `rolloutId`.
    pub by_rollout: BTreeMap<Uuid, CountsDto>,
    /// Failed tasks by error code.
    pub by_error_code: BTreeMap<String, i64>,
}

/// How upgrades went
///
/// As CSV each row has in `group` what it counts: `all`, a `version`, a `rollout` or an
/// `errorCode`; `key` names it.
#[utoipa::path(
    get,
    path = "/api/ota/statistics",
    tag = "statistics",
    params(StatisticsQuery),
    responses(
        (status = 200, description = "The counts", content(
            (Envelope<StatisticsDto> = "application/json"),
            (String = "text/csv"),
        )),
        (status = 400, description = "A parameter that makes no sense", body = ErrorEnvelope),
        (status = 503, description = "Database away", body = ErrorEnvelope),
    )
)]
pub async fn get(
    State(service): State<Arc<Service>>,
    ApiQuery(query): ApiQuery<StatisticsQuery>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let statistics = service
        .statistics(StatisticsFilter {
            version: query.version,
            device_type: query.device_type,
            rollout_id: query.rollout_id,
            since: query.since,
            until: query.until,
        })
        .await?;
    let statistics = StatisticsDto {
        all: statistics.all.into(),
        by_version: statistics
            .by_version
            .into_iter()
            .map(|(version, counts)| (version, counts.into()))
            .collect(),
        by_rollout: statistics
            .by_rollout
            .into_iter()
            .map(|(rollout_id, counts)| (rollout_id, counts.into()))
            .collect(),
        by_error_code: statistics.by_error_code,
    };
    match wants_csv(query.format, &headers) {
        true => csv_answer::table(
            "statistics",
            &count_columns!("group", "key"),
            rows(statistics),
        ),
        false => Ok(Envelope::of(statistics).into_response()),
    }
}

#[derive(Serialize)]
struct Row {
    group: &'static str,
    key: String,
    #[serde(flatten)]
    counts: serde_json::Value,
}

fn rows(statistics: StatisticsDto) -> Vec<Row> {
    let row = |group, key, counts: CountsDto| Row {
        group,
        key,
        counts: json!(counts),
    };
    let mut rows = vec![row("all", String::new(), statistics.all)];
    rows.extend(
        statistics
            .by_version
            .into_iter()
            .map(|(version, counts)| row("version", version, counts)),
    );
    rows.extend(
        statistics
            .by_rollout
            .into_iter()
            .map(|(rollout_id, counts)| row("rollout", rollout_id.to_string(), counts)),
    );
    rows.extend(
        statistics
            .by_error_code
            .into_iter()
            .map(|(key, tasks)| Row {
                group: "errorCode",
                key,
                counts: json!({ "total": tasks, "failed": tasks }),
            }),
    );
    rows
}
