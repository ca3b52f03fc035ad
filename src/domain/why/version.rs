use super::{Bearing, Finding, Rule, WhyFacts, on_its_own, rollout::rule_of, task::is_open};
use crate::domain::{
    DEVICE_TYPE_DEFAULT, DEVICE_TYPE_LINUX, FirmwareStatus, VersionRefusal, is_downgrade, latest, needs_upgrade,
    parse_version, plan_path,
};

/// What the gateway runs against what is released.
pub(super) fn findings(facts: &WhyFacts) -> Vec<Finding> {
    let Some(latest) = facts.latest_version() else {
        return vec![nothing_released(facts)];
    };
    let current = facts.gateway.current_version.as_deref();
    // Its task says over which versions it goes.
    let under_way = facts.task.as_ref().is_some_and(|of| is_open(&of.task));
    let mut findings = Vec::new();
    let mut find = |bearing, rule, message: String| {
        findings.push(Finding::new(bearing, rule, message));
    };
    let runs = match current {
        Some(current) => format!("it runs {current}"),
        None => "it never said which version it runs".to_owned(),
    };
    if !needs_upgrade(current, Some(latest)) {
        match is_downgrade(current, latest) {
            true => find(
                Bearing::Arrived,
                Rule::RunsNewer,
                format!("{runs}, which is newer than {latest}, the latest release"),
            ),
            false => find(
                Bearing::Arrived,
                Rule::RunsLatest,
                format!("{runs}, the latest release"),
            ),
        }
    } else {
        if current.and_then(parse_version).is_some() {
            let message = format!("{runs}, and {latest} is the latest release");
            find(Bearing::Note, Rule::Behind, message);
        }
        match plan_path(current, latest, &facts.candidates) {
            Err(refusal @ VersionRefusal::UnknownVersion) => find(
                Bearing::Barred,
                Rule::VersionUnknown,
                format!(
                    "{}: {latest} can't be sent, for {refusal}",
                    unknown(current)
                ),
            ),
            Err(refusal) => {
                let rule = match &refusal {
                    VersionRefusal::Barred(_) => rule_of(&refusal).1,
                    _ => Rule::NoUpgradePath,
                };
                find(
                    Bearing::Barred,
                    rule,
                    format!("{runs}, and {latest} can't be sent: {refusal}"),
                );
            }
            Ok(_) if current.and_then(parse_version).is_none() => {
                find(Bearing::Note, Rule::VersionUnknown, unknown(current));
            }
            Ok(path) if path.len() > 1 && !under_way => find(
                Bearing::Note,
                Rule::StepStone,
                format!(
                    "{runs}; the way to {latest} has {} steps, made by themselves one after the \
                     other: {}",
                    path.len(),
                    path.join(", ")
                ),
            ),
            Ok(_) => {}
        }
    }
    findings.extend(newer_not_released(facts, latest));
    findings
}

fn unknown(current: Option<&str>) -> String {
    match current {
        None => "it never said which version it runs: that comes with its heartbeat".to_owned(),
        Some(current) => format!("it says that it runs {current:?}, which is not SemVer"),
    }
}

fn nothing_released(facts: &WhyFacts) -> Finding {
    let device_type = &facts.gateway.device_type;
    let versions = facts.candidates.iter().map(|it| it.version.as_str());
    let message = match latest(versions) {
        None if device_type == DEVICE_TYPE_LINUX => format!(
            "no package is released for its device type {device_type}: POST \
             /api/ota/packages/{{name}}/{{version}}/release does that{}",
            on_its_own(&facts.gateway)
        ),
        None => format!(
            "there is no firmware for its device type {device_type}: upload one, or look at what \
             deviceType its heartbeat says"
        ),
        Some(highest) => format!(
            "nothing is released for its device type {device_type}; {}",
            unreleased(facts, highest)
        ),
    };
    Finding::new(Bearing::Nothing, Rule::NothingReleased, message)
}

fn newer_not_released(facts: &WhyFacts, released: &str) -> Option<Finding> {
    let versions = facts.candidates.iter().map(|it| it.version.as_str());
    let highest = latest(versions)?;
    needs_upgrade(Some(released), Some(highest)).then(|| {
        let message = format!(
            "{released} is the latest release; {}",
            unreleased(facts, highest)
        );
        Finding::new(Bearing::Note, Rule::NewerNotReleased, message)
    })
}

/// What a version that is not released is, and what to do with it.
fn unreleased(facts: &WhyFacts, version: &str) -> String {
    let candidate = facts.candidates.iter().find(|it| it.version == version);
    let status = candidate.map_or(FirmwareStatus::Draft, |candidate| candidate.status);
    let device_type = &facts.gateway.device_type;
    let parameter = match device_type == DEVICE_TYPE_DEFAULT {
        true => String::new(),
        false => format!("?deviceType={device_type}"),
    };
    let advice = match status {
        FirmwareStatus::Deprecated => "and is not installed any more".to_owned(),
        FirmwareStatus::Testing => "and goes only to gateways for which it is named".to_owned(),
        FirmwareStatus::Draft | FirmwareStatus::Released => {
            format!("until POST /api/ota/firmware/{version}/release{parameter}")
        }
    };
    format!("{version} is {status}, {advice}")
}
