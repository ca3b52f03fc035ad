//! Events, and their deliveries to webhooks.

use airlift::{
    domain::{Delivery, DeliveryStatus, Event, EventKind, Webhook},
    store::{DeliveryFilter, EventBounds, EventFilter},
};
use chrono::TimeDelta;

use super::*;

fn event(kind: EventKind, gateway_id: Option<&str>, rollout: Option<u128>) -> Event {
    Event {
        kind,
        gateway_id: gateway_id.map(str::to_owned),
        task_id: (kind == EventKind::Task).then(|| id(7)),
        rollout_id: rollout.map(id),
        data: json!({"nested": {"a": [1, null]}}),
        created_at: at(1),
    }
}

fn webhook(n: u128) -> Webhook {
    Webhook {
        webhook_id: id(n),
        url: "http://user:secret@receiver.example/x".into(),
        secret: "0123456789abcdef".into(),
        kinds: vec![EventKind::Gateway, EventKind::Task],
        gateway_id: Some("g".into()),
        rollout_id: Some(id(99)),
        cursor: 0,
        created_at: at(0),
    }
}

fn delivery(n: u128, webhook: u128, event_id: i64) -> Delivery {
    Delivery {
        delivery_id: id(n),
        webhook_id: id(webhook),
        event_id,
        kind: EventKind::Task,
        body: "{\"ü\":1}".into(),
        status: DeliveryStatus::Waiting,
        attempts: 0,
        next_attempt_at: at(event_id),
        last_status: Some(503),
        last_error: Some("answered 503".into()),
        created_at: at(0),
        ended_at: None,
    }
}

async fn record(db: &Db, events: Vec<Event>) {
    let mut tx = db.begin().await.unwrap();
    for event in events {
        tx.record(event);
    }
    tx.commit().await.unwrap();
}

pub(super) async fn events_are_read_by_number_and_filter(f: Fixture) {
    let bounds = f.db.read().await.unwrap().event_bounds().await.unwrap();
    assert_eq!((bounds.oldest, bounds.newest), (None, 0));
    let events = vec![
        event(EventKind::Task, Some("a"), Some(1)),
        event(EventKind::TaskProgress, Some("b"), None),
        event(EventKind::Rollout, None, Some(1)),
    ];
    record(&f.db, events.clone()).await;
    let mut tx = f.db.read().await.unwrap();
    let all = EventFilter::default();
    let read = tx.events(&all, 0, 99, 99).await.unwrap();
    let came_back: Vec<Event> = read.iter().map(|stored| stored.event.clone()).collect();
    assert_eq!(came_back, events);
    let bounds = EventBounds {
        oldest: Some(1),
        newest: 3,
    };
    assert_eq!(tx.event_bounds().await.unwrap(), bounds);
    let task_kind = vec![EventKind::Task, EventKind::Rollout];
    for (filter, (after, to, limit), numbers) in [
        (all.clone(), (1, 99, 99), vec![2, 3]),
        (all.clone(), (0, 2, 99), vec![1, 2]),
        (all.clone(), (0, 99, 1), vec![1]),
        (
            EventFilter {
                kinds: task_kind,
                ..all.clone()
            },
            (0, 99, 99),
            vec![1, 3],
        ),
        (
            EventFilter {
                gateway_id: Some("b".into()),
                ..all.clone()
            },
            (0, 99, 99),
            vec![2],
        ),
        (
            EventFilter {
                task_id: Some(id(7)),
                ..all.clone()
            },
            (0, 99, 99),
            vec![1],
        ),
        (
            EventFilter {
                rollout_id: Some(id(1)),
                ..all
            },
            (0, 99, 99),
            vec![1, 3],
        ),
    ] {
        let read = tx.events(&filter, after, to, limit).await.unwrap();
        let read: Vec<i64> = read.iter().map(|stored| stored.event_id).collect();
        assert_eq!(read, numbers, "{filter:?}");
    }
}

pub(super) async fn deleted_events_are_remembered_by_kind(f: Fixture) {
    let kinds = [
        EventKind::Task,
        EventKind::TaskProgress,
        EventKind::Gateway,
        EventKind::Gateway,
    ];
    record(&f.db, kinds.map(|kind| event(kind, None, None)).into()).await;
    let mut tx = f.db.begin().await.unwrap();
    assert_eq!(tx.deleted_events(&[]).await.unwrap(), 0);
    tx.delete_tasks(&[id(7)]).await.unwrap();
    assert_eq!(tx.deleted_events(&[]).await.unwrap(), 1);
    for (kind, deleted) in [(EventKind::TaskProgress, 1), (EventKind::Gateway, 2)] {
        let events = tx.delete_old_events(kind, at(9), 9);
        assert_eq!(events.await.unwrap(), deleted);
    }
    for (kinds, up_to) in [
        (vec![EventKind::Task], 1),
        (vec![EventKind::TaskProgress, EventKind::Task], 2),
        (vec![EventKind::Firmware], 0),
        (vec![], 4),
    ] {
        assert_eq!(tx.deleted_events(&kinds).await.unwrap(), up_to, "{kinds:?}");
    }
    let bounds = tx.event_bounds().await.unwrap();
    assert_eq!((bounds.oldest, bounds.newest), (None, 4));
}

pub(super) async fn webhooks_come_back_and_know_whether_they_are_behind(f: Fixture) {
    let bare = Webhook {
        gateway_id: None,
        rollout_id: None,
        cursor: 3,
        ..webhook(2)
    };
    let mut tx = f.db.begin().await.unwrap();
    tx.insert_webhook(&webhook(1)).await.unwrap();
    tx.insert_webhook(&bare).await.unwrap();
    assert!(tx.webhooks_behind().await.unwrap().is_empty());
    tx.commit().await.unwrap();
    record(&f.db, vec![event(EventKind::Gateway, None, None); 3]).await;
    let mut tx = f.db.begin().await.unwrap();
    assert_eq!(tx.webhook(id(1)).await.unwrap(), Some(webhook(1)));
    assert_eq!(tx.webhook(id(3)).await.unwrap(), None);
    assert_eq!(
        tx.webhooks(Uuid::max(), 9).await.unwrap(),
        [bare, webhook(1)]
    );
    assert_eq!(tx.webhooks(id(2), 9).await.unwrap(), [webhook(1)]);
    assert_eq!(tx.count_webhooks().await.unwrap(), 2);
    assert_eq!(tx.webhooks_behind().await.unwrap(), [id(1)]);
    tx.update_webhook_cursor(id(1), 3).await.unwrap();
    assert!(tx.webhooks_behind().await.unwrap().is_empty());
    let locked = tx.lock_webhook(id(1)).await.unwrap().unwrap();
    assert_eq!(locked.cursor, 3);
}

pub(super) async fn a_delivery_is_due_listed_and_deleted_with_its_webhook(f: Fixture) {
    let mut tx = f.db.begin().await.unwrap();
    tx.insert_webhook(&webhook(1)).await.unwrap();
    tx.insert_webhook(&webhook(2)).await.unwrap();
    let all = [delivery(11, 1, 5), delivery(12, 1, 4), delivery(13, 2, 9)];
    tx.insert_deliveries(&all).await.unwrap();
    assert_eq!(tx.webhooks_due(at(3)).await.unwrap(), []);
    assert_eq!(tx.webhooks_due(at(5)).await.unwrap(), [webhook(1)]);
    let mut due = tx.lock_due_deliveries(id(1), at(5), 9).await.unwrap();
    assert_eq!(due, [all[1].clone(), all[0].clone()]);
    assert_eq!(tx.count_waiting_deliveries(id(1)).await.unwrap(), 2);
    due[0].status = DeliveryStatus::Dead;
    due[0].attempts = 12;
    due[0].ended_at = Some(at(60));
    due[0].last_status = None;
    tx.update_delivery(&due[0]).await.unwrap();
    assert_eq!(
        tx.lock_due_deliveries(id(1), at(5), 9).await.unwrap().len(),
        1
    );
    let list = |status, before| DeliveryFilter {
        status,
        before,
        limit: 9,
    };
    let dead = Some(DeliveryStatus::Dead);
    let listed = tx.deliveries(id(1), &list(dead, i64::MAX)).await.unwrap();
    assert_eq!(listed, [due[0].clone()]);
    let listed = tx.deliveries(id(1), &list(None, i64::MAX)).await.unwrap();
    assert_eq!(listed, [all[0].clone(), due[0].clone()]);
    assert_eq!(tx.deliveries(id(1), &list(None, 5)).await.unwrap().len(), 1);
    assert_eq!(tx.lock_delivery(id(2), id(12)).await.unwrap(), None);
    assert!(tx.lock_delivery(id(1), id(12)).await.unwrap().is_some());
    tx.commit().await.unwrap();

    let mut tx = f.db.begin().await.unwrap();
    let twice = tx.insert_deliveries(&[delivery(14, 1, 5)]).await;
    assert!(matches!(twice, Err(Error::Duplicate)), "{twice:?}");
    drop(tx);
    let mut tx = f.db.begin().await.unwrap();
    for (status, before, deleted) in [
        (DeliveryStatus::Waiting, at(999), 0),
        (DeliveryStatus::Delivered, at(999), 0),
        (DeliveryStatus::Dead, at(60), 0),
        (DeliveryStatus::Dead, at(61), 1),
    ] {
        assert_eq!(
            tx.delete_deliveries(status, before, 9).await.unwrap(),
            deleted
        );
    }
    assert!(tx.delete_webhook(id(1)).await.unwrap());
    assert!(!tx.delete_webhook(id(1)).await.unwrap());
    assert_eq!(
        tx.deliveries(id(1), &list(None, i64::MAX)).await.unwrap(),
        []
    );
    assert_eq!(tx.count_waiting_deliveries(id(2)).await.unwrap(), 1);
}

pub(super) async fn concurrent_claims_share_deliveries_without_overlap(f: Fixture) {
    const DELIVERIES: u128 = 60;
    let mut tx = f.db.begin().await.unwrap();
    tx.insert_webhook(&webhook(1)).await.unwrap();
    let all: Vec<Delivery> = (1..=DELIVERIES).map(|n| delivery(n, 1, n as i64)).collect();
    tx.insert_deliveries(&all).await.unwrap();
    tx.commit().await.unwrap();
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
                let due = tx.lock_due_deliveries(id(1), at(1000), 7).await.unwrap();
                for mut delivery in due.clone() {
                    delivery.claim(at(1000), TimeDelta::seconds(60));
                    tx.update_delivery(&delivery).await.unwrap();
                }
                tx.commit().await.unwrap();
                if due.is_empty() {
                    return claimed;
                }
                claimed.extend(due.into_iter().map(|delivery| delivery.delivery_id));
            }
        });
    }
    let mut claimed: Vec<Uuid> = claimers.join_all().await.into_iter().flatten().collect();
    assert_eq!(claimed.len() as u128, DELIVERIES, "each exactly once");
    claimed.sort();
    claimed.dedup();
    assert_eq!(claimed.len() as u128, DELIVERIES);
}
