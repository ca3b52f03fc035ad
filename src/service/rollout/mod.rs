//! Rollouts: one version, many gateways. `create` and `dry_run` choose who gets it, `engine` takes
//! a rollout a step further whenever something is due, `act` is what people do to it.
//!
//! Only these files write to a rollout's tables, and only while they hold its row's lock. Tasks of
//! its gateways end elsewhere; the engine looks at them and counts.

mod act;
mod create;
mod dry_run;
mod engine;
mod list;
mod send;
mod target;
mod why;

pub use create::CreateRollout;
pub use dry_run::{DryRun, DryRunGateway, Exclusion};
pub use list::{RolloutGateway, RolloutView};
pub(super) use why::rollouts_for;

use crate::{
    domain::{Rollout, Standing, WaveCounts},
    store::RolloutWave,
};

/// The waves' counters, as decisions want them.
fn counts(waves: &[RolloutWave]) -> Vec<WaveCounts> {
    waves.iter().map(|wave| wave.counts.clone()).collect()
}

/// The wave (from 0) that a place in the order belongs to.
fn wave_at(waves: &[RolloutWave], position: i64) -> Option<usize> {
    waves.iter().position(|wave| position <= wave.last_position)
}

/// The places of wave `wave` (from 0): after the first and up to the second.
fn places(waves: &[RolloutWave], wave: usize) -> (i64, i64) {
    let before = match wave {
        0 => -1,
        _ => waves[wave - 1].last_position,
    };
    (before, waves[wave].last_position)
}

fn standing<'c>(rollout: &Rollout, counts: &'c [WaveCounts], pending: i64) -> Standing<'c> {
    Standing {
        state: rollout.state,
        wave: rollout.wave,
        waves: counts,
        paced_at: rollout.paced_at,
        pending,
    }
}
