//! What no client should send, by the thousand, against the real binary as its own process. A
//! well-behaved client of each protocol goes on being answered, and memory stays.

use std::{
    fs,
    sync::Arc,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    time::Duration,
};

use airlift_testkit::Process;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::Semaphore,
    task::JoinSet,
    time::{sleep, timeout},
};

use crate::{
    app::{SOON, Setup, TestApp, eventually},
    mqtt_client::{Hello, MqttClient, packet},
};

const TRIES: u64 = 10_000;
/// Of them at the same time.
const AT_ONCE: usize = 32;
/// Memory that a process may have grown by, in KiB: caches and buffers that are used again.
const GROWTH_KIB_MAX: u64 = 24 * 1024;

/// Small and good enough; the same numbers for the same seed everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        // xorshift64*
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }

    fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| self.next() as u8).collect()
    }

    fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }
}

/// Of `AIRLIFT_TEST_SEED`, else fixed.
fn seed() -> u64 {
    let seed = std::env::var("AIRLIFT_TEST_SEED").ok();
    let seed = seed.map_or(7, |text| {
        text.parse().expect("AIRLIFT_TEST_SEED is a number")
    });
    println!("AIRLIFT_TEST_SEED={seed}");
    seed
}

/// The binary, running for itself.
struct Target {
    app: TestApp,
    process: Process,
}

impl Target {
    async fn start() -> Target {
        let app = Setup::default().prepare();
        let program = env!("CARGO_BIN_EXE_airlift");
        let process = Process::spawn(program, &app.arguments(), &[], "airlift").unwrap();
        eventually("a server that listens", async || {
            TcpStream::connect(app.http_addr).await.ok()
        })
        .await;
        app.ready().await;
        Target { app, process }
    }

    fn resident_kib(&self) -> u64 {
        let path = format!("/proc/{}/status", self.process.pid());
        let status = fs::read_to_string(path).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let number = line.unwrap().trim().trim_end_matches(" kB");
        number.parse().unwrap()
    }

    /// Does `attack` twice over: what the first time takes for good, the second must not take again.
    async fn withstands(mut self, attack: impl AsyncFn(&TestApp, u64)) {
        let seed = seed();
        attack(&self.app, seed).await;
        let before = self.resident_kib();
        let calm = Arc::new(AtomicBool::new(false));
        let good = tokio::spawn(behave(
            self.app.http_addr.port(),
            self.app.mqtt_port,
            calm.clone(),
        ));
        attack(&self.app, seed + 1).await;
        calm.store(true, Ordering::Relaxed);
        let answered = good.await.expect("the well-behaved client is answered");
        let after = self.resident_kib();
        println!(
            "{answered} good requests and pings meanwhile; {before} KiB before, {after} after"
        );
        assert!(answered > 10);
        assert!(
            after < before + GROWTH_KIB_MAX,
            "{before} KiB, then {after}"
        );
        assert!(self.process.is_running().unwrap());
        let log = self.process.log();
        assert!(!log.contains("panicked"), "{log}");
    }
}

/// Asks and pings until it is calm; how often it was answered.
async fn behave(http_port: u16, mqtt_port: u16, calm: Arc<AtomicBool>) -> usize {
    let hello = Hello {
        id: "good",
        ..Hello::default()
    };
    let mut mqtt = MqttClient::connected(mqtt_port, hello).await;
    let http = reqwest::Client::new();
    let url = format!("http://127.0.0.1:{http_port}/healthz");
    let mut answered = 0;
    while !calm.load(Ordering::Relaxed) {
        let answer = timeout(SOON, http.get(&url).send()).await;
        assert_eq!(answer.expect("in time").expect("answered").status(), 200);
        assert!(mqtt.ping().await);
        answered += 2;
        sleep(Duration::from_millis(50)).await;
    }
    answered
}

/// Sends bytes, says that nothing more comes, and reads to the end.
async fn send(port: u16, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    // It may have been closed before it has read all.
    let _ = stream.write_all(bytes).await;
    let _ = stream.shutdown().await;
    let mut answer = Vec::new();
    let ended = timeout(SOON, stream.read_to_end(&mut answer)).await;
    assert!(ended.is_ok(), "not closed: {}", bytes.escape_ascii());
    answer
}

/// Sends `TRIES` things that `make` makes, many at once, and looks at each answer.
async fn flood(
    port: u16,
    seed: u64,
    make: fn(&mut Random) -> Vec<u8>,
    look: fn(&[u8], &[u8]) -> bool,
) -> usize {
    let room = Arc::new(Semaphore::new(AT_ONCE));
    let noticed = Arc::new(AtomicUsize::new(0));
    let mut running = JoinSet::new();
    for n in 0..TRIES {
        let permit = room.clone().acquire_owned().await.unwrap();
        let noticed = noticed.clone();
        running.spawn(async move {
            let mut random = Random((seed << 32 | n).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
            let bytes = make(&mut random);
            let answer = send(port, &bytes).await;
            noticed.fetch_add(usize::from(look(&bytes, &answer)), Ordering::Relaxed);
            drop(permit);
        });
        while let Some(ended) = running.try_join_next() {
            ended.unwrap();
        }
    }
    while let Some(ended) = running.join_next().await {
        ended.unwrap();
    }
    noticed.load(Ordering::Relaxed)
}

fn malformed_mqtt(random: &mut Random) -> Vec<u8> {
    let hello = Hello {
        is_v5: random.below(2) == 0,
        id: "bad",
        user: Some("u"),
        password: Some("p"),
        will: (random.below(2) == 0).then_some("a/b"),
        keeps: false,
    };
    let mut bytes = hello.packet();
    let flips = |random: &mut Random, bytes: &mut Vec<u8>| {
        for _ in 0..=random.below(4) {
            let at = random.below(bytes.len());
            bytes[at] = random.next() as u8;
        }
    };
    match random.below(8) {
        0 => {
            let length = random.below(300);
            bytes = random.bytes(length);
        }
        1 => {
            let length = random.below(bytes.len());
            bytes.truncate(length);
        }
        2 => flips(random, &mut bytes),
        // Lengths that nobody could mean, before and after CONNECT.
        3 => bytes = [random.next() as u8, 0xff, 0xff, 0xff, 0x7f].to_vec(),
        4 => bytes.extend([0x30, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 2]),
        5 => {
            let topic = "a/".repeat(random.below(30_000));
            let length = (topic.len() as u16).to_be_bytes();
            let body = [&length[..], topic.as_bytes(), b"\0\0payload"].concat();
            bytes.extend(packet(0x30, &body));
        }
        6 => {
            let length = random.below(200);
            let body = random.bytes(length);
            bytes.extend(packet(random.next() as u8, &body));
        }
        _ => {
            let mut more = packet(0x82, b"\0\x01\0\0\x05a/b/c\x01");
            flips(random, &mut more);
            bytes.extend(more);
        }
    }
    bytes
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_malformed_mqtt_packets_harm_nobody() {
    let target = Target::start().await;
    target
        .withstands(async |app, seed| {
            let answered = flood(app.mqtt_port, seed, malformed_mqtt, |_, answer| {
                !answer.is_empty()
            });
            println!("{} of {TRIES} were answered something", answered.await);
        })
        .await;
}

fn malformed_http(random: &mut Random) -> Vec<u8> {
    let good = b"POST /api/ota/tasks HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n\
                 Content-Length: 2\r\n\r\n{}";
    let methods = [
        "GET", "POST", "get", "G@T", "", "PRI", "CONNECT", "TRACE", "DELETE",
    ];
    let targets = [
        "/healthz",
        "*",
        "",
        "http://other.example/",
        "//",
        "/%00",
        "/%zz",
        "/../../etc/passwd",
        "a:1",
        "?x",
        "/\u{7f}",
        "http://[::1",
        "/firmware/..%2f..%2fx",
    ];
    let versions = [
        "HTTP/1.1",
        "HTTP/1.0",
        "HTTP/2.0",
        "HTTP/0.9",
        "HTTP/1.1 ",
        "http/1.1",
        "",
    ];
    match random.below(7) {
        0 => {
            let length = 1 + random.below(400);
            random.bytes(length)
        }
        1 => good[..random.below(good.len())].to_vec(),
        2 => {
            let mut bytes = good.to_vec();
            for _ in 0..=random.below(4) {
                let at = random.below(bytes.len());
                bytes[at] = random.next() as u8;
            }
            bytes
        }
        3 => {
            let (method, target) = (random.pick(&methods), random.pick(&targets));
            let version = random.pick(&versions);
            format!("{method} {target} {version}\r\nHost: a\r\n\r\n").into_bytes()
        }
        4 => {
            let count = 90 + random.below(200);
            let headers: String = (0..count).map(|n| format!("x-{n}: y\r\n")).collect();
            format!("GET /healthz HTTP/1.1\r\nHost: a\r\n{headers}\r\n").into_bytes()
        }
        5 => {
            let value = "v".repeat(random.below(100_000));
            format!("GET /healthz HTTP/1.1\r\nHost: a\r\nx: {value}\r\n\r\n").into_bytes()
        }
        _ => {
            let size = random.pick(&[
                "",
                "-1",
                "0x10",
                "fffffffffffffffff",
                "5 5",
                "5;",
                "g",
                "+2",
            ]);
            let head =
                "POST /api/ota/tasks HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
            format!("{head}{size}\r\n{{}}\r\n0\r\n\r\n").into_bytes()
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_malformed_http_requests_harm_nobody() {
    let target = Target::start().await;
    target
        .withstands(async |app, seed| {
            let refused = flood(
                app.http_addr.port(),
                seed,
                malformed_http,
                |sent, answer| {
                    assert!(
                        answer.is_empty() || answer.starts_with(b"HTTP/1."),
                        "{} for {}",
                        answer.escape_ascii(),
                        sent.escape_ascii()
                    );
                    assert!(
                        !answer.starts_with(b"HTTP/1.1 5") || answer.starts_with(b"HTTP/1.1 505"),
                        "{} for {}",
                        answer.escape_ascii(),
                        sent.escape_ascii()
                    );
                    answer.starts_with(b"HTTP/1.1 4")
                },
            );
            let refused = refused.await;
            println!("{refused} of {TRIES} were told what is wrong");
            assert!(refused > 1_000);
        })
        .await;
}
