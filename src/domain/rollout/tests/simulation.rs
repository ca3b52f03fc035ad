use chrono::{DateTime, TimeDelta, Utc};
use proptest::prelude::*;

use super::{
    super::{RolloutAction, RolloutPlan, RolloutState, Window},
    at,
    gateway::Conduct,
    model::{Model, Script},
    utc,
};

fn conduct() -> impl Strategy<Value = Conduct> {
    let answers = 0..400_u32;
    let ends = prop_oneof![0..100_u32, 100..20_000_u32];
    prop_oneof![
        12 => (answers.clone(), ends.clone()).prop_map(|(answers, ends)| Conduct::Confirm { answers, ends }),
        1 => (answers.clone(), ends.clone()).prop_map(|(answers, ends)| Conduct::Fail { answers, ends }),
        1 => Just(Conduct::Silent),
        1 => answers.prop_map(|answers| Conduct::FallsSilent { answers }),
        1 => Just(Conduct::Cancelled),
        1 => Just(Conduct::Skipped),
    ]
}

fn window() -> impl Strategy<Value = Window> {
    let zones = prop::sample::select(vec![
        "UTC",
        "Europe/Berlin",
        "America/New_York",
        "Asia/Shanghai",
    ]);
    (0..1440_u32, 30..1439_u32, zones).prop_map(|(from, length, timezone)| {
        let clock = |minute: u32| format!("{:02}:{:02}", minute / 60 % 24, minute % 60);
        Window {
            from: clock(from),
            to: clock(from + length),
            timezone: timezone.into(),
        }
    })
}

fn plan() -> impl Strategy<Value = RolloutPlan> {
    let waves = prop::collection::btree_set(1..=100_u8, 1..5);
    let percent = prop_oneof![Just(100_u8), 0..=100_u8];
    let pace = (1..12_u32, prop::option::of(1..20_u32), 60..900_u32);
    let soak = prop_oneof![Just(0), 1..100_000_u32];
    (waves, percent, pace, soak, prop::option::of(window())).prop_map(
        |(waves, halt_at_failure_percent, pace, soak_seconds, window)| RolloutPlan {
            waves: waves.into_iter().collect(),
            max_in_flight: pace.0,
            commands_per_minute: pace.1,
            task_timeout_seconds: pace.2,
            window,
            halt_at_failure_percent,
            soak_seconds,
            ..RolloutPlan::default()
        },
    )
}

/// Most of them a day or two before a place of the windows sets its clock.
fn begin() -> impl Strategy<Value = DateTime<Utc>> {
    let days = prop::sample::select(vec!["2026-03-07", "2026-03-28", "2026-06-01", "2026-10-24"]);
    (days, 0..86_400_i64)
        .prop_map(|(day, second)| utc(&format!("{day}T00:00:00Z")) + TimeDelta::seconds(second))
}

fn script() -> impl Strategy<Value = Script> {
    let actions = prop::collection::vec(
        (
            0..200_000_u32,
            prop::sample::select(vec![
                RolloutAction::Pause,
                RolloutAction::Pause,
                RolloutAction::Resume,
                RolloutAction::Resume,
                RolloutAction::Retry,
                RolloutAction::Retry,
                RolloutAction::Cancel,
            ]),
        ),
        0..8,
    );
    let times = (
        prop::option::of(0..100_000_i64),
        prop::option::of(1..200_000_i64),
    );
    let gateways = prop::collection::vec(prop::collection::vec(conduct(), 1..3), 0..40);
    let joins = prop::collection::vec((0..200_000_u32, 1..5_usize, conduct()), 0..5);
    let lateness = prop::collection::vec(prop_oneof![3 => Just(0_u32), 1 => 1..30_u32], 1..5);
    (plan(), times, begin(), gateways, actions, joins, lateness).prop_map(
        |(mut plan, (start, join), begin, gateways, actions, joins, lateness)| {
            plan.start_at = start.map(|start| begin + TimeDelta::seconds(start));
            plan.join_until =
                join.map(|join| begin + TimeDelta::seconds(start.unwrap_or(0) + join));
            assert_eq!(plan.check(begin), Ok(()));
            Script {
                plan,
                begin,
                gateways,
                actions,
                joins,
                lateness,
            }
        },
    )
}

proptest! {
    /// The model asserts at each step what that step must not do.
    #[test]
    fn a_rollout_keeps_its_promises_and_ends(script in script()) {
        let rate = script.plan.commands_per_minute;
        let end = Model::run(script);
        prop_assert!(!end.state.is_live() && end.state != RolloutState::Paused, "{end:?}");
        for (number, begin) in end.sends.iter().enumerate() {
            let minute = end.sends[number..].iter().take_while(|at| **at < *begin + TimeDelta::minutes(1));
            prop_assert!(minute.count() <= rate.map_or(usize::MAX, |rate| rate as usize));
        }
    }
}

fn fleet(gateways: Vec<Conduct>, plan: RolloutPlan) -> Script {
    Script {
        plan,
        begin: at(0),
        gateways: gateways.into_iter().map(|conduct| vec![conduct]).collect(),
        actions: Vec::new(),
        joins: Vec::new(),
        lateness: vec![0],
    }
}

const CONFIRM: Conduct = Conduct::Confirm {
    answers: 1,
    ends: 60,
};

#[test]
fn thirty_percent_of_failures_halt_it_in_its_first_wave() {
    let plan = RolloutPlan {
        waves: vec![10, 50, 100],
        ..RolloutPlan::default()
    };
    let gateways = (0..500).map(|number| match number % 10 {
        0..3 => Conduct::Fail {
            answers: 1,
            ends: 30,
        },
        _ => CONFIRM,
    });
    let end = Model::run(fleet(gateways.collect(), plan));
    assert_eq!(
        (end.state, end.wave, end.sends.len()),
        (RolloutState::Halted, 1, 50)
    );
}

#[test]
fn silent_gateways_do_not_hang_a_rollout() {
    let plan = RolloutPlan {
        halt_at_failure_percent: 100,
        max_in_flight: 1,
        window: Some(Window {
            from: "02:00".into(),
            to: "02:17".into(),
            timezone: "UTC".into(),
        }),
        ..RolloutPlan::default()
    };
    let mut gateways = vec![Conduct::Silent; 5];
    gateways.push(CONFIRM);
    let end = Model::run(fleet(gateways, plan));
    assert_eq!(end.state, RolloutState::Completed);
}
