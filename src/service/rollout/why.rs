use std::collections::HashMap;

use super::{counts, target::target_query, wave_at};
use crate::{
    domain::{Gateway, MemberState, Membership, Rollout, RolloutFacts},
    service::Result,
    store::{RolloutFilter, RolloutMember, Tx},
};
use uuid::Uuid;

/// Open rollouts that are looked at, newest first.
const OPEN_MAX: i64 = 100;
/// Of the newest rollouts of a device type, the ended ones are looked at, too.
const RECENT_MAX: i64 = 20;

/// The rollouts that concern a gateway: the open ones of its device type or that name it, newest
/// first, and the recent ones it was in.
pub(in crate::service) async fn rollouts_for(
    tx: &mut Tx,
    gateway: &Gateway,
) -> Result<Vec<RolloutFacts>> {
    let filter = RolloutFilter {
        state: None,
        device_type: None,
        open: true,
        before: Uuid::max(),
        limit: OPEN_MAX,
    };
    let mut rollouts = tx.rollouts(&filter).await?;
    rollouts.retain(|rollout| may_mean(rollout, gateway));
    let recent = RolloutFilter {
        device_type: Some(gateway.device_type.clone()),
        open: false,
        limit: RECENT_MAX,
        ..filter
    };
    let recent = tx.rollouts(&recent).await?;
    rollouts.extend(recent.into_iter().filter(|it| it.ended_at.is_some()));
    let ids: Vec<Uuid> = rollouts.iter().map(|it| it.rollout_id).collect();
    let members = tx.memberships(&gateway.gateway_id, &ids).await?;
    let mut members: HashMap<Uuid, RolloutMember> = members.into_iter().collect();
    let mut facts = Vec::new();
    for rollout in rollouts {
        let member = members.remove(&rollout.rollout_id);
        if rollout.ended_at.is_none() || member.is_some() {
            facts.push(read(tx, rollout, member).await?);
        }
    }
    Ok(facts)
}

fn may_mean(rollout: &Rollout, gateway: &Gateway) -> bool {
    let ids = rollout.target.gateway_ids.as_deref();
    rollout.device_type == gateway.device_type
        || ids.is_some_and(|ids| ids.contains(&gateway.gateway_id))
}

async fn read(
    tx: &mut Tx,
    rollout: Rollout,
    member: Option<RolloutMember>,
) -> Result<RolloutFacts> {
    let waves = tx.rollout_waves(rollout.rollout_id).await?;
    let membership = match member {
        None => None,
        Some(member) => {
            let wave = wave_at(&waves, member.position).map(|wave| wave + 1);
            let queues = wave.is_some_and(|wave| wave <= rollout.wave);
            let ahead = match member.state {
                MemberState::Waiting if queues => {
                    let before = (-1, member.position - 1);
                    tx.count_members(rollout.rollout_id, MemberState::Waiting, before)
                        .await?
                }
                _ => 0,
            };
            Some(Membership {
                state: member.state,
                wave,
                reason: member.reason,
                ahead,
            })
        }
    };
    Ok(RolloutFacts {
        target: target_query(&rollout.device_type, &rollout.target)?,
        waves: counts(&waves),
        last_position: waves.last().map_or(-1, |wave| wave.last_position),
        membership,
        rollout,
    })
}
