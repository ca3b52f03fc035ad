//! What builds and devices say to the package server.

use reqwest::multipart::{Form, Part};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::app::{Answer, TestApp};

pub const PUSH: &str = "/update";

pub fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// A `content.json` for a file, written as people write them.
pub fn content(name: &str, branch: &str, version: &str, file: &[u8]) -> String {
    let content = json!({
        "package": name, "description": "für alle", "version": version, "branch": branch,
        "local": "/opt/app", "remote": "http://localhost:8018", "sha256": sha256(file),
        "BeforeUpdate": "systemctl stop app", "AfterUpdate": "systemctl start app",
        "dependencies": { "lib": ">=1.2" }, "restore": "", "colour": ["red", 7],
    });
    format!("{content:#}\r\n")
}

pub fn part(name: &str, bytes: &[u8]) -> Part {
    Part::bytes(bytes.to_vec()).file_name(name.to_owned())
}

pub fn form(content: &str, file: &[u8]) -> Form {
    Form::new()
        .part("content", part("content.json", content.as_bytes()))
        .part("file", part("app.tar.zst", file))
}

pub async fn push(app: &TestApp, content: &str, file: &[u8]) -> Answer {
    app.put_form(PUSH, form(content, file)).await
}

/// Pushes a version of `app` on `main` whose file is its text; what became of it.
pub async fn pushed(app: &TestApp, version: &str) -> Value {
    pushed_to(app, "main", version).await
}

pub async fn pushed_to(app: &TestApp, branch: &str, version: &str) -> Value {
    let file = file_of(version);
    let answer = push(app, &content("app", branch, version, &file), &file).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

pub fn file_of(version: &str) -> Vec<u8> {
    format!("files of {version}").into_bytes()
}

/// The version that a branch's devices are given.
pub async fn head(app: &TestApp, branch: &str) -> String {
    let answer = app
        .get(&format!("/maxVersion?package=app&branch={branch}"))
        .await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()["version"].as_str().unwrap().to_owned()
}

/// The packages there are, newest upload first.
pub async fn list(app: &TestApp, query: &str) -> Vec<Value> {
    let page = app.get(&format!("/api/ota/packages{query}")).await.data();
    page["items"].as_array().unwrap().clone()
}
