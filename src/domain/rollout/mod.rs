//! Rollouts: a plan and whether it can be, who comes when, and what is to be done next. The store
//! keeps the members and their counters; [`decide`] turns counters and the time into one step.

mod decide;
mod order;
mod pace;
mod plan;
mod record;
mod state;
mod window;

pub use decide::{Hold, Standing, Step, WaveCounts, decide};
pub use order::{ORDER_MODULUS, order_coefficients, position, wave_end_ranks};
pub use pace::paced_after;
pub(super) use plan::time;
pub use plan::{
    COMMANDS_PER_MINUTE_MAX, JITTER_SECONDS_MAX, MAX_IN_FLIGHT_MAX, PlanRefusal, RolloutPlan,
    SOAK_SECONDS_MAX, TASK_TIMEOUT_SECONDS_MAX,
};
pub use record::{Rollout, RolloutTarget};
pub use state::{ActionRefusal, MemberState, RolloutAction, RolloutState};
pub use window::Window;

#[cfg(test)]
mod tests;
