use std::fmt;

use chrono::{DateTime, TimeDelta, Utc};

use super::{
    pace::Pace,
    plan::{RolloutPlan, time},
    state::RolloutState,
};

/// How many members of a wave are in which state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WaveCounts {
    /// Of the target, cumulative.
    pub percent: u8,
    pub waiting: i64,
    pub active: i64,
    pub confirmed: i64,
    pub failed: i64,
    pub skipped: i64,
    pub cancelled: i64,
    /// Failures that somebody has accepted by resuming after a halt.
    pub tolerated: i64,
    pub started_at: Option<DateTime<Utc>>,
    /// When nobody of it was waiting or active any more; none again while somebody is retried or
    /// has joined.
    pub ended_at: Option<DateTime<Utc>>,
}

impl WaveCounts {
    pub fn total(&self) -> i64 {
        self.waiting + self.active + self.confirmed + self.failed + self.skipped + self.cancelled
    }

    /// The sentence that says so if more of it failed than `limit` percent, beside the tolerated.
    fn failure(&self, wave: usize, limit: u8) -> Option<String> {
        let failed = (self.failed - self.tolerated).max(0);
        let of = self.total() - self.skipped - self.cancelled;
        if failed.saturating_mul(100) <= of.saturating_mul(i64::from(limit)) {
            return None;
        }
        let beside = match self.tolerated {
            0 => String::new(),
            tolerated => format!(" beside {tolerated} accepted before"),
        };
        Some(format!(
            "wave {wave}: {failed} of {of} failed{beside}, more than {limit} %"
        ))
    }
}

/// What is known of a rollout when a step is decided.
#[derive(Clone, Copy, Debug)]
pub struct Standing<'a> {
    pub state: RolloutState,
    /// The wave that runs, 1 the first; 0 = none begun.
    pub wave: usize,
    pub waves: &'a [WaveCounts],
    /// See [`paced_after`](super::paced_after).
    pub paced_at: Option<DateTime<Utc>>,
    /// Active members whose command nobody has answered.
    pub pending: i64,
}

/// What to do next. After each step but `Wait` the counters are read anew and the next is decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Begin this wave, 1 the first; the rollout is running then.
    StartWave(usize),
    /// Make tasks for this many of the members that wait in the waves begun, in their order.
    Send {
        count: u32,
    },
    /// Cancel the tasks that no gateway has answered; their members wait again, or are cancelled
    /// if the rollout is.
    Withdraw,
    /// Note that the running wave has ended; its soak begins.
    EndWave,
    /// Stop for a person to look.
    Halt {
        reason: String,
    },
    Complete,
    /// Nothing until `until` or until a counter changes.
    Wait {
        until: Option<DateTime<Utc>>,
        hold: Hold,
    },
}

/// What a rollout waits for; the text is a sentence for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Hold {
    /// `startAt`.
    Start,
    /// The maintenance window.
    Window,
    /// `maxInFlight`.
    InFlight,
    /// `commandsPerMinute`.
    Rate,
    /// All have been sent to; some have not ended.
    Gateways,
    /// `soakSeconds`.
    Soak,
    /// `joinUntil`.
    Join,
    /// The state sends nothing.
    State(RolloutState),
}

impl fmt::Display for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Hold::Start => "its startAt has not come",
            Hold::Window => "the maintenance window is closed",
            Hold::InFlight => "as many gateways as maxInFlight allows are under way",
            Hold::Rate => "commandsPerMinute allows no command yet",
            Hold::Gateways => "the last gateways of the wave have not ended",
            Hold::Soak => "the wave has ended and soaks",
            Hold::Join => "all waves have ended; gateways may join until joinUntil",
            Hold::State(RolloutState::Paused) => "it is paused; resume lets it go on",
            Hold::State(RolloutState::Halted) => {
                "it is halted; resume accepts the failures, retry sends to the failed once more"
            }
            Hold::State(state) => return write!(f, "it is {state}"),
        })
    }
}

impl Step {
    /// What the rollout waits for and, where that is known, until when.
    pub fn waiting_for(&self) -> Option<String> {
        let Step::Wait { until, hold } = self else {
            return None;
        };
        match (hold, until) {
            (Hold::Start | Hold::Window | Hold::Soak | Hold::Join, Some(until)) => {
                Some(format!("{hold}, until {}", time(*until)))
            }
            _ => Some(hold.to_string()),
        }
    }
}

/// The next step of a rollout. Failures are looked at before all else; whatever is sent stays within
/// the waves begun, the window, the number in flight and the rate.
pub fn decide(plan: &RolloutPlan, standing: &Standing, now: DateTime<Utc>) -> Step {
    match standing.state {
        RolloutState::Scheduled | RolloutState::Running => {}
        _ if standing.pending > 0 => return Step::Withdraw,
        state => return wait(None, Hold::State(state)),
    }
    let wave = standing.wave.min(standing.waves.len());
    let begun = &standing.waves[..wave];
    let limit = plan.halt_at_failure_percent;
    let failure = (1..)
        .zip(begun)
        .find_map(|(wave, counts)| counts.failure(wave, limit));
    if let Some(reason) = failure {
        return Step::Halt { reason };
    }
    let closed = plan
        .window
        .as_ref()
        .is_some_and(|window| !window.is_open(now));
    if closed && standing.pending > 0 {
        return Step::Withdraw;
    }
    let waiting: i64 = begun.iter().map(|counts| counts.waiting).sum();
    let active: i64 = standing.waves.iter().map(|counts| counts.active).sum();
    if waiting > 0 {
        if closed {
            return wait_for_window(plan, now);
        }
        return send(plan, standing, waiting, active, now);
    }
    if active > 0 {
        return wait(withdraw_at(plan, standing, now), Hold::Gateways);
    }
    match begun.last() {
        Some(counts) => after_wave(plan, standing, counts, now),
        None => start_wave(plan, standing, now),
    }
}

fn send(
    plan: &RolloutPlan,
    standing: &Standing,
    waiting: i64,
    active: i64,
    now: DateTime<Utc>,
) -> Step {
    let withdraw_at = withdraw_at(plan, standing, now);
    let mut count = waiting.min(i64::from(plan.max_in_flight) - active);
    if count <= 0 {
        return wait(withdraw_at, Hold::InFlight);
    }
    if let Some(pace) = Pace::of(plan) {
        let allowed = pace.allowed(standing.paced_at, now);
        if allowed == 0 {
            // Half a burst at a time: few looks, and a late one loses nothing.
            let worthwhile = count.min((pace.burst + 1) / 2);
            let paced = pace.allows_at(worthwhile, standing.paced_at, now);
            let until = withdraw_at.map_or(paced, |withdraw_at| withdraw_at.min(paced));
            return wait(Some(until), Hold::Rate);
        }
        count = count.min(allowed);
    }
    Step::Send {
        count: u32::try_from(count).unwrap_or(u32::MAX),
    }
}

/// Nobody of the waves begun waits or is active; `counts` are the last one's.
fn after_wave(
    plan: &RolloutPlan,
    standing: &Standing,
    counts: &WaveCounts,
    now: DateTime<Utc>,
) -> Step {
    let Some(ended_at) = counts.ended_at else {
        return Step::EndWave;
    };
    let soaked_at = ended_at + TimeDelta::seconds(i64::from(plan.soak_seconds));
    // A wave without members has nothing to watch.
    if now < soaked_at && counts.total() > 0 {
        return wait(Some(soaked_at), Hold::Soak);
    }
    if standing.wave < standing.waves.len() {
        return start_wave(plan, standing, now);
    }
    match plan.join_until {
        Some(join_until) if now < join_until => wait(Some(join_until), Hold::Join),
        _ => Step::Complete,
    }
}

fn start_wave(plan: &RolloutPlan, standing: &Standing, now: DateTime<Utc>) -> Step {
    match plan.start_at {
        Some(start_at) if now < start_at => return wait(Some(start_at), Hold::Start),
        _ => {}
    }
    match &plan.window {
        Some(window) if !window.is_open(now) => wait_for_window(plan, now),
        _ => Step::StartWave(standing.wave + 1),
    }
}

fn wait_for_window(plan: &RolloutPlan, now: DateTime<Utc>) -> Step {
    let opens_at = plan
        .window
        .as_ref()
        .and_then(|window| window.next_opening(now));
    wait(opens_at, Hold::Window)
}

/// When what nobody has answered is withdrawn, the window being open.
fn withdraw_at(
    plan: &RolloutPlan,
    standing: &Standing,
    now: DateTime<Utc>,
) -> Option<DateTime<Utc>> {
    let window = plan.window.as_ref().filter(|_| standing.pending > 0)?;
    window.closes_at(now)
}

fn wait(until: Option<DateTime<Utc>>, hold: Hold) -> Step {
    Step::Wait { until, hold }
}
