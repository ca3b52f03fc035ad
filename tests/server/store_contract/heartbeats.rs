//! What gateways said of themselves over time.

use airlift::{
    domain::{KeptHeartbeat, Vitals},
    store::HeartbeatFilter,
};

use super::*;

fn kept(gateway_id: &str, second: i64, version: &str) -> KeptHeartbeat {
    KeptHeartbeat {
        gateway_id: gateway_id.to_owned(),
        at: DateTime::from_timestamp(1_770_000_000 + second, 0).unwrap(),
        firmware_version: version.to_owned(),
        vitals: Vitals {
            battery: Some(87.3),
            free_heap: Some(i64::MAX),
            rssi: None,
        },
    }
}

fn of(gateway_id: &str) -> HeartbeatFilter {
    HeartbeatFilter {
        gateway_id: gateway_id.to_owned(),
        since: None,
        until: None,
        limit: 10,
    }
}

async fn register(tx: &mut Tx, gateway_ids: &[&str]) {
    for gateway_id in gateway_ids {
        tx.lock_gateway(&gateway(gateway_id)).await.unwrap();
    }
}

pub(super) async fn of_each_gateway_and_time_the_first_heartbeat_stays(f: Fixture) {
    let mut tx = f.db.begin().await.unwrap();
    register(&mut tx, &["a", "b"]).await;
    tx.put_heartbeats(&[]).await.unwrap();
    let first = [
        kept("a", 600, "1.0.2"),
        kept("a", 0, "1.0.1"),
        kept("a", 600, "1.0.3"),
        kept("b", 0, "1.0.0"),
    ];
    tx.put_heartbeats(&first).await.unwrap();
    let again = [kept("a", 0, "9"), kept("a", 1200, "1.0.4")];
    tx.put_heartbeats(&again).await.unwrap();
    let all = [
        kept("a", 0, "1.0.1"),
        kept("a", 600, "1.0.2"),
        kept("a", 1200, "1.0.4"),
    ];
    assert_eq!(tx.heartbeats(&of("a")).await.unwrap(), all);
    let newest = HeartbeatFilter {
        limit: 2,
        ..of("a")
    };
    assert_eq!(tx.heartbeats(&newest).await.unwrap(), all[1..]);
    let within = HeartbeatFilter {
        since: Some(all[0].at),
        until: Some(all[2].at),
        ..of("a")
    };
    assert_eq!(tx.heartbeats(&within).await.unwrap(), all[..2]);
    assert_eq!(tx.heartbeats(&of("c")).await.unwrap(), []);
}

pub(super) async fn many_heartbeats_are_kept_at_once(f: Fixture) {
    // More than one statement takes.
    let gateways: Vec<Gateway> = (0..2500).map(|n| gateway(&format!("g{n:04}"))).collect();
    let heartbeats: Vec<KeptHeartbeat> = gateways
        .iter()
        .map(|gateway| kept(&gateway.gateway_id, 0, "1.0.1"))
        .collect();
    let mut tx = f.db.begin().await.unwrap();
    tx.lock_gateways(&gateways).await.unwrap();
    tx.put_heartbeats(&heartbeats).await.unwrap();
    for n in [0, 999, 1000, 2499] {
        let filter = of(&gateways[n].gateway_id);
        assert_eq!(
            tx.heartbeats(&filter).await.unwrap(),
            [heartbeats[n].clone()]
        );
    }
}

pub(super) async fn old_heartbeats_go_in_pieces_and_those_of_a_gateway_with_it(f: Fixture) {
    let mut tx = f.db.begin().await.unwrap();
    register(&mut tx, &["a", "b"]).await;
    let heartbeats = [0, 600, 1200].map(|second| kept("a", second, "1.0.1"));
    tx.put_heartbeats(&heartbeats).await.unwrap();
    tx.put_heartbeats(&[kept("b", 0, "1.0.1")]).await.unwrap();
    tx.commit().await.unwrap();
    for deleted in [2, 1, 0] {
        let mut tx = f.db.begin().await.unwrap();
        let before = heartbeats[2].at;
        assert_eq!(tx.delete_old_heartbeats(before, 2).await.unwrap(), deleted);
        tx.commit().await.unwrap();
    }
    let mut tx = f.db.read().await.unwrap();
    assert_eq!(tx.heartbeats(&of("a")).await.unwrap(), heartbeats[2..]);
    assert_eq!(tx.heartbeats(&of("b")).await.unwrap(), []);
    drop(tx);
    let gone = "DELETE FROM gateways WHERE gateway_id = 'a'";
    match &f.db {
        Db::Postgres(pool) => drop(sqlx::query(gone).execute(pool).await.unwrap()),
        Db::Sqlite { writer, .. } => drop(sqlx::query(gone).execute(writer).await.unwrap()),
    }
    let mut tx = f.db.read().await.unwrap();
    assert_eq!(tx.heartbeats(&of("a")).await.unwrap(), []);
}

pub(super) async fn two_servers_delete_different_heartbeats(f: Fixture) {
    let mut tx = f.db.begin().await.unwrap();
    register(&mut tx, &["a"]).await;
    let heartbeats = [0, 600, 1200].map(|second| kept("a", second, "1.0.1"));
    tx.put_heartbeats(&heartbeats).await.unwrap();
    tx.commit().await.unwrap();
    let mut first = f.db.begin().await.unwrap();
    assert_eq!(first.delete_old_heartbeats(at(9999), 1).await.unwrap(), 1);
    // SQLite has one writer: there is no second one.
    if !f.db.is_embedded() {
        let mut second = f.db.begin().await.unwrap();
        assert_eq!(second.delete_old_heartbeats(at(9999), 9).await.unwrap(), 2);
        second.commit().await.unwrap();
    }
    first.commit().await.unwrap();
}
