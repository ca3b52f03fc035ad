//! One HTTP request for an image: its head and its bytes, as they come.

use std::{
    error::Error,
    num::NonZeroU64,
    time::{Duration, SystemTime},
};

use airlift_firmware::{Answer, content_range};
use anyhow::{Context, Result};
use bytes::Bytes;
use reqwest::{
    Client, Response, StatusCode,
    header::{
        ACCEPT_ENCODING, CONTENT_RANGE, ETAG, HeaderMap, HeaderName, IF_RANGE, RANGE, RETRY_AFTER,
    },
};
use tokio::{sync::mpsc, task::JoinHandle, time::sleep};

use crate::{clock, credentials::Token};

/// Longest wait for a connection.
const CONNECT_SECONDS_MAX: u64 = 10;
/// Longest silence in the middle of an answer.
const SILENCE_SECONDS_MAX: u64 = 30;
/// Idle connections are closed after this, so that a fleet does not hold thousands.
const IDLE_SECONDS_MAX: u64 = 5;
/// Pieces that may wait for the gateway.
const PIECES_MAX: usize = 4;
/// Largest piece given to the gateway at once, bytes: about what a board reads at a time, so that
/// no step of the progress is jumped over in files of some size.
const PIECE_BYTES_MAX: usize = 16 * 1024;
/// A throttled download comes in at least this many pieces per second.
const THROTTLED_PIECES_PER_SECOND: u64 = 10;

/// The client all gateways of a process share.
pub fn client() -> Result<Client> {
    Client::builder()
        .user_agent(concat!("airlift-gateway/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(Duration::from_secs(CONNECT_SECONDS_MAX))
        .read_timeout(Duration::from_secs(SILENCE_SECONDS_MAX))
        .pool_idle_timeout(Duration::from_secs(IDLE_SECONDS_MAX))
        .build()
        .context("cannot set up the HTTP client")
}

/// What to fetch.
#[derive(Clone, Debug)]
pub struct Request {
    pub url: String,
    /// First byte wanted.
    pub offset: u64,
    /// The file this must still be.
    pub etag: Option<String>,
    /// Sent as `Authorization: Bearer`, but not with a signed URL, one with a query: that needs
    /// none, and some stores refuse to be given two credentials.
    pub token: Option<Token>,
    pub bytes_per_second: Option<NonZeroU64>,
}

/// The head of an answer.
#[derive(Clone, Debug)]
pub struct Head {
    status: u16,
    start: u64,
    total: Option<u64>,
    etag: Option<String>,
    retry_after_ms: Option<u64>,
}

impl Head {
    /// As the core takes it.
    pub fn answer(&self) -> Answer<'_> {
        Answer {
            status: self.status,
            start: self.start,
            total: self.total,
            etag: self.etag.as_deref(),
            retry_after_ms: self.retry_after_ms,
        }
    }
}

/// What comes of a fetch: a head, pieces, an end; or an end at once.
#[derive(Debug)]
pub enum Piece {
    Head(Head),
    Bytes(Bytes),
    /// With the reason, if it was not the file's end.
    End(Option<String>),
    /// The request could not even be made.
    Impossible(String),
}

/// A fetch under way; dropped, it stops.
#[derive(Debug)]
pub struct Fetch {
    pieces: mpsc::Receiver<Piece>,
    task: JoinHandle<()>,
}

impl Fetch {
    pub fn start(client: &Client, request: Request) -> Self {
        let (sender, pieces) = mpsc::channel(PIECES_MAX);
        let client = client.clone();
        let task = tokio::spawn(async move {
            let end = match run(&client, request, &sender).await {
                Ok(()) => Piece::End(None),
                Err(error) if error.is_builder() => Piece::Impossible(describe(error)),
                Err(error) => Piece::End(Some(describe(error))),
            };
            // The receiver is gone if the gateway stopped the fetch: then nobody wants the end.
            let _ = sender.send(end).await;
        });
        Fetch { pieces, task }
    }

    /// The next piece. Safe to be dropped while waiting.
    pub async fn next(&mut self) -> Piece {
        self.pieces
            .recv()
            .await
            .unwrap_or_else(|| Piece::End(Some("the download stopped".into())))
    }
}

impl Drop for Fetch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn run(
    client: &Client,
    request: Request,
    pieces: &mpsc::Sender<Piece>,
) -> Result<(), reqwest::Error> {
    // Compressed on the way, offsets would mean other bytes.
    let mut get = client.get(&request.url).header(ACCEPT_ENCODING, "identity");
    if request.offset > 0 {
        get = get.header(RANGE, format!("bytes={}-", request.offset));
        if let Some(etag) = &request.etag {
            get = get.header(IF_RANGE, etag);
        }
    }
    if let Some(token) = &request.token
        && !request.url.contains('?')
    {
        get = get.bearer_auth(token.reveal());
    }
    let mut response = get.send().await?;
    let wanted = matches!(
        response.status(),
        StatusCode::OK | StatusCode::PARTIAL_CONTENT
    );
    if pieces.send(Piece::Head(head(&response))).await.is_err() || !wanted {
        return Ok(());
    }
    while let Some(mut bytes) = response.chunk().await? {
        while !bytes.is_empty() {
            let length = bytes.len().min(PIECE_BYTES_MAX);
            let length = match request.bytes_per_second {
                None => length,
                Some(rate) => throttled(length, rate.get()).await,
            };
            if pieces
                .send(Piece::Bytes(bytes.split_to(length)))
                .await
                .is_err()
            {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// How much of `length` bytes may come now, after the wait it costs.
async fn throttled(length: usize, rate: u64) -> usize {
    let most = (rate / THROTTLED_PIECES_PER_SECOND).max(1);
    let length = length.min(usize::try_from(most).unwrap_or(usize::MAX));
    sleep(Duration::from_secs_f64(length as f64 / rate as f64)).await;
    length
}

fn head(response: &Response) -> Head {
    let headers = response.headers();
    let status = response.status();
    let (start, total) = match status {
        StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE => {
            text(headers, &CONTENT_RANGE).map_or((None, None), content_range)
        }
        _ => (Some(0), response.content_length()),
    };
    Head {
        status: status.as_u16(),
        // A part without a place cannot be used; no download ever waits for this one.
        start: start.unwrap_or(u64::MAX),
        total: total.filter(|_| status.is_success() || status == StatusCode::RANGE_NOT_SATISFIABLE),
        etag: text(headers, &ETAG).map(str::to_owned),
        retry_after_ms: text(headers, &RETRY_AFTER)
            .and_then(|value| retry_after_ms(value, clock::now())),
    }
}

fn text<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h str> {
    headers.get(name)?.to_str().ok().map(str::trim)
}

/// Seconds or an HTTP date (RFC 9110, 10.2.3).
fn retry_after_ms(value: &str, now: SystemTime) -> Option<u64> {
    if let Ok(seconds) = value.parse::<u64>() {
        return Some(seconds.saturating_mul(1_000));
    }
    let until = httpdate::parse_http_date(value).ok()?;
    let wait = until.duration_since(now).unwrap_or_default();
    u64::try_from(wait.as_millis()).ok()
}

/// What lies at the bottom of the error, without the URL: that may be signed.
fn describe(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut cause: &dyn Error = &error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = SystemTime::UNIX_EPOCH;
        assert_eq!(retry_after_ms("7", now), Some(7_000));
        let date = "Thu, 01 Jan 1970 00:01:00 GMT";
        assert_eq!(retry_after_ms(date, now), Some(60_000));
        let later = now + Duration::from_secs(90);
        assert_eq!(retry_after_ms(date, later), Some(0));
        assert_eq!(retry_after_ms("soon", now), None);
    }

    /// Answers one request with `answer`; its head.
    async fn asked(listener: TcpListener, answer: String) -> String {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        stream.write_all(answer.as_bytes()).await.unwrap();
        String::from_utf8(head).unwrap().to_ascii_lowercase()
    }

    #[tokio::test]
    async fn a_token_goes_to_the_host_of_the_command_alone_and_not_with_a_signed_url() {
        rustls::crypto::aws_lc_rs::default_provider()
            .install_default()
            .ok();
        for (query, is_sent) in [("", true), ("?signature=x", false)] {
            let first = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let other = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let url = format!("http://{}/f{query}", first.local_addr().unwrap());
            let elsewhere = format!(
                "HTTP/1.1 302 Found\r\nlocation: http://{}/g\r\ncontent-length: 0\r\n\r\n",
                other.local_addr().unwrap()
            );
            let file = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok".to_owned();
            let first = tokio::spawn(asked(first, elsewhere));
            let other = tokio::spawn(asked(other, file));
            let request = Request {
                url,
                offset: 0,
                etag: None,
                token: Some(Token::new("alg_secret".into())),
                bytes_per_second: None,
            };
            let mut fetch = Fetch::start(&client().unwrap(), request);
            assert!(matches!(fetch.next().await, Piece::Head(_)));
            assert!(matches!(fetch.next().await, Piece::Bytes(bytes) if bytes == "ok"));
            assert_eq!(first.await.unwrap().contains("bearer alg_secret"), is_sent);
            assert!(!other.await.unwrap().contains("alg_secret"));
        }
    }
}
