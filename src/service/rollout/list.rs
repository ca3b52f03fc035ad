use uuid::Uuid;

use super::{act::no_rollout, counts, places, standing, wave_at};
use crate::{
    domain::{MemberState, Rollout, decide},
    service::{Error, Page, Result, Service},
    store::{MemberFilter, RolloutFilter, RolloutMember, RolloutWave, Tx},
};

/// A rollout and how it stands.
#[derive(Clone, Debug)]
pub struct RolloutView {
    pub rollout: Rollout,
    pub waves: Vec<RolloutWave>,
    /// What it waits for just now.
    pub waiting_for: Option<String>,
}

/// A gateway in a rollout.
#[derive(Clone, Debug)]
pub struct RolloutGateway {
    pub member: RolloutMember,
    /// From 1.
    pub wave: Option<usize>,
}

impl Service {
    pub async fn rollout(&self, rollout_id: Uuid) -> Result<RolloutView> {
        let mut tx = self.db.read().await?;
        let rollout = tx
            .rollout(rollout_id)
            .await?
            .ok_or_else(|| no_rollout(rollout_id))?;
        self.rollout_view(&mut tx, rollout).await
    }

    pub async fn rollouts(&self, mut filter: RolloutFilter) -> Result<Page<RolloutView>> {
        let limit = filter.limit;
        filter.limit += 1;
        let mut tx = self.db.read().await?;
        let page = Page::cut(tx.rollouts(&filter).await?, limit);
        let mut items = Vec::with_capacity(page.items.len());
        for rollout in page.items {
            items.push(self.rollout_view(&mut tx, rollout).await?);
        }
        Ok(Page {
            items,
            more: page.more,
        })
    }

    async fn rollout_view(&self, tx: &mut Tx, rollout: Rollout) -> Result<RolloutView> {
        let waves = tx.rollout_waves(rollout.rollout_id).await?;
        let counts = counts(&waves);
        let waiting_for = match rollout.enrolled {
            // Withdrawing what is pending is no wait; here it is as good as done.
            true => decide(
                &rollout.plan,
                &standing(&rollout, &counts, 0),
                self.clock.now(),
            )
            .waiting_for(),
            false => Some("its gateways are being taken in".to_owned()),
        };
        let ended = rollout.ended_at.is_some();
        Ok(RolloutView {
            rollout,
            waves,
            waiting_for: waiting_for.filter(|_| !ended),
        })
    }

    /// The gateways of a rollout by id, of one state or one wave (from 1) or all.
    pub async fn rollout_gateways(
        &self,
        rollout_id: Uuid,
        state: Option<MemberState>,
        wave: Option<usize>,
        after: String,
        limit: i64,
    ) -> Result<Page<RolloutGateway>> {
        let mut tx = self.db.read().await?;
        tx.rollout(rollout_id)
            .await?
            .ok_or_else(|| no_rollout(rollout_id))?;
        let waves = tx.rollout_waves(rollout_id).await?;
        let positions = match wave {
            None => None,
            Some(wave) if (1..=waves.len()).contains(&wave) => Some(places(&waves, wave - 1)),
            Some(wave) => {
                return Err(Error::invalid(
                    "invalid_wave",
                    format!("wave {wave} is not one of the rollout's {}", waves.len()),
                ));
            }
        };
        let filter = MemberFilter {
            rollout_id,
            state,
            positions,
            after,
            limit: limit + 1,
        };
        let page = Page::cut(tx.members(&filter).await?, limit);
        let gateway = |member: RolloutMember| RolloutGateway {
            wave: wave_at(&waves, member.position).map(|wave| wave + 1),
            member,
        };
        Ok(Page {
            items: page.items.into_iter().map(gateway).collect(),
            more: page.more,
        })
    }
}
