use super::{
    super::{RolloutPlan, Window},
    at, utc,
};

fn window(from: &str, to: &str, timezone: &str) -> Option<Window> {
    Some(Window {
        from: from.into(),
        to: to.into(),
        timezone: timezone.into(),
    })
}

fn plan() -> RolloutPlan {
    RolloutPlan::default()
}

#[test]
fn each_plan_that_cannot_be_is_refused_by_its_own_word_and_a_sentence() {
    let now = at(0);
    #[rustfmt::skip]
    let refused = [
        (RolloutPlan { waves: vec![], ..plan() }, "waves_empty", "[100]"),
        (RolloutPlan { waves: vec![0, 100], ..plan() }, "wave_zero", "1 to 100"),
        (RolloutPlan { waves: vec![50, 101], ..plan() }, "wave_above_100", "101 %"),
        (RolloutPlan { waves: vec![10, 50, 50], ..plan() }, "waves_not_rising", "of 50 %"),
        (RolloutPlan { waves: vec![50, 10], ..plan() }, "waves_not_rising", "of 10 % comes after the one of 50 %"),
        (RolloutPlan { max_in_flight: 0, ..plan() }, "invalid_max_in_flight", "is 0;"),
        (RolloutPlan { max_in_flight: 100_001, ..plan() }, "invalid_max_in_flight", "to 100000"),
        (RolloutPlan { commands_per_minute: Some(0), ..plan() }, "invalid_commands_per_minute", "is 0;"),
        (RolloutPlan { commands_per_minute: Some(1_000_001), ..plan() }, "invalid_commands_per_minute", "1000001"),
        (RolloutPlan { jitter_seconds: 3601, ..plan() }, "invalid_jitter", "3600"),
        (RolloutPlan { halt_at_failure_percent: 101, ..plan() }, "invalid_halt_percent", "is 101;"),
        (RolloutPlan { task_timeout_seconds: 0, ..plan() }, "invalid_task_timeout", "is 0;"),
        (RolloutPlan { task_timeout_seconds: 2_592_001, ..plan() }, "invalid_task_timeout", "30 days"),
        (RolloutPlan { soak_seconds: 2_592_001, ..plan() }, "invalid_soak", "30 days"),
        (RolloutPlan { join_until: Some(now), ..plan() }, "join_until_past", "2026-02-02T02:40:00Z"),
        (RolloutPlan { start_at: Some(at(9)), join_until: Some(at(9)), ..plan() }, "join_until_before_start", "02:40:09Z"),
        (RolloutPlan { window: window("1:00", "05:00", "UTC"), ..plan() }, "window_from_invalid", "\"1:00\""),
        (RolloutPlan { window: window("+1:00", "05:00", "UTC"), ..plan() }, "window_from_invalid", "\"+1:00\""),
        (RolloutPlan { window: window("01:00", "24:00", "UTC"), ..plan() }, "window_to_invalid", "\"24:00\""),
        (RolloutPlan { window: window("01:00", "", "UTC"), ..plan() }, "window_to_invalid", "00:00 to 23:59"),
        (RolloutPlan { window: window("01:00", "05:00", "Mars/Base"), ..plan() }, "unknown_timezone", "\"Mars/Base\""),
        (RolloutPlan { window: window("01:00", "01:00", "UTC"), ..plan() }, "window_empty", "no length"),
        (RolloutPlan { window: window("23:55", "00:11", "UTC"), ..plan() }, "window_shorter_than_timeout", "lasts 960 s, taskTimeoutSeconds and jitterSeconds are 910 s"),
    ];
    for (plan, code, words) in refused {
        let refusal = plan.check(now).unwrap_err();
        assert_eq!(refusal.code, code, "{refusal}");
        assert!(refusal.message.contains(words), "{words}: {refusal}");
    }
}

#[test]
fn plans_at_the_edge_of_what_is_allowed_are_taken() {
    let now = at(0);
    #[rustfmt::skip]
    let taken = [
        plan(),
        RolloutPlan { waves: (1..=100).collect(), ..plan() },
        RolloutPlan { waves: vec![5], halt_at_failure_percent: 0, ..plan() },
        RolloutPlan { max_in_flight: 100_000, commands_per_minute: Some(1_000_000), jitter_seconds: 3600, ..plan() },
        RolloutPlan { halt_at_failure_percent: 100, task_timeout_seconds: 2_592_000, soak_seconds: 2_592_000, ..plan() },
        // A start that has passed is one at once.
        RolloutPlan { start_at: Some(utc("2020-01-01T00:00:00Z")), join_until: Some(at(1)), ..plan() },
        RolloutPlan { window: window("23:55", "00:12", "Asia/Shanghai"), jitter_seconds: 60, ..plan() },
    ];
    for plan in taken {
        assert_eq!(plan.check(now), Ok(()), "{plan:?}");
    }
}

#[test]
fn a_stored_plan_is_read_again_and_what_it_lacks_has_the_default() {
    let full = RolloutPlan {
        start_at: Some(at(0)),
        window: window("01:00", "05:00", "Asia/Shanghai"),
        commands_per_minute: Some(60),
        ..plan()
    };
    let json = serde_json::to_value(&full).unwrap();
    assert_eq!(json["maxInFlight"], 100);
    assert_eq!(json["window"]["timezone"], "Asia/Shanghai");
    assert_eq!(serde_json::from_value::<RolloutPlan>(json).unwrap(), full);
    let old: RolloutPlan = serde_json::from_str(r#"{"waves":[5]}"#).unwrap();
    assert_eq!(
        old,
        RolloutPlan {
            waves: vec![5],
            ..plan()
        }
    );
}
