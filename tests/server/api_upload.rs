//! Uploads: what becomes a draft, what is refused, and that nothing half-done stays behind.

use futures_util::stream;
use reqwest::{
    Body,
    multipart::{Form, Part},
};
use serde_json::Value;
use tokio::{io::AsyncWriteExt, net::TcpStream};

use crate::app::{Answer, Setup, TestApp, UPLOAD, eventually, file_part};

fn form(version: &str) -> Form {
    Form::new().text("version", version.to_owned())
}

fn with_file(form: Form) -> Form {
    form.part("file", file_part(b"image"))
}

async fn upload(app: &TestApp, form: Form) -> Answer {
    app.post_form(UPLOAD, form).await
}

#[tokio::test]
async fn an_upload_is_a_draft_with_all_that_was_said_of_it() {
    let app = TestApp::start().await;
    let details = form("2.0.0-rc.1+build.7")
        .text("deviceType", "esp32-wroom")
        .text("description", "für alle")
        .text("changelog", "# 2.0\n- faster")
        .text("forceUpgrade", "true")
        .text("colour", "nobody asks for it");
    let firmware = upload(&app, with_file(details)).await.data();
    assert_eq!(firmware["status"], "draft");
    assert_eq!(firmware["version"], "2.0.0-rc.1+build.7");
    assert_eq!(firmware["deviceType"], "esp32-wroom");
    assert_eq!(firmware["description"], "für alle");
    assert_eq!(firmware["changelog"], "# 2.0\n- faster");
    assert_eq!(firmware["forceUpgrade"], true);
    let name = "esp32-wroom_v2.0.0-rc.1+build.7.bin";
    assert_eq!(firmware["fileName"], name);
    let stored = app
        .get("/api/ota/firmware/2.0.0-rc.1+build.7?deviceType=esp32-wroom")
        .await;
    assert_eq!(stored.data(), firmware);
    let url = firmware["fileUrl"].as_str().unwrap();
    let file = app.get(url.strip_prefix(&app.url("")).unwrap()).await;
    assert_eq!((file.status, file.body), (200, b"image".to_vec()));
    app.stop().await;
}

#[tokio::test]
async fn the_file_may_come_before_or_after_the_version() {
    let app = TestApp::start().await;
    let file_first = Form::new()
        .part("file", file_part(b"image"))
        .text("version", "1.0.0");
    upload(&app, file_first).await.data();
    upload(&app, with_file(form("1.0.1"))).await.data();
    app.stop().await;
}

#[tokio::test]
async fn the_same_bytes_are_stored_once_and_kept_while_a_firmware_has_them() {
    let app = TestApp::start().await;
    let bytes = vec![7; 3 << 20];
    app.upload("1.0.0", &bytes).await.data();
    app.upload("1.0.1", &bytes).await.data();
    app.upload_for("esp32", "1.0.1", &bytes).await.data();
    assert_eq!(app.blob_files().len(), 1);
    app.delete("/api/ota/firmware/1.0.0").await.data();
    app.delete("/api/ota/firmware/1.0.1").await.data();
    let kept = app.get("/firmware/esp32_v1.0.1.bin").await;
    assert_eq!((kept.status, kept.body), (200, bytes));
    app.delete("/api/ota/firmware/1.0.1?deviceType=esp32")
        .await
        .data();
    assert_eq!(app.blob_files(), [""; 0]);
    app.stop().await;
}

#[tokio::test]
async fn the_same_version_twice_is_a_conflict_that_changes_nothing() {
    let app = TestApp::start().await;
    let first = app.upload("1.0.2", b"first").await.data();
    let second = app.upload("1.0.2", b"second").await;
    assert!(second.refused(409, "firmware_exists").contains("1.0.2"));
    // Also where the file is there before the version is known.
    let file_first = Form::new()
        .part("file", file_part(b"third"))
        .text("version", "1.0.2");
    let third = upload(&app, file_first).await;
    third.refused(409, "firmware_exists");
    assert_eq!(app.get("/api/ota/firmware/1.0.2").await.data(), first);
    assert_eq!(app.get("/firmware/gateway_v1.0.2.bin").await.body, b"first");
    app.upload_for("esp32", "1.0.2", b"another").await.data();
    app.stop().await;
}

#[tokio::test]
async fn many_uploads_of_one_version_at_once_leave_one_firmware() {
    let app = TestApp::start().await;
    let files: Vec<Vec<u8>> = (0..8).map(|n| vec![n; 100_000]).collect();
    let uploads = files.iter().map(|file| app.upload("1.0.2", file));
    let answers = futures_util::future::join_all(uploads).await;
    let mut won = answers.iter().filter(|answer| answer.status == 200);
    let firmware = won.next().expect("a winner").data();
    assert_eq!(won.count(), 0);
    for answer in answers.iter().filter(|answer| answer.status != 200) {
        answer.refused(409, "firmware_exists");
    }
    assert_eq!(app.get("/api/ota/firmware/1.0.2").await.data(), firmware);
    app.stop().await;
}

#[tokio::test]
async fn an_interrupted_upload_leaves_no_file_and_can_be_repeated() {
    let app = TestApp::start().await;
    let file = vec![7u8; 5 << 20];
    let mut stream = TcpStream::connect(app.http_addr).await.unwrap();
    let begin = "--x\r\nContent-Disposition: form-data; name=\"version\"\r\n\r\n1.0.2\r\n\
         --x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"f.bin\"\r\n\r\n";
    let head = format!(
        "POST {UPLOAD} HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\
         Content-Type: multipart/form-data; boundary=x\r\n\r\n{begin}",
        file.len() + begin.len() + 9
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&file[..4 << 20]).await.unwrap();
    eventually("a file being staged", async || {
        (!app.staged_files().is_empty()).then_some(())
    })
    .await;
    drop(stream);
    eventually("the staged file to go", async || {
        app.staged_files().is_empty().then_some(())
    })
    .await;
    assert_eq!(app.blob_files(), [""; 0]);
    let absent = app.get("/api/ota/firmware/1.0.2").await;
    absent.refused(404, "firmware_not_found");
    let firmware = app.upload("1.0.2", &file).await.data();
    assert_eq!(firmware["fileSize"], file.len());
    app.stop().await;
}

#[tokio::test]
async fn a_form_without_what_it_needs_is_refused_with_advice() {
    let app = TestApp::start().await;
    let no_file = upload(&app, form("1.0.2")).await;
    assert!(no_file.refused(400, "no_file").contains("-F file="));
    let no_version = Form::new().part("file", file_part(b"image"));
    let no_version = upload(&app, no_version).await;
    assert!(
        no_version
            .refused(400, "no_version")
            .contains("-F version=")
    );
    let empty = form("1.0.2").part("file", file_part(b""));
    upload(&app, empty).await.refused(400, "empty_file");
    let twice = with_file(with_file(form("1.0.2")));
    let twice = upload(&app, twice).await;
    assert!(twice.refused(400, "invalid_form").contains("file"));
    let twice = with_file(form("1.0.2").text("version", "1.0.3"));
    let twice = upload(&app, twice).await;
    assert!(twice.refused(400, "invalid_form").contains("version"));
    let force = with_file(form("1.0.2").text("forceUpgrade", "perhaps"));
    let force = upload(&app, force).await;
    force.refused(400, "invalid_force_upgrade");
    let binary = Part::bytes(vec![0xff, 0xfe]);
    let binary = with_file(form("1.0.2").part("description", binary));
    upload(&app, binary).await.refused(400, "invalid_form");
    let crowded = (0..40).fold(form("1.0.2"), |form, n| form.text(format!("f{n}"), "x"));
    let crowded = upload(&app, with_file(crowded)).await;
    crowded.refused(400, "invalid_form");
    app.stop().await;
}

#[tokio::test]
async fn a_version_or_device_type_that_could_be_a_path_is_refused() {
    let app = TestApp::start().await;
    let long = format!("1.0.0-{}", "x".repeat(100));
    for version in [
        "../../x",
        "1.0",
        "v1.0.2",
        "1.0.2/..",
        "1.0.2\u{0}",
        "01.0.2",
        "",
        " 1.0.2",
        "latest",
        &long,
    ] {
        let answer = upload(&app, with_file(form(version))).await;
        let code = match version.contains('\0') {
            true => "invalid_form",
            false => "invalid_version",
        };
        answer.refused(400, code);
        // Also where the file is there before the version is known.
        let file_first = Form::new()
            .part("file", file_part(b"image"))
            .text("version", version.to_owned());
        upload(&app, file_first).await.refused(400, code);
    }
    for device_type in ["../x", "a/b", "a\\b", ".hidden", "", "a b", "ä"] {
        let details = form("1.0.2").text("deviceType", device_type);
        let answer = upload(&app, with_file(details)).await;
        answer.refused(400, "invalid_device_type");
    }
    // The client's own name for the file is of no interest.
    let file = Part::bytes(b"image".to_vec()).file_name("../../etc/passwd");
    let firmware = upload(&app, form("1.0.2").part("file", file)).await.data();
    assert_eq!(firmware["fileName"], "gateway_v1.0.2.bin");
    app.stop().await;
}

#[tokio::test]
async fn what_is_no_form_is_refused_as_an_unsupported_type() {
    let app = TestApp::start().await;
    for content_type in [
        None,
        Some("application/json"),
        Some("application/octet-stream"),
        Some("application/x-www-form-urlencoded"),
        Some("multipart/form-data"),
    ] {
        let answer = app.post_as(UPLOAD, content_type, "version=1.0.2").await;
        let message = answer.refused(415, "unsupported_media_type");
        assert!(message.contains("multipart/form-data"), "{message}");
    }
    app.stop().await;
}

#[tokio::test]
async fn a_file_over_the_limit_is_refused_by_a_message_that_names_it() {
    const LIMIT: usize = 1 << 20;
    let setup = Setup {
        upload_bytes_max: Some(LIMIT as u64),
        ..Setup::default()
    };
    let app = setup.start().await;
    let says_the_limit = |answer: Answer| {
        let message = answer.refused(413, "too_large");
        assert!(message.contains("1048576"), "{message}");
    };
    // Announced.
    says_the_limit(app.upload("1.0.2", &vec![1; 2 * LIMIT]).await);
    // One byte too many, within what a form may have around the file.
    says_the_limit(app.upload("1.0.2", &vec![1; LIMIT + 1]).await);
    // Not announced: chunked.
    let chunks = (0..40).map(|_| Ok::<_, std::io::Error>(vec![1u8; LIMIT / 10]));
    let endless = Part::stream(Body::wrap_stream(stream::iter(chunks))).file_name("f.bin");
    says_the_limit(upload(&app, form("1.0.2").part("file", endless)).await);
    assert_eq!(app.blob_files(), [""; 0]);

    app.upload("1.0.2", &vec![1; LIMIT]).await.data();
    app.stop().await;
}

#[tokio::test]
async fn a_field_over_its_limit_is_refused_by_a_message_that_names_both() {
    let app = TestApp::start().await;
    for (field, limit) in [("description", 4 << 10), ("changelog", 64 << 10)] {
        let value = "x".repeat(limit + 1);
        let long = with_file(form("1.0.2").text(field, value));
        let message = upload(&app, long).await.refused(413, "too_large");
        assert!(message.contains(field), "{message}");
        assert!(message.contains(&limit.to_string()), "{message}");
    }
    let full = form("1.0.2")
        .text("description", "x".repeat(4 << 10))
        .text("changelog", "x".repeat(64 << 10));
    let firmware = upload(&app, with_file(full)).await.data();
    assert_ne!(firmware["changelog"], Value::Null);
    app.stop().await;
}
