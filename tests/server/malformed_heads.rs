//! Requests that two readers could read differently, and clients that never finish one.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::app::{QUIET, SOON, TestApp};

/// Asked for by the part of a request that must not be one.
const SMUGGLED: &str = "/smuggled";

/// Heads and bodies on whose end two readers could disagree. The rest asks for what nobody asked for.
fn smuggling() -> Vec<String> {
    let inner = format!("GET {SMUGGLED} HTTP/1.1\r\nHost: a\r\n\r\n");
    let n = inner.len();
    let chunked = format!("0\r\n\r\n{inner}");
    let post = "POST /api/ota/tasks HTTP/1.1\r\nHost: a\r\n";
    let mut all = vec![
        format!(
            "{post}Content-Length: {}\r\nTransfer-Encoding: chunked\r\n\r\n{chunked}",
            n + 5
        ),
        format!("{post}Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n{chunked}"),
        format!("{post}Content-Length: 0\r\nContent-Length: {n}\r\n\r\n{inner}"),
        format!("{post}Content-Length: {n}\r\nContent-Length: 0\r\n\r\n{inner}"),
        format!("{post}Content-Length: 0, {n}\r\n\r\n{inner}"),
        format!("{post}Content-Length: +0\r\n\r\n{inner}"),
        format!("{post}Content-Length: -1\r\n\r\n{inner}"),
        format!("{post}Content-Length: 0x0\r\n\r\n{inner}"),
        format!("{post}Content-Length : 0\r\n\r\n{inner}"),
        format!("{post}Content-Length: 0\r\n {n}\r\n\r\n{inner}"),
        format!("{post}Content-Length: 99999999999999999999999\r\n\r\n{inner}"),
        format!("POST /api/ota/tasks HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n{chunked}"),
    ];
    for coding in [
        "xchunked",
        "chunked, identity",
        "identity",
        "chunked ;q=1",
        "\x0bchunked",
        "chunked\x00",
        "gzip, chunked",
        "\"chunked\"",
        "chunked, chunked",
        "CHUNKED",
    ] {
        all.push(format!(
            "{post}Transfer-Encoding: {coding}\r\n\r\n{chunked}"
        ));
        all.push(format!(
            "{post}Content-Length: {}\r\nTransfer-Encoding: {coding}\r\n\r\n{chunked}",
            n + 5
        ));
    }
    for header in [
        "Transfer-Encoding : chunked",
        " Transfer-Encoding: chunked",
        "X: y\r\n Transfer-Encoding: chunked",
        "Transfer-Encoding:\r\n chunked",
        "Transfer-Encoding\r\n: chunked",
        "Transfer_Encoding: chunked\r\nContent-Length: 5, 6",
    ] {
        all.push(format!("{post}{header}\r\n\r\n{chunked}"));
    }
    for size in [
        "0x0",
        "-0",
        "+0",
        "00000000000000000",
        " 0",
        "0 ;",
        "0;\n",
        "zero",
    ] {
        let head = format!("{post}Transfer-Encoding: chunked\r\n\r\n");
        all.push(format!("{head}{size}\r\n\r\n{inner}"));
        all.push(format!("{head}1\r\nZZ\r\n{size}\r\n\r\n{inner}"));
        all.push(format!("{head}1\nZ\n{size}\n\n{inner}"));
    }
    all
}

/// Sends bytes and reads until the end, or until nothing more comes.
async fn exchange(port: u16, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let _ = stream.write_all(bytes).await;
    let mut answer = Vec::new();
    while let Ok(Ok(1..)) = timeout(QUIET, stream.read_buf(&mut answer)).await {}
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn no_request_is_smuggled_in_with_another() {
    let app = TestApp::start().await;
    let port = app.http_addr.port();
    let control = format!(
        "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\nGET {SMUGGLED} HTTP/1.1\r\nHost: a\r\n\r\n"
    );
    let answers = |answer: &[u8]| String::from_utf8_lossy(answer).matches("HTTP/1.").count();
    // What the others must not show does show here.
    assert_eq!(answers(&exchange(port, control.as_bytes()).await), 2);
    let seen = "airlift_http_requests_total{method=\"GET\",route=\"unmatched\",status=\"404\"}";
    let before = app.metric(seen).await;
    assert!(before >= 1.0);
    let attacks = smuggling();
    let tries = attacks
        .iter()
        .map(|attack| exchange(port, attack.as_bytes()));
    for (attack, answer) in attacks.iter().zip(join_all(tries).await) {
        let answer = String::from_utf8_lossy(&answer);
        assert!(answers(answer.as_bytes()) <= 1, "{attack:?}: {answer}");
        assert!(!answer.starts_with("HTTP/1.1 2"), "{attack:?}: {answer}");
    }
    assert_eq!(
        app.metric(seen).await,
        before,
        "nothing smuggled was served"
    );
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn half_heads_and_slow_bodies_are_cut_and_hold_nobody_up() {
    let app = TestApp::start().await;
    let port = app.http_addr.port();
    let open = async |bytes: &'static str| {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        stream.write_all(bytes.as_bytes()).await.unwrap();
        stream
    };
    let heads = join_all((0..300).map(|_| open("GET /healthz HTTP/1.1\r\nHost: a\r\nX: "))).await;
    let silent = join_all((0..100).map(|_| open(""))).await;
    let began = Instant::now();
    let tease = async |mut stream: TcpStream| {
        let mut answer = Vec::new();
        while timeout(Duration::from_secs(1), stream.read_buf(&mut answer))
            .await
            .is_err()
        {
            let _ = stream.write_all(b"y").await;
        }
        let _ = stream.read_to_end(&mut answer).await;
        String::from_utf8_lossy(&answer).into_owned()
    };
    for _ in 0..20 {
        assert_eq!(app.get("/healthz").await.status, 200);
    }
    let answers = timeout(SOON, join_all(heads.into_iter().map(tease)))
        .await
        .unwrap();
    for answer in answers {
        assert!(answer.starts_with("HTTP/1.1 408 "), "{answer:?}");
    }
    for mut stream in silent {
        let mut answer = Vec::new();
        let read = timeout(SOON, stream.read_to_end(&mut answer)).await;
        // Who has asked for nothing could take an answer for that of a request on its way.
        assert_eq!(read.expect("an end").unwrap(), 0);
    }
    println!("400 slow heads cut after {:?}", began.elapsed());
    let cut = |reason: &str| format!("airlift_http_connections_cut_total{{reason=\"{reason}\"}}");
    app.metric_reaches(&cut("head"), 300.0).await;
    // The test's own client may have opened one that it did not need.
    let silent = app.metric(&cut("silent")).await;
    assert!((100.0..110.0).contains(&silent), "{silent}");
    app.stop().await;
}

/// Longer than the server waits for a body.
const BODY_SECONDS: u64 = 36;

/// An upload of which `bytes` come each second: what it is answered, and after how many seconds.
async fn drip(port: u16, bytes: usize) -> (String, u64) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let length = BODY_SECONDS as usize * 8192;
    let head = format!(
        "POST /api/ota/firmware/upload HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\
         Content-Type: multipart/form-data; boundary=b\r\nContent-Length: {length}\r\n\r\n\
         --b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"f\"\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let began = Instant::now();
    let mut answer = Vec::new();
    while began.elapsed() < Duration::from_secs(BODY_SECONDS) {
        let read = timeout(Duration::from_secs(1), stream.read_buf(&mut answer)).await;
        if read.is_ok() {
            break;
        }
        let _ = stream.write_all(&vec![b'x'; bytes]).await;
    }
    let took = began.elapsed().as_secs();
    let _ = timeout(QUIET, stream.read_to_end(&mut answer)).await;
    (String::from_utf8_lossy(&answer).into_owned(), took)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_stops_or_drips_is_a_408_and_a_slow_one_goes_on() {
    let app = TestApp::start().await;
    let port = app.http_addr.port();
    let (silent, dripping, slow) = tokio::join!(drip(port, 0), drip(port, 100), drip(port, 4096));
    for (answer, took) in [silent, dripping] {
        assert!(answer.starts_with("HTTP/1.1 408 "), "{answer:?}");
        println!("cut after {took} s");
    }
    assert_eq!(slow, (String::new(), BODY_SECONDS));
    let cut = "airlift_http_connections_cut_total{reason=\"body\"}";
    app.metric_reaches(cut, 2.0).await;
    app.stop().await;
}
