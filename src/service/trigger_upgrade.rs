use std::{
    collections::{HashMap, hash_map::Entry},
    sync::Arc,
    time::Duration,
};

use airlift_proto::{GATEWAY_ID_LENGTH_MAX, is_gateway_id};
use chrono::{DateTime, Utc};
use serde_json::json;
use uuid::Uuid;

use super::{
    Error, Result, Service,
    known_firmwares::KnownFirmwares,
    make_task::{NewTask, record_task},
};
use crate::{
    domain::{
        Admission, AuditEntry, Caller, DEVICE_TYPE_DEFAULT, Event, Gateway, OutboundCommand,
        REGISTERED, Task, TaskStatus, TriggerDecision, decide_trigger, too_far_ahead,
    },
    store::Tx,
};

/// Triggers stored per transaction.
pub(super) const TRIGGER_BATCH_MAX: usize = 256;
/// Wait for as many as came together before: less than the commit that they share.
pub(super) const TRIGGER_LINGER_MAX: Duration = Duration::from_millis(3);

/// Which version a gateway is to get, and when.
#[derive(Clone, Debug, Default)]
pub struct TriggerUpgrade {
    /// `None`: the latest release.
    pub version: Option<String>,
    pub force_upgrade: bool,
    pub scheduled_at: Option<DateTime<Utc>>,
}

/// A trigger on its way into a batch.
pub(super) struct Trigger {
    caller: Caller,
    gateway_id: String,
    upgrade: TriggerUpgrade,
    /// The task that is tried again.
    retried: Option<Uuid>,
}

/// What a trigger leads to.
enum Turn {
    /// The gateway is on its way there already.
    Under(Task),
    New {
        task: Task,
        command: OutboundCommand,
        /// Whether another task was cancelled for it.
        replaces: bool,
    },
}

/// Refuses what can't name a gateway.
pub(super) fn check_gateway_id(gateway_id: &str) -> Result<()> {
    if is_gateway_id(gateway_id) {
        return Ok(());
    }
    Err(Error::invalid(
        "invalid_gateway_id",
        format!(
            "{gateway_id:?} is not a gateway id: use 1 to {GATEWAY_ID_LENGTH_MAX} of \
             A-Z a-z 0-9 . _ : -"
        ),
    ))
}

impl Service {
    /// Stores a task together with its command, which leaves at once. A second trigger for the same
    /// version returns the same task. Where the firmware's minimum asks for it, the task leads to the
    /// first of several versions; each that is confirmed makes the task of the next.
    pub async fn trigger_upgrade(
        &self,
        caller: &Caller,
        gateway_id: &str,
        upgrade: TriggerUpgrade,
    ) -> Result<Task> {
        self.trigger(Trigger {
            caller: caller.clone(),
            gateway_id: gateway_id.to_owned(),
            upgrade,
            retried: None,
        })
        .await
    }

    /// A new task for the same gateway and version as one that failed or was cancelled.
    pub async fn retry_upgrade(&self, caller: &Caller, task_id: Uuid) -> Result<Task> {
        let task = self.task(task_id).await?;
        if !matches!(task.status, TaskStatus::Failed | TaskStatus::Cancelled) {
            return Err(Error::conflict(
                "task_not_retryable",
                format!(
                    "task {task_id} is {}: only a failed or cancelled one can be tried again",
                    task.status
                ),
            ));
        }
        if task.is_its_own() {
            return Err(Error::conflict(
                "task_not_retryable",
                format!(
                    "gateway {} began task {task_id} on its own, as it follows a branch: \
                     `airlift-agent retry` on the device tries again",
                    task.gateway_id
                ),
            ));
        }
        self.trigger(Trigger {
            caller: caller.clone(),
            upgrade: TriggerUpgrade {
                version: Some(task.final_version().to_owned()),
                force_upgrade: task.force_upgrade,
                scheduled_at: None,
            },
            gateway_id: task.gateway_id,
            retried: Some(task_id),
        })
        .await
    }

    async fn trigger(&self, trigger: Trigger) -> Result<Task> {
        check_gateway_id(&trigger.gateway_id)?;
        let scheduled_at = trigger.upgrade.scheduled_at;
        let now = self.clock.now();
        if let Some(message) = scheduled_at.and_then(|at| too_far_ahead("scheduledAt", at, now)) {
            return Err(Error::invalid("time_too_far", message));
        }
        self.triggers.ask(trigger).await?
    }

    /// Answers triggers that came at the same time, each as if it were alone.
    pub(super) async fn answer_triggers(&self, triggers: &[Trigger]) -> Result<Vec<Result<Task>>> {
        let admission = self.admission().await?;
        let mut answers: Vec<(usize, Result<Task>)> = Vec::with_capacity(triggers.len());
        for round in rounds(triggers) {
            let (places, round): (Vec<usize>, Vec<&Trigger>) = round.into_iter().unzip();
            let answered = self.answer_round(&round, &admission).await;
            answers.extend(places.into_iter().zip(answered));
        }
        answers.sort_by_key(|(place, _)| *place);
        Ok(answers.into_iter().map(|(_, answer)| answer).collect())
    }

    async fn answer_round(&self, round: &[&Trigger], admission: &Admission) -> Vec<Result<Task>> {
        match self.trigger_together(round, admission).await {
            Ok(answers) => answers,
            Err(Error::Store(error)) if round.len() > 1 && !error.is_transient() => {
                tracing::error!(%error, triggers = round.len(), "triggers can't be stored");
                self.trigger_one_by_one(round, admission).await
            }
            Err(error) => {
                let error = Arc::new(error);
                let failed = round.iter().map(|_| Err(Error::Batch(error.clone())));
                failed.collect()
            }
        }
    }

    /// One of them can't be stored: it must not keep the others out.
    async fn trigger_one_by_one(
        &self,
        round: &[&Trigger],
        admission: &Admission,
    ) -> Vec<Result<Task>> {
        let mut answers = Vec::with_capacity(round.len());
        for trigger in round {
            match self.trigger_together(&[trigger], admission).await {
                Ok(answer) => answers.extend(answer),
                Err(error) => answers.push(Err(error)),
            }
        }
        answers
    }

    /// All in one transaction. Their gateways' ids rise, each once.
    async fn trigger_together(
        &self,
        triggers: &[&Trigger],
        admission: &Admission,
    ) -> Result<Vec<Result<Task>>> {
        let now = self.clock.now();
        let sending = self.sending(triggers.len(), now).await?;
        let mut tx = self.db.begin().await?;
        let unknown: Vec<Gateway> = triggers
            .iter()
            .map(|it| Gateway::new(&it.gateway_id, DEVICE_TYPE_DEFAULT, now))
            .collect();
        let (gateways, registered) = tx.lock_gateways(&unknown).await?;
        let ids: Vec<&str> = triggers.iter().map(|it| it.gateway_id.as_str()).collect();
        assert!(
            gateways
                .iter()
                .map(|it| it.gateway_id.as_str())
                .eq(ids.iter().copied()),
            "each trigger has its gateway"
        );
        // A gateway that was registered just now has no task.
        let newest = match registered.len() < ids.len() {
            true => tx.lock_newest_tasks(&ids).await?,
            false => Vec::new(),
        };
        let mut newest: HashMap<String, Task> = newest
            .into_iter()
            .map(|task| (task.gateway_id.clone(), task))
            .collect();
        let mut firmwares = KnownFirmwares::new(admission);
        let mut answers = Vec::with_capacity(triggers.len());
        let (mut tasks, mut commands, mut audit) = (Vec::new(), Vec::new(), Vec::new());
        let (mut refused, mut replaced) = (Vec::new(), false);
        for (trigger, gateway) in triggers.iter().zip(&gateways) {
            let newest = newest.remove(&gateway.gateway_id);
            let turn = self.turn(&mut tx, trigger, gateway, newest, &mut firmwares, now);
            answers.push(match turn.await {
                Ok(Turn::Under(task)) => Ok(task),
                Ok(Turn::New {
                    task,
                    mut command,
                    replaces,
                }) => {
                    replaced |= replaces;
                    if registered.contains(&gateway.gateway_id) {
                        tx.record(Event::gateway(gateway, &[REGISTERED], now));
                    }
                    record_task(&mut tx, None, &task, now);
                    sending.claim(&mut command, gateway);
                    audit.push(trigger.audit(&task, now));
                    commands.push(command);
                    tasks.push(task.clone());
                    Ok(task)
                }
                Err(error @ Error::Store(_)) => return Err(error),
                Err(error) => {
                    refused.push(gateway.gateway_id.as_str());
                    Err(error)
                }
            });
        }
        if tasks.is_empty() {
            return Ok(answers);
        }
        // Whom a refused trigger alone has named stays unknown.
        refused.retain(|id| registered.contains(*id));
        tx.delete_gateways(&refused).await?;
        tx.insert_tasks(&tasks).await?;
        let claimed = self.put_commands(&mut tx, &commands, sending).await?;
        tx.audit_all(&audit).await?;
        tx.commit().await?;
        self.publish_claimed(&claimed).await;
        // A task that was replaced has a command of its own, to cancel.
        if claimed.len() < commands.len() || replaced {
            self.commands_queued.notify_one();
        }
        for task in &tasks {
            tracing::info!(
                gateway_id = task.gateway_id,
                task_id = %task.task_id,
                to_version = task.to_version,
                path = ?task.path,
                "upgrade triggered"
            );
        }
        Ok(answers)
    }

    /// Decides one trigger; `newest` is the gateway's newest task. What it refuses it has not
    /// changed.
    async fn turn(
        &self,
        tx: &mut Tx,
        Trigger { upgrade, .. }: &Trigger,
        gateway: &Gateway,
        newest: Option<Task>,
        firmwares: &mut KnownFirmwares<'_>,
        now: DateTime<Utc>,
    ) -> Result<Turn> {
        let (version, forced) = (upgrade.version.as_deref(), upgrade.force_upgrade);
        let device_type = &gateway.device_type;
        let firmware = firmwares.installable(tx, device_type, version).await?;
        let newest_task_id = newest.as_ref().map(|task| task.task_id);
        let under_way = newest.filter(Task::is_under_way);
        let decision = decide_trigger(under_way.as_ref(), &firmware.version, forced);
        let replaced = match (decision, under_way) {
            (TriggerDecision::Return, Some(task)) => return Ok(Turn::Under(task)),
            (TriggerDecision::Conflict, Some(task)) => {
                return Err(Error::conflict(
                    "upgrade_in_progress",
                    format!(
                        "gateway {} is on its way to {} (task {}, {} at {} %): wait for it, cancel \
                         it, or set forceUpgrade to replace it",
                        gateway.gateway_id,
                        task.final_version(),
                        task.task_id,
                        task.status,
                        task.progress
                    ),
                ));
            }
            (TriggerDecision::Replace, task) => task,
            _ => None,
        };
        let (path, firmware) = firmwares.first_step(tx, gateway, firmware, forced).await?;
        let replaces = replaced.is_some();
        if let Some(mut task) = replaced {
            self.cancel_locked(tx, &mut task, now).await?;
        }
        let new = NewTask {
            gateway,
            firmware: &firmware,
            path,
            force_upgrade: forced,
            scheduled_at: upgrade.scheduled_at,
            rollout_id: None,
            timeout_seconds: None,
            not_before: None,
            newest_task_id,
        };
        let (task, command) = self.new_task(new, now);
        Ok(Turn::New {
            task,
            command,
            replaces,
        })
    }
}

impl Trigger {
    /// What the audit log has of its new task.
    fn audit(&self, task: &Task, now: DateTime<Utc>) -> AuditEntry {
        let Some(retried) = self.retried else {
            let detail = json!({
                "taskId": task.task_id,
                "version": task.final_version(),
                "forceUpgrade": task.force_upgrade,
            });
            return self
                .caller
                .did("upgrade.trigger", self.gateway_id.as_str(), detail, now);
        };
        let detail = json!({
            "gatewayId": task.gateway_id,
            "taskId": task.task_id,
            "version": task.final_version(),
        });
        self.caller
            .did("task.retry", retried.to_string(), detail, now)
    }
}

/// The triggers with their places, parted so that none of a round decides over another's gateway:
/// of one gateway the first is in the first round. Within a round gateways' ids rise, as whoever
/// locks several must have it.
fn rounds(triggers: &[Trigger]) -> Vec<Vec<(usize, &Trigger)>> {
    let mut rounds: Vec<Vec<(usize, &Trigger)>> = Vec::new();
    let mut next: HashMap<&str, usize> = HashMap::new();
    for (place, trigger) in triggers.iter().enumerate() {
        let round = match next.entry(&trigger.gateway_id) {
            Entry::Occupied(mut known) => {
                *known.get_mut() += 1;
                *known.get()
            }
            Entry::Vacant(new) => *new.insert(0),
        };
        if round == rounds.len() {
            rounds.push(Vec::new());
        }
        rounds[round].push((place, trigger));
    }
    for round in &mut rounds {
        round.sort_by(|(_, a), (_, b)| a.gateway_id.cmp(&b.gateway_id));
    }
    rounds
}
