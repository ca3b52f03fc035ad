//! A rollout with its gateways and its operator, played by a clock that is moved: what is sent, how it
//! ends, and that no step breaks a promise.

use chrono::{DateTime, TimeDelta, Utc};

use super::{
    super::{
        Hold, MemberState, RolloutAction, RolloutPlan, RolloutState, Standing, Step, WaveCounts,
        decide, paced_after, wave_end_ranks,
    },
    gateway::{Conduct, Member},
};

/// All that happens in one run; times are seconds from the begin.
#[derive(Clone, Debug)]
pub struct Script {
    pub plan: RolloutPlan,
    pub begin: DateTime<Utc>,
    /// In the rollout's order, what each gateway does with its first task, its second, and so on; the
    /// last for all that follow.
    pub gateways: Vec<Vec<Conduct>>,
    pub actions: Vec<(u32, RolloutAction)>,
    /// When it joins, the wave it falls into and what it does.
    pub joins: Vec<(u32, usize, Conduct)>,
    /// How many seconds the engine looks late, over and over.
    pub lateness: Vec<u32>,
}

/// Looks after which a run counts as one that does not end; the longest of a thousand took 200.
const LOOKS_MAX: usize = 2000;

pub struct Model {
    script: Script,
    now: DateTime<Utc>,
    state: RolloutState,
    wave: usize,
    waves: Vec<WaveCounts>,
    members: Vec<Member>,
    paced_at: Option<DateTime<Utc>>,
    /// Commands that left.
    sends: Vec<DateTime<Utc>>,
    looks: usize,
}

/// How a run came out.
#[derive(Debug)]
pub struct End {
    pub state: RolloutState,
    pub wave: usize,
    pub sends: Vec<DateTime<Utc>>,
}

impl Model {
    pub fn run(script: Script) -> End {
        let ranks = wave_end_ranks(script.gateways.len() as i64, &script.plan.waves);
        let wave_of = |rank: usize| 1 + ranks.iter().filter(|end| **end <= rank as i64).count();
        let members = script.gateways.iter().enumerate();
        let mut model = Model {
            now: script.begin,
            state: RolloutState::Scheduled,
            wave: 0,
            waves: vec![WaveCounts::default(); ranks.len()],
            members: members
                .map(|(rank, conduct)| Member::new(wave_of(rank), conduct.clone()))
                .collect(),
            paced_at: None,
            sends: Vec::new(),
            looks: 0,
            script,
        };
        while model.look() {}
        End {
            state: model.state,
            wave: model.wave,
            sends: model.sends,
        }
    }

    /// Settles, decides and applies one step; `false` when nothing can happen any more.
    fn look(&mut self) -> bool {
        self.looks += 1;
        assert!(self.looks < LOOKS_MAX, "it does not end: {:?}", self.state);
        self.take_actions();
        self.take_joins();
        self.settle();
        self.count();
        let pending = self.pending();
        let standing = Standing {
            state: self.state,
            wave: self.wave,
            waves: &self.waves,
            paced_at: self.paced_at,
            pending: pending as i64,
        };
        let step = decide(&self.script.plan, &standing, self.now);
        match step {
            Step::StartWave(wave) => self.start_wave(wave),
            Step::Send { count } => self.send(count),
            Step::Withdraw => self.withdraw(),
            Step::EndWave => self.end_wave(),
            Step::Halt { .. } => self.halt(),
            Step::Complete => self.complete(),
            Step::Wait { until, hold } => return self.wait(until, hold),
        }
        true
    }

    fn take_actions(&mut self) {
        let (due, later) = self.due(|script| std::mem::take(&mut script.actions), |(at, _)| *at);
        self.script.actions = later;
        for (_, action) in due {
            let Ok(state) = action.apply(self.state, self.wave) else {
                continue;
            };
            match action {
                RolloutAction::Resume if self.state == RolloutState::Halted => {
                    for wave in &mut self.waves {
                        wave.tolerated = wave.failed;
                    }
                }
                RolloutAction::Cancel => {
                    self.all(MemberState::Waiting, MemberState::Cancelled);
                }
                RolloutAction::Retry => {
                    self.all(MemberState::Failed, MemberState::Waiting);
                    for wave in &mut self.waves {
                        wave.tolerated = 0;
                    }
                    self.reopen_wave();
                }
                _ => {}
            }
            self.state = state;
        }
    }

    fn take_joins(&mut self) {
        let (due, later) = self.due(|script| std::mem::take(&mut script.joins), |(at, ..)| *at);
        self.script.joins = later;
        let joins = self
            .script
            .plan
            .join_until
            .is_some_and(|until| self.now < until);
        for (_, wave, conduct) in due {
            if joins && self.state.is_live() {
                self.members.push(Member::new(wave, vec![conduct]));
                if wave <= self.wave {
                    self.reopen_wave();
                }
            }
        }
    }

    /// What of a list is due, and the rest.
    fn due<T>(
        &mut self,
        take: impl Fn(&mut Script) -> Vec<T>,
        second: impl Fn(&T) -> u32,
    ) -> (Vec<T>, Vec<T>) {
        let list = take(&mut self.script);
        list.into_iter()
            .partition(|item| self.time(second(item)) <= self.now)
    }

    fn time(&self, second: u32) -> DateTime<Utc> {
        self.script.begin + TimeDelta::seconds(second.into())
    }

    fn all(&mut self, from: MemberState, to: MemberState) {
        for member in &mut self.members {
            if member.state == from {
                member.state = to;
            }
        }
    }

    fn reopen_wave(&mut self) {
        if let Some(wave) = self.waves[..self.wave].last_mut() {
            wave.ended_at = None;
        }
    }

    /// Whose task has ended has ended.
    fn settle(&mut self) {
        for member in &mut self.members {
            if member.state == MemberState::Active
                && member.ends_at.is_some_and(|at| at <= self.now)
            {
                member.state = member.becomes;
                member.failures += usize::from(member.state == MemberState::Failed);
            }
        }
    }

    fn count(&mut self) {
        for (wave, counts) in (1..).zip(&mut self.waves) {
            let of = |state| {
                let members = self.members.iter();
                members
                    .filter(|member| (member.wave, member.state) == (wave, state))
                    .count() as i64
            };
            counts.waiting = of(MemberState::Waiting);
            counts.active = of(MemberState::Active);
            counts.confirmed = of(MemberState::Confirmed);
            counts.failed = of(MemberState::Failed);
            counts.skipped = of(MemberState::Skipped);
            counts.cancelled = of(MemberState::Cancelled);
        }
    }

    fn pending(&self) -> usize {
        self.members
            .iter()
            .filter(|member| member.is_pending(self.now))
            .count()
    }

    fn active(&self) -> usize {
        let members = self.members.iter();
        members
            .filter(|member| member.state == MemberState::Active)
            .count()
    }

    fn is_window_open(&self) -> bool {
        let window = self.script.plan.window.as_ref();
        window.is_none_or(|window| window.is_open(self.now))
    }

    /// More of the wave failed than are allowed; who was accepted counts as if confirmed.
    fn has_failed(&self, wave: &WaveCounts) -> bool {
        let good = wave.waiting + wave.active + wave.confirmed + wave.failed.min(wave.tolerated);
        let of = wave.waiting + wave.active + wave.confirmed + wave.failed;
        good * 100 < of * (100 - i64::from(self.script.plan.halt_at_failure_percent))
    }

    /// The waves begun have ended, proved themselves and soaked.
    fn assert_wave_is_over(&self) {
        let mut members = self.members.iter();
        assert!(
            !members.any(|member| member.wave <= self.wave && member.is_open()),
            "somebody is open"
        );
        let begun = &self.waves[..self.wave];
        assert!(
            !begun.iter().any(|wave| self.has_failed(wave)),
            "the confirmed share is not there"
        );
        if let Some(last) = begun.last() {
            let soak = TimeDelta::seconds(self.script.plan.soak_seconds.into());
            let ended_at = last.ended_at.expect("the end of the wave is noted");
            assert!(
                self.now >= ended_at + soak || last.total() == 0,
                "it has not soaked"
            );
        }
    }

    fn start_wave(&mut self, wave: usize) {
        assert!(self.state.is_live());
        assert_eq!(wave, self.wave + 1, "waves come one by one");
        assert!(wave <= self.waves.len(), "there is no wave {wave}");
        assert!(self.is_window_open(), "a wave begins outside the window");
        assert!(
            self.script.plan.start_at.is_none_or(|at| at <= self.now),
            "it starts too early"
        );
        self.assert_wave_is_over();
        self.wave = wave;
        self.state = RolloutState::Running;
        self.waves[wave - 1].started_at = Some(self.now);
    }

    fn send(&mut self, count: u32) {
        assert_eq!(
            self.state,
            RolloutState::Running,
            "only a running one sends"
        );
        assert!(self.is_window_open(), "it sends outside the window");
        assert!(count > 0);
        let begun = &self.waves[..self.wave];
        assert!(
            !begun.iter().any(|wave| self.has_failed(wave)),
            "it sends in spite of failures"
        );
        let timeout = TimeDelta::seconds(self.script.plan.task_timeout_seconds.into());
        let (wave, now) = (self.wave, self.now);
        let waiting = self
            .members
            .iter_mut()
            .filter(|member| member.wave <= wave && member.state == MemberState::Waiting);
        let (mut taken, mut sent) = (0, 0);
        for member in waiting.take(count as usize) {
            taken += 1;
            sent += u32::from(member.send(now, timeout));
        }
        assert_eq!(taken, count, "nobody outside the waves begun is sent to");
        assert!(
            self.active() <= self.script.plan.max_in_flight as usize,
            "{} are in flight",
            self.active()
        );
        self.sends.extend((0..sent).map(|_| now));
        self.paced_at = paced_after(&self.script.plan, self.paced_at, sent, now);
    }

    fn withdraw(&mut self) {
        assert!(self.pending() > 0, "there is nothing to withdraw");
        assert!(
            !self.state.is_live() || !self.is_window_open(),
            "nothing calls for it"
        );
        let becomes = match self.state {
            RolloutState::Cancelled => MemberState::Cancelled,
            _ => MemberState::Waiting,
        };
        for member in &mut self.members {
            if member.is_pending(self.now) {
                member.state = becomes;
            }
        }
    }

    fn end_wave(&mut self) {
        assert_eq!(self.state, RolloutState::Running);
        let mut members = self.members.iter();
        assert!(
            !members.any(|member| member.wave <= self.wave && member.is_open()),
            "somebody is open"
        );
        let last = self.waves[..self.wave]
            .last_mut()
            .expect("a wave that runs");
        assert_eq!(last.ended_at, None, "it ends twice");
        last.ended_at = Some(self.now);
    }

    fn halt(&mut self) {
        assert!(self.state.is_live());
        let mut begun = self.waves[..self.wave].iter();
        assert!(
            begun.any(|wave| self.has_failed(wave)),
            "no wave has failed"
        );
        self.state = RolloutState::Halted;
    }

    fn complete(&mut self) {
        assert_eq!(self.state, RolloutState::Running);
        assert_eq!(self.wave, self.waves.len(), "waves are left");
        assert!(
            self.script
                .plan
                .join_until
                .is_none_or(|until| until <= self.now),
            "some may join"
        );
        self.assert_wave_is_over();
        self.state = RolloutState::Completed;
    }

    /// Moves the clock to what happens next.
    fn wait(&mut self, until: Option<DateTime<Utc>>, hold: Hold) -> bool {
        assert!(
            until.is_none_or(|until| until > self.now),
            "{hold:?} has passed"
        );
        if self.pending() > 0
            && let Some(window) = &self.script.plan.window
        {
            let closes_at = window
                .closes_at(self.now)
                .expect("withdrawn when it closed");
            assert!(
                until.is_some_and(|until| until <= closes_at),
                "{hold:?} sleeps over the closing"
            );
        }
        let members = self
            .members
            .iter()
            .filter(|member| member.state == MemberState::Active);
        let ends = members.filter_map(|member| member.ends_at);
        let actions = self
            .script
            .actions
            .iter()
            .map(|(second, _)| self.time(*second));
        let joins = self
            .script
            .joins
            .iter()
            .map(|(second, ..)| self.time(*second));
        let next = until
            .into_iter()
            .chain(ends)
            .chain(actions)
            .chain(joins)
            .min();
        let late = self.script.lateness[self.looks % self.script.lateness.len()];
        if let Some(next) = next {
            self.now = next.max(self.now) + TimeDelta::seconds(late.into());
            return true;
        }
        assert!(!self.state.is_live(), "{hold:?} waits for nothing");
        if self.state == RolloutState::Paused {
            self.script.actions.push((0, RolloutAction::Resume));
            return true;
        }
        false
    }
}
