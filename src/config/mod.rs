//! Settings. A value comes from the flag, else the environment (`AIRLIFT_` + the flag's name in
//! upper case), else the TOML file, else the default. The same struct is read from all three.
//!
//! To add a key: a field in [`Options`], its default in [`Options::resolve`], a line in
//! `config/default.toml` (a test compares the two).

use std::{
    net::SocketAddr,
    num::NonZeroU64,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};

/// How the log is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogFormat {
    Text,
    Json,
}

/// When firmwares must be signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RequireSignature {
    /// As soon as a key is trusted.
    Auto,
    Always,
    Never,
}

/// What can be set; `None` where it is not.
#[derive(Args, Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Options {
    /// Address of the HTTP server [default: 127.0.0.1:8018]
    #[arg(long, env = "AIRLIFT_LISTEN", value_name = "ADDRESS")]
    pub listen: Option<SocketAddr>,
    /// What devices are told to download from [default: http://localhost:8018]
    #[arg(long, env = "AIRLIFT_PUBLIC_URL", value_name = "URL")]
    pub public_url: Option<String>,
    /// Folder of everything the embedded defaults keep [default: ./data]
    #[arg(long, env = "AIRLIFT_DATA_DIR", value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Database: sqlite:PATH or postgres://… [default: SQLite in the data dir]
    #[arg(
        long,
        env = "AIRLIFT_DATABASE_URL",
        value_name = "URL",
        hide_env_values = true
    )]
    pub database_url: Option<String>,
    /// Files: file:DIR, s3://bucket/prefix (endpoint and keys from AWS_* variables) or memory:
    /// [default: files in the data dir]
    #[arg(long, env = "AIRLIFT_BLOB_URL", value_name = "URL")]
    pub blob_url: Option<String>,
    /// Address of the built-in MQTT broker [default: 127.0.0.1:1885]
    #[arg(long, env = "AIRLIFT_MQTT_LISTEN", value_name = "ADDRESS")]
    pub mqtt_listen: Option<SocketAddr>,
    /// An outside MQTT 5 broker, mqtt[s]://[user:password@]host[:port]; the built-in one then
    /// stays off
    #[arg(
        long,
        env = "AIRLIFT_MQTT_URL",
        value_name = "URL",
        hide_env_values = true
    )]
    pub mqtt_url: Option<String>,
    /// First level of every MQTT topic [default: hanqi]
    #[arg(long, env = "AIRLIFT_TOPIC_PREFIX", value_name = "TOPIC")]
    pub topic_prefix: Option<String>,
    /// Folder of the OpenPGP public keys whose signed bundles are trusted, armored or binary
    #[arg(long, env = "AIRLIFT_TRUSTED_KEYS", value_name = "DIR")]
    pub trusted_keys: Option<PathBuf>,
    /// When firmwares must be signed; auto: as soon as a key is trusted [default: auto]
    #[arg(long, env = "AIRLIFT_REQUIRE_SIGNATURE", value_name = "WHEN")]
    pub require_signature: Option<RequireSignature>,
    /// Serve a public address although anyone who reaches it may upload and release
    #[arg(
        long,
        env = "AIRLIFT_INSECURE_OPEN",
        num_args = 0..=1,
        default_missing_value = "true",
        value_name = "BOOL"
    )]
    pub insecure_open: Option<bool>,
    /// Largest upload, in bytes [default: 2147483648]
    #[arg(long, env = "AIRLIFT_UPLOAD_BYTES_MAX", value_name = "BYTES")]
    pub upload_bytes_max: Option<u64>,
    /// What all downloads of this server may take together, in bytes per second; who comes while
    /// it is used up is told when to come again [default: no limit]
    #[arg(long, env = "AIRLIFT_DOWNLOAD_BYTES_PER_SECOND", value_name = "BYTES")]
    pub download_bytes_per_second: Option<NonZeroU64>,
    /// Silence of a gateway, in seconds, that fails a running upgrade [default: 900]
    #[arg(long, env = "AIRLIFT_TASK_TIMEOUT_SECONDS", value_name = "SECONDS")]
    pub task_timeout_seconds: Option<u64>,
    /// Wait for a gateway's first answer, in seconds, before the upgrade fails [default: 604800]
    #[arg(long, env = "AIRLIFT_PENDING_TIMEOUT_SECONDS", value_name = "SECONDS")]
    pub pending_timeout_seconds: Option<u64>,
    /// Wait, in seconds, for the heartbeat that proves a completed upgrade, before it fails
    /// [default: 3600]
    #[arg(long, env = "AIRLIFT_CONFIRM_TIMEOUT_SECONDS", value_name = "SECONDS")]
    pub confirm_timeout_seconds: Option<u64>,
    /// Days for which ended tasks and rollouts are kept [default: 365]
    #[arg(long, env = "AIRLIFT_HISTORY_DAYS", value_name = "DAYS")]
    pub history_days: Option<u32>,
    /// Days for which events of rollouts, gateways and firmwares are kept [default: 30]
    #[arg(long, env = "AIRLIFT_EVENT_DAYS", value_name = "DAYS")]
    pub event_days: Option<u32>,
    /// Hours after which the newest release of each device type is announced again; 0: only at the
    /// release [default: 24]
    #[arg(long, env = "AIRLIFT_ANNOUNCE_HOURS", value_name = "HOURS")]
    pub announce_hours: Option<u32>,
    /// How the log is written [default: text]
    #[arg(long, env = "AIRLIFT_LOG_FORMAT", value_name = "FORMAT")]
    pub log_format: Option<LogFormat>,
    /// What is logged: a level (error, warn, info, debug, trace) or directives as in
    /// info,airlift::ingest=debug [default: info]
    #[arg(long, env = "AIRLIFT_LOG", value_name = "FILTER")]
    pub log: Option<String>,
}

/// Every setting, resolved.
#[derive(Clone, Debug)]
pub struct Config {
    pub listen: SocketAddr,
    /// Without a slash at the end.
    pub public_url: String,
    pub data_dir: PathBuf,
    pub database_url: String,
    pub blob_url: String,
    pub broker: Broker,
    pub topic_prefix: String,
    pub trusted_keys: Option<PathBuf>,
    pub require_signature: RequireSignature,
    pub upload_bytes_max: u64,
    pub download_bytes_per_second: Option<NonZeroU64>,
    pub task_timeout: Duration,
    pub pending_timeout: Duration,
    pub confirm_timeout: Duration,
    pub history_days: u32,
    pub event_days: u32,
    /// 0: not again.
    pub announce_hours: u32,
    pub log_format: LogFormat,
    pub log: String,
}

/// Which broker gateways are on.
#[derive(Clone, Debug)]
pub enum Broker {
    BuiltIn(SocketAddr),
    Outside(String),
}

macro_rules! first_set {
    ($flags:ident, $file:ident, $($field:ident),+ $(,)?) => {
        Options { $($field: $flags.$field.or($file.$field)),+ }
    };
}

impl Options {
    /// Flags and environment (already in `self`) over the file's values.
    pub fn over_file(self, path: Option<&Path>) -> Result<Options> {
        let Some(path) = path else { return Ok(self) };
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("can't read the configuration {}", path.display()))?;
        let file = Options::from_toml(&text)
            .with_context(|| format!("in the configuration {}", path.display()))?;
        let flags = self;
        Ok(first_set!(
            flags,
            file,
            listen,
            public_url,
            data_dir,
            database_url,
            blob_url,
            mqtt_listen,
            mqtt_url,
            topic_prefix,
            trusted_keys,
            require_signature,
            insecure_open,
            upload_bytes_max,
            download_bytes_per_second,
            task_timeout_seconds,
            pending_timeout_seconds,
            confirm_timeout_seconds,
            history_days,
            event_days,
            announce_hours,
            log_format,
            log,
        ))
    }

    fn from_toml(text: &str) -> Result<Options> {
        // `public_url` is as good as `public-url`.
        let table: toml::Table = toml::from_str(text)?;
        let table: toml::Table = table
            .into_iter()
            .map(|(key, value)| (key.replace('_', "-"), value))
            .collect();
        Ok(table.try_into()?)
    }

    pub fn resolve(self) -> Result<Config> {
        let local = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let data_dir = self.data_dir.unwrap_or_else(|| PathBuf::from("./data"));
        let config = Config {
            listen: self.listen.unwrap_or(local(8018)),
            public_url: public_url(self.public_url)?,
            database_url: self
                .database_url
                .unwrap_or_else(|| format!("sqlite:{}", data_dir.join("airlift.db").display())),
            blob_url: self
                .blob_url
                .unwrap_or_else(|| format!("file:{}", data_dir.join("blobs").display())),
            broker: match self.mqtt_url {
                Some(url) => Broker::Outside(url),
                None => Broker::BuiltIn(self.mqtt_listen.unwrap_or(local(1885))),
            },
            topic_prefix: topic_prefix(self.topic_prefix)?,
            trusted_keys: self.trusted_keys,
            require_signature: self.require_signature.unwrap_or(RequireSignature::Auto),
            upload_bytes_max: self.upload_bytes_max.unwrap_or(2 << 30),
            download_bytes_per_second: self.download_bytes_per_second,
            task_timeout: seconds("task-timeout-seconds", self.task_timeout_seconds, 900)?,
            pending_timeout: seconds(
                "pending-timeout-seconds",
                self.pending_timeout_seconds,
                7 * 24 * 3600,
            )?,
            confirm_timeout: seconds(
                "confirm-timeout-seconds",
                self.confirm_timeout_seconds,
                3600,
            )?,
            history_days: days("history-days", self.history_days, 365)?,
            event_days: days("event-days", self.event_days, 30)?,
            announce_hours: hours("announce-hours", self.announce_hours, 24)?,
            log_format: self.log_format.unwrap_or(LogFormat::Text),
            log: self.log.unwrap_or_else(|| "info".to_owned()),
            data_dir,
        };
        ensure!(
            config.trusted_keys.is_some() || config.require_signature != RequireSignature::Always,
            "--require-signature always wants --trusted-keys DIR too: without a trusted key nothing \
             could ever be uploaded"
        );
        if !self.insecure_open.unwrap_or(false) {
            config.refuse_public_address()?;
        }
        Ok(config)
    }
}

impl Config {
    fn refuse_public_address(&self) -> Result<()> {
        let mut addresses = vec![("--listen", self.listen)];
        if let Broker::BuiltIn(address) = &self.broker {
            addresses.push(("--mqtt-listen", *address));
        }
        for (flag, address) in addresses {
            if !address.ip().is_loopback() {
                bail!(
                    "{flag} {address} can be reached by others, and there are no credentials: \
                     listen on 127.0.0.1 behind a proxy that asks for some, or say \
                     --insecure-open if the network is yours alone"
                );
            }
        }
        Ok(())
    }
}

fn public_url(url: Option<String>) -> Result<String> {
    let url = url.unwrap_or_else(|| "http://localhost:8018".to_owned());
    let parsed = url::Url::parse(&url).with_context(|| format!("--public-url {url:?}"))?;
    ensure!(
        matches!(parsed.scheme(), "http" | "https") && parsed.has_host(),
        "--public-url {url:?} must begin with http:// or https:// and name a host"
    );
    Ok(url.trim_end_matches('/').to_owned())
}

fn topic_prefix(prefix: Option<String>) -> Result<String> {
    let prefix = prefix.unwrap_or_else(|| "hanqi".to_owned());
    ensure!(
        !prefix.is_empty()
            && !prefix.starts_with('$')
            && !prefix.contains(['+', '#', '\0'])
            && prefix.split('/').all(|level| !level.is_empty()),
        "--topic-prefix {prefix:?} must be one or more topic levels without + and #"
    );
    Ok(prefix)
}

fn seconds(flag: &str, value: Option<u64>, default: u64) -> Result<Duration> {
    /// Ten years: what is longer is a slip, and would run over the calendar.
    const SECONDS_MAX: u64 = 10 * 366 * 24 * 3600;
    let value = value.unwrap_or(default);
    ensure!(
        (1..=SECONDS_MAX).contains(&value),
        "--{flag} {value} must be between 1 and {SECONDS_MAX}"
    );
    Ok(Duration::from_secs(value))
}

fn days(flag: &str, value: Option<u32>, default: u32) -> Result<u32> {
    /// A hundred years, for those who keep everything.
    const DAYS_MAX: u32 = 36_525;
    let value = value.unwrap_or(default);
    ensure!(
        (1..=DAYS_MAX).contains(&value),
        "--{flag} {value} must be between 1 and {DAYS_MAX}"
    );
    Ok(value)
}

/// 0 is off.
fn hours(flag: &str, value: Option<u32>, default: u32) -> Result<u32> {
    /// A year.
    const HOURS_MAX: u32 = 366 * 24;
    let value = value.unwrap_or(default);
    ensure!(
        value <= HOURS_MAX,
        "--{flag} {value} must be between 0 (off) and {HOURS_MAX}"
    );
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_file_names_every_key() {
        let text = include_str!("../../config/default.toml");
        let keys: std::collections::BTreeSet<String> = text
            .lines()
            .filter_map(|line| line.trim_start_matches("# ").split_once(" = "))
            .map(|(key, _)| key.to_owned())
            .collect();
        let toml::Value::Table(all) = toml::Value::try_from(every_key()).unwrap() else {
            panic!("options are a table");
        };
        assert_eq!(keys, all.keys().cloned().collect());
        let uncommented: String = text
            .lines()
            .filter_map(|line| line.strip_prefix("# ").filter(|line| line.contains(" = ")))
            .map(|line| format!("{line}\n"))
            .collect();
        Options::from_toml(&uncommented).unwrap();
    }

    fn every_key() -> Options {
        Options {
            listen: Some(([127, 0, 0, 1], 1).into()),
            public_url: Some(String::new()),
            data_dir: Some(PathBuf::new()),
            database_url: Some(String::new()),
            blob_url: Some(String::new()),
            mqtt_listen: Some(([127, 0, 0, 1], 1).into()),
            mqtt_url: Some(String::new()),
            topic_prefix: Some(String::new()),
            trusted_keys: Some(PathBuf::new()),
            require_signature: Some(RequireSignature::Auto),
            insecure_open: Some(false),
            upload_bytes_max: Some(1),
            download_bytes_per_second: Some(NonZeroU64::MIN),
            task_timeout_seconds: Some(1),
            pending_timeout_seconds: Some(1),
            confirm_timeout_seconds: Some(1),
            history_days: Some(1),
            event_days: Some(1),
            announce_hours: Some(1),
            log_format: Some(LogFormat::Text),
            log: Some(String::new()),
        }
    }

    #[test]
    fn a_public_address_without_credentials_is_refused() {
        let public = Options {
            listen: Some(([0, 0, 0, 0], 8018).into()),
            ..Options::default()
        };
        let refusal = public.clone().resolve().unwrap_err().to_string();
        assert!(refusal.contains("--insecure-open"), "{refusal}");
        let broker = Options {
            mqtt_listen: Some(([0, 0, 0, 0], 1885).into()),
            ..Options::default()
        };
        assert!(broker.resolve().is_err());
        let open = Options {
            insecure_open: Some(true),
            ..public
        };
        assert!(open.resolve().is_ok());
    }

    #[test]
    fn a_key_that_is_unknown_or_senseless_is_refused() {
        assert!(Options::from_toml("download-bytes-per-second = 0").is_err());
        assert!(Options::from_toml("lissten = \"127.0.0.1:1\"").is_err());
        assert_eq!(
            Options::from_toml("public_url = \"http://a\"")
                .unwrap()
                .public_url,
            Some("http://a".into())
        );
        for options in [
            Options {
                public_url: Some("ftp://a".into()),
                ..Options::default()
            },
            Options {
                topic_prefix: Some("a/#".into()),
                ..Options::default()
            },
            Options {
                require_signature: Some(RequireSignature::Always),
                ..Options::default()
            },
            Options {
                task_timeout_seconds: Some(0),
                ..Options::default()
            },
            Options {
                history_days: Some(0),
                ..Options::default()
            },
            Options {
                announce_hours: Some(8_785),
                ..Options::default()
            },
            Options {
                event_days: Some(36_526),
                ..Options::default()
            },
        ] {
            assert!(options.resolve().is_err());
        }
    }
}
