//! Packages: found, listed, downloaded; and questions that are refused.

use std::num::NonZeroU64;

use reqwest::multipart::Form;
use serde_json::{Value, json};

use crate::{
    app::{Setup, TestApp},
    packages::{PUSH, content, head, list, push, pushed, pushed_to, sha256},
};

#[tokio::test]
async fn a_package_is_pushed_found_and_downloaded_byte_for_byte() {
    let app = TestApp::start().await;
    let file: Vec<u8> = (0..300_000_u32).map(|n| (n % 251) as u8).collect();
    let text = content("app", "main", "1.10", &file);
    let answer = push(&app, &text, &file).await;
    assert_eq!(answer.status, 200);
    let package = answer.json();
    let sha = sha256(&file);
    assert_eq!(
        package["content"],
        serde_json::from_str::<Value>(&text).unwrap()
    );
    for (field, value) in [
        ("name", json!("app")),
        ("version", json!("1.10")),
        ("branch", json!("main")),
        ("fileUrl", json!(app.url(&format!("/otafiles/{sha}")))),
        ("fileSize", json!(300_000)),
        ("sha256", json!(sha)),
        ("signedBy", Value::Null),
        ("head", json!(true)),
        ("withdrawnAt", Value::Null),
    ] {
        assert_eq!(package[field], value, "{field}");
    }

    for path in [
        "/maxVersion?package=app&branch=main",
        "/getVersion?package=app&branch=main&version=1.10",
    ] {
        let found = app.get(path).await;
        assert_eq!((found.status, found.text()), (200, text.clone()), "{path}");
        assert_eq!(found.header("content-type"), Some("application/json"));
        let etag = format!("\"{}\"", sha256(text.as_bytes()));
        assert_eq!(found.header("etag"), Some(etag.as_str()));
        let unchanged = app.get_with(path, &[("if-none-match", &etag)]).await;
        assert_eq!((unchanged.status, unchanged.body), (304, Vec::new()));
        let changed = app.get_with(path, &[("if-none-match", "\"x\"")]).await;
        assert_eq!(changed.status, 200);
        assert_eq!(app.head(path).await.status, 200);
    }
    for name in [sha.clone(), sha.to_uppercase()] {
        let path = format!("/otafiles/{name}");
        let whole = app.get(&path).await;
        assert_eq!(whole.status, 200);
        assert!(whole.body == file);
        assert_eq!(whole.header("etag"), Some(format!("\"{sha}\"").as_str()));
        assert!(whole.header("cache-control").unwrap().contains("immutable"));
    }
    assert_eq!(list(&app, "").await, std::slice::from_ref(&package));
    let one = app.get("/api/ota/packages/app/1.10?branch=main").await;
    assert_eq!(one.data(), package);
    app.stop().await;
}

#[tokio::test]
async fn the_head_is_the_highest_version_of_its_branch() {
    let app = TestApp::start().await;
    for (version, expected) in [
        ("1.9", "1.9"),
        ("1.10", "1.10"),
        ("1.2", "1.10"),
        ("1.11.0-rc.2", "1.11.0-rc.2"),
        ("1.11.0-rc.10", "1.11.0-rc.10"),
        ("1.11.0-rc.9", "1.11.0-rc.10"),
        ("1.11.0", "1.11.0"),
        ("1.11.0-rc.11", "1.11.0"),
        ("v1.11.1", "v1.11.1"),
        // Of the same precedence: the one that came last.
        ("1.11.1+build.7", "1.11.1+build.7"),
        ("2026.11.2", "2026.11.2"),
        ("2026.11.10", "2026.11.10"),
    ] {
        pushed(&app, version).await;
        assert_eq!(head(&app, "main").await, expected, "after {version}");
    }
    pushed_to(&app, "feature/x", "0.1").await;
    assert_eq!(head(&app, "feature/x").await, "0.1");
    assert_eq!(head(&app, "main").await, "2026.11.10");

    for (requirement, expected) in [
        ("", "2026.11.10"),
        ("*", "2026.11.10"),
        ("<2", "1.11.1+build.7"),
        ("^1.2, <1.11.0", "1.10"),
        ("^1.2, <1.11.0-rc.12", "1.11.0-rc.11"),
        ("~1.9", "1.9"),
        ("1.10", "1.10"),
        ("1.10.*", "1.10"),
        (">=1.11.0-rc.2, <1.11.0-rc.10", "1.11.0-rc.9"),
    ] {
        let query = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("requirement", requirement)
            .finish();
        let path = format!("/maxVersion?package=app&branch=main&{query}");
        let found = app.get(&path).await;
        assert_eq!(found.json()["version"], expected, "{requirement}");
    }
    let path = "/maxVersion?package=app&branch=main&requirement=%3E9999";
    let message = app.get(path).await.refused(404, "package_not_found");
    assert!(message.contains("2026.11.10"), "{message}");
    let branches = app.get("/api/ota/packages/app").await.data();
    assert_eq!(
        branches,
        json!({ "name": "app", "branches": [
            { "branch": "feature/x", "head": "0.1", "versions": 1, "withdrawn": 0 },
            { "branch": "main", "head": "2026.11.10", "versions": 12, "withdrawn": 0 },
        ]})
    );
    app.stop().await;
}

#[tokio::test]
async fn packages_are_listed_newest_upload_first_in_pages() {
    let app = TestApp::start().await;
    for version in ["1.0", "1.2", "1.1"] {
        pushed(&app, version).await;
    }
    pushed_to(&app, "testing", "3.0").await;
    let mut seen = Vec::new();
    let mut query = "?limit=3".to_owned();
    loop {
        let page = app.get(&format!("/api/ota/packages{query}")).await.data();
        seen.extend(page["items"].as_array().unwrap().clone());
        match page["nextCursor"].as_str() {
            Some(cursor) => query = format!("?limit=3&cursor={cursor}"),
            None => break,
        }
    }
    let seen: Vec<_> = seen
        .iter()
        .map(|it| (it["version"].as_str().unwrap(), it["head"] == true))
        .collect();
    let expected = [("3.0", true), ("1.1", false), ("1.2", true), ("1.0", false)];
    assert_eq!(seen, expected);
    assert_eq!(list(&app, "?branch=main").await.len(), 3);
    assert_eq!(list(&app, "?name=app&branch=testing").await.len(), 1);
    assert_eq!(list(&app, "?name=none").await.len(), 0);
    app.stop().await;
}

#[tokio::test]
async fn questions_that_make_no_sense_are_refused_and_what_is_not_there_is_not_found() {
    let app = TestApp::start().await;
    pushed(&app, "1.0").await;
    let long = "x".repeat(65);
    for (path, code) in [
        ("/maxVersion", "invalid_query"),
        ("/maxVersion?package=app", "invalid_query"),
        ("/maxVersion?branch=main", "invalid_query"),
        (
            "/maxVersion?package=app&package=b&branch=main",
            "invalid_query",
        ),
        ("/maxVersion?package=&branch=main", "invalid_package"),
        ("/maxVersion?package=a/b&branch=main", "invalid_package"),
        ("/maxVersion?package=%C3%BC&branch=main", "invalid_package"),
        (
            &format!("/maxVersion?package={long}&branch=main"),
            "invalid_package",
        ),
        ("/maxVersion?package=app%00&branch=main", "invalid_query"),
        ("/maxVersion?package=app&branch=..", "invalid_branch"),
        ("/maxVersion?package=app&branch=a//b", "invalid_branch"),
        (
            "/maxVersion?package=app&branch=main&requirement=%3E%3D",
            "invalid_requirement",
        ),
        (
            "/maxVersion?package=app&branch=main&requirement=latest!",
            "invalid_requirement",
        ),
        ("/getVersion?package=app&branch=main", "invalid_query"),
        (
            "/getVersion?package=app&branch=main&version=",
            "invalid_version",
        ),
        (
            "/getVersion?package=app&branch=main&version=a/b",
            "invalid_version",
        ),
        ("/getSignature?package=app&branch=main", "invalid_query"),
        (
            "/getSignature?package=app&branch=main&version=-1",
            "invalid_version",
        ),
        ("/otafiles/%00", "invalid_path"),
        ("/api/ota/packages?limit=0", "invalid_limit"),
        ("/api/ota/packages?cursor=x", "invalid_cursor"),
        ("/api/ota/packages/a%20b", "invalid_package"),
        ("/api/ota/packages/app/1.0", "invalid_query"),
        ("/api/ota/packages/app/1%2F0?branch=main", "invalid_version"),
    ] {
        app.get(path).await.refused(400, code);
    }
    for (path, code) in [
        ("/maxVersion?package=lib&branch=main", "package_not_found"),
        (
            "/maxVersion?package=app&branch=testing",
            "package_not_found",
        ),
        ("/maxVersion?package=App&branch=main", "package_not_found"),
        (
            "/getVersion?package=app&branch=main&version=1.1",
            "package_not_found",
        ),
        (
            "/getVersion?package=app&branch=main&version=1.0.0",
            "package_not_found",
        ),
        (
            "/getSignature?package=app&branch=main&version=1.1",
            "package_not_found",
        ),
        (
            "/getSignature?package=app&branch=main&version=1.0",
            "signature_not_found",
        ),
        ("/otafiles/x", "file_not_found"),
        (&format!("/otafiles/{}", sha256(b"none")), "file_not_found"),
        ("/api/ota/packages/lib", "package_not_found"),
        ("/api/ota/packages/app/1.1?branch=main", "package_not_found"),
    ] {
        app.get(path).await.refused(404, code);
    }
    let post = app.post_form(PUSH, Form::new()).await;
    post.refused(405, "method_not_allowed");
    app.stop().await;
}

#[tokio::test]
async fn a_packages_file_is_downloaded_as_firmwares_are() {
    let setup = Setup {
        download_bytes_per_second: NonZeroU64::new(1000),
        ..Setup::manual_clock()
    };
    let app = setup.start().await;
    let file: Vec<u8> = (0..5000_u32).map(|n| (n % 251) as u8).collect();
    let answer = push(&app, &content("app", "main", "1.0", &file), &file).await;
    assert_eq!(answer.status, 200);
    let (path, etag) = (
        format!("/otafiles/{}", sha256(&file)),
        format!("\"{}\"", sha256(&file)),
    );
    let head = app.head(&path).await;
    assert_eq!(
        (head.status, head.header("content-length")),
        (200, Some("5000"))
    );
    assert_eq!(
        head.header("content-type"),
        Some("application/octet-stream")
    );
    let cached = app.get_with(&path, &[("if-none-match", &etag)]).await;
    assert_eq!(cached.status, 304);
    let past = app.get_with(&path, &[("range", "bytes=5000-")]).await;
    past.refused(416, "range_not_satisfiable");
    let part = app
        .get_with(&path, &[("range", "bytes=4990-"), ("if-range", &etag)])
        .await;
    assert_eq!((part.status, &part.body[..]), (206, &file[4990..]));
    assert_eq!(part.header("content-range"), Some("bytes 4990-4999/5000"));
    let changed = [("range", "bytes=4990-"), ("if-range", "\"x\"")];
    let whole = app.get_with(&path, &changed).await;
    assert_eq!(whole.status, 200);
    assert!(whole.body == file);
    let refused = app.get(&path).await;
    refused.refused(503, "download_budget");
    assert!(refused.header("retry-after").is_some());
    assert_eq!(
        app.metric("airlift_download_sent_bytes_total").await,
        5010.0
    );
    app.stop().await;
}

#[tokio::test]
async fn only_what_packages_use_is_among_their_files() {
    let app = TestApp::start().await;
    app.upload("1.0.2", b"image").await.data();
    let path = format!("/otafiles/{}", sha256(b"image"));
    app.get(&path).await.refused(404, "file_not_found");
    let text = content("app", "main", "1.0", b"image");
    assert_eq!(push(&app, &text, b"image").await.status, 200);
    assert_eq!(app.get(&path).await.body, b"image");
    // Each keeps the bytes for the other.
    app.delete("/api/ota/firmware/1.0.2").await.data();
    assert_eq!(app.get(&path).await.body, b"image");
    app.upload("1.0.2", b"image").await.data();
    app.delete("/api/ota/packages/app/1.0?branch=main")
        .await
        .data();
    app.get(&path).await.refused(404, "file_not_found");
    assert_eq!(app.get("/firmware/gateway_v1.0.2.bin").await.body, b"image");
    app.stop().await;
}
