//! Deadlines, outbox, inbox, leases, and what is asked over all.

use super::*;

pub(super) async fn expired_tasks_are_those_whose_deadline_has_passed(f: Fixture) {
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
        tx.insert_tasks(std::slice::from_ref(&task)).await.unwrap();
    }
    let expired = tx.lock_expired_tasks(at(30), 10).await.unwrap();
    let ids: Vec<u128> = expired.iter().map(|task| task.task_id.as_u128()).collect();
    assert_eq!(ids, [2, 1]);
    assert_eq!(tx.lock_expired_tasks(at(30), 1).await.unwrap().len(), 1);
}

pub(super) async fn unproven_tasks_are_completed_and_have_a_deadline(f: Fixture) {
    let mut tx = f.db.begin().await.unwrap();
    for gateway_id in ["g", "other"] {
        tx.lock_gateway(&gateway(gateway_id)).await.unwrap();
    }
    use TaskStatus::{Completed, Failed, Pending};
    for (n, gateway_id, status, deadline) in [
        (1, "g", Completed, None),
        (2, "g", Completed, Some(at(9))),
        (3, "g", Completed, Some(at(8))),
        (4, "g", Failed, None),
        (5, "g", Pending, Some(at(7))),
        (6, "other", Completed, Some(at(6))),
    ] {
        let mut task = task(n, gateway_id);
        task.status = status;
        task.deadline_at = deadline;
        tx.insert_tasks(std::slice::from_ref(&task)).await.unwrap();
    }
    let unproven = tx.lock_unproven_tasks(&["g"]).await.unwrap();
    let ids: Vec<u128> = unproven.iter().map(|task| task.task_id.as_u128()).collect();
    assert_eq!(ids, [2, 3]);
}

pub(super) async fn a_report_is_kept_once(f: Fixture) {
    tasks_with_commands(&f.db, 1).await;
    let mut tx = f.db.begin().await.unwrap();
    tx.put_task_reports(&[], at(0)).await.unwrap();
    for (progresses, second) in [([0, 10], 1), ([10, 20], 2), ([30, 30], 3)] {
        let reports = progresses.map(|progress| (id(1), TaskStatus::Downloading, progress));
        tx.put_task_reports(&reports, at(second)).await.unwrap();
    }
    let nobodys = [(id(7), TaskStatus::Downloading, 0)];
    assert_eq!(
        tx.task_reports(id(1)).await.unwrap(),
        [0, 10, 20, 30].map(|progress| ("downloading".to_owned(), progress))
    );
    assert!(tx.put_task_reports(&nobodys, at(4)).await.is_err());
}

pub(super) async fn commands_are_due_in_order_and_leave_the_outbox(f: Fixture) {
    tasks_with_commands(&f.db, 3).await;
    let mut tx = f.db.begin().await.unwrap();
    assert_eq!(tx.lock_due_commands(at(0), 10).await.unwrap(), []);
    let mut due = tx.lock_due_commands(at(2), 10).await.unwrap();
    assert_eq!(due.len(), 2);
    assert_eq!(due[0].gateway_id, "g001");
    due[0].sends = 1;
    due[0].next_send_at = at(60);
    tx.update_commands(&[&due[0]]).await.unwrap();
    assert_eq!(tx.lock_due_commands(at(2), 10).await.unwrap().len(), 1);
    let upgrade = CommandKind::Upgrade;
    assert_eq!(tx.delete_command(id(1), upgrade).await.unwrap(), Some(1));
    assert_eq!(tx.delete_command(id(1), upgrade).await.unwrap(), None);
    assert_eq!(tx.count_commands().await.unwrap(), 2);
}

pub(super) async fn concurrent_claims_share_commands_without_overlap(f: Fixture) {
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
                    tx.update_commands(&[command]).await.unwrap();
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

pub(super) async fn hastening_moves_only_what_was_sent(f: Fixture) {
    tasks_with_commands(&f.db, 2).await;
    let mut tx = f.db.begin().await.unwrap();
    let mut sent = tx.lock_due_commands(at(1), 1).await.unwrap().remove(0);
    sent.sends = 3;
    sent.next_send_at = at(600);
    tx.update_commands(&[&sent]).await.unwrap();
    tx.hasten_commands(&["g001", "g003"], at(20)).await.unwrap();
    // Scheduled for second 2, never sent: it keeps its time.
    tx.hasten_commands(&["g002"], at(1)).await.unwrap();
    assert_eq!(tx.lock_due_commands(at(1), 9).await.unwrap(), []);
    assert_eq!(tx.lock_due_commands(at(20), 9).await.unwrap().len(), 2);
}

pub(super) async fn a_blob_in_use_is_not_deleted(f: Fixture) {
    let sha256 = "5d".repeat(32);
    let mut tx = f.db.begin().await.unwrap();
    assert!(!tx.lock_blob(&sha256).await.unwrap());
    put_blob(&mut tx).await;
    put_blob(&mut tx).await;
    assert!(tx.lock_blob(&sha256).await.unwrap());
    tx.insert_firmware(&firmware(1, "1.0.2")).await.unwrap();
    assert_eq!(tx.used_blobs().await.unwrap(), [sha256.clone()].into());
    assert!(!tx.delete_unused_blob(&sha256).await.unwrap());
    tx.delete_firmware(id(1)).await.unwrap();
    assert!(tx.delete_unused_blob(&sha256).await.unwrap());
    assert!(!tx.lock_blob(&sha256).await.unwrap());
}

pub(super) async fn an_inbox_message_is_kept_once(f: Fixture) {
    let message = InboxMessage {
        message_id: "a".into(),
        topic: "hanqi/gateway/g/report".into(),
        payload: vec![0, 159, 146, 150],
        received_at: at(0),
    };
    let mut tx = f.db.begin().await.unwrap();
    for times in 1..=2 {
        let messages = vec![message.clone(); times];
        tx.put_inbox(&messages).await.unwrap();
    }
    let before = tx.inbox(at(-1), 10).await.unwrap();
    assert_eq!(before, []);
    assert_eq!(
        tx.inbox(at(0), 10).await.unwrap(),
        std::slice::from_ref(&message)
    );
    tx.delete_inbox(&["b".into(), "a".into()]).await.unwrap();
    assert_eq!(tx.inbox(at(9), 10).await.unwrap(), []);
}

pub(super) async fn a_session_id_has_one_holder(f: Fixture) {
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

pub(super) async fn migrations_run_again_change_nothing(f: Fixture) {
    tasks_with_commands(&f.db, 1).await;
    let again = Db::open(&f.url).await.unwrap();
    let mut tx = again.read().await.unwrap();
    assert!(tx.task(id(1)).await.unwrap().is_some());
    again.ping().await.unwrap();
}

pub(super) async fn a_newer_schema_is_refused(f: Fixture) {
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

#[tokio::test]
async fn a_full_disk_does_not_wedge_the_database_for_ever() {
    let f = sqlite().await;
    let Db::Sqlite { writer, .. } = &f.db else {
        unreachable!("it is SQLite")
    };
    // SQLite gives up a transaction by itself when a write meets the end of the disk; here it is
    // told to, at the same place.
    sqlx::raw_sql(
        "CREATE TRIGGER full BEFORE INSERT ON gateways WHEN NEW.gateway_id = 'full'
         BEGIN SELECT RAISE(ROLLBACK, 'full'); END",
    )
    .execute(writer)
    .await
    .unwrap();
    let mut tx = f.db.begin().await.unwrap();
    tx.lock_gateway(&gateway("full")).await.unwrap_err();
    drop(tx);
    let mut tx = f.db.begin().await.unwrap();
    tx.lock_gateway(&gateway("g1")).await.unwrap();
    tx.commit().await.unwrap();
}
