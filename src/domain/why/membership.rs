use chrono::{DateTime, Utc};

use super::{
    Bearing, Finding, Membership, RolloutFacts, Rule, WhyFacts,
    rollout::{named, refused, rule_of},
};
use crate::domain::{
    Hold, MemberState, Rollout, RolloutAction, RolloutState, Standing, Step, VersionRefusal,
    WaveCounts, decide, is_downgrade, rollout::time,
};

/// What it means for the gateway to be in a rollout.
pub(super) fn findings(facts: &WhyFacts, of: &RolloutFacts, member: &Membership) -> Vec<Finding> {
    let rollout = &of.rollout;
    let mut findings = Vec::new();
    match member.state {
        MemberState::Waiting => {
            findings.push(waiting(facts, of, member));
            findings.extend(facts.not_the_latest(&named(rollout), &rollout.version));
        }
        MemberState::Active => {
            let wave = match member.wave {
                Some(wave) => format!(", in wave {wave} of {}", of.waves.len()),
                None => String::new(),
            };
            let message = format!("{} has made its task{wave}", named(rollout));
            findings.push(Finding::new(Bearing::Note, Rule::InRollout, message));
        }
        MemberState::Confirmed => {}
        MemberState::Failed | MemberState::Skipped | MemberState::Cancelled => {
            findings.extend(over(facts, rollout, member));
        }
    }
    findings
}

/// The rollout is done with the gateway; of no interest once it runs the version or a newer one.
fn over(facts: &WhyFacts, rollout: &Rollout, member: &Membership) -> Option<Finding> {
    let current = facts.gateway.current_version.as_deref();
    let newer = !rollout.plan.force_upgrade && is_downgrade(current, &rollout.version);
    if newer || current == Some(rollout.version.as_str()) {
        return None;
    }
    let name = named(rollout);
    let reason = match &member.reason {
        Some(reason) => format!(": {reason}"),
        None => String::new(),
    };
    let alone = format!("POST /api/ota/upgrade/{}", facts.gateway.gateway_id);
    let again = match RolloutAction::Retry.apply(rollout.state, rollout.wave) {
        Ok(_) => format!(
            "POST /api/ota/rollouts/{}/retry sends to its failed and skipped once more, {alone} to \
             this gateway alone",
            rollout.rollout_id
        ),
        Err(_) => format!("{alone} sends to it once more"),
    };
    let (bearing, rule, what) = match member.state {
        MemberState::Failed => (
            Bearing::Failed,
            Rule::FailedInRollout,
            format!("it failed in {name}{reason}; {again}"),
        ),
        MemberState::Skipped => (
            Bearing::Barred,
            Rule::SkippedInRollout,
            format!("{name} skipped it when its turn came{reason}; {again}"),
        ),
        _ => (
            Bearing::Unasked,
            Rule::CancelledInRollout,
            format!("its part in {name} was cancelled{reason}; {alone} sends to it"),
        ),
    };
    Some(Finding::new(bearing, rule, what))
}

/// Its turn has not come, or will lead to nothing.
fn waiting(facts: &WhyFacts, of: &RolloutFacts, member: &Membership) -> Finding {
    let rollout = &of.rollout;
    let name = named(rollout);
    if let Some(refusal) = refused(facts, rollout) {
        let (bearing, rule) = rule_of(&refusal);
        let will = match refusal {
            VersionRefusal::NotInstallable { .. }
            | VersionRefusal::NoFirmware
            | VersionRefusal::Barred(_) => "halts when it comes to send",
            _ => "will skip it when its turn comes",
        };
        return Finding::new(bearing, rule, format!("{name} {will}: {refusal}"));
    }
    let Some(wave) = member.wave else {
        let message = format!("{name} has taken it in, and is still taking in others");
        return match rollout.state.is_live() {
            true => Finding::new(Bearing::Coming, Rule::Enrolling, message),
            false => stopped(rollout, &message),
        };
    };
    let standing = Standing {
        state: rollout.state,
        wave: rollout.wave,
        waves: &of.waves,
        paced_at: rollout.paced_at,
        // What nobody has answered is withdrawn at once; what the rollout then waits for counts.
        pending: 0,
    };
    let place = format!("it is in wave {wave} of {} of {name}", of.waves.len());
    match decide(&rollout.plan, &standing, facts.now) {
        Step::Halt { reason } => {
            let message = format!("{place}, which halts at the next look: {reason}");
            Finding::new(Bearing::Held, Rule::RolloutHalted, message)
        }
        Step::Wait {
            hold: Hold::State(_),
            ..
        } => stopped(rollout, &place),
        Step::Wait { until, hold } => held(of, member, wave, &place, hold, until),
        _ if rollout.wave < wave => wave_not_begun(of, wave, &place, ""),
        _ => {
            let message = format!("{place}, which is sending; {}", before_it(member));
            Finding::new(Bearing::Coming, Rule::InQueue, message)
        }
    }
}

/// The rollout sends nothing before somebody lets it.
pub(super) fn stopped(rollout: &Rollout, what: &str) -> Finding {
    let reason = match &rollout.reason {
        Some(reason) => format!(" ({reason})"),
        None => String::new(),
    };
    let route = format!("POST /api/ota/rollouts/{}", rollout.rollout_id);
    let (rule, message) = match rollout.state {
        RolloutState::Halted => (
            Rule::RolloutHalted,
            format!(
                "{what}, which is halted{reason}: {route}/resume accepts the failures and goes on, \
                 {route}/retry sends to the failed once more"
            ),
        ),
        state => (
            Rule::RolloutPaused,
            format!("{what}, which is {state}{reason}: {route}/resume lets it go on"),
        ),
    };
    Finding::new(Bearing::Held, rule, message)
}

/// The rollout waits; whether the gateway waits for the same, its wave says.
fn held(
    of: &RolloutFacts,
    member: &Membership,
    wave: usize,
    place: &str,
    hold: Hold,
    until: Option<DateTime<Utc>>,
) -> Finding {
    let rollout = &of.rollout;
    let plan = &rollout.plan;
    let find = |rule, message| Finding::new(Bearing::Coming, rule, message).until(until);
    let at = until.map_or_else(|| "an unknown time".to_owned(), time);
    let runs = wave <= rollout.wave;
    let is_next = wave == rollout.wave + 1;
    let begun = &of.waves[..rollout.wave.min(of.waves.len())];
    let active: i64 = begun.iter().map(|counts| counts.active).sum();
    let busy = begun
        .iter()
        .any(|counts| counts.waiting + counts.active > 0);
    match hold {
        Hold::Start => {
            let message = format!("{place}, which starts at {at}");
            find(Rule::RolloutScheduled, message)
        }
        Hold::Soak if is_next => {
            let message = format!(
                "{place}; wave {} has ended and soaks for {} s, until {at}: then this one begins",
                rollout.wave, plan.soak_seconds
            );
            find(Rule::Soak, message)
        }
        Hold::Window if runs || !busy => {
            let hours = match &plan.window {
                Some(window) => {
                    format!(" ({} to {} in {})", window.from, window.to, window.timezone)
                }
                None => String::new(),
            };
            let message = format!("{place}; the maintenance window{hours} is closed until {at}");
            find(Rule::WindowClosed, message)
        }
        Hold::InFlight if runs => {
            let message = format!(
                "{place}; {active} under way of at most {} (maxInFlight); {}",
                plan.max_in_flight,
                before_it(member)
            );
            // `until` is when the window closes, not when somebody ends.
            find(Rule::InFlightLimit, message).until(None)
        }
        Hold::Rate if runs => {
            let rate = plan.commands_per_minute.unwrap_or_default();
            let message = format!(
                "{place}, which sends {rate} commands per minute (commandsPerMinute), the next at \
                 {at}; {}",
                before_it(member)
            );
            find(Rule::RateLimit, message)
        }
        hold => {
            let now = match hold {
                Hold::Gateways | Hold::InFlight => String::new(),
                hold => format!("; now {hold}, until {at}"),
            };
            wave_not_begun(of, wave, place, &now)
        }
    }
}

fn wave_not_begun(of: &RolloutFacts, wave: usize, place: &str, now: &str) -> Finding {
    let running = of.rollout.wave;
    let message = match running.checked_sub(1).and_then(|at| of.waves.get(at)) {
        Some(counts) => format!(
            "{place}; wave {running} runs ({}), and wave {wave} begins when {} ended{}{now}",
            tally(counts),
            match wave - running {
                1 => "it has".to_owned(),
                _ => format!("waves {running} to {} have", wave - 1),
            },
            match of.rollout.plan.soak_seconds {
                0 => String::new(),
                soak => format!(" and soaked for {soak} s"),
            }
        ),
        None => format!("{place}, and no wave has begun yet{now}"),
    };
    Finding::new(Bearing::Coming, Rule::WaveNotBegun, message)
}

/// `3 of 10 confirmed, 7 active`.
fn tally(counts: &WaveCounts) -> String {
    let others = [
        (counts.active, "active"),
        (counts.waiting, "waiting"),
        (counts.failed, "failed"),
        (counts.skipped, "skipped"),
        (counts.cancelled, "cancelled"),
    ];
    let others = others.iter().filter(|(count, _)| *count > 0);
    let others: String = others
        .map(|(count, what)| format!(", {count} {what}"))
        .collect();
    format!(
        "{} of {} confirmed{others}",
        counts.confirmed,
        counts.total()
    )
}

fn before_it(member: &Membership) -> String {
    match member.ahead {
        0 => "it is the next".to_owned(),
        1 => "1 gateway waits before it".to_owned(),
        ahead => format!("{ahead} gateways wait before it"),
    }
}
