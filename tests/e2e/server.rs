//! `airlift serve` as a process, and a client of its API.

use std::{path::Path, time::Duration};

use airlift_testkit::{Process, binary, free_port};
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use serde_json::Value;

/// Wait for anything that should happen.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// One server process.
pub struct Server {
    pub process: Process,
    pub url: String,
}

impl Server {
    /// Starts a server that keeps its files in `data_dir`; `args` come on top.
    pub fn start(data_dir: &Path, args: &[String], env: &[(&str, String)]) -> Server {
        let port = free_port().unwrap();
        let url = format!("http://127.0.0.1:{port}");
        let mut all = vec![
            "serve".to_owned(),
            format!("--listen=127.0.0.1:{port}"),
            format!("--data-dir={}", data_dir.display()),
        ];
        if !args.iter().any(|arg| arg.starts_with("--public-url")) {
            all.push(format!("--public-url={url}"));
        }
        // The built-in broker's own port is one for the whole machine.
        if !args.iter().any(|arg| arg.starts_with("--mqtt-")) {
            let mqtt_port = free_port().unwrap();
            all.push(format!("--mqtt-listen=127.0.0.1:{mqtt_port}"));
        }
        all.extend_from_slice(args);
        let process = Process::spawn(binary("airlift").unwrap(), &all, env, "airlift").unwrap();
        let mut server = Server { process, url };
        server.wait_until_serving();
        server
    }

    pub fn wait_until_serving(&mut self) {
        self.process
            .wait_for_line("airlift serves", PATIENCE)
            .unwrap();
    }

    /// The sum of all series of a metric whose labels contain `label`.
    pub async fn metric(&self, name: &str, label: &str) -> u64 {
        let url = format!("{}/metrics", self.url);
        sum(reqwest::get(url).await.unwrap(), name, label).await
    }

    /// The same of a server that asks for a token.
    pub async fn metric_as(&self, token: &str, name: &str, label: &str) -> u64 {
        let url = format!("{}/metrics", self.url);
        let request = reqwest::Client::new().get(url).bearer_auth(token);
        sum(request.send().await.unwrap(), name, label).await
    }

    pub fn kill9_and_start_again(&mut self) {
        self.process.kill9().unwrap();
        self.process.start_again().unwrap();
        self.wait_until_serving();
    }
}

async fn sum(metrics: reqwest::Response, name: &str, label: &str) -> u64 {
    assert_eq!(metrics.status(), 200);
    let text = metrics.text().await.unwrap();
    text.lines()
        .filter(|line| line.starts_with(name) && line.contains(label))
        .map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap())
        .sum()
}

/// Calls the API of whichever server answers.
#[derive(Clone)]
pub struct Api {
    client: reqwest::Client,
    urls: Vec<String>,
}

impl Api {
    pub fn new(urls: &[&str]) -> Api {
        Api {
            client: reqwest::Client::new(),
            urls: urls.iter().map(|url| (*url).to_owned()).collect(),
        }
    }

    /// Shows this token with each request.
    pub fn with_token(urls: &[&str], token: &str) -> Api {
        let mut value = HeaderValue::try_from(format!("Bearer {token}")).unwrap();
        value.set_sensitive(true);
        let headers = HeaderMap::from_iter([(AUTHORIZATION, value)]);
        let client = reqwest::Client::builder().default_headers(headers);
        Api {
            client: client.build().unwrap(),
            ..Api::new(urls)
        }
    }

    /// Uploads and releases a firmware.
    pub async fn release(&self, version: &str, image: &[u8]) {
        let part = reqwest::multipart::Part::bytes(image.to_vec()).file_name("firmware.bin");
        let form = reqwest::multipart::Form::new()
            .part("file", part)
            .text("version", version.to_owned());
        let url = format!("{}/api/ota/firmware/upload", self.urls[0]);
        let answer = self.client.post(url).multipart(form).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{}", answer.text().await.unwrap());
        let url = format!("{}/api/ota/firmware/{version}/release", self.urls[0]);
        let answer = self.client.post(url).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{}", answer.text().await.unwrap());
    }

    /// Triggers an upgrade, asking again until a server accepts it; the task.
    pub async fn trigger(&self, gateway_id: &str, version: &str) -> Value {
        let body = serde_json::json!({ "version": version });
        for attempt in 0.. {
            let base = &self.urls[attempt % self.urls.len()];
            let request = self
                .client
                .post(format!("{base}/api/ota/upgrade/{gateway_id}"))
                .json(&body);
            match request.send().await {
                Ok(answer) if answer.status() == 200 => {
                    if let Ok(mut answer) = answer.json::<Value>().await {
                        return answer["data"].take();
                    }
                }
                Ok(answer) if answer.status().is_client_error() => {
                    panic!("{gateway_id}: {}", answer.text().await.unwrap())
                }
                _ => {}
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        unreachable!()
    }

    /// GET of an API path; `None` while no server answers it with a success.
    pub async fn get(&self, path: &str) -> Option<Value> {
        for base in &self.urls {
            if let Ok(answer) = self.client.get(format!("{base}{path}")).send().await
                && answer.status() == 200
                && let Ok(mut answer) = answer.json::<Value>().await
            {
                return Some(answer["data"].take());
            }
        }
        None
    }

    /// POST to the first server, which must answer with a success; its data.
    pub async fn post(&self, path: &str, body: &Value) -> Value {
        let url = format!("{}{path}", self.urls[0]);
        let answer = self.client.post(url).json(body).send().await.unwrap();
        let status = answer.status();
        let mut answer: Value = answer.json().await.unwrap();
        assert_eq!(status, 200, "{answer}");
        answer["data"].take()
    }

    /// Every task.
    pub async fn tasks(&self, query: &str) -> Option<Vec<Value>> {
        self.list("/api/ota/tasks", query).await
    }

    /// Everything that a path lists, page by page.
    pub async fn list(&self, path: &str, query: &str) -> Option<Vec<Value>> {
        let mut items = Vec::new();
        let mut cursor = String::new();
        loop {
            let page = self
                .get(&format!("{path}?limit=500&{query}{cursor}"))
                .await?;
            items.extend(page["items"].as_array()?.iter().cloned());
            match page["nextCursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return Some(items),
            }
        }
    }
}

/// Waits until `done` says so.
pub async fn eventually(what: &str, limit: Duration, mut done: impl AsyncFnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + limit;
    while !done().await {
        assert!(
            tokio::time::Instant::now() < deadline,
            "not within {limit:?}: {what}"
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
