use super::{Bearing, Finding, RolloutFacts, Rule, WhyFacts, membership};
use crate::domain::{
    Barred, Rollout, VersionRefusal, position, rollout::time, shuffle,
    version_rules::eligibility_for,
};

/// What a rollout means for the gateway.
pub(super) fn findings(facts: &WhyFacts, of: &RolloutFacts) -> Vec<Finding> {
    let mut findings = match &of.membership {
        Some(member) => membership::findings(facts, of, member),
        None if of.rollout.ended_at.is_some() => Vec::new(),
        None => vec![outside(facts, of)],
    };
    for finding in &mut findings {
        finding.rollout_id = Some(of.rollout.rollout_id);
    }
    findings
}

/// As people know it.
pub(super) fn named(rollout: &Rollout) -> String {
    match rollout.name.as_str() {
        "" => format!("the rollout of {}", rollout.version),
        name => format!("the rollout {name:?} of {}", rollout.version),
    }
}

/// Why a version rule keeps a rollout from the gateway; `None` if none does.
pub(super) fn refused(facts: &WhyFacts, rollout: &Rollout) -> Option<VersionRefusal> {
    eligibility_for(
        &facts.gateway,
        (&rollout.device_type, &rollout.version),
        &facts.candidates,
        rollout.plan.force_upgrade,
    )
    .err()
}

/// The rule behind a refusal, and what it means.
pub(super) fn rule_of(refusal: &VersionRefusal) -> (Bearing, Rule) {
    match refusal {
        VersionRefusal::AlreadyRuns => (Bearing::Note, Rule::AlreadyRuns),
        VersionRefusal::NewerRuns => (Bearing::Note, Rule::Downgrade),
        VersionRefusal::UnknownVersion => (Bearing::Barred, Rule::VersionUnknown),
        VersionRefusal::NoPath { .. } => (Bearing::Barred, Rule::NoUpgradePath),
        VersionRefusal::NotInstallable { .. } => (Bearing::Barred, Rule::FirmwareNotInstallable),
        VersionRefusal::NoFirmware => (Bearing::Barred, Rule::FirmwareNotFound),
        VersionRefusal::OtherDeviceType => (Bearing::Barred, Rule::OtherDeviceType),
        VersionRefusal::Barred(Barred::Unsigned | Barred::UnsignedPackage) => (Bearing::Barred, Rule::Unsigned),
        VersionRefusal::Barred(Barred::UntrustedKey { .. }) => {
            (Bearing::Barred, Rule::UntrustedKey)
        }
        VersionRefusal::Barred(Barred::Expired { .. }) => (Bearing::Barred, Rule::BundleExpired),
        VersionRefusal::Barred(Barred::Withdrawn { .. }) => {
            (Bearing::Barred, Rule::PackageWithdrawn)
        }
    }
}

/// Why the gateway is not in an open rollout.
fn outside(facts: &WhyFacts, of: &RolloutFacts) -> Finding {
    let (rollout, gateway) = (&of.rollout, &facts.gateway);
    let name = named(rollout);
    if let Some(miss) = of.target.first_miss(gateway) {
        let message = format!(
            "{name} does not mean it: it is for {}, and {}",
            miss.term, miss.has
        );
        return Finding::new(Bearing::Unasked, Rule::NotInTarget, message);
    }
    if let Some(refusal) = refused(facts, rollout) {
        let (bearing, rule) = rule_of(&refusal);
        let runs = match (&refusal, &gateway.current_version) {
            (VersionRefusal::OtherDeviceType, _) => format!(
                "it is of device type {}, and the rollout for {}: ",
                gateway.device_type, rollout.device_type
            ),
            (_, Some(current)) => format!("it runs {current}: "),
            (_, None) => String::new(),
        };
        return Finding::new(
            bearing,
            rule,
            format!("{name} left it out; {runs}{refusal}"),
        );
    }
    let looked_at = rollout
        .enrolled_to
        .as_ref()
        .is_some_and(|last| gateway.gateway_id <= *last);
    if !rollout.enrolled && !looked_at {
        let message = format!("{name} is taking its gateways in, and has not come to this one yet");
        return Finding::new(Bearing::Coming, Rule::Enrolling, message);
    }
    late(facts, of, &name)
}

/// The rollout means the gateway now, but has taken its gateways in before it did.
fn late(facts: &WhyFacts, of: &RolloutFacts, name: &str) -> Finding {
    let rollout = &of.rollout;
    let came = format!("{name} means it, but did not yet when its gateways were taken in");
    let place = position(shuffle(&facts.gateway.gateway_id), rollout.seed);
    let percent = rollout.plan.waves.last().copied().unwrap_or(100);
    if rollout.enrolled && place > of.last_position && percent < 100 {
        let message = format!(
            "{name} means it, but its last wave ends at {percent} % and this gateway comes after \
             that: a rollout with a wave of 100 takes all"
        );
        return Finding::new(Bearing::Unasked, Rule::BeyondLastWave, message);
    }
    let Some(join_until) = rollout.plan.join_until else {
        let message = format!("{came}, and lets nobody join later: it has no joinUntil");
        return Finding::new(Bearing::Unasked, Rule::JoinsNobody, message);
    };
    if join_until <= facts.now {
        let message = format!("{came}; gateways could join until {}", time(join_until));
        return Finding::new(Bearing::Unasked, Rule::JoinClosed, message);
    }
    if !rollout.state.is_live() {
        return membership::stopped(rollout, &format!("{came}; it could join the rollout"));
    }
    let message = format!("{came}; it joins it at the next look");
    Finding::new(Bearing::Coming, Rule::WillJoin, message)
        .until(rollout.next_join_at.or(Some(join_until)))
}
