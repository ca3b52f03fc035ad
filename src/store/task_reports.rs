use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{Result, Tx};
use crate::domain::{LastReport, TaskStatus};

impl Tx {
    /// Keeps what gateways reported of tasks; the same report again is kept once.
    pub async fn put_task_reports(
        &mut self,
        reports: &[(Uuid, TaskStatus, i16)],
        now: DateTime<Utc>,
    ) -> Result<()> {
        execute_rows!(
            self,
            reports,
            |(task_id, state, progress)| {
                task_id: *task_id,
                state: state.as_str(),
                progress: *progress,
                received_at: now,
            },
            "INSERT INTO task_reports (task_id, state, progress, received_at)
             SELECT task_id, state, progress, received_at FROM v WHERE TRUE
             ON CONFLICT (task_id, state, progress) DO NOTHING",
        );
        Ok(())
    }

    /// What a gateway reported of a task: state and progress, in the order of arrival.
    pub async fn task_reports(&mut self, task_id: Uuid) -> Result<Vec<(String, i16)>> {
        Ok(on!(self, |conn| sqlx::query_as::<_, (String, i16)>(
            "SELECT state, progress FROM task_reports WHERE task_id = $1
             ORDER BY received_at, progress",
        )
        .bind(task_id)
        .fetch_all(conn)
        .await)?)
    }

    /// The newest report of a task that was kept.
    pub async fn last_report(&mut self, task_id: Uuid) -> Result<Option<LastReport>> {
        let row = on!(self, |conn| {
            sqlx::query_as::<_, (String, i16, DateTime<Utc>)>(
                "SELECT state, progress, received_at FROM task_reports WHERE task_id = $1
             ORDER BY received_at DESC, progress DESC LIMIT 1",
            )
            .bind(task_id)
            .fetch_optional(conn)
            .await
        })?;
        Ok(row.map(|(state, progress, received_at)| LastReport {
            state,
            progress,
            received_at,
        }))
    }
}
