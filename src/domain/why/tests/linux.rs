//! Of devices that poll over HTTP.

use super::{
    tasks::{facts_of, pending},
    *,
};
use crate::domain::{Barred, PackageChange, TaskStatus};

fn speaks_http(_: &mut Task, gateway: &mut Gateway) {
    gateway.device_type = "linux".into();
    gateway.offline_at = Some(at("08:10:00"));
}

/// A failed update that the device began on its own.
fn own() -> WhyFacts {
    facts_of(TaskStatus::Failed, |of, gateway| {
        speaks_http(&mut of.task, gateway);
        of.command = None;
        of.task.error_code = Some("SCRIPT_FAILED".into());
        let change = |name: &str, from: Option<&str>, to: &str| PackageChange {
            name: name.into(),
            from_version: from.map(str::to_owned),
            to_version: to.into(),
        };
        of.task.packages = vec![
            change("lib", None, "2.1"),
            change("app", Some("1.0.1"), "1.0.2"),
        ];
    })
}

pub(super) fn cases() -> Vec<Case> {
    use Rule::*;
    use Verdict::{Blocked, Failed, NotTargeted, NothingReleased as Nothing, Waiting};
    let linux = |change: fn(&mut WhyFacts)| {
        facts_with(|facts| {
            facts.gateway.device_type = "linux".into();
            change(facts);
        })
    };
    vec![
        case(
            pending(0, speaks_http),
            WaitsForPoll,
            Waiting,
            &["at its next poll", "fails at 2026-03-01T09:00:00Z"],
        )
        .until("09:00:00"),
        case(
            pending(2, speaks_http),
            CommandUnanswered,
            Waiting,
            &["was fetched 2 times", "journalctl -u airlift-agent"],
        )
        .until("09:00:00"),
        case(
            pending(0, |task, gateway| {
                speaks_http(task, gateway);
                task.scheduled_at = Some(at("23:00:00"));
            }),
            TaskScheduled,
            Waiting,
            &["is given out from 2026-03-01T23:00:00Z"],
        )
        .until("23:00:00"),
        case(
            pending(0, |task, gateway| {
                speaks_http(task, gateway);
                gateway.online = false;
            }),
            GatewayOffline,
            Waiting,
            &["reports over HTTP", "silent for too long"],
        ),
        case(
            own(),
            OwnUpdate,
            Failed,
            &[
                "nobody sent it",
                "lib 2.1, which it did not have, app 1.0.1 -> 1.0.2",
            ],
        ),
        case(
            own(),
            TaskFailed,
            Failed,
            &["SCRIPT_FAILED", "`airlift-agent retry`"],
        ),
        case(
            linux(|facts| facts.candidates.clear()),
            Rule::NothingReleased,
            Nothing,
            &[
                "POST /api/ota/packages/{name}/{version}/release",
                "follows a branch",
            ],
        ),
        case(
            linux(|_| {}),
            NotTriggered,
            NotTargeted,
            &["follows a branch"],
        ),
        case(
            linux(|facts| {
                facts.candidates[1].barred = Some(Barred::Withdrawn { at: at("07:00:00") });
            }),
            PackageWithdrawn,
            Blocked,
            &["withdrawn at 2026-03-01T07:00:00Z"],
        ),
        case(
            linux(|facts| {
                facts.gateway.online = false;
                facts.gateway.last_seen_at = None;
            }),
            NeverHeardOf,
            NotTargeted,
            &["airlift-agent"],
        ),
    ]
}

#[test]
fn nothing_is_said_of_a_broker_where_none_is_spoken_to() {
    for sends in 0..3 {
        for online in [true, false] {
            let facts = pending(sends, |task, gateway| {
                speaks_http(task, gateway);
                gateway.online = online;
            });
            let said = format!("{:?}", explain(&facts));
            for word in ["broker", "was sent", "topic", "MQTT"] {
                assert!(!said.contains(word), "{word}: {said}");
            }
        }
    }
}
