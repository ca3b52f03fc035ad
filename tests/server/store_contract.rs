//! What every database promises, run on SQLite and on a real PostgreSQL.

use std::sync::Arc;

use airlift::{
    domain::{
        CommandKind, Firmware, FirmwareStatus, Gateway, OutboundCommand, Progress, Task, TaskStatus,
    },
    store::{
        BlobRow, Db, Error, FirmwareFilter, GatewayFilter, InboxMessage, SessionLease,
        StatisticsFilter, TaskFilter, Tx,
    },
};
use airlift_testkit::TestDatabase;
use chrono::{DateTime, Utc};
use serde_json::json;
use uuid::Uuid;

/// One database, gone at the end of the test.
struct Fixture {
    db: Db,
    url: String,
    _postgres: Option<TestDatabase>,
    _folder: tempfile::TempDir,
}

async fn sqlite() -> Fixture {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}/contract.db", folder.path().display());
    Fixture {
        db: Db::open(&url).await.unwrap(),
        url,
        _postgres: None,
        _folder: folder,
    }
}

async fn postgres() -> Fixture {
    let database = TestDatabase::create().unwrap();
    let url = database.url().to_owned();
    Fixture {
        db: Db::open(&url).await.unwrap(),
        url,
        _postgres: Some(database),
        _folder: tempfile::tempdir().unwrap(),
    }
}

/// Each promise becomes two tests.
macro_rules! contract {
    ($($promise:ident),+ $(,)?) => {
        mod on_sqlite {
            $(#[tokio::test]
            async fn $promise() {
                super::$promise(super::sqlite().await).await;
            })+
        }
        mod on_postgres {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $promise() {
                super::$promise(super::postgres().await).await;
            })+
        }
    };
}

contract![
    rows_come_back_as_they_went_in,
    a_dropped_transaction_leaves_nothing,
    a_version_is_unique_within_its_device_type,
    firmwares_page_by_upload_and_filter,
    gateways_page_by_id_and_filter,
    a_gateway_is_registered_once_and_keeps_what_is_known,
    a_gateway_has_one_active_task,
    tasks_page_and_filter,
    expired_tasks_are_those_whose_deadline_has_passed,
    a_report_is_kept_once,
    commands_are_due_in_order_and_leave_the_outbox,
    concurrent_claims_share_commands_without_overlap,
    hastening_moves_only_what_was_sent,
    a_blob_in_use_is_not_deleted,
    an_inbox_message_is_kept_once,
    a_session_id_has_one_holder,
    statistics_count_by_version_status_and_code,
    migrations_run_again_change_nothing,
    a_newer_schema_is_refused,
];

fn at(second: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(1_770_000_000_123 + second * 1000).unwrap()
}

fn id(n: u128) -> Uuid {
    Uuid::from_u128(n)
}

fn firmware(n: u128, version: &str) -> Firmware {
    Firmware {
        firmware_id: id(n),
        device_type: "gateway".into(),
        version: version.into(),
        file_name: format!("gateway_v{version}.bin"),
        file_size: 14,
        md5: "m".into(),
        sha256: "5d".repeat(32),
        description: "ümlaut".into(),
        changelog: "# x".into(),
        status: FirmwareStatus::Draft,
        force_upgrade: true,
        release_date: None,
        created_at: at(0),
        updated_at: at(1),
    }
}

fn gateway(gateway_id: &str) -> Gateway {
    Gateway {
        current_version: Some("1.0.1".into()),
        online: true,
        last_seen_at: Some(at(3)),
        attributes: json!({"rssi": -61, "nested": {"a": [1, null]}}),
        heartbeat_timestamp: Some(1_770_000_000),
        ..Gateway::new(gateway_id, "gateway", at(0))
    }
}

fn task(n: u128, gateway_id: &str) -> Task {
    Task {
        task_id: id(n),
        gateway_id: gateway_id.into(),
        device_type: "gateway".into(),
        from_version: None,
        to_version: "1.0.2".into(),
        firmware_url: "http://x".into(),
        md5: "m".into(),
        sha256: "s".into(),
        file_size: 14,
        msg_id: format!("ota_{n}"),
        status: TaskStatus::Pending,
        progress: 0,
        error_code: None,
        error_message: None,
        force_upgrade: false,
        scheduled_at: Some(at(9)),
        start_time: at(0),
        complete_time: None,
        confirmed_at: None,
        deadline_at: Some(at(100)),
        completed_timestamp: None,
        created_at: at(0),
        updated_at: at(0),
    }
}

fn command(n: u128, task: &Task, next_send_at: DateTime<Utc>) -> OutboundCommand {
    OutboundCommand {
        command_id: id(n),
        task_id: task.task_id,
        gateway_id: task.gateway_id.clone(),
        kind: CommandKind::Upgrade,
        payload: "{}".into(),
        sends: 0,
        next_send_at,
    }
}

async fn put_blob(tx: &mut Tx) {
    tx.put_blob(&BlobRow {
        sha256: "5d".repeat(32),
        md5: "m".into(),
        size: 14,
        created_at: at(0),
    })
    .await
    .unwrap();
}

/// `count` gateways g001…, each with a pending task and its command, due at second n.
async fn tasks_with_commands(db: &Db, count: u128) {
    let mut tx = db.begin().await.unwrap();
    for n in 1..=count {
        let gateway_id = format!("g{n:03}");
        tx.lock_gateway(&gateway(&gateway_id)).await.unwrap();
        let task = task(n, &gateway_id);
        tx.insert_task(&task).await.unwrap();
        tx.insert_command(&command(n, &task, at(n as i64)))
            .await
            .unwrap();
    }
    tx.commit().await.unwrap();
}

async fn rows_come_back_as_they_went_in(f: Fixture) {
    let mut tx = f.db.begin().await.unwrap();
    put_blob(&mut tx).await;
    let mut stored = firmware(1, "1.0.2");
    tx.insert_firmware(&stored).await.unwrap();
    stored.status = FirmwareStatus::Released;
    stored.release_date = Some(at(5));
    stored.updated_at = at(6);
    tx.update_firmware_status(&stored).await.unwrap();
    tx.lock_gateway(&gateway("g1")).await.unwrap();
    let mut task = task(1, "g1");
    tx.insert_task(&task).await.unwrap();
    task.from_version = Some("1.0.1".into());
    task.status = TaskStatus::Failed;
    task.progress = 98;
    task.error_code = Some("X".into());
    task.error_message = Some("why".into());
    task.complete_time = Some(at(7));
    task.confirmed_at = Some(at(8));
    task.deadline_at = None;
    task.completed_timestamp = Some(5);
    task.updated_at = at(9);
    tx.update_task(&task).await.unwrap();
    tx.commit().await.unwrap();

    let mut tx = f.db.read().await.unwrap();
    assert_eq!(
        tx.firmware("gateway", "1.0.2").await.unwrap(),
        Some(stored.clone())
    );
    assert_eq!(tx.firmware("gateway", "9.9.9").await.unwrap(), None);
    let by_name = tx
        .firmware_by_file_name("gateway_v1.0.2.bin")
        .await
        .unwrap();
    assert_eq!(by_name, Some(stored));
    assert_eq!(tx.released_versions("gateway").await.unwrap(), ["1.0.2"]);
    assert_eq!(tx.gateway("g1").await.unwrap(), Some(gateway("g1")));
    assert_eq!(tx.gateway("g2").await.unwrap(), None);
    assert_eq!(tx.task(id(1)).await.unwrap(), Some(task.clone()));
    assert_eq!(tx.newest_task("g1").await.unwrap(), Some(task.clone()));
    drop(tx);
    let mut tx = f.db.begin().await.unwrap();
    assert_eq!(tx.lock_task_by_msg_id("ota_1").await.unwrap(), Some(task));
    assert_eq!(tx.lock_task_by_msg_id("ota_2").await.unwrap(), None);
}

async fn a_dropped_transaction_leaves_nothing(f: Fixture) {
    let mut tx = f.db.begin().await.unwrap();
    tx.lock_gateway(&gateway("g1")).await.unwrap();
    drop(tx);
    let mut tx = f.db.begin().await.unwrap();
    assert_eq!(tx.gateway("g1").await.unwrap(), None);
}

async fn a_version_is_unique_within_its_device_type(f: Fixture) {
    let mut tx = f.db.begin().await.unwrap();
    put_blob(&mut tx).await;
    tx.insert_firmware(&firmware(1, "1.0.2")).await.unwrap();
    let mut other_type = firmware(2, "1.0.2");
    other_type.device_type = "linux".into();
    other_type.file_name = "linux_v1.0.2.bin".into();
    tx.insert_firmware(&other_type).await.unwrap();
    let again = tx.insert_firmware(&firmware(3, "1.0.2")).await;
    assert!(matches!(again, Err(Error::Duplicate)), "{again:?}");
}

async fn firmwares_page_by_upload_and_filter(f: Fixture) {
    let mut tx = f.db.begin().await.unwrap();
    put_blob(&mut tx).await;
    for n in 1..=5 {
        let mut firmware = firmware(n, &format!("1.0.{n}"));
        if n % 2 == 0 {
            firmware.status = FirmwareStatus::Released;
        }
        tx.insert_firmware(&firmware).await.unwrap();
    }
    let mut filter = FirmwareFilter {
        device_type: None,
        status: None,
        before: Uuid::max(),
        limit: 2,
    };
    let versions = |page: Vec<Firmware>| -> Vec<String> {
        page.into_iter().map(|firmware| firmware.version).collect()
    };
    let first = tx.firmwares(&filter).await.unwrap();
    filter.before = first[1].firmware_id;
    assert_eq!(versions(first), ["1.0.5", "1.0.4"]);
    assert_eq!(
        versions(tx.firmwares(&filter).await.unwrap()),
        ["1.0.3", "1.0.2"]
    );
    filter.before = Uuid::max();
    filter.status = Some(FirmwareStatus::Released);
    assert_eq!(
        versions(tx.firmwares(&filter).await.unwrap()),
        ["1.0.4", "1.0.2"]
    );
    filter.device_type = Some("linux".into());
    assert_eq!(tx.firmwares(&filter).await.unwrap(), []);
}

async fn gateways_page_by_id_and_filter(f: Fixture) {
    let mut tx = f.db.begin().await.unwrap();
    // In byte order, whatever the database's locale thinks of case and punctuation.
    for gateway_id in ["b", "A", "a-1", "a.1", "a1"] {
        tx.lock_gateway(&gateway(gateway_id)).await.unwrap();
    }
    let mut off = gateway("off");
    off.online = false;
    tx.lock_gateway(&off).await.unwrap();
    let mut filter = GatewayFilter {
        device_type: None,
        current_version: None,
        online: Some(true),
        after: String::new(),
        limit: 3,
    };
    let ids = |page: Vec<Gateway>| -> Vec<String> {
        page.into_iter().map(|gateway| gateway.gateway_id).collect()
    };
    assert_eq!(
        ids(tx.gateways(&filter).await.unwrap()),
        ["A", "a-1", "a.1"]
    );
    filter.after = "a.1".into();
    assert_eq!(ids(tx.gateways(&filter).await.unwrap()), ["a1", "b"]);
    filter.online = Some(false);
    assert_eq!(ids(tx.gateways(&filter).await.unwrap()), ["off"]);
    filter.online = None;
    filter.current_version = Some("9".into());
    assert_eq!(tx.gateways(&filter).await.unwrap(), []);
    assert_eq!(tx.count_gateways().await.unwrap(), (6, 5));
}

async fn a_gateway_is_registered_once_and_keeps_what_is_known(f: Fixture) {
    let mut tx = f.db.begin().await.unwrap();
    let mut known = tx.lock_gateway(&gateway("g1")).await.unwrap();
    assert_eq!(known, gateway("g1"));
    known.current_version = Some("1.0.2".into());
    known.online = false;
    known.attributes = json!({});
    known.updated_at = at(50);
    tx.update_gateway(&known).await.unwrap();
    assert_eq!(tx.lock_gateway(&gateway("g1")).await.unwrap(), known);
}

async fn a_gateway_has_one_active_task(f: Fixture) {
    let mut tx = f.db.begin().await.unwrap();
    tx.lock_gateway(&gateway("g1")).await.unwrap();
    let mut first = task(1, "g1");
    tx.insert_task(&first).await.unwrap();
    first.status = TaskStatus::Cancelled;
    tx.update_task(&first).await.unwrap();
    tx.insert_task(&task(2, "g1")).await.unwrap();
    assert_eq!(
        tx.lock_newest_task("g1").await.unwrap().unwrap().task_id,
        id(2)
    );
    let third = tx.insert_task(&task(3, "g1")).await;
    assert!(matches!(third, Err(Error::Duplicate)), "{third:?}");
}

async fn tasks_page_and_filter(f: Fixture) {
    tasks_with_commands(&f.db, 4).await;
    let mut tx = f.db.begin().await.unwrap();
    let mut failed = tx.task(id(3)).await.unwrap().unwrap();
    failed.status = TaskStatus::Failed;
    tx.update_task(&failed).await.unwrap();
    let all = TaskFilter {
        gateway_id: None,
        status: None,
        version: None,
        before: Uuid::max(),
        limit: 3,
    };
    let ids = |page: Vec<Task>| -> Vec<u128> {
        page.into_iter()
            .map(|task| task.task_id.as_u128())
            .collect()
    };
    assert_eq!(ids(tx.tasks(&all).await.unwrap()), [4, 3, 2]);
    let rest = TaskFilter {
        before: id(2),
        ..all.clone()
    };
    assert_eq!(ids(tx.tasks(&rest).await.unwrap()), [1]);
    let pending = TaskFilter {
        status: Some(TaskStatus::Pending),
        ..all.clone()
    };
    assert_eq!(ids(tx.tasks(&pending).await.unwrap()), [4, 2, 1]);
    let one = TaskFilter {
        gateway_id: Some("g002".into()),
        ..all.clone()
    };
    assert_eq!(ids(tx.tasks(&one).await.unwrap()), [2]);
    let version = TaskFilter {
        version: Some("9.9.9".into()),
        ..all
    };
    assert_eq!(ids(tx.tasks(&version).await.unwrap()), []);
}

async fn expired_tasks_are_those_whose_deadline_has_passed(f: Fixture) {
    let mut tx = f.db.begin().await.unwrap();
    for (n, deadline) in [
        (1, Some(at(30))),
        (2, Some(at(10))),
        (3, None),
        (4, Some(at(31))),
    ] {
        let gateway_id = format!("g{n}");
        tx.lock_gateway(&gateway(&gateway_id)).await.unwrap();
        let mut task = task(n, &gateway_id);
        task.deadline_at = deadline;
        tx.insert_task(&task).await.unwrap();
    }
    let expired = tx.lock_expired_tasks(at(30), 10).await.unwrap();
    let ids: Vec<u128> = expired.iter().map(|task| task.task_id.as_u128()).collect();
    assert_eq!(ids, [2, 1]);
    assert_eq!(tx.lock_expired_tasks(at(30), 1).await.unwrap().len(), 1);
}

async fn a_report_is_kept_once(f: Fixture) {
    tasks_with_commands(&f.db, 1).await;
    let mut tx = f.db.begin().await.unwrap();
    let report = |progress| Progress {
        status: TaskStatus::Downloading,
        progress,
        current_version: None,
        error_code: None,
        error_message: None,
        timestamp: None,
    };
    for (progress, second) in [(0, 1), (10, 2), (10, 3)] {
        tx.put_task_report(id(1), &report(progress), at(second))
            .await
            .unwrap();
    }
    assert_eq!(
        tx.task_reports(id(1)).await.unwrap(),
        [
            ("downloading".to_owned(), 0),
            ("downloading".to_owned(), 10)
        ]
    );
}

async fn commands_are_due_in_order_and_leave_the_outbox(f: Fixture) {
    tasks_with_commands(&f.db, 3).await;
    let mut tx = f.db.begin().await.unwrap();
    assert_eq!(tx.lock_due_commands(at(0), 10).await.unwrap(), []);
    let mut due = tx.lock_due_commands(at(2), 10).await.unwrap();
    assert_eq!(due.len(), 2);
    assert_eq!(due[0].gateway_id, "g001");
    due[0].sends = 1;
    due[0].next_send_at = at(60);
    tx.update_command(&due[0]).await.unwrap();
    assert_eq!(tx.lock_due_commands(at(2), 10).await.unwrap().len(), 1);
    let upgrade = CommandKind::Upgrade;
    assert_eq!(tx.delete_command(id(1), upgrade).await.unwrap(), Some(1));
    assert_eq!(tx.delete_command(id(1), upgrade).await.unwrap(), None);
    assert_eq!(tx.count_commands().await.unwrap(), 2);
}

async fn concurrent_claims_share_commands_without_overlap(f: Fixture) {
    const COMMANDS: u128 = 60;
    tasks_with_commands(&f.db, COMMANDS).await;
    let barrier = Arc::new(tokio::sync::Barrier::new(4));
    let mut claimers = tokio::task::JoinSet::new();
    for _ in 0..4 {
        // A pool of its own, like a server of its own.
        let db = Db::open(&f.url).await.unwrap();
        let barrier = barrier.clone();
        claimers.spawn(async move {
            barrier.wait().await;
            let mut claimed = Vec::new();
            loop {
                let mut tx = db.begin().await.unwrap();
                let mut commands = tx.lock_due_commands(at(1000), 7).await.unwrap();
                for command in &mut commands {
                    command.next_send_at = at(5000);
                    tx.update_command(command).await.unwrap();
                }
                tx.commit().await.unwrap();
                if commands.is_empty() {
                    return claimed;
                }
                claimed.extend(commands.into_iter().map(|command| command.command_id));
            }
        });
    }
    let mut claimed: Vec<Uuid> = claimers.join_all().await.into_iter().flatten().collect();
    assert_eq!(claimed.len() as u128, COMMANDS, "each exactly once");
    claimed.sort();
    claimed.dedup();
    assert_eq!(claimed.len() as u128, COMMANDS);
}

async fn hastening_moves_only_what_was_sent(f: Fixture) {
    tasks_with_commands(&f.db, 2).await;
    let mut tx = f.db.begin().await.unwrap();
    let mut sent = tx.lock_due_commands(at(1), 1).await.unwrap().remove(0);
    sent.sends = 3;
    sent.next_send_at = at(600);
    tx.update_command(&sent).await.unwrap();
    tx.hasten_commands("g001", at(20)).await.unwrap();
    // Scheduled for second 2, never sent: it keeps its time.
    tx.hasten_commands("g002", at(1)).await.unwrap();
    assert_eq!(tx.lock_due_commands(at(1), 9).await.unwrap(), []);
    assert_eq!(tx.lock_due_commands(at(20), 9).await.unwrap().len(), 2);
}

async fn a_blob_in_use_is_not_deleted(f: Fixture) {
    let sha256 = "5d".repeat(32);
    let mut tx = f.db.begin().await.unwrap();
    assert!(!tx.lock_blob(&sha256).await.unwrap());
    put_blob(&mut tx).await;
    put_blob(&mut tx).await;
    assert!(tx.lock_blob(&sha256).await.unwrap());
    tx.insert_firmware(&firmware(1, "1.0.2")).await.unwrap();
    assert!(!tx.delete_unused_blob(&sha256).await.unwrap());
    tx.delete_firmware(id(1)).await.unwrap();
    assert!(tx.delete_unused_blob(&sha256).await.unwrap());
    assert!(!tx.lock_blob(&sha256).await.unwrap());
}

async fn an_inbox_message_is_kept_once(f: Fixture) {
    let message = InboxMessage {
        message_id: "a".into(),
        topic: "hanqi/gateway/g/report".into(),
        payload: vec![0, 159, 146, 150],
        received_at: at(0),
    };
    let mut tx = f.db.begin().await.unwrap();
    tx.put_inbox(&message).await.unwrap();
    tx.put_inbox(&message).await.unwrap();
    let before = tx.inbox(at(-1), 10).await.unwrap();
    assert_eq!(before, []);
    assert_eq!(
        tx.inbox(at(0), 10).await.unwrap(),
        std::slice::from_ref(&message)
    );
    tx.delete_inbox("a").await.unwrap();
    assert_eq!(tx.inbox(at(9), 10).await.unwrap(), []);
}

async fn a_session_id_has_one_holder(f: Fixture) {
    let (a, b) = (id(1), id(2));
    let lease = |holder, second| SessionLease {
        client_id: "airlift-1".into(),
        holder,
        leased_until: at(second),
    };
    let mut tx = f.db.begin().await.unwrap();
    tx.insert_session(&lease(a, 10)).await.unwrap();
    assert_eq!(
        tx.claim_expired_session(b, at(9), at(19)).await.unwrap(),
        None
    );
    assert!(tx.renew_session(&lease(a, 12)).await.unwrap());
    assert!(!tx.renew_session(&lease(b, 99)).await.unwrap());
    let claimed = tx.claim_expired_session(b, at(12), at(22)).await.unwrap();
    assert_eq!(claimed.as_deref(), Some("airlift-1"));
    assert!(!tx.renew_session(&lease(a, 99)).await.unwrap(), "lost to b");
    tx.delete_session("airlift-1", a).await.unwrap();
    assert!(tx.renew_session(&lease(b, 30)).await.unwrap());
    tx.expire_sessions(at(5)).await.unwrap();
    let expired = tx.claim_expired_session(a, at(5), at(15)).await.unwrap();
    assert_eq!(expired.as_deref(), Some("airlift-1"));
    tx.delete_session("airlift-1", a).await.unwrap();
    assert_eq!(
        tx.claim_expired_session(b, at(99), at(100)).await.unwrap(),
        None
    );
}

async fn statistics_count_by_version_status_and_code(f: Fixture) {
    let mut tx = f.db.begin().await.unwrap();
    for (n, status, code) in [
        (1, TaskStatus::Completed, None),
        (2, TaskStatus::Completed, None),
        (3, TaskStatus::Failed, Some("TIMEOUT")),
        (4, TaskStatus::Pending, None),
    ] {
        let gateway_id = format!("g{n}");
        tx.lock_gateway(&gateway(&gateway_id)).await.unwrap();
        let mut task = task(n, &gateway_id);
        task.status = status;
        task.error_code = code.map(str::to_owned);
        task.complete_time = (!status.is_active()).then(|| at(10 * n as i64));
        task.created_at = at(n as i64);
        tx.insert_task(&task).await.unwrap();
    }
    let all = StatisticsFilter::default();
    let mut rows = tx.statistics(&all).await.unwrap();
    rows.sort_by(|a, b| a.status.cmp(&b.status));
    let counts: Vec<_> = rows
        .iter()
        .map(|row| (row.status.as_str(), row.error_code.as_deref(), row.tasks))
        .collect();
    assert_eq!(
        counts,
        [
            ("completed", None, 2),
            ("failed", Some("TIMEOUT"), 1),
            ("pending", None, 1)
        ]
    );
    assert!((rows[0].seconds - 30.0).abs() < 0.01, "{}", rows[0].seconds);
    assert_eq!(rows[2].seconds, 0.0);
    let since = StatisticsFilter {
        since: Some(at(3)),
        ..all.clone()
    };
    assert_eq!(tx.statistics(&since).await.unwrap().len(), 2);
    let version = StatisticsFilter {
        version: Some("9".into()),
        ..all
    };
    assert_eq!(tx.statistics(&version).await.unwrap(), []);
}

async fn migrations_run_again_change_nothing(f: Fixture) {
    tasks_with_commands(&f.db, 1).await;
    let again = Db::open(&f.url).await.unwrap();
    let mut tx = again.read().await.unwrap();
    assert!(tx.task(id(1)).await.unwrap().is_some());
    again.ping().await.unwrap();
}

async fn a_newer_schema_is_refused(f: Fixture) {
    let newer = "INSERT INTO _sqlx_migrations
        (version, description, success, checksum, execution_time) VALUES (9999, 'x', TRUE, ";
    match &f.db {
        Db::Postgres(pool) => {
            sqlx::query(sqlx::AssertSqlSafe(format!("{newer} ''::bytea, 0)")))
                .execute(pool)
                .await
                .unwrap();
        }
        Db::Sqlite { writer, .. } => {
            sqlx::query(sqlx::AssertSqlSafe(format!("{newer} x'', 0)")))
                .execute(writer)
                .await
                .unwrap();
        }
    }
    let refused = Db::open(&f.url).await.unwrap_err();
    assert!(matches!(refused, Error::NewerSchema(9999)), "{refused}");
}
