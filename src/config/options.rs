use std::{
    collections::BTreeMap,
    net::SocketAddr,
    num::NonZeroU64,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use clap::Args;
use ipnet::IpNet;
use serde::{Deserialize, Serialize, Serializer};

use super::{LogFormat, RequireSignature, listed::Source};

/// What can be set; `None` where it is not.
#[derive(Args, Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Options {
    /// What did not stand on the command line, by key.
    #[arg(skip)]
    #[serde(skip)]
    pub sources: BTreeMap<String, Source>,
    /// Address of the HTTP server [default: 127.0.0.1:8018]
    #[arg(long, env = "AIRLIFT_LISTEN", value_name = "ADDRESS")]
    pub listen: Option<SocketAddr>,
    /// What devices are told to download from [default: http://localhost:8018]
    #[arg(long, env = "AIRLIFT_PUBLIC_URL", value_name = "URL")]
    pub public_url: Option<String>,
    /// Folder of everything the embedded defaults keep [default: ./data]
    #[arg(long, env = "AIRLIFT_DATA_DIR", value_name = "DIR")]
    #[serde(serialize_with = "as_text")]
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
    #[serde(serialize_with = "as_text")]
    pub trusted_keys: Option<PathBuf>,
    /// When firmwares must be signed; auto: as soon as a key is trusted [default: auto]
    #[arg(long, env = "AIRLIFT_REQUIRE_SIGNATURE", value_name = "WHEN")]
    pub require_signature: Option<RequireSignature>,
    /// Serve a public address although there are no credentials: anyone who reaches it may upload and
    /// release
    #[arg(
        long,
        env = "AIRLIFT_INSECURE_OPEN",
        num_args = 0..=1,
        default_missing_value = "true",
        value_name = "BOOL"
    )]
    pub insecure_open: Option<bool>,
    /// Certificate chain for HTTP and the built-in broker, PEM; both speak TLS then. Read again when
    /// it changes
    #[arg(long, env = "AIRLIFT_TLS_CERT", value_name = "FILE")]
    #[serde(serialize_with = "as_text")]
    pub tls_cert: Option<PathBuf>,
    /// Private key of --tls-cert, PEM
    #[arg(long, env = "AIRLIFT_TLS_KEY", value_name = "FILE")]
    #[serde(serialize_with = "as_text")]
    pub tls_key: Option<PathBuf>,
    /// CA that signs gateways' certificates, PEM: a certificate with the common name <gatewayId> is as
    /// good as that gateway's token
    #[arg(long, env = "AIRLIFT_DEVICE_CA", value_name = "FILE")]
    #[serde(serialize_with = "as_text")]
    pub device_ca: Option<PathBuf>,
    /// Let everybody download who knows a file's name, also once there are credentials
    #[arg(
        long,
        env = "AIRLIFT_PUBLIC_DOWNLOADS",
        num_args = 0..=1,
        default_missing_value = "true",
        value_name = "BOOL"
    )]
    pub public_downloads: Option<bool>,
    /// Hours for which the signed URL in a command is good [default: 24]
    #[arg(long, env = "AIRLIFT_DOWNLOAD_URL_HOURS", value_name = "HOURS")]
    pub download_url_hours: Option<u32>,
    /// Requests per second of one token, and of one address; 0: no limit. Loopback has none
    /// [default: 200]
    #[arg(long, env = "AIRLIFT_REQUESTS_PER_SECOND", value_name = "N")]
    pub requests_per_second: Option<u32>,
    /// Uploads at the same time [default: 16]
    #[arg(long, env = "AIRLIFT_UPLOADS_MAX", value_name = "N")]
    pub uploads_max: Option<u32>,
    /// HTTP connections at the same time [default: 10000]
    #[arg(long, env = "AIRLIFT_CONNECTIONS_MAX", value_name = "N")]
    pub connections_max: Option<u32>,
    /// Proxies whose X-Forwarded-For is believed, as addresses or networks; loopback always is
    #[arg(
        long,
        env = "AIRLIFT_TRUSTED_PROXIES",
        value_name = "NETWORK",
        value_delimiter = ','
    )]
    pub trusted_proxies: Option<Vec<IpNet>>,
    /// Messages per second that the built-in broker takes from one gateway, on average; 0: no limit
    /// [default: 20]
    #[arg(long, env = "AIRLIFT_GATEWAY_MESSAGES_PER_SECOND", value_name = "N")]
    pub gateway_messages_per_second: Option<u32>,
    /// Hours after which a login on the web page ends [default: 12]
    #[arg(long, env = "AIRLIFT_SESSION_HOURS", value_name = "HOURS")]
    pub session_hours: Option<u32>,
    /// OpenID Connect provider that people may log in with: its issuer URL
    #[arg(long, env = "AIRLIFT_OIDC_ISSUER", value_name = "URL")]
    pub oidc_issuer: Option<String>,
    /// This server's client id at the provider
    #[arg(long, env = "AIRLIFT_OIDC_CLIENT_ID", value_name = "ID")]
    pub oidc_client_id: Option<String>,
    /// File of this server's client secret at the provider
    #[arg(long, env = "AIRLIFT_OIDC_CLIENT_SECRET_FILE", value_name = "FILE")]
    #[serde(serialize_with = "as_text")]
    pub oidc_client_secret_file: Option<PathBuf>,
    /// Claim of the provider's ID token that holds roles, one or a list; airlift-<role> is taken as
    /// <role> [default: groups]
    #[arg(long, env = "AIRLIFT_OIDC_ROLE_CLAIM", value_name = "CLAIM")]
    pub oidc_role_claim: Option<String>,
    /// Role of who has none in that claim; without it such people are turned away
    #[arg(long, env = "AIRLIFT_OIDC_DEFAULT_ROLE", value_name = "ROLE")]
    pub oidc_default_role: Option<String>,
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
    /// Of so many seconds the first heartbeat of each gateway is kept, for charts; 0: none is
    /// [default: 600]
    #[arg(
        long,
        env = "AIRLIFT_HEARTBEAT_INTERVAL_SECONDS",
        value_name = "SECONDS"
    )]
    pub heartbeat_interval_seconds: Option<u32>,
    /// Hours for which heartbeats are kept [default: 48]
    #[arg(long, env = "AIRLIFT_HEARTBEATS_KEEP_HOURS", value_name = "HOURS")]
    pub heartbeats_keep_hours: Option<u32>,
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

/// A path need not be text.
fn as_text<S: Serializer>(path: &Option<PathBuf>, to: S) -> Result<S::Ok, S::Error> {
    let text = path.as_ref().map(|path| path.to_string_lossy());
    text.serialize(to)
}

macro_rules! first_set {
    ($flags:ident, $file:ident, $($field:ident),+ $(,)?) => {
        Options { sources: $flags.sources, $($field: $flags.$field.or($file.$field)),+ }
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
        Ok(self.over(file))
    }

    pub(super) fn over(self, file: Options) -> Options {
        let mut flags = self;
        flags.note_file(&file);
        first_set!(
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
            tls_cert,
            tls_key,
            device_ca,
            public_downloads,
            download_url_hours,
            requests_per_second,
            uploads_max,
            connections_max,
            trusted_proxies,
            gateway_messages_per_second,
            session_hours,
            oidc_issuer,
            oidc_client_id,
            oidc_client_secret_file,
            oidc_role_claim,
            oidc_default_role,
            upload_bytes_max,
            download_bytes_per_second,
            task_timeout_seconds,
            pending_timeout_seconds,
            confirm_timeout_seconds,
            history_days,
            event_days,
            heartbeat_interval_seconds,
            heartbeats_keep_hours,
            announce_hours,
            log_format,
            log,
        )
    }

    pub(super) fn from_toml(text: &str) -> Result<Options> {
        // `public_url` is as good as `public-url`.
        let table: toml::Table = toml::from_str(text)?;
        let table: toml::Table = table
            .into_iter()
            .map(|(key, value)| (key.replace('_', "-"), value))
            .collect();
        Ok(table.try_into()?)
    }
}
