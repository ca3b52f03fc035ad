//! What all downloads together may take: who comes while it is used up is told when to come again.

use std::num::NonZeroU64;

use chrono::TimeDelta;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::app::{Answer, Setup, TestApp, eventually};

const PATH: &str = "/firmware/gateway_v1.0.2.bin";
const SENT: &str = "airlift_download_sent_bytes_total";
const REFUSED: &str = "airlift_downloads_refused_total";

/// One whose clock only the test moves.
async fn start(bytes_per_second: u64) -> TestApp {
    let setup = Setup {
        download_bytes_per_second: NonZeroU64::new(bytes_per_second),
        ..Setup::manual_clock()
    };
    setup.start().await
}

/// The seconds after which a download that was refused may be asked for again.
fn put_off(answer: &Answer) -> i64 {
    let message = answer.refused(503, "download_budget");
    let seconds = answer.header("retry-after").expect("Retry-After");
    assert!(
        message.contains(&format!("again in {seconds} s")),
        "{message}"
    );
    seconds.parse().unwrap()
}

#[tokio::test]
async fn a_download_beyond_the_budget_is_put_off_until_there_is_room() {
    let app = start(1_000).await;
    let file = vec![7; 5_000];
    app.upload("1.0.2", &file).await.data();
    // Larger than the burst of a second, and it comes whole.
    assert!(app.get(PATH).await.body == file);

    let refused = app.get(PATH).await;
    let seconds = put_off(&refused);
    // Four seconds pay it off; the one who waits needs five.
    assert!((5..=10).contains(&seconds), "{seconds}");
    assert_eq!(app.metric(REFUSED).await, 1.0);
    assert_eq!(app.metric(SENT).await, 5_000.0);

    app.clock.advance(TimeDelta::seconds(4));
    put_off(&app.get(PATH).await);
    app.clock.advance(TimeDelta::milliseconds(1));
    assert!(app.get(PATH).await.body == file);
    assert_eq!(app.metric(REFUSED).await, 2.0);
    assert_eq!(app.metric(SENT).await, 10_000.0);
    app.stop().await;
}

#[tokio::test]
async fn what_sends_no_file_needs_no_budget() {
    let app = start(1_000).await;
    let file = vec![7; 5_000];
    app.upload("1.0.2", &file).await.data();
    for _ in 0..3 {
        assert_eq!(app.head(PATH).await.status, 200);
    }
    let whole = app.get(PATH).await;
    assert_eq!(whole.status, 200);
    let etag = whole.header("etag").unwrap();

    put_off(&app.get(PATH).await);
    assert_eq!(app.head(PATH).await.status, 200);
    let cached = app.get_with(PATH, &[("if-none-match", etag)]).await;
    assert_eq!(cached.status, 304);
    let past = app.get_with(PATH, &[("range", "bytes=5000-")]).await;
    past.refused(416, "range_not_satisfiable");
    app.stop().await;
}

#[tokio::test]
async fn a_part_costs_no_more_than_the_part() {
    let app = start(1_000).await;
    app.upload("1.0.2", &[7; 5_000]).await.data();
    for part in ["bytes=0-499", "bytes=4500-", "bytes=0-0"] {
        let answer = app.get_with(PATH, &[("range", part)]).await;
        let expected = if part == "bytes=0-0" { 503 } else { 206 };
        assert_eq!(answer.status, expected, "{part}");
    }
    app.stop().await;
}

#[tokio::test]
async fn what_a_client_that_leaves_was_not_sent_is_given_back() {
    // The connection's buffers take some megabytes before the server notices.
    const SIZE: usize = 64 << 20;
    let app = start(SIZE as u64 / 2).await;
    app.upload("1.0.2", &vec![7; SIZE]).await.data();
    let mut client = TcpStream::connect(app.http_addr).await.unwrap();
    let request = format!("GET {PATH} HTTP/1.1\r\nHost: a\r\n\r\n");
    client.write_all(request.as_bytes()).await.unwrap();
    let mut head = [0; 100];
    client.read_exact(&mut head).await.unwrap();
    assert!(head.starts_with(b"HTTP/1.1 200"));
    put_off(&app.get(PATH).await);

    drop(client);
    eventually("room for another", async || {
        let part = app.get_with(PATH, &[("range", "bytes=0-9")]).await;
        (part.status == 206).then_some(())
    })
    .await;
    let sent = app.metric(SENT).await;
    assert!(sent < SIZE as f64 / 2.0, "{sent} bytes were sent to nobody");
    app.stop().await;
}

#[tokio::test]
async fn without_a_budget_every_download_begins() {
    let app = Setup::manual_clock().start().await;
    app.upload("1.0.2", &[7; 5_000]).await.data();
    for _ in 0..20 {
        assert_eq!(app.get(PATH).await.status, 200);
    }
    assert_eq!(app.metric(SENT).await, 100_000.0);
    assert_eq!(app.metric(REFUSED).await, 0.0);
    app.stop().await;
}
