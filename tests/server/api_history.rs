//! What became of tasks: their events, all of them as CSV, and how long they are kept.

use std::collections::BTreeSet;

use airlift::domain::{Event, EventKind, Gateway, Task, TaskStatus};
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::app::{Setup, TestApp};

/// A task that was made and completed at this moment.
pub fn ended_task(app: &TestApp, gateway_id: &str) -> Task {
    let now = app.clock.now();
    let task_id = app.clock.new_id();
    Task {
        task_id,
        gateway_id: gateway_id.into(),
        device_type: "gateway".into(),
        from_version: Some("1.0.1".into()),
        to_version: "1.0.2".into(),
        firmware_url: "http://localhost/firmware/gateway_v1.0.2.bin".into(),
        md5: "m".into(),
        sha256: "s".into(),
        file_size: 14,
        msg_id: format!("ota_{task_id}"),
        status: TaskStatus::Completed,
        progress: 100,
        error_code: None,
        error_message: None,
        force_upgrade: false,
        scheduled_at: None,
        start_time: now,
        complete_time: Some(now),
        confirmed_at: None,
        deadline_at: None,
        completed_timestamp: None,
        rollout_id: None,
        timeout_seconds: None,
        not_before: None,
        path: Vec::new(),
        packages: Vec::new(),
        duration_ms: Some(0),
        created_at: now,
        updated_at: now,
    }
}

/// Stores tasks as if the server had made them long ago.
pub async fn put_tasks(app: &TestApp, tasks: &[Task]) {
    let db = app.db().await;
    let mut tx = db.begin().await.unwrap();
    let gateways: BTreeSet<&str> = tasks.iter().map(|task| task.gateway_id.as_str()).collect();
    for gateway_id in gateways {
        let gateway = Gateway::new(gateway_id, "gateway", app.clock.now());
        tx.lock_gateway(&gateway).await.unwrap();
    }
    tx.insert_tasks(tasks).await.unwrap();
    tx.commit().await.unwrap();
    db.close().await;
}

async fn put_events(app: &TestApp, events: impl IntoIterator<Item = Event>) {
    let db = app.db().await;
    let mut tx = db.begin().await.unwrap();
    for event in events {
        tx.record(event);
    }
    tx.commit().await.unwrap();
    db.close().await;
}

async fn events(app: &TestApp, task: &Task) -> Vec<Value> {
    let path = format!("/api/ota/task/{}/events", task.task_id);
    let page = app.get(&path).await.data();
    assert_eq!(page["nextCursor"], Value::Null);
    page["items"].as_array().unwrap().clone()
}

#[tokio::test]
async fn the_events_of_a_task_tell_what_happened_to_it_in_order() {
    let app = Setup::manual_clock().start().await;
    let now = app.clock.now();
    let mut task = ended_task(&app, "g");
    put_tasks(&app, std::slice::from_ref(&task)).await;
    assert_eq!(events(&app, &task).await, [] as [Value; 0]);

    let mut told = Vec::new();
    (task.status, task.progress) = (TaskStatus::Downloading, 40);
    told.push(Event::task(EventKind::TaskProgress, &task, now));
    task.status = TaskStatus::Failed;
    task.error_code = Some("DIGEST_MISMATCH".into());
    task.error_message = Some("other bytes".into());
    let later = now + TimeDelta::seconds(5);
    told.push(Event::task(EventKind::Task, &task, later));
    let other = ended_task(&app, "h");
    told.push(Event::task(EventKind::Task, &other, later));
    // It names the task, and is not about it.
    told.push(Event {
        kind: EventKind::Gateway,
        data: json!({ "online": false }),
        ..Event::task(EventKind::Task, &task, later)
    });
    put_events(&app, told).await;

    let mut items = events(&app, &task).await;
    let ids: Vec<i64> = items
        .iter_mut()
        .map(|item| item["eventId"].take().as_i64().unwrap())
        .collect();
    assert!(ids[0] < ids[1], "{ids:?}");
    let expected = [
        json!({
            "eventId": null, "createdAt": "2026-03-01T08:00:00Z", "kind": "task_progress",
            "status": "downloading", "progress": 40, "fromVersion": "1.0.1",
            "toVersion": "1.0.2", "errorCode": null, "errorMessage": null, "confirmedAt": null,
        }),
        json!({
            "eventId": null, "createdAt": "2026-03-01T08:00:05Z", "kind": "task",
            "status": "failed", "progress": 40, "fromVersion": "1.0.1", "toVersion": "1.0.2",
            "errorCode": "DIGEST_MISMATCH", "errorMessage": "other bytes", "confirmedAt": null,
        }),
    ];
    assert_eq!(items, expected);

    let nobody = "/api/ota/task/00000000-0000-7000-8000-000000000000/events";
    app.get(nobody).await.refused(404, "task_not_found");
    let gateway = app.get("/api/ota/task/g/events").await;
    gateway.refused(400, "invalid_task_id");
    app.stop().await;
}

#[tokio::test]
async fn a_task_says_how_long_it_took_and_what_it_belongs_to() {
    let app = Setup::manual_clock().start().await;
    let rollout = Uuid::from_u128(7);
    let plain = ended_task(&app, "plain");
    let stepping = Task {
        rollout_id: Some(rollout),
        not_before: Some(app.clock.now()),
        path: vec!["1.0.2".into(), "2.0.0".into()],
        duration_ms: Some(90_250),
        ..ended_task(&app, "stepping")
    };
    put_tasks(&app, &[plain, stepping]).await;
    let task = app.task("stepping").await;
    assert_eq!(task["duration"], 90.25);
    assert_eq!(task["rolloutId"], rollout.to_string());
    assert_eq!(task["notBefore"], "2026-03-01T08:00:00Z");
    assert_eq!(task["path"], json!(["1.0.2", "2.0.0"]));
    let task = app.task("plain").await;
    for field in ["rolloutId", "notBefore", "path"] {
        assert!(task.as_object().unwrap().contains_key(field), "{field}");
        assert_eq!(task[field], Value::Null, "{field}");
    }
    app.stop().await;
}

#[tokio::test]
async fn all_tasks_can_be_had_as_one_csv_file() {
    for postgres in [false, true] {
        let setup = Setup {
            postgres,
            ..Setup::manual_clock()
        };
        let app = setup.start().await;
        let none = app.get("/api/ota/tasks.csv").await.csv();
        assert_eq!(none.len(), 1, "the header alone");

        // More than two pages, and exactly two of one kind.
        let rollout = Uuid::from_u128(7);
        let mut tasks = Vec::new();
        for n in 0..1101 {
            app.clock.advance(TimeDelta::milliseconds(1));
            tasks.push(Task {
                rollout_id: (n < 1000).then_some(rollout),
                ..ended_task(&app, if n % 2 == 0 { "even" } else { "odd" })
            });
        }
        let last = tasks.last_mut().unwrap();
        last.status = TaskStatus::Failed;
        last.error_code = Some("=cmd|' /C calc'!A0".into());
        last.error_message = Some("one, \"two\"\nthree".into());
        last.path = vec!["1.0.2".into(), "2.0.0".into()];
        put_tasks(&app, &tasks).await;

        let answer = app.get("/api/ota/tasks.csv").await;
        let disposition = answer.header("content-disposition");
        assert_eq!(disposition, Some("attachment; filename=\"tasks.csv\""));
        let table = answer.csv();
        let column = |name: &str| table[0].iter().position(|column| column == name).unwrap();
        let ids = |table: &[Vec<String>]| -> Vec<String> {
            let rows = table[1..].iter();
            rows.map(|row| row[column("taskId")].clone()).collect()
        };
        let made = |tasks: &mut dyn Iterator<Item = &Task>| -> Vec<String> {
            let mut ids: Vec<String> = tasks.map(|task| task.task_id.to_string()).collect();
            ids.reverse();
            ids
        };
        assert_eq!(ids(&table), made(&mut tasks.iter()));
        let newest = &table[1];
        for (name, value) in [
            ("gatewayId", "even"),
            ("status", "failed"),
            ("errorCode", "'=cmd|' /C calc'!A0"),
            ("errorMessage", "one, \"two\"\nthree"),
            ("path", "1.0.2 2.0.0"),
            ("fileSize", "14"),
            ("rolloutId", ""),
            ("completeTime", "2026-03-01T08:00:01.101Z"),
        ] {
            assert_eq!(newest[column(name)], value, "{name}");
        }
        let task = app.task("even").await;
        let columns: BTreeSet<&String> = table[0].iter().collect();
        assert_eq!(columns, task.as_object().unwrap().keys().collect());
        assert_eq!(columns.len(), table[0].len(), "each once");

        let filtered = async |query: &str| {
            let path = format!("/api/ota/tasks.csv?{query}");
            ids(&app.get(&path).await.csv())
        };
        let of_rollout = filtered(&format!("rolloutId={rollout}")).await;
        assert_eq!(of_rollout, made(&mut tasks[..1000].iter()));
        let odd = filtered("gatewayId=odd&status=completed&version=1.0.2").await;
        assert_eq!(odd, made(&mut tasks.iter().skip(1).step_by(2)));
        assert_eq!(filtered("version=9").await, [""; 0]);
        let refused = app.get("/api/ota/tasks.csv?status=lost").await;
        refused.refused(400, "invalid_query");
        app.stop().await;
    }
}

#[tokio::test]
async fn what_is_older_than_the_settings_keep_is_deleted() {
    let app = Setup::manual_clock().start().await;
    let made = |days: i64, gateway_id: &str| {
        let time: DateTime<Utc> = app.clock.now() - TimeDelta::days(days);
        let task = ended_task(&app, gateway_id);
        Task {
            task_id: id_at(time, task.task_id),
            complete_time: Some(time),
            created_at: time,
            ..task
        }
    };
    let tasks = [
        made(500, "a"),
        made(366, "a"),
        made(364, "a"),
        made(400, "b"),
        made(0, "a"),
    ];
    put_tasks(&app, &tasks).await;
    let event = |kind, days: i64| {
        let time = app.clock.now() - TimeDelta::days(days);
        Event::task(kind, &tasks[2], time)
    };
    let told = [
        event(EventKind::Task, 31),
        event(EventKind::Gateway, 31),
        event(EventKind::Gateway, 29),
        event(EventKind::TaskProgress, 2),
        event(EventKind::TaskProgress, 0),
    ];
    put_events(&app, told).await;

    // The job that does so each hour began with the server: it may be there before.
    app.service().delete_history().await.unwrap();
    for kind in ["task", "event"] {
        let series = format!("airlift_history_deleted_total{{kind=\"{kind}\"}}");
        app.metric_reaches(&series, 2.0).await;
    }
    let page = app.get("/api/ota/tasks").await.data();
    let left: Vec<&Value> = page["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|task| &task["taskId"])
        .collect();
    let expected = [4, 2, 3].map(|n| json!(tasks[n].task_id));
    assert_eq!(left, expected.each_ref());
    assert_eq!(events(&app, &tasks[2]).await.len(), 2);
    assert_eq!(app.service().delete_history().await.unwrap(), 0);
    app.stop().await;
}

/// `id` as if it had been made at `time`.
fn id_at(time: DateTime<Utc>, id: Uuid) -> Uuid {
    let milliseconds = u128::try_from(time.timestamp_millis()).unwrap();
    let rest = id.as_u128() & (u128::MAX >> 48);
    Uuid::from_u128(milliseconds << 80 | rest)
}
