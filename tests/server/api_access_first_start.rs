//! The first start on an address that others can reach, with the program itself.

use std::{path::Path, process::Stdio};

use airlift_testkit::free_port;
use reqwest::Client;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{self, Child},
    time::timeout,
};

use crate::{
    api_access_users::{OURS, PASSWORD},
    app::SOON,
    cli_token::airlift,
};

const AIRLIFT: &str = env!("CARGO_BIN_EXE_airlift");

struct Place {
    folder: tempfile::TempDir,
    port: u16,
    http: Client,
}

impl Place {
    fn new() -> Place {
        Place {
            folder: tempfile::tempdir().unwrap(),
            port: free_port().unwrap(),
            http: Client::new(),
        }
    }

    fn data(&self) -> &Path {
        self.folder.path()
    }

    fn words(&self, more: &[&str]) -> Vec<String> {
        let mut words = vec![
            "serve".to_owned(),
            format!("--listen=0.0.0.0:{}", self.port),
            format!("--mqtt-listen=127.0.0.1:{}", free_port().unwrap()),
            format!("--public-url=http://localhost:{}", self.port),
            format!("--data-dir={}", self.data().display()),
        ];
        words.extend(more.iter().map(|it| (*it).to_owned()));
        words
    }

    /// A start that is refused; what it says.
    async fn refused(&self) -> String {
        let words = self.words(&[]);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let ended = airlift(&words, "").await;
        assert_eq!(ended.code, Some(1), "{ended:?}");
        assert_eq!(ended.out, "");
        ended.err
    }

    /// A server that serves, and what it has said until then.
    async fn serve(&self, more: &[&str]) -> (Child, String) {
        let mut server = process::Command::new(AIRLIFT);
        let mut server = server
            .args(self.words(more))
            .kill_on_drop(true)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(server.stderr.take().unwrap()).lines();
        let mut said = String::new();
        let serves = async {
            while let Some(line) = lines.next_line().await.unwrap() {
                said += &line;
                said.push('\n');
                if line.contains("airlift serves") {
                    return;
                }
            }
            panic!("it does not serve: {said}");
        };
        timeout(SOON, serves).await.expect("it serves in time");
        // Its pipe stays open, or it would end at the next line.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        (server, said)
    }

    async fn status(&self, path: &str) -> u16 {
        let url = format!("http://127.0.0.1:{}{path}", self.port);
        self.http.get(url).send().await.unwrap().status().as_u16()
    }

    /// Status, code and cookie.
    async fn set_up(&self, link: &str, name: &str) -> (u16, Value, Option<String>) {
        let url = format!("http://127.0.0.1:{}/api/ota/setup", self.port);
        let body = json!({ "link": link, "name": name, "password": PASSWORD });
        let request = self.http.post(url).header(OURS.0, OURS.1).json(&body);
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        let cookie = answer.headers().get("set-cookie");
        let cookie = cookie.map(|it| it.to_str().unwrap().to_owned());
        let body: Value = answer.json().await.unwrap();
        (status, body["code"].clone(), cookie)
    }
}

/// The secret of the link that a start has printed.
fn link(said: &str, port: u16) -> String {
    let begin = format!("http://localhost:{port}/setup#");
    let (_, rest) = said.split_once(&begin).expect("a link");
    let secret = rest.split_whitespace().next().unwrap().to_owned();
    assert!(secret.starts_with("als_") && secret.len() == 47, "{secret}");
    secret
}

async fn end(mut server: Child) {
    server.kill().await.unwrap();
}

#[tokio::test]
async fn a_first_start_prints_a_link_that_makes_one_administrator() {
    let place = Place::new();
    let said = place.refused().await;
    for words in [
        "--listen 0.0.0.0",
        "airlift token create",
        "--insecure-open",
    ] {
        assert!(said.contains(words), "{words}: {said}");
    }
    let link = link(&said, place.port);
    let (server, said) = place.serve(&[]).await;
    assert!(said.contains("setup link"), "{said}");
    assert!(!said.contains(&link), "{said}");
    for path in [
        "/api/ota/firmware",
        "/api/ota/tokens",
        "/metrics",
        "/openapi.json",
    ] {
        assert_eq!(place.status(path).await, 401, "{path}");
    }
    for path in ["/", "/login", "/setup", "/healthz"] {
        assert_eq!(place.status(path).await, 200, "{path}");
    }
    let wrong = link.replace("als_", "als_A");
    let (status, code, _) = place.set_up(&wrong, "eve").await;
    assert_eq!((status, code), (403, "invalid_setup_link".into()));
    let (status, _, cookie) = place.set_up(&link, "ann").await;
    assert_eq!(status, 200);
    assert!(cookie.unwrap().starts_with("airlift_session=alc_"));
    let (status, code, cookie) = place.set_up(&link, "eve").await;
    assert_eq!((status, code), (403, "invalid_setup_link".into()));
    assert_eq!(cookie, None);
    end(server).await;
    let (server, said) = place.serve(&["--insecure-open"]).await;
    assert!(!said.contains("setup link"), "{said}");
    assert_eq!(
        place.status("/api/ota/firmware").await,
        401,
        "it asks all the same"
    );
    end(server).await;
}

#[tokio::test]
async fn an_administrator_made_otherwise_is_the_end_of_the_link() {
    let place = Place::new();
    let link = link(&place.refused().await, place.port);
    let data = place.data().to_str().unwrap();
    let words = [
        "user",
        "create",
        "--name",
        "ann",
        "--role",
        "admin",
        "--data-dir",
        data,
    ];
    airlift(&words, &format!("{PASSWORD}\n")).await.done();
    let (server, _) = place.serve(&[]).await;
    let (status, code, _) = place.set_up(&link, "eve").await;
    assert_eq!((status, code), (403, "invalid_setup_link".into()));
    end(server).await;
}

#[tokio::test]
async fn who_says_insecure_open_is_served_open_also_after_a_start_that_was_refused() {
    let place = Place::new();
    let link = link(&place.refused().await, place.port);
    let (server, _) = place.serve(&["--insecure-open"]).await;
    assert_eq!(place.status("/api/ota/firmware").await, 200);
    let (status, code, _) = place.set_up(&link, "eve").await;
    assert_eq!((status, code), (403, "invalid_setup_link".into()));
    end(server).await;
}
