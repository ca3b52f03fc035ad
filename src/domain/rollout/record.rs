use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::domain::Tags;

use super::{MemberState, RolloutPlan, RolloutState, WaveCounts};

/// One version on its way to many gateways.
#[derive(Clone, Debug, PartialEq)]
pub struct Rollout {
    pub rollout_id: Uuid,
    /// For people; may be empty.
    pub name: String,
    pub device_type: String,
    pub version: String,
    pub target: RolloutTarget,
    pub plan: RolloutPlan,
    /// From which the order of its gateways is made.
    pub seed: i64,
    pub state: RolloutState,
    /// Why it is in this state, if somebody should know.
    pub reason: Option<String>,
    /// The last gateway that enrolment has looked at.
    pub enrolled_to: Option<String>,
    /// Whether all gateways of the target were taken in.
    pub enrolled: bool,
    /// The wave that runs, from 1; 0 before the first.
    pub wave: usize,
    /// When the next command may leave, by the rate.
    pub paced_at: Option<DateTime<Utc>>,
    /// When somebody must look at it; never if nothing can happen.
    pub next_look_at: Option<DateTime<Utc>>,
    /// When gateways that came later are taken in.
    pub next_join_at: Option<DateTime<Utc>>,
    pub started_at: Option<DateTime<Utc>>,
    pub ended_at: Option<DateTime<Utc>>,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

/// Which gateways of the device type a rollout is for; all that is given must hold.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RolloutTarget {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gateway_ids: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Tags::is_empty")]
    pub tags: Tags,
    /// A condition such as `<1.0.2`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub current_version: Option<String>,
    /// In the language of [`GatewayQuery`](crate::domain::GatewayQuery).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filter: Option<String>,
}

impl WaveCounts {
    /// The counter of the gateways in `state`.
    pub fn of_mut(&mut self, state: MemberState) -> &mut i64 {
        match state {
            MemberState::Waiting => &mut self.waiting,
            MemberState::Active => &mut self.active,
            MemberState::Confirmed => &mut self.confirmed,
            MemberState::Failed => &mut self.failed,
            MemberState::Skipped => &mut self.skipped,
            MemberState::Cancelled => &mut self.cancelled,
        }
    }
}
