//! Downloads: one HTTP request at a time, its answer handed to the core as it comes.

use core::fmt::{self, Write};

use airlift_firmware::{Answer, Event, JobId, content_range};
use embassy_futures::select::{Either, select};
use embassy_net::{dns::DnsSocket, tcp::client::TcpClient};
use embassy_time::{Duration, TimeoutError, Timer, with_timeout};
use embedded_io_async::Read;
use embedded_storage::nor_flash::NorFlash;
use heapless::{String, Vec};
use reqwless::{
    Error,
    client::HttpClient,
    request::{Method, RequestBuilder},
};

use crate::{
    Platform,
    memory::{CHUNK_BYTES_MAX, Downloads, FetchMemory},
    outbox::{PUBLISHES_MAX, Request},
    shell::Shell,
};

/// Longest wait for the head of an answer.
const HEAD_SECONDS_MAX: u64 = 20;
/// Longest silence in the middle of an answer.
const SILENCE_SECONDS_MAX: u64 = 30;
/// While the broker has so many reports to acknowledge, the download waits.
const REPORTS_WAITING_MAX: usize = PUBLISHES_MAX / 2;
const REPORTS_WAIT_MS: u64 = 20;
const BEARER_BYTES_MAX: usize = 160;
const ETAG_BYTES_MAX: usize = 128;

/// Why an answer ended before its end.
enum Failure {
    Silent,
    Http(Error),
    /// No attempt can ever succeed.
    Url(&'static str),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Silent => f.write_str("the server does not answer"),
            Failure::Http(Error::Dns) => f.write_str("the server's name cannot be resolved"),
            Failure::Http(Error::Network(_) | Error::ConnectionAborted) => {
                f.write_str("the connection to the server failed")
            }
            Failure::Http(Error::BufferTooSmall) => {
                f.write_str("the head of the server's answer is too long")
            }
            Failure::Http(error) => write!(f, "the server's answer is malformed: {error:?}"),
            Failure::Url(why) => f.write_str(why),
        }
    }
}

impl From<TimeoutError> for Failure {
    fn from(_: TimeoutError) -> Self {
        Failure::Silent
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::InvalidUrl(_) => Failure::Url("the URL is not http://host[:port]/path"),
            error => Failure::Http(error),
        }
    }
}

/// Fetches what the core asks for.
pub(crate) async fn run<F: NorFlash, P: Platform>(
    shell: &Shell<'_, F, P>,
    memory: &mut FetchMemory,
) {
    loop {
        let request = shell.outbox.borrow_mut().request.take();
        let Some(request) = request else {
            shell.fetches.wait().await;
            continue;
        };
        let job = request.job;
        let fetched = select(fetch(shell, memory, &request), stopped(shell, job)).await;
        let Either::First(result) = fetched else {
            continue;
        };
        shell.outbox.borrow_mut().job.take_if(|own| *own == job);
        match result {
            Ok(()) => shell.step(Event::FetchEnded { job, reason: None }),
            Err(Failure::Url(reason)) => shell.step(Event::FetchImpossible { job, reason }),
            Err(failure) => {
                let mut reason = String::<96>::new();
                // Cut if it is longer.
                let _ = write!(reason, "{failure}");
                let reason = Some(reason.as_str());
                shell.step(Event::FetchEnded { job, reason });
            }
        }
    }
}

fn is_wanted<F, P>(shell: &Shell<'_, F, P>, job: JobId) -> bool {
    shell.outbox.borrow().job == Some(job)
}

/// Until nobody wants the job's answer any more.
async fn stopped<F, P>(shell: &Shell<'_, F, P>, job: JobId) {
    while is_wanted(shell, job) {
        shell.fetches.wait().await;
    }
}

async fn fetch<F: NorFlash, P: Platform>(
    shell: &Shell<'_, F, P>,
    memory: &mut FetchMemory,
    request: &Request,
) -> Result<(), Failure> {
    let FetchMemory {
        sockets,
        head,
        chunk,
    } = memory;
    // A download that goes on after a restart is asked for before there is a network.
    shell.stack.wait_config_up().await;
    let sockets: &Downloads = sockets;
    let mut tcp = TcpClient::new(shell.stack, sockets);
    tcp.set_timeout(Some(Duration::from_secs(SILENCE_SECONDS_MAX)));
    let dns = DnsSocket::new(shell.stack);
    let mut http = HttpClient::new(&tcp, &dns);
    let fields = Fields::new(request, &shell.settings.token);
    let headers = fields.headers(request);
    let asking = async {
        let request = http.request(Method::GET, &request.url).await?;
        Ok::<_, Error>(request.host(fields.host).headers(&headers))
    };
    let head_wait = Duration::from_secs(HEAD_SECONDS_MAX);
    let mut asked = with_timeout(head_wait, asking).await??;
    let response = with_timeout(head_wait, asked.send(head)).await??;
    let mut etag = Vec::<u8, ETAG_BYTES_MAX>::new();
    let answer = {
        let mut found = Found::default();
        for (name, value) in response.headers() {
            found.take(name, value);
        }
        if let Some(value) = found.etag {
            // One that is longer cannot be sent back either.
            let _ = etag.extend_from_slice(value);
        }
        found.answer(response.status.0, response.content_length)
    };
    let etag = core::str::from_utf8(&etag)
        .ok()
        .filter(|etag| !etag.is_empty());
    let job = request.job;
    let answer = Answer { etag, ..answer };
    let is_body_wanted = matches!(answer.status, 200 | 206);
    shell.step(Event::Answer { job, answer });
    if !is_body_wanted {
        return Ok(());
    }
    let mut body = response.body().reader();
    while is_wanted(shell, job) {
        while shell.outbox.borrow().publishes.len() > REPORTS_WAITING_MAX {
            Timer::after_millis(REPORTS_WAIT_MS).await;
        }
        let silence = Duration::from_secs(SILENCE_SECONDS_MAX);
        let length = with_timeout(silence, body.read(&mut chunk[..CHUNK_BYTES_MAX])).await??;
        if length == 0 {
            break;
        }
        let bytes = &chunk[..length];
        shell.step(Event::Chunk { job, bytes });
    }
    Ok(())
}

/// The values of the request's headers.
struct Fields<'r> {
    /// With the port, where it is not the scheme's own: a signature may cover it.
    host: &'r str,
    range: String<32>,
    bearer: String<BEARER_BYTES_MAX>,
}

impl<'r> Fields<'r> {
    fn new(request: &'r Request, token: &str) -> Self {
        let url = request.url.as_str();
        let after = url.split_once("://").map_or(url, |(_, after)| after);
        let host = after.split(['/', '?', '#']).next().unwrap_or(after);
        let mut range = String::new();
        if request.offset > 0 {
            // As long as the longest number.
            let _ = write!(range, "bytes={}-", request.offset);
        }
        let mut bearer = String::new();
        // A signed URL, one with a query, needs none, and some stores refuse two credentials.
        if !token.is_empty() && !url.contains('?') {
            // As long as the longest token.
            let _ = write!(bearer, "Bearer {token}");
        }
        Fields {
            host,
            range,
            bearer,
        }
    }

    fn headers<'h>(&'h self, request: &'h Request) -> Vec<(&'h str, &'h str), 6> {
        let etag = Some(request.etag.as_str()).filter(|_| request.offset > 0);
        let all = [
            (
                "User-Agent",
                concat!("airlift-board/", env!("CARGO_PKG_VERSION")),
            ),
            // Compressed on the way, offsets would mean other bytes.
            ("Accept-Encoding", "identity"),
            ("Connection", "close"),
            ("Range", self.range.as_str()),
            ("If-Range", etag.unwrap_or_default()),
            ("Authorization", self.bearer.as_str()),
        ];
        all.into_iter()
            .filter(|(_, value)| !value.is_empty())
            .collect()
    }
}

/// The headers of an answer that count.
#[derive(Default)]
struct Found<'a> {
    etag: Option<&'a [u8]>,
    content_range: Option<&'a str>,
    retry_after: Option<&'a str>,
}

impl<'a> Found<'a> {
    fn take(&mut self, name: &str, value: &'a [u8]) {
        let text = core::str::from_utf8(value).ok().map(str::trim);
        if name.eq_ignore_ascii_case("etag") {
            self.etag = Some(value.trim_ascii());
        } else if name.eq_ignore_ascii_case("content-range") {
            self.content_range = text;
        } else if name.eq_ignore_ascii_case("retry-after") {
            self.retry_after = text;
        }
    }

    fn answer(&self, status: u16, length: Option<usize>) -> Answer<'static> {
        let (start, total) = match status {
            206 | 416 => self.content_range.map_or((None, None), content_range),
            200 => (Some(0), length.map(|length| length as u64)),
            _ => (Some(0), None),
        };
        Answer {
            status,
            // A part without a place cannot be used; no download ever waits for this one.
            start: start.unwrap_or(u64::MAX),
            total,
            etag: None,
            // A date is no use without a clock; the core waits as long as it finds right.
            retry_after_ms: self
                .retry_after
                .and_then(|value| value.parse::<u64>().ok())
                .map(|seconds| seconds.saturating_mul(1_000)),
        }
    }
}
