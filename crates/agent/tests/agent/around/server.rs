//! A package server that does what a test tells it, and remembers what it was asked.

mod files;

use std::{
    collections::VecDeque,
    fs::File,
    io::{self, BufRead, BufReader, Cursor, Read, Seek, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use airlift_package::{Content, Requirement, Version};
use rustls::{
    ServerConfig, ServerConnection, StreamOwned,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use url::Url;

/// What goes wrong with the next request for a file.
#[derive(Clone, Debug, PartialEq)]
pub enum Fault {
    /// The connection ends after so many bytes of the body.
    Cut(u64),
    /// The length that is told is that much more than what comes.
    Lie(u64),
    /// One byte of the body, counted from its beginning, is another.
    Wrong(u64),
    /// An error instead.
    Status(u16),
    /// Nothing comes for that long, then the connection ends.
    Hang(Duration),
    /// The whole file, whatever range was asked for.
    WholeFile,
}

/// A file that is served.
#[derive(Clone, Debug)]
pub enum Body {
    Bytes(Arc<Vec<u8>>),
    OnDisk(PathBuf),
}

impl Body {
    fn open(&self) -> (Box<dyn Readable>, u64) {
        match self {
            Body::Bytes(bytes) => {
                let length = bytes.len() as u64;
                (Box::new(Cursor::new(bytes.to_vec())), length)
            }
            Body::OnDisk(path) => {
                let file = File::open(path).unwrap();
                let length = file.metadata().unwrap().len();
                (Box::new(file), length)
            }
        }
    }
}

trait Readable: Read + Seek {}
impl<T: Read + Seek> Readable for T {}

#[derive(Clone, Debug)]
struct Kept {
    content: Content,
    bytes: Vec<u8>,
    signature: Option<Vec<u8>>,
    withdrawn: bool,
}

/// What the server has, does and saw.
#[derive(Debug, Default)]
pub struct Inner {
    versions: Vec<Kept>,
    files: Vec<(String, Body)>,
    pub faults: VecDeque<Fault>,
    /// Faults that came to pass.
    pub fired: Vec<Fault>,
    /// Method and address of each request; for files, with the range behind it.
    pub requests: Vec<String>,
    /// Requests that carried a token.
    pub authorized: usize,
    pub reports: Vec<Value>,
    pub tasks: Vec<Value>,
    /// Given out as often as it is asked for.
    pub command: Option<Value>,
    /// Given out once such a report has come: what an operator does meanwhile.
    pub command_after: Option<(u64, Value)>,
    /// Answers to reports and tasks are this status.
    pub report_status: Option<u16>,
    pub task_status: Option<u16>,
    /// An old package server: no requirements, no addresses under /api.
    pub is_old: bool,
    /// Everything is answered with this.
    pub status: Option<u16>,
    /// Files are sent until the connection ends, without a length.
    pub hides_length: bool,
    /// Bytes of files per second.
    pub rate: Option<u64>,
}

pub struct Server {
    is_tls: bool,
    pub address: SocketAddr,
    inner: Arc<Mutex<Inner>>,
    stop: Arc<AtomicBool>,
}

impl Server {
    pub fn start() -> Server {
        Server::start_with(None)
    }

    /// With HTTPS, by certificate and key in these PEM files.
    pub fn start_tls(certificate: &Path, key: &Path) -> Server {
        let chain = CertificateDer::pem_file_iter(certificate).unwrap();
        let key = PrivateKeyDer::from_pem_file(key).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain.map(Result::unwrap).collect(), key)
            .unwrap();
        Server::start_with(Some(Arc::new(config)))
    }

    fn start_with(tls: Option<Arc<ServerConfig>>) -> Server {
        let is_tls = tls.is_some();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let inner: Arc<Mutex<Inner>> = Arc::default();
        let stop: Arc<AtomicBool> = Arc::default();
        let (shared, stopped) = (inner.clone(), stop.clone());
        thread::spawn(move || {
            for stream in listener.incoming() {
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                let (Ok(stream), shared, tls) = (stream, shared.clone(), tls.clone()) else {
                    continue;
                };
                thread::spawn(move || {
                    // A client that goes away is no fault.
                    let _ = match tls {
                        None => serve(&stream, &shared, address),
                        Some(tls) => {
                            let tls = ServerConnection::new(tls).unwrap();
                            serve(StreamOwned::new(tls, &stream), &shared, address)
                        }
                    };
                    let _ = stream.shutdown(Shutdown::Both);
                });
            }
        });
        Server {
            is_tls,
            address,
            inner,
            stop,
        }
    }

    pub fn url(&self) -> String {
        let scheme = if self.is_tls { "https" } else { "http" };
        format!("{scheme}://{}", self.address)
    }

    pub fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap()
    }

    /// Has a version; `content` lacks the digest, which is filled in. Its `content.json`, as given out.
    pub fn push(&self, content: Value, file: &[u8]) -> Vec<u8> {
        let digest = hex::encode(Sha256::digest(file));
        self.push_body(content, &digest, Body::Bytes(Arc::new(file.to_vec())))
    }

    pub fn push_body(&self, mut content: Value, sha256: &str, body: Body) -> Vec<u8> {
        if content["sha256"].is_null() {
            content["sha256"] = json!(sha256);
        }
        let bytes = serde_json::to_vec_pretty(&content).unwrap();
        let content = Content::read(&bytes).unwrap();
        let mut inner = self.inner();
        let is_same = |it: &Kept| {
            (&it.content.package, &it.content.version) == (&content.package, &content.version)
        };
        inner.versions.retain(|it| !is_same(it));
        inner.files.push((sha256.to_owned(), body));
        inner.versions.push(Kept {
            content,
            bytes: bytes.clone(),
            signature: None,
            withdrawn: false,
        });
        bytes
    }

    pub fn sign(&self, package: &str, version: &str, signature: &[u8]) {
        let mut inner = self.inner();
        let mut versions = inner.versions.iter_mut();
        let kept = versions
            .find(|it| it.content.package == package && it.content.version == version)
            .unwrap();
        kept.signature = Some(signature.to_vec());
    }

    pub fn withdraw(&self, package: &str, version: &str) {
        let mut inner = self.inner();
        for kept in &mut inner.versions {
            if kept.content.package == package && kept.content.version == version {
                kept.withdrawn = true;
            }
        }
    }

    pub fn fault(&self, fault: Fault) {
        self.inner().faults.push_back(fault);
    }

    /// The `ota_upgrade` that a release of a package leads to.
    pub fn command(&self, package: &str, version: &str, msg_id: &str) -> Value {
        let inner = self.inner();
        let mut versions = inner.versions.iter();
        let kept = versions
            .find(|it| it.content.package == package && it.content.version == version)
            .unwrap();
        let (content, url) = (&kept.content, self.url());
        let query = format!(
            "package={package}&branch={}&version={version}",
            content.branch
        );
        json!({
            "msgType": "ota_upgrade", "msgId": msg_id, "uuid": "GW-1", "timestamp": 1,
            "data": {
                "version": version, "firmwareUrl": format!("{url}/otafiles/{}", content.sha256),
                "md5": "", "sha256": content.sha256, "fileSize": 1, "forceUpgrade": false,
                "msgId": msg_id, "kind": "package",
                "manifestUrl": format!("{url}/getVersion?{query}"),
            }
        })
    }

    /// State and progress of each `ota_progress`, in order.
    pub fn progress(&self) -> Vec<(String, u64)> {
        let inner = self.inner();
        let reports = inner.reports.iter();
        let progress = reports.filter(|it| it["msgType"] == "ota_progress");
        progress
            .map(|it| {
                let state = it["data"]["state"].as_str().unwrap().to_owned();
                (state, it["data"]["progress"].as_u64().unwrap())
            })
            .collect()
    }

    pub fn last_progress(&self) -> Value {
        let inner = self.inner();
        let mut reports = inner.reports.iter().rev();
        let last = reports.find(|it| it["msgType"] == "ota_progress");
        last.cloned().unwrap_or_default()
    }

    pub fn requests_for(&self, what: &str) -> Vec<String> {
        let inner = self.inner();
        let requests = inner.requests.iter();
        requests.filter(|it| it.contains(what)).cloned().collect()
    }

    /// Waits until something is so; panics when it does not become so.
    pub fn wait_until(&self, what: &str, is_so: impl Fn(&Inner) -> bool) {
        let begun = Instant::now();
        while !is_so(&self.inner()) {
            assert!(begun.elapsed() < Duration::from_secs(20), "no {what}");
            thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
    }
}

struct Request {
    method: String,
    url: Url,
    range: Option<u64>,
    if_range: Option<String>,
    is_authorized: bool,
    body: Vec<u8>,
}

fn read_request(reader: &mut impl BufRead, address: SocketAddr) -> io::Result<Option<Request>> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut words = line.split_whitespace();
    let method = words.next().unwrap_or_default().to_owned();
    let path = words.next().unwrap_or_default();
    let url = Url::parse(&format!("http://{address}{path}")).unwrap();
    let (mut range, mut if_range, mut length, mut is_authorized) = (None, None, 0, false);
    loop {
        let mut header = String::new();
        reader.read_line(&mut header)?;
        let Some((name, value)) = header.trim().split_once(':') else {
            break;
        };
        let value = value.trim();
        match name.to_ascii_lowercase().as_str() {
            "range" => {
                let from = value.trim_start_matches("bytes=").trim_end_matches('-');
                range = from.parse().ok();
            }
            "authorization" => is_authorized = value == "Bearer secret",
            "if-range" => if_range = Some(value.trim_matches('"').to_owned()),
            "content-length" => length = value.parse().unwrap(),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    Ok(Some(Request {
        method,
        url,
        range,
        if_range,
        is_authorized,
        body,
    }))
}

fn serve<S: Read + Write>(stream: S, shared: &Mutex<Inner>, address: SocketAddr) -> io::Result<()> {
    let mut reader = BufReader::new(stream);
    while let Some(request) = read_request(&mut reader, address)? {
        let path = request.url.path().to_owned();
        let range = request.range.map(|it| format!(" from {it}"));
        let range = range.unwrap_or_default();
        let query = request.url.query().unwrap_or_default();
        let line = format!("{} {path}?{query}{range}", request.method);
        {
            let mut inner = shared.lock().unwrap();
            inner.requests.push(line);
            inner.authorized += usize::from(request.is_authorized);
        }
        let status = shared.lock().unwrap().status;
        if let Some(status) = status {
            answer(reader.get_mut(), status, b"{}")?;
        } else if let Some(sha256) = path.strip_prefix("/otafiles/") {
            if !files::serve_file(reader.get_mut(), shared, &request, sha256)? {
                return Ok(());
            }
        } else {
            let (status, body) = small(&mut shared.lock().unwrap(), &request, &path);
            answer(reader.get_mut(), status, &body)?;
        }
    }
    Ok(())
}

fn answer(out: &mut impl Write, status: u16, body: &[u8]) -> io::Result<()> {
    write!(
        out,
        "HTTP/1.1 {status} x\r\ncontent-length: {}\r\n\r\n",
        body.len()
    )?;
    out.write_all(body)
}

fn refusal(status: u16, code: &str) -> (u16, Vec<u8>) {
    let body = json!({"status": false, "message": format!("it is {code}"), "code": code});
    (status, body.to_string().into_bytes())
}

fn small(inner: &mut Inner, request: &Request, path: &str) -> (u16, Vec<u8>) {
    let parameter = |name: &str| {
        let mut pairs = request.url.query_pairs();
        let found = pairs.find(|(key, _)| key == name);
        found
            .map(|(_, value)| value.into_owned())
            .unwrap_or_default()
    };
    let (package, branch) = (parameter("package"), parameter("branch"));
    let version = parameter("version");
    let is_old = inner.is_old;
    let of_package =
        |it: &&Kept| it.content.package == package && it.content.branch == branch && !it.withdrawn;
    let exact = || {
        let mut found = inner.versions.iter().filter(of_package);
        found.find(|it| it.content.version == version)
    };
    let last = path.rsplit('/').next().unwrap_or_default();
    match last {
        "maxVersion" => {
            let requirement: Requirement = parameter("requirement").parse().unwrap();
            let fits = |it: &Kept| {
                let version: Version = it.content.version.parse().unwrap();
                (is_old || requirement.allows(&version)).then_some(version)
            };
            let found = inner.versions.iter().filter(of_package);
            let head = found
                .filter(|it| fits(it).is_some())
                .max_by_key(|it| fits(it));
            head.map_or_else(|| refusal(404, "not_found"), |it| (200, it.bytes.clone()))
        }
        "getVersion" => {
            exact().map_or_else(|| refusal(404, "not_found"), |it| (200, it.bytes.clone()))
        }
        "getSignature" => match exact().and_then(|it| it.signature.clone()) {
            Some(signature) => (200, signature),
            None => refusal(404, "not_found"),
        },
        _ if is_old => refusal(404, "no_such_route"),
        "report" => {
            if let Some(status) = inner.report_status {
                return refusal(status, "so_told");
            }
            let report: Value = serde_json::from_slice(&request.body).unwrap();
            let progress = report["data"]["progress"].as_u64().unwrap_or(0);
            if let Some((_, command)) = inner.command_after.take_if(|(at, _)| progress >= *at) {
                inner.command = Some(command);
            }
            inner.reports.push(report);
            (200, b"{\"status\":true,\"data\":null}".to_vec())
        }
        "command" => {
            let data = json!({"status": true, "data": inner.command});
            (200, data.to_string().into_bytes())
        }
        "task" => {
            if let Some(status) = inner.task_status {
                return refusal(status, "so_told");
            }
            let task = serde_json::from_slice(&request.body).unwrap();
            inner.tasks.push(task);
            let msg_id = format!("ota_{}", inner.tasks.len());
            let data = json!({"status": true, "data": {"msgId": msg_id}});
            (200, data.to_string().into_bytes())
        }
        _ => refusal(404, "no_such_route"),
    }
}
