use super::*;
use crate::domain::{CommandKind, Gateway, TaskStatus};

fn task(status: TaskStatus) -> Task {
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
        status,
        progress: 40,
        error_code: None,
        error_message: None,
        force_upgrade: false,
        scheduled_at: None,
        start_time: at("07:00:00"),
        complete_time: None,
        confirmed_at: None,
        deadline_at: None,
        completed_timestamp: None,
        rollout_id: None,
        timeout_seconds: None,
        not_before: None,
        path: Vec::new(),
        packages: Vec::new(),
        duration_ms: None,
        created_at: at("07:00:00"),
        updated_at: at("07:00:00"),
    }
}

fn command(sends: i32, next_send_at: &str) -> OutboundCommand {
    OutboundCommand {
        command_id: Uuid::nil(),
        task_id: Uuid::nil(),
        gateway_id: "g".into(),
        kind: CommandKind::Upgrade,
        payload: String::new(),
        sends,
        next_send_at: at(next_send_at),
    }
}

fn facts_of(status: TaskStatus, change: impl FnOnce(&mut TaskFacts, &mut Gateway)) -> WhyFacts {
    let mut of = TaskFacts {
        task: task(status),
        command: None,
        last_report: None,
    };
    let active_or_unproven = status <= TaskStatus::Completed;
    of.task.deadline_at = active_or_unproven.then(|| at("09:00:00"));
    if status >= TaskStatus::Completed {
        of.task.complete_time = Some(at("07:30:00"));
    }
    facts_with(|facts| {
        change(&mut of, &mut facts.gateway);
        facts.task = Some(of);
    })
}

fn pending(sends: i32, change: impl FnOnce(&mut Task, &mut Gateway)) -> WhyFacts {
    facts_of(TaskStatus::Pending, |of, gateway| {
        of.command = Some(command(sends, "08:00:40"));
        change(&mut of.task, gateway);
    })
}

pub(super) fn running(status: TaskStatus) -> WhyFacts {
    facts_of(status, |of, _| {
        of.last_report = Some(LastReport {
            state: status.as_str().into(),
            progress: 40,
            received_at: at("07:50:00"),
        });
    })
}

fn failed(code: &str) -> WhyFacts {
    facts_of(TaskStatus::Failed, |of, _| {
        of.task.error_code = Some(code.into());
        of.task.error_message = Some("because".into());
        of.last_report = Some(LastReport {
            state: "downloading".into(),
            progress: 17,
            received_at: at("07:20:00"),
        });
    })
}

fn over_a_stone(status: TaskStatus, confirmed: bool) -> WhyFacts {
    let mut facts = facts_of(status, |of, gateway| {
        of.task.to_version = "1.4.0".into();
        of.task.path = vec!["1.4.0".into(), "2.0.0".into()];
        of.task.confirmed_at = confirmed.then(|| at("07:40:00"));
        if confirmed {
            gateway.current_version = Some("1.4.0".into());
        }
    });
    facts.candidates.push(candidate("1.4.0", None));
    facts.candidates.push(candidate("2.0.0", Some("1.4.0")));
    facts
}

fn confirmed(runs: &str) -> WhyFacts {
    facts_of(TaskStatus::Completed, |of, gateway| {
        of.task.confirmed_at = Some(at("07:40:00"));
        gateway.current_version = Some(runs.into());
    })
}

pub(super) fn cases() -> Vec<Case> {
    [under_way_cases(), other_cases()].concat()
}

fn under_way_cases() -> Vec<Case> {
    use Rule::*;
    use TaskStatus as S;
    use Verdict::{Updating, Waiting};
    let nothing = |_: &mut Task, _: &mut Gateway| {};
    let offline = |_: &mut Task, gateway: &mut Gateway| gateway.online = false;
    vec![
        case(
            pending(0, |task, _| task.scheduled_at = Some(at("23:00:00"))),
            TaskScheduled,
            Waiting,
            &["1.0.2", "leaves at 2026-03-01T23:00:00Z"],
        )
        .until("23:00:00"),
        case(
            pending(3, offline),
            WaitsForGateway,
            Waiting,
            &[
                "last heard of at 2026-03-01T07:59:00Z",
                "sent 3 times, next at 2026-03-01T08:00:40Z",
            ],
        )
        .until("09:00:00"),
        case(
            pending(0, nothing),
            CommandNotSent,
            Waiting,
            &["due since 2026-03-01T08:00:40Z", "/readyz"],
        )
        .until("09:00:00"),
        case(
            pending(1, |task, _| task.not_before = Some(at("08:05:00"))),
            NotBefore,
            Waiting,
            &["not before 2026-03-01T08:05:00Z"],
        )
        .until("08:05:00"),
        case(
            pending(1, nothing),
            CommandUnanswered,
            Waiting,
            &[
                "sent once, next at 2026-03-01T08:00:40Z",
                "fails at 2026-03-01T09:00:00Z",
            ],
        )
        .until("09:00:00"),
        case(
            running(S::Downloading),
            Downloading,
            Updating,
            &[
                "downloading 1.0.2 at 40 %",
                "since 2026-03-01T07:50:00Z",
                "at 2026-03-01T09:00:00Z",
            ],
        )
        .until("09:00:00"),
        case(
            running(S::Verifying),
            Verifying,
            Updating,
            &["verifying 1.0.2"],
        )
        .until("09:00:00"),
        case(
            running(S::Installing),
            Installing,
            Updating,
            &["installing 1.0.2"],
        )
        .until("09:00:00"),
        case(
            facts_of(S::Completed, |_, _| {}),
            ProofAwaited,
            Updating,
            &[
                "a heartbeat with 1.0.2",
                "until 2026-03-01T09:00:00Z",
                "UNCONFIRMED",
            ],
        )
        .until("09:00:00"),
    ]
}

fn other_cases() -> Vec<Case> {
    use Rule::*;
    use TaskStatus as S;
    use Verdict::{Blocked, Failed, NotTargeted, Updating};
    let behind = || {
        let mut facts = running(S::Downloading);
        facts.candidates.push(candidate("1.0.3", None));
        facts
    };
    let retry = "POST /api/ota/task/00000000-0000-0000-0000-000000000000/retry";
    let retry: &'static [&'static str] = Box::leak(Box::new([
        retry,
        "to 1.0.2, failed at 2026-03-01T07:30:00Z",
        "downloading at 17 %, at 2026-03-01T07:20:00Z",
        "because",
    ]));
    vec![
        case(
            behind(),
            NotTheLatest,
            Updating,
            &["brings 1.0.2", "1.0.3 is the latest"],
        ),
        case(
            over_a_stone(S::Downloading, false),
            StepStone,
            Updating,
            &["1.0.1 -> 1.4.0 -> 2.0.0", "step 1 of 2"],
        ),
        case(
            over_a_stone(S::Completed, false),
            StepStone,
            Updating,
            &["step 1 of 2", "made when 1.4.0 is proven"],
        ),
        case(
            over_a_stone(S::Completed, true),
            PathStopped,
            Blocked,
            &[
                "came to 1.4.0 at 2026-03-01T07:40:00Z",
                "to 2.0.0",
                "POST /api/ota/upgrade/g ",
            ],
        ),
        case(failed("DIGEST_MISMATCH"), TaskFailed, Failed, retry),
        case(failed("TIMEOUT"), TimedOut, Failed, retry),
        case(failed("UNCONFIRMED"), Unconfirmed, Failed, retry),
        case(failed("ROLLED_BACK"), RolledBack, Failed, retry),
        case(
            facts_of(S::Cancelled, |_, _| {}),
            TaskCancelled,
            NotTargeted,
            &["to 1.0.2, was cancelled at 2026-03-01T07:30:00Z", "/retry"],
        ),
        case(
            confirmed("1.0.1"),
            FellBack,
            Failed,
            &["proved 1.0.2 at 2026-03-01T07:40:00Z", "runs 1.0.1 now"],
        ),
    ]
}

#[test]
fn a_failure_does_not_count_once_the_gateway_has_the_version_or_a_newer_one() {
    for version in ["1.0.2", "1.0.3"] {
        let mut facts = failed("UNCONFIRMED");
        facts.gateway.current_version = Some(version.into());
        let explanation = explain(&facts);
        assert_eq!(explanation.verdict, Verdict::UpToDate, "{explanation:#?}");
        finding(&explanation, Rule::Unconfirmed);
    }
    // Not so where it was to go down.
    let mut facts = failed("TIMEOUT");
    facts.gateway.current_version = Some("1.0.2".into());
    let of = facts.task.as_mut().unwrap();
    of.task.from_version = Some("1.0.2".into());
    of.task.to_version = "1.0.1".into();
    assert_eq!(explain(&facts).verdict, Verdict::Failed);
}

#[test]
fn a_task_that_did_its_work_is_not_mentioned() {
    let explanation = explain(&confirmed("1.0.2"));
    assert_eq!(explanation.verdict, Verdict::UpToDate);
    assert_eq!(explanation.findings.len(), 1, "{explanation:#?}");
    let mut facts = confirmed("1.0.2");
    facts.candidates.push(candidate("1.0.3", None));
    let explanation = explain(&facts);
    assert_eq!(explanation.findings[0].rule, Rule::NotTriggered);
}

#[test]
fn what_a_task_says_names_the_task_and_its_rollout() {
    let mut facts = running(TaskStatus::Downloading);
    let of = facts.task.as_mut().unwrap();
    of.task.rollout_id = Some(Uuid::max());
    let downloading = finding(&explain(&facts), Rule::Downloading);
    assert_eq!(downloading.task_id, Some(Uuid::nil()));
    assert_eq!(downloading.rollout_id, Some(Uuid::max()));
}
