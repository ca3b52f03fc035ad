use chrono::{DateTime, Utc};

use super::{Result, Tx};

/// Which tasks are counted.
#[derive(Clone, Debug, Default)]
pub struct StatisticsFilter {
    /// The target version.
    pub version: Option<String>,
    pub device_type: Option<String>,
    /// Only tasks made at or after.
    pub since: Option<DateTime<Utc>>,
}

/// Tasks that share target version, status and error code.
#[derive(Clone, Debug, PartialEq, sqlx::FromRow)]
pub struct StatisticsRow {
    pub version: String,
    pub status: String,
    pub error_code: Option<String>,
    pub tasks: i64,
    /// Sum over the tasks from start to end, in seconds; zero for those not ended.
    pub seconds: f64,
}

macro_rules! statistics_sql {
    ($seconds:literal) => {
        concat!(
            "SELECT to_version AS version, status, error_code, COUNT(*) AS tasks,
             CAST(COALESCE(SUM(",
            $seconds,
            "), 0) AS DOUBLE PRECISION) AS seconds
             FROM upgrade_tasks
             WHERE (CAST($1 AS TEXT) IS NULL OR to_version = $1)
               AND (CAST($2 AS TEXT) IS NULL OR device_type = $2)
               AND created_at >= $3
             GROUP BY to_version, status, error_code"
        )
    };
}

impl Tx {
    /// Written twice: the dialects have no common way to subtract times.
    pub async fn statistics(&mut self, filter: &StatisticsFilter) -> Result<Vec<StatisticsRow>> {
        let since = filter.since.unwrap_or(DateTime::UNIX_EPOCH);
        let rows = match &mut self.inner {
            super::db::TxInner::Postgres(tx) => {
                sqlx::query_as(statistics_sql!(
                    "EXTRACT(EPOCH FROM complete_time - start_time)"
                ))
                .bind(&filter.version)
                .bind(&filter.device_type)
                .bind(since)
                .fetch_all(&mut **tx)
                .await?
            }
            super::db::TxInner::Sqlite(tx) => {
                sqlx::query_as(statistics_sql!(
                    "(julianday(complete_time) - julianday(start_time)) * 86400.0"
                ))
                .bind(&filter.version)
                .bind(&filter.device_type)
                .bind(since)
                .fetch_all(&mut **tx)
                .await?
            }
        };
        Ok(rows)
    }
}
