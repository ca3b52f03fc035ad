use chrono::{DateTime, Utc};
use sqlx::types::Json;
use uuid::Uuid;

use super::{Error, Result, Tx};
use crate::domain::{Rollout, RolloutPlan, RolloutState, RolloutTarget};

macro_rules! columns {
    () => {
        "rollout_id, name, device_type, version, target, plan, seed, state, reason, enrolled_to, \
         enrolled, wave, paced_at, next_look_at, next_join_at, started_at, ended_at, created_at, \
         updated_at"
    };
}

#[derive(sqlx::FromRow)]
struct RolloutRow {
    rollout_id: Uuid,
    name: String,
    device_type: String,
    version: String,
    target: Json<RolloutTarget>,
    plan: Json<RolloutPlan>,
    seed: i64,
    state: String,
    reason: Option<String>,
    enrolled_to: Option<String>,
    enrolled: bool,
    wave: i32,
    paced_at: Option<DateTime<Utc>>,
    next_look_at: Option<DateTime<Utc>>,
    next_join_at: Option<DateTime<Utc>>,
    started_at: Option<DateTime<Utc>>,
    ended_at: Option<DateTime<Utc>>,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

impl TryFrom<RolloutRow> for Rollout {
    type Error = Error;

    fn try_from(row: RolloutRow) -> Result<Rollout> {
        Ok(Rollout {
            state: RolloutState::parse(&row.state).ok_or_else(|| Error::BadRow {
                table: "rollouts",
                column: "state",
                row: row.rollout_id.to_string(),
                value: row.state.clone(),
            })?,
            rollout_id: row.rollout_id,
            name: row.name,
            device_type: row.device_type,
            version: row.version,
            target: row.target.0,
            plan: row.plan.0,
            seed: row.seed,
            reason: row.reason,
            enrolled_to: row.enrolled_to,
            enrolled: row.enrolled,
            wave: usize::try_from(row.wave).unwrap_or(0),
            paced_at: row.paced_at,
            next_look_at: row.next_look_at,
            next_join_at: row.next_join_at,
            started_at: row.started_at,
            ended_at: row.ended_at,
            created_at: row.created_at,
            updated_at: row.updated_at,
        })
    }
}

/// Which rollouts to list, newest first.
#[derive(Clone, Debug)]
pub struct RolloutFilter {
    pub state: Option<RolloutState>,
    pub device_type: Option<String>,
    /// Only those that have not ended.
    pub open: bool,
    /// Only those made before this one.
    pub before: Uuid,
    pub limit: i64,
}

impl Tx {
    pub async fn insert_rollout(&mut self, rollout: &Rollout) -> Result<()> {
        on!(self, |conn| sqlx::query(concat!(
            "INSERT INTO rollouts (",
            columns!(),
            ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, \
             $17, $18, $19)"
        ))
        .bind(rollout.rollout_id)
        .bind(&rollout.name)
        .bind(&rollout.device_type)
        .bind(&rollout.version)
        .bind(Json(&rollout.target))
        .bind(Json(&rollout.plan))
        .bind(rollout.seed)
        .bind(rollout.state.as_str())
        .bind(&rollout.reason)
        .bind(&rollout.enrolled_to)
        .bind(rollout.enrolled)
        .bind(i32::try_from(rollout.wave).unwrap_or(i32::MAX))
        .bind(rollout.paced_at)
        .bind(rollout.next_look_at)
        .bind(rollout.next_join_at)
        .bind(rollout.started_at)
        .bind(rollout.ended_at)
        .bind(rollout.created_at)
        .bind(rollout.updated_at)
        .execute(conn)
        .await
        .map(drop))?;
        Ok(())
    }

    /// Stores what can change in a rollout.
    pub async fn update_rollout(&mut self, rollout: &Rollout) -> Result<()> {
        on!(self, |conn| sqlx::query(
            "UPDATE rollouts SET state = $2, reason = $3, enrolled_to = $4, enrolled = $5,
             wave = $6, paced_at = $7, next_look_at = $8, next_join_at = $9, started_at = $10,
             ended_at = $11, updated_at = $12
             WHERE rollout_id = $1",
        )
        .bind(rollout.rollout_id)
        .bind(rollout.state.as_str())
        .bind(&rollout.reason)
        .bind(&rollout.enrolled_to)
        .bind(rollout.enrolled)
        .bind(i32::try_from(rollout.wave).unwrap_or(i32::MAX))
        .bind(rollout.paced_at)
        .bind(rollout.next_look_at)
        .bind(rollout.next_join_at)
        .bind(rollout.started_at)
        .bind(rollout.ended_at)
        .bind(rollout.updated_at)
        .execute(conn)
        .await
        .map(drop))?;
        Ok(())
    }

    pub async fn rollout(&mut self, rollout_id: Uuid) -> Result<Option<Rollout>> {
        on!(self, |conn| sqlx::query_as::<_, RolloutRow>(concat!(
            "SELECT ",
            columns!(),
            " FROM rollouts WHERE rollout_id = $1"
        ))
        .bind(rollout_id)
        .fetch_optional(conn)
        .await)?
        .map(Rollout::try_from)
        .transpose()
    }

    /// Like [`Tx::rollout`], locked until the transaction ends: who moves a rollout's gateways or
    /// counters holds this.
    pub async fn lock_rollout(&mut self, rollout_id: Uuid) -> Result<Option<Rollout>> {
        on_locked!(
            self,
            [
                "SELECT ",
                columns!(),
                " FROM rollouts WHERE rollout_id = $1"
            ],
            "FOR UPDATE",
            |sql, conn| sqlx::query_as::<_, RolloutRow>(sql)
                .bind(rollout_id)
                .fetch_optional(conn)
                .await
        )?
        .map(Rollout::try_from)
        .transpose()
    }

    /// The rollout that has waited longest to be looked at, locked; those that another server
    /// holds are passed over. Only its id: the row may be one that can't be read.
    pub async fn lock_due_rollout(&mut self, now: DateTime<Utc>) -> Result<Option<Uuid>> {
        Ok(on_locked!(
            self,
            ["SELECT rollout_id FROM rollouts WHERE next_look_at <= $1
              ORDER BY next_look_at LIMIT 1"],
            "FOR UPDATE SKIP LOCKED",
            |sql, conn| sqlx::query_scalar::<_, Uuid>(sql)
                .bind(now)
                .fetch_optional(conn)
                .await
        )?)
    }

    /// Lets a rollout that is due wait until `until`.
    pub async fn put_off_rollout(&mut self, rollout_id: Uuid, until: DateTime<Utc>) -> Result<()> {
        on!(self, |conn| sqlx::query(
            "UPDATE rollouts SET next_look_at = $2 WHERE rollout_id = $1 AND next_look_at < $2",
        )
        .bind(rollout_id)
        .bind(until)
        .execute(conn)
        .await
        .map(drop))?;
        Ok(())
    }

    pub async fn rollouts(&mut self, filter: &RolloutFilter) -> Result<Vec<Rollout>> {
        on!(self, |conn| sqlx::query_as::<_, RolloutRow>(concat!(
            "SELECT ",
            columns!(),
            " FROM rollouts
             WHERE (CAST($1 AS TEXT) IS NULL OR state = $1)
               AND (CAST($2 AS TEXT) IS NULL OR device_type = $2)
               AND (ended_at IS NULL OR NOT $3)
               AND rollout_id < $4
             ORDER BY rollout_id DESC LIMIT $5"
        ))
        .bind(filter.state.map(RolloutState::as_str))
        .bind(&filter.device_type)
        .bind(filter.open)
        .bind(filter.before)
        .bind(filter.limit)
        .fetch_all(conn)
        .await)?
        .into_iter()
        .map(Rollout::try_from)
        .collect()
    }
}
