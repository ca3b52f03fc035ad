//! Requests per second of several addresses, asked in turns in one run so that they are comparable:
//! `poll_rate CONNECTIONS SECONDS ROUNDS NAME=HOST:PORT/PATH[=TOKEN]…`. Prints one JSON line per name and
//! the median of each round's rate over the first name's.

use std::{
    env, process,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
    time::sleep,
};

struct Target {
    name: String,
    address: String,
    request: Arc<[u8]>,
    rates: Vec<f64>,
}

#[tokio::main]
async fn main() {
    let args: Vec<String> = env::args().skip(1).collect();
    let Some(((connections, seconds, rounds), targets)) = read(&args) else {
        eprintln!("usage: poll_rate CONNECTIONS SECONDS ROUNDS NAME=HOST:PORT/PATH[=TOKEN]...");
        process::exit(2);
    };
    let mut targets = targets;
    for _ in 0..rounds {
        for target in &mut targets {
            let rate = measure(target, connections, seconds).await;
            target.rates.push(rate);
        }
    }
    let first = targets[0].rates.clone();
    for target in &targets {
        let over_first = target
            .rates
            .iter()
            .zip(&first)
            .map(|(rate, first)| rate / first);
        println!(
            "{{\"name\":\"{}\",\"requestsPerSecond\":{:.0},\"overFirst\":{:.3}}}",
            target.name,
            median(target.rates.clone()),
            median(over_first.collect())
        );
    }
}

fn read(args: &[String]) -> Option<((usize, f64, usize), Vec<Target>)> {
    let [connections, seconds, rounds, targets @ ..] = args else {
        return None;
    };
    let numbers = (
        connections.parse().ok()?,
        seconds.parse().ok()?,
        rounds.parse().ok()?,
    );
    let targets: Option<Vec<Target>> = targets.iter().map(|text| target(text)).collect();
    targets
        .filter(|targets| !targets.is_empty())
        .map(|targets| (numbers, targets))
}

fn target(text: &str) -> Option<Target> {
    let mut parts = text.splitn(3, '=');
    let name = parts.next()?.to_owned();
    let (address, path) = parts.next()?.split_once('/')?;
    let authorization = parts
        .next()
        .map(|token| format!("Authorization: Bearer {token}\r\n"))
        .unwrap_or_default();
    let request = format!("GET /{path} HTTP/1.1\r\nHost: {address}\r\n{authorization}\r\n");
    Some(Target {
        name,
        address: address.to_owned(),
        request: request.into_bytes().into(),
        rates: Vec::new(),
    })
}

/// Requests per second over so many connections, each asking again when it has its answer.
async fn measure(target: &Target, connections: usize, seconds: f64) -> f64 {
    let (stop, answers) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicU64::new(0)),
    );
    let mut clients = JoinSet::new();
    for _ in 0..connections {
        let stream = TcpStream::connect(&target.address).await;
        let mut stream = stream.unwrap_or_else(|error| panic!("{}: {error}", target.name));
        stream.set_nodelay(true).expect("a socket");
        let (request, stop, answers) = (target.request.clone(), stop.clone(), answers.clone());
        clients.spawn(async move {
            let mut buffer = Vec::with_capacity(16 << 10);
            while !stop.load(Ordering::Relaxed) {
                stream.write_all(&request).await.expect("a connection");
                answer(&mut stream, &mut buffer).await;
                answers.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    // Connections and caches are warm by then.
    sleep(Duration::from_millis(200)).await;
    let (began, before) = (Instant::now(), answers.load(Ordering::Relaxed));
    sleep(Duration::from_secs_f64(seconds)).await;
    let (elapsed, after) = (began.elapsed(), answers.load(Ordering::Relaxed));
    stop.store(true, Ordering::Relaxed);
    while let Some(ended) = clients.join_next().await {
        ended.expect("every answer is a 200");
    }
    (after - before) as f64 / elapsed.as_secs_f64()
}

/// Reads one answer, which must be a 200 with a `Content-Length`.
async fn answer(stream: &mut TcpStream, buffer: &mut Vec<u8>) {
    buffer.clear();
    loop {
        let read = stream.read_buf(buffer).await.expect("an answer");
        assert!(read > 0, "the server closed the connection");
        let Some(head) = buffer.windows(4).position(|it| it == b"\r\n\r\n") else {
            continue;
        };
        let text = String::from_utf8_lossy(&buffer[..head]).to_ascii_lowercase();
        assert!(text.starts_with("http/1.1 200"), "{text}");
        let length = text
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "))
            .and_then(|length| length.trim().parse::<usize>().ok())
            .expect("a Content-Length");
        if buffer.len() >= head + 4 + length {
            return;
        }
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
