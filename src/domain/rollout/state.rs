use std::fmt;

/// Where a rollout stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RolloutState {
    /// Made; its first wave has not begun.
    Scheduled,
    Running,
    /// By hand; sends nothing until it is resumed.
    Paused,
    /// Too many gateways failed; sends nothing until it is resumed or the failed are retried.
    Halted,
    /// Every gateway of its waves has ended.
    Completed,
    /// By hand, for good.
    Cancelled,
}

impl RolloutState {
    pub const ALL: [RolloutState; 6] = [
        RolloutState::Scheduled,
        RolloutState::Running,
        RolloutState::Paused,
        RolloutState::Halted,
        RolloutState::Completed,
        RolloutState::Cancelled,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            RolloutState::Scheduled => "scheduled",
            RolloutState::Running => "running",
            RolloutState::Paused => "paused",
            RolloutState::Halted => "halted",
            RolloutState::Completed => "completed",
            RolloutState::Cancelled => "cancelled",
        }
    }

    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == word)
    }

    /// Whether it moves by itself.
    pub fn is_live(self) -> bool {
        matches!(self, RolloutState::Scheduled | RolloutState::Running)
    }
}

impl fmt::Display for RolloutState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Where a gateway stands in a rollout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MemberState {
    /// Has no task yet, or lost one that it had not answered.
    Waiting,
    /// Has a task that has not ended for good.
    Active,
    /// A heartbeat proved the version.
    Confirmed,
    Failed,
    /// Was not eligible when its turn came.
    Skipped,
    /// Its task or the rollout was cancelled.
    Cancelled,
}

impl MemberState {
    pub const ALL: [MemberState; 6] = [
        MemberState::Waiting,
        MemberState::Active,
        MemberState::Confirmed,
        MemberState::Failed,
        MemberState::Skipped,
        MemberState::Cancelled,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            MemberState::Waiting => "waiting",
            MemberState::Active => "active",
            MemberState::Confirmed => "confirmed",
            MemberState::Failed => "failed",
            MemberState::Skipped => "skipped",
            MemberState::Cancelled => "cancelled",
        }
    }

    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == word)
    }
}

impl fmt::Display for MemberState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What an operator may ask of a rollout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RolloutAction {
    /// Send nothing more, withdraw what nobody has answered.
    Pause,
    /// Go on. After a halt, the failures so far are accepted (`tolerated` of each wave becomes its
    /// `failed`); else the next decision would halt it again.
    Resume,
    /// End it: those that had not answered become cancelled, what was answered ends by itself, the
    /// waiting stay so for ever.
    Cancel,
    /// Put the failed back to waiting, with a clean sheet: `tolerated` of their waves becomes 0 and
    /// the running wave's `ended_at` is cleared.
    Retry,
}

/// Why an action does not fit the state of a rollout: `code` is the stable word of the HTTP
/// envelope, `message` says what is wrong and what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ActionRefusal {
    pub code: &'static str,
    pub message: String,
}

impl RolloutAction {
    pub const ALL: [RolloutAction; 4] = [
        RolloutAction::Pause,
        RolloutAction::Resume,
        RolloutAction::Cancel,
        RolloutAction::Retry,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            RolloutAction::Pause => "pause",
            RolloutAction::Resume => "resume",
            RolloutAction::Cancel => "cancel",
            RolloutAction::Retry => "retry",
        }
    }

    /// The state after the action, of a rollout in `state` at `wave` (0 = none begun).
    ///
    /// Pause: scheduled, running. Resume: paused, halted; it is scheduled again if no wave had
    /// begun. Cancel: whatever has not ended. Retry: running, halted and completed, which run
    /// then, and paused, which stays so until it is resumed.
    pub fn apply(self, state: RolloutState, wave: usize) -> Result<RolloutState, ActionRefusal> {
        use RolloutState::*;
        match (self, state) {
            (RolloutAction::Pause, Scheduled | Running) => Ok(Paused),
            (RolloutAction::Resume, Paused | Halted) if wave == 0 => Ok(Scheduled),
            (RolloutAction::Resume, Paused | Halted) => Ok(Running),
            (RolloutAction::Cancel, Scheduled | Running | Paused | Halted) => Ok(Cancelled),
            (RolloutAction::Retry, Paused) => Ok(Paused),
            (RolloutAction::Retry, Running | Halted | Completed) => Ok(Running),
            _ => Err(self.refusal(state)),
        }
    }

    fn refusal(self, state: RolloutState) -> ActionRefusal {
        use RolloutState::*;
        let code = match self {
            RolloutAction::Pause => "rollout_not_pausable",
            RolloutAction::Resume => "rollout_not_resumable",
            RolloutAction::Cancel => "rollout_ended",
            RolloutAction::Retry => "rollout_not_retryable",
        };
        let advice = match (self, state) {
            (RolloutAction::Pause, Paused | Halted) => {
                "it sends nothing already; resume lets it go on"
            }
            (RolloutAction::Pause, _) => "only one that has not ended can be paused",
            (RolloutAction::Resume, Scheduled) => "it starts by itself when its time has come",
            (RolloutAction::Resume, Running) => "it goes on by itself",
            (RolloutAction::Resume, Completed) => {
                "it has nothing left to send; retry sends to the failed once more"
            }
            (RolloutAction::Retry, Scheduled) => "nothing has been sent yet, so nothing has failed",
            (RolloutAction::Cancel, _) => "only one that has not ended can be cancelled",
            (RolloutAction::Resume | RolloutAction::Retry, _) => {
                "make a new rollout of the same version"
            }
        };
        ActionRefusal {
            code,
            message: format!("the rollout is {state} and cannot {self}: {advice}"),
        }
    }
}

impl fmt::Display for RolloutAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
