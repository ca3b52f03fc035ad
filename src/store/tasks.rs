use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use chrono::{DateTime, Utc};
use sqlx::{QueryBuilder, types::Json};
use tokio::time::timeout;
use uuid::Uuid;

use super::{Db, Error, Result, Tx};
use crate::domain::{PackageChange, Task, TaskStatus};

macro_rules! columns {
    () => {
        "task_id, gateway_id, device_type, from_version, to_version, firmware_url, md5, sha256, \
         file_size, msg_id, status, progress, error_code, error_message, force_upgrade, \
         scheduled_at, start_time, complete_time, confirmed_at, deadline_at, \
         completed_timestamp, rollout_id, timeout_seconds, not_before, path, packages, \
         duration_ms, created_at, updated_at"
    };
}

#[derive(sqlx::FromRow)]
struct TaskRow {
    task_id: Uuid,
    gateway_id: String,
    device_type: String,
    from_version: Option<String>,
    to_version: String,
    firmware_url: String,
    md5: String,
    sha256: String,
    file_size: i64,
    msg_id: String,
    status: String,
    progress: i16,
    error_code: Option<String>,
    error_message: Option<String>,
    force_upgrade: bool,
    scheduled_at: Option<DateTime<Utc>>,
    start_time: DateTime<Utc>,
    complete_time: Option<DateTime<Utc>>,
    confirmed_at: Option<DateTime<Utc>>,
    deadline_at: Option<DateTime<Utc>>,
    completed_timestamp: Option<i64>,
    rollout_id: Option<Uuid>,
    timeout_seconds: Option<i64>,
    not_before: Option<DateTime<Utc>>,
    path: Option<Json<Vec<String>>>,
    packages: Option<Json<Vec<PackageChange>>>,
    duration_ms: Option<i64>,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

impl TryFrom<TaskRow> for Task {
    type Error = Error;

    fn try_from(row: TaskRow) -> Result<Task> {
        Ok(Task {
            status: TaskStatus::parse(&row.status).ok_or_else(|| Error::BadRow {
                table: "upgrade_tasks",
                column: "status",
                row: row.task_id.to_string(),
                value: row.status.clone(),
            })?,
            task_id: row.task_id,
            gateway_id: row.gateway_id,
            device_type: row.device_type,
            from_version: row.from_version,
            to_version: row.to_version,
            firmware_url: row.firmware_url,
            md5: row.md5,
            sha256: row.sha256,
            file_size: row.file_size,
            msg_id: row.msg_id,
            progress: row.progress,
            error_code: row.error_code,
            error_message: row.error_message,
            force_upgrade: row.force_upgrade,
            scheduled_at: row.scheduled_at,
            start_time: row.start_time,
            complete_time: row.complete_time,
            confirmed_at: row.confirmed_at,
            deadline_at: row.deadline_at,
            completed_timestamp: row.completed_timestamp,
            rollout_id: row.rollout_id,
            timeout_seconds: row.timeout_seconds,
            not_before: row.not_before,
            path: row.path.map(|path| path.0).unwrap_or_default(),
            packages: row.packages.map(|packages| packages.0).unwrap_or_default(),
            duration_ms: row.duration_ms,
            created_at: row.created_at,
            updated_at: row.updated_at,
        })
    }
}

/// Which tasks to list, newest first.
#[derive(Clone, Debug)]
pub struct TaskFilter {
    pub gateway_id: Option<String>,
    pub status: Option<TaskStatus>,
    /// The target version.
    pub version: Option<String>,
    pub rollout_id: Option<Uuid>,
    /// Only those that failed with it.
    pub error_code: Option<String>,
    /// Only those made before this one.
    pub before: Uuid,
    pub limit: i64,
}

/// Wait for the newest tasks of some gateways before the database counts as unavailable: whoever
/// polls would wait behind who waits.
const NEWEST_TIMEOUT: Duration = Duration::from_secs(5);

impl Db {
    /// The newest task of each of these gateways that has one, by gateway. One statement sees one
    /// moment: there is no transaction around it.
    pub async fn newest_tasks(&self, gateway_ids: &[String]) -> Result<HashMap<String, Task>> {
        let fetched = async {
            match self {
                Db::Postgres(pool) => {
                    sqlx::query_as::<_, TaskRow>(concat!(
                        "SELECT ",
                        columns!(),
                        " FROM unnest($1::text[]) AS asked (id) CROSS JOIN LATERAL
                          (SELECT * FROM upgrade_tasks WHERE gateway_id = asked.id
                            ORDER BY task_id DESC LIMIT 1) AS newest"
                    ))
                    .bind(gateway_ids)
                    .fetch_all(pool)
                    .await
                }
                Db::Sqlite { readers, .. } => {
                    sqlx::query_as::<_, TaskRow>(concat!(
                        "WITH asked (id) AS (SELECT value FROM json_each($1)) SELECT ",
                        columns!(),
                        " FROM asked JOIN upgrade_tasks ON task_id =
                          (SELECT t.task_id FROM upgrade_tasks AS t WHERE t.gateway_id = asked.id
                            ORDER BY t.task_id DESC LIMIT 1)"
                    ))
                    .bind(Json(gateway_ids))
                    .fetch_all(readers)
                    .await
                }
            }
        };
        let fetched = timeout(NEWEST_TIMEOUT, fetched).await;
        fetched
            .unwrap_or(Err(sqlx::Error::PoolTimedOut))?
            .into_iter()
            .map(|row| Ok((row.gateway_id.clone(), Task::try_from(row)?)))
            .collect()
    }
}

impl Tx {
    /// [`Error::Duplicate`] if a gateway has an active task.
    pub async fn insert_tasks(&mut self, tasks: &[Task]) -> Result<()> {
        execute_rows!(
            self,
            tasks,
            |task| {
                task_id: task.task_id,
                gateway_id: task.gateway_id.as_str(),
                device_type: task.device_type.as_str(),
                from_version: task.from_version.as_deref(),
                to_version: task.to_version.as_str(),
                firmware_url: task.firmware_url.as_str(),
                md5: task.md5.as_str(),
                sha256: task.sha256.as_str(),
                file_size: task.file_size,
                msg_id: task.msg_id.as_str(),
                status: task.status.as_str(),
                progress: task.progress,
                error_code: task.error_code.as_deref(),
                error_message: task.error_message.as_deref(),
                force_upgrade: task.force_upgrade,
                scheduled_at: task.scheduled_at,
                start_time: task.start_time,
                complete_time: task.complete_time,
                confirmed_at: task.confirmed_at,
                deadline_at: task.deadline_at,
                completed_timestamp: task.completed_timestamp,
                rollout_id: task.rollout_id,
                timeout_seconds: task.timeout_seconds,
                not_before: task.not_before,
                path: (!task.path.is_empty()).then_some(Json(&task.path)),
                packages: (!task.packages.is_empty()).then_some(Json(&task.packages)),
                duration_ms: task.duration_ms,
                created_at: task.created_at,
                updated_at: task.updated_at,
            },
            "INSERT INTO upgrade_tasks (",
            columns!(),
            ") SELECT ",
            columns!(),
            " FROM v",
        );
        Ok(())
    }

    /// Stores what can change in tasks.
    pub async fn update_tasks(&mut self, tasks: &[&Task]) -> Result<()> {
        execute_rows!(
            self,
            tasks,
            |task| {
                task_id: task.task_id,
                from_version: task.from_version.as_deref(),
                status: task.status.as_str(),
                progress: task.progress,
                error_code: task.error_code.as_deref(),
                error_message: task.error_message.as_deref(),
                complete_time: task.complete_time,
                confirmed_at: task.confirmed_at,
                deadline_at: task.deadline_at,
                completed_timestamp: task.completed_timestamp,
                rollout_id: task.rollout_id,
                timeout_seconds: task.timeout_seconds,
                duration_ms: task.duration_ms,
                updated_at: task.updated_at,
            },
            "UPDATE upgrade_tasks SET from_version = v.from_version, status = v.status,
             progress = v.progress, error_code = v.error_code, error_message = v.error_message,
             complete_time = v.complete_time, confirmed_at = v.confirmed_at,
             deadline_at = v.deadline_at, completed_timestamp = v.completed_timestamp,
             rollout_id = v.rollout_id, timeout_seconds = v.timeout_seconds,
             duration_ms = v.duration_ms, updated_at = v.updated_at
             FROM v WHERE upgrade_tasks.task_id = v.task_id",
        );
        Ok(())
    }

    pub async fn task(&mut self, task_id: Uuid) -> Result<Option<Task>> {
        on!(self, |conn| sqlx::query_as::<_, TaskRow>(concat!(
            "SELECT ",
            columns!(),
            " FROM upgrade_tasks WHERE task_id = $1"
        ))
        .bind(task_id)
        .fetch_optional(conn)
        .await)?
        .map(Task::try_from)
        .transpose()
    }

    /// Like [`Tx::task`], locked until the transaction ends.
    pub async fn lock_task(&mut self, task_id: Uuid) -> Result<Option<Task>> {
        on_locked!(
            self,
            [
                "SELECT ",
                columns!(),
                " FROM upgrade_tasks WHERE task_id = $1"
            ],
            "FOR UPDATE",
            |sql, conn| sqlx::query_as::<_, TaskRow>(sql)
                .bind(task_id)
                .fetch_optional(conn)
                .await
        )?
        .map(Task::try_from)
        .transpose()
    }

    /// The tasks of gateways that message ids name, of pairs of both, locked until the transaction ends.
    pub async fn lock_named_tasks(&mut self, names: &[(&str, &str)]) -> Result<Vec<Task>> {
        fetch_rows!(
            TaskRow,
            self,
            names,
            |(gateway_id, msg_id)| { gateway_id: *gateway_id, msg_id: *msg_id },
            [
                "SELECT ",
                columns!(),
                " FROM upgrade_tasks WHERE (gateway_id, msg_id) IN (SELECT gateway_id, msg_id FROM v)"
            ],
            "FOR UPDATE",
        )
        .into_iter()
        .map(Task::try_from)
        .collect()
    }

    /// Which of these message ids name a task.
    pub async fn known_msg_ids(&mut self, msg_ids: &[&str]) -> Result<HashSet<String>> {
        let known: Vec<(String,)> = fetch_rows!(
            (String,),
            self,
            msg_ids,
            |msg_id| { msg_id: *msg_id },
            ["SELECT msg_id FROM upgrade_tasks WHERE msg_id IN (SELECT msg_id FROM v)"],
        );
        Ok(known.into_iter().map(|(msg_id,)| msg_id).collect())
    }

    /// Tasks of these gateways that are completed and wait for the proof, locked until the
    /// transaction ends.
    pub async fn lock_unproven_tasks(&mut self, gateway_ids: &[&str]) -> Result<Vec<Task>> {
        fetch_rows!(
            TaskRow,
            self,
            gateway_ids,
            |gateway_id| { gateway_id: *gateway_id },
            [
                "SELECT ",
                columns!(),
                " FROM upgrade_tasks
                 WHERE gateway_id IN (SELECT gateway_id FROM v) AND status = 'completed'
                   AND deadline_at IS NOT NULL
                 ORDER BY task_id"
            ],
            "FOR UPDATE",
        )
        .into_iter()
        .map(Task::try_from)
        .collect()
    }

    /// The gateway's newest task.
    pub async fn newest_task(&mut self, gateway_id: &str) -> Result<Option<Task>> {
        on!(self, |conn| sqlx::query_as::<_, TaskRow>(concat!(
            "SELECT ",
            columns!(),
            " FROM upgrade_tasks WHERE gateway_id = $1 ORDER BY task_id DESC LIMIT 1"
        ))
        .bind(gateway_id)
        .fetch_optional(conn)
        .await)?
        .map(Task::try_from)
        .transpose()
    }

    /// Like [`Tx::newest_task`], locked until the transaction ends.
    pub async fn lock_newest_task(&mut self, gateway_id: &str) -> Result<Option<Task>> {
        on_locked!(
            self,
            [
                "SELECT ",
                columns!(),
                " FROM upgrade_tasks WHERE gateway_id = $1 ORDER BY task_id DESC LIMIT 1"
            ],
            "FOR UPDATE",
            |sql, conn| sqlx::query_as::<_, TaskRow>(sql)
                .bind(gateway_id)
                .fetch_optional(conn)
                .await
        )?
        .map(Task::try_from)
        .transpose()
    }

    /// The newest task of each of these gateways that has one, locked until the transaction ends.
    pub async fn lock_newest_tasks(&mut self, gateway_ids: &[&str]) -> Result<Vec<Task>> {
        fetch_rows!(
            TaskRow,
            self,
            gateway_ids,
            |gateway_id| { gateway_id: *gateway_id },
            [
                "SELECT ",
                columns!(),
                " FROM upgrade_tasks WHERE task_id IN
                 (SELECT (SELECT t.task_id FROM upgrade_tasks AS t WHERE t.gateway_id = v.gateway_id
                          ORDER BY t.task_id DESC LIMIT 1)
                  FROM v)"
            ],
            "FOR UPDATE",
        )
        .into_iter()
        .map(Task::try_from)
        .collect()
    }

    pub async fn tasks(&mut self, filter: &TaskFilter) -> Result<Vec<Task>> {
        on!(self, |conn| {
            // Only what is asked for: no index serves a condition that may be none.
            let mut query = QueryBuilder::new(concat!(
                "SELECT ",
                columns!(),
                " FROM upgrade_tasks WHERE task_id < "
            ));
            query.push_bind(filter.before);
            if let Some(gateway_id) = &filter.gateway_id {
                query.push(" AND gateway_id = ").push_bind(gateway_id);
            }
            if let Some(status) = filter.status {
                query.push(" AND status = ").push_bind(status.as_str());
            }
            if let Some(version) = &filter.version {
                query.push(" AND to_version = ").push_bind(version);
            }
            if let Some(rollout_id) = filter.rollout_id {
                query.push(" AND rollout_id = ").push_bind(rollout_id);
            }
            if let Some(error_code) = &filter.error_code {
                query.push(" AND error_code = ").push_bind(error_code);
            }
            query.push(" ORDER BY task_id DESC LIMIT ");
            query.push_bind(filter.limit);
            query.build_query_as::<TaskRow>().fetch_all(conn).await
        })?
        .into_iter()
        .map(Task::try_from)
        .collect()
    }

    /// Whether a gateway was ever sent this version, or one on the way to which it lies.
    pub async fn has_task_to(
        &mut self,
        gateway_id: &str,
        device_type: &str,
        version: &str,
    ) -> Result<bool> {
        let quoted = format!("\"{version}\"");
        let found = on!(self, |conn| sqlx::query_scalar::<_, i64>(
            "SELECT COUNT(*) FROM upgrade_tasks WHERE gateway_id = $1 AND device_type = $2
                AND (to_version = $3 OR REPLACE(CAST(path AS TEXT), $4, '') <> CAST(path AS TEXT))",
        )
        .bind(gateway_id)
        .bind(device_type)
        .bind(version)
        .bind(&quoted)
        .fetch_one(conn)
        .await)?;
        Ok(found > 0)
    }

    /// Tasks whose deadline has passed, locked; those that another server holds are passed
    /// over.
    pub async fn lock_expired_tasks(
        &mut self,
        now: DateTime<Utc>,
        limit: i64,
    ) -> Result<Vec<Task>> {
        on_locked!(
            self,
            [
                "SELECT ",
                columns!(),
                " FROM upgrade_tasks WHERE deadline_at <= $1 ORDER BY deadline_at LIMIT $2"
            ],
            "FOR UPDATE SKIP LOCKED",
            |sql, conn| sqlx::query_as::<_, TaskRow>(sql)
                .bind(now)
                .bind(limit)
                .fetch_all(conn)
                .await
        )?
        .into_iter()
        .map(Task::try_from)
        .collect()
    }
}
