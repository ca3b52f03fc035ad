//! Packages: heads, branches, blobs, and the lock of a branch.

use std::time::Duration;

use airlift::{
    domain::{Package, PackageBranch, Signer},
    store::PackageFilter,
};

use super::*;

fn package(n: u128, branch: &str, version: &str) -> Package {
    Package {
        package_id: id(n),
        name: "app".into(),
        branch: branch.into(),
        version: version.into(),
        content: format!("{{ \"version\" : \"{version}\", \"ü\": \"\\u0000\" }}\r\n"),
        file_size: 1 << 40,
        md5: "m".into(),
        sha256: "5d".repeat(32),
        signature: Some("-----BEGIN".into()),
        signed_by: Some(Signer {
            name: "release".into(),
            fingerprint: "AB".into(),
        }),
        withdrawn_at: None,
        created_at: at(0),
        updated_at: at(1),
    }
}

/// The key is made up: what sorts is for the service to say.
async fn insert(tx: &mut Tx, package: &Package, key: &str) {
    put_blob(tx).await;
    tx.insert_package(package, key).await.unwrap();
}

/// 1.9, 1.10 and 1.2 of main, 2.0 of testing, in this order.
async fn four(tx: &mut Tx) -> [Package; 4] {
    let four = [
        (package(1, "main", "1.9"), "b9"),
        (package(2, "main", "1.10"), "c10"),
        (package(3, "main", "1.2"), "b2"),
        (package(4, "testing", "2.0"), "d"),
    ];
    for (package, key) in &four {
        insert(tx, package, key).await;
    }
    four.map(|(package, _)| package)
}

pub(super) async fn a_package_comes_back_and_its_head_is_the_highest_version(f: Fixture) {
    let mut tx = f.db.begin().await.unwrap();
    let [_, mut ten, ..] = four(&mut tx).await;
    tx.commit().await.unwrap();
    let mut tx = f.db.begin().await.unwrap();
    let found = tx.package("app", "main", "1.10").await.unwrap();
    assert_eq!(found, Some(ten.clone()));
    assert_eq!(tx.package("app", "testing", "1.10").await.unwrap(), None);
    assert_eq!(tx.package("APP", "main", "1.10").await.unwrap(), None);
    let head = tx.head_package("app", "main").await.unwrap();
    assert_eq!(head, Some(ten.clone()));
    assert_eq!(tx.head_package("app", "none").await.unwrap(), None);
    let versions = tx.package_versions("app", "main").await.unwrap();
    assert_eq!(versions, ["1.10", "1.9", "1.2"]);

    ten.withdrawn_at = Some(at(5));
    ten.signature = None;
    ten.signed_by = None;
    ten.content = "{}".into();
    ten.updated_at = at(5);
    tx.update_package(&ten).await.unwrap();
    let found = tx.package("app", "main", "1.10").await.unwrap();
    assert_eq!(found, Some(ten));
    let head = tx.head_package("app", "main").await.unwrap().unwrap();
    assert_eq!(head.version, "1.9");
    let versions = tx.package_versions("app", "main").await.unwrap();
    assert_eq!(versions, ["1.9", "1.2"]);

    // Of equal precedence: the one that came last.
    insert(&mut tx, &package(5, "main", "1.9.0"), "b9").await;
    let head = tx.head_package("app", "main").await.unwrap().unwrap();
    assert_eq!(head.version, "1.9.0");
    let twice = tx.insert_package(&package(6, "main", "1.9"), "b9").await;
    assert!(matches!(twice, Err(Error::Duplicate)), "{twice:?}");
}

pub(super) async fn packages_page_by_upload_and_filter(f: Fixture) {
    let mut tx = f.db.begin().await.unwrap();
    let mut four = four(&mut tx).await;
    four[1].withdrawn_at = Some(at(5));
    tx.update_package(&four[1]).await.unwrap();
    let mut list = async |name: Option<&str>, branch: Option<&str>, before, limit| {
        let filter = PackageFilter {
            name: name.map(Into::into),
            branch: branch.map(Into::into),
            before,
            limit,
        };
        let listed = tx.packages(&filter).await.unwrap();
        listed
            .into_iter()
            .map(|(package, is_head)| (package.version, is_head))
            .collect::<Vec<_>>()
    };
    let listed = |versions: &[(&str, bool)]| {
        let owned = versions
            .iter()
            .map(|(version, head)| ((*version).to_owned(), *head));
        owned.collect::<Vec<_>>()
    };
    assert_eq!(
        list(None, None, Uuid::max(), 9).await,
        listed(&[
            ("2.0", true),
            ("1.2", false),
            ("1.10", false),
            ("1.9", true)
        ])
    );
    assert_eq!(
        list(None, None, id(4), 2).await,
        listed(&[("1.2", false), ("1.10", false)])
    );
    assert_eq!(
        list(Some("app"), Some("testing"), Uuid::max(), 9).await,
        listed(&[("2.0", true)])
    );
    assert_eq!(list(Some("none"), None, Uuid::max(), 9).await, []);
}

pub(super) async fn branches_are_counted_each_with_its_head(f: Fixture) {
    let mut tx = f.db.begin().await.unwrap();
    let mut four = four(&mut tx).await;
    for package in &mut four[2..] {
        package.withdrawn_at = Some(at(5));
        tx.update_package(package).await.unwrap();
    }
    let branch = |branch: &str, head: Option<&str>, versions, withdrawn| PackageBranch {
        branch: branch.into(),
        head: head.map(Into::into),
        versions,
        withdrawn,
    };
    assert_eq!(
        tx.package_branches("app").await.unwrap(),
        [
            branch("main", Some("1.10"), 3, 1),
            branch("testing", None, 1, 1)
        ]
    );
    assert_eq!(tx.package_branches("none").await.unwrap(), []);
}

pub(super) async fn what_a_package_uses_is_not_deleted(f: Fixture) {
    let mut tx = f.db.begin().await.unwrap();
    let sha256 = "5d".repeat(32);
    assert_eq!(tx.package_file_size(&sha256).await.unwrap(), None);
    let stored = package(1, "main", "1.0");
    insert(&mut tx, &stored, "b1").await;
    tx.commit().await.unwrap();
    let mut tx = f.db.begin().await.unwrap();
    assert_eq!(tx.package_file_size(&sha256).await.unwrap(), Some(1 << 40));
    assert_eq!(tx.used_blobs().await.unwrap(), [sha256.clone()].into());
    assert!(tx.lock_blob(&sha256).await.unwrap());
    assert!(!tx.delete_unused_blob(&sha256).await.unwrap());
    tx.delete_package(stored.package_id).await.unwrap();
    assert_eq!(tx.package_file_size(&sha256).await.unwrap(), None);
    assert!(tx.delete_unused_blob(&sha256).await.unwrap());
    assert!(tx.used_blobs().await.unwrap().is_empty());
}

pub(super) async fn a_branch_is_in_one_hand(f: Fixture) {
    let mut first = f.db.begin().await.unwrap();
    first.lock_branch("app", "main").await.unwrap();
    let db = f.db.clone();
    let second = tokio::spawn(async move {
        let mut tx = db.begin().await.unwrap();
        tx.lock_branch("app", "main").await.unwrap();
        tx.head_package("app", "main").await.unwrap()
    });
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!second.is_finished(), "both hold the branch");
    let stored = package(1, "main", "1.0");
    insert(&mut first, &stored, "b1").await;
    first.commit().await.unwrap();
    assert_eq!(second.await.unwrap(), Some(stored));
}

pub(super) async fn a_package_is_found_among_the_firmwares(f: Fixture) {
    let mut tx = f.db.begin().await.unwrap();
    put_blob(&mut tx).await;
    let linux = Firmware {
        device_type: "linux".into(),
        ..firmware(1, "1.0.0")
    };
    tx.insert_firmware(&linux).await.unwrap();
    let asked = tx.package_released_for("app", "main", "1.0.0").await;
    assert_eq!(asked.unwrap(), None);
    tx.commit().await.unwrap();
    let mark = "UPDATE firmwares SET package = '{\"name\":\"app\",\"branch\":\"main\"}'";
    match &f.db {
        Db::Postgres(pool) => sqlx::query(mark).execute(pool).await.map(drop),
        Db::Sqlite { writer, .. } => sqlx::query(mark).execute(writer).await.map(drop),
    }
    .unwrap();
    let mut tx = f.db.read().await.unwrap();
    for (name, branch, version, expected) in [
        ("app", "main", "1.0.0", Some("linux")),
        ("app", "main", "1.0.1", None),
        ("app", "testing", "1.0.0", None),
        ("lib", "main", "1.0.0", None),
    ] {
        let found = tx.package_released_for(name, branch, version).await;
        assert_eq!(
            found.unwrap().as_deref(),
            expected,
            "{name} {branch} {version}"
        );
    }
}
