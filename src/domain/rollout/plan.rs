use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};

use super::window::Window;
use crate::domain::too_far_ahead;

/// Most gateways a rollout may have in flight.
pub const MAX_IN_FLIGHT_MAX: u32 = 100_000;
/// Highest rate of commands.
pub const COMMANDS_PER_MINUTE_MAX: u32 = 1_000_000;
/// Longest jitter: an hour.
pub const JITTER_SECONDS_MAX: u32 = 3600;
/// Longest silence of a task: 30 days.
pub const TASK_TIMEOUT_SECONDS_MAX: u32 = 30 * 24 * 3600;
/// Longest soak of a wave: 30 days.
pub const SOAK_SECONDS_MAX: u32 = 30 * 24 * 3600;
/// By this a window outlasts the silence of a task: the time to look and to send.
const WINDOW_MARGIN_SECONDS: i64 = 60;

/// How a rollout goes about it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RolloutPlan {
    /// Percentages of the target, cumulative and rising; the last may be below 100.
    pub waves: Vec<u8>,
    /// Gateways that may be under way at the same time.
    pub max_in_flight: u32,
    pub commands_per_minute: Option<u32>,
    /// Each gateway is asked to begin after a random wait of up to this.
    pub jitter_seconds: u32,
    pub start_at: Option<DateTime<Utc>>,
    /// Gateways that come to match the target join until then; without it nobody joins.
    pub join_until: Option<DateTime<Utc>>,
    pub window: Option<Window>,
    /// Of a wave's members; one failure more halts the rollout.
    pub halt_at_failure_percent: u8,
    /// Silence that fails a gateway's task.
    pub task_timeout_seconds: u32,
    /// Wait between the end of a wave and the next.
    pub soak_seconds: u32,
    /// Also where the gateway runs a newer version.
    pub force_upgrade: bool,
}

impl Default for RolloutPlan {
    fn default() -> Self {
        RolloutPlan {
            waves: vec![100],
            max_in_flight: 100,
            commands_per_minute: None,
            jitter_seconds: 10,
            start_at: None,
            join_until: None,
            window: None,
            halt_at_failure_percent: 10,
            task_timeout_seconds: 900,
            soak_seconds: 0,
            force_upgrade: false,
        }
    }
}

/// Why a plan can't be: `code` is the stable word of the HTTP envelope, `message` says what is
/// wrong and what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct PlanRefusal {
    pub code: &'static str,
    pub message: String,
}

pub(super) fn refusal(code: &'static str, message: impl Into<String>) -> PlanRefusal {
    PlanRefusal {
        code,
        message: message.into(),
    }
}

impl RolloutPlan {
    /// The first thing that is wrong with the plan, seen at `now`.
    pub fn check(&self, now: DateTime<Utc>) -> Result<(), PlanRefusal> {
        self.check_waves()?;
        self.check_pace()?;
        self.check_times(now)?;
        self.check_window()
    }

    fn check_waves(&self) -> Result<(), PlanRefusal> {
        if self.waves.is_empty() {
            return Err(refusal(
                "waves_empty",
                "waves names no percentage; write [100] for everybody at once",
            ));
        }
        if self.waves.contains(&0) {
            return Err(refusal(
                "wave_zero",
                "a wave of 0 % has no gateways; percentages go from 1 to 100",
            ));
        }
        if let Some(percent) = self.waves.iter().find(|percent| **percent > 100) {
            return Err(refusal(
                "wave_above_100",
                format!(
                    "a wave of {percent} % is more than everybody; percentages go from 1 to 100"
                ),
            ));
        }
        for pair in self.waves.windows(2) {
            if pair[0] >= pair[1] {
                return Err(refusal(
                    "waves_not_rising",
                    format!(
                        "the wave of {} % comes after the one of {} %; waves are cumulative \
                         percentages, each higher than the one before it, such as [10, 50, 100]",
                        pair[1], pair[0]
                    ),
                ));
            }
        }
        Ok(())
    }

    fn check_pace(&self) -> Result<(), PlanRefusal> {
        if !(1..=MAX_IN_FLIGHT_MAX).contains(&self.max_in_flight) {
            return Err(refusal(
                "invalid_max_in_flight",
                format!(
                    "maxInFlight is {}; it goes from 1 to {MAX_IN_FLIGHT_MAX} gateways",
                    self.max_in_flight
                ),
            ));
        }
        if let Some(rate) = self.commands_per_minute
            && !(1..=COMMANDS_PER_MINUTE_MAX).contains(&rate)
        {
            return Err(refusal(
                "invalid_commands_per_minute",
                format!(
                    "commandsPerMinute is {rate}; it goes from 1 to {COMMANDS_PER_MINUTE_MAX}, or \
                     leave it out for no limit"
                ),
            ));
        }
        if self.jitter_seconds > JITTER_SECONDS_MAX {
            return Err(refusal(
                "invalid_jitter",
                format!(
                    "jitterSeconds is {}; it goes from 0 to {JITTER_SECONDS_MAX}",
                    self.jitter_seconds
                ),
            ));
        }
        if self.halt_at_failure_percent > 100 {
            return Err(refusal(
                "invalid_halt_percent",
                format!(
                    "haltAtFailurePercent is {}; it goes from 0 (any failure halts) to 100 (none \
                     does)",
                    self.halt_at_failure_percent
                ),
            ));
        }
        Ok(())
    }

    fn check_times(&self, now: DateTime<Utc>) -> Result<(), PlanRefusal> {
        if !(1..=TASK_TIMEOUT_SECONDS_MAX).contains(&self.task_timeout_seconds) {
            return Err(refusal(
                "invalid_task_timeout",
                format!(
                    "taskTimeoutSeconds is {}; it goes from 1 to {TASK_TIMEOUT_SECONDS_MAX} (30 days)",
                    self.task_timeout_seconds
                ),
            ));
        }
        if self.soak_seconds > SOAK_SECONDS_MAX {
            return Err(refusal(
                "invalid_soak",
                format!(
                    "soakSeconds is {}; it goes from 0 to {SOAK_SECONDS_MAX} (30 days)",
                    self.soak_seconds
                ),
            ));
        }
        for (field, at) in [("startAt", self.start_at), ("joinUntil", self.join_until)] {
            if let Some(message) = at.and_then(|at| too_far_ahead(field, at, now)) {
                return Err(refusal("time_too_far", message));
            }
        }
        let Some(join_until) = self.join_until else {
            return Ok(());
        };
        if join_until <= now {
            return Err(refusal(
                "join_until_past",
                format!(
                    "joinUntil {} is not in the future; name a later time or leave it out",
                    time(join_until)
                ),
            ));
        }
        match self.start_at {
            Some(start_at) if join_until <= start_at => Err(refusal(
                "join_until_before_start",
                format!(
                    "joinUntil {} is not after startAt {}; gateways join a rollout once it has \
                     started",
                    time(join_until),
                    time(start_at)
                ),
            )),
            _ => Ok(()),
        }
    }

    fn check_window(&self) -> Result<(), PlanRefusal> {
        let Some(window) = &self.window else {
            return Ok(());
        };
        // What nobody has answered is withdrawn at closing time: in a shorter window a silent gateway
        // would never run into its deadline, and be sent to for ever.
        let length = window.length()?.num_seconds();
        let silence = i64::from(self.task_timeout_seconds) + i64::from(self.jitter_seconds);
        if length < silence + WINDOW_MARGIN_SECONDS {
            return Err(refusal(
                "window_shorter_than_timeout",
                format!(
                    "the window lasts {length} s, taskTimeoutSeconds and jitterSeconds are {silence} \
                     s together; silence counts as a failure only in a window that lasts \
                     {WINDOW_MARGIN_SECONDS} s longer than that: widen the window or lower \
                     taskTimeoutSeconds"
                ),
            ));
        }
        Ok(())
    }
}

/// As it stands in JSON.
pub(in crate::domain) fn time(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}
