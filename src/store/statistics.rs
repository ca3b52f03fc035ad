use chrono::{DateTime, Utc};
use sqlx::{
    Database, Encode, FromRow, Postgres, QueryBuilder, Sqlite, Type, postgres::PgRow,
    sqlite::SqliteRow,
};
use uuid::Uuid;

use super::{Result, Tx, db::TxInner};
use crate::domain::Interval;

/// Which tasks are counted.
#[derive(Clone, Debug, Default)]
pub struct StatisticsFilter {
    /// The target version.
    pub version: Option<String>,
    pub device_type: Option<String>,
    pub rollout_id: Option<Uuid>,
    /// Only tasks made at or after.
    pub since: Option<DateTime<Utc>>,
    /// Only tasks made before.
    pub until: Option<DateTime<Utc>>,
}

/// Tasks that share target version, rollout, status and error code.
#[derive(Clone, Debug, PartialEq, sqlx::FromRow)]
pub struct StatisticsRow {
    pub version: String,
    pub rollout_id: Option<Uuid>,
    pub status: String,
    pub error_code: Option<String>,
    pub tasks: i64,
    /// Those that a heartbeat proved.
    pub confirmed: i64,
    /// Sum over the tasks from start to end; zero for those not ended.
    pub duration_ms: i64,
}

/// Tasks of one status that were made within one bucket of time.
#[derive(Clone, Debug, PartialEq, sqlx::FromRow)]
pub struct TimelineRow {
    /// As [`Interval::bucket`] numbers them.
    pub bucket: i64,
    pub status: String,
    pub tasks: i64,
    /// Those that a heartbeat proved.
    pub confirmed: i64,
    /// Sum over the tasks from start to end; zero for those not ended.
    pub duration_ms: i64,
}

/// How long completed tasks took, in milliseconds: p percent of them took this or less, by nearest
/// rank.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Percentiles {
    pub p50: i64,
    pub p90: i64,
    pub p99: i64,
}

/// What a group of equal rows is counted by.
const SUMS: &str = "COUNT(*) AS tasks, COUNT(confirmed_at) AS confirmed, \
                    CAST(COALESCE(SUM(duration_ms), 0) AS BIGINT) AS duration_ms";

/// Each set condition is a condition of its own, so that a plan can be made for what is asked.
fn push_filter<DB: Database>(query: &mut QueryBuilder<DB>, filter: &StatisticsFilter)
where
    for<'t> &'t str: Encode<'t, DB> + Type<DB>,
    for<'t> DateTime<Utc>: Encode<'t, DB> + Type<DB>,
    for<'t> Uuid: Encode<'t, DB> + Type<DB>,
{
    query.push(" WHERE 1 = 1");
    if let Some(version) = &filter.version {
        query.push(" AND to_version = ").push_bind(version.as_str());
    }
    if let Some(device_type) = &filter.device_type {
        query
            .push(" AND device_type = ")
            .push_bind(device_type.as_str());
    }
    if let Some(rollout_id) = filter.rollout_id {
        query.push(" AND rollout_id = ").push_bind(rollout_id);
    }
    if let Some(since) = filter.since {
        query.push(" AND created_at >= ").push_bind(since);
    }
    if let Some(until) = filter.until {
        query.push(" AND created_at < ").push_bind(until);
    }
}

impl Tx {
    pub async fn statistics(&mut self, filter: &StatisticsFilter) -> Result<Vec<StatisticsRow>> {
        Ok(on!(self, |conn| {
            let mut query = QueryBuilder::new(format!(
                "SELECT to_version AS version, rollout_id, status, error_code, {SUMS}
                 FROM upgrade_tasks"
            ));
            push_filter(&mut query, filter);
            query.push(" GROUP BY to_version, rollout_id, status, error_code");
            query.build_query_as().fetch_all(conn).await
        })?)
    }

    /// How many tasks have not ended or are not proven yet, by status.
    pub async fn count_open_tasks(&mut self) -> Result<Vec<(String, i64)>> {
        Ok(on!(self, |conn| sqlx::query_as::<_, (String, i64)>(
            "SELECT status, COUNT(*) FROM upgrade_tasks
             WHERE deadline_at IS NOT NULL GROUP BY status",
        )
        .fetch_all(conn)
        .await)?)
    }

    /// How many rollouts there are, by state.
    pub async fn count_rollouts(&mut self) -> Result<Vec<(String, i64)>> {
        Ok(on!(self, |conn| sqlx::query_as::<_, (String, i64)>(
            "SELECT state, COUNT(*) FROM rollouts GROUP BY state",
        )
        .fetch_all(conn)
        .await)?)
    }

    /// Only buckets that have tasks.
    pub async fn timeline(
        &mut self,
        interval: Interval,
        filter: &StatisticsFilter,
    ) -> Result<Vec<TimelineRow>> {
        let bucket = self.bucket(interval);
        Ok(on!(self, |conn| {
            let mut query = QueryBuilder::new(format!(
                "SELECT {bucket} AS bucket, status, {SUMS} FROM upgrade_tasks"
            ));
            push_filter(&mut query, filter);
            // By place: PostgreSQL takes an expression with parameters for another one each time.
            query.push(" GROUP BY 1, 2");
            query.build_query_as().fetch_all(conn).await
        })?)
    }

    /// Of all tasks; `None` without a completed one.
    pub async fn percentiles(&mut self, filter: &StatisticsFilter) -> Result<Option<Percentiles>> {
        let all = self
            .percentiles_by::<String>("CAST('' AS TEXT)", filter)
            .await?;
        Ok(all.first().map(|(_, percentiles)| *percentiles))
    }

    /// By target version.
    pub async fn percentiles_by_version(
        &mut self,
        filter: &StatisticsFilter,
    ) -> Result<Vec<(String, Percentiles)>> {
        self.percentiles_by("to_version", filter).await
    }

    /// By rollout; `None` is for those without.
    pub async fn percentiles_by_rollout(
        &mut self,
        filter: &StatisticsFilter,
    ) -> Result<Vec<(Option<Uuid>, Percentiles)>> {
        self.percentiles_by("rollout_id", filter).await
    }

    /// By bucket of time.
    pub async fn percentiles_by_bucket(
        &mut self,
        interval: Interval,
        filter: &StatisticsFilter,
    ) -> Result<Vec<(i64, Percentiles)>> {
        let bucket = self.bucket(interval);
        self.percentiles_by(&bucket, filter).await
    }

    /// Written twice: the dialects have no common way from a time to seconds.
    fn bucket(&self, interval: Interval) -> String {
        let (seconds, offset) = (interval.seconds(), interval.offset_seconds());
        match self.inner {
            TxInner::Postgres(_) => format!(
                "CAST(FLOOR((EXTRACT(EPOCH FROM created_at) + {offset}) / {seconds}) AS BIGINT)"
            ),
            TxInner::Sqlite(_) => {
                format!("(CAST(strftime('%s', created_at) AS INTEGER) + {offset}) / {seconds}")
            }
        }
    }

    /// One row for each value of the expression `part` that has completed tasks.
    async fn percentiles_by<K>(
        &mut self,
        part: &str,
        filter: &StatisticsFilter,
    ) -> Result<Vec<(K, Percentiles)>>
    where
        K: Send + Unpin,
        (K, i64, i64, i64):
            for<'r> FromRow<'r, PgRow> + for<'r> FromRow<'r, SqliteRow> + Send + Unpin,
    {
        let rows: Vec<(K, i64, i64, i64)> = match &mut self.inner {
            TxInner::Postgres(tx) => {
                let mut query = percentiles_query::<Postgres>(part, filter);
                query.build_query_as().fetch_all(&mut **tx).await?
            }
            TxInner::Sqlite(tx) => {
                let mut query = percentiles_query::<Sqlite>(part, filter);
                query.build_query_as().fetch_all(&mut **tx).await?
            }
        };
        Ok(rows
            .into_iter()
            .map(|(part, p50, p90, p99)| (part, Percentiles { p50, p90, p99 }))
            .collect())
    }
}

fn percentiles_query<DB: Database>(part: &str, filter: &StatisticsFilter) -> QueryBuilder<DB>
where
    for<'t> &'t str: Encode<'t, DB> + Type<DB>,
    for<'t> DateTime<Utc>: Encode<'t, DB> + Type<DB>,
    for<'t> Uuid: Encode<'t, DB> + Type<DB>,
{
    let mut query = QueryBuilder::new(format!(
        "WITH ranked AS (
             SELECT part, duration_ms,
                 ROW_NUMBER() OVER (PARTITION BY part ORDER BY duration_ms) AS place,
                 COUNT(*) OVER (PARTITION BY part) AS places
             FROM (SELECT {part} AS part, duration_ms FROM upgrade_tasks"
    ));
    push_filter(&mut query, filter);
    query.push(" AND status = 'completed' AND duration_ms IS NOT NULL) AS durations) SELECT part");
    for percent in [50, 90, 99] {
        query.push(format!(
            ", MAX(CASE WHEN place = (places * {percent} + 99) / 100 THEN duration_ms END)"
        ));
    }
    query.push(" FROM ranked GROUP BY part");
    query
}
