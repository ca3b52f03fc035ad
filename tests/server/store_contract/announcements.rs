//! The outbox of what goes to everyone, and when releases go there.

use airlift::domain::Announcement;

use super::*;

const AVAILABLE: &str = "/jxct/ota/available";
const ALERTS: &str = "hanqi/alerts";

fn announcement(n: u128, topic: &str, second: i64) -> Announcement {
    Announcement {
        announcement_id: id(n),
        topic: topic.into(),
        payload: format!("{{\"ü\":{n}}}"),
        created_at: at(second),
        next_send_at: at(second),
    }
}

pub(super) async fn announcements_are_due_in_order_and_leave_the_outbox(f: Fixture) {
    let mut tx = f.db.begin().await.unwrap();
    let [first, second, third] = [1, 2, 3].map(|n| announcement(n, ALERTS, n as i64));
    for it in [&third, &first, &second] {
        tx.put_announcement(it).await.unwrap();
    }
    assert_eq!(tx.lock_due_announcements(at(0), 10).await.unwrap(), []);
    let due = tx.lock_due_announcements(at(2), 10).await.unwrap();
    assert_eq!(due, [first.clone(), second.clone()]);
    assert_eq!(tx.lock_due_announcements(at(9), 1).await.unwrap().len(), 1);
    tx.postpone_announcement(&first, at(8)).await.unwrap();
    assert_eq!(
        tx.lock_due_announcements(at(2), 10).await.unwrap(),
        std::slice::from_ref(&second)
    );
    tx.delete_announcement(&second).await.unwrap();
    assert_eq!(tx.count_announcements().await.unwrap(), 2);
    tx.withdraw_announcement(id(3)).await.unwrap();
    tx.withdraw_announcement(id(3)).await.unwrap();
    assert_eq!(tx.count_announcements().await.unwrap(), 1);
}

pub(super) async fn what_took_an_announcements_place_is_not_touched(f: Fixture) {
    let mut tx = f.db.begin().await.unwrap();
    let earlier = announcement(1, AVAILABLE, 1);
    tx.put_announcement(&earlier).await.unwrap();
    let later = Announcement {
        payload: "{}".into(),
        created_at: at(5),
        next_send_at: at(5),
        ..earlier.clone()
    };
    tx.put_announcement(&later).await.unwrap();
    tx.postpone_announcement(&earlier, at(100)).await.unwrap();
    tx.delete_announcement(&earlier).await.unwrap();
    assert_eq!(tx.lock_due_announcements(at(5), 10).await.unwrap(), [later]);
}

pub(super) async fn alerts_have_room_for_so_many_and_grow_old(f: Fixture) {
    let mut tx = f.db.begin().await.unwrap();
    for n in 10..20 {
        tx.put_announcement(&announcement(n, AVAILABLE, 0))
            .await
            .unwrap();
    }
    for n in 1..=3 {
        let alert = announcement(n, ALERTS, n as i64);
        assert!(tx.put_alert(&alert, AVAILABLE, 3).await.unwrap(), "{n}");
    }
    let one_more = announcement(4, ALERTS, 4);
    assert!(!tx.put_alert(&one_more, AVAILABLE, 3).await.unwrap());
    assert_eq!(tx.delete_old_alerts(AVAILABLE, at(3)).await.unwrap(), 2);
    assert!(tx.put_alert(&one_more, AVAILABLE, 3).await.unwrap());
    assert_eq!(tx.count_announcements().await.unwrap(), 12);
}

pub(super) async fn concurrent_claims_share_announcements_without_overlap(f: Fixture) {
    let mut tx = f.db.begin().await.unwrap();
    for n in 1..=40 {
        tx.put_announcement(&announcement(n, ALERTS, 0))
            .await
            .unwrap();
    }
    tx.commit().await.unwrap();
    let claims = (0..4).map(|_| {
        let db = f.db.clone();
        async move {
            let mut tx = db.begin().await.unwrap();
            let claimed = tx.lock_due_announcements(at(1), 10).await.unwrap();
            for it in &claimed {
                tx.postpone_announcement(it, at(60)).await.unwrap();
            }
            tx.commit().await.unwrap();
            claimed
        }
    });
    let claimed = futures_util::future::join_all(claims).await;
    let mut ids: Vec<Uuid> = claimed
        .iter()
        .flatten()
        .map(|it| it.announcement_id)
        .collect();
    let count = ids.len();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), count);
    // Who came while others held them may have got fewer, and they are still due.
    let mut tx = f.db.begin().await.unwrap();
    let left = tx.lock_due_announcements(at(1), 100).await.unwrap();
    assert_eq!(left.len() + count, 40);
}

pub(super) async fn each_device_type_has_a_time_at_which_its_release_is_announced(f: Fixture) {
    let mut tx = f.db.begin().await.unwrap();
    put_blob(&mut tx).await;
    for (n, device_type, status) in [
        (1, "a", FirmwareStatus::Released),
        (2, "b", FirmwareStatus::Released),
        (3, "c", FirmwareStatus::Deprecated),
        (4, "b", FirmwareStatus::Draft),
    ] {
        let mut firmware = firmware(n, &format!("1.0.{n}"));
        firmware.device_type = device_type.into();
        firmware.status = status;
        tx.insert_firmware(&firmware).await.unwrap();
    }
    assert_eq!(tx.unannounced_device_types(10).await.unwrap(), ["a", "b"]);
    assert_eq!(tx.unannounced_device_types(1).await.unwrap(), ["a"]);
    tx.set_release_announcement("a", at(10)).await.unwrap();
    tx.set_release_announcement("b", at(5)).await.unwrap();
    tx.set_release_announcement("a", at(20)).await.unwrap();
    assert_eq!(tx.unannounced_device_types(10).await.unwrap(), [""; 0]);
    let mut due = async |now, latest| {
        let due = tx.lock_due_release_announcements(at(now), at(latest), 10);
        due.await.unwrap()
    };
    assert_eq!(due(4, 20).await, []);
    assert_eq!(due(5, 20).await, [("b".to_owned(), at(5))]);
    let both = [("b".to_owned(), at(5)), ("a".to_owned(), at(20))];
    assert_eq!(due(5, 19).await, both);
    assert_eq!(due(20, 99).await, both);
    tx.delete_release_announcement("b").await.unwrap();
    assert_eq!(tx.unannounced_device_types(10).await.unwrap(), ["b"]);
}

pub(super) async fn what_is_open_is_counted_by_status_and_state(f: Fixture) {
    let mut tx = f.db.begin().await.unwrap();
    use TaskStatus::{Completed, Failed, Pending};
    for (n, status, deadline) in [
        (1, Pending, Some(at(9))),
        (2, Pending, Some(at(9))),
        (3, Completed, Some(at(9))),
        (4, Completed, None),
        (5, Failed, None),
    ] {
        let gateway_id = format!("g{n}");
        tx.lock_gateway(&gateway(&gateway_id)).await.unwrap();
        let mut task = task(n, &gateway_id);
        task.status = status;
        task.deadline_at = deadline;
        tx.insert_tasks(std::slice::from_ref(&task)).await.unwrap();
    }
    let mut open = tx.count_open_tasks().await.unwrap();
    open.sort();
    assert_eq!(
        open,
        [("completed".to_owned(), 1), ("pending".to_owned(), 2)]
    );
    assert_eq!(tx.count_rollouts().await.unwrap(), []);
}
