//! How often one may ask, and how many may upload at once.

use airlift::config::Options;
use reqwest::multipart::Form;
use serde_json::json;
use tokio::{io::AsyncWriteExt, net::TcpStream};

use crate::app::{Setup, TestApp, UPLOAD, eventually, file_part};

/// The address of a client behind a proxy on this machine.
const CLIENT: (&str, &str) = ("x-forwarded-for", "192.0.2.1");
const OTHER_CLIENT: (&str, &str) = ("x-forwarded-for", "192.0.2.2");
/// More than may come at once with the limits below.
const MANY: usize = 1_000;

async fn limited_to(requests_per_second: u32) -> TestApp {
    let options = Options {
        requests_per_second: Some(requests_per_second),
        ..Options::default()
    };
    let setup = Setup {
        options,
        ..Setup::default()
    };
    setup.start().await
}

#[tokio::test]
async fn an_address_that_asks_too_often_is_told_when_to_ask_again_and_no_other_is() {
    let app = limited_to(1).await;
    let mut answered = 0;
    let refused = loop {
        let answer = app.get_with("/api/ota/firmware", &[CLIENT]).await;
        if answer.status != 200 {
            break answer;
        }
        answered += 1;
        assert!(answered < MANY, "no limit");
    };
    assert!(answered >= 2, "a burst of two is allowed");
    let message = refused.refused(429, "too_many_requests");
    assert!(message.contains("requests from this address"), "{message}");
    let seconds: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert_eq!(seconds, 1);
    let other = app.get_with("/api/ota/firmware", &[OTHER_CLIENT]).await;
    other.data();
    // What a client claims of itself is not believed.
    let claimed = ("x-forwarded-for", "192.0.2.3, 192.0.2.1");
    let mut statuses = Vec::new();
    for _ in 0..5 {
        statuses.push(app.get_with("/healthz", &[claimed]).await.status);
    }
    assert!(statuses.contains(&429), "{statuses:?}");
    eventually("the client to be let in again", async || {
        let answer = app.get_with("/api/ota/firmware", &[CLIENT]).await;
        (answer.status == 200).then_some(())
    })
    .await;
    app.stop().await;
}

#[tokio::test]
async fn this_machine_has_no_limit_and_zero_is_none() {
    let app = limited_to(1).await;
    for _ in 0..20 {
        assert_eq!(app.get("/healthz").await.status, 200);
    }
    app.stop().await;
    let app = limited_to(0).await;
    for _ in 0..20 {
        assert_eq!(app.get_with("/healthz", &[CLIENT]).await.status, 200);
    }
    app.stop().await;
}

#[tokio::test]
async fn an_upload_beyond_those_that_are_allowed_at_once_is_put_off_unread() {
    let options = Options {
        uploads_max: Some(1),
        ..Options::default()
    };
    let setup = Setup {
        options,
        ..Setup::default()
    };
    let app = setup.start().await;
    // An upload that goes on and on has the only place.
    let mut slow = TcpStream::connect(app.http_addr).await.unwrap();
    let begin = format!(
        "POST {UPLOAD} HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\
         Content-Type: multipart/form-data; boundary=b\r\n\r\n--b\r\n\
         Content-Disposition: form-data; name=\"file\"; filename=\"f\"\r\n\r\nbytes"
    );
    slow.write_all(begin.as_bytes()).await.unwrap();
    eventually("the upload to be staged", async || {
        (!app.staged_files().is_empty()).then_some(())
    })
    .await;
    let refused = app.upload("1.0.0", b"image").await;
    refused.refused(429, "too_many_uploads");
    assert_eq!(refused.header("retry-after"), Some("5"));
    let form = Form::new()
        .text("content", json!({}).to_string())
        .part("file", file_part(b"file"));
    let refused = app.put_form("/update", form).await;
    refused.refused(429, "too_many_uploads");
    // Others are served.
    app.get("/api/ota/firmware").await.data();
    drop(slow);
    eventually("the place to be free again", async || {
        let answer = app.upload("1.0.0", b"image").await;
        (answer.status == 200).then_some(())
    })
    .await;
    app.stop().await;
}
