use serde_json::json;
use uuid::Uuid;

use super::{engine::Engine, list::RolloutView};
use crate::{
    domain::{Caller, MemberState, RolloutAction, RolloutState},
    service::{Error, Result, Service},
};

impl Service {
    /// Pauses, resumes, cancels or retries a rollout.
    pub async fn act_on_rollout(
        &self,
        caller: &Caller,
        rollout_id: Uuid,
        action: RolloutAction,
    ) -> Result<RolloutView> {
        let now = self.clock.now();
        let mut tx = self.db.begin().await?;
        let rollout = tx
            .lock_rollout(rollout_id)
            .await?
            .ok_or_else(|| no_rollout(rollout_id))?;
        let from = rollout.state;
        let state = action
            .apply(rollout.state, rollout.wave)
            .map_err(|refusal| Error::conflict(refusal.code, refusal.message))?;
        let mut engine = Engine::new(self, tx, rollout, now).await?;
        // What has ended since the last look counts before anything is decided.
        engine.settle().await?;
        match action {
            RolloutAction::Pause => {}
            RolloutAction::Resume if engine.rollout.state == RolloutState::Halted => {
                engine.tolerate_failures();
            }
            RolloutAction::Resume => {}
            RolloutAction::Cancel => engine.rollout.ended_at = Some(now),
            RolloutAction::Retry => engine.retry().await?,
        }
        engine.rollout.state = state;
        engine.rollout.reason = None;
        engine.rollout.next_look_at = Some(now);
        engine.rollout.updated_at = now;
        let audited = match action {
            RolloutAction::Pause => "rollout.pause",
            RolloutAction::Resume => "rollout.resume",
            RolloutAction::Cancel => "rollout.cancel",
            RolloutAction::Retry => "rollout.retry",
        };
        let detail = json!({ "from": from.as_str(), "to": state.as_str() });
        engine
            .tx
            .audit(&caller.did(audited, rollout_id.to_string(), detail, now))
            .await?;
        engine.save().await?;
        self.rollouts_changed.notify_one();
        self.rollout(rollout_id).await
    }
}

impl Engine<'_> {
    fn tolerate_failures(&mut self) {
        for wave in &mut self.waves {
            wave.counts.tolerated = wave.counts.failed;
        }
    }

    async fn retry(&mut self) -> Result<()> {
        let retried = self.tx.retry_members(self.rollout.rollout_id).await?;
        if retried == 0 {
            return Err(Error::conflict(
                "nothing_to_retry",
                "no gateway of the rollout has failed or was skipped",
            ));
        }
        for state in [
            MemberState::Waiting,
            MemberState::Failed,
            MemberState::Skipped,
        ] {
            self.recount(state).await?;
        }
        for wave in &mut self.waves {
            wave.counts.tolerated = 0;
        }
        self.reopen_wave();
        self.rollout.ended_at = None;
        Ok(())
    }
}

pub(super) fn no_rollout(rollout_id: Uuid) -> Error {
    Error::not_found(
        "rollout_not_found",
        format!("there is no rollout {rollout_id}"),
    )
}
