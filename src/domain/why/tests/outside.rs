use super::{
    rollouts::{rollout, waiting},
    *,
};
use crate::domain::{Barred, RolloutState, position, shuffle};

/// A rollout in which the gateway is not.
pub(super) fn outside(change: impl FnOnce(&mut WhyFacts, &mut RolloutFacts)) -> WhyFacts {
    let mut of = rollout();
    facts_with(|facts| {
        change(facts, &mut of);
        facts.rollouts.push(of);
    })
}

pub(super) fn cases() -> Vec<Case> {
    [outside_cases(), version_cases()].concat()
}

fn outside_cases() -> Vec<Case> {
    use Rule::*;
    use Verdict::{Blocked, NotTargeted, Waiting};
    let asks = |filter: &str| {
        let query = GatewayQuery::parse(filter).unwrap();
        outside(|_, of| of.target = query)
    };
    vec![
        case(
            asks("online:false"),
            NotInTarget,
            NotTargeted,
            &["for online:false", "it is online"],
        ),
        case(
            asks("type:gateway tag:site=lab"),
            NotInTarget,
            NotTargeted,
            &[
                "\"spring\" of 1.0.2 does not mean it",
                "for tag:site=lab",
                "it has no tag site",
            ],
        ),
        case(
            asks("version<1.0.1"),
            NotInTarget,
            NotTargeted,
            &["for version<1.0.1", "it runs 1.0.1"],
        ),
        case(
            outside(|_, of| of.target = GatewayQuery::ids(["a".into(), "b".into()])),
            NotInTarget,
            NotTargeted,
            &["one of 2 gatewayIds", "not among them"],
        ),
        case(
            outside(|_, of| {
                of.rollout.enrolled = false;
                of.rollout.enrolled_to = Some("a".into());
            }),
            Enrolling,
            Waiting,
            &["is taking its gateways in"],
        ),
        case(outside(|_, _| {}), JoinsNobody, NotTargeted, &["joinUntil"]),
        case(
            outside(|_, of| of.rollout.plan.join_until = Some(at("07:30:00"))),
            JoinClosed,
            NotTargeted,
            &["until 2026-03-01T07:30:00Z"],
        ),
        case(
            outside(|_, of| {
                of.rollout.plan.join_until = Some(at("12:00:00"));
                of.rollout.next_join_at = Some(at("08:00:15"));
            }),
            WillJoin,
            Waiting,
            &["joins it at the next look"],
        )
        .until("08:00:15"),
        case(
            outside(|_, of| {
                of.rollout.plan.join_until = Some(at("12:00:00"));
                of.rollout.state = RolloutState::Paused;
            }),
            RolloutPaused,
            Blocked,
            &["it could join the rollout, which is paused", "/resume"],
        ),
        case(
            outside(|_, of| {
                of.rollout.plan.waves = vec![10, 50];
                of.last_position = position(shuffle("g"), of.rollout.seed) - 1;
            }),
            BeyondLastWave,
            NotTargeted,
            &["ends at 50 %"],
        ),
    ]
}

fn version_cases() -> Vec<Case> {
    use Rule::*;
    use Verdict::{Blocked, UpToDate, Waiting};
    let deprecated = |facts: &mut WhyFacts| {
        facts.candidates[1].status = FirmwareStatus::Deprecated;
    };
    let mut gone = waiting(1, |_, _| {});
    deprecated(&mut gone);
    let mut unsigned = waiting(1, |_, _| {});
    unsigned.candidates[1].barred = Some(Barred::Unsigned);
    unsigned.candidates.push(candidate("1.0.3", None));
    let mut behind = waiting(1, |_, _| {});
    behind.candidates.push(candidate("1.0.3", None));
    vec![
        case(
            gone,
            FirmwareNotInstallable,
            Blocked,
            &["halts when it comes to send", "deprecated"],
        ),
        case(
            unsigned,
            Unsigned,
            Blocked,
            &["halts when it comes to send", "not signed"],
        ),
        case(
            behind,
            NotTheLatest,
            Waiting,
            &["\"spring\" of 1.0.2", "1.0.3 is the latest"],
        ),
        case(
            outside(|_, of| of.rollout.version = "9.9.9".into()),
            FirmwareNotFound,
            Blocked,
            &["left it out"],
        ),
        case(
            outside(|facts, of| {
                facts.gateway.device_type = "esp32".into();
                of.target = GatewayQuery::ids(["g".into()]);
            }),
            OtherDeviceType,
            Blocked,
            &["device type esp32", "the rollout for gateway"],
        ),
        case(
            outside(|facts, _| facts.gateway.current_version = Some("1.0.2".into())),
            AlreadyRuns,
            UpToDate,
            &["it runs 1.0.2"],
        ),
        case(
            outside(|facts, _| facts.gateway.current_version = Some("1.0.3".into())),
            Downgrade,
            UpToDate,
            &["it runs 1.0.3", "only a forced upgrade"],
        ),
    ]
}
