//! What a client is told while it still sends: no reset overtakes the answer.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{sleep, timeout},
};

use crate::{
    app::{SOON, TestApp, UPLOAD},
    grants::token,
};

/// More than the sockets of both ends hold, less than the server is patient with.
const BODY_BYTES: usize = 12 << 20;
/// Far more than the server is patient with, and the sockets of both ends hold.
const FLOOD_BYTES: usize = 256 << 20;

async fn connect(app: &TestApp, bytes: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(app.http_addr).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    stream
}

async fn read_all(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    let read = timeout(SOON, stream.read_to_end(&mut answer)).await;
    read.expect("an end").unwrap();
    String::from_utf8(answer).unwrap()
}

fn post(path: &str, bytes: usize) -> String {
    format!("POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {bytes}\r\n\r\n")
}

/// Bytes that it takes of a client that goes on sending, until it takes no more.
async fn taken_of(stream: &mut TcpStream, piece: &[u8], pause: Duration) -> usize {
    let mut taken = 0;
    while taken < FLOOD_BYTES && stream.write_all(piece).await.is_ok() {
        taken += piece.len();
        sleep(pause).await;
    }
    taken
}

async fn hears_why(app: &TestApp, path: &str, status: u16) {
    let mut stream = connect(app, post(path, BODY_BYTES).as_bytes()).await;
    stream
        .write_all(&vec![b'x'; BODY_BYTES])
        .await
        .unwrap_or_else(|error| panic!("{path}: {error}"));
    let answer = read_all(&mut stream).await;
    let begin = format!("HTTP/1.1 {status} ");
    assert!(answer.starts_with(&begin), "{path}: {answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_body_is_taken_to_its_end_and_its_client_hears_why() {
    let app = TestApp::start().await;
    hears_why(&app, "/nowhere", 404).await;
    hears_why(&app, "/api/ota/webhooks", 413).await;
    hears_why(&app, UPLOAD, 415).await;
    token(&app, "admin").await;
    hears_why(&app, UPLOAD, 401).await;
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_is_refused_in_its_middle_is_taken_to_its_end() {
    let app = TestApp::start().await;
    let mut stream = connect(&app, b"GET / HTTP/1.1\r\nHost: a\r\nX: ").await;
    stream.write_all(&vec![b'x'; BODY_BYTES]).await.unwrap();
    stream.write_all(b"\r\n\r\n").await.unwrap();
    let answer = read_all(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_behind_a_408_are_no_error_for_a_while_and_hold_nothing_for_ever() {
    let app = TestApp::start().await;
    let mut stream = connect(&app, b"GET / HTTP/1.1\r\nHost: a\r\nX: ").await;
    let answer = read_all(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    let pause = Duration::from_millis(100);
    let dripped = timeout(SOON, taken_of(&mut stream, b"x", pause)).await;
    let dripped = dripped.expect("an end");
    println!("{dripped} bytes dripped in behind a 408");
    assert!(dripped > 5);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_behind_an_answer_is_cut() {
    let app = TestApp::start().await;
    let mut stream = connect(&app, post("/nowhere", FLOOD_BYTES).as_bytes()).await;
    let taken = timeout(
        SOON,
        taken_of(&mut stream, &[b'x'; 1 << 16], Duration::ZERO),
    );
    let taken = taken.await.expect("an end");
    println!("{} MiB flooded in behind an answer", taken >> 20);
    assert!(taken < FLOOD_BYTES);
    app.stop().await;
}
