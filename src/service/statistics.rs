use std::collections::BTreeMap;

use super::{Result, Service};
use crate::{
    domain::TaskStatus,
    store::{StatisticsFilter, StatisticsRow},
};

/// How upgrades went.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Statistics {
    pub all: VersionStatistics,
    /// By target version.
    pub by_version: BTreeMap<String, VersionStatistics>,
    /// Failed tasks by error code.
    pub by_error_code: BTreeMap<String, i64>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct VersionStatistics {
    pub total: i64,
    pub completed: i64,
    pub failed: i64,
    /// Seconds from start to end, summed over completed tasks.
    pub completed_seconds: f64,
}

impl VersionStatistics {
    fn add(&mut self, row: &StatisticsRow) {
        self.total += row.tasks;
        if row.status == TaskStatus::Completed.as_str() {
            self.completed += row.tasks;
            self.completed_seconds += row.seconds;
        } else if row.status == TaskStatus::Failed.as_str() {
            self.failed += row.tasks;
        }
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
            completed => self.completed_seconds / completed as f64,
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
    pub async fn statistics(&self, filter: StatisticsFilter) -> Result<Statistics> {
        let mut tx = self.db.read().await?;
        let mut statistics = Statistics::default();
        for row in tx.statistics(&filter).await? {
            statistics.all.add(&row);
            statistics
                .by_version
                .entry(row.version.clone())
                .or_default()
                .add(&row);
            if row.status == TaskStatus::Failed.as_str() {
                let code = row.error_code.unwrap_or_default();
                *statistics.by_error_code.entry(code).or_default() += row.tasks;
            }
        }
        Ok(statistics)
    }
}
