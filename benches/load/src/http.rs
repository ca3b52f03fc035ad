//! HTTP/1.1 with next to no cost of its own: requests as bytes, answers by their length.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
    time::sleep,
};

/// Connections and caches are warm by then.
const WARM_UP: Duration = Duration::from_millis(300);

/// A kept-alive connection.
pub struct Connection {
    stream: TcpStream,
    /// What was read last: an answer's head, and as much of its body as [`Connection::ask`] keeps.
    buffer: Vec<u8>,
}

impl Connection {
    pub async fn open(port: u16) -> Result<Connection> {
        let stream = TcpStream::connect(("127.0.0.1", port)).await?;
        stream.set_nodelay(true)?;
        Ok(Connection {
            stream,
            buffer: Vec::with_capacity(64 << 10),
        })
    }

    /// Sends a request and gives the body of its answer, which must be a success.
    pub async fn ask(&mut self, request: &[u8]) -> Result<&[u8]> {
        let (head, length) = self.begin(request).await?;
        while self.buffer.len() < head + length {
            self.read_more().await?;
        }
        Ok(&self.buffer[head..head + length])
    }

    /// The same, but the body is only counted, as it comes.
    pub async fn download(&mut self, request: &[u8], counted: &AtomicU64) -> Result<()> {
        let (head, length) = self.begin(request).await?;
        let first = self.buffer.len() - head;
        counted.fetch_add(first as u64, Ordering::Relaxed);
        let mut left = length - first;
        self.buffer.resize(256 << 10, 0);
        while left > 0 {
            let wanted = left.min(self.buffer.len());
            let read = self.stream.read(&mut self.buffer[..wanted]).await?;
            ensure!(
                read > 0,
                "the server closed the connection {left} bytes early"
            );
            left -= read;
            counted.fetch_add(read as u64, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Length of the head, and of the body that follows.
    async fn begin(&mut self, request: &[u8]) -> Result<(usize, usize)> {
        self.stream.write_all(request).await?;
        self.buffer.clear();
        loop {
            self.read_more().await?;
            if let Some(end) = self.buffer.windows(4).position(|it| it == b"\r\n\r\n") {
                let head = std::str::from_utf8(&self.buffer[..end])?;
                return Ok((end + 4, length(head)?));
            }
        }
    }

    async fn read_more(&mut self) -> Result<()> {
        let read = self.stream.read_buf(&mut self.buffer).await?;
        ensure!(read > 0, "the server closed the connection");
        Ok(())
    }
}

fn length(head: &str) -> Result<usize> {
    if !head.starts_with("HTTP/1.1 2") {
        bail!("an answer that is no success: {head}");
    }
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length")
            .then(|| value.trim())
    });
    Ok(length
        .context("an answer without Content-Length")?
        .parse()?)
}

/// The bytes of a GET.
pub fn get(path: &str) -> Vec<u8> {
    get_as(path, None)
}

/// The same with a token, if any.
pub fn get_as(path: &str, token: Option<&str>) -> Vec<u8> {
    let authorization = token
        .map(|token| format!("Authorization: Bearer {token}\r\n"))
        .unwrap_or_default();
    format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{authorization}\r\n").into_bytes()
}

/// The bytes of a POST of JSON.
pub fn post(path: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n\
         Content-Length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

/// Answers per second over so many connections, each asking for one after another of these requests.
pub async fn rate(
    port: u16,
    connections: usize,
    requests: Arc<Vec<Vec<u8>>>,
    time: Duration,
) -> Result<f64> {
    let stop = Arc::new(AtomicBool::new(false));
    let answers = Arc::new(AtomicU64::new(0));
    let mut clients = JoinSet::new();
    for first in 0..connections {
        let mut connection = Connection::open(port).await?;
        let (requests, stop, answers) = (requests.clone(), stop.clone(), answers.clone());
        clients.spawn(async move {
            for number in first.. {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                connection.ask(&requests[number % requests.len()]).await?;
                answers.fetch_add(1, Ordering::Relaxed);
            }
            anyhow::Ok(())
        });
    }
    let rate = per_second(&answers, time).await;
    stop.store(true, Ordering::Relaxed);
    while let Some(ended) = clients.join_next().await {
        ended??;
    }
    Ok(rate)
}

/// Bytes per second of files, downloaded over so many connections again and again.
pub async fn throughput(
    port: u16,
    connections: usize,
    request: &[u8],
    time: Duration,
) -> Result<f64> {
    let bytes = Arc::new(AtomicU64::new(0));
    let mut clients: JoinSet<Result<()>> = JoinSet::new();
    for _ in 0..connections {
        let mut connection = Connection::open(port).await?;
        let (request, bytes) = (request.to_owned(), bytes.clone());
        clients.spawn(async move {
            loop {
                connection.download(&request, &bytes).await?;
            }
        });
    }
    tokio::select! {
        rate = per_second(&bytes, time) => Ok(rate),
        Some(failed) = clients.join_next() => match failed? {
            Err(error) => Err(error),
            Ok(()) => unreachable!("a client stops only when it fails"),
        },
    }
}

/// How fast a warm count grows.
async fn per_second(count: &AtomicU64, time: Duration) -> f64 {
    sleep(WARM_UP).await;
    let (began, before) = (Instant::now(), count.load(Ordering::Relaxed));
    sleep(time).await;
    let (elapsed, after) = (began.elapsed(), count.load(Ordering::Relaxed));
    (after - before) as f64 / elapsed.as_secs_f64()
}
