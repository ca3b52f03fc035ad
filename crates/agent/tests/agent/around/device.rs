//! A device in a folder of its own.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    time::Duration,
};

use airlift_agent::{
    config::Config,
    cycle::{Cycle, Summary},
    daemon::Daemon,
    disk::Disk,
    folders::Folders,
    http::Http,
    notify::Pulse,
    state::State,
};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::server::Server;

pub struct Device {
    folder: TempDir,
    json: Value,
}

impl Device {
    /// With packages of these names on branch `main`, none of them installed yet.
    pub fn new(server: &Server, packages: &[&str]) -> Device {
        let folder = tempfile::tempdir().unwrap();
        let list: Vec<Value> = packages
            .iter()
            .map(|package| {
                json!({
                    "package": package, "branch": "main", "remote": server.url(),
                    "local": folder.path().join("opt").join(package),
                })
            })
            .collect();
        let json = json!({
            "device": "GW-1", "package": list, "stateDir": folder.path().join("state"),
            "scriptTimeoutSeconds": 10, "healthTimeoutSeconds": 2, "pollSeconds": 1,
        });
        let device = Device { folder, json };
        device.write();
        device
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Changes the device JSON.
    pub fn set(&mut self, pointer: &str, value: Value) {
        let (above, name) = pointer.rsplit_once('/').unwrap();
        self.json.pointer_mut(above).unwrap()[name] = value;
        self.write();
    }

    fn write(&self) {
        fs::write(self.config_file(), self.json.to_string()).unwrap();
    }

    pub fn config_file(&self) -> PathBuf {
        self.path().join("device.json")
    }

    pub fn folders(&self) -> Folders {
        Folders::new(self.path().join("state"))
    }

    pub fn local(&self, package: &str) -> PathBuf {
        self.path().join("opt").join(package)
    }

    pub fn state(&self) -> State {
        State::load(&self.folders()).unwrap()
    }

    pub fn installed(&self, package: &str) -> Option<String> {
        let state = self.state();
        let installed = state.installed.get(package)?;
        Some(installed.content.version.clone())
    }

    /// One poll, in this process.
    pub fn poll(&self) -> Summary {
        self.poll_by(Disk::default(), |cycle| cycle.poll().unwrap())
    }

    pub fn poll_by<T>(&self, disk: Disk, what: impl FnOnce(&Cycle) -> T) -> T {
        let config = Config::read(&self.config_file()).unwrap();
        assert!(config.warnings.is_empty(), "{:?}", config.warnings);
        let (folders, http) = (self.folders(), Http::new(&config).unwrap());
        let (stop, pulse) = (std::sync::atomic::AtomicBool::new(false), Pulse::new());
        // Makes the folders; its lock goes with it.
        drop(Daemon::new(config.clone(), Disk::default()).unwrap());
        let mut cycle = Cycle::new(&config, &folders, &disk, &http, &stop, &pulse);
        cycle.pause = Duration::from_millis(5);
        what(&cycle)
    }

    /// The agent as a program.
    pub fn agent(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_airlift-agent"));
        command.arg("--config").arg(self.config_file());
        command.args(arguments);
        command.stdin(Stdio::null());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command.env_remove("NOTIFY_SOCKET").env_remove("RUST_LOG");
        command
    }

    pub fn run(&self, arguments: &[&str]) -> Output {
        self.agent(arguments).output().unwrap()
    }

    /// Names in a folder of the state folder.
    pub fn names(&self, folder: &str) -> Vec<String> {
        let entries = fs::read_dir(self.folders().root().join(folder)).unwrap();
        let names = entries.map(|entry| Ok(entry?.file_name().into_string().unwrap()));
        let mut names: Vec<String> = names.collect::<io::Result<_>>().unwrap();
        names.sort();
        names
    }
}

pub fn text(output: &Output) -> String {
    let (out, err) = (&output.stdout, &output.stderr);
    format!(
        "{}{}",
        String::from_utf8_lossy(out),
        String::from_utf8_lossy(err)
    )
}

/// A `content.json` without digest.
pub fn content(package: &str, version: &str) -> Value {
    json!({"package": package, "version": version, "branch": "main"})
}

pub fn with(mut content: Value, name: &str, value: Value) -> Value {
    content[name] = value;
    content
}

/// A tar archive of files.
pub fn tar(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, bytes) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, name, *bytes).unwrap();
    }
    builder.into_inner().unwrap()
}
