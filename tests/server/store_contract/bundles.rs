//! Bundles: their files, their blobs, their release counters.

use std::time::Duration;

use airlift::domain::{Barred, Bundle, BundleFile, BundlePart, Signer};
use airlift_bundle::Kind;

use super::*;

/// A digest that is its own for each `n`.
fn sha256(n: u128) -> String {
    format!("{n:064x}")
}

fn file(version: &str, suffix: &str, n: u128) -> BundleFile {
    BundleFile {
        file_name: format!("gateway_v{version}.{suffix}"),
        size: 14,
        sha256: sha256(n),
    }
}

/// A firmware with a web part; its blobs are 10n to 10n + 3.
fn bundled(n: u128, version: &str, counter: i64) -> Firmware {
    let part = |name: &str, file: BundleFile| BundlePart {
        name: name.into(),
        partition: "app".into(),
        file,
        md5: "m".into(),
    };
    Firmware {
        sha256: sha256(10 * n),
        bundle: Some(Bundle {
            kind: Kind::FirmwareAndWeb,
            target: "raw".into(),
            release_counter: counter,
            allow_rollback: true,
            built_at: at(1),
            expires_at: Some(at(2)),
            signed_by: Some(Signer {
                name: "release".into(),
                fingerprint: "AB".into(),
            }),
            manifest: file(version, "manifest.json", 10 * n + 1),
            signature: file(version, "manifest.json.asc", 10 * n + 2),
            parts: vec![
                part("firmware.bin", file(version, "bin", 10 * n)),
                part(
                    "web_spiffs.bin",
                    file(version, "web_spiffs.bin", 10 * n + 3),
                ),
            ],
        }),
        ..firmware(n, version)
    }
}

async fn insert(tx: &mut Tx, firmware: &Firmware) {
    let bundle = firmware.bundle.as_ref().unwrap();
    let beside: Vec<&BundleFile> = bundle.files_beside().collect();
    let digests = beside.iter().map(|file| &file.sha256);
    for sha256 in digests.chain([&firmware.sha256]) {
        tx.put_blob(&BlobRow {
            sha256: sha256.clone(),
            md5: "m".into(),
            size: 14,
            created_at: at(0),
        })
        .await
        .unwrap();
    }
    tx.insert_firmware(firmware).await.unwrap();
    tx.insert_bundle_files(firmware.firmware_id, &beside)
        .await
        .unwrap();
}

pub(super) async fn a_bundle_comes_back_and_each_of_its_files_finds_it(f: Fixture) {
    let stored = bundled(1, "1.0.2", 7);
    let mut tx = f.db.begin().await.unwrap();
    insert(&mut tx, &stored).await;
    put_blob(&mut tx).await;
    tx.insert_firmware(&firmware(2, "1.0.3")).await.unwrap();
    tx.commit().await.unwrap();
    let mut tx = f.db.read().await.unwrap();
    let found = tx.firmware("gateway", "1.0.2").await.unwrap();
    assert_eq!(found, Some(stored.clone()));
    for name in [
        "gateway_v1.0.2.bin",
        "gateway_v1.0.2.manifest.json",
        "gateway_v1.0.2.manifest.json.asc",
        "gateway_v1.0.2.web_spiffs.bin",
    ] {
        let found = tx.firmware_by_file_name(name).await.unwrap();
        assert_eq!(found, Some(stored.clone()), "{name}");
    }
    for name in ["gateway_v1.0.3.manifest.json", "firmware.bin", ""] {
        assert_eq!(tx.firmware_by_file_name(name).await.unwrap(), None);
    }
}

pub(super) async fn what_a_bundle_uses_is_not_deleted_and_goes_with_it(f: Fixture) {
    let stored = bundled(1, "1.0.2", 7);
    let mut tx = f.db.begin().await.unwrap();
    insert(&mut tx, &stored).await;
    tx.commit().await.unwrap();
    let mut tx = f.db.begin().await.unwrap();
    let used: Vec<String> = (10..14).map(sha256).collect();
    assert_eq!(
        tx.used_blobs().await.unwrap(),
        used.iter().cloned().collect()
    );
    for sha256 in &used {
        assert!(tx.lock_blob(sha256).await.unwrap());
        assert!(!tx.delete_unused_blob(sha256).await.unwrap(), "{sha256}");
    }
    tx.delete_firmware(stored.firmware_id).await.unwrap();
    for sha256 in &used {
        assert!(tx.delete_unused_blob(sha256).await.unwrap(), "{sha256}");
    }
    assert!(tx.used_blobs().await.unwrap().is_empty());
    let name = "gateway_v1.0.2.manifest.json";
    assert_eq!(tx.firmware_by_file_name(name).await.unwrap(), None);
}

pub(super) async fn a_file_name_of_a_bundle_is_taken_once(f: Fixture) {
    let mut tx = f.db.begin().await.unwrap();
    let stored = bundled(1, "1.0.2", 7);
    insert(&mut tx, &stored).await;
    let mut other = bundled(2, "1.0.3", 8);
    other.bundle.as_mut().unwrap().manifest = stored.bundle.unwrap().manifest;
    tx.put_blob(&BlobRow {
        sha256: other.sha256.clone(),
        md5: "m".into(),
        size: 14,
        created_at: at(0),
    })
    .await
    .unwrap();
    tx.insert_firmware(&other).await.unwrap();
    let manifest = &other.bundle.as_ref().unwrap().manifest;
    let taken = tx.insert_bundle_files(other.firmware_id, &[manifest]).await;
    assert!(matches!(taken, Err(Error::Duplicate)), "{taken:?}");
}

pub(super) async fn the_highest_release_counter_is_the_device_types_own(f: Fixture) {
    let mut tx = f.db.begin().await.unwrap();
    assert_eq!(tx.highest_release_counter("gateway").await.unwrap(), None);
    insert(&mut tx, &bundled(1, "1.0.2", 9_007_199_254_740_991)).await;
    insert(&mut tx, &bundled(2, "1.0.3", 8)).await;
    put_blob(&mut tx).await;
    tx.insert_firmware(&firmware(3, "1.0.4")).await.unwrap();
    let highest = tx.lock_release_counter("gateway").await.unwrap();
    assert_eq!(highest, Some(9_007_199_254_740_991));
    assert_eq!(tx.lock_release_counter("linux").await.unwrap(), None);
    tx.delete_firmware(id(1)).await.unwrap();
    let highest = tx.highest_release_counter("gateway").await.unwrap();
    assert_eq!(highest, Some(8));
}

pub(super) async fn a_release_counter_is_in_one_hand(f: Fixture) {
    let mut first = f.db.begin().await.unwrap();
    assert_eq!(first.lock_release_counter("gateway").await.unwrap(), None);
    let db = f.db.clone();
    let second = tokio::spawn(async move {
        let mut tx = db.begin().await.unwrap();
        tx.lock_release_counter("gateway").await.unwrap()
    });
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!second.is_finished(), "both hold the counter");
    insert(&mut first, &bundled(1, "1.0.2", 7)).await;
    first.commit().await.unwrap();
    assert_eq!(second.await.unwrap(), Some(7));
}

pub(super) async fn who_must_not_be_sent_is_marked_among_the_candidates(f: Fixture) {
    let mut tx = f.db.begin().await.unwrap();
    insert(&mut tx, &bundled(1, "1.0.2", 7)).await;
    put_blob(&mut tx).await;
    tx.insert_firmware(&firmware(2, "1.0.3")).await.unwrap();
    let mut barred = async |now, trusted: Option<&str>| {
        let admission = Admission {
            now,
            trusted: trusted.map(|it| [it.to_owned()].into()),
        };
        let mut candidates = tx.candidates("gateway", &admission).await.unwrap();
        candidates.sort_by(|a, b| a.version.cmp(&b.version));
        let [bundle, plain] = candidates.try_into().unwrap();
        (bundle.barred, plain.barred)
    };
    assert_eq!(barred(at(1), None).await, (None, None));
    let unsigned = Some(Barred::Unsigned);
    assert_eq!(barred(at(1), Some("AB")).await, (None, unsigned));
    let expired = Some(Barred::Expired { at: at(2) });
    assert_eq!(barred(at(2), None).await, (expired, None));
}
