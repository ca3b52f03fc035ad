//! A gateway of a played rollout.

use chrono::{DateTime, TimeDelta, Utc};

use super::super::MemberState;

/// What a gateway does with one task; seconds from when it is sent, or from its answer.
#[derive(Clone, Debug)]
pub enum Conduct {
    Confirm {
        answers: u32,
        ends: u32,
    },
    Fail {
        answers: u32,
        ends: u32,
    },
    /// Never answers.
    Silent,
    /// Answers, then is silent.
    FallsSilent {
        answers: u32,
    },
    /// Does not answer; its task is cancelled by hand.
    Cancelled,
    /// Was not eligible when its turn came.
    Skipped,
}

pub struct Member {
    /// Beyond the last wave for one that stays outside.
    pub wave: usize,
    pub state: MemberState,
    pub conduct: Vec<Conduct>,
    pub failures: usize,
    pub answers_at: Option<DateTime<Utc>>,
    pub ends_at: Option<DateTime<Utc>>,
    pub becomes: MemberState,
}

impl Member {
    pub fn new(wave: usize, conduct: Vec<Conduct>) -> Member {
        Member {
            wave,
            state: MemberState::Waiting,
            conduct,
            failures: 0,
            answers_at: None,
            ends_at: None,
            becomes: MemberState::Waiting,
        }
    }

    pub fn is_open(&self) -> bool {
        matches!(self.state, MemberState::Waiting | MemberState::Active)
    }

    pub fn is_pending(&self, now: DateTime<Utc>) -> bool {
        self.state == MemberState::Active && self.answers_at.is_none_or(|at| at > now)
    }

    /// Whether a command left.
    pub fn send(&mut self, now: DateTime<Utc>, timeout: TimeDelta) -> bool {
        let after = |seconds: u32| TimeDelta::seconds(seconds.into());
        let last = self.conduct.len() - 1;
        let (answers, ends, becomes) = match self.conduct[self.failures.min(last)] {
            Conduct::Confirm { answers, ends } => (answers, after(ends), MemberState::Confirmed),
            Conduct::Fail { answers, ends } => (answers, after(ends), MemberState::Failed),
            Conduct::FallsSilent { answers } => (answers, timeout, MemberState::Failed),
            Conduct::Silent => (u32::MAX, timeout, MemberState::Failed),
            Conduct::Cancelled => (u32::MAX, timeout, MemberState::Cancelled),
            Conduct::Skipped => {
                self.state = MemberState::Skipped;
                return false;
            }
        };
        let answers = after(answers);
        let answered = answers < timeout;
        self.answers_at = answered.then_some(now + answers);
        self.ends_at = Some(now + if answered { answers + ends } else { timeout });
        self.becomes = match becomes {
            MemberState::Confirmed if !answered => MemberState::Failed,
            becomes => becomes,
        };
        self.state = MemberState::Active;
        true
    }
}
