//! What decides on downloads.

use super::*;

pub async fn a_secret_is_made_once_however_many_make_it(f: Fixture) {
    let mut tx = f.db.read().await.unwrap();
    assert_eq!(tx.signing_secret("download_url").await.unwrap(), None);
    drop(tx);
    let make = async |n: u8| {
        let mut tx = f.db.begin().await.unwrap();
        let made = [n; 32];
        tx.put_signing_secret("download_url", &made, at(0))
            .await
            .unwrap();
        let secret = tx.signing_secret("download_url").await.unwrap();
        tx.commit().await.unwrap();
        secret.unwrap()
    };
    let made = futures_util::future::join_all((1..=8).map(make)).await;
    assert_eq!(made[0].len(), 32);
    assert!(made.iter().all(|secret| *secret == made[0]), "{made:?}");
    let mut tx = f.db.read().await.unwrap();
    let kept = tx.signing_secret("download_url").await.unwrap();
    assert_eq!(kept.as_ref(), Some(&made[0]));
    assert_eq!(tx.signing_secret("another").await.unwrap(), None);
}

pub async fn a_gateway_is_known_by_the_versions_that_it_was_sent(f: Fixture) {
    let mut tx = f.db.begin().await.unwrap();
    for (n, gateway_id) in [(1, "g"), (2, "h")] {
        tx.lock_gateway(&gateway(gateway_id)).await.unwrap();
        let sent = Task {
            to_version: "1.1.0".into(),
            path: match gateway_id {
                "g" => vec!["1.1.0".into(), "1.2.0-rc.1".into()],
                _ => Vec::new(),
            },
            ..task(n, gateway_id)
        };
        tx.insert_tasks(&[sent]).await.unwrap();
    }
    for (gateway_id, device_type, version, expected) in [
        ("g", "gateway", "1.1.0", true),
        ("g", "gateway", "1.2.0-rc.1", true),
        ("g", "gateway", "1.2.0-RC.1", false),
        ("g", "gateway", "1.2.0", false),
        ("g", "gateway", "1.2.0-rc", false),
        ("g", "gateway", "", false),
        ("g", "linux", "1.1.0", false),
        ("h", "gateway", "1.1.0", true),
        ("h", "gateway", "1.2.0-rc.1", false),
        ("i", "gateway", "1.1.0", false),
    ] {
        let sent = tx.has_task_to(gateway_id, device_type, version).await;
        assert_eq!(
            sent.unwrap(),
            expected,
            "{gateway_id} {device_type} {version}"
        );
    }
}
