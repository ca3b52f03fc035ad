use airlift_proto::{CancelData, Command, Message};
use chrono::{DateTime, Utc};
use serde_json::json;
use uuid::Uuid;

use super::{
    Error, Result, Service,
    make_task::{outbound, record_task},
};
use crate::{
    domain::{Caller, CommandKind, DEVICE_TYPE_DEFAULT, Gateway, Outcome, Task},
    store::Tx,
};

impl Service {
    /// Ends an active task; the gateway is told if it may have heard of it.
    pub async fn cancel_upgrade(&self, caller: &Caller, task_id: Uuid) -> Result<Task> {
        let gateway_id = self.task(task_id).await?.gateway_id;
        let now = self.clock.now();
        let mut tx = self.db.begin().await?;
        tx.lock_gateway(&Gateway::new(&gateway_id, DEVICE_TYPE_DEFAULT, now))
            .await?;
        let task = tx.lock_task(task_id).await?;
        let mut task = task.ok_or_else(|| no_task(task_id))?;
        if self.cancel_locked(&mut tx, &mut task, now).await? == Outcome::Unchanged {
            return Err(Error::conflict(
                "task_ended",
                format!("task {task_id} is {} and can't be cancelled", task.status),
            ));
        }
        let detail = json!({ "gatewayId": gateway_id, "version": task.to_version });
        tx.audit(&caller.did("task.cancel", task_id.to_string(), detail, now))
            .await?;
        tx.commit().await?;
        self.commands_queued.notify_one();
        tracing::info!(gateway_id, %task_id, "upgrade cancelled");
        Ok(task)
    }

    /// Cancels `task`, which the caller has locked behind its gateway.
    pub(super) async fn cancel_locked(
        &self,
        tx: &mut Tx,
        task: &mut Task,
        now: DateTime<Utc>,
    ) -> Result<Outcome> {
        let before = task.clone();
        if task.cancel(now) == Outcome::Unchanged {
            return Ok(Outcome::Unchanged);
        }
        tx.update_tasks(&[task]).await?;
        record_task(tx, Some(&before), task, now);
        let sends = tx
            .delete_command(task.task_id, CommandKind::Upgrade)
            .await?;
        // Out of the outbox means answered; in it, sent or not: only then was it never heard of.
        if sends != Some(0) {
            let command = Command::Cancel(Message {
                msg_id: Some(task.msg_id.clone()),
                uuid: Some(task.gateway_id.clone()),
                timestamp: Some(now.timestamp()),
                data: CancelData {
                    msg_id: task.msg_id.clone(),
                },
            });
            tx.insert_commands(&[outbound(
                self.clock.new_id(),
                task,
                CommandKind::Cancel,
                &command,
                now,
            )])
            .await?;
        }
        Ok(Outcome::Changed)
    }

    pub async fn task(&self, task_id: Uuid) -> Result<Task> {
        let mut tx = self.db.read().await?;
        tx.task(task_id).await?.ok_or_else(|| no_task(task_id))
    }
}

fn no_task(task_id: Uuid) -> Error {
    Error::not_found("task_not_found", format!("there is no task {task_id}"))
}
