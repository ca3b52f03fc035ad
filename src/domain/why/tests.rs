use std::collections::BTreeSet;

use super::*;

mod linux;
mod outside;
mod rollouts;
mod tasks;
mod versions;

/// Facts that a rule speaks about.
#[derive(Clone)]
pub(super) struct Case {
    facts: WhyFacts,
    rule: Rule,
    verdict: Verdict,
    /// What the rule's sentence must say.
    says: &'static [&'static str],
    until: Option<DateTime<Utc>>,
}

pub(super) fn case(
    facts: WhyFacts,
    rule: Rule,
    verdict: Verdict,
    says: &'static [&'static str],
) -> Case {
    Case {
        facts,
        rule,
        verdict,
        says,
        until: None,
    }
}

impl Case {
    pub(super) fn until(mut self, time: &str) -> Case {
        self.until = Some(at(time));
        self
    }
}

/// A time of the day on which it is eight o'clock.
pub(super) fn at(time: &str) -> DateTime<Utc> {
    format!("2026-03-01T{time}Z").parse().unwrap()
}

pub(super) fn candidate(version: &str, min_version: Option<&str>) -> Candidate {
    Candidate {
        version: version.into(),
        min_version: min_version.map(Into::into),
        status: FirmwareStatus::Released,
        barred: None,
    }
}

/// A gateway that is online and runs 1.0.1; 1.0.2 is released, and nobody has done anything.
pub(super) fn facts() -> WhyFacts {
    WhyFacts {
        now: at("08:00:00"),
        gateway: Gateway {
            current_version: Some("1.0.1".into()),
            online: true,
            last_seen_at: Some(at("07:59:00")),
            ..Gateway::new("g", "gateway", at("00:00:00"))
        },
        candidates: vec![candidate("1.0.1", None), candidate("1.0.2", None)],
        task: None,
        rollouts: Vec::new(),
    }
}

pub(super) fn facts_with(change: impl FnOnce(&mut WhyFacts)) -> WhyFacts {
    let mut facts = facts();
    change(&mut facts);
    facts
}

/// The finding of a rule, which must be there once.
pub(super) fn finding(explanation: &Explanation, rule: Rule) -> Finding {
    let found: Vec<&Finding> = explanation
        .findings
        .iter()
        .filter(|finding| finding.rule == rule)
        .collect();
    assert_eq!(found.len(), 1, "{rule} in {explanation:#?}");
    found[0].clone()
}

#[test]
fn every_rule_names_itself_with_the_figures_and_leads_to_its_verdict() {
    let cases = [
        versions::cases(),
        tasks::cases(),
        rollouts::cases(),
        outside::cases(),
        linux::cases(),
    ]
    .concat();
    let mut seen = BTreeSet::new();
    for case in cases {
        let Case { rule, verdict, .. } = case;
        let explanation = explain(&case.facts);
        let finding = finding(&explanation, rule);
        for says in case.says {
            assert!(
                finding.message.contains(says),
                "{rule}: {says:?} not in {finding:#?}"
            );
        }
        assert_eq!(finding.until, case.until, "{rule}: {}", finding.message);
        assert_eq!(explanation.verdict, verdict, "{rule}: {explanation:#?}");
        let first = &explanation.findings[0];
        if finding.bearing != Bearing::Note {
            assert_eq!(first.rule, rule, "{explanation:#?}");
        }
        let because = &first.message;
        assert!(
            explanation.summary.ends_with(because),
            "{}",
            explanation.summary
        );
        assert!(
            explanation.summary.starts_with("g "),
            "{}",
            explanation.summary
        );
        seen.insert(rule.as_str());
        seen.insert(verdict.as_str());
    }
    let rules = Rule::ALL.iter().map(|rule| rule.as_str());
    let verdicts = Verdict::ALL.iter().map(|verdict| verdict.as_str());
    let all: BTreeSet<&str> = rules.chain(verdicts).collect();
    assert_eq!(seen, all, "rules and verdicts that have a case, and all");
}

#[test]
fn every_rule_and_verdict_is_in_the_documentation() {
    let page = include_str!("../../../docs/http-api.md");
    let rules = Rule::ALL.iter().map(|rule| rule.as_str());
    let verdicts = Verdict::ALL.iter().map(|verdict| verdict.as_str());
    for word in rules.chain(verdicts) {
        assert!(page.contains(&format!("`{word}`")), "{word}");
    }
}
