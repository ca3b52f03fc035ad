//! `airlift package …`, against a real server.

use std::{
    fs,
    io::Read,
    net::TcpListener,
    os::unix::fs::symlink,
    path::Path,
    process::{Command, Stdio},
};

use airlift::config::RequireSignature;
use airlift_testkit::{Gpg, Scratch};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::{process, time::timeout};

use crate::{
    app::{SOON, Setup, TestApp},
    workbench::{Ended, words},
};

const AIRLIFT: &str = env!("CARGO_BIN_EXE_airlift");
/// With an odd order, odd blanks and a key of its own.
const CONTENT: &str = "{\n  \"colour\": \"red\",\n  \"version\" : \"1.0.0\",\n  \"package\": \"app\",\n  \
    \"branch\": \"main\",\n  \"local\": \"/opt/app\", \"remote\": \"http://localhost:8018\",\n  \
    \"sha256\": \"\", \"dependencies\": {\"lib\": \">=1.2, <2\"}\n}\n";

/// A build machine: a folder with what is to be pushed.
struct Bench {
    scratch: Scratch,
    server: String,
}

impl Bench {
    /// With the package `app` 1.0.0: a folder `dist` and its `content.json`.
    fn new(app: &TestApp) -> Bench {
        let bench = Bench {
            scratch: Scratch::new("packages").unwrap(),
            server: app.url(""),
        };
        fs::create_dir_all(bench.path().join("dist/bin")).unwrap();
        bench.put("dist/bin/app", "#!/bin/sh\necho app\n");
        bench.put("dist/readme", "read me");
        symlink("bin/app", bench.path().join("dist/start")).unwrap();
        bench.put("content.json", CONTENT);
        bench
    }

    fn path(&self) -> &Path {
        self.scratch.path()
    }

    fn put(&self, name: &str, text: &str) {
        fs::write(self.path().join(name), text).unwrap();
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path().join(name)).unwrap()
    }

    /// Runs `airlift package <line>`.
    async fn run(&self, line: &str) -> Ended {
        self.run_with(line, &[]).await
    }

    async fn run_with(&self, line: &str, environment: &[(&str, &str)]) -> Ended {
        let mut program = process::Command::new(AIRLIFT);
        program
            .arg("package")
            .args(line.split_whitespace())
            .current_dir(self.path())
            .env_remove("AIRLIFT_TOKEN")
            .env_remove("AIRLIFT_KEY_PASSPHRASE")
            .env("AIRLIFT_SERVER", &self.server)
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .kill_on_drop(true);
        let ended = timeout(SOON, program.output()).await;
        let ended = ended.expect("it ends in time").unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ended {
            code: ended.status.code(),
            out: text(&ended.stdout),
            err: text(&ended.stderr),
        }
    }

    /// What it says when it does what it is told.
    async fn says(&self, line: &str) -> String {
        let ended = self.run(line).await;
        assert_eq!(ended.code, Some(0), "{line}: {ended:?}");
        ended.out
    }

    async fn json(&self, line: &str) -> Value {
        let said = self.says(&format!("{line} --json")).await;
        serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}"))
    }

    async fn refuses(&self, line: &str, said: &[&str]) {
        let ended = self.run(line).await;
        assert_eq!(ended.code, Some(2), "{line}: {ended:?}");
        assert_eq!(ended.out, "", "{line}");
        words(&ended.err, said);
    }

    async fn push(&self, version: &str) -> Value {
        self.json(&format!(
            "push dist --content content.json --version {version} --level 3"
        ))
        .await
    }
}

fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

#[tokio::test]
async fn a_pushed_folder_is_what_the_real_tar_unpacks_and_content_json_is_kept_to_the_byte() {
    let app = TestApp::start().await;
    let bench = Bench::new(&app);
    let said = bench.says("push dist --content content.json").await;
    words(
        &said,
        &[
            "app 1.0.0 is on main: ",
            "(3 files of 26 bytes, packed)",
            "not signed",
            "It is the head: devices that follow main take it.",
            "airlift package show app 1.0.0 --branch main --server ",
        ],
    );
    assert_eq!(bench.read("content.json"), CONTENT, "left alone");
    let content = app.get("/maxVersion?package=app&branch=main").await;
    let data = app
        .get("/api/ota/packages/app/1.0.0?branch=main")
        .await
        .data();
    let digest = data["sha256"].as_str().unwrap();
    let filled = format!("\"sha256\": \"{digest}\"");
    assert_eq!(content.text(), CONTENT.replace("\"sha256\": \"\"", &filled));

    let file = app.get(&format!("/otafiles/{digest}")).await.body;
    assert_eq!(sha256(&file), digest);
    let folder = Scratch::new("unpacked").unwrap();
    fs::write(folder.path().join("file"), &file).unwrap();
    let unpacked = Command::new("tar")
        .args(["--zstd", "-xf", "file"])
        .current_dir(folder.path())
        .status();
    assert!(unpacked.unwrap().success());
    fs::remove_file(folder.path().join("file")).unwrap();
    let differences = Command::new("diff")
        .args(["-r", "--no-dereference"])
        .args([folder.path(), &bench.path().join("dist")])
        .output()
        .unwrap();
    assert!(differences.status.success(), "{differences:?}");

    // Once more is the same version, with the same bytes.
    let again = bench.json("push dist --content content.json").await;
    assert_eq!(again["sha256"], digest);
    assert_eq!(again["id"], data["id"]);
    app.stop().await;
}

#[tokio::test]
async fn a_file_goes_as_it_is_with_another_version_and_branch_and_content_json_is_written_when_asked()
 {
    let app = TestApp::start().await;
    let bench = Bench::new(&app);
    bench.put("app.bin", "any bytes");
    let line = "push app.bin --content content.json --version 1.10 --branch beta/2";
    let said = bench.says(&format!("{line} --write")).await;
    words(
        &said,
        &[
            "app 1.10 is on beta/2: 9 bytes, the file as it is",
            "SHA-256",
        ],
    );
    let digest = sha256(b"any bytes");
    let file = app.get(&format!("/otafiles/{digest}")).await;
    assert_eq!(file.body, b"any bytes");
    let content = app
        .get("/getVersion?package=app&branch=beta/2&version=1.10")
        .await;
    assert_eq!(bench.read("content.json"), content.text());
    assert_eq!(
        content.text(),
        CONTENT
            .replace("1.0.0", "1.10")
            .replace("main", "beta/2")
            .replace("\"sha256\": \"\"", &format!("\"sha256\": \"{digest}\""))
    );
    app.stop().await;
}

#[tokio::test]
async fn the_signature_is_of_the_very_bytes_that_devices_get() {
    let gpg = Gpg::new().unwrap();
    let key = gpg
        .generate("Releases <r@example.com>", "ed25519", "never")
        .unwrap();
    let keys = Scratch::new("keys").unwrap();
    fs::write(keys.path().join("releases.asc"), gpg.export(&key).unwrap()).unwrap();
    let app = Setup {
        trusted_keys: Some(keys.path().to_owned()),
        require_signature: Some(RequireSignature::Always),
        ..Setup::default()
    }
    .start()
    .await;
    let bench = Bench::new(&app);
    let push = "push dist --content content.json";
    bench.refuses(push, &["airlift: ", "signed"]).await;
    let home = [("GNUPGHOME", gpg.home().to_str().unwrap())];
    let line = format!("{push} --sign gpg:r@example.com");
    let pushed = bench.run_with(&line, &home).await;
    assert_eq!(pushed.code, Some(0), "{pushed:?}");
    words(&pushed.out, &[&format!("signed by releases ({key})")]);
    let of = "package=app&branch=main&version=1.0.0";
    let content = app.get(&format!("/getVersion?{of}")).await.body;
    let signature = app.get(&format!("/getSignature?{of}")).await.body;
    assert!(gpg.verifies(&signature, &content).unwrap());
    assert!(!gpg.verifies(&signature, CONTENT.as_bytes()).unwrap());

    // A key in a file, which the server does not trust.
    let made = process::Command::new(AIRLIFT)
        .args([
            "key",
            "generate",
            "--name",
            "own",
            "--no-passphrase",
            "--out",
            ".",
        ])
        .current_dir(bench.path())
        .output();
    assert!(made.await.unwrap().status.success());
    let line = format!("{push} --version 1.0.1 --sign own.secret.asc");
    bench.refuses(&line, &["(untrusted_key)"]).await;
    let listed = bench.json("list").await;
    assert_eq!(listed["version"], "1.0.0");
    assert_eq!(listed["signedBy"]["name"], "releases");
    app.stop().await;
}

#[tokio::test]
async fn a_dry_run_shows_what_would_be_sent_and_sends_nothing() {
    let app = TestApp::start().await;
    let bench = Bench::new(&app);
    let line = "push dist --content content.json --version 2.0.0 --dry-run";
    let said = bench.says(line).await;
    words(
        &said,
        &[
            "app 2.0.0 would go to main, not signed: ",
            "\"version\" : \"2.0.0\"",
        ],
    );
    let said = bench.json(line).await;
    let text = CONTENT.replace("1.0.0", "2.0.0").replace(
        "\"sha256\": \"\"",
        &format!("\"sha256\": {}", said["sha256"]),
    );
    assert_eq!(said["contentText"], text);
    assert_eq!(said["content"]["version"], "2.0.0");
    assert_eq!(said["signature"], Value::Null);
    assert_eq!(bench.says("list --json").await, "");
    assert_eq!(bench.read("content.json"), CONTENT);
    app.stop().await;
}

#[tokio::test]
async fn a_faulty_content_json_is_refused_by_field_before_anything_is_sent() {
    let app = TestApp::start().await;
    let bench = Bench::new(&app);
    for (from, to, said) in [
        ("\"1.0.0\"", "7", "version is 7, and must be a text"),
        (
            "\"1.0.0\"",
            "\"\"",
            "version is missing: write it there, or say --version",
        ),
        ("\"app\"", "\"a/b\"", "package \"a/b\""),
        (">=1.2, <2", ">=", "dependencies: lib: "),
        (
            "\"red\"",
            "\"red\", \"AfterUpdate\": [1]",
            "AfterUpdate is [1]",
        ),
        ("{\n", "[\n", "--content content.json"),
    ] {
        bench.put("content.json", &CONTENT.replacen(from, to, 1));
        bench
            .refuses("push dist --content content.json", &["airlift: ", said])
            .await;
    }
    bench.put("content.json", CONTENT);
    for (line, said) in [
        ("push nowhere --content content.json", "can't read nowhere"),
        (
            "push dist --content nowhere.json",
            "can't read --content nowhere.json",
        ),
        ("push dist", "--content <FILE>"),
        (
            "push dist --content content.json --version 1/0",
            "--version",
        ),
        ("push dist --content content.json --branch ../b", "--branch"),
        ("push dist --content content.json --level 20", "--level"),
        (
            "push dist --content content.json --write --dry-run",
            "cannot be used with",
        ),
        (
            "push dist --content content.json --sign nowhere.asc",
            "nowhere.asc",
        ),
        (
            "push dist --content content.json --server http://127.0.0.1:1",
            "can't reach",
        ),
    ] {
        bench.refuses(line, &[said]).await;
    }
    bench.put("content.json", &CONTENT.replace("/opt/app", ""));
    let warned = bench.run("push dist --content content.json").await;
    assert_eq!(warned.code, Some(0), "{warned:?}");
    words(&warned.err, &["warning: local is empty"]);
    app.stop().await;
}

/// Answers one request with `answer` when all of it has come.
fn answering(answer: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = Vec::new();
        let mut buffer = [0; 4096];
        // The multipart body's end.
        while !request.ends_with(b"--\r\n") {
            let count = stream.read(&mut buffer).unwrap();
            request.extend_from_slice(&buffer[..count]);
        }
        std::io::Write::write_all(&mut stream, answer.as_bytes()).unwrap();
    });
    url
}

#[tokio::test]
async fn a_file_that_was_damaged_on_the_way_is_said_to_be() {
    let app = TestApp::start().await;
    let bench = Bench::new(&app);
    // A server that got another file: what it answers was seen with curl.
    let content = CONTENT.replace(
        "\"sha256\": \"\"",
        &format!("\"sha256\": \"{}\"", sha256(b"x")),
    );
    let form = reqwest::multipart::Form::new()
        .text("content", content)
        .text("file", "y");
    let put = reqwest::Client::new().put(app.url("/update"));
    let answer = put.multipart(form).send().await.unwrap();
    assert_eq!(answer.status(), 304);
    let server = answering("HTTP/1.1 304 Not Modified\r\n\r\n");
    let line = format!("push dist --content content.json --write --server {server}");
    bench
        .refuses(&line, &["app 1.0.0 was damaged on the way", "push again"])
        .await;
    assert_eq!(bench.read("content.json"), CONTENT);
    app.stop().await;
}

#[tokio::test]
async fn versions_are_listed_shown_rolled_back_and_deleted() {
    let app = TestApp::start().await;
    let bench = Bench::new(&app);
    for version in ["1.9", "1.10", "1.11"] {
        bench.put("dist/readme", version);
        let pushed = bench.push(version).await;
        assert_eq!(pushed["head"], true, "{pushed}");
    }
    bench
        .says("push dist --content content.json --branch beta --version 2.0 --level 3")
        .await;
    let listed = bench.says("list --branch main --limit 2").await;
    words(
        &listed,
        &[
            "PACKAGE",
            "BRANCH",
            "VERSION",
            "STATE",
            "app",
            "main",
            "1.11",
            "head",
            "app",
            "1.10",
            "older",
            "… and more",
        ],
    );
    let shown = bench.says("show app").await;
    words(
        &shown,
        &["BRANCH", "HEAD", "beta", "2.0", "1", "main", "1.11", "3"],
    );
    let shown = bench.says("show app 1.10 --branch main").await;
    words(
        &shown,
        &[
            "version    1.10",
            "older than the head",
            "\"colour\": \"red\"",
        ],
    );
    bench
        .refuses(
            "show app 1.10",
            &["the branches beta, main: name one with --branch"],
        )
        .await;
    bench
        .refuses("show nobody", &["airlift: ", "(package_not_found)"])
        .await;

    let said = bench.says("rollback app --branch main").await;
    words(
        &said,
        &[
            "app on main goes back to 1.10",
            "go back to 1.10 at their next",
            "\"never\"",
        ],
    );
    let withdrawn = bench.says("show app 1.11 --branch main").await;
    words(&withdrawn, &["withdrawn at "]);
    let head = bench.json("rollback app --branch main --to 1.9").await;
    assert_eq!(head["version"], "1.9");
    bench
        .refuses("rollback app --branch main", &["(no_earlier_version)"])
        .await;

    let said = bench.says("delete app 1.11 --branch main").await;
    words(&said, &["app 1.11 is deleted from main"]);
    bench
        .refuses("delete app 1.11 --branch main", &["(package_not_found)"])
        .await;
    let left = bench.says("show app").await;
    words(&left, &["main", "1.9", "2", "1"]);
    app.stop().await;
}

#[tokio::test]
async fn the_template_can_be_pushed_at_once() {
    let app = TestApp::start().await;
    let bench = Bench::new(&app);
    bench
        .refuses("init tool", &["content.json is there already"])
        .await;
    let said = bench.says("init tool --out tool.json").await;
    words(
        &said,
        &[
            "tool.json is written",
            "airlift package push DIR --content tool.json",
        ],
    );
    let content: Value = serde_json::from_str(&bench.read("tool.json")).unwrap();
    assert_eq!(content["remote"], bench.server);
    assert_eq!(content["dependencies"], json!({}));
    let pushed = bench
        .json("push dist --content tool.json --version 0.2.0")
        .await;
    assert_eq!(pushed["name"], "tool");
    assert_eq!(pushed["head"], true);
    app.stop().await;
}
