//! Who is in a rollout. Rows are written by whoever holds the rollout's row (`lock_rollout`,
//! `lock_due_rollout`).

use chrono::{DateTime, Utc};
use sqlx::QueryBuilder;
use uuid::Uuid;

use super::{Error, Result, Tx};
use crate::domain::{MemberState, TaskStatus};

/// A gateway in a rollout.
#[derive(Clone, Debug, PartialEq)]
pub struct RolloutMember {
    pub gateway_id: String,
    /// Its place in the rollout's order.
    pub position: i64,
    pub state: MemberState,
    pub task_id: Option<Uuid>,
    /// Why it failed or was skipped.
    pub reason: Option<String>,
}

/// An active member and how its task stands.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct ActiveMember {
    pub gateway_id: String,
    pub position: i64,
    pub task_id: Uuid,
    pub to_version: String,
    pub status: String,
    pub confirmed_at: Option<DateTime<Utc>>,
    pub error_code: Option<String>,
    pub error_message: Option<String>,
}

/// Which members to list, by gateway id.
#[derive(Clone, Debug)]
pub struct MemberFilter {
    pub rollout_id: Uuid,
    pub state: Option<MemberState>,
    /// Only those after the first and up to the second place in the rollout's order.
    pub positions: Option<(i64, i64)>,
    /// Only those whose id is greater.
    pub after: String,
    pub limit: i64,
}

#[derive(sqlx::FromRow)]
struct MemberRow {
    gateway_id: String,
    position: i64,
    state: String,
    task_id: Option<Uuid>,
    reason: Option<String>,
}

impl TryFrom<MemberRow> for RolloutMember {
    type Error = Error;

    fn try_from(row: MemberRow) -> Result<RolloutMember> {
        Ok(RolloutMember {
            state: MemberState::parse(&row.state).ok_or_else(|| Error::BadRow {
                table: "rollout_gateways",
                column: "state",
                row: row.gateway_id.clone(),
                value: row.state.clone(),
            })?,
            gateway_id: row.gateway_id,
            position: row.position,
            task_id: row.task_id,
            reason: row.reason,
        })
    }
}

impl Tx {
    /// The place in the order of member number `rank` (from 1) among those that wait.
    pub async fn position_of_rank(&mut self, rollout_id: Uuid, rank: i64) -> Result<Option<i64>> {
        Ok(on!(self, |conn| sqlx::query_scalar::<_, i64>(
            "SELECT position FROM rollout_gateways WHERE rollout_id = $1 AND state = 'waiting'
             ORDER BY position LIMIT 1 OFFSET $2",
        )
        .bind(rollout_id)
        .bind(rank - 1)
        .fetch_optional(conn)
        .await)?)
    }

    /// How many members in `state` are after `first` and up to `last` in the order.
    pub async fn count_members(
        &mut self,
        rollout_id: Uuid,
        state: MemberState,
        (first, last): (i64, i64),
    ) -> Result<i64> {
        Ok(on!(self, |conn| sqlx::query_scalar::<_, i64>(
            "SELECT COUNT(*) FROM rollout_gateways
             WHERE rollout_id = $1 AND state = $2 AND position > $3 AND position <= $4",
        )
        .bind(rollout_id)
        .bind(state.as_str())
        .bind(first)
        .bind(last)
        .fetch_one(conn)
        .await)?)
    }

    /// The greatest gateway id among the members.
    pub async fn last_member(&mut self, rollout_id: Uuid) -> Result<Option<String>> {
        Ok(on!(self, |conn| sqlx::query_scalar::<_, String>(
            "SELECT gateway_id FROM rollout_gateways WHERE rollout_id = $1
             ORDER BY gateway_id DESC LIMIT 1",
        )
        .bind(rollout_id)
        .fetch_optional(conn)
        .await)?)
    }

    /// Forgets members after `position`, which no wave reaches.
    pub async fn delete_members_after(&mut self, rollout_id: Uuid, position: i64) -> Result<()> {
        on!(self, |conn| sqlx::query(
            "DELETE FROM rollout_gateways WHERE rollout_id = $1 AND position > $2",
        )
        .bind(rollout_id)
        .bind(position)
        .execute(conn)
        .await
        .map(drop))?;
        Ok(())
    }

    /// The next members that wait, up to `last` in the order.
    pub async fn waiting_members(
        &mut self,
        rollout_id: Uuid,
        last: i64,
        limit: i64,
    ) -> Result<Vec<RolloutMember>> {
        on!(self, |conn| sqlx::query_as::<_, MemberRow>(
            "SELECT gateway_id, position, state, task_id, reason FROM rollout_gateways
             WHERE rollout_id = $1 AND state = 'waiting' AND position <= $2
             ORDER BY position LIMIT $3",
        )
        .bind(rollout_id)
        .bind(last)
        .bind(limit)
        .fetch_all(conn)
        .await)?
        .into_iter()
        .map(RolloutMember::try_from)
        .collect()
    }

    /// Active members whose task has ended or was confirmed.
    pub async fn settled_members(&mut self, rollout_id: Uuid) -> Result<Vec<ActiveMember>> {
        Ok(on!(self, |conn| sqlx::query_as::<_, ActiveMember>(
            "SELECT m.gateway_id, m.position, t.task_id, t.to_version, t.status, t.confirmed_at,
             t.error_code, t.error_message
             FROM rollout_gateways m JOIN upgrade_tasks t ON t.task_id = m.task_id
             WHERE m.rollout_id = $1 AND m.state = 'active'
               AND (t.status IN ('failed', 'cancelled') OR t.confirmed_at IS NOT NULL)",
        )
        .bind(rollout_id)
        .fetch_all(conn)
        .await)?)
    }

    /// Active members whose gateway has not answered the command, in the rollout's order.
    pub async fn pending_members(
        &mut self,
        rollout_id: Uuid,
        limit: i64,
    ) -> Result<Vec<ActiveMember>> {
        Ok(on!(self, |conn| sqlx::query_as::<_, ActiveMember>(
            "SELECT m.gateway_id, m.position, t.task_id, t.to_version, t.status, t.confirmed_at,
             t.error_code, t.error_message
             FROM rollout_gateways m JOIN upgrade_tasks t ON t.task_id = m.task_id
             WHERE m.rollout_id = $1 AND m.state = 'active' AND t.status = $2
             ORDER BY m.position LIMIT $3",
        )
        .bind(rollout_id)
        .bind(TaskStatus::Pending.as_str())
        .bind(limit)
        .fetch_all(conn)
        .await)?)
    }

    /// Confirmed members after `first` and up to `last` in the order whose gateway has left
    /// `version`, and for which version. Not those that a later upgrade has brought to another.
    pub async fn relapsed_members(
        &mut self,
        rollout_id: Uuid,
        version: &str,
        (first, last): (i64, i64),
    ) -> Result<Vec<(RolloutMember, String)>> {
        #[derive(sqlx::FromRow)]
        struct Row {
            #[sqlx(flatten)]
            member: MemberRow,
            current_version: String,
        }
        on!(self, |conn| sqlx::query_as::<_, Row>(
            "SELECT m.gateway_id, m.position, m.state, m.task_id, m.reason, g.current_version
             FROM rollout_gateways m JOIN gateways g ON g.gateway_id = m.gateway_id
             WHERE m.rollout_id = $1 AND m.state = 'confirmed' AND m.position > $2
               AND m.position <= $3 AND g.current_version <> $4
               AND NOT EXISTS (SELECT 1 FROM upgrade_tasks t
                 WHERE t.gateway_id = m.gateway_id AND t.task_id > m.task_id
                   AND t.to_version = g.current_version AND t.confirmed_at IS NOT NULL)",
        )
        .bind(rollout_id)
        .bind(first)
        .bind(last)
        .bind(version)
        .fetch_all(conn)
        .await)?
        .into_iter()
        .map(|row| Ok((row.member.try_into()?, row.current_version)))
        .collect()
    }

    /// Stores state, task and reason of members.
    pub async fn update_members(
        &mut self,
        rollout_id: Uuid,
        members: &[RolloutMember],
    ) -> Result<()> {
        execute_rows!(
            self,
            members,
            |member| {
                rollout_id: rollout_id,
                gateway_id: member.gateway_id.as_str(),
                state: member.state.as_str(),
                task_id: member.task_id,
                reason: member.reason.as_deref(),
            },
            "UPDATE rollout_gateways SET state = v.state, task_id = v.task_id, reason = v.reason
             FROM v WHERE rollout_gateways.rollout_id = v.rollout_id
               AND rollout_gateways.gateway_id = v.gateway_id",
        );
        Ok(())
    }

    /// Lets members that failed or were skipped wait again; how many.
    pub async fn retry_members(&mut self, rollout_id: Uuid) -> Result<u64> {
        Ok(on!(self, |conn| sqlx::query(
            "UPDATE rollout_gateways SET state = 'waiting', task_id = NULL, reason = NULL
             WHERE rollout_id = $1 AND state IN ('failed', 'skipped')",
        )
        .bind(rollout_id)
        .execute(conn)
        .await
        .map(|done| done.rows_affected()))?)
    }

    pub async fn member(
        &mut self,
        rollout_id: Uuid,
        gateway_id: &str,
    ) -> Result<Option<RolloutMember>> {
        on!(self, |conn| sqlx::query_as::<_, MemberRow>(
            "SELECT gateway_id, position, state, task_id, reason FROM rollout_gateways
             WHERE rollout_id = $1 AND gateway_id = $2",
        )
        .bind(rollout_id)
        .bind(gateway_id)
        .fetch_optional(conn)
        .await)?
        .map(RolloutMember::try_from)
        .transpose()
    }

    /// Where a gateway stands in those of `rollout_ids` that it is in.
    pub async fn memberships(
        &mut self,
        gateway_id: &str,
        rollout_ids: &[Uuid],
    ) -> Result<Vec<(Uuid, RolloutMember)>> {
        #[derive(sqlx::FromRow)]
        struct Row {
            rollout_id: Uuid,
            #[sqlx(flatten)]
            member: MemberRow,
        }
        if rollout_ids.is_empty() {
            return Ok(Vec::new());
        }
        on!(self, |conn| {
            let mut query = QueryBuilder::new(
                "SELECT rollout_id, gateway_id, position, state, task_id, reason
                 FROM rollout_gateways WHERE gateway_id = ",
            );
            query.push_bind(gateway_id);
            query.push(" AND rollout_id IN (");
            let mut ids = query.separated(", ");
            for id in rollout_ids {
                ids.push_bind(*id);
            }
            query.push(")");
            query.build_query_as::<Row>().fetch_all(conn).await
        })?
        .into_iter()
        .map(|row| Ok((row.rollout_id, row.member.try_into()?)))
        .collect()
    }

    pub async fn members(&mut self, filter: &MemberFilter) -> Result<Vec<RolloutMember>> {
        let (first, last) = filter.positions.unwrap_or((-1, i64::MAX));
        on!(self, |conn| sqlx::query_as::<_, MemberRow>(
            "SELECT gateway_id, position, state, task_id, reason FROM rollout_gateways
             WHERE rollout_id = $1 AND (CAST($2 AS TEXT) IS NULL OR state = $2)
               AND position > $3 AND position <= $4 AND gateway_id > $5
             ORDER BY gateway_id LIMIT $6",
        )
        .bind(filter.rollout_id)
        .bind(filter.state.map(MemberState::as_str))
        .bind(first)
        .bind(last)
        .bind(&filter.after)
        .bind(filter.limit)
        .fetch_all(conn)
        .await)?
        .into_iter()
        .map(RolloutMember::try_from)
        .collect()
    }
}
