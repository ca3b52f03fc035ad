//! An airlift process with what it stands on.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use airlift_testkit::{
    Durability, Mosquitto, MosquittoOptions, Postgres, Process, Scratch, binary, free_port,
};
use anyhow::{Result, ensure};
use reqwest::{
    Client,
    multipart::{Form, Part},
};
use serde_json::{Value, json};

const START_LIMIT: Duration = Duration::from_secs(60);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Database {
    Sqlite,
    Postgres,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broker {
    BuiltIn,
    Mosquitto,
}

/// A server as an operator runs it: everything durable, no option but addresses.
pub struct Server {
    pub process: Process,
    /// From the start of the process to its first answer.
    pub first_answer: Duration,
    pub http_port: u16,
    pub mqtt_port: u16,
    pub postgres: Option<Postgres>,
    _broker: Option<Mosquitto>,
    pub data: PathBuf,
    client: Client,
    /// Outlives the process.
    _folder: Scratch,
}

impl Server {
    /// `args` come on top.
    pub async fn start(database: Database, broker: Broker, args: &[&str]) -> Result<Server> {
        let folder = Scratch::new("airlift-load")?;
        let postgres = match database {
            Database::Postgres => Some(Postgres::start(Durability::Real)?),
            Database::Sqlite => None,
        };
        let broker = match broker {
            Broker::Mosquitto => Some(start_mosquitto()?),
            Broker::BuiltIn => None,
        };
        let http_port = free_port()?;
        let mqtt_port = match &broker {
            Some(broker) => broker.port(),
            None => free_port()?,
        };
        let data = folder.path().join("data");
        let mut all = vec![
            "serve".to_owned(),
            format!("--listen=127.0.0.1:{http_port}"),
            format!("--data-dir={}", data.display()),
            "--log=warn".to_owned(),
        ];
        all.extend(
            postgres
                .iter()
                .map(|it| format!("--database-url={}", it.url())),
        );
        all.push(match &broker {
            Some(broker) => format!("--mqtt-url={}", broker.url()),
            None => format!("--mqtt-listen=127.0.0.1:{mqtt_port}"),
        });
        all.extend(args.iter().map(|arg| (*arg).to_owned()));
        let began = Instant::now();
        // An operator has none, and they take memory.
        let no_backtraces = [("RUST_BACKTRACE", "0".to_owned())];
        let mut process = Process::spawn(binary("airlift")?, &all, &no_backtraces, "airlift")?;
        let client = Client::new();
        let answers = async |path: &str| {
            let url = format!("http://127.0.0.1:{http_port}{path}");
            let answer = client.get(url).send().await;
            answer.is_ok_and(|answer| answer.status().is_success())
        };
        while !answers("/healthz").await {
            ensure!(
                began.elapsed() < START_LIMIT,
                "airlift does not start:\n{}",
                process.log()
            );
            ensure!(process.is_running()?, "airlift ended:\n{}", process.log());
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let first_answer = began.elapsed();
        while !answers("/readyz").await {
            ensure!(
                began.elapsed() < START_LIMIT,
                "airlift is not ready:\n{}",
                process.log()
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok(Server {
            process,
            first_answer,
            http_port,
            mqtt_port,
            postgres,
            _broker: broker,
            data,
            client,
            _folder: folder,
        })
    }

    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.http_port)
    }

    /// `data` of a GET that must be answered with a success.
    pub async fn get(&self, path: &str) -> Result<Value> {
        data(self.client.get(self.url(path)).send().await?).await
    }

    /// The same of a POST of JSON.
    pub async fn post(&self, path: &str, body: &Value) -> Result<Value> {
        data(self.client.post(self.url(path)).json(body).send().await?).await
    }

    /// Uploads a firmware and releases it; the name of its file.
    pub async fn release(&self, version: &str, image: Vec<u8>) -> Result<String> {
        let part = Part::bytes(image).file_name("firmware.bin");
        let form = Form::new()
            .part("file", part)
            .text("version", version.to_owned());
        let upload = self.client.post(self.url("/api/ota/firmware/upload"));
        let uploaded = data(upload.multipart(form).send().await?).await?;
        let release = format!("/api/ota/firmware/{version}/release");
        self.post(&release, &json!({})).await?;
        let name = uploaded["fileName"].as_str();
        Ok(name.unwrap_or_default().to_owned())
    }
}

/// As Debian's package runs it: what it holds is saved now and then, not each second.
pub fn start_mosquitto() -> Result<Mosquitto> {
    Mosquitto::start(&MosquittoOptions {
        extra_config: vec!["autosave_interval 1800".to_owned()],
        ..MosquittoOptions::default()
    })
}

async fn data(answer: reqwest::Response) -> Result<Value> {
    let (status, url) = (answer.status(), answer.url().path().to_owned());
    let text = answer.text().await?;
    ensure!(status.is_success(), "{url} is answered {status}: {text}");
    let mut answer: Value = serde_json::from_str(&text)?;
    Ok(answer["data"].take())
}
