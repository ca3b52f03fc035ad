use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{Error, Result, Tx};
use crate::domain::{CommandKind, OutboundCommand};

/// That a command is no upgrade of a rollout which must not send.
macro_rules! may_send {
    () => {
        "(kind <> 'ota_upgrade' OR NOT EXISTS (SELECT 1 FROM upgrade_tasks AS t
                  JOIN rollouts AS r ON r.rollout_id = t.rollout_id
                  WHERE t.task_id = commands.task_id
                    AND r.state IN ('paused', 'halted', 'cancelled')))"
    };
}

/// That a command waits for gateway `$1`, which asks for it at `$2`.
macro_rules! waiting {
    () => {
        concat!(
            "gateway_id = $1 AND (sends > 0 OR next_send_at <= $2) AND ",
            may_send!()
        )
    };
}

#[derive(sqlx::FromRow)]
struct CommandRow {
    command_id: Uuid,
    task_id: Uuid,
    gateway_id: String,
    kind: String,
    payload: String,
    sends: i32,
    next_send_at: DateTime<Utc>,
}

impl TryFrom<CommandRow> for OutboundCommand {
    type Error = Error;

    fn try_from(row: CommandRow) -> Result<OutboundCommand> {
        Ok(OutboundCommand {
            kind: CommandKind::parse(&row.kind).ok_or_else(|| Error::BadRow {
                table: "commands",
                column: "kind",
                row: row.command_id.to_string(),
                value: row.kind.clone(),
            })?,
            command_id: row.command_id,
            task_id: row.task_id,
            gateway_id: row.gateway_id,
            payload: row.payload,
            sends: row.sends,
            next_send_at: row.next_send_at,
        })
    }
}

impl Tx {
    pub async fn insert_commands(&mut self, commands: &[OutboundCommand]) -> Result<()> {
        execute_rows!(
            self,
            commands,
            |command| {
                command_id: command.command_id,
                task_id: command.task_id,
                gateway_id: command.gateway_id.as_str(),
                kind: command.kind.as_str(),
                payload: command.payload.as_str(),
                sends: command.sends,
                next_send_at: command.next_send_at,
            },
            "INSERT INTO commands
             (command_id, task_id, gateway_id, kind, payload, sends, next_send_at)
             SELECT command_id, task_id, gateway_id, kind, payload, sends, next_send_at FROM v",
        );
        Ok(())
    }

    /// A task's command while it waits in the outbox.
    pub async fn command(
        &mut self,
        task_id: Uuid,
        kind: CommandKind,
    ) -> Result<Option<OutboundCommand>> {
        on!(self, |conn| sqlx::query_as::<_, CommandRow>(
            "SELECT command_id, task_id, gateway_id, kind, payload, sends, next_send_at
             FROM commands WHERE task_id = $1 AND kind = $2",
        )
        .bind(task_id)
        .bind(kind.as_str())
        .fetch_optional(conn)
        .await)?
        .map(OutboundCommand::try_from)
        .transpose()
    }

    /// The commands that are due, most overdue first, locked for this transaction; those that
    /// another server holds are passed over, and so are upgrades of a rollout that must not send:
    /// the engine takes them back. Those for a gateway that speaks HTTP wait for it to ask.
    pub async fn lock_due_commands(
        &mut self,
        now: DateTime<Utc>,
        limit: i64,
    ) -> Result<Vec<OutboundCommand>> {
        on_locked!(
            self,
            [
                "SELECT command_id, task_id, gateway_id, kind, payload, sends, next_send_at
              FROM commands WHERE next_send_at <= $1 AND ",
                may_send!(),
                " AND NOT EXISTS (SELECT 1 FROM gateways AS g
                    WHERE g.gateway_id = commands.gateway_id AND g.offline_at IS NOT NULL)
              ORDER BY next_send_at LIMIT $2"
            ],
            "FOR UPDATE SKIP LOCKED",
            |sql, conn| sqlx::query_as::<_, CommandRow>(sql)
                .bind(now)
                .bind(limit)
                .fetch_all(conn)
                .await
        )?
        .into_iter()
        .map(OutboundCommand::try_from)
        .collect()
    }

    /// Whether a gateway that asks gets a command; see [`Tx::lock_waiting_command`].
    pub async fn has_waiting_command(
        &mut self,
        gateway_id: &str,
        now: DateTime<Utc>,
    ) -> Result<bool> {
        Ok(on!(self, |conn| sqlx::query_scalar::<_, bool>(concat!(
            "SELECT EXISTS (SELECT 1 FROM commands WHERE ",
            waiting!(),
            ")"
        ))
        .bind(gateway_id)
        .bind(now)
        .fetch_one(conn)
        .await)?)
    }

    /// The oldest command that a gateway which asks gets, locked: what was sent before is not held
    /// back until its next send, but schedules and rollouts count as for [`Tx::lock_due_commands`].
    pub async fn lock_waiting_command(
        &mut self,
        gateway_id: &str,
        now: DateTime<Utc>,
    ) -> Result<Option<OutboundCommand>> {
        on_locked!(
            self,
            [
                "SELECT command_id, task_id, gateway_id, kind, payload, sends, next_send_at
              FROM commands WHERE ",
                waiting!(),
                " ORDER BY command_id LIMIT 1"
            ],
            "FOR UPDATE",
            |sql, conn| sqlx::query_as::<_, CommandRow>(sql)
                .bind(gateway_id)
                .bind(now)
                .fetch_optional(conn)
                .await
        )?
        .map(OutboundCommand::try_from)
        .transpose()
    }

    /// Stores how often commands were sent, and when they are due next.
    pub async fn update_commands(&mut self, commands: &[&OutboundCommand]) -> Result<()> {
        execute_rows!(
            self,
            commands,
            |command| {
                command_id: command.command_id,
                sends: command.sends,
                next_send_at: command.next_send_at,
            },
            "UPDATE commands SET sends = v.sends, next_send_at = v.next_send_at
             FROM v WHERE commands.command_id = v.command_id",
        );
        Ok(())
    }

    /// Takes tasks' commands out of the outbox.
    pub async fn delete_commands(&mut self, task_ids: &[Uuid], kind: CommandKind) -> Result<()> {
        execute_rows!(
            self,
            task_ids,
            |task_id| { task_id: *task_id, kind: kind.as_str() },
            "DELETE FROM commands WHERE (task_id, kind) IN (SELECT task_id, kind FROM v)",
        );
        Ok(())
    }

    /// Takes a task's command out of the outbox and says how often it was sent.
    pub async fn delete_command(
        &mut self,
        task_id: Uuid,
        kind: CommandKind,
    ) -> Result<Option<i32>> {
        Ok(on!(self, |conn| sqlx::query_scalar::<_, i32>(
            "DELETE FROM commands WHERE task_id = $1 AND kind = $2 RETURNING sends",
        )
        .bind(task_id)
        .bind(kind.as_str())
        .fetch_optional(conn)
        .await)?)
    }

    /// Brings commands that were sent and wait for an answer of these gateways forward to `at`; one
    /// that was never sent keeps its time, which may be a schedule.
    pub async fn hasten_commands(&mut self, gateway_ids: &[&str], at: DateTime<Utc>) -> Result<()> {
        execute_rows!(
            self,
            gateway_ids,
            |gateway_id| { gateway_id: *gateway_id, at: at },
            "UPDATE commands SET next_send_at = v.at FROM v
             WHERE commands.gateway_id = v.gateway_id AND next_send_at > v.at AND sends > 0",
        );
        Ok(())
    }

    /// How many commands wait in the outbox.
    pub async fn count_commands(&mut self) -> Result<i64> {
        Ok(on!(self, |conn| sqlx::query_scalar::<_, i64>(
            "SELECT COUNT(*) FROM commands"
        )
        .fetch_one(conn)
        .await)?)
    }
}
