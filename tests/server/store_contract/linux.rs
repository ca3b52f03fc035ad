//! Devices that speak HTTP, and the packages that are released for them.

use airlift::domain::{Barred, Package, PackageOrigin, Signer};

use super::*;

/// A pending task with its command, due at second 10.
async fn waiting(tx: &mut Tx, n: u128) -> OutboundCommand {
    let gateway_id = format!("g{n}");
    tx.lock_gateway(&gateway(&gateway_id)).await.unwrap();
    let task = task(n, &gateway_id);
    tx.insert_tasks(std::slice::from_ref(&task)).await.unwrap();
    let command = command(n, &task, at(10));
    tx.insert_commands(std::slice::from_ref(&command))
        .await
        .unwrap();
    command
}

pub(super) async fn a_command_waits_for_the_gateway_that_asks(f: Fixture) {
    let mut tx = f.db.begin().await.unwrap();
    let mut mine = waiting(&mut tx, 1).await;
    waiting(&mut tx, 2).await;
    // Its time has not come.
    assert!(!tx.has_waiting_command("g1", at(9)).await.unwrap());
    assert_eq!(tx.lock_waiting_command("g1", at(9)).await.unwrap(), None);
    assert!(tx.has_waiting_command("g1", at(10)).await.unwrap());
    let waits = tx.lock_waiting_command("g1", at(10)).await.unwrap();
    assert_eq!(waits.as_ref(), Some(&mine));
    // What was sent is not held back until it is sent again.
    mine.sends = 1;
    mine.next_send_at = at(1000);
    tx.update_commands(&[&mine]).await.unwrap();
    let waits = tx.lock_waiting_command("g1", at(11)).await.unwrap();
    assert_eq!(waits.as_ref(), Some(&mine));
    assert!(!tx.has_waiting_command("nobody", at(2000)).await.unwrap());
    // The oldest of several.
    let cancel = OutboundCommand {
        command_id: id(0),
        kind: CommandKind::Cancel,
        ..mine.clone()
    };
    tx.insert_commands(std::slice::from_ref(&cancel))
        .await
        .unwrap();
    let waits = tx.lock_waiting_command("g1", at(11)).await.unwrap();
    assert_eq!(waits, Some(cancel));
}

pub(super) async fn commands_of_a_gateway_that_speaks_http_are_not_due(f: Fixture) {
    let mut tx = f.db.begin().await.unwrap();
    for n in 1..=2 {
        waiting(&mut tx, n).await;
    }
    let mut speaks_http = gateway("g1");
    // Whether that has come or not.
    for offline_at in [at(5), at(500)] {
        speaks_http.offline_at = Some(offline_at);
        tx.update_gateways(&[&speaks_http]).await.unwrap();
        let due = tx.lock_due_commands(at(20), 10).await.unwrap();
        assert_eq!(due.len(), 1);
        assert_eq!(due[0].gateway_id, "g2");
    }
    speaks_http.offline_at = None;
    tx.update_gateways(&[&speaks_http]).await.unwrap();
    assert_eq!(tx.lock_due_commands(at(20), 10).await.unwrap().len(), 2);
}

async fn put_gateways(f: &Fixture, gateways: &[(&str, Option<i64>, bool)]) {
    let mut tx = f.db.begin().await.unwrap();
    for (gateway_id, offline_at, online) in gateways {
        let mut gateway = gateway(gateway_id);
        tx.lock_gateway(&gateway).await.unwrap();
        gateway.offline_at = offline_at.map(at);
        gateway.online = *online;
        tx.update_gateways(&[&gateway]).await.unwrap();
    }
    tx.commit().await.unwrap();
}

pub(super) async fn silent_gateways_are_those_whose_report_is_overdue(f: Fixture) {
    put_gateways(
        &f,
        &[
            ("later", Some(31), true),
            ("now", Some(30), true),
            ("before", Some(10), true),
            ("told", Some(5), false),
            ("mqtt", None, true),
        ],
    )
    .await;
    let mut tx = f.db.begin().await.unwrap();
    let silent = tx.lock_silent_gateways(at(30), 10).await.unwrap();
    let ids: Vec<&str> = silent.iter().map(|it| it.gateway_id.as_str()).collect();
    assert_eq!(ids, ["before", "now"]);
    assert_eq!(silent[0].offline_at, Some(at(10)));
    assert_eq!(tx.lock_silent_gateways(at(30), 1).await.unwrap().len(), 1);
}

pub(super) async fn concurrent_looks_share_silent_gateways_without_overlap(f: Fixture) {
    put_gateways(&f, &[("a", Some(1), true), ("b", Some(2), true)]).await;
    if f.db.is_embedded() {
        // It has one writer: the second would wait for the first.
        return;
    }
    let (mut one, mut other) = (f.db.begin().await.unwrap(), f.db.begin().await.unwrap());
    let first = one.lock_silent_gateways(at(9), 1).await.unwrap();
    let second = other.lock_silent_gateways(at(9), 10).await.unwrap();
    assert_eq!(first[0].gateway_id, "a");
    assert_eq!(second.len(), 1);
    assert_eq!(second[0].gateway_id, "b");
}

pub(super) async fn a_firmware_knows_the_package_that_it_is_and_whether_it_is_withdrawn(
    f: Fixture,
) {
    let mut tx = f.db.begin().await.unwrap();
    put_blob(&mut tx).await;
    let package = |n: u128, branch: &str, withdrawn_at| Package {
        package_id: id(n),
        name: "app".into(),
        branch: branch.into(),
        version: "1.0.2".into(),
        content: "{}".into(),
        file_size: 14,
        md5: "m".into(),
        sha256: "5d".repeat(32),
        signature: Some("s".into()),
        signed_by: Some(Signer {
            name: "release".into(),
            fingerprint: "AB".into(),
        }),
        withdrawn_at,
        created_at: at(0),
        updated_at: at(0),
    };
    let (kept, gone) = (package(1, "main", None), package(2, "old", Some(at(7))));
    for package in [&kept, &gone] {
        tx.insert_package(package, "key").await.unwrap();
    }
    for (n, device_type, package) in [(1, "linux", &kept), (2, "linux-old", &gone)] {
        let firmware = Firmware {
            device_type: device_type.into(),
            file_name: format!("{device_type}_v1.0.2.bin"),
            package: Some(package.origin()),
            ..firmware(n, "1.0.2")
        };
        tx.insert_firmware(&firmware).await.unwrap();
        let stored = tx.firmware(device_type, "1.0.2").await.unwrap();
        assert_eq!(stored.as_ref(), Some(&firmware));
        let released_for = tx
            .package_released_for("app", &package.branch, "1.0.2")
            .await;
        assert_eq!(released_for.unwrap().as_deref(), Some(device_type));
        let candidates = tx.candidates(device_type, &open()).await.unwrap();
        let withdrawn = package.withdrawn_at.map(|at| Barred::Withdrawn { at });
        assert_eq!(candidates[0].barred, withdrawn);
    }
    tx.insert_firmware(&firmware(3, "1.0.2")).await.unwrap();
    for (name, branch, version) in [
        ("app", "main", "1.0.3"),
        ("app", "mai", "1.0.2"),
        ("lib", "main", "1.0.2"),
    ] {
        let none = tx.package_released_for(name, branch, version).await;
        assert_eq!(none.unwrap(), None);
    }
    // It was signed anew.
    let mut firmware = tx.firmware("linux", "1.0.2").await.unwrap().unwrap();
    firmware.package = Some(PackageOrigin {
        signed_by: None,
        ..kept.origin()
    });
    tx.update_firmware_package(&firmware).await.unwrap();
    assert_eq!(tx.firmware("linux", "1.0.2").await.unwrap(), Some(firmware));
}
