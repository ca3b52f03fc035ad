use chrono::{DateTime, Utc};

use super::{
    Result, Service,
    make_task::{NewTask, record_task},
};
use crate::{
    domain::{Gateway, Task, VersionRefusal, plan_path},
    store::Tx,
};

impl Service {
    /// A step on the way to a version is confirmed: makes the task of the next one, over the
    /// firmwares as they are now. Whether it did. Not for a rollout's task: the rollout may be
    /// halted or its window closed, so it sends to the gateway when its turn comes again.
    pub(super) async fn begin_next_step(
        &self,
        tx: &mut Tx,
        gateway: &Gateway,
        confirmed: &Task,
        now: DateTime<Utc>,
    ) -> Result<bool> {
        let target = confirmed.final_version();
        if target == confirmed.to_version || confirmed.rollout_id.is_some() {
            return Ok(false);
        }
        let newest = tx.newest_task(&gateway.gateway_id).await?;
        if newest.is_some_and(|newest| newest.task_id != confirmed.task_id) {
            return Ok(false);
        }
        let device_type = &gateway.device_type;
        let admission = match self.admission().await {
            Ok(admission) => admission,
            // What the gateway has said must be stored all the same.
            Err(error) => {
                tracing::warn!(
                    gateway_id = gateway.gateway_id,
                    task_id = %confirmed.task_id,
                    target,
                    "the upgrade ends at {}: {error}",
                    confirmed.to_version
                );
                return Ok(false);
            }
        };
        let firmwares = tx.candidates(device_type, &admission).await?;
        let planned = plan_path(Some(&confirmed.to_version), target, &firmwares);
        let planned = match planned {
            Ok(path) => match tx.firmware(device_type, &path[0]).await? {
                Some(firmware) => Ok((path, firmware)),
                None => Err(VersionRefusal::NoFirmware),
            },
            Err(refusal) => Err(refusal),
        };
        let (path, firmware) = match planned {
            Ok(planned) => planned,
            Err(refusal) => {
                tracing::warn!(
                    gateway_id = gateway.gateway_id,
                    task_id = %confirmed.task_id,
                    target,
                    "the upgrade ends at {}: {refusal}",
                    confirmed.to_version
                );
                return Ok(false);
            }
        };
        let new = NewTask {
            gateway,
            firmware: &firmware,
            path,
            force_upgrade: confirmed.force_upgrade,
            scheduled_at: None,
            rollout_id: None,
            timeout_seconds: None,
            not_before: None,
            newest_task_id: Some(confirmed.task_id),
        };
        let (mut task, command) = self.new_task(new, now);
        // Proven; what the gateway's row says may be older.
        task.from_version = Some(confirmed.to_version.clone());
        tx.insert_tasks(std::slice::from_ref(&task)).await?;
        tx.insert_commands(&[command]).await?;
        record_task(tx, None, &task, now);
        Ok(true)
    }
}
