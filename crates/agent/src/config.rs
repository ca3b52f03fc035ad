//! The device JSON: who the device is, and the packages it has. The agent only reads it.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use airlift_package::{Content, Requirement, Version, is_branch, is_package_name, is_sha256};
use airlift_proto::is_gateway_id;
use serde_json::{Map, Value};
use url::Url;

use crate::spelling;

/// Where the agent keeps what it knows if nothing else is said.
const STATE_DIR_DEFAULT: &str = "/var/lib/airlift-agent";
/// Largest device JSON, bytes.
const BYTES_MAX: u64 = 4 << 20;

/// The members of the device JSON that mean something here.
const KEYS: [&str; 18] = [
    "device",
    "description",
    "package",
    "server",
    "deviceType",
    "updates",
    "downgrade",
    "pollSeconds",
    "stateDir",
    "trustedKeys",
    "requireSignature",
    "scriptTimeoutSeconds",
    "healthTimeoutSeconds",
    "caFile",
    "tokenFile",
    "provisioningKeyFile",
    // Often written, and harmless.
    "$schema",
    "comment",
];

/// The members of a `content.json` that are texts.
const CONTENT_TEXTS: [&str; 11] = [
    "package",
    "description",
    "version",
    "branch",
    "local",
    "remote",
    "sha256",
    "BeforeUpdate",
    "AfterUpdate",
    "restore",
    "health",
];

/// What makes a package change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Updates {
    /// The head of its branch.
    Branch,
    /// A command of the server, and nothing else.
    Command,
}

/// Whether a package may become older than it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Downgrade {
    /// When the installed version was withdrawn.
    Withdrawn,
    Never,
}

/// The device JSON, read and checked.
#[derive(Clone, Debug)]
pub struct Config {
    pub file: PathBuf,
    pub device: String,
    pub description: String,
    /// In the file's order; the first one's version is the device's.
    pub packages: Vec<Content>,
    /// Base URL for reports, commands and tasks, without a `/` at its end. None: nobody is told.
    pub server: Option<String>,
    pub device_type: String,
    pub updates: Updates,
    pub downgrade: Downgrade,
    pub poll: Duration,
    pub state_dir: PathBuf,
    pub trusted_keys: Option<PathBuf>,
    pub require_signature: bool,
    pub script_timeout: Duration,
    pub health_timeout: Duration,
    pub ca_file: Option<PathBuf>,
    pub token_file: Option<PathBuf>,
    /// With the fleet's key, by which the device claims what `token_file` then holds.
    pub provisioning_key_file: Option<PathBuf>,
    /// What looks like a slip but keeps nothing from working.
    pub warnings: Vec<String>,
}

/// What is wrong with the device JSON: which file, which member, what to do.
#[derive(Debug, thiserror::Error)]
#[error("{}: {message}", file.display())]
pub struct ConfigError {
    file: PathBuf,
    message: String,
}

impl Config {
    /// Reads a device JSON.
    pub fn read(file: &Path) -> Result<Config, ConfigError> {
        let fault = |message: String| ConfigError {
            file: file.to_owned(),
            message,
        };
        let bytes = read_bytes(file).map_err(|error| {
            fault(format!(
                "cannot be read: {error}; --config names the device JSON"
            ))
        })?;
        let value: Value = serde_json::from_slice(&bytes)
            .map_err(|error| fault(format!("is not JSON: {error}")))?;
        let Value::Object(members) = value else {
            return Err(fault("is not a JSON object: write {\"device\": …}".into()));
        };
        read_members(file, &Members(&members)).map_err(fault)
    }

    /// The listed package of that name.
    pub fn listed(&self, package: &str) -> Option<&Content> {
        self.packages.iter().find(|it| it.package == package)
    }
}

fn read_bytes(file: &Path) -> io::Result<Vec<u8>> {
    let size = fs::metadata(file)?.len();
    if size > BYTES_MAX {
        return Err(io::Error::other(format!(
            "{size} bytes are more than the {BYTES_MAX} that are taken"
        )));
    }
    fs::read(file)
}

fn read_members(file: &Path, members: &Members) -> Result<Config, String> {
    let device = members
        .text("device")?
        .ok_or("device: is missing; write the device's id")?;
    if !is_gateway_id(device) {
        return Err(format!(
            "device: {device:?} cannot name a device; use 1 to 64 of A-Z a-z 0-9 . _ : -"
        ));
    }
    let packages = packages(members.0.get("package"))?;
    let first_remote = packages.first().map(|it| it.remote.clone());
    let server = match members.text("server")? {
        None => first_remote.filter(|it| !it.is_empty()),
        Some("") => None,
        Some(url) => Some(base_url(url).map_err(|why| format!("server: {why}"))?),
    };
    // Paths are meant from where the file stands: services have another current folder than people.
    let folder = file.parent().unwrap_or(Path::new(""));
    let path = |name| -> Result<Option<PathBuf>, String> {
        let text = members.text(name)?.filter(|it| !it.is_empty());
        Ok(text.map(|it| folder.join(it)))
    };
    let trusted_keys = path("trustedKeys")?;
    let require_signature = members
        .flag("requireSignature")?
        .unwrap_or(trusted_keys.is_some());
    if require_signature && trusted_keys.is_none() {
        return Err(
            "requireSignature: nothing can be checked without trustedKeys; name a folder of public \
             keys there"
                .into(),
        );
    }
    let (token_file, provisioning_key_file) = (path("tokenFile")?, path("provisioningKeyFile")?);
    if provisioning_key_file.is_some() && (token_file.is_none() || server.is_none()) {
        return Err(
            "provisioningKeyFile: a token is claimed at server and kept in tokenFile; name both"
                .into(),
        );
    }
    let downgrade_default = match require_signature {
        true => Downgrade::Never,
        false => Downgrade::Withdrawn,
    };
    Ok(Config {
        file: file.to_owned(),
        device: device.to_owned(),
        description: members.text("description")?.unwrap_or_default().to_owned(),
        packages,
        server,
        device_type: members.text("deviceType")?.unwrap_or("linux").to_owned(),
        updates: members.choice(
            "updates",
            Updates::Branch,
            [("branch", Updates::Branch), ("command", Updates::Command)],
        )?,
        downgrade: members.choice(
            "downgrade",
            downgrade_default,
            [
                ("withdrawn", Downgrade::Withdrawn),
                ("never", Downgrade::Never),
            ],
        )?,
        poll: members.seconds("pollSeconds", 60)?,
        state_dir: path("stateDir")?.unwrap_or_else(state_dir_default),
        trusted_keys,
        require_signature,
        script_timeout: members.seconds("scriptTimeoutSeconds", 300)?,
        health_timeout: members.seconds("healthTimeoutSeconds", 60)?,
        ca_file: path("caFile")?,
        token_file,
        provisioning_key_file,
        warnings: misspelt(members.0),
    })
}

/// What systemd gives us (`StateDirectory=`; the first of several), or the usual place.
fn state_dir_default() -> PathBuf {
    let given = env::var("STATE_DIRECTORY").unwrap_or_default();
    match given.split(':').next() {
        Some(first) if !first.is_empty() => PathBuf::from(first),
        _ => PathBuf::from(STATE_DIR_DEFAULT),
    }
}

fn misspelt(members: &Map<String, Value>) -> Vec<String> {
    let unknown = members.keys().filter(|key| !KEYS.contains(&key.as_str()));
    unknown
        .filter_map(|key| {
            let meant = spelling::nearest(key, &KEYS)?;
            Some(format!(
                "{key}: is not known and left alone; is {meant} meant?"
            ))
        })
        .collect()
}

fn packages(value: Option<&Value>) -> Result<Vec<Content>, String> {
    let list = match value {
        Some(Value::Array(list)) => list,
        None | Some(Value::Null) => return Err("package: is missing; list content.jsons".into()),
        Some(_) => return Err("package: is no list; write [ … ] with content.jsons".into()),
    };
    if list.is_empty() {
        return Err("package: is empty; list the content.json of each package".into());
    }
    let mut packages: Vec<Content> = Vec::new();
    for (place, value) in list.iter().enumerate() {
        let content = package(value).map_err(|why| format!("package[{place}]: {why}"))?;
        if packages.iter().any(|it| it.package == content.package) {
            return Err(format!(
                "package[{place}]: {} is listed twice; take one away",
                content.package
            ));
        }
        packages.push(content);
    }
    Ok(packages)
}

/// One of the list: a `content.json`, in which version, digest and dependencies may be missing.
fn package(value: &Value) -> Result<Content, String> {
    let Value::Object(members) = value else {
        return Err("is no JSON object; write a content.json".into());
    };
    for name in CONTENT_TEXTS {
        match members.get(name) {
            None | Some(Value::String(_) | Value::Null) => {}
            Some(other) => return Err(format!("{name}: {other} is no text; put it in quotes")),
        }
    }
    let mut members = members.clone();
    // What must not be null in a content.json that is pushed may be in one that stands here.
    members.retain(|_, value| !value.is_null());
    let mut content: Content = serde_json::from_value(Value::Object(members))
        .map_err(|error| format!("is no content.json: {error}"))?;
    if !is_package_name(&content.package) {
        return Err(format!(
            "package: {:?} cannot name a package; use 1 to 64 of A-Z a-z 0-9 . _ + -",
            content.package
        ));
    }
    if !is_branch(&content.branch) {
        return Err(format!(
            "branch: {:?} cannot name a branch; write the one to follow",
            content.branch
        ));
    }
    if !content.version.is_empty() {
        let version = content.version.parse::<Version>();
        version.map_err(|error| format!("version: {error}"))?;
    }
    if !content.sha256.is_empty() && !is_sha256(&content.sha256) {
        return Err(format!("sha256: {:?} is not 64 hex digits", content.sha256));
    }
    for (dependency, requirement) in &content.dependencies {
        let requirement = requirement.parse::<Requirement>();
        requirement.map_err(|error| format!("dependencies: {dependency}: {error}"))?;
    }
    if !content.local.is_empty() && !Path::new(&content.local).is_absolute() {
        return Err(format!(
            "local: {:?} is no absolute path; begin it with /",
            content.local
        ));
    }
    content.remote = base_url(&content.remote).map_err(|why| format!("remote: {why}"))?;
    Ok(content)
}

/// Checks a base URL and takes the `/` from its end.
pub(crate) fn base_url(text: &str) -> Result<String, String> {
    let wrong =
        |why: &str| format!("{text:?} {why}; write the server's address, as http://192.0.2.1:8018");
    let url = Url::parse(text).map_err(|error| wrong(&format!("is no URL: {error}")))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(wrong("is neither http nor https"));
    }
    if !url.has_host() || url.query().is_some() || url.fragment().is_some() {
        return Err(wrong("is no base URL"));
    }
    Ok(text.trim_end_matches('/').to_owned())
}

/// The members of the file, with errors that name them.
struct Members<'a>(&'a Map<String, Value>);

impl Members<'_> {
    fn text(&self, name: &str) -> Result<Option<&str>, String> {
        match self.0.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(format!("{name}: {other} is no text; put it in quotes")),
        }
    }

    fn flag(&self, name: &str) -> Result<Option<bool>, String> {
        match self.0.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(*flag)),
            Some(other) => Err(format!("{name}: {other} is neither true nor false")),
        }
    }

    fn seconds(&self, name: &str, default: u64) -> Result<Duration, String> {
        let seconds = match self.0.get(name) {
            None | Some(Value::Null) => default,
            Some(value) => value
                .as_u64()
                .filter(|seconds| (1..=86_400).contains(seconds))
                .ok_or_else(|| format!("{name}: {value} is not a number from 1 to 86400"))?,
        };
        Ok(Duration::from_secs(seconds))
    }

    fn choice<T: Copy, const N: usize>(
        &self,
        name: &str,
        default: T,
        choices: [(&str, T); N],
    ) -> Result<T, String> {
        let Some(text) = self.text(name)? else {
            return Ok(default);
        };
        let chosen = choices.iter().find(|(word, _)| *word == text);
        chosen.map(|(_, choice)| *choice).ok_or_else(|| {
            let words: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
            format!("{name}: {text:?} is not known; use {}", words.join(" or "))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Config, String> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("device.json");
        fs::write(&file, text).unwrap();
        Config::read(&file).map_err(|error| error.to_string())
    }

    const APP: &str = r#"{"package":"app","branch":"main","local":"/opt/app","version":"1.0",
        "remote":"http://h:8018/"}"#;

    #[test]
    fn an_old_device_json_is_read_as_it_is() {
        let text = format!(r#"{{"device":"GW-1","description":"x","package":[{APP}],"site":7}}"#);
        let config = read(&text).unwrap();
        assert_eq!(config.packages[0].remote, "http://h:8018");
        assert_eq!(config.server.as_deref(), Some("http://h:8018"));
        assert_eq!(config.poll, Duration::from_secs(60));
        assert_eq!(config.updates, Updates::Branch);
        assert_eq!(config.downgrade, Downgrade::Withdrawn);
        assert!(config.warnings.is_empty(), "{:?}", config.warnings);
    }

    #[test]
    fn our_members_are_read_and_paths_stand_beside_the_file() {
        let text = format!(
            r#"{{"device":"GW-1","package":[{APP}],"server":"","updates":"command",
                "trustedKeys":"keys","pollSeconds":5,"tokenFile":"/etc/token"}}"#
        );
        let config = read(&text).unwrap();
        assert_eq!(config.server, None);
        assert_eq!(config.updates, Updates::Command);
        assert!(config.require_signature);
        assert_eq!(config.downgrade, Downgrade::Never);
        let keys = config.trusted_keys.unwrap();
        assert_eq!(keys.parent(), config.file.parent());
        assert_eq!(config.token_file.unwrap(), Path::new("/etc/token"));
    }

    #[test]
    fn a_slip_in_a_name_is_told_with_what_is_meant() {
        let text = format!(r#"{{"device":"GW-1","package":[{APP}],"pollSecond":5,"Server":"x"}}"#);
        let warnings = read(&text).unwrap().warnings.join("\n");
        assert!(warnings.contains("is pollSeconds meant?"), "{warnings}");
        assert!(warnings.contains("is server meant?"), "{warnings}");
    }

    #[test]
    fn what_is_wrong_names_file_and_member() {
        let other = |from: &str, to: &str| APP.replace(from, to);
        let list = |package: String| format!(r#"{{"device":"GW-1","package":[{package}]}}"#);
        let with = |more: &str| format!(r#"{{"device":"GW-1","package":[{APP}],{more}}}"#);
        for (text, named) in [
            ("{".into(), "is not JSON"),
            ("[]".into(), "is not a JSON object"),
            (r#"{"package":[]}"#.into(), "device: is missing"),
            (r#"{"device":"a b"}"#.into(), "device:"),
            (r#"{"device":"GW-1"}"#.into(), "package: is missing"),
            (r#"{"device":"GW-1","package":[]}"#.into(), "is empty"),
            (r#"{"device":"GW-1","package":{}}"#.into(), "is no list"),
            (list("7".into()), "package[0]: is no JSON object"),
            (list(format!("{APP},{APP}")), "package[1]: app is listed"),
            (list(other("\"app\"", "\"a/b\"")), "package[0]: package:"),
            (list(other("main", "../x")), "branch:"),
            (list(other("\"1.0\"", "1.0")), "version: 1.0 is no text"),
            (list(other("1.0", "1 0")), "version:"),
            (list(other("/opt/app", "opt/app")), "local:"),
            (list(other("http://h:8018/", "")), "remote:"),
            (list(other("http:", "ftp:")), "neither http nor https"),
            (with(r#""server":"h""#), "server:"),
            (with(r#""pollSeconds":0"#), "pollSeconds: 0"),
            (with(r#""updates":"never""#), "use branch or command"),
            (with(r#""requireSignature":true"#), "trustedKeys"),
            (with(r#""provisioningKeyFile":"k""#), "name both"),
            (with(r#""requireSignature":"yes""#), "neither true nor"),
        ] {
            let error = read(&text).unwrap_err();
            assert!(error.contains("device.json: "), "{error}");
            assert!(error.contains(named), "{error}");
        }
    }
}
