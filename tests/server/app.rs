//! A server in this process on ports and files of its own, and what tests say to it.

use std::{
    collections::BTreeSet,
    env,
    net::SocketAddr,
    num::NonZeroU64,
    path::PathBuf,
    time::{Duration, Instant},
};

use airlift::{
    app::App,
    config::{Config, Options, RequireSignature},
    domain::Clock,
    service::Service,
    store::{Db, FirmwareFilter, PackageFilter},
};
use airlift_testkit::{TestDatabase, free_port};
use chrono::TimeDelta;
use reqwest::{
    Client, Method, RequestBuilder,
    multipart::{Form, Part},
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{sleep, timeout},
};
use uuid::Uuid;

pub use crate::answer::Answer;
use crate::files::{digests, files_below, keep_log};

/// Long enough for anything that should happen, on a busy machine.
pub const SOON: Duration = Duration::from_secs(30);
/// Long enough to believe that something does not happen: the server looks into its outbox every
/// half second.
pub const QUIET: Duration = Duration::from_millis(1500);
/// Between two looks at what is waited for.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);
/// Where a manual clock begins.
const MANUAL_START: &str = "2026-03-01T08:00:00Z";

/// Set, every test that does not care runs on PostgreSQL instead of SQLite.
const ON_POSTGRES: &str = "AIRLIFT_TEST_ON_POSTGRES";

/// What a test wants otherwise than by default.
#[derive(Default)]
pub struct Setup {
    pub clock: Clock,
    /// An empty PostgreSQL database instead of SQLite.
    pub postgres: bool,
    pub database_url: Option<String>,
    pub mqtt_url: Option<String>,
    pub upload_bytes_max: Option<u64>,
    pub download_bytes_per_second: Option<NonZeroU64>,
    pub announce_hours: Option<u32>,
    pub trusted_keys: Option<PathBuf>,
    pub require_signature: Option<RequireSignature>,
    /// Whatever else.
    pub options: Options,
}

/// A running server. A test ends it with [`TestApp::stop`], which also looks whether it leaves a
/// clean house.
pub struct TestApp {
    app: Option<App>,
    pub clock: Clock,
    pub http_addr: SocketAddr,
    pub mqtt_port: u16,
    http: Client,
    /// Of the next start.
    pub config: Config,
    _database: Option<TestDatabase>,
    data: TempDir,
}

/// The value that `look` comes to find, or a panic that names what was waited for.
pub async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(began.elapsed() < SOON, "waited in vain for {what}");
        sleep(LOOK_INTERVAL).await;
    }
}

impl Setup {
    /// A server whose clock only the test moves.
    pub fn manual_clock() -> Setup {
        Setup {
            clock: Clock::manual(MANUAL_START.parse().unwrap()),
            ..Setup::default()
        }
    }

    /// Everything but the start, for tests that watch it.
    pub fn prepare(self) -> TestApp {
        keep_log();
        let data = tempfile::tempdir().unwrap();
        let on_postgres = self.postgres || env::var_os(ON_POSTGRES).is_some();
        let wants_own = on_postgres && self.database_url.is_none();
        let database = wants_own.then(|| TestDatabase::create().unwrap());
        let local = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let http_addr = local(free_port().unwrap());
        let mqtt_port = match &self.mqtt_url {
            Some(url) => url.rsplit(':').next().unwrap().parse().unwrap(),
            None => free_port().unwrap(),
        };
        let config = Options {
            listen: Some(http_addr),
            public_url: (self.options.public_url).or_else(|| Some(format!("http://{http_addr}/"))),
            data_dir: Some(data.path().to_owned()),
            database_url: database
                .as_ref()
                .map(|database| database.url().to_owned())
                .or(self.database_url),
            mqtt_listen: Some(local(mqtt_port)),
            mqtt_url: self.mqtt_url,
            upload_bytes_max: self.upload_bytes_max,
            download_bytes_per_second: self.download_bytes_per_second,
            announce_hours: self.announce_hours,
            trusted_keys: self.trusted_keys,
            require_signature: self.require_signature,
            ..self.options
        };
        TestApp {
            app: None,
            clock: self.clock,
            http_addr,
            mqtt_port,
            http: Client::new(),
            config: config.resolve().unwrap(),
            _database: database,
            data,
        }
    }

    pub async fn start(self) -> TestApp {
        let mut app = self.prepare();
        app.run().await;
        app.ready().await;
        app
    }
}

impl TestApp {
    pub async fn start() -> TestApp {
        Setup::default().start().await
    }

    /// Why the server does not start.
    pub async fn refuses_to_start(self) -> String {
        assert!(self.app.is_none(), "it runs already");
        match App::start(&self.config, self.clock.clone()).await {
            Ok(_) => panic!("it starts"),
            Err(error) => format!("{error:#}"),
        }
    }

    /// Starts the server; it may not be ready yet.
    pub async fn run(&mut self) {
        assert!(self.app.is_none(), "it runs already");
        let app = App::start(&self.config, self.clock.clone()).await;
        self.app = Some(app.expect("the server starts"));
    }

    pub async fn ready(&self) {
        eventually("readiness", async || {
            (self.get("/readyz").await.status == 200).then_some(())
        })
        .await;
    }

    /// Ends the server and looks at what it leaves: no message untaken in the inbox, no file in
    /// staging, and of every firmware and package its files and no other.
    pub async fn stop(mut self) {
        let db = self.db().await;
        let anytime = self.clock.now() + TimeDelta::days(365);
        eventually("an empty inbox", async || {
            let mut tx = db.read().await.unwrap();
            let left = tx.inbox(anytime, 1).await.unwrap();
            left.is_empty().then_some(())
        })
        .await;
        self.end().await;
        assert_eq!(self.staged_files(), [""; 0], "left under staging");
        let every = FirmwareFilter {
            device_type: None,
            status: None,
            before: Uuid::max(),
            limit: 10_000,
        };
        let mut tx = db.read().await.unwrap();
        let firmwares = tx.firmwares(&every).await.unwrap();
        let every = PackageFilter {
            name: None,
            branch: None,
            before: Uuid::max(),
            limit: 10_000,
        };
        let packages = tx.packages(&every).await.unwrap();
        drop(tx);
        let packages = packages.into_iter().map(|(package, _)| package.sha256);
        let used = firmwares.into_iter().flat_map(digests).chain(packages);
        let used: BTreeSet<String> = used.collect();
        let stored: BTreeSet<String> = self.blob_files().into_iter().collect();
        assert_eq!(
            stored, used,
            "files, and what firmwares and packages refer to"
        );
        db.close().await;
    }

    /// Ends the server; it can be run again.
    pub async fn end(&mut self) {
        self.app.take().expect("it runs").stop().await;
    }

    /// The flags of `airlift` for the same server as a process.
    pub fn arguments(&self) -> Vec<String> {
        let config = &self.config;
        let mut flags = vec![
            ("--listen", config.listen.to_string()),
            ("--public-url", config.public_url.clone()),
            ("--data-dir", config.data_dir.display().to_string()),
            ("--database-url", config.database_url.clone()),
            ("--mqtt-listen", format!("127.0.0.1:{}", self.mqtt_port)),
        ];
        if let Some(folder) = &config.trusted_keys {
            flags.push(("--trusted-keys", folder.display().to_string()));
        }
        let flags = flags
            .into_iter()
            .map(|(flag, value)| format!("{flag}={value}"));
        ["serve".to_owned()].into_iter().chain(flags).collect()
    }

    pub fn service(&self) -> &Service {
        &self.app.as_ref().expect("it runs").service
    }

    /// The database, beside the server's own connections.
    pub async fn db(&self) -> Db {
        Db::open(&self.config.database_url).await.unwrap()
    }

    /// Names of the files being staged.
    pub fn staged_files(&self) -> Vec<String> {
        files_below(&self.data.path().join("blobs/staging"))
    }

    /// Names of the stored files.
    pub fn blob_files(&self) -> Vec<String> {
        files_below(&self.data.path().join("blobs/blobs"))
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.http_addr)
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send(self.http.get(self.url(path))).await
    }

    pub async fn head(&self, path: &str) -> Answer {
        self.send(self.http.head(self.url(path))).await
    }

    pub async fn delete(&self, path: &str) -> Answer {
        self.send(self.http.delete(self.url(path))).await
    }

    pub async fn post(&self, path: &str) -> Answer {
        self.send(self.http.post(self.url(path))).await
    }

    pub async fn post_json(&self, path: &str, body: Value) -> Answer {
        self.send(self.http.post(self.url(path)).json(&body)).await
    }

    pub async fn patch_json(&self, path: &str, body: Value) -> Answer {
        self.send(self.http.patch(self.url(path)).json(&body)).await
    }

    /// A GET with request headers.
    pub async fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        self.ask(Method::GET, path, headers, None).await
    }

    /// Any request, with headers and maybe a JSON body.
    pub async fn ask(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<Value>,
    ) -> Answer {
        let request = self.http.request(method, self.url(path));
        let request = headers.iter().fold(request, |request, (name, value)| {
            request.header(*name, *value)
        });
        self.send(match body {
            Some(body) => request.json(&body),
            None => request,
        })
        .await
    }

    /// A POST of JSON with request headers.
    pub async fn post_json_with(
        &self,
        path: &str,
        headers: &[(&str, &str)],
        body: Value,
    ) -> Answer {
        let request = self.http.post(self.url(path)).json(&body);
        let request = headers.iter().fold(request, |request, (name, value)| {
            request.header(*name, *value)
        });
        self.send(request).await
    }

    /// A POST of `body` as `content_type`, if any.
    pub async fn post_as(&self, path: &str, content_type: Option<&str>, body: &str) -> Answer {
        let request = self.http.post(self.url(path)).body(body.to_owned());
        let request = match content_type {
            Some(content_type) => request.header("content-type", content_type),
            None => request,
        };
        self.send(request).await
    }

    pub async fn put_form(&self, path: &str, form: Form) -> Answer {
        self.send(self.http.put(self.url(path)).multipart(form))
            .await
    }

    pub async fn post_form(&self, path: &str, form: Form) -> Answer {
        self.send(self.http.post(self.url(path)).multipart(form))
            .await
    }

    /// Sends a request; whatever answers under `/api` must be an envelope, but for lists
    /// as CSV.
    async fn send(&self, request: RequestBuilder) -> Answer {
        let response = timeout(SOON, request.send())
            .await
            .expect("an answer in time")
            .expect("an answer");
        let is_api = response.url().path().starts_with("/api");
        let answer = Answer {
            status: response.status().as_u16(),
            headers: response.headers().clone(),
            body: response.bytes().await.expect("a whole body").to_vec(),
        };
        let is_csv = answer
            .header("content-type")
            .is_some_and(|content_type| content_type.starts_with("text/csv"));
        if is_api && !is_csv {
            let body = answer.json();
            assert_eq!(body["status"], answer.status == 200, "{body}");
            assert!(body["message"].is_string(), "{body}");
            assert!(body.get("data").is_some(), "{body}");
            assert_eq!(body.get("code").is_some(), answer.status != 200, "{body}");
        }
        answer
    }

    /// Sends bytes as they are and reads the answer to its end: for requests that no client library
    /// would send.
    pub async fn raw(&self, request: &str) -> String {
        let mut stream = TcpStream::connect(self.http_addr).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        timeout(SOON, stream.read_to_end(&mut answer))
            .await
            .expect("an answer in time")
            .expect("an answer");
        String::from_utf8_lossy(&answer).into_owned()
    }

    pub async fn upload(&self, version: &str, file: &[u8]) -> Answer {
        self.upload_for("gateway", version, file).await
    }

    pub async fn upload_for(&self, device_type: &str, version: &str, file: &[u8]) -> Answer {
        let form = Form::new()
            .text("version", version.to_owned())
            .text("deviceType", device_type.to_owned())
            .part("file", file_part(file));
        self.post_form(UPLOAD, form).await
    }

    pub async fn release(&self, version: &str) -> Answer {
        self.post(&format!("/api/ota/firmware/{version}/release"))
            .await
    }

    /// Uploads and releases a small firmware.
    pub async fn released(&self, version: &str) -> Value {
        let file = format!("image {version}");
        self.upload(version, file.as_bytes()).await.data();
        self.release(version).await.data()
    }

    pub async fn trigger(&self, gateway: &str, version: &str) -> Answer {
        self.post_json(
            &format!("/api/ota/upgrade/{gateway}"),
            json!({ "version": version }),
        )
        .await
    }

    /// The gateway's newest task.
    pub async fn task(&self, gateway: &str) -> Value {
        self.get(&format!("/api/ota/task/{gateway}")).await.data()
    }

    /// The gateway's newest task once it has `status`.
    pub async fn task_with(&self, gateway: &str, status: &str) -> Value {
        let what = format!("{gateway} to be {status}");
        eventually(&what, async || {
            let task = self.task(gateway).await;
            (task["status"] == status).then_some(task)
        })
        .await
    }

    /// The gateway's newest task once it has this status and progress.
    pub async fn task_at(&self, gateway: &str, status: &str, progress: i64) -> Value {
        let what = format!("{gateway} to be {status} at {progress} %");
        eventually(&what, async || {
            let task = self.task(gateway).await;
            (task["status"] == status && task["progress"] == progress).then_some(task)
        })
        .await
    }

    pub async fn gateway(&self, gateway: &str) -> Value {
        let path = format!("/api/ota/gateways/{gateway}");
        self.get(&path).await.data()
    }

    /// The data of the events about a gateway itself, oldest first.
    pub async fn gateway_events(&self, gateway: &str) -> Vec<Value> {
        let db = Db::open(&self.config.database_url).await.unwrap();
        let data = "SELECT data FROM events WHERE kind = 'gateway' AND gateway_id = $1
                    ORDER BY event_id";
        let rows = match &db {
            Db::Postgres(pool) => sqlx::query_scalar(data).bind(gateway).fetch_all(pool).await,
            Db::Sqlite { writer, .. } => {
                sqlx::query_scalar(data)
                    .bind(gateway)
                    .fetch_all(writer)
                    .await
            }
        };
        db.close().await;
        rows.unwrap()
    }

    /// A series of `/metrics`, as `name{label="value"}`; 0 if it is not there yet.
    pub async fn metric(&self, series: &str) -> f64 {
        let text = self.get("/metrics").await.text();
        text.lines()
            .find_map(|line| line.strip_prefix(series)?.strip_prefix(' '))
            .map_or(0.0, |value| value.parse().unwrap())
    }

    pub async fn metric_reaches(&self, series: &str, value: f64) {
        eventually(&format!("{series} to be {value}"), async || {
            (self.metric(series).await >= value).then_some(())
        })
        .await;
        assert_eq!(self.metric(series).await, value, "{series}");
    }
}

pub const UPLOAD: &str = "/api/ota/firmware/upload";

pub fn file_part(file: &[u8]) -> Part {
    Part::bytes(file.to_vec()).file_name("firmware.bin")
}

impl Drop for TestApp {
    fn drop(&mut self) {
        if self.app.is_some() && !std::thread::panicking() {
            panic!("a test ends its server with stop(), which checks what it leaves");
        }
    }
}
