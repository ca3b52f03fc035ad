//! Signed bundles that are good: what becomes of them, what is served, what gateways are told.

use airlift_bundle::Kind;
use reqwest::multipart::Form;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::{
    app::{TestApp, UPLOAD, file_part},
    bundles::{Keys, RELEASE, Sample, bundle_form, upload_bundle},
    gateway::Gateway,
};

/// The path of a URL of this server.
fn path<'u>(app: &TestApp, url: &'u Value) -> &'u str {
    let url = url.as_str().expect("a URL");
    url.strip_prefix(&app.url("")).expect("of this server")
}

/// What is served at a URL: its type and bytes.
async fn served(app: &TestApp, url: &Value) -> (String, Vec<u8>) {
    let answer = app.get(path(app, url)).await;
    assert_eq!(answer.status, 200, "{url}");
    let digest = hex::encode(Sha256::digest(&answer.body));
    assert_eq!(answer.header("etag"), Some(&*format!("\"{digest}\"")));
    let media_type = answer.header("content-type").expect("a type").to_owned();
    (media_type, answer.body)
}

/// A bundle goes in and comes out again, and gpg finds its signature good.
async fn round_trip(algorithm: &str) {
    let keys = Keys::none();
    let fingerprint = keys.make(RELEASE, algorithm);
    keys.trust("release-2026", RELEASE);
    let app = keys.server().await;
    let mut sample = Sample::of(Kind::FirmwareAndWeb, "2.7.0", 7);
    sample.manifest.min_version = Some("2.0.0".to_owned());
    sample.manifest.expires_at = Some(4_000_000_000);
    let bundle = keys.seal(&sample);
    let details = bundle_form(&bundle)
        .text("description", "for all")
        .text("forceUpgrade", "true");
    let firmware = app.post_form(UPLOAD, details).await.data();
    let manifest = &sample.manifest;
    for (field, expected) in [
        ("version", json!("2.7.0")),
        ("deviceType", json!("gateway")),
        ("status", json!("draft")),
        ("fileName", json!("gateway_v2.7.0.bin")),
        ("fileSize", json!(sample.firmware.len())),
        ("sha256", json!(manifest.parts[0].sha256)),
        ("md5", json!(manifest.parts[0].md5)),
        ("description", json!("for all")),
        ("changelog", json!("# 2.7.0\n- signed")),
        ("forceUpgrade", json!(true)),
        ("minVersion", json!("2.0.0")),
        ("kind", json!("firmware+web")),
        ("target", json!("raw")),
        ("releaseCounter", json!(7)),
        ("allowRollback", json!(false)),
        ("expiresAt", json!("2096-10-02T07:06:40Z")),
        (
            "signedBy",
            json!({ "name": "release-2026", "fingerprint": fingerprint }),
        ),
    ] {
        assert_eq!(firmware[field], expected, "{field}: {firmware}");
    }
    let stored = app.get("/api/ota/firmware/2.7.0").await.data();
    assert_eq!(stored, firmware);

    let (media_type, signed) = served(&app, &firmware["manifestUrl"]).await;
    assert_eq!(media_type, "application/json");
    assert_eq!(signed, manifest.to_json());
    let (media_type, signature) = served(&app, &firmware["signatureUrl"]).await;
    assert_eq!(media_type, "application/pgp-signature");
    assert!(keys.gpg.verifies(&signature, &signed).unwrap());
    let (media_type, image) = served(&app, &firmware["fileUrl"]).await;
    assert_eq!(media_type, "application/octet-stream");
    assert_eq!(image, sample.firmware);
    let parts = firmware["parts"].as_array().unwrap();
    let names = ["gateway_v2.7.0.bin", "gateway_v2.7.0.web_spiffs.bin"];
    for (((part, signed), bytes), name) in parts
        .iter()
        .zip(&manifest.parts)
        .zip([&sample.firmware, &sample.web])
        .zip(names)
    {
        let url = &part["url"];
        assert_eq!(path(&app, url), format!("/firmware/{name}"));
        let expected = json!({
            "name": signed.name, "partition": signed.partition, "size": signed.size,
            "sha256": signed.sha256, "md5": signed.md5, "url": url,
        });
        assert_eq!(*part, expected);
        let (media_type, served) = served(&app, url).await;
        assert_eq!(media_type, "application/octet-stream");
        assert_eq!(served, **bytes);
    }
    assert_eq!(app.metric("airlift_bundles_refused").await, 0.0);
    app.stop().await;
}

#[tokio::test]
async fn a_bundle_signed_with_ed25519_becomes_a_draft_with_all_its_files() {
    round_trip("ed25519").await;
}

#[tokio::test]
async fn a_bundle_signed_with_rsa_becomes_a_draft_with_all_its_files() {
    round_trip("rsa3072").await;
}

#[tokio::test]
async fn each_file_of_a_bundle_is_served_in_parts_and_known_by_its_digest() {
    let keys = Keys::new();
    let app = keys.server().await;
    let sample = Sample::of(Kind::FirmwareAndWeb, "1.0.2", 1);
    let firmware = upload_bundle(&app, &keys.seal(&sample)).await.data();
    let web = &firmware["parts"][1]["url"];
    for (url, bytes) in [
        (&firmware["manifestUrl"], sample.manifest.to_json()),
        (web, sample.web.clone()),
    ] {
        let path = path(&app, url);
        let part = app.get_with(path, &[("range", "bytes=5-14")]).await;
        assert_eq!((part.status, &*part.body), (206, &bytes[5..15]));
        let etag = part.header("etag").unwrap();
        let known = app.get_with(path, &[("if-none-match", etag)]).await;
        assert_eq!(known.status, 304);
        let head = app.head(path).await;
        let length = bytes.len().to_string();
        assert_eq!(head.header("content-length"), Some(&*length));
    }
    app.stop().await;
}

#[tokio::test]
async fn the_first_part_of_a_web_bundle_is_the_firmwares_file() {
    let keys = Keys::new();
    let app = keys.server().await;
    let sample = Sample::of(Kind::Web, "2.7.1", 3);
    let firmware = upload_bundle(&app, &keys.seal(&sample)).await.data();
    assert_eq!(firmware["kind"], "web");
    assert_eq!(firmware["fileName"], "gateway_v2.7.1.bin");
    assert_eq!(firmware["parts"].as_array().unwrap().len(), 1);
    assert_eq!(firmware["parts"][0]["name"], "web_spiffs.bin");
    assert_eq!(firmware["parts"][0]["url"], firmware["fileUrl"]);
    let (_, web) = served(&app, &firmware["fileUrl"]).await;
    assert_eq!(web, sample.web);
    app.stop().await;
}

#[tokio::test]
async fn the_command_of_a_bundle_names_manifest_signature_and_parts() {
    let keys = Keys::new();
    let app = keys.server().await;
    let sample = Sample::of(Kind::FirmwareAndWeb, "1.0.2", 1);
    let firmware = upload_bundle(&app, &keys.seal(&sample)).await.data();
    app.release("1.0.2").await.data();
    let mut gateway = Gateway::connect(&app, "g").await;
    app.trigger("g", "1.0.2").await.data();
    let triggered = gateway.command().await;
    let task = app.task("g").await;
    app.post(&format!(
        "/api/ota/task/{}/cancel",
        task["taskId"].as_str().unwrap()
    ))
    .await
    .data();
    app.post(&format!(
        "/api/ota/task/{}/retry",
        task["taskId"].as_str().unwrap()
    ))
    .await
    .data();
    let retried = loop {
        let command = gateway.command().await;
        if command["msgType"] == "ota_upgrade" && command["msgId"] != triggered["msgId"] {
            break command;
        }
    };
    for command in [triggered, retried] {
        let data = &command["data"];
        for field in ["manifestUrl", "signatureUrl", "kind", "parts"] {
            assert_eq!(data[field], firmware[field], "{field}: {command}");
        }
        assert_eq!(data["firmwareUrl"], firmware["fileUrl"]);
        assert_eq!(data["sha256"], firmware["sha256"]);
    }
    app.stop().await;
}

#[tokio::test]
async fn the_command_and_the_answers_of_a_plain_image_have_no_word_of_bundles() {
    let app = TestApp::start().await;
    app.upload("1.0.2", b"image").await.data();
    let firmware = app.release("1.0.2").await.data();
    let mut gateway = Gateway::connect(&app, "g").await;
    app.trigger("g", "1.0.2").await.data();
    let command = gateway.command().await;
    for field in [
        "kind",
        "target",
        "releaseCounter",
        "allowRollback",
        "expiresAt",
        "builtAt",
        "signedBy",
        "manifestUrl",
        "signatureUrl",
        "parts",
    ] {
        assert_eq!(firmware.get(field), None, "{firmware}");
        assert_eq!(command["data"].get(field), None, "{command}");
    }
    app.stop().await;
}

#[tokio::test]
async fn what_a_form_says_of_a_bundle_may_be_left_out_and_must_else_be_the_manifests() {
    let keys = Keys::new();
    let app = keys.server().await;
    let mut sample = Sample::new("1.0.2", 1);
    sample.manifest.min_version = Some("1.0.0".to_owned());
    let bundle = keys.seal(&sample);
    for (field, value) in [
        ("version", "1.0.3"),
        ("deviceType", "esp32"),
        ("minVersion", "1.0.1"),
        ("changelog", "# other"),
    ] {
        // Before the file, and behind it.
        let before = Form::new()
            .text(field, value)
            .part("file", file_part(&bundle));
        let behind = bundle_form(&bundle).text(field, value);
        for form in [before, behind] {
            let answer = app.post_form(UPLOAD, form).await;
            let message = answer.refused(400, "manifest_mismatch");
            assert!(message.contains(field), "{message}");
        }
    }
    assert_eq!(app.blob_files(), [""; 0]);
    let same = Form::new()
        .text("version", "1.0.2")
        .text("deviceType", "gateway")
        .part("file", file_part(&bundle))
        .text("minVersion", "1.0.0")
        .text("changelog", "# 1.0.2\n- signed");
    app.post_form(UPLOAD, same).await.data();
    let again = upload_bundle(&app, &bundle).await;
    again.refused(409, "firmware_exists");
    app.stop().await;
}

#[tokio::test]
async fn a_deleted_draft_takes_along_the_files_that_no_other_has() {
    let keys = Keys::new();
    let app = keys.server().await;
    let first = Sample::of(Kind::FirmwareAndWeb, "1.0.2", 1);
    let mut second = Sample::of(Kind::FirmwareAndWeb, "1.0.3", 2);
    second.web.clone_from(&first.web);
    second.describe_parts();
    upload_bundle(&app, &keys.seal(&first)).await.data();
    let kept = upload_bundle(&app, &keys.seal(&second)).await.data();
    assert_eq!(app.blob_files().len(), 7);
    app.delete("/api/ota/firmware/1.0.2").await.data();
    assert_eq!(app.blob_files().len(), 4);
    let (_, web) = served(&app, &kept["parts"][1]["url"]).await;
    assert_eq!(web, first.web);
    let gone = app.get("/firmware/gateway_v1.0.2.manifest.json").await;
    gone.refused(404, "file_not_found");
    // Its counter is free again.
    app.delete("/api/ota/firmware/1.0.3").await.data();
    upload_bundle(&app, &keys.seal(&first)).await.data();
    app.stop().await;
}

#[tokio::test]
async fn parts_of_the_same_bytes_are_stored_once() {
    let keys = Keys::new();
    let app = keys.server().await;
    let mut sample = Sample::of(Kind::FirmwareAndWeb, "1.0.2", 1);
    sample.web.clone_from(&sample.firmware);
    sample.describe_parts();
    upload_bundle(&app, &keys.seal(&sample)).await.data();
    assert_eq!(app.blob_files().len(), 3);
    app.stop().await;
}

#[tokio::test]
async fn the_changelog_is_markdown_of_the_latest_release_or_of_any_that_is_no_draft() {
    let keys = Keys::new();
    let app = keys.server().await;
    let get = async |query: &str| app.get(&format!("/ota/changelog{query}")).await;
    get("").await.refused(404, "no_release");
    for (version, counter) in [("1.0.2", 1), ("1.0.10", 2), ("1.1.0", 3)] {
        let sample = Sample::new(version, counter);
        upload_bundle(&app, &keys.seal(&sample)).await.data();
    }
    app.release("1.0.2").await.data();
    app.release("1.0.10").await.data();
    let latest = get("").await;
    assert_eq!(
        latest.header("content-type"),
        Some("text/markdown; charset=utf-8")
    );
    assert_eq!(latest.text(), "# 1.0.10\n- signed");
    let named = get("?version=1.0.2&deviceType=gateway").await;
    assert_eq!(named.text(), "# 1.0.2\n- signed");
    let draft = get("?version=1.1.0").await;
    draft.refused(404, "firmware_not_found");
    get("?version=9.9.9")
        .await
        .refused(404, "firmware_not_found");
    get("?deviceType=esp32").await.refused(404, "no_release");
    get("?deviceType=../x")
        .await
        .refused(400, "invalid_device_type");
    app.stop().await;
}
