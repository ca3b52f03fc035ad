use chrono::TimeDelta;
use proptest::prelude::*;

use super::{super::report::Vitals, *};

const DEADLINES: TaskDeadlines = TaskDeadlines {
    pending: Duration::from_secs(3600),
    silence: Duration::from_secs(900),
    confirm: Duration::from_secs(1800),
};

fn at(second: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_770_000_000 + second, 0).unwrap()
}

fn task() -> Task {
    Task {
        task_id: Uuid::nil(),
        gateway_id: "g".into(),
        device_type: "gateway".into(),
        from_version: Some("1.0.1".into()),
        to_version: "1.0.2".into(),
        firmware_url: String::new(),
        md5: String::new(),
        sha256: String::new(),
        file_size: 1,
        msg_id: "ota_1".into(),
        status: TaskStatus::Pending,
        progress: 0,
        error_code: None,
        error_message: None,
        force_upgrade: false,
        scheduled_at: None,
        start_time: at(0),
        complete_time: None,
        confirmed_at: None,
        deadline_at: Some(at(3600)),
        completed_timestamp: None,
        rollout_id: None,
        timeout_seconds: None,
        not_before: None,
        path: Vec::new(),
        packages: Vec::new(),
        duration_ms: None,
        created_at: at(0),
        updated_at: at(0),
    }
}

fn report(status: TaskStatus, progress: i16) -> Progress {
    Progress {
        status,
        progress,
        current_version: Some("1.0.1".into()),
        error_code: None,
        error_message: None,
        timestamp: Some(at(0).timestamp()),
    }
}

fn heartbeat(version: &str, second: i64) -> Heartbeat {
    Heartbeat {
        firmware_version: version.into(),
        vitals: Vitals::default(),
        timestamp: Some(at(second).timestamp()),
        late: false,
        shared: false,
        attributes: serde_json::Value::Null,
    }
}

fn completed_at(second: i64) -> Task {
    let mut task = task();
    let mut report = report(TaskStatus::Completed, 100);
    report.timestamp = Some(at(second).timestamp());
    assert_eq!(
        task.take_progress(&report, at(second), &DEADLINES),
        Outcome::Changed
    );
    task
}

#[test]
fn completed_is_confirmed_by_a_later_heartbeat_with_the_target_version() {
    let mut task = completed_at(10);
    assert_eq!(
        task.take_heartbeat(&heartbeat("1.0.2", 20), at(20)),
        Outcome::Changed
    );
    assert_eq!(
        (task.status, task.confirmed_at),
        (TaskStatus::Completed, Some(at(20)))
    );
    assert_eq!(
        task.take_heartbeat(&heartbeat("1.0.1", 30), at(30)),
        Outcome::Unchanged
    );
}

#[test]
fn completed_then_another_version_is_a_rollback() {
    let mut task = completed_at(10);
    assert_eq!(
        task.take_heartbeat(&heartbeat("1.0.1", 20), at(20)),
        Outcome::Changed
    );
    assert_eq!(task.status, TaskStatus::Failed);
    assert_eq!(task.error_code.as_deref(), Some(error_code::ROLLED_BACK));
    assert_eq!(
        task.complete_time,
        Some(at(10)),
        "when the gateway ended it"
    );
}

#[test]
fn a_heartbeat_sent_before_completed_but_arriving_after_is_no_rollback() {
    let mut task = completed_at(10);
    assert_eq!(
        task.take_heartbeat(&heartbeat("1.0.1", 9), at(11)),
        Outcome::Unchanged
    );
    assert_eq!(task.status, TaskStatus::Completed);
}

#[test]
fn a_heartbeat_of_the_same_second_as_completed_proves_but_does_not_refute() {
    let mut task = completed_at(10);
    assert_eq!(
        task.take_heartbeat(&heartbeat("1.0.1", 10), at(11)),
        Outcome::Unchanged
    );
    let mut reinstalled = completed_at(10);
    reinstalled.from_version = Some("1.0.2".into());
    assert_eq!(
        reinstalled.take_heartbeat(&heartbeat("1.0.2", 10), at(11)),
        Outcome::Unchanged
    );
    let mut proven = completed_at(10);
    proven.take_heartbeat(&heartbeat("1.0.2", 10), at(11));
    assert_eq!(proven.confirmed_at, Some(at(11)));
    // The next one tells.
    task.take_heartbeat(&heartbeat("1.0.1", 11), at(12));
    assert_eq!(task.error_code.as_deref(), Some(error_code::ROLLED_BACK));
}

#[test]
fn a_lost_completed_is_made_good_by_the_proof() {
    let mut task = task();
    task.take_progress(&report(TaskStatus::Installing, 98), at(1), &DEADLINES);
    assert_eq!(
        task.take_heartbeat(&heartbeat("1.0.2", 5), at(5)),
        Outcome::Changed
    );
    assert_eq!((task.status, task.progress), (TaskStatus::Completed, 100));
    assert_eq!(task.confirmed_at, Some(at(5)));
}

#[test]
fn a_gateway_that_ran_the_target_before_proves_nothing_while_it_reinstalls() {
    let mut task = task();
    task.from_version = Some("1.0.2".into());
    task.take_progress(&report(TaskStatus::Downloading, 10), at(1), &DEADLINES);
    assert_eq!(
        task.take_heartbeat(&heartbeat("1.0.2", 5), at(5)),
        Outcome::Unchanged
    );
    assert_eq!(task.status, TaskStatus::Downloading);
}

#[test]
fn silence_fails_the_task_and_each_report_moves_the_deadline() {
    let mut task = task();
    task.take_progress(&report(TaskStatus::Downloading, 10), at(100), &DEADLINES);
    assert_eq!(task.expire(at(999)), Outcome::Unchanged);
    assert_eq!(
        task.take_progress(&report(TaskStatus::Downloading, 10), at(500), &DEADLINES),
        Outcome::Alive
    );
    assert_eq!(task.expire(at(1000)), Outcome::Unchanged);
    assert_eq!(task.expire(at(1400)), Outcome::Changed);
    assert_eq!(task.error_code.as_deref(), Some(error_code::TIMEOUT));
}

#[test]
fn reports_close_together_leave_the_deadline_where_it_is() {
    let mut task = task();
    for (second, progress, deadline) in [
        (100, 1, 1000),
        (110, 2, 1000),
        (114, 3, 1000),
        (115, 4, 1015),
    ] {
        let report = report(TaskStatus::Downloading, progress);
        task.take_progress(&report, at(second), &DEADLINES);
        assert_eq!(task.deadline_at, Some(at(deadline)), "{second}");
        assert_eq!(task.progress, progress);
    }
}

#[test]
fn completed_without_proof_fails_at_its_deadline_and_stays_so() {
    let mut task = completed_at(10);
    assert_eq!(task.expire(at(1809)), Outcome::Unchanged);
    assert_eq!(task.expire(at(1810)), Outcome::Changed);
    assert_eq!((task.status, task.progress), (TaskStatus::Failed, 100));
    assert_eq!(task.error_code.as_deref(), Some(error_code::UNCONFIRMED));
    let message = task.error_message.clone().unwrap();
    assert!(
        message.contains("no heartbeat with version 1.0.2"),
        "{message}"
    );
    assert_eq!(task.complete_time, Some(at(10)));
    for version in ["1.0.2", "1.0.1"] {
        assert_eq!(
            task.take_heartbeat(&heartbeat(version, 1900), at(1900)),
            Outcome::Unchanged
        );
    }

    let mut proven = completed_at(10);
    proven.take_heartbeat(&heartbeat("1.0.2", 1809), at(1809));
    assert_eq!(proven.expire(at(9999)), Outcome::Unchanged);
    assert!(proven.confirmed_at.is_some());
}

#[test]
fn a_task_with_a_timeout_of_its_own_waits_as_long_for_everything() {
    let own = || Task {
        timeout_seconds: Some(60),
        not_before: Some(at(100)),
        ..task()
    };
    let mut pending = own();
    pending.wait_for_answer(&DEADLINES);
    assert_eq!(pending.deadline_at, Some(at(160)), "from notBefore on");
    let mut running = own();
    running.take_progress(&report(TaskStatus::Downloading, 0), at(5), &DEADLINES);
    assert_eq!(running.deadline_at, Some(at(160)));
    running.take_progress(&report(TaskStatus::Downloading, 10), at(110), &DEADLINES);
    assert_eq!(running.deadline_at, Some(at(170)));
    running.take_progress(&report(TaskStatus::Completed, 100), at(120), &DEADLINES);
    assert_eq!(running.deadline_at, Some(at(180)));
    let mut scheduled = task();
    scheduled.start_time = at(500);
    scheduled.wait_for_answer(&DEADLINES);
    assert_eq!(scheduled.deadline_at, Some(at(4100)));
}

#[test]
fn a_step_is_under_way_to_the_last_version_until_it_is_proven() {
    let mut step = completed_at(10);
    assert!(!step.is_under_way(), "nothing follows");
    step.path = vec!["1.0.2".into(), "2.0.0".into()];
    assert!(step.is_under_way());
    use TriggerDecision::*;
    for (version, decision) in [("2.0.0", Return), ("1.0.2", Conflict)] {
        assert_eq!(decide_trigger(Some(&step), version, false), decision);
    }
    step.take_heartbeat(&heartbeat("1.0.2", 20), at(20));
    assert!(!step.is_under_way());
}

#[test]
fn one_active_task_per_gateway() {
    let active = task();
    use TriggerDecision::*;
    for (active, version, forced, decision) in [
        (None, "1.0.2", false, Create),
        (Some(&active), "1.0.2", false, Return),
        (Some(&active), "1.0.2", true, Return),
        (Some(&active), "1.0.3", false, Conflict),
        (Some(&active), "1.0.3", true, Replace),
    ] {
        assert_eq!(decide_trigger(active, version, forced), decision);
    }
}

/// What can happen to a task.
#[derive(Clone, Debug)]
enum Op {
    Report(TaskStatus, i16),
    Heartbeat(bool, i64),
    Expire,
    Cancel,
}

fn op() -> impl Strategy<Value = Op> {
    let status = prop::sample::select(vec![
        TaskStatus::Downloading,
        TaskStatus::Verifying,
        TaskStatus::Installing,
        TaskStatus::Completed,
        TaskStatus::Failed,
    ]);
    prop_oneof![
        8 => (status, 0..=100_i16).prop_map(|(status, progress)| Op::Report(status, progress)),
        3 => (any::<bool>(), 0..1000_i64).prop_map(|(target, at)| Op::Heartbeat(target, at)),
        1 => Just(Op::Expire),
        1 => Just(Op::Cancel),
    ]
}

fn apply(task: &mut Task, op: &Op, now: DateTime<Utc>) -> Outcome {
    match op {
        Op::Report(status, progress) => {
            task.take_progress(&report(*status, *progress), now, &DEADLINES)
        }
        Op::Heartbeat(target, second) => {
            let version = if *target { "1.0.2" } else { "1.0.1" };
            task.take_heartbeat(&heartbeat(version, *second), now)
        }
        Op::Expire => task.expire(now),
        Op::Cancel => task.cancel(now),
    }
}

proptest! {
    #[test]
    fn progress_never_falls_and_an_ended_task_stays_ended(
        ops in prop::collection::vec((op(), 0..600_i64), 0..60)
    ) {
        let mut task = task();
        let mut now = at(0);
        for (op, wait) in ops {
            now += TimeDelta::seconds(wait);
            let before = task.clone();
            let outcome = apply(&mut task, &op, now);
            prop_assert!(task.progress >= before.progress);
            prop_assert!((0..=100).contains(&task.progress));
            let unproven = task.status == TaskStatus::Completed && task.confirmed_at.is_none();
            prop_assert_eq!(
                task.status.is_active() || unproven,
                task.deadline_at.is_some()
            );
            prop_assert_eq!(task.status.is_active(), task.complete_time.is_none());
            if before.status.is_active() {
                prop_assert!(task.status >= before.status);
            } else if task.status != before.status {
                // The one way out of an end: `completed` refuted, or not proven in time.
                prop_assert_eq!(before.status, TaskStatus::Completed);
                prop_assert_eq!(before.confirmed_at, None);
                let code = match op {
                    Op::Expire => error_code::UNCONFIRMED,
                    _ => error_code::ROLLED_BACK,
                };
                prop_assert_eq!(task.error_code.as_deref(), Some(code));
            }
            if before.confirmed_at.is_some() {
                prop_assert_eq!(&task, &before);
            }
            match outcome {
                Outcome::Unchanged => prop_assert_eq!(&task.updated_at, &before.updated_at),
                Outcome::Alive => prop_assert_eq!(
                    (task.status, task.progress), (before.status, before.progress)
                ),
                Outcome::Changed => prop_assert_eq!(task.updated_at, now),
            }
        }
    }

    #[test]
    fn duplicates_and_disorder_of_one_upgrade_end_as_the_upgrade_did(
        mut deliveries in prop::collection::vec(0..13_usize, 0..80),
        seed in any::<u64>(),
    ) {
        let sent: Vec<(TaskStatus, i16)> = (0..=9)
            .map(|tenth| (TaskStatus::Downloading, tenth * 10))
            .chain([
                (TaskStatus::Verifying, 95),
                (TaskStatus::Installing, 98),
                (TaskStatus::Completed, 100),
            ])
            .collect();
        // Each report arrives at least once, in any order, among duplicates.
        deliveries.extend(0..sent.len());
        let mut state = seed;
        for i in (1..deliveries.len()).rev() {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            deliveries.swap(i, (state >> 33) as usize % (i + 1));
        }
        let mut task = task();
        for (second, index) in deliveries.into_iter().enumerate() {
            let (status, progress) = sent[index];
            task.take_progress(&report(status, progress), at(second as i64), &DEADLINES);
        }
        prop_assert_eq!((task.status, task.progress), (TaskStatus::Completed, 100));
    }

    #[test]
    fn a_silent_gateway_never_leaves_a_task_hanging(
        ops in prop::collection::vec(op(), 0..20)
    ) {
        let mut task = task();
        for op in &ops {
            apply(&mut task, op, at(1));
        }
        task.expire(at(1) + DEADLINES.pending);
        prop_assert!(!task.status.is_active());
        prop_assert_eq!(task.deadline_at, None, "nor without a verdict");
    }
}

#[test]
fn a_late_heartbeat_of_a_gateway_without_a_clock_proves_but_does_not_refute() {
    let late = |version: &str| Heartbeat {
        timestamp: None,
        late: true,
        ..heartbeat(version, 0)
    };
    let mut task = completed_at(10);
    assert_eq!(
        task.take_heartbeat(&late("1.0.1"), at(20)),
        Outcome::Unchanged
    );
    assert_eq!(
        task.take_heartbeat(&late("1.0.2"), at(21)),
        Outcome::Changed
    );
    assert_eq!(task.confirmed_at, Some(at(21)));
    let mut reinstalled = completed_at(10);
    reinstalled.from_version = Some("1.0.2".into());
    assert_eq!(
        reinstalled.take_heartbeat(&late("1.0.2"), at(20)),
        Outcome::Unchanged
    );
}

#[test]
fn a_heartbeat_that_another_server_takes_in_after_completed_is_no_rollback_though_no_clock_tells() {
    let shared = |version: &str| Heartbeat {
        timestamp: None,
        shared: true,
        ..heartbeat(version, 0)
    };
    let mut task = completed_at(10);
    let outcome = task.take_heartbeat(&shared("1.0.1"), at(39));
    assert_eq!(outcome, Outcome::Unchanged);
    let mut proven = task.clone();
    proven.take_heartbeat(&shared("1.0.2"), at(11));
    assert_eq!(proven.confirmed_at, Some(at(11)));
    // No server is so far behind.
    task.take_heartbeat(&shared("1.0.1"), at(40));
    assert_eq!(task.error_code.as_deref(), Some(error_code::ROLLED_BACK));
}

#[test]
fn an_update_that_a_device_began_is_active_fails_by_silence_and_is_proven_by_a_later_heartbeat() {
    let change = PackageChange {
        name: "lib".into(),
        from_version: None,
        to_version: "2.1".into(),
    };
    let own = || {
        let mut own = task();
        // What leads its device stays as it is: only what it depends on changes.
        let same = own.to_version.clone();
        own.begin_on_its_own(Some(same), vec![change.clone()], at(0), &DEADLINES);
        own
    };
    let mut silent = own();
    assert!(silent.is_its_own() && silent.is_under_way() && silent.status.is_active());
    assert_eq!(silent.deadline_at, Some(at(900)));
    assert_eq!(silent.expire(at(900)), Outcome::Changed);
    assert_eq!(silent.error_code.as_deref(), Some(error_code::TIMEOUT));

    let heartbeat = |task: &Task, second: i64| Heartbeat {
        firmware_version: task.to_version.clone(),
        vitals: Vitals::default(),
        timestamp: Some(1_770_000_000 + second),
        late: false,
        shared: false,
        attributes: serde_json::Value::Null,
    };
    let mut done = own();
    // It ran that version before: nothing is proven.
    assert_eq!(
        done.take_heartbeat(&heartbeat(&done, 1), at(1)),
        Outcome::Unchanged
    );
    let completed = Progress {
        status: TaskStatus::Completed,
        progress: 100,
        current_version: None,
        error_code: None,
        error_message: None,
        timestamp: Some(1_770_000_002),
    };
    done.take_progress(&completed, at(2), &DEADLINES);
    assert_eq!(
        done.take_heartbeat(&heartbeat(&done, 2), at(2)),
        Outcome::Unchanged
    );
    assert_eq!(
        done.take_heartbeat(&heartbeat(&done, 3), at(3)),
        Outcome::Changed
    );
    assert_eq!(done.confirmed_at, Some(at(3)));
}
