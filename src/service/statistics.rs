use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{Error, Result, Service};
use crate::{
    domain::{Interval, TaskStatus},
    store::{Percentiles, StatisticsFilter, StatisticsRow, TimelineRow},
};

/// Buckets of a timeline at most.
const BUCKETS_MAX: i64 = 1000;
/// Buckets of a timeline that does not say since when.
const BUCKETS_DEFAULT: i64 = 30;
/// The last second that both databases compare as it should be.
const LATEST_SECOND: i64 = 253_402_300_799;

/// How upgrades went.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Statistics {
    pub all: Counts,
    /// By target version.
    pub by_version: BTreeMap<String, Counts>,
    /// Tasks of rollouts.
    pub by_rollout: BTreeMap<Uuid, Counts>,
    /// Failed tasks by error code.
    pub by_error_code: BTreeMap<String, i64>,
}

/// How upgrades went over time, by when they were made.
#[derive(Clone, Debug, PartialEq)]
pub struct Timeline {
    pub interval: Interval,
    pub since: DateTime<Utc>,
    /// Not itself within.
    pub until: DateTime<Utc>,
    /// Without a gap, by when they begin.
    pub buckets: Vec<(DateTime<Utc>, Counts)>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Counts {
    pub total: i64,
    pub completed: i64,
    pub failed: i64,
    pub cancelled: i64,
    /// Not ended.
    pub active: i64,
    /// Completed, and proven by a heartbeat.
    pub confirmed: i64,
    /// Milliseconds from start to end, summed over completed tasks.
    pub completed_ms: i64,
    /// How long completed tasks took; `None` without one.
    pub percentiles: Option<Percentiles>,
}

impl Counts {
    fn add(&mut self, status: &str, tasks: i64, confirmed: i64, duration_ms: i64) {
        self.total += tasks;
        self.confirmed += confirmed;
        match TaskStatus::parse(status) {
            Some(TaskStatus::Completed) => {
                self.completed += tasks;
                self.completed_ms += duration_ms;
            }
            Some(TaskStatus::Failed) => self.failed += tasks,
            Some(TaskStatus::Cancelled) => self.cancelled += tasks,
            _ => self.active += tasks,
        }
    }

    fn add_row(&mut self, row: &StatisticsRow) {
        self.add(&row.status, row.tasks, row.confirmed, row.duration_ms);
    }

    fn add_timeline_row(&mut self, row: &TimelineRow) {
        self.add(&row.status, row.tasks, row.confirmed, row.duration_ms);
    }

    /// Percent of all tasks that completed.
    pub fn success_rate(&self) -> f64 {
        percent(self.completed, self.total)
    }

    /// Percent of all tasks that failed.
    pub fn failure_rate(&self) -> f64 {
        percent(self.failed, self.total)
    }

    /// Seconds a completed task took on average.
    pub fn avg_duration(&self) -> f64 {
        match self.completed {
            0 => 0.0,
            completed => self.completed_ms as f64 / 1000.0 / completed as f64,
        }
    }
}

fn percent(part: i64, whole: i64) -> f64 {
    match whole {
        0 => 0.0,
        whole => part as f64 * 100.0 / whole as f64,
    }
}

impl Service {
    pub async fn statistics(&self, mut filter: StatisticsFilter) -> Result<Statistics> {
        check_period(&mut filter)?;
        let mut tx = self.db.read().await?;
        let mut statistics = Statistics::default();
        for row in tx.statistics(&filter).await? {
            statistics.all.add_row(&row);
            if let Some(rollout_id) = row.rollout_id {
                let counts = statistics.by_rollout.entry(rollout_id).or_default();
                counts.add_row(&row);
            }
            let counts = statistics.by_version.entry(row.version.clone());
            counts.or_default().add_row(&row);
            if row.status == TaskStatus::Failed.as_str() {
                let code = row.error_code.unwrap_or_default();
                *statistics.by_error_code.entry(code).or_default() += row.tasks;
            }
        }
        statistics.all.percentiles = tx.percentiles(&filter).await?;
        for (version, percentiles) in tx.percentiles_by_version(&filter).await? {
            if let Some(counts) = statistics.by_version.get_mut(&version) {
                counts.percentiles = Some(percentiles);
            }
        }
        if !statistics.by_rollout.is_empty() {
            for (rollout_id, percentiles) in tx.percentiles_by_rollout(&filter).await? {
                let counts = rollout_id.and_then(|id| statistics.by_rollout.get_mut(&id));
                if let Some(counts) = counts {
                    counts.percentiles = Some(percentiles);
                }
            }
        }
        Ok(statistics)
    }

    /// Without `since`, the last thirty buckets; without `until`, up to now.
    pub async fn timeline(
        &self,
        interval: Interval,
        mut filter: StatisticsFilter,
    ) -> Result<Timeline> {
        let now = self.clock.now();
        check_period(&mut filter)?;
        let until = filter.until.unwrap_or(now);
        // What is made this very moment is in; what is made at `until` is not.
        let last = match filter.until {
            Some(until) => interval.bucket(until - chrono::TimeDelta::milliseconds(1)),
            None => interval.bucket(now),
        };
        let beyond = || Error::invalid("invalid_period", "since and until are beyond the calendar");
        let since = match filter.since {
            Some(since) => since,
            None => interval
                .start(last - (BUCKETS_DEFAULT - 1))
                .ok_or_else(beyond)?,
        };
        if since > until {
            return Err(period_refused(since, until));
        }
        let first = interval.bucket(since);
        let count = last - first + 1;
        if count > BUCKETS_MAX {
            let unit = interval.as_str();
            return Err(Error::invalid(
                "too_many_buckets",
                format!(
                    "from {since} to {until} are {count} buckets of one {unit}, more than \
                     {BUCKETS_MAX}: ask for a longer interval or a shorter time"
                ),
            ));
        }
        filter.since = Some(since);
        let mut buckets = Vec::new();
        for bucket in first..=last {
            buckets.push((
                interval.start(bucket).ok_or_else(beyond)?,
                Counts::default(),
            ));
        }
        let index = |bucket: i64| usize::try_from(bucket - first).unwrap_or(usize::MAX);
        let mut tx = self.db.read().await?;
        for row in tx.timeline(interval, &filter).await? {
            if let Some((_, counts)) = buckets.get_mut(index(row.bucket)) {
                counts.add_timeline_row(&row);
            }
        }
        for (bucket, percentiles) in tx.percentiles_by_bucket(interval, &filter).await? {
            if let Some((_, counts)) = buckets.get_mut(index(bucket)) {
                counts.percentiles = Some(percentiles);
            }
        }
        Ok(Timeline {
            interval,
            since,
            until,
            buckets,
        })
    }
}

/// Refuses a period that ends before it begins. What lies beyond the calendar of a database is
/// moved to its edge: there are no tasks out there.
fn check_period(filter: &mut StatisticsFilter) -> Result<()> {
    let latest = DateTime::from_timestamp(LATEST_SECOND, 0).unwrap_or(DateTime::UNIX_EPOCH);
    for time in [&mut filter.since, &mut filter.until] {
        *time = time.map(|time| time.clamp(DateTime::UNIX_EPOCH, latest));
    }
    match (filter.since, filter.until) {
        (Some(since), Some(until)) if since > until => Err(period_refused(since, until)),
        _ => Ok(()),
    }
}

fn period_refused(since: DateTime<Utc>, until: DateTime<Utc>) -> Error {
    Error::invalid(
        "invalid_period",
        format!("since {since} is later than until {until}: exchange them"),
    )
}
