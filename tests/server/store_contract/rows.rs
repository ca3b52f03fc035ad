//! What is stored comes back, page by page.

use super::*;

pub(super) async fn rows_come_back_as_they_went_in(f: Fixture) {
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
    task.packages = [None, Some("1.1".to_owned())]
        .map(|from_version| PackageChange {
            name: "app".into(),
            from_version,
            to_version: "1.2".into(),
        })
        .into();
    tx.insert_tasks(std::slice::from_ref(&task)).await.unwrap();
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
    tx.update_tasks(&[&task]).await.unwrap();
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
    let names = [("g1", "ota_1"), ("g2", "ota_1"), ("g1", "ota_2")];
    assert_eq!(tx.lock_named_tasks(&names).await.unwrap(), [task]);
    let known = tx.known_msg_ids(&["ota_1", "ota_2"]).await.unwrap();
    assert_eq!(known, ["ota_1".to_owned()].into());
}

pub(super) async fn the_newest_tasks_of_many_gateways_are_found_at_once(f: Fixture) {
    let mut tx = f.db.begin().await.unwrap();
    for gateway_id in ["g1", "g2", "g3"] {
        tx.lock_gateway(&gateway(gateway_id)).await.unwrap();
    }
    let mut tasks = [task(1, "g1"), task(2, "g2"), task(3, "g1"), task(4, "g2")];
    // A gateway has one active task.
    for ended in &mut tasks[..2] {
        ended.status = TaskStatus::Failed;
    }
    tx.insert_tasks(&tasks).await.unwrap();
    tx.commit().await.unwrap();
    let newest = async |asked: &[&str]| {
        let asked: Vec<String> = asked.iter().map(|it| (*it).to_owned()).collect();
        f.db.newest_tasks(&asked).await.unwrap()
    };
    let expected = [
        ("g1".to_owned(), tasks[2].clone()),
        ("g2".to_owned(), tasks[3].clone()),
    ];
    assert_eq!(
        newest(&["g3", "g2", "g1", "unknown", "g2"]).await,
        expected.into()
    );
    assert_eq!(newest(&["g3", "a\"b"]).await, [].into());
    assert_eq!(newest(&[]).await, [].into());
}

pub(super) async fn a_dropped_transaction_leaves_nothing(f: Fixture) {
    let mut tx = f.db.begin().await.unwrap();
    tx.lock_gateway(&gateway("g1")).await.unwrap();
    drop(tx);
    let mut tx = f.db.begin().await.unwrap();
    assert_eq!(tx.gateway("g1").await.unwrap(), None);
}

pub(super) async fn a_version_is_unique_within_its_device_type(f: Fixture) {
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

/// No signature is required.
pub(super) fn open() -> Admission {
    Admission {
        now: at(0),
        trusted: None,
    }
}

pub(super) async fn firmwares_page_by_upload_and_filter(f: Fixture) {
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
    let mut candidates = tx.candidates("gateway", &open()).await.unwrap();
    candidates.sort_by(|a, b| a.version.cmp(&b.version));
    assert_eq!(candidates.len(), 5);
    let expected = Candidate {
        version: "1.0.2".into(),
        min_version: Some("1.0.0".into()),
        status: FirmwareStatus::Released,
        barred: None,
    };
    assert_eq!(candidates[1], expected);
    assert_eq!(tx.candidates("linux", &open()).await.unwrap(), []);
}

pub(super) async fn gateways_page_by_id_and_filter(f: Fixture) {
    let mut tx = f.db.begin().await.unwrap();
    // In byte order, whatever the database's locale thinks of case and punctuation.
    for gateway_id in ["b", "A", "a-1", "a.1", "a1"] {
        tx.lock_gateway(&gateway(gateway_id)).await.unwrap();
    }
    let mut off = gateway("off");
    off.online = false;
    tx.lock_gateway(&off).await.unwrap();
    let mut filter = GatewayFilter {
        query: GatewayTerm::Online(true).into(),
        after: String::new(),
        skip: 0,
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
    filter.query = GatewayTerm::Online(false).into();
    assert_eq!(ids(tx.gateways(&filter).await.unwrap()), ["off"]);
    filter.query = GatewayTerm::CurrentVersion("9".into()).into();
    assert_eq!(tx.gateways(&filter).await.unwrap(), []);
    assert_eq!(tx.count_gateways().await.unwrap(), (6, 5));
}

pub(super) async fn a_gateway_is_registered_once_and_keeps_what_is_known(f: Fixture) {
    let mut tx = f.db.begin().await.unwrap();
    let mut known = tx.lock_gateway(&gateway("g1")).await.unwrap();
    assert_eq!(known, gateway("g1"));
    known.current_version = Some("1.0.2".into());
    known.online = false;
    known.offline_at = Some(at(51));
    known.attributes = json!({});
    known.updated_at = at(50);
    tx.update_gateways(&[&known]).await.unwrap();
    assert_eq!(tx.lock_gateway(&gateway("g1")).await.unwrap(), known);
}

pub(super) async fn a_gateway_has_one_active_task(f: Fixture) {
    let mut tx = f.db.begin().await.unwrap();
    tx.lock_gateway(&gateway("g1")).await.unwrap();
    let mut first = task(1, "g1");
    tx.insert_tasks(std::slice::from_ref(&first)).await.unwrap();
    first.status = TaskStatus::Cancelled;
    tx.update_tasks(&[&first]).await.unwrap();
    tx.insert_tasks(&[task(2, "g1")]).await.unwrap();
    assert_eq!(
        tx.lock_newest_task("g1").await.unwrap().unwrap().task_id,
        id(2)
    );
    let third = tx.insert_tasks(&[task(3, "g1")]).await;
    assert!(matches!(third, Err(Error::Duplicate)), "{third:?}");
}

pub(super) async fn tasks_page_and_filter(f: Fixture) {
    tasks_with_commands(&f.db, 4).await;
    let mut tx = f.db.begin().await.unwrap();
    let mut failed = tx.task(id(3)).await.unwrap().unwrap();
    failed.status = TaskStatus::Failed;
    failed.error_code = Some("TIMEOUT".into());
    tx.update_tasks(&[&failed]).await.unwrap();
    let all = TaskFilter {
        gateway_id: None,
        status: None,
        version: None,
        rollout_id: None,
        error_code: None,
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
    let because = |error_code: &str| TaskFilter {
        error_code: Some(error_code.into()),
        ..all.clone()
    };
    assert_eq!(ids(tx.tasks(&because("TIMEOUT")).await.unwrap()), [3]);
    assert_eq!(ids(tx.tasks(&because("timeout")).await.unwrap()), []);
    let version = TaskFilter {
        version: Some("9.9.9".into()),
        ..all
    };
    assert_eq!(ids(tx.tasks(&version).await.unwrap()), []);
}
