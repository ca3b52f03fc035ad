use std::collections::{BTreeMap, HashMap, hash_map::Entry};

use chrono::TimeDelta;

use super::engine::Engine;
use crate::{
    domain::{
        Candidate, Firmware, Gateway, MemberState, OutboundCommand, RolloutState, Task, TaskStatus,
        TriggerDecision, decide_trigger, eligibility, paced_after,
    },
    service::{
        Error, Result,
        make_task::{NewTask, record_task},
    },
    store::RolloutMember,
};

/// Gateways sent to, or withdrawn from, per transaction.
pub(super) const BATCH_MAX: u32 = 1000;

/// What a gateway's turn led to.
enum Turn {
    /// A task to store with its command.
    New(Box<Task>, Box<OutboundCommand>),
    /// The gateway is on its way there already.
    Adopted(Box<Task>),
    Skipped(String),
}

/// What every turn of a batch needs.
struct Turns {
    target: Firmware,
    candidates: Vec<Candidate>,
    /// The firmwares that paths begin with, as they come up.
    steps: HashMap<String, Firmware>,
}

impl Engine<'_> {
    /// Lets the next `count` gateways begin.
    pub(super) async fn send(&mut self, count: u32) -> Result<()> {
        let id = self.rollout.rollout_id;
        let last = self.waves[self.rollout.wave - 1].last_position;
        let count = count.min(BATCH_MAX);
        let mut members = self.tx.waiting_members(id, last, count.into()).await?;
        if members.is_empty() {
            // The counters promised somebody.
            tracing::warn!(rollout_id = %id, "a rollout's counters were wrong; counted anew");
            for state in MemberState::ALL {
                self.recount(state).await?;
            }
            return Ok(());
        }
        let Some(mut turns) = self.turns().await? else {
            return Ok(());
        };
        // Whoever locks several gateways does so by their ids.
        members.sort_by(|a, b| a.gateway_id.cmp(&b.gateway_id));
        let ids: Vec<&str> = members.iter().map(|it| it.gateway_id.as_str()).collect();
        let gateways = self.tx.lock_known_gateways(&ids).await?;
        let gateways: BTreeMap<&str, &Gateway> = gateways
            .iter()
            .map(|gateway| (gateway.gateway_id.as_str(), gateway))
            .collect();
        let mut newest: BTreeMap<String, Task> = self
            .tx
            .lock_newest_tasks(&ids)
            .await?
            .into_iter()
            .map(|task| (task.gateway_id.clone(), task))
            .collect();
        let sending = self.sending;
        let (mut tasks, mut commands) = (Vec::new(), Vec::new());
        for member in &mut members {
            let newest = newest.remove(&member.gateway_id);
            let gateway = gateways.get(member.gateway_id.as_str());
            let turn = match gateway {
                Some(gateway) => self.turn(member, gateway, newest, &mut turns).await?,
                None => Turn::Skipped("it is not registered any more".to_owned()),
            };
            member.state = MemberState::Active;
            match turn {
                Turn::New(task, mut command) => {
                    if let Some(gateway) = gateway {
                        sending.claim(&mut command, gateway);
                    }
                    member.task_id = Some(task.task_id);
                    tasks.push(*task);
                    commands.push(*command);
                }
                Turn::Adopted(task) => member.task_id = Some(task.task_id),
                Turn::Skipped(reason) => {
                    member.state = MemberState::Skipped;
                    member.reason = Some(reason);
                }
            }
            self.move_member(member.position, MemberState::Waiting, member.state);
        }
        self.tx.insert_tasks(&tasks).await?;
        let (service, tx) = (self.service, &mut self.tx);
        self.claimed = service.put_commands(tx, &commands, sending).await?;
        // A task that was replaced has a command of its own, to cancel.
        self.queued = true;
        for task in &tasks {
            record_task(&mut self.tx, None, task, self.now);
        }
        self.tx.update_members(id, &members).await?;
        let sent = u32::try_from(commands.len()).unwrap_or(u32::MAX);
        if sent > 0 {
            self.rollout.paced_at =
                paced_after(&self.rollout.plan, self.rollout.paced_at, sent, self.now);
        }
        Ok(())
    }

    /// Halts the rollout if its firmware must not be installed any more.
    async fn turns(&mut self) -> Result<Option<Turns>> {
        let admission = self.service.admission().await?;
        let (device_type, version) = (&self.rollout.device_type, &self.rollout.version);
        let reason = match self.tx.firmware(device_type, version).await? {
            None => format!("firmware {version} is gone"),
            Some(target) if !target.status.is_installable() => {
                format!("firmware {version} is {} now", target.status)
            }
            Some(target) => match admission.bars(&target) {
                Some(barred) => format!("firmware {version}: {barred}"),
                None => {
                    return Ok(Some(Turns {
                        candidates: self.tx.candidates(device_type, &admission).await?,
                        target,
                        steps: HashMap::new(),
                    }));
                }
            },
        };
        self.halt(reason);
        Ok(None)
    }

    /// What is to be done with a gateway whose turn it is; `newest` is its newest task.
    async fn turn(
        &mut self,
        member: &RolloutMember,
        gateway: &Gateway,
        newest: Option<Task>,
        Turns {
            target,
            candidates,
            steps,
        }: &mut Turns,
    ) -> Result<Turn> {
        let plan = &self.rollout.plan;
        let version = &self.rollout.version;
        let forced = plan.force_upgrade;
        let path = match eligibility(gateway, target, candidates, forced) {
            Ok(path) => path,
            Err(refusal) => return Ok(Turn::Skipped(refusal.to_string())),
        };
        let newest_task_id = newest.as_ref().map(|task| task.task_id);
        let active = newest.filter(Task::is_under_way);
        match (decide_trigger(active.as_ref(), version, forced), active) {
            (TriggerDecision::Return, Some(mut task)) => {
                task.join_rollout(self.rollout.rollout_id, plan.task_timeout_seconds, self.now);
                self.tx.update_tasks(&[&task]).await?;
                return Ok(Turn::Adopted(Box::new(task)));
            }
            (TriggerDecision::Conflict, Some(task)) => {
                return Ok(Turn::Skipped(format!(
                    "it is on its way to {} (task {})",
                    task.to_version, task.task_id
                )));
            }
            (TriggerDecision::Replace, Some(mut task)) => {
                self.service
                    .cancel_locked(&mut self.tx, &mut task, self.now)
                    .await?;
            }
            _ => {}
        }
        let jitter = i64::from(plan.jitter_seconds);
        // The places of those sent together are far apart, so this spreads them.
        let delay = TimeDelta::seconds(member.position % (jitter + 1));
        let first = path.first().unwrap_or(version).clone();
        let firmware = match steps.entry(first) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => {
                let (device_type, step) = (&self.rollout.device_type, new.key());
                let firmware = self.tx.firmware(device_type, step).await?;
                let firmware = firmware.ok_or_else(|| Error::no_firmware(device_type, step))?;
                new.insert(firmware)
            }
        };
        let (task, command) = self.service.new_task(
            NewTask {
                gateway,
                firmware,
                path,
                force_upgrade: forced,
                scheduled_at: None,
                rollout_id: Some(self.rollout.rollout_id),
                timeout_seconds: Some(plan.task_timeout_seconds.into()),
                not_before: (jitter > 0).then(|| self.now + delay),
                newest_task_id,
            },
            self.now,
        );
        Ok(Turn::New(Box::new(task), Box::new(command)))
    }

    /// Takes back what no gateway has answered; its gateways wait again, or are done with if the
    /// rollout was cancelled.
    pub(super) async fn withdraw(&mut self) -> Result<()> {
        let id = self.rollout.rollout_id;
        let pending = self.tx.pending_members(id, BATCH_MAX.into()).await?;
        let mut ids: Vec<&str> = pending.iter().map(|it| it.gateway_id.as_str()).collect();
        ids.sort_unstable();
        self.tx.lock_known_gateways(&ids).await?;
        let mut changed = Vec::with_capacity(pending.len());
        for active in pending {
            let task = self.tx.lock_task(active.task_id).await?;
            // It may have been answered before its gateway was locked.
            let Some(mut task) = task.filter(|task| task.status == TaskStatus::Pending) else {
                continue;
            };
            // Another rollout may have taken it over, and goes on.
            if task.rollout_id == Some(id) {
                self.service
                    .cancel_locked(&mut self.tx, &mut task, self.now)
                    .await?;
            }
            let cancelled = self.rollout.state == RolloutState::Cancelled;
            let state = match cancelled {
                true => MemberState::Cancelled,
                false => MemberState::Waiting,
            };
            self.move_member(active.position, MemberState::Active, state);
            changed.push(RolloutMember {
                gateway_id: active.gateway_id,
                position: active.position,
                state,
                task_id: cancelled.then_some(active.task_id),
                reason: None,
            });
        }
        self.queued = true;
        self.tx.update_members(id, &changed).await?;
        Ok(())
    }
}
