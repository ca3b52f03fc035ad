//! A build machine with a package to push, and `airlift package` run on it.

use std::{fs, os::unix::fs::symlink, path::Path, process::Stdio};

use airlift_testkit::Scratch;
use serde_json::Value;
use tokio::{process, time::timeout};

use crate::{
    app::{SOON, TestApp},
    workbench::{Ended, words},
};

pub const AIRLIFT: &str = env!("CARGO_BIN_EXE_airlift");
/// With an odd order, odd blanks and a key of its own.
pub const CONTENT: &str = "{\n  \"colour\": \"red\",\n  \"version\" : \"1.0.0\",\n  \"package\": \"app\",\n  \
    \"branch\": \"main\",\n  \"local\": \"/opt/app\", \"remote\": \"http://localhost:8018\",\n  \
    \"sha256\": \"\", \"dependencies\": {\"lib\": \">=1.2, <2\"}\n}\n";

/// A build machine: a folder with what is to be pushed.
pub struct Bench {
    scratch: Scratch,
    pub server: String,
}

impl Bench {
    /// With the package `app` 1.0.0: a folder `dist` and its `content.json`.
    pub fn new(app: &TestApp) -> Bench {
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

    pub fn path(&self) -> &Path {
        self.scratch.path()
    }

    pub fn put(&self, name: &str, text: &str) {
        fs::write(self.path().join(name), text).unwrap();
    }

    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path().join(name)).unwrap()
    }

    /// Runs `airlift package <line>`.
    pub async fn run(&self, line: &str) -> Ended {
        self.run_with(line, &[]).await
    }

    pub async fn run_with(&self, line: &str, environment: &[(&str, &str)]) -> Ended {
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
    pub async fn says(&self, line: &str) -> String {
        let ended = self.run(line).await;
        assert_eq!(ended.code, Some(0), "{line}: {ended:?}");
        ended.out
    }

    pub async fn json(&self, line: &str) -> Value {
        let said = self.says(&format!("{line} --json")).await;
        serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}"))
    }

    pub async fn refuses(&self, line: &str, said: &[&str]) {
        let ended = self.run(line).await;
        assert_eq!(ended.code, Some(2), "{line}: {ended:?}");
        assert_eq!(ended.out, "", "{line}");
        words(&ended.err, said);
    }

    pub async fn push(&self, version: &str) -> Value {
        self.json(&format!(
            "push dist --content content.json --version {version} --level 3"
        ))
        .await
    }
}
