//! A Linux device: its JSON, its packages, and `airlift-agent` over them.

use std::{
    fs,
    io::Write,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use airlift_testkit::{Process, Scratch, binary};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

/// No poll takes longer, whatever fails in it.
const POLL_LIMIT: Duration = Duration::from_secs(60);

/// A device in a folder of its own.
pub struct Device {
    pub id: String,
    scratch: Scratch,
    members: Map<String, Value>,
    packages: Vec<Value>,
}

/// What one poll came to.
#[derive(Debug)]
pub struct Poll {
    pub code: Option<i32>,
    pub output: String,
}

impl Device {
    /// A device whose packages come from `remote`.
    pub fn new(id: &str, remote: &str, packages: &[&str]) -> Device {
        let scratch = Scratch::new(id).unwrap();
        fs::create_dir(scratch.path().join("opt")).unwrap();
        let mut device = Device {
            id: id.to_owned(),
            packages: Vec::new(),
            members: Map::new(),
            scratch,
        };
        for package in packages {
            device.packages.push(json!({
                "package": package,
                "description": "",
                "version": "0",
                "branch": "main",
                "local": device.local(package),
                "remote": remote,
                "sha256": "",
                "BeforeUpdate": "",
                "AfterUpdate": "",
                "dependencies": {},
                "restore": "",
            }));
        }
        let state_dir = device.folder().join("state");
        device.set("stateDir", json!(state_dir));
        device
    }

    pub fn folder(&self) -> &Path {
        self.scratch.path()
    }

    /// Where a package stands.
    pub fn local(&self, package: &str) -> PathBuf {
        self.folder().join("opt").join(package)
    }

    /// Writes a member of the device JSON.
    pub fn set(&mut self, key: &str, value: Value) {
        self.members.insert(key.to_owned(), value);
        self.write();
    }

    /// Changes what the device JSON says of each package.
    pub fn set_of_packages(&mut self, key: &str, value: &Value) {
        for package in &mut self.packages {
            package[key] = value.clone();
        }
        self.write();
    }

    fn write(&self) {
        let mut json = self.members.clone();
        json.insert("device".to_owned(), json!(self.id));
        json.insert("description".to_owned(), json!("of a test"));
        json.insert("package".to_owned(), json!(self.packages));
        fs::write(self.config(), serde_json::to_vec_pretty(&json).unwrap()).unwrap();
    }

    pub fn config(&self) -> PathBuf {
        self.folder().join("device.json")
    }

    fn arguments(&self) -> Vec<String> {
        vec![format!("--config={}", self.config().display())]
    }

    /// The agent's process for one poll.
    pub fn begin_poll(&self) -> Process {
        let mut arguments = self.arguments();
        arguments.push("--once".to_owned());
        Process::spawn(binary("airlift-agent").unwrap(), &arguments, &[], "agent").unwrap()
    }

    /// One poll, to its end.
    pub async fn poll(&self) -> Poll {
        let mut process = self.begin_poll();
        tokio::task::spawn_blocking(move || {
            let status = process.wait(POLL_LIMIT).unwrap();
            Poll {
                code: status.code(),
                output: process.log(),
            }
        })
        .await
        .unwrap()
    }

    /// The agent as a daemon.
    pub fn start(&self) -> Process {
        let program = binary("airlift-agent").unwrap();
        Process::spawn(program, &self.arguments(), &[], "agent").unwrap()
    }

    /// What a package says when it runs.
    pub fn runs(&self, package: &str) -> String {
        let program = self.local(package).join("bin/run");
        match Command::new(&program).output() {
            Ok(output) => String::from_utf8(output.stdout).unwrap().trim().to_owned(),
            Err(error) => format!("{}: {error}", program.display()),
        }
    }
}

/// A version of a package, before it is pushed.
pub struct Draft {
    pub content: Value,
    pub file: Vec<u8>,
}

/// A package whose `bin/run` says its name and version.
pub fn draft(package: &str, version: &str) -> Draft {
    let mut draft = Draft {
        content: json!({
            "package": package,
            "description": "of a test",
            "version": version,
            "branch": "main",
            "local": "",
            "remote": "",
            "sha256": "",
            "BeforeUpdate": "",
            "AfterUpdate": "",
            "dependencies": {},
            "restore": "",
        }),
        file: Vec::new(),
    };
    draft.fill(package, version, 0);
    draft
}

impl Draft {
    pub fn with(mut self, key: &str, value: Value) -> Draft {
        self.content[key] = value;
        self
    }

    /// With so many bytes that do not compress.
    pub fn larger(mut self, bytes: usize) -> Draft {
        let package = self.content["package"].as_str().unwrap().to_owned();
        let version = self.content["version"].as_str().unwrap().to_owned();
        self.fill(&package, &version, bytes);
        self
    }

    fn fill(&mut self, package: &str, version: &str, ballast: usize) {
        let scratch = Scratch::new("draft").unwrap();
        let program = scratch.path().join("bin/run");
        fs::create_dir(program.parent().unwrap()).unwrap();
        fs::write(&program, format!("#!/bin/sh\necho {package} {version}\n")).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        if ballast > 0 {
            let mut file = fs::File::create(scratch.path().join("ballast")).unwrap();
            let mut block = Sha256::digest(version).to_vec();
            for _ in 0..ballast.div_ceil(block.len()) {
                block = Sha256::digest(&block).to_vec();
                file.write_all(&block).unwrap();
            }
        }
        let tar = Command::new("tar")
            .args([
                "-C",
                scratch.path().to_str().unwrap(),
                "--zstd",
                "-cf",
                "-",
                ".",
            ])
            .output()
            .unwrap();
        assert!(tar.status.success(), "{tar:?}");
        self.file = tar.stdout;
        self.content["sha256"] = json!(hex::encode(Sha256::digest(&self.file)));
    }

    /// `PUT /update`; must be taken.
    pub async fn push(&self, server: &str) {
        let text = self.content.to_string();
        let file = reqwest::multipart::Part::bytes(self.file.clone()).file_name("package");
        let form = reqwest::multipart::Form::new()
            .text("content", text)
            .part("file", file);
        let request = reqwest::Client::new().put(format!("{server}/update"));
        let answer = request.multipart(form).send().await.unwrap();
        let status = answer.status();
        assert_eq!(status, 200, "{}", answer.text().await.unwrap());
    }
}
