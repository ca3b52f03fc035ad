use airlift_proto::error_code;
use chrono::{DateTime, Utc};

use super::{Bearing, Finding, Rule, TaskFacts, WhyFacts, last_heard_of};
use crate::domain::{PackageChange, Task, TaskStatus, is_downgrade, rollout::time};

/// What the gateway's newest task says.
pub(super) fn findings(facts: &WhyFacts, of: &TaskFacts) -> Vec<Finding> {
    let task = &of.task;
    let mut findings = Vec::new();
    let arrived = has_arrived(facts, task);
    match task.status {
        TaskStatus::Pending => findings.push(pending(facts, of)),
        TaskStatus::Downloading | TaskStatus::Verifying | TaskStatus::Installing => {
            findings.push(running(facts, of));
        }
        TaskStatus::Completed => findings.extend(completed(facts, task)),
        TaskStatus::Failed => findings.push(failed(of, arrived)),
        TaskStatus::Cancelled if arrived => {}
        TaskStatus::Cancelled => findings.push(Finding::new(
            Bearing::Unasked,
            Rule::TaskCancelled,
            format!(
                "its last task, to {}, was cancelled{}; {}",
                task.final_version(),
                ended(task),
                retry(task)
            ),
        )),
    }
    findings.extend(own_update(task));
    if is_open(task) {
        findings.extend(step_stone(task));
        findings.extend(facts.not_the_latest("its task", task.final_version()));
    }
    for finding in &mut findings {
        finding.task_id = Some(task.task_id);
        finding.rollout_id = task.rollout_id;
    }
    findings
}

/// Whether its end or its proof is still to come.
pub(super) fn is_open(task: &Task) -> bool {
    task.status <= TaskStatus::Completed && task.confirmed_at.is_none()
}

/// Whether the gateway runs by now what the task was to bring, or something newer.
fn has_arrived(facts: &WhyFacts, task: &Task) -> bool {
    let target = task.final_version();
    let current = facts.gateway.current_version.as_deref();
    let went_down = is_downgrade(task.from_version.as_deref(), target);
    current == Some(target) || (!went_down && is_downgrade(current, target))
}

fn pending(facts: &WhyFacts, of: &TaskFacts) -> Finding {
    let (task, now, gateway) = (&of.task, facts.now, &facts.gateway);
    let find = |rule, message: String| Finding::new(Bearing::Coming, rule, message);
    let version = &task.to_version;
    let sends = of.command.as_ref().map_or(0, |command| command.sends);
    let next_send_at = of.command.as_ref().map(|command| command.next_send_at);
    if let Some(scheduled_at) = task.scheduled_at.filter(|at| now < *at) {
        let message = format!(
            "its upgrade to {version} is scheduled; the command {} {}",
            if gateway.speaks_http() {
                "is given out from"
            } else {
                "leaves at"
            },
            time(scheduled_at)
        );
        return find(Rule::TaskScheduled, message).until(scheduled_at);
    }
    let sent = match (sends, next_send_at) {
        (0, _) => String::new(),
        (1, _) if gateway.speaks_http() => "the command was fetched once".to_owned(),
        (sends, _) if gateway.speaks_http() => format!("the command was fetched {sends} times"),
        (1, next) => format!("the command was sent once{}", and_next(next)),
        (sends, next) => format!("the command was sent {sends} times{}", and_next(next)),
    };
    let fails = match task.deadline_at {
        Some(deadline) => format!("; without an answer the task fails at {}", time(deadline)),
        None => String::new(),
    };
    if !gateway.online {
        let sent = match sent.as_str() {
            "" => "the command waits".to_owned(),
            sent => sent.to_owned(),
        };
        let message = format!(
            "its upgrade to {version} waits for it to come online: it is offline, {}; {sent}{fails}",
            last_heard_of(gateway)
        );
        return find(Rule::WaitsForGateway, message).until(task.deadline_at);
    }
    if gateway.speaks_http() && sends == 0 {
        let message = format!(
            "its upgrade to {version} waits for it to ask: it speaks HTTP, and asks for its command \
             at its next poll{fails}"
        );
        return find(Rule::WaitsForPoll, message).until(task.deadline_at);
    }
    if let Some(due) = next_send_at.filter(|_| sends == 0) {
        let message = format!(
            "the command for {version} has not left yet, though it is due since {}: if that stays \
             so, the server has no connection to the broker (GET /readyz says so)",
            time(due)
        );
        return find(Rule::CommandNotSent, message).until(task.deadline_at);
    }
    if let Some(not_before) = task.not_before.filter(|at| now < *at) {
        let message = format!(
            "it was asked to begin its upgrade to {version} not before {}, so that not all begin \
             at once",
            time(not_before)
        );
        return find(Rule::NotBefore, message).until(not_before);
    }
    if gateway.speaks_http() {
        let message = format!(
            "it is online but has not reported on the command for {version}: {sent}{fails}; look at \
             the agent's log (journalctl -u airlift-agent)"
        );
        return find(Rule::CommandUnanswered, message).until(task.deadline_at);
    }
    let message = format!(
        "it is online but has not answered the command for {version}: {sent}{fails}; look whether \
         it listens to its command topic"
    );
    find(Rule::CommandUnanswered, message).until(task.deadline_at)
}

fn and_next(next_send_at: Option<DateTime<Utc>>) -> String {
    next_send_at.map_or_else(String::new, |at| format!(", next at {}", time(at)))
}

fn running(facts: &WhyFacts, of: &TaskFacts) -> Finding {
    let task = &of.task;
    let rule = match task.status {
        TaskStatus::Verifying => Rule::Verifying,
        TaskStatus::Installing => Rule::Installing,
        _ => Rule::Downloading,
    };
    let since = match &of.last_report {
        Some(report) => format!(", nothing new since {}", time(report.received_at)),
        None => String::new(),
    };
    let offline = match facts.gateway.online {
        true => String::new(),
        false => format!("; it is offline, {}", last_heard_of(&facts.gateway)),
    };
    let fails = match task.deadline_at {
        Some(deadline) => format!(
            "; if it stays silent the task fails at {} with {}",
            time(deadline),
            error_code::TIMEOUT
        ),
        None => String::new(),
    };
    let message = format!(
        "it is {} {} at {} %{since}{offline}{fails}",
        task.status, task.to_version, task.progress
    );
    Finding::new(Bearing::UnderWay, rule, message).until(task.deadline_at)
}

fn completed(facts: &WhyFacts, task: &Task) -> Option<Finding> {
    let (to, target) = (&task.to_version, task.final_version());
    let current = facts.gateway.current_version.as_deref();
    let Some(confirmed_at) = task.confirmed_at else {
        let deadline = match task.deadline_at {
            Some(deadline) => format!(
                " until {}, else the task fails with {}",
                time(deadline),
                error_code::UNCONFIRMED
            ),
            None => String::new(),
        };
        let message = format!(
            "it reported {to} completed{}; the proof, a heartbeat with {to}, is awaited{deadline}",
            ended(task)
        );
        let finding = Finding::new(Bearing::UnderWay, Rule::ProofAwaited, message);
        return Some(finding.until(task.deadline_at));
    };
    let confirmed_at = time(confirmed_at);
    // Of a rollout's task the rollout knows how it goes on.
    if current == Some(to) && to != target && task.rollout_id.is_none() {
        let message = format!(
            "it came to {to} at {confirmed_at}, a step on the way to {target}, but no way led on \
             from there: POST /api/ota/upgrade/{} plans a new one",
            task.gateway_id
        );
        return Some(Finding::new(Bearing::Barred, Rule::PathStopped, message));
    }
    let current = current.filter(|current| is_downgrade(Some(to), current))?;
    let went_down = is_downgrade(task.from_version.as_deref(), to);
    (!went_down).then(|| {
        let message = format!(
            "it proved {to} at {confirmed_at}, but runs {current} now: it went back, or somebody \
             installed that"
        );
        Finding::new(Bearing::Failed, Rule::FellBack, message)
    })
}

fn failed(of: &TaskFacts, arrived: bool) -> Finding {
    let task = &of.task;
    let code = task
        .error_code
        .as_deref()
        .unwrap_or(error_code::UNSPECIFIED);
    let rule = match code {
        error_code::ROLLED_BACK => Rule::RolledBack,
        error_code::TIMEOUT => Rule::TimedOut,
        error_code::UNCONFIRMED => Rule::Unconfirmed,
        _ => Rule::TaskFailed,
    };
    let explanation = match &task.error_message {
        Some(message) => format!("{code}, {message}"),
        None => code.to_owned(),
    };
    let last = match &of.last_report {
        Some(report) => format!(
            ", after its last report, {} at {} %, at {}",
            report.state,
            report.progress,
            time(report.received_at)
        ),
        None => String::new(),
    };
    let happened = format!(
        "its last task, to {}, failed{}{last}: {explanation}",
        task.final_version(),
        ended(task)
    );
    match arrived {
        true => Finding::new(
            Bearing::Note,
            rule,
            format!("{happened}; the gateway runs that version or a newer one by now"),
        ),
        false => Finding::new(
            Bearing::Failed,
            rule,
            format!("{happened}; {}", retry(task)),
        ),
    }
}

fn step_stone(task: &Task) -> Option<Finding> {
    (task.path.len() > 1).then(|| {
        let from = match &task.from_version {
            Some(from) => format!("{from} -> "),
            None => String::new(),
        };
        let message = format!(
            "it goes over several versions: {from}{}; this is step 1 of {}, the next is made when \
             {} is proven",
            task.path.join(" -> "),
            task.path.len(),
            task.to_version
        );
        Finding::new(Bearing::Note, Rule::StepStone, message)
    })
}

/// That nobody has sent it.
fn own_update(task: &Task) -> Option<Finding> {
    task.is_its_own().then(|| {
        let change = |it: &PackageChange| match &it.from_version {
            Some(from) => format!("{} {from} -> {}", it.name, it.to_version),
            None => format!("{} {}, which it did not have", it.name, it.to_version),
        };
        let changes: Vec<String> = task.packages.iter().map(change).collect();
        let message = format!(
            "nobody sent it: the device follows a branch and began its last task on its own: {}",
            changes.join(", ")
        );
        Finding::new(Bearing::Note, Rule::OwnUpdate, message)
    })
}

fn ended(task: &Task) -> String {
    task.complete_time
        .map_or_else(String::new, |at| format!(" at {}", time(at)))
}

fn retry(task: &Task) -> String {
    if task.is_its_own() {
        return "the device tries again by itself when the package changes, at once with \
                `airlift-agent retry`"
            .to_owned();
    }
    format!(
        "a task is not tried again by itself: POST /api/ota/task/{}/retry",
        task.task_id
    )
}
