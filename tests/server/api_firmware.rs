//! From draft to deprecated, and which version is the latest.

use serde_json::{Value, json};

use crate::app::TestApp;

async fn change(app: &TestApp, version: &str, status: &str) -> crate::app::Answer {
    let path = format!("/api/ota/firmware/{version}/status");
    app.post_json(&path, json!({ "status": status })).await
}

#[tokio::test]
async fn a_firmware_goes_from_draft_over_testing_and_released_to_deprecated() {
    let app = TestApp::start().await;
    app.upload("1.0.2", b"image").await.data();
    for status in ["draft", "deprecated"] {
        let message = change(&app, "1.0.2", status)
            .await
            .refused(409, "firmware_status");
        assert!(message.contains("testing or released"), "{message}");
    }
    let testing = change(&app, "1.0.2", "testing").await.data();
    assert_eq!(testing["status"], "testing");
    assert_eq!(testing["releaseDate"], Value::Null);
    let released = change(&app, "1.0.2", "released").await.data();
    assert_eq!(released["status"], "released");
    assert!(released["releaseDate"].is_string());
    let again = app.release("1.0.2").await;
    again.refused(409, "firmware_status");
    let deprecated = change(&app, "1.0.2", "deprecated").await.data();
    assert_eq!(deprecated["status"], "deprecated");
    assert_eq!(deprecated["releaseDate"], released["releaseDate"]);
    for status in ["draft", "testing", "released", "deprecated"] {
        let refused = change(&app, "1.0.2", status).await;
        refused.refused(409, "firmware_status");
    }
    app.stop().await;
}

#[tokio::test]
async fn only_a_draft_can_be_deleted_and_then_uploaded_anew() {
    let app = TestApp::start().await;
    app.upload("1.0.2", b"wrong").await.data();
    app.delete("/api/ota/firmware/1.0.2").await.data();
    let gone = app.get("/firmware/gateway_v1.0.2.bin").await;
    gone.refused(404, "file_not_found");
    let gone = app.delete("/api/ota/firmware/1.0.2").await;
    gone.refused(404, "firmware_not_found");
    app.upload("1.0.2", b"right").await.data();
    assert_eq!(app.get("/firmware/gateway_v1.0.2.bin").await.body, b"right");
    app.release("1.0.2").await.data();
    let released = app.delete("/api/ota/firmware/1.0.2").await;
    released.refused(409, "firmware_not_draft");
    app.stop().await;
}

#[tokio::test]
async fn what_does_not_exist_is_not_found_under_every_verb() {
    let app = TestApp::start().await;
    app.upload("1.0.2", b"image").await.data();
    for path in [
        "/api/ota/firmware/9.9.9",
        "/api/ota/firmware/1.0.2?deviceType=esp32",
        "/api/ota/firmware/%2e%2e%2f1.0.2",
    ] {
        let answer = app.get(path).await;
        answer.refused(404, "firmware_not_found");
        let answer = app.delete(path).await;
        answer.refused(404, "firmware_not_found");
    }
    let answer = app.release("9.9.9").await;
    answer.refused(404, "firmware_not_found");
    let answer = change(&app, "9.9.9", "testing").await;
    answer.refused(404, "firmware_not_found");
    let answer = app.get("/api/ota/firmware/1.0.2?deviceType=../x").await;
    answer.refused(400, "invalid_device_type");
    app.stop().await;
}

#[tokio::test]
async fn the_latest_is_the_highest_release_by_semver_precedence() {
    let app = TestApp::start().await;
    let none = app.get("/api/ota/firmware/latest").await;
    none.refused(404, "no_release");
    for version in ["1.9.0", "1.10.0", "1.10.0-rc.2", "1.2.0"] {
        app.released(version).await;
    }
    app.upload("2.0.0", b"a draft").await.data();
    change(&app, "2.0.0", "testing").await.data();
    app.upload_for("esp32", "3.0.0", b"for another device")
        .await
        .data();
    app.post("/api/ota/firmware/3.0.0/release?deviceType=esp32")
        .await
        .data();

    let latest = app.get("/api/ota/firmware/latest").await.data();
    assert_eq!(latest["version"], "1.10.0");
    assert_eq!(latest["status"], "released");
    for absent in ["currentVersion", "latestVersion", "needUpgrade"] {
        assert_eq!(latest.get(absent), None, "{absent}");
    }
    for (current, needed) in [
        ("1.9.9", true),
        ("1.10.0-rc.2", true),
        ("1.10.0", false),
        ("1.10.0%2Bbuild", false),
        ("2.0.0", false),
    ] {
        let path = format!("/api/ota/firmware/latest?currentVersion={current}");
        let latest = app.get(&path).await.data();
        assert_eq!(latest["needUpgrade"], needed, "{current}");
        assert_eq!(latest["latestVersion"], "1.10.0");
        assert_eq!(latest["version"], "1.10.0");
        assert_eq!(latest["currentVersion"], current.replace("%2B", "+"));
    }
    let esp32 = app
        .get("/api/ota/firmware/latest?deviceType=esp32")
        .await
        .data();
    assert_eq!(esp32["version"], "3.0.0");
    let nonsense = app.get("/api/ota/firmware/latest?currentVersion=old").await;
    nonsense.refused(400, "invalid_version");

    change(&app, "1.10.0", "deprecated").await.data();
    let latest = app.get("/api/ota/firmware/latest").await.data();
    assert_eq!(latest["version"], "1.10.0-rc.2");
    app.stop().await;
}

#[tokio::test]
async fn firmwares_are_listed_newest_first_in_pages_and_by_filter() {
    let app = TestApp::start().await;
    let versions: Vec<String> = (0..8).map(|n| format!("1.0.{n}")).collect();
    for version in &versions {
        app.upload(version, version.as_bytes()).await.data();
    }
    app.release("1.0.3").await.data();
    app.upload_for("esp32", "9.0.0", b"other").await.data();
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    let mut pages = 0;
    loop {
        let path = format!("/api/ota/firmware?deviceType=gateway&limit=4{cursor}");
        let page = app.get(&path).await.data();
        let items = page["items"].as_array().unwrap();
        seen.extend(items.iter().map(|item| item["version"].clone()));
        pages += 1;
        match page["nextCursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    seen.reverse();
    assert_eq!(json!(seen), json!(versions));
    assert_eq!(pages, 2);
    for (query, expected) in [
        ("", 9),
        ("?status=released", 1),
        ("?status=draft", 8),
        ("?status=draft&deviceType=esp32", 1),
        ("?deviceType=nobody", 0),
    ] {
        let page = app.get(&format!("/api/ota/firmware{query}")).await.data();
        assert_eq!(page["items"].as_array().unwrap().len(), expected, "{query}");
    }
    app.stop().await;
}
