//! Packages that change: pushed again, rolled back, deleted, swept, by several at once.

use airlift::{domain::Clock, store::Db};
use chrono::TimeDelta;
use serde_json::{Value, json};

use crate::{
    app::{Answer, Setup, TestApp},
    packages::{content, file_of, head, list, push, pushed, pushed_to, sha256},
};

async fn roll_back(app: &TestApp, query: &str) -> Answer {
    app.post(&format!("/api/ota/packages/app/rollback{query}"))
        .await
}

async fn version(app: &TestApp, version: &str) -> Answer {
    app.get(&format!(
        "/getVersion?package=app&branch=main&version={version}"
    ))
    .await
}

/// What was told of packages: change and version, oldest first.
async fn told(app: &TestApp) -> Vec<(String, String)> {
    let db = app.db().await;
    let sql = "SELECT data FROM events WHERE kind = 'package' ORDER BY event_id";
    let rows: Vec<Value> = match &db {
        Db::Postgres(pool) => sqlx::query_scalar(sql).fetch_all(pool).await,
        Db::Sqlite { writer, .. } => sqlx::query_scalar(sql).fetch_all(writer).await,
    }
    .unwrap();
    db.close().await;
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    rows.iter()
        .map(|data| {
            assert_eq!(data["name"], "app");
            (text(&data["change"][0]), text(&data["version"]))
        })
        .collect()
}

/// From now on the firmware of this version is this package's.
async fn mark_released(app: &TestApp) {
    let db = app.db().await;
    let sql = "UPDATE firmwares SET package = '{\"name\":\"app\",\"branch\":\"main\",\"signedBy\":null,\"hasSignature\":false}'";
    match &db {
        Db::Postgres(pool) => sqlx::query(sql).execute(pool).await.map(drop),
        Db::Sqlite { writer, .. } => sqlx::query(sql).execute(writer).await.map(drop),
    }
    .unwrap();
    db.close().await;
}

#[tokio::test]
async fn the_same_push_again_changes_nothing_and_another_content_takes_its_place() {
    let app = TestApp::start().await;
    let first = pushed(&app, "1.0").await;
    assert_eq!(pushed(&app, "1.0").await, first);
    let file = b"other files";
    let text = content("app", "main", "1.0", file);
    let second = push(&app, &text, file).await.json();
    assert_eq!(second["id"], first["id"]);
    assert_eq!(second["createdAt"], first["createdAt"]);
    assert_eq!(second["sha256"], sha256(file));
    assert_eq!(second["head"], true);
    assert_eq!(version(&app, "1.0").await.text(), text);
    // What nobody uses any more is gone.
    assert_eq!(app.blob_files(), [sha256(file)]);
    let old = format!("/otafiles/{}", sha256(&file_of("1.0")));
    app.get(&old).await.refused(404, "file_not_found");
    // The file may stay where the content changes.
    let text = text.replace("für alle", "for all");
    assert_eq!(push(&app, &text, file).await.status, 200);
    assert_eq!(version(&app, "1.0").await.text(), text);
    assert_eq!(list(&app, "").await.len(), 1);
    let expected = [("pushed", "1.0"), ("replaced", "1.0"), ("replaced", "1.0")];
    let told = told(&app).await;
    let told: Vec<_> = told.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
    assert_eq!(told, expected);
    app.stop().await;
}

#[tokio::test]
async fn a_branch_is_rolled_back_by_one_version_or_to_one() {
    let app = TestApp::start().await;
    for version in ["1.8", "1.9", "1.10", "1.11"] {
        pushed(&app, version).await;
    }
    pushed_to(&app, "testing", "2.0").await;
    let now_head = roll_back(&app, "?branch=main").await.data();
    assert_eq!(
        (&now_head["version"], &now_head["head"]),
        (&json!("1.10"), &json!(true))
    );
    assert_eq!(head(&app, "main").await, "1.10");
    let message = version(&app, "1.11")
        .await
        .refused(404, "package_not_found");
    assert!(message.contains("withdrawn"), "{message}");
    let withdrawn = app
        .get("/api/ota/packages/app/1.11?branch=main")
        .await
        .data();
    assert_eq!(withdrawn["head"], false);
    assert!(withdrawn["withdrawnAt"].is_string());
    // A device that is downloading it may end that.
    let file = format!("/otafiles/{}", sha256(&file_of("1.11")));
    assert_eq!(app.get(&file).await.status, 200);

    let now_head = roll_back(&app, "?branch=main&to=1.8").await.data();
    assert_eq!(now_head["version"], "1.8");
    assert_eq!(head(&app, "main").await, "1.8");
    // Once more changes nothing.
    let again = roll_back(&app, "?branch=main&to=1.8").await.data();
    assert_eq!(again, now_head);
    let message = roll_back(&app, "?branch=main").await;
    message.refused(409, "no_earlier_version");
    let to_withdrawn = roll_back(&app, "?branch=main&to=1.10").await;
    let message = to_withdrawn.refused(409, "no_earlier_version");
    assert!(message.contains("push it again"), "{message}");
    assert_eq!(head(&app, "main").await, "1.8");
    assert_eq!(head(&app, "testing").await, "2.0");

    let restored = pushed(&app, "1.10").await;
    assert_eq!(
        (&restored["head"], &restored["withdrawnAt"]),
        (&json!(true), &Value::Null)
    );
    assert_eq!(head(&app, "main").await, "1.10");
    assert_eq!(version(&app, "1.9").await.status, 404);
    let told = told(&app).await;
    let last: Vec<_> = told[5..]
        .iter()
        .map(|(a, b)| (a.as_str(), b.as_str()))
        .collect();
    let expected = [
        ("withdrawn", "1.11"),
        ("withdrawn", "1.10"),
        ("withdrawn", "1.9"),
        ("restored", "1.10"),
    ];
    assert_eq!(last, expected);
    app.stop().await;
}

#[tokio::test]
async fn a_rollback_that_makes_no_sense_is_refused() {
    let app = TestApp::start().await;
    pushed(&app, "1.0").await;
    for (query, status, code) in [
        ("", 400, "invalid_query"),
        ("?branch=..", 400, "invalid_branch"),
        ("?branch=main&to=", 400, "invalid_version"),
        ("?branch=main&to=%00", 400, "invalid_query"),
        ("?branch=none", 404, "package_not_found"),
        ("?branch=main&to=0.9", 404, "package_not_found"),
        ("?branch=none&to=1.0", 404, "package_not_found"),
        ("?branch=main", 409, "no_earlier_version"),
    ] {
        roll_back(&app, query).await.refused(status, code);
    }
    assert_eq!(head(&app, "main").await, "1.0");
    app.stop().await;
}

#[tokio::test]
async fn a_deleted_version_goes_with_its_file_and_the_head_is_the_next() {
    let app = TestApp::start().await;
    pushed(&app, "1.0").await;
    pushed(&app, "1.1").await;
    pushed_to(&app, "testing", "1.0").await;
    let path = "/api/ota/packages/app/1.1?branch=main";
    let deleted = app.delete(path).await.data();
    assert_eq!(deleted["version"], "1.1");
    app.delete(path).await.refused(404, "package_not_found");
    app.get(path).await.refused(404, "package_not_found");
    assert_eq!(head(&app, "main").await, "1.0");
    assert_eq!(app.blob_files(), [sha256(&file_of("1.0"))]);
    let path = "/api/ota/packages/app/1.0";
    app.delete(path).await.refused(400, "invalid_query");
    app.delete(&format!("{path}?branch=main")).await.data();
    // The other branch has the same bytes.
    assert_eq!(app.blob_files(), [sha256(&file_of("1.0"))]);
    let none = app.get("/maxVersion?package=app&branch=main").await;
    none.refused(404, "package_not_found");
    app.delete(&format!("{path}?branch=testing")).await.data();
    assert_eq!(app.blob_files(), [""; 0]);
    app.get("/api/ota/packages/app")
        .await
        .refused(404, "package_not_found");
    let last = told(&app).await.pop().unwrap();
    assert_eq!(last, ("deleted".to_owned(), "1.0".to_owned()));
    app.stop().await;
}

#[tokio::test]
async fn what_is_released_as_a_firmware_is_neither_replaced_nor_deleted() {
    for postgres in [false, true] {
        let setup = Setup {
            postgres,
            ..Setup::default()
        };
        let app = setup.start().await;
        let package = pushed(&app, "1.2.0").await;
        app.upload_for("linux", "1.2.0", &file_of("1.2.0"))
            .await
            .data();
        mark_released(&app).await;
        let text = content("app", "main", "1.2.0", b"other");
        // Before the file's bytes are spent, and where the content comes behind them.
        for form in [
            crate::packages::form(&text, b"other"),
            reqwest::multipart::Form::new()
                .part("file", crate::packages::part("x", b"other"))
                .text("content", text.clone()),
        ] {
            let answer = app.put_form(crate::packages::PUSH, form).await;
            let message = answer.refused(409, "package_released");
            assert!(message.contains("linux"), "{message}");
        }
        let path = "/api/ota/packages/app/1.2.0?branch=main";
        app.delete(path).await.refused(409, "package_released");
        // The same push is no change.
        assert_eq!(pushed(&app, "1.2.0").await, package);
        pushed_to(&app, "testing", "1.2.0").await;
        app.delete("/api/ota/packages/app/1.2.0?branch=testing")
            .await
            .data();
        app.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pushes_of_one_version_at_once_leave_one_that_is_whole() {
    for postgres in [false, true] {
        let setup = Setup {
            postgres,
            ..Setup::default()
        };
        let app = setup.start().await;
        // The same.
        let file = file_of("1.0");
        let text = content("app", "main", "1.0", &file);
        let pushes = (0..8).map(|_| push(&app, &text, &file));
        for answer in futures_util::future::join_all(pushes).await {
            assert_eq!(answer.status, 200, "{}", answer.text());
        }
        assert_eq!(list(&app, "").await.len(), 1);
        // Each another, some over and over again, while the branch is rolled back and deleted from.
        let files: Vec<Vec<u8>> = (0..4).map(|n| vec![n; 100_000]).collect();
        let files: Vec<(String, &Vec<u8>)> = (0..3)
            .flat_map(|_| &files)
            .map(|file| (content("app", "main", "1.1", file), file))
            .collect();
        let pushes = files.iter().map(|(text, file)| push(&app, text, file));
        let changes = async {
            for _ in 0..4 {
                let answer = roll_back(&app, "?branch=main&to=1.0").await;
                assert_eq!(answer.status, 200, "{}", answer.text());
                let answer = app.delete("/api/ota/packages/app/1.1?branch=main").await;
                assert!([200, 404].contains(&answer.status), "{}", answer.text());
            }
        };
        let (answers, ()) = tokio::join!(futures_util::future::join_all(pushes), changes);
        for answer in answers {
            assert_eq!(answer.status, 200, "{}", answer.text());
        }
        // Whole: the file of the content that is there.
        let (text, file) = &files[0];
        assert_eq!(push(&app, text, file).await.status, 200);
        assert_eq!(version(&app, "1.1").await.text(), *text);
        for package in list(&app, "").await {
            assert_eq!(package["content"]["sha256"], package["sha256"]);
            let path = format!("/otafiles/{}", package["sha256"].as_str().unwrap());
            assert_eq!(sha256(&app.get(&path).await.body), package["sha256"]);
        }
        app.stop().await;
    }
}

#[tokio::test]
async fn rollbacks_at_once_each_go_back_by_one() {
    let setup = Setup {
        postgres: true,
        ..Setup::default()
    };
    let app = setup.start().await;
    for version in ["1.0", "1.1", "1.2", "1.3"] {
        pushed(&app, version).await;
    }
    let answers = futures_util::future::join_all((0..5).map(|_| roll_back(&app, "?branch=main")));
    let mut heads: Vec<String> = Vec::new();
    for answer in answers.await {
        match answer.status {
            200 => heads.push(answer.data()["version"].as_str().unwrap().to_owned()),
            _ => drop(answer.refused(409, "no_earlier_version")),
        }
    }
    heads.sort();
    assert_eq!(heads, ["1.0", "1.1", "1.2"]);
    assert_eq!(head(&app, "main").await, "1.0");
    app.stop().await;
}

#[tokio::test]
async fn the_sweeper_leaves_what_packages_use_and_takes_what_a_crash_left() {
    // Files are older than an hour to a clock that is ahead.
    let setup = Setup {
        clock: Clock::manual(Clock::System.now() + TimeDelta::hours(3)),
        ..Setup::default()
    };
    let app = setup.start().await;
    pushed(&app, "1.0").await;
    pushed(&app, "1.1").await;
    roll_back(&app, "?branch=main").await.data();
    assert_eq!(app.service().sweep_blobs().await.unwrap(), 0);
    assert_eq!(app.blob_files().len(), 2);
    // As if the server died before it deleted the file.
    let db = app.db().await;
    let mut tx = db.begin().await.unwrap();
    let package = tx.package("app", "main", "1.1").await.unwrap().unwrap();
    tx.delete_package(package.package_id).await.unwrap();
    tx.commit().await.unwrap();
    db.close().await;
    assert_eq!(app.service().sweep_blobs().await.unwrap(), 1);
    assert_eq!(app.blob_files(), [sha256(&file_of("1.0"))]);
    assert_eq!(app.service().sweep_blobs().await.unwrap(), 0);
    app.stop().await;
}
