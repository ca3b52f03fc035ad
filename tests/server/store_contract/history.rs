//! What is old enough goes, and nothing else.

use airlift::domain::{Event, EventKind};

use super::*;

/// A task of `gateway_id` that ended at second `ended`, if it did.
async fn ended_task(tx: &mut Tx, n: u128, gateway_id: &str, ended: Option<i64>) -> Task {
    tx.lock_gateway(&gateway(gateway_id)).await.unwrap();
    let mut task = task(n, gateway_id);
    if let Some(second) = ended {
        task.status = TaskStatus::Completed;
        task.complete_time = Some(at(second));
    }
    tx.insert_tasks(std::slice::from_ref(&task)).await.unwrap();
    task
}

const ROLLOUT: &str = "INSERT INTO rollouts (rollout_id, name, device_type, version, target, plan,
    seed, state, enrolled, wave, next_look_at, ended_at, created_at, updated_at)
    VALUES ($1, 'x', 'gateway', '1.0.2', '{}', '{}', 1, $2, TRUE, 1, $3, $4, $3, $3)";

const WAVE: &str = "INSERT INTO rollout_waves (rollout_id, wave, percent, last_position, waiting,
    active, confirmed, failed, skipped, cancelled, tolerated)
    VALUES ($1, 1, 100, 5, 0, 0, 0, 0, 0, 0, 0)";

const MEMBER: &str = "INSERT INTO rollout_gateways (rollout_id, gateway_id, position, state)
    VALUES ($1, $2, 7, 'confirmed')";

async fn put_rollout(f: &Fixture, n: u128, state: &str, ended: Option<i64>, members: usize) {
    macro_rules! put {
        ($pool:expr) => {{
            let ended_at = ended.map(at);
            sqlx::query(ROLLOUT)
                .bind(id(n))
                .bind(state)
                .bind(at(0))
                .bind(ended_at)
                .execute($pool)
                .await
                .unwrap();
            sqlx::query(WAVE).bind(id(n)).execute($pool).await.unwrap();
            for member in 0..members {
                sqlx::query(MEMBER)
                    .bind(id(n))
                    .bind(format!("g{member}"))
                    .execute($pool)
                    .await
                    .unwrap();
            }
        }};
    }
    match &f.db {
        Db::Postgres(pool) => put!(pool),
        Db::Sqlite { writer, .. } => put!(writer),
    }
}

async fn count(f: &Fixture, table: &str) -> i64 {
    let text = || sqlx::AssertSqlSafe(format!("SELECT COUNT(*) FROM {table}"));
    match &f.db {
        Db::Postgres(pool) => sqlx::query_scalar(text()).fetch_one(pool).await,
        Db::Sqlite { writer, .. } => sqlx::query_scalar(text()).fetch_one(writer).await,
    }
    .unwrap()
}

pub(super) async fn old_tasks_are_those_that_ended_unless_newest_or_of_a_live_rollout(f: Fixture) {
    for (n, state) in [
        (91, "scheduled"),
        (92, "running"),
        (93, "paused"),
        (94, "halted"),
        (95, "completed"),
        (96, "cancelled"),
    ] {
        put_rollout(&f, n, state, None, 0).await;
    }
    let mut tx = f.db.begin().await.unwrap();
    // The first is old, the second not old enough, the third active.
    ended_task(&mut tx, 1, "a", Some(9)).await;
    ended_task(&mut tx, 2, "a", Some(10)).await;
    ended_task(&mut tx, 3, "a", None).await;
    // The newest of its gateway.
    ended_task(&mut tx, 4, "b", Some(1)).await;
    for (n, rollout) in [
        (11, 91),
        (12, 92),
        (13, 93),
        (14, 94),
        (15, 95),
        (16, 96),
        (17, 97),
    ] {
        let mut task = ended_task(&mut tx, n, "c", Some(1)).await;
        task.rollout_id = Some(id(rollout));
        tx.update_tasks(&[&task]).await.unwrap();
    }
    ended_task(&mut tx, 20, "c", None).await;
    let old = async |tx: &mut Tx, after, upto| -> Vec<u128> {
        let old = tx.lock_old_tasks(id(after), id(upto), at(10)).await;
        old.unwrap().into_iter().map(|id| id.as_u128()).collect()
    };
    assert_eq!(old(&mut tx, 0, 20).await, [1, 15, 16, 17]);
    assert_eq!(old(&mut tx, 1, 16).await, [15, 16]);

    let window = async |tx: &mut Tx, after, upto, count| {
        let window = tx.task_window(id(after), id(upto), count).await.unwrap();
        window.map(|id| id.as_u128())
    };
    assert_eq!(window(&mut tx, 0, 20, 3).await, Some(3));
    assert_eq!(window(&mut tx, 3, 20, 3).await, Some(12));
    assert_eq!(window(&mut tx, 16, 18, 3).await, Some(17));
    assert_eq!(window(&mut tx, 17, 18, 3).await, None);
}

pub(super) async fn a_deleted_task_takes_along_what_belongs_to_it(f: Fixture) {
    let mut tx = f.db.begin().await.unwrap();
    for n in 1..=2 {
        let task = ended_task(&mut tx, n, "g", Some(1)).await;
        tx.put_task_reports(&[(id(n), TaskStatus::Downloading, 10)], at(1))
            .await
            .unwrap();
        tx.insert_commands(&[command(n, &task, at(1))])
            .await
            .unwrap();
        tx.record(Event::task(EventKind::Task, &task, at(1)));
    }
    tx.commit().await.unwrap();
    let mut tx = f.db.begin().await.unwrap();
    tx.delete_tasks(&[]).await.unwrap();
    tx.delete_tasks(&[id(1)]).await.unwrap();
    for (n, left) in [(1, 0), (2, 1)] {
        assert_eq!(tx.task(id(n)).await.unwrap().is_some(), left == 1);
        assert_eq!(tx.task_reports(id(n)).await.unwrap().len(), left);
        assert_eq!(tx.task_events(id(n)).await.unwrap().len(), left);
    }
    assert_eq!(tx.count_commands().await.unwrap(), 1);
}

pub(super) async fn two_servers_delete_different_tasks(f: Fixture) {
    let mut tx = f.db.begin().await.unwrap();
    ended_task(&mut tx, 1, "g", Some(1)).await;
    ended_task(&mut tx, 2, "g", Some(1)).await;
    ended_task(&mut tx, 3, "g", Some(1)).await;
    tx.commit().await.unwrap();
    let mut first = f.db.begin().await.unwrap();
    let taken = first.lock_old_tasks(id(0), id(1), at(10)).await.unwrap();
    assert_eq!(taken, [id(1)]);
    // SQLite has one writer: there is no second one.
    if !f.db.is_embedded() {
        let mut second = f.db.begin().await.unwrap();
        let taken = second.lock_old_tasks(id(0), id(9), at(10)).await.unwrap();
        assert_eq!(taken, [id(2)]);
    }
}

pub(super) async fn old_events_go_by_kind_and_in_pieces(f: Fixture) {
    let mut tx = f.db.begin().await.unwrap();
    let task = task(1, "g");
    for second in 0..6 {
        for kind in [EventKind::Task, EventKind::TaskProgress] {
            tx.record(Event::task(kind, &task, at(second)));
        }
    }
    tx.commit().await.unwrap();
    let mut tx = f.db.begin().await.unwrap();
    for deleted in [2, 2, 1, 0] {
        let events = tx.delete_old_events(EventKind::TaskProgress, at(5), 2);
        assert_eq!(events.await.unwrap(), deleted);
    }
    let events = tx.delete_old_events(EventKind::Task, at(2), 10);
    assert_eq!(events.await.unwrap(), 2);
    let left = tx.task_events(id(1)).await.unwrap();
    let left: Vec<_> = left
        .into_iter()
        .map(|stored| (stored.event.kind, stored.event.created_at))
        .collect();
    let expected = [2, 3, 4, 5].map(|second| (EventKind::Task, at(second)));
    assert_eq!(left[..4], expected);
    assert_eq!(left[4..], [(EventKind::TaskProgress, at(5))]);
}

pub(super) async fn a_rollout_that_ended_long_ago_goes_with_its_rows_in_pieces(f: Fixture) {
    put_rollout(&f, 1, "completed", Some(9), 5).await;
    put_rollout(&f, 2, "cancelled", Some(3), 2).await;
    put_rollout(&f, 3, "completed", Some(10), 1).await;
    put_rollout(&f, 4, "halted", Some(1), 1).await;
    put_rollout(&f, 5, "running", None, 1).await;
    let mut tx = f.db.begin().await.unwrap();
    for (rollout, last) in [(2, false), (2, true), (1, false), (1, false), (1, true)] {
        let old = tx.lock_old_rollout(at(10)).await.unwrap();
        assert_eq!(old, Some(id(rollout)));
        assert_eq!(tx.delete_rollout(id(rollout), 2).await.unwrap(), last);
    }
    assert_eq!(tx.lock_old_rollout(at(10)).await.unwrap(), None);
    tx.commit().await.unwrap();
    assert_eq!(count(&f, "rollouts").await, 3);
    assert_eq!(count(&f, "rollout_waves").await, 3);
    assert_eq!(count(&f, "rollout_gateways").await, 3);
}
