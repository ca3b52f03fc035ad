use chrono::TimeDelta;

use super::{
    super::{Hold, RolloutPlan, RolloutState, Standing, Step, WaveCounts, Window, decide},
    at, utc,
};

fn plan() -> RolloutPlan {
    RolloutPlan {
        waves: vec![10, 100],
        ..RolloutPlan::default()
    }
}

fn wave(waiting: i64, active: i64, confirmed: i64, failed: i64) -> WaveCounts {
    WaveCounts {
        waiting,
        active,
        confirmed,
        failed,
        ..WaveCounts::default()
    }
}

fn ended(confirmed: i64, failed: i64, second: i64) -> WaveCounts {
    WaveCounts {
        ended_at: Some(at(second)),
        ..wave(0, 0, confirmed, failed)
    }
}

fn running(wave: usize, waves: &[WaveCounts]) -> Standing<'_> {
    Standing {
        state: RolloutState::Running,
        wave,
        waves,
        paced_at: None,
        pending: 0,
    }
}

fn wait(until: Option<i64>, hold: Hold) -> Step {
    Step::Wait {
        until: until.map(at),
        hold,
    }
}

#[test]
fn sends_to_the_waves_begun_as_far_as_there_is_room() {
    let waves = [wave(40, 70, 0, 0), wave(900, 0, 0, 0)];
    assert_eq!(
        decide(&plan(), &running(1, &waves), at(0)),
        Step::Send { count: 30 }
    );
    let waves = [wave(10, 70, 0, 0), wave(900, 0, 0, 0)];
    assert_eq!(
        decide(&plan(), &running(1, &waves), at(0)),
        Step::Send { count: 10 }
    );
    // Members that were retried or have joined an earlier wave.
    let waves = [wave(3, 0, 50, 0), wave(900, 95, 0, 0)];
    assert_eq!(
        decide(&plan(), &running(2, &waves), at(0)),
        Step::Send { count: 5 }
    );
    let waves = [wave(40, 100, 0, 0), wave(900, 0, 0, 0)];
    assert_eq!(
        decide(&plan(), &running(1, &waves), at(0)),
        wait(None, Hold::InFlight)
    );
    let waves = [wave(0, 100, 0, 0), wave(900, 0, 0, 0)];
    assert_eq!(
        decide(&plan(), &running(1, &waves), at(0)),
        wait(None, Hold::Gateways)
    );
}

#[test]
fn halts_at_one_failure_more_than_the_share_and_says_which() {
    let halt = |reason: &str| Step::Halt {
        reason: reason.into(),
    };
    let step =
        |counts: WaveCounts| decide(&plan(), &running(1, &[counts, wave(9, 0, 0, 0)]), at(0));
    assert_eq!(step(wave(34, 0, 11, 5)), Step::Send { count: 34 });
    assert_eq!(
        step(wave(33, 0, 11, 6)),
        halt("wave 1: 6 of 50 failed, more than 10 %")
    );
    let out = WaveCounts {
        skipped: 5,
        cancelled: 5,
        ..wave(24, 0, 11, 5)
    };
    assert_eq!(step(out), halt("wave 1: 5 of 40 failed, more than 10 %"));
    let tolerated = WaveCounts {
        tolerated: 6,
        ..wave(28, 0, 11, 11)
    };
    assert_eq!(step(tolerated.clone()), Step::Send { count: 28 });
    let one_more = WaveCounts {
        waiting: 27,
        failed: 12,
        ..tolerated
    };
    assert_eq!(
        step(one_more),
        halt("wave 1: 6 of 50 failed beside 6 accepted before, more than 10 %")
    );
    // Retried since they were accepted.
    let retried = WaveCounts {
        tolerated: 6,
        ..wave(39, 0, 11, 0)
    };
    assert_eq!(step(retried), Step::Send { count: 39 });
}

#[test]
fn an_earlier_wave_can_still_halt_it() {
    let waves = [wave(0, 0, 4, 1), wave(90, 5, 0, 0)];
    let step = decide(&plan(), &running(2, &waves), at(0));
    assert!(
        matches!(&step, Step::Halt { reason } if reason.starts_with("wave 1: 1 of 5")),
        "{step:?}"
    );
}

#[test]
fn the_limits_of_the_share_are_none_and_any() {
    let strict = RolloutPlan {
        halt_at_failure_percent: 0,
        ..plan()
    };
    let lax = RolloutPlan {
        halt_at_failure_percent: 100,
        ..plan()
    };
    let waves = [wave(0, 0, 999, 1), wave(9, 0, 0, 0)];
    assert!(matches!(
        decide(&strict, &running(1, &waves), at(0)),
        Step::Halt { .. }
    ));
    let waves = [wave(1, 0, 0, 999), wave(9, 0, 0, 0)];
    assert_eq!(
        decide(&lax, &running(1, &waves), at(0)),
        Step::Send { count: 1 }
    );
}

#[test]
fn a_wave_ends_soaks_and_gives_way_to_the_next() {
    let plan = RolloutPlan {
        soak_seconds: 60,
        ..plan()
    };
    let step = |waves: &[WaveCounts], second| decide(&plan, &running(1, waves), at(second));
    assert_eq!(
        step(&[wave(0, 0, 5, 0), wave(9, 0, 0, 0)], 0),
        Step::EndWave
    );
    let waves = [ended(5, 0, 0), wave(9, 0, 0, 0)];
    assert_eq!(step(&waves, 59), wait(Some(60), Hold::Soak));
    assert_eq!(step(&waves, 60), Step::StartWave(2));
    // Nobody in it, nothing to watch.
    let waves = [ended(0, 0, 0), wave(9, 0, 0, 0)];
    assert_eq!(step(&waves, 0), Step::StartWave(2));
}

#[test]
fn the_last_wave_soaks_and_lets_gateways_join_before_all_is_complete() {
    let plan = RolloutPlan {
        soak_seconds: 60,
        join_until: Some(at(100)),
        ..plan()
    };
    let waves = [ended(5, 0, 0), ended(45, 0, 10)];
    let step = |second| decide(&plan, &running(2, &waves), at(second));
    assert_eq!(step(69), wait(Some(70), Hold::Soak));
    assert_eq!(step(70), wait(Some(100), Hold::Join));
    assert_eq!(step(100), Step::Complete);
    let joined = [
        WaveCounts {
            waiting: 1,
            ..ended(5, 0, 0)
        },
        ended(45, 0, 10),
    ];
    assert_eq!(
        decide(&plan, &running(2, &joined), at(80)),
        Step::Send { count: 1 }
    );
}

#[test]
fn a_scheduled_one_waits_for_its_start_then_for_its_window() {
    let window = Window {
        from: "03:00".into(),
        to: "04:00".into(),
        timezone: "UTC".into(),
    };
    let plan = RolloutPlan {
        start_at: Some(at(60)),
        window: Some(window),
        ..plan()
    };
    let waves = [wave(5, 0, 0, 0), wave(45, 0, 0, 0)];
    let scheduled = Standing {
        state: RolloutState::Scheduled,
        ..running(0, &waves)
    };
    let step = decide(&plan, &scheduled, at(59));
    assert_eq!(step, wait(Some(60), Hold::Start));
    assert_eq!(
        step.waiting_for().unwrap(),
        "its startAt has not come, until 2026-02-02T02:41:00Z"
    );
    assert_eq!(
        decide(&plan, &scheduled, at(60)),
        wait(Some(1200), Hold::Window)
    );
    assert_eq!(decide(&plan, &scheduled, at(1200)), Step::StartWave(1));
    // One that was paused meanwhile and runs.
    assert_eq!(
        decide(&plan, &running(0, &waves), at(59)),
        wait(Some(60), Hold::Start)
    );
}

#[test]
fn outside_its_window_it_sends_nothing_and_withdraws_what_nobody_answered() {
    let window = Window {
        from: "03:00".into(),
        to: "04:00".into(),
        timezone: "UTC".into(),
    };
    let plan = RolloutPlan {
        window: Some(window),
        ..plan()
    };
    let (open, close) = (utc("2026-02-02T03:00:00Z"), utc("2026-02-02T04:00:00Z"));
    let waves = [wave(5, 2, 0, 0), wave(45, 0, 0, 0)];
    let pending = Standing {
        pending: 1,
        ..running(1, &waves)
    };
    assert_eq!(decide(&plan, &pending, close), Step::Withdraw);
    let window_hold = Step::Wait {
        until: Some(open + TimeDelta::days(1)),
        hold: Hold::Window,
    };
    assert_eq!(decide(&plan, &running(1, &waves), close), window_hold);
    assert_eq!(
        decide(&plan, &running(1, &waves), open),
        Step::Send { count: 5 }
    );
    // It looks again when the window closes, as long as there is something to withdraw.
    let waves = [wave(0, 2, 0, 0), wave(45, 0, 0, 0)];
    let pending = Standing {
        pending: 1,
        ..running(1, &waves)
    };
    let until_close = Step::Wait {
        until: Some(close),
        hold: Hold::Gateways,
    };
    assert_eq!(decide(&plan, &pending, open), until_close);
    assert_eq!(
        decide(&plan, &running(1, &waves), open),
        wait(None, Hold::Gateways)
    );
    // What has ended is noted at any hour; the next wave waits.
    let waves = [wave(0, 0, 5, 0), wave(45, 0, 0, 0)];
    assert_eq!(decide(&plan, &running(1, &waves), close), Step::EndWave);
    let waves = [ended(5, 0, 0), wave(45, 0, 0, 0)];
    assert_eq!(decide(&plan, &running(1, &waves), close), window_hold);
}

#[test]
fn one_that_does_not_move_withdraws_and_waits() {
    for state in RolloutState::ALL
        .into_iter()
        .filter(|state| !state.is_live())
    {
        // Even with failures that would halt it.
        let waves = [wave(5, 2, 0, 9), wave(45, 0, 0, 0)];
        let standing = Standing {
            state,
            ..running(1, &waves)
        };
        assert_eq!(
            decide(&plan(), &standing, at(0)),
            wait(None, Hold::State(state))
        );
        let pending = Standing {
            pending: 2,
            ..standing
        };
        assert_eq!(decide(&plan(), &pending, at(0)), Step::Withdraw);
    }
}

#[test]
fn every_hold_has_its_own_sentence() {
    let mut holds = vec![
        Hold::Start,
        Hold::Window,
        Hold::InFlight,
        Hold::Rate,
        Hold::Gateways,
        Hold::Soak,
        Hold::Join,
    ];
    holds.extend(RolloutState::ALL.map(Hold::State));
    let mut sentences: Vec<String> = holds.iter().map(Hold::to_string).collect();
    sentences.sort();
    sentences.dedup();
    assert_eq!(sentences.len(), holds.len());
    assert_eq!(Step::Complete.waiting_for(), None);
}
