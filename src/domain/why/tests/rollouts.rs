use super::*;
use crate::domain::{GatewayTerm, RolloutPlan, RolloutState, RolloutTarget, TaskStatus, Window};

/// Of 1.0.2, over 20 gateways in the waves 10, 50 and 100 %, of which the first runs.
pub(super) fn rollout() -> RolloutFacts {
    let wave = |percent, waiting, active, confirmed| WaveCounts {
        percent,
        waiting,
        active,
        confirmed,
        started_at: (percent == 10).then(|| at("07:00:00")),
        ..Default::default()
    };
    RolloutFacts {
        rollout: Rollout {
            rollout_id: Uuid::nil(),
            name: "spring".into(),
            device_type: "gateway".into(),
            version: "1.0.2".into(),
            target: RolloutTarget::default(),
            plan: RolloutPlan {
                waves: vec![10, 50, 100],
                ..Default::default()
            },
            seed: 7,
            state: RolloutState::Running,
            reason: None,
            enrolled_to: Some("zzz".into()),
            enrolled: true,
            wave: 1,
            paced_at: None,
            next_look_at: None,
            next_join_at: None,
            started_at: Some(at("07:00:00")),
            ended_at: None,
            created_at: at("07:00:00"),
            updated_at: at("07:00:00"),
        },
        target: GatewayTerm::DeviceType("gateway".into()).into(),
        waves: vec![wave(10, 4, 3, 3), wave(50, 8, 0, 0), wave(100, 10, 0, 0)],
        last_position: i64::MAX,
        membership: None,
    }
}

/// A rollout in which the gateway is.
fn inside(
    state: MemberState,
    wave: usize,
    change: impl FnOnce(&mut Rollout, &mut Vec<WaveCounts>),
) -> WhyFacts {
    let mut of = rollout();
    of.membership = Some(Membership {
        state,
        wave: Some(wave),
        reason: Some("TIMEOUT: no word".into()),
        ahead: 2,
    });
    change(&mut of.rollout, &mut of.waves);
    facts_with(|facts| facts.rollouts.push(of))
}

pub(super) fn waiting(
    wave: usize,
    change: impl FnOnce(&mut Rollout, &mut Vec<WaveCounts>),
) -> WhyFacts {
    inside(MemberState::Waiting, wave, change)
}

fn window() -> Option<Window> {
    Some(Window {
        from: "23:00".into(),
        to: "05:00".into(),
        timezone: "Europe/Berlin".into(),
    })
}

fn end_first_wave(waves: &mut [WaveCounts]) {
    let first = &mut waves[0];
    first.confirmed += first.waiting + first.active;
    (first.waiting, first.active) = (0, 0);
    first.ended_at = Some(at("07:59:00"));
}

fn not_begun(rollout: &mut Rollout, waves: &mut [WaveCounts]) {
    rollout.state = RolloutState::Scheduled;
    rollout.wave = 0;
    for wave in waves {
        (wave.active, wave.confirmed, wave.started_at) = (0, 0, None);
    }
}

pub(super) fn cases() -> Vec<Case> {
    [wave_cases(), stopped_cases(), ended_cases()].concat()
}

fn wave_cases() -> Vec<Case> {
    use Rule::*;
    use Verdict::Waiting;
    vec![
        case(
            waiting(2, |_, _| {}),
            WaveNotBegun,
            Waiting,
            &[
                "wave 2 of 3 of the rollout \"spring\" of 1.0.2",
                "wave 1 runs (3 of 10 confirmed, 3 active, 4 waiting)",
                "wave 2 begins when it has ended",
            ],
        ),
        case(
            waiting(3, |rollout, waves| {
                rollout.plan.soak_seconds = 60;
                waves[0].waiting = 0;
                waves[0].failed = 0;
            }),
            WaveNotBegun,
            Waiting,
            &["wave 3 begins when waves 1 to 2 have ended and soaked for 60 s"],
        ),
        case(
            waiting(1, |_, _| {}),
            InQueue,
            Waiting,
            &["wave 1 of 3", "2 gateways wait before it"],
        ),
        case(
            waiting(1, |rollout, _| rollout.plan.max_in_flight = 3),
            InFlightLimit,
            Waiting,
            &[
                "3 under way of at most 3 (maxInFlight)",
                "2 gateways wait before it",
            ],
        ),
        case(
            waiting(1, |rollout, _| {
                rollout.plan.commands_per_minute = Some(2);
                rollout.paced_at = Some(at("08:00:30"));
            }),
            RateLimit,
            Waiting,
            &["2 commands per minute", "the next at 2026-03-01T08:00:30Z"],
        )
        .until("08:00:30"),
        case(
            waiting(2, |rollout, waves| {
                rollout.plan.soak_seconds = 3600;
                end_first_wave(waves);
            }),
            Soak,
            Waiting,
            &[
                "wave 1 has ended and soaks for 3600 s",
                "until 2026-03-01T08:59:00Z",
            ],
        )
        .until("08:59:00"),
        case(
            waiting(1, |rollout, _| rollout.plan.window = window()),
            WindowClosed,
            Waiting,
            &[
                "23:00 to 05:00 in Europe/Berlin",
                "closed until 2026-03-01T22:00:00Z",
            ],
        )
        .until("22:00:00"),
        case(
            waiting(2, |rollout, waves| {
                rollout.plan.window = window();
                end_first_wave(waves);
            }),
            WindowClosed,
            Waiting,
            &["closed until 2026-03-01T22:00:00Z"],
        )
        .until("22:00:00"),
        case(
            waiting(1, |rollout, waves| {
                not_begun(rollout, waves);
                rollout.plan.start_at = Some(at("12:00:00"));
            }),
            RolloutScheduled,
            Waiting,
            &["starts at 2026-03-01T12:00:00Z"],
        )
        .until("12:00:00"),
        case(
            waiting(1, |rollout, waves| not_begun(rollout, waves)),
            WaveNotBegun,
            Waiting,
            &["no wave has begun yet"],
        ),
    ]
}

fn stopped_cases() -> Vec<Case> {
    use Rule::*;
    use Verdict::{Blocked, NotTargeted};
    vec![
        case(
            waiting(1, |rollout, _| rollout.state = RolloutState::Paused),
            RolloutPaused,
            Blocked,
            &[
                "which is paused",
                "/api/ota/rollouts/00000000-0000-0000-0000-000000000000/resume",
            ],
        ),
        case(
            waiting(2, |rollout, _| {
                rollout.state = RolloutState::Halted;
                rollout.reason = Some("wave 1: 2 of 10 failed, more than 10 %".into());
            }),
            RolloutHalted,
            Blocked,
            &[
                "halted (wave 1: 2 of 10 failed, more than 10 %)",
                "/resume",
                "/retry",
            ],
        ),
        case(
            waiting(2, |_, waves| (waves[0].failed, waves[0].waiting) = (4, 0)),
            RolloutHalted,
            Blocked,
            &["halts at the next look", "4 of 10 failed"],
        ),
        case(
            waiting(1, |rollout, _| rollout.version = "1.0.1-rc.1".into()),
            Downgrade,
            NotTargeted,
            &["will skip it", "forced"],
        ),
    ]
}

fn ended_cases() -> Vec<Case> {
    use MemberState as M;
    use Rule::*;
    use Verdict::{Blocked, Failed, NotTargeted, Updating};
    let completed = |rollout: &mut Rollout, _: &mut Vec<WaveCounts>| {
        rollout.state = RolloutState::Completed;
        rollout.ended_at = Some(at("07:50:00"));
    };
    let cancelled = |rollout: &mut Rollout, _: &mut Vec<WaveCounts>| {
        rollout.state = RolloutState::Cancelled;
        rollout.ended_at = Some(at("07:50:00"));
    };
    let mut active = inside(M::Active, 1, |_, _| {});
    active.task = tasks::running(TaskStatus::Downloading).task;
    vec![
        case(active, InRollout, Updating, &["wave 1 of 3"]),
        case(
            inside(M::Failed, 1, |_, _| {}),
            FailedInRollout,
            Failed,
            &[
                "\"spring\"",
                "TIMEOUT: no word",
                "/retry sends",
                "POST /api/ota/upgrade/g ",
            ],
        ),
        case(
            inside(M::Failed, 1, completed),
            FailedInRollout,
            Failed,
            &["/retry sends"],
        ),
        case(
            inside(M::Failed, 1, cancelled),
            FailedInRollout,
            Failed,
            &["POST /api/ota/upgrade/g sends to it once more"],
        ),
        case(
            inside(M::Skipped, 1, |_, _| {}),
            SkippedInRollout,
            Blocked,
            &["skipped it when its turn came: TIMEOUT: no word"],
        ),
        case(
            inside(M::Cancelled, 1, cancelled),
            CancelledInRollout,
            NotTargeted,
            &["was cancelled", "POST /api/ota/upgrade/g "],
        ),
    ]
}

#[test]
fn a_rollout_that_is_done_with_a_gateway_is_not_mentioned_once_it_runs_the_version() {
    for state in [
        MemberState::Failed,
        MemberState::Skipped,
        MemberState::Confirmed,
    ] {
        for version in ["1.0.2", "1.0.3"] {
            let mut facts = inside(state, 1, |_, _| {});
            facts.gateway.current_version = Some(version.into());
            let explanation = explain(&facts);
            assert_eq!(explanation.verdict, Verdict::UpToDate, "{explanation:#?}");
            assert_eq!(explanation.findings.len(), 1, "{explanation:#?}");
        }
    }
}

#[test]
fn a_rollout_that_brings_the_update_outweighs_all_that_stands_against_it() {
    let mut facts = waiting(2, |_, _| {});
    let halted = inside(MemberState::Failed, 1, |_, _| {}).rollouts;
    facts.rollouts.extend(halted);
    facts
        .rollouts
        .extend(outside::outside(|_, of| of.target = GatewayQuery::ids([])).rollouts);
    let explanation = explain(&facts);
    assert_eq!(explanation.verdict, Verdict::Waiting);
    let rules: Vec<Rule> = explanation.findings.iter().map(|it| it.rule).collect();
    let expected = [
        Rule::WaveNotBegun,
        Rule::FailedInRollout,
        Rule::NotInTarget,
        Rule::Behind,
    ];
    assert_eq!(rules, expected);
}

#[test]
fn the_reason_a_rollout_waits_for_is_told_to_later_waves_too() {
    let facts = waiting(2, |rollout, _| rollout.plan.window = window());
    let told = finding(&explain(&facts), Rule::WaveNotBegun);
    let says = "now the maintenance window is closed, until 2026-03-01T22:00:00Z";
    assert!(told.message.contains(says), "{}", told.message);
    let facts = waiting(1, |rollout, _| rollout.enrolled = false);
    let of = RolloutFacts {
        waves: Vec::new(),
        membership: Some(Membership {
            wave: None,
            ..facts.rollouts[0].membership.clone().unwrap()
        }),
        ..facts.rollouts[0].clone()
    };
    let facts = facts_with(|facts| facts.rollouts.push(of));
    let told = finding(&explain(&facts), Rule::Enrolling);
    assert!(
        told.message.contains("still taking in others"),
        "{}",
        told.message
    );
}
