//! Why a gateway does not get its update: everything that speaks for or against it, most decisive
//! first, in sentences for a person who has to act.
//!
//! To add a rule: its word in [`Rule`], the finding where its subject is (`version`, `task`,
//! `rollout`, `membership`), a case in `tests`, a line in the table of `docs/http-api.md`.

mod membership;
mod rollout;
mod rule;
mod task;
mod version;

use chrono::{DateTime, Utc};
use uuid::Uuid;

pub use rule::Rule;

use super::{
    Candidate, DEVICE_TYPE_LINUX, FirmwareStatus, Gateway, GatewayQuery, MemberState, OutboundCommand, Rollout, Task,
    WaveCounts, latest, needs_upgrade, plan_path,
};

/// What is known of a gateway and of what may concern it.
#[derive(Clone, Debug)]
pub struct WhyFacts {
    pub now: DateTime<Utc>,
    pub gateway: Gateway,
    /// Every firmware of its device type.
    pub candidates: Vec<Candidate>,
    /// Its newest task.
    pub task: Option<TaskFacts>,
    /// Those that have not ended and may mean it; of the ended ones those it was in.
    pub rollouts: Vec<RolloutFacts>,
}

#[derive(Clone, Debug)]
pub struct TaskFacts {
    pub task: Task,
    /// Its `ota_upgrade`, until the gateway has answered it.
    pub command: Option<OutboundCommand>,
    pub last_report: Option<LastReport>,
}

/// The newest of a gateway's reports about a task that said something new.
#[derive(Clone, Debug, PartialEq)]
pub struct LastReport {
    pub state: String,
    /// Percent.
    pub progress: i16,
    pub received_at: DateTime<Utc>,
}

#[derive(Clone, Debug)]
pub struct RolloutFacts {
    pub rollout: Rollout,
    /// The rollout's target, read.
    pub target: GatewayQuery,
    /// Empty until all gateways were taken in.
    pub waves: Vec<WaveCounts>,
    /// The last place in its order that belongs to a wave.
    pub last_position: i64,
    /// The gateway's place in it, if it was taken in.
    pub membership: Option<Membership>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Membership {
    pub state: MemberState,
    /// From 1; `None` until the waves are cut.
    pub wave: Option<usize>,
    /// Why it failed or was skipped.
    pub reason: Option<String>,
    /// How many wait before it in the rollout's order; 0 until its wave runs.
    pub ahead: i64,
}

/// How a gateway stands with its update.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It runs the latest release, or something newer.
    UpToDate,
    /// It is at it.
    Updating,
    /// The update comes by itself.
    Waiting,
    /// Nothing happens until a person changes something.
    Blocked,
    /// It was tried and failed; nobody tries again by itself.
    Failed,
    /// There is something newer, but nobody has asked for it.
    NotTargeted,
    NothingReleased,
}

/// One thing that speaks for or against an update.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    pub rule: Rule,
    /// A sentence with the figures.
    pub message: String,
    pub rollout_id: Option<Uuid>,
    pub task_id: Option<Uuid>,
    /// When that ends or is decided by itself.
    pub until: Option<DateTime<Utc>>,
    bearing: Bearing,
}

/// The answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Explanation {
    pub verdict: Verdict,
    /// The verdict with the finding that decides it.
    pub summary: String,
    /// The latest release of the gateway's device type.
    pub latest_version: Option<String>,
    /// The most decisive first.
    pub findings: Vec<Finding>,
}

/// What a finding means for the verdict. Of several findings the first in this order decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Bearing {
    /// The gateway is at it.
    UnderWay,
    /// It comes by itself.
    Coming,
    /// It comes as soon as a person lets it.
    Held,
    Failed,
    /// A rule forbids it.
    Barred,
    /// There is nothing to do.
    Arrived,
    /// Nothing is released.
    Nothing,
    /// Nobody has asked for it.
    Unasked,
    /// Decides nothing.
    Note,
}

impl Verdict {
    pub const ALL: [Verdict; 7] = [
        Verdict::UpToDate,
        Verdict::Updating,
        Verdict::Waiting,
        Verdict::Blocked,
        Verdict::Failed,
        Verdict::NotTargeted,
        Verdict::NothingReleased,
    ];

    /// The stable word.
    pub fn as_str(self) -> &'static str {
        match self {
            Verdict::UpToDate => "up_to_date",
            Verdict::Updating => "updating",
            Verdict::Waiting => "waiting",
            Verdict::Blocked => "blocked",
            Verdict::Failed => "failed",
            Verdict::NotTargeted => "not_targeted",
            Verdict::NothingReleased => "nothing_released",
        }
    }

    /// With the gateway's id before it, the beginning of a summary.
    fn phrase(self) -> &'static str {
        match self {
            Verdict::UpToDate => "is up to date",
            Verdict::Updating => "is updating",
            Verdict::Waiting => "waits for its update, which comes by itself",
            Verdict::Blocked => "gets no update until somebody acts",
            Verdict::Failed => "failed to update, and nobody tries again by itself",
            Verdict::NotTargeted => "gets no update because nothing asks for one",
            Verdict::NothingReleased => "gets no update because there is none",
        }
    }
}

impl Bearing {
    fn verdict(self) -> Verdict {
        match self {
            Bearing::UnderWay => Verdict::Updating,
            Bearing::Coming => Verdict::Waiting,
            Bearing::Held | Bearing::Barred => Verdict::Blocked,
            Bearing::Failed => Verdict::Failed,
            Bearing::Arrived => Verdict::UpToDate,
            Bearing::Nothing => Verdict::NothingReleased,
            Bearing::Unasked | Bearing::Note => Verdict::NotTargeted,
        }
    }
}

impl Finding {
    fn new(bearing: Bearing, rule: Rule, message: impl Into<String>) -> Finding {
        Finding {
            rule,
            message: message.into(),
            rollout_id: None,
            task_id: None,
            until: None,
            bearing,
        }
    }

    fn until(mut self, until: impl Into<Option<DateTime<Utc>>>) -> Finding {
        self.until = until.into();
        self
    }
}

impl WhyFacts {
    fn latest_version(&self) -> Option<&str> {
        let released = self
            .candidates
            .iter()
            .filter(|candidate| candidate.status == FirmwareStatus::Released);
        latest(released.map(|candidate| candidate.version.as_str()))
    }

    /// That what is on its way is not the latest release.
    fn not_the_latest(&self, what: &str, version: &str) -> Option<Finding> {
        let latest = self.latest_version()?;
        needs_upgrade(Some(version), Some(latest)).then(|| {
            let message = format!("{what} brings {version}, and {latest} is the latest release");
            Finding::new(Bearing::Note, Rule::NotTheLatest, message)
        })
    }
}

/// Says what keeps a gateway from its update, or brings it.
pub fn explain(facts: &WhyFacts) -> Explanation {
    let mut findings = Vec::new();
    if let Some(task) = &facts.task {
        findings.extend(task::findings(facts, task));
    }
    for rollout in &facts.rollouts {
        findings.extend(rollout::findings(facts, rollout));
    }
    findings.extend(version::findings(facts));
    findings.extend(connection(facts));
    findings.extend(not_triggered(facts, &findings));
    findings.sort_by_key(|finding| finding.bearing);
    let (verdict, because) = match findings.first() {
        Some(first) => (first.bearing.verdict(), first.message.as_str()),
        None => (Verdict::NotTargeted, "nothing is known of it"),
    };
    let gateway_id = &facts.gateway.gateway_id;
    Explanation {
        verdict,
        summary: format!("{gateway_id} {}: {because}", verdict.phrase()),
        latest_version: facts.latest_version().map(str::to_owned),
        findings,
    }
}

fn connection(facts: &WhyFacts) -> Option<Finding> {
    let (rule, message) = match facts.gateway.last_seen_at {
        _ if facts.gateway.online => return None,
        Some(_) if facts.gateway.speaks_http() => (
            Rule::GatewayOffline,
            format!(
                "it is offline: it reports over HTTP, and is silent for too long, {}",
                last_heard_of(&facts.gateway)
            ),
        ),
        Some(_) => (
            Rule::GatewayOffline,
            format!("it is offline, {}", last_heard_of(&facts.gateway)),
        ),
        None if facts.gateway.device_type == DEVICE_TYPE_LINUX => (
            Rule::NeverHeardOf,
            "it was registered, but it has never reported: look at server and device in its JSON \
             file, and whether airlift-agent runs"
                .to_owned(),
        ),
        None => (
            Rule::NeverHeardOf,
            "it was registered, but it has never connected: look at its broker address and \
             its gateway id"
                .to_owned(),
        ),
    };
    Some(Finding::new(Bearing::Note, rule, message))
}

fn last_heard_of(gateway: &Gateway) -> String {
    match gateway.last_seen_at {
        Some(at) => format!("last heard of at {}", super::rollout::time(at)),
        None => "never heard of".to_owned(),
    }
}

/// What no rollout and no task has to bring, behind a sentence that says that none does.
fn on_its_own(gateway: &Gateway) -> &'static str {
    match gateway.device_type == DEVICE_TYPE_LINUX {
        true => "; if it follows a branch, it takes what is pushed there by itself",
        false => "",
    }
}

/// How to bring it the latest release, if nothing does and nothing forbids it.
fn not_triggered(facts: &WhyFacts, findings: &[Finding]) -> Option<Finding> {
    let latest = facts.latest_version()?;
    let current = facts.gateway.current_version.as_deref();
    let undecided = findings.iter().all(|it| it.bearing >= Bearing::Unasked);
    let possible = undecided
        && needs_upgrade(current, Some(latest))
        && plan_path(current, latest, &facts.candidates).is_ok();
    possible.then(|| {
        let gateway_id = &facts.gateway.gateway_id;
        let message = format!(
            "no task and no rollout brings it {latest}: POST /api/ota/upgrade/{gateway_id} makes a \
             task for it alone, POST /api/ota/rollouts a rollout{}",
            on_its_own(&facts.gateway)
        );
        Finding::new(Bearing::Unasked, Rule::NotTriggered, message)
    })
}

#[cfg(test)]
mod tests;
