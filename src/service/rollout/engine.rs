use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;
use uuid::Uuid;

use super::{counts, places, send, standing, wave_at};
use crate::{
    domain::{
        Event, EventKind, MemberState, ORDER_MODULUS, OutboundCommand, Rollout, RolloutState, Step,
        TaskStatus, WaveCounts, decide, wave_end_ranks,
    },
    service::{Result, Service, dispatch_commands::Sending},
    store::{ActiveMember, RolloutMember, RolloutWave, Tx},
};

/// Gateways taken in per transaction.
const ENROL_BATCH_MAX: i64 = 50_000;
/// Between two looks at gateways that update.
const LOOK_INTERVAL: TimeDelta = TimeDelta::milliseconds(500);
/// Before the next look at a rollout that could not be advanced.
const AFTER_ERROR_INTERVAL: TimeDelta = TimeDelta::seconds(5);
/// Between two looks for gateways that came later.
const JOIN_INTERVAL: TimeDelta = TimeDelta::seconds(15);

/// A rollout whose row is locked, on its way one step further.
pub(super) struct Engine<'s> {
    pub(super) service: &'s Service,
    pub(super) tx: Tx,
    pub(super) rollout: Rollout,
    pub(super) waves: Vec<RolloutWave>,
    pub(super) now: DateTime<Utc>,
    /// Whether commands wait to be sent once this is committed.
    pub(super) queued: bool,
    pub(super) sending: Sending<'s>,
    /// Commands to publish once this is committed.
    pub(super) claimed: Vec<OutboundCommand>,
    before: Rollout,
    waves_before: Vec<RolloutWave>,
}

impl Service {
    /// Takes the rollout that has waited longest a step further; how many were (0 or 1). Servers
    /// that do this at once share the work.
    pub async fn advance_rollouts(&self) -> Result<usize> {
        let now = self.clock.now();
        let sending = self.sending(send::BATCH_MAX as usize, now).await?;
        let mut tx = self.db.begin().await?;
        let Some(rollout_id) = tx.lock_due_rollout(now).await? else {
            return Ok(0);
        };
        if let Err(error) = self.advance_rollout(tx, rollout_id, sending, now).await {
            tracing::error!(%rollout_id, %error, "a rollout can't go on; it is tried again");
            // Else it stays the one that has waited longest and holds up all others.
            let mut tx = self.db.begin().await?;
            tx.put_off_rollout(rollout_id, now + AFTER_ERROR_INTERVAL)
                .await?;
            tx.commit().await?;
        }
        Ok(1)
    }

    async fn advance_rollout(
        &self,
        mut tx: Tx,
        rollout_id: Uuid,
        sending: Sending<'_>,
        now: DateTime<Utc>,
    ) -> Result<()> {
        let Some(rollout) = tx.rollout(rollout_id).await? else {
            return Ok(());
        };
        let mut engine = Engine::new(self, tx, rollout, now).await?;
        engine.sending = sending;
        engine.advance().await
    }

    /// Returns when a rollout was made or changed by this server.
    pub async fn rollout_changed(&self) {
        self.rollouts_changed.notified().await;
    }
}

impl<'s> Engine<'s> {
    pub(super) async fn new(
        service: &'s Service,
        mut tx: Tx,
        rollout: Rollout,
        now: DateTime<Utc>,
    ) -> Result<Engine<'s>> {
        let waves = tx.rollout_waves(rollout.rollout_id).await?;
        Ok(Engine {
            service,
            tx,
            before: rollout.clone(),
            rollout,
            waves_before: waves.clone(),
            waves,
            now,
            queued: false,
            sending: Sending::later(now),
            claimed: Vec::new(),
        })
    }

    async fn advance(mut self) -> Result<()> {
        if self.rollout.enrolled || self.rollout.state == RolloutState::Cancelled {
            self.join().await?;
            self.settle().await?;
            self.step().await?;
        } else {
            self.enrol().await?;
        }
        self.save().await
    }

    /// Stores rollout and waves, tells of the change and commits.
    pub(super) async fn save(mut self) -> Result<()> {
        let rollout = &mut self.rollout;
        let seen = |rollout: &Rollout| (rollout.state, rollout.wave, rollout.enrolled);
        if seen(rollout) != seen(&self.before) {
            rollout.updated_at = self.now;
            self.tx.record(rollout_event(rollout, self.now));
            tracing::info!(
                rollout_id = %rollout.rollout_id,
                state = %rollout.state,
                wave = rollout.wave,
                reason = rollout.reason,
                "rollout moved"
            );
        }
        self.tx.update_rollout(rollout).await?;
        // Most looks find nothing new.
        if self.waves != self.waves_before {
            self.tx
                .put_rollout_waves(rollout.rollout_id, &self.waves)
                .await?;
        }
        self.tx.commit().await?;
        self.service.publish_claimed(&self.claimed).await;
        if self.queued {
            self.service.commands_queued.notify_one();
        }
        Ok(())
    }

    /// Takes in the next gateways of the target; after the last the waves are cut.
    pub(super) async fn enrol(&mut self) -> Result<()> {
        self.rollout.next_look_at = Some(self.now);
        let Some(enrolment) = self.enrolment().await? else {
            return Ok(());
        };
        let after = self.rollout.enrolled_to.clone().unwrap_or_default();
        let taken = self
            .tx
            .enrol_gateways(&enrolment, &after, ENROL_BATCH_MAX)
            .await?;
        let id = self.rollout.rollout_id;
        if taken > 0 {
            self.rollout.enrolled_to = self.tx.last_member(id).await?;
        }
        if taken == ENROL_BATCH_MAX.unsigned_abs() {
            return Ok(());
        }
        self.cut_waves().await?;
        self.rollout.enrolled = true;
        if self.rollout.plan.join_until.is_some() {
            self.rollout.next_join_at = Some(self.now + JOIN_INTERVAL);
        }
        Ok(())
    }

    /// Divides those enrolled into waves of exactly the shares asked for.
    async fn cut_waves(&mut self) -> Result<()> {
        let id = self.rollout.rollout_id;
        let all = (-1, ORDER_MODULUS);
        let total = self.tx.count_members(id, MemberState::Waiting, all).await?;
        let shares = self.rollout.plan.waves.clone();
        let mut first = -1;
        for (percent, rank) in shares.iter().zip(wave_end_ranks(total, &shares)) {
            let last = match rank {
                // Gateways that come later find their place behind all of today's, too.
                _ if *percent == 100 => ORDER_MODULUS,
                0 => first,
                rank => self.tx.position_of_rank(id, rank).await?.unwrap_or(first),
            };
            let mut wave = RolloutWave {
                last_position: last,
                counts: WaveCounts {
                    percent: *percent,
                    ..Default::default()
                },
            };
            wave.counts.waiting = self
                .tx
                .count_members(id, MemberState::Waiting, (first, last))
                .await?;
            self.waves.push(wave);
            first = last;
        }
        if first < ORDER_MODULUS {
            self.tx.delete_members_after(id, first).await?;
        }
        Ok(())
    }

    /// Takes in gateways that came to match the target since.
    async fn join(&mut self) -> Result<()> {
        let due = self.rollout.next_join_at.is_some_and(|at| at <= self.now);
        if !due || !self.rollout.state.is_live() {
            return Ok(());
        }
        let open = self
            .rollout
            .plan
            .join_until
            .is_some_and(|until| self.now < until);
        self.rollout.next_join_at = open.then(|| self.now + JOIN_INTERVAL);
        let Some(mut enrolment) = self.enrolment().await? else {
            return Ok(());
        };
        // Whose wave has run already goes with the one that runs.
        let current = self.rollout.wave.saturating_sub(1);
        enrolment.again = true;
        enrolment.from_position = places(&self.waves, current).0 + 1;
        enrolment.last_position = self.waves.last().map_or(0, |wave| wave.last_position);
        let joined = self
            .tx
            .enrol_gateways(&enrolment, "", ENROL_BATCH_MAX)
            .await?;
        if joined > 0 {
            tracing::info!(rollout_id = %self.rollout.rollout_id, joined, "gateways joined");
            self.recount(MemberState::Waiting).await?;
            self.reopen_wave();
        }
        Ok(())
    }

    /// Counts the members in `state` anew.
    pub(super) async fn recount(&mut self, state: MemberState) -> Result<()> {
        for wave in 0..self.waves.len() {
            let count = self
                .tx
                .count_members(self.rollout.rollout_id, state, places(&self.waves, wave))
                .await?;
            *self.waves[wave].counts.of_mut(state) = count;
        }
        Ok(())
    }

    /// The wave that runs has somebody to update again.
    pub(super) fn reopen_wave(&mut self) {
        if let Some(wave) = self.rollout.wave.checked_sub(1) {
            self.waves[wave].counts.ended_at = None;
        }
    }

    /// Counts members whose task has ended.
    pub(super) async fn settle(&mut self) -> Result<()> {
        let settled = self.tx.settled_members(self.rollout.rollout_id).await?;
        let mut changed = Vec::with_capacity(settled.len());
        for member in settled {
            let verdict = self.verdict(&member);
            self.move_member(member.position, MemberState::Active, verdict.state);
            changed.push(verdict);
        }
        self.tx
            .update_members(self.rollout.rollout_id, &changed)
            .await?;
        Ok(())
    }

    /// What becomes of a member whose task has ended.
    fn verdict(&self, active: &ActiveMember) -> RolloutMember {
        let mut member = RolloutMember {
            gateway_id: active.gateway_id.clone(),
            position: active.position,
            state: MemberState::Failed,
            task_id: Some(active.task_id),
            reason: None,
        };
        if active.confirmed_at.is_some() && active.to_version == self.rollout.version {
            member.state = MemberState::Confirmed;
        } else if active.confirmed_at.is_some() {
            // A step on the way: the next one takes its turn, like any command.
            member.state = match self.rollout.state {
                RolloutState::Cancelled => MemberState::Cancelled,
                _ => MemberState::Waiting,
            };
            member.task_id = None;
        } else {
            if active.status == TaskStatus::Cancelled.as_str() {
                member.state = MemberState::Cancelled;
            }
            let parts = [
                active.error_code.as_deref(),
                active.error_message.as_deref(),
            ];
            let parts: Vec<&str> = parts.into_iter().flatten().collect();
            member.reason = (!parts.is_empty()).then(|| parts.join(": "));
        }
        member
    }

    /// Moves one member between two of its wave's counters.
    pub(super) fn move_member(&mut self, position: i64, from: MemberState, to: MemberState) {
        if let Some(wave) = wave_at(&self.waves, position) {
            let counts = &mut self.waves[wave].counts;
            *counts.of_mut(from) -= 1;
            *counts.of_mut(to) += 1;
        }
    }

    /// Asks what to do and does it.
    async fn step(&mut self) -> Result<()> {
        // After anything but a wait there may be more to do at once.
        self.rollout.next_look_at = Some(self.now);
        let pending = match self.rollout.state {
            RolloutState::Running if self.rollout.plan.window.is_none() => 0,
            _ => {
                let id = self.rollout.rollout_id;
                self.tx.pending_members(id, 1).await?.len() as i64
            }
        };
        let counts = counts(&self.waves);
        let step = decide(
            &self.rollout.plan,
            &standing(&self.rollout, &counts, pending),
            self.now,
        );
        match step {
            Step::StartWave(wave) => {
                if self.find_relapses().await? {
                    return Ok(());
                }
                self.rollout.wave = wave;
                self.rollout.state = RolloutState::Running;
                self.rollout.started_at.get_or_insert(self.now);
                self.waves[wave - 1].counts.started_at = Some(self.now);
            }
            Step::Send { count } => self.send(count).await?,
            Step::Withdraw => self.withdraw().await?,
            Step::EndWave => {
                let wave = self.rollout.wave - 1;
                self.waves[wave].counts.ended_at = Some(self.now);
            }
            Step::Halt { reason } => self.halt(reason),
            Step::Complete => {
                if self.find_relapses().await? {
                    return Ok(());
                }
                self.rollout.state = RolloutState::Completed;
                self.rollout.ended_at = Some(self.now);
            }
            Step::Wait { until, .. } => {
                let active: i64 = counts.iter().map(|wave| wave.active).sum();
                let live = self.rollout.state.is_live();
                self.rollout.next_look_at = [
                    (active > 0).then(|| self.now + LOOK_INTERVAL),
                    until,
                    self.rollout.next_join_at.filter(|_| live),
                ]
                .into_iter()
                .flatten()
                .min();
            }
        }
        Ok(())
    }

    pub(super) fn halt(&mut self, reason: String) {
        self.rollout.state = RolloutState::Halted;
        self.rollout.reason = Some(reason);
    }

    /// When a wave has soaked: its gateways that fell back to another version failed after all.
    async fn find_relapses(&mut self) -> Result<bool> {
        let Some(wave) = self.rollout.wave.checked_sub(1) else {
            return Ok(false);
        };
        if self.rollout.plan.soak_seconds == 0 {
            return Ok(false);
        }
        let relapsed = self
            .tx
            .relapsed_members(
                self.rollout.rollout_id,
                &self.rollout.version,
                places(&self.waves, wave),
            )
            .await?;
        let mut changed = Vec::with_capacity(relapsed.len());
        for (mut member, version) in relapsed {
            self.move_member(member.position, MemberState::Confirmed, MemberState::Failed);
            member.state = MemberState::Failed;
            member.reason = Some(format!("it was confirmed, then went back to {version}"));
            changed.push(member);
        }
        self.tx
            .update_members(self.rollout.rollout_id, &changed)
            .await?;
        Ok(!changed.is_empty())
    }
}

/// A rollout as it is now.
pub(super) fn rollout_event(rollout: &Rollout, now: DateTime<Utc>) -> Event {
    Event {
        kind: EventKind::Rollout,
        gateway_id: None,
        task_id: None,
        rollout_id: Some(rollout.rollout_id),
        data: json!({
            "name": rollout.name,
            "version": rollout.version,
            "deviceType": rollout.device_type,
            "state": rollout.state.as_str(),
            "reason": rollout.reason,
            "wave": rollout.wave,
            "enrolled": rollout.enrolled,
        }),
        created_at: now,
    }
}
