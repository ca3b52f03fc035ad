//! Two servers over one database and one bucket that are pushed the same package at once; one dies.

use std::{collections::BTreeSet, fs, path::Path};

use airlift_testkit::{Mosquitto, MosquittoOptions, Process, S3Server, TestDatabase, free_port};
use reqwest::{Client, Response};
use serde_json::Value;

use crate::{
    app::eventually,
    packages::{content, form, sha256},
};

const FILE_BYTES: usize = 300_000;

struct Servers {
    processes: Vec<Process>,
    urls: Vec<String>,
    s3: S3Server,
    _broker: Mosquitto,
    _database: TestDatabase,
    http: Client,
}

impl Servers {
    async fn start() -> Servers {
        let (database, s3) = (TestDatabase::create().unwrap(), S3Server::start().unwrap());
        let broker = Mosquitto::start(&MosquittoOptions::default()).unwrap();
        let (mut processes, mut urls) = (Vec::new(), Vec::new());
        for _ in 0..2 {
            let url = format!("127.0.0.1:{}", free_port().unwrap());
            let args = [
                "serve".to_owned(),
                format!("--listen={url}"),
                format!("--database-url={}", database.url()),
                format!("--blob-url=s3://{}", s3.bucket),
                format!("--mqtt-url={}", broker.url()),
            ];
            let airlift = env!("CARGO_BIN_EXE_airlift");
            processes.push(Process::spawn(airlift, &args, &s3.env(), "airlift").unwrap());
            urls.push(format!("http://{url}"));
        }
        let servers = Servers {
            processes,
            urls,
            s3,
            _broker: broker,
            _database: database,
            http: Client::new(),
        };
        for server in 0..2 {
            eventually("readiness", async || {
                let ready = servers.get(server, "/readyz").await?;
                ready.status().is_success().then_some(())
            })
            .await;
        }
        servers
    }

    async fn get(&self, server: usize, path: &str) -> Option<Response> {
        let url = format!("{}{path}", self.urls[server]);
        self.http.get(url).send().await.ok()
    }

    /// The status; `None` if the server is gone.
    async fn push(&self, server: usize, text: &str, file: &[u8]) -> Option<u16> {
        let url = format!("{}/update", self.urls[server]);
        let push = self.http.put(url).multipart(form(text, file));
        Some(push.send().await.ok()?.status().as_u16())
    }

    /// Every package is whole, and nothing else is stored; how many there are.
    async fn check(&self, server: usize) -> usize {
        let list = self.get(server, "/api/ota/packages").await.unwrap();
        let list: Value = list.json().await.unwrap();
        let packages = list["data"]["items"].as_array().unwrap();
        for package in packages {
            assert_eq!(package["content"]["sha256"], package["sha256"]);
            let path = format!("/otafiles/{}", package["sha256"].as_str().unwrap());
            let file = self.get(server, &path).await.unwrap();
            let file = file.bytes().await.unwrap();
            assert_eq!(sha256(&file), package["sha256"]);
        }
        packages.len()
    }

    fn stored(&self) -> BTreeSet<String> {
        let mut names = BTreeSet::new();
        below(&self.s3.bucket_folder().join("blobs"), &mut names);
        names
    }
}

fn below(folder: &Path, names: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        match entry.path().is_dir() {
            true => below(&entry.path(), names),
            false => drop(names.insert(entry.file_name().to_string_lossy().into_owned())),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_servers_that_are_pushed_one_version_at_once_keep_one_that_is_whole() {
    let mut servers = Servers::start().await;
    let files: Vec<(String, Vec<u8>)> = (0..4)
        .map(|n| vec![n; FILE_BYTES])
        .map(|file| (content("app", "main", "1.0", &file), file))
        .collect();
    for round in 0..5 {
        // The same to both, and each something else.
        let pushes = files.iter().chain([&files[0], &files[0]]).enumerate();
        let pushes = pushes.map(|(n, (text, file))| servers.push((n + round) % 2, text, file));
        for status in futures_util::future::join_all(pushes).await {
            assert_eq!(status, Some(200));
        }
        assert_eq!(servers.check(0).await, 1);
        assert_eq!(servers.check(1).await, 1);
        assert_eq!(servers.stored().len(), 1, "files that nobody uses");
    }

    // The first dies among them. What it began is there whole or not at all.
    let mut first = servers.processes.remove(0);
    let until_it_dies = futures_util::future::join_all(
        files
            .iter()
            .map(async |(text, file)| while servers.push(0, text, file).await.is_some() {}),
    );
    let meanwhile = async {
        for (text, file) in &files {
            assert_eq!(servers.push(1, text, file).await, Some(200));
        }
        first.kill9().unwrap();
        for (text, file) in &files {
            assert_eq!(servers.push(1, text, file).await, Some(200));
        }
    };
    tokio::join!(until_it_dies, meanwhile);
    assert_eq!(servers.check(1).await, 1);
    let (text, file) = &files[3];
    assert_eq!(servers.push(1, text, file).await, Some(200));
    assert_eq!(servers.check(1).await, 1);
}
