//! Settings. A value comes from the flag, else the environment (`AIRLIFT_` + the flag's name in
//! upper case), else the TOML file, else the default. The same struct is read from all three.
//!
//! To add a key: a field in [`Options`], its default in [`Options::resolve`], its line in
//! `listed.rs`, one in `config/default.toml` (a test compares the two).

use std::{collections::BTreeMap, net::SocketAddr, num::NonZeroU64, path::PathBuf, time::Duration};

use anyhow::{Context, Result, bail, ensure};
use clap::ValueEnum;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

pub use listed::{ListedOption, Source};
pub use options::Options;

mod listed;
mod options;

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
    pub insecure_open: bool,
    pub tls: Option<TlsFiles>,
    pub public_downloads: bool,
    pub download_url_hours: u32,
    /// 0: no limit.
    pub requests_per_second: u32,
    pub uploads_max: u32,
    pub connections_max: u32,
    pub trusted_proxies: Vec<IpNet>,
    /// 0: no limit.
    pub gateway_messages_per_second: u32,
    pub session_hours: u32,
    pub oidc: Option<OidcOptions>,
    pub upload_bytes_max: u64,
    pub download_bytes_per_second: Option<NonZeroU64>,
    pub task_timeout: Duration,
    pub pending_timeout: Duration,
    pub confirm_timeout: Duration,
    pub history_days: u32,
    pub event_days: u32,
    /// `None`: none is kept.
    pub heartbeat_interval: Option<Duration>,
    pub heartbeats_keep_hours: u32,
    /// 0: not again.
    pub announce_hours: u32,
    pub log_format: LogFormat,
    pub log: String,
    /// Where each value that was set comes from, by key.
    sources: BTreeMap<String, Source>,
}

/// What TLS needs, as files that are read again when they change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    pub cert: PathBuf,
    pub key: PathBuf,
    pub device_ca: Option<PathBuf>,
}

/// The provider that people log in with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OidcOptions {
    pub issuer: String,
    pub client_id: String,
    /// Without one this server is a public client.
    pub client_secret_file: Option<PathBuf>,
    pub role_claim: String,
    pub default_role: Option<String>,
}

/// Which broker gateways are on.
#[derive(Clone, Debug)]
pub enum Broker {
    BuiltIn(SocketAddr),
    Outside(String),
}

impl Options {
    pub fn resolve(self) -> Result<Config> {
        let local = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let sources = self.all_sources();
        let data_dir = self.data_dir.unwrap_or_else(|| PathBuf::from("./data"));
        let oidc = oidc(
            self.oidc_issuer,
            self.oidc_client_id,
            self.oidc_client_secret_file,
            self.oidc_role_claim,
            self.oidc_default_role,
        )?;
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
            insecure_open: self.insecure_open.unwrap_or(false),
            tls: tls_files(self.tls_cert, self.tls_key, self.device_ca)?,
            public_downloads: self.public_downloads.unwrap_or(false),
            download_url_hours: at_least_one("download-url-hours", self.download_url_hours, 24)?,
            requests_per_second: self.requests_per_second.unwrap_or(200),
            uploads_max: at_least_one("uploads-max", self.uploads_max, 16)?,
            connections_max: at_least_one("connections-max", self.connections_max, 10_000)?,
            trusted_proxies: self.trusted_proxies.unwrap_or_default(),
            gateway_messages_per_second: self.gateway_messages_per_second.unwrap_or(20),
            session_hours: at_least_one("session-hours", self.session_hours, 12)?,
            oidc,
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
            heartbeat_interval: heartbeat_interval(self.heartbeat_interval_seconds)?,
            heartbeats_keep_hours: at_least_one(
                "heartbeats-keep-hours",
                Some(hours(
                    "heartbeats-keep-hours",
                    self.heartbeats_keep_hours,
                    48,
                )?),
                48,
            )?,
            announce_hours: hours("announce-hours", self.announce_hours, 24)?,
            log_format: self.log_format.unwrap_or(LogFormat::Text),
            log: self.log.unwrap_or_else(|| "info".to_owned()),
            data_dir,
            sources,
        };
        ensure!(
            config.trusted_keys.is_some() || config.require_signature != RequireSignature::Always,
            "--require-signature always wants --trusted-keys DIR too: without a trusted key nothing \
             could ever be uploaded"
        );
        Ok(config)
    }
}

impl Config {
    /// The addresses that others than this machine can reach, each with its flag.
    pub fn public_addresses(&self) -> Vec<(&'static str, SocketAddr)> {
        let broker = match &self.broker {
            Broker::BuiltIn(address) => Some(("--mqtt-listen", *address)),
            Broker::Outside(_) => None,
        };
        [Some(("--listen", self.listen)), broker]
            .into_iter()
            .flatten()
            .filter(|(_, address)| !address.ip().is_loopback())
            .collect()
    }
}

fn tls_files(
    cert: Option<PathBuf>,
    key: Option<PathBuf>,
    device_ca: Option<PathBuf>,
) -> Result<Option<TlsFiles>> {
    match (cert, key) {
        (Some(cert), Some(key)) => Ok(Some(TlsFiles {
            cert,
            key,
            device_ca,
        })),
        (None, None) => {
            ensure!(
                device_ca.is_none(),
                "--device-ca wants --tls-cert and --tls-key too: certificates are shown over TLS"
            );
            Ok(None)
        }
        _ => bail!("--tls-cert and --tls-key belong together: give both or none"),
    }
}

fn oidc(
    issuer: Option<String>,
    client_id: Option<String>,
    client_secret_file: Option<PathBuf>,
    role_claim: Option<String>,
    default_role: Option<String>,
) -> Result<Option<OidcOptions>> {
    let Some(issuer) = issuer else {
        ensure!(
            client_id.is_none() && client_secret_file.is_none(),
            "--oidc-client-id and --oidc-client-secret-file want --oidc-issuer too"
        );
        return Ok(None);
    };
    let url = url::Url::parse(&issuer).with_context(|| format!("--oidc-issuer {issuer:?}"))?;
    let is_local = match url.host() {
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost",
        None => false,
    };
    ensure!(
        url.scheme() == "https" || url.scheme() == "http" && is_local,
        "--oidc-issuer {issuer:?} must begin with https://: whoever is on the way could log in as anybody"
    );
    Ok(Some(OidcOptions {
        issuer,
        client_id: client_id.context("--oidc-issuer wants --oidc-client-id too")?,
        client_secret_file,
        role_claim: role_claim.unwrap_or_else(|| "groups".to_owned()),
        default_role,
    }))
}

fn at_least_one(flag: &str, value: Option<u32>, default: u32) -> Result<u32> {
    let value = value.unwrap_or(default);
    ensure!(value > 0, "--{flag} must be at least 1");
    Ok(value)
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
fn heartbeat_interval(seconds: Option<u32>) -> Result<Option<Duration>> {
    const DAY_SECONDS: u32 = 24 * 3600;
    let seconds = seconds.unwrap_or(600);
    ensure!(
        seconds <= DAY_SECONDS,
        "--heartbeat-interval-seconds {seconds} must be between 0 (off) and {DAY_SECONDS}"
    );
    Ok((seconds > 0).then(|| Duration::from_secs(seconds.into())))
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
mod tests;
