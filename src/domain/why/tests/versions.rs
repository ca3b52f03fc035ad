use super::*;
use crate::domain::Barred;

fn with_unreleased(version: &str, status: FirmwareStatus) -> WhyFacts {
    facts_with(|facts| {
        let candidate = candidate(version, None);
        facts.candidates.push(Candidate {
            status,
            ..candidate
        });
    })
}

fn runs(version: Option<&str>) -> WhyFacts {
    facts_with(|facts| facts.gateway.current_version = version.map(Into::into))
}

fn with_minimum(version: Option<&str>) -> WhyFacts {
    let mut facts = runs(version);
    facts.candidates.push(candidate("2.0.0", Some("1.4.0")));
    facts
}

fn over_a_stone() -> WhyFacts {
    let mut facts = with_minimum(Some("1.0.1"));
    facts.candidates.push(candidate("1.4.0", None));
    facts
}

fn barred(barred: Barred) -> WhyFacts {
    let mut facts = runs(Some("1.0.1"));
    facts.candidates.push(Candidate {
        barred: Some(barred),
        ..candidate("1.1.0", None)
    });
    facts
}

/// Of 1.0.2, if at all, there is no release.
fn nothing(status: Option<FirmwareStatus>) -> WhyFacts {
    facts_with(|facts| {
        facts.candidates.clear();
        let draft = candidate("1.0.2", None);
        let draft = status.map(|status| Candidate { status, ..draft });
        facts.candidates.extend(draft);
    })
}

fn of_another_type() -> WhyFacts {
    let mut facts = nothing(Some(FirmwareStatus::Draft));
    facts.gateway.device_type = "esp32".into();
    facts
}

fn offline(last_seen_at: Option<DateTime<Utc>>) -> WhyFacts {
    facts_with(|facts| {
        facts.gateway.online = false;
        facts.gateway.last_seen_at = last_seen_at;
    })
}

pub(super) fn cases() -> Vec<Case> {
    [version_cases(), release_cases()].concat()
}

fn version_cases() -> Vec<Case> {
    use Rule::*;
    use Verdict::{Blocked, NotTargeted, UpToDate};
    vec![
        case(
            runs(Some("1.0.2")),
            RunsLatest,
            UpToDate,
            &["it runs 1.0.2, the latest"],
        ),
        case(runs(Some("1.0.2+b7")), RunsLatest, UpToDate, &["1.0.2+b7"]),
        case(
            runs(Some("1.1.0")),
            RunsNewer,
            UpToDate,
            &["runs 1.1.0", "newer than 1.0.2"],
        ),
        case(
            facts(),
            Behind,
            NotTargeted,
            &["runs 1.0.1", "1.0.2 is the latest"],
        ),
        case(
            facts(),
            NotTriggered,
            NotTargeted,
            &[
                "1.0.2",
                "POST /api/ota/upgrade/g ",
                "POST /api/ota/rollouts",
            ],
        ),
        case(
            runs(None),
            VersionUnknown,
            NotTargeted,
            &["never said", "heartbeat"],
        ),
        case(
            runs(Some("main")),
            VersionUnknown,
            NotTargeted,
            &["\"main\"", "not SemVer"],
        ),
        case(
            with_minimum(None),
            VersionUnknown,
            Blocked,
            &["2.0.0", "minVersion"],
        ),
        case(
            with_minimum(Some("1.0.1")),
            NoUpgradePath,
            Blocked,
            &["runs 1.0.1", "2.0.0", "must run 1.4.0 or newer"],
        ),
        case(
            over_a_stone(),
            StepStone,
            NotTargeted,
            &["2 steps", "1.4.0, 2.0.0"],
        ),
        case(over_a_stone(), NotTriggered, NotTargeted, &["2.0.0"]),
        case(
            barred(Barred::Unsigned),
            Unsigned,
            Blocked,
            &["1.1.0 can't be sent", "not signed"],
        ),
        case(
            barred(Barred::UntrustedKey {
                name: "old".into(),
                fingerprint: "AB12".into(),
            }),
            UntrustedKey,
            Blocked,
            &["1.1.0 can't be sent", "key old (AB12)"],
        ),
        case(
            barred(Barred::Expired { at: at("07:00:00") }),
            BundleExpired,
            Blocked,
            &["1.1.0 can't be sent", "expired at 2026-03-01T07:00:00Z"],
        ),
    ]
}

fn release_cases() -> Vec<Case> {
    use FirmwareStatus::*;
    use Rule::*;
    use Verdict::NotTargeted;
    vec![
        case(
            nothing(None),
            NothingReleased,
            Verdict::NothingReleased,
            &["no firmware", "gateway"],
        ),
        case(
            nothing(Some(Draft)),
            NothingReleased,
            Verdict::NothingReleased,
            &["1.0.2 is draft", "POST /api/ota/firmware/1.0.2/release"],
        ),
        case(
            of_another_type(),
            NothingReleased,
            Verdict::NothingReleased,
            &["esp32", "/1.0.2/release?deviceType=esp32"],
        ),
        case(
            nothing(Some(Deprecated)),
            NothingReleased,
            Verdict::NothingReleased,
            &["1.0.2 is deprecated"],
        ),
        case(
            with_unreleased("1.1.0", Testing),
            NewerNotReleased,
            NotTargeted,
            &["1.1.0 is testing", "named"],
        ),
        case(
            with_unreleased("1.1.0", Draft),
            NewerNotReleased,
            NotTargeted,
            &["1.1.0 is draft", "/1.1.0/release"],
        ),
        case(
            with_unreleased("1.1.0", Deprecated),
            NewerNotReleased,
            NotTargeted,
            &["1.1.0 is deprecated"],
        ),
        case(
            offline(Some(at("07:00:00"))),
            GatewayOffline,
            NotTargeted,
            &["2026-03-01T07:00:00Z"],
        ),
        case(
            offline(None),
            NeverHeardOf,
            NotTargeted,
            &["never connected"],
        ),
    ]
}
