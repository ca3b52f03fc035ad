//! Every option with what it is set to, for who asks a running server. The options are those of the
//! command line itself, so none can be forgotten.

use std::collections::BTreeMap;

use clap::{Arg, ArgMatches, Args, Command, parser::ValueSource};
use serde_json::{Map, Value};

use super::{Broker, Config, Options};

/// Where a value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    Default,
    CommandLine,
    Environment,
    File,
}

/// An option of `airlift serve`. Its value may hold secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedOption {
    /// As on the command line, `--listen` say.
    pub name: String,
    pub value: Option<String>,
    pub help: String,
    pub source: Source,
}

impl Options {
    /// Remembers which values the environment has given.
    pub fn note_environment(&mut self, matches: &ArgMatches) {
        for arg in arguments() {
            let source = matches.value_source(arg.get_id().as_str());
            if source == Some(ValueSource::EnvVariable) {
                self.sources.insert(key(&arg), Source::Environment);
            }
        }
    }

    /// Remembers what only the file has given.
    pub(super) fn note_file(&mut self, file: &Options) {
        let (flags, file) = (self.values(), file.values());
        for (key, value) in &file {
            if !value.is_null() && flags.get(key).is_none_or(Value::is_null) {
                self.sources.insert(key.clone(), Source::File);
            }
        }
    }

    /// Where each value that is set comes from, by key: what neither environment nor file has given
    /// stood on the command line.
    pub(super) fn all_sources(&self) -> BTreeMap<String, Source> {
        let set = self
            .values()
            .into_iter()
            .filter(|(_, value)| !value.is_null());
        let source = |key: &String| self.sources.get(key).copied();
        set.map(|(key, _)| {
            let source = source(&key).unwrap_or(Source::CommandLine);
            (key, source)
        })
        .collect()
    }

    /// By key, as in the file; null where nothing is set.
    fn values(&self) -> Map<String, Value> {
        match serde_json::to_value(self) {
            Ok(Value::Object(values)) => values,
            _ => Map::new(),
        }
    }
}

impl Config {
    /// What they can be set by again.
    fn options(&self) -> Options {
        let (mqtt_listen, mqtt_url) = match &self.broker {
            Broker::BuiltIn(listen) => (Some(*listen), None),
            Broker::Outside(url) => (None, Some(url.clone())),
        };
        let (tls, oidc) = (self.tls.as_ref(), self.oidc.as_ref());
        let interval = self.heartbeat_interval.unwrap_or_default().as_secs();
        Options {
            sources: BTreeMap::new(),
            listen: Some(self.listen),
            public_url: Some(self.public_url.clone()),
            data_dir: Some(self.data_dir.clone()),
            database_url: Some(self.database_url.clone()),
            blob_url: Some(self.blob_url.clone()),
            mqtt_listen,
            mqtt_url,
            topic_prefix: Some(self.topic_prefix.clone()),
            trusted_keys: self.trusted_keys.clone(),
            require_signature: Some(self.require_signature),
            insecure_open: Some(self.insecure_open),
            tls_cert: tls.map(|tls| tls.cert.clone()),
            tls_key: tls.map(|tls| tls.key.clone()),
            device_ca: tls.and_then(|tls| tls.device_ca.clone()),
            public_downloads: Some(self.public_downloads),
            download_url_hours: Some(self.download_url_hours),
            requests_per_second: Some(self.requests_per_second),
            uploads_max: Some(self.uploads_max),
            connections_max: Some(self.connections_max),
            trusted_proxies: Some(self.trusted_proxies.clone()),
            gateway_messages_per_second: Some(self.gateway_messages_per_second),
            session_hours: Some(self.session_hours),
            oidc_issuer: oidc.map(|oidc| oidc.issuer.clone()),
            oidc_client_id: oidc.map(|oidc| oidc.client_id.clone()),
            oidc_client_secret_file: oidc.and_then(|oidc| oidc.client_secret_file.clone()),
            oidc_role_claim: oidc.map(|oidc| oidc.role_claim.clone()),
            oidc_default_role: oidc.and_then(|oidc| oidc.default_role.clone()),
            upload_bytes_max: Some(self.upload_bytes_max),
            download_bytes_per_second: self.download_bytes_per_second,
            task_timeout_seconds: Some(self.task_timeout.as_secs()),
            pending_timeout_seconds: Some(self.pending_timeout.as_secs()),
            confirm_timeout_seconds: Some(self.confirm_timeout.as_secs()),
            history_days: Some(self.history_days),
            event_days: Some(self.event_days),
            heartbeat_interval_seconds: u32::try_from(interval).ok(),
            heartbeats_keep_hours: Some(self.heartbeats_keep_hours),
            announce_hours: Some(self.announce_hours),
            log_format: Some(self.log_format),
            log: Some(self.log.clone()),
        }
    }

    /// Each option, and what this server runs with.
    pub fn listed(&self) -> Vec<ListedOption> {
        let mut values = self.options().values();
        let list = |arg: Arg| {
            let key = key(&arg);
            let value = values.remove(&key).and_then(text);
            let source = match &value {
                None => Source::Default,
                Some(_) => self.sources.get(&key).copied().unwrap_or(Source::Default),
            };
            ListedOption {
                name: format!("--{key}"),
                value,
                help: arg.get_help().map(ToString::to_string).unwrap_or_default(),
                source,
            }
        };
        arguments().into_iter().map(list).collect()
    }
}

fn arguments() -> Vec<Arg> {
    let command = Options::augment_args(Command::new("serve"));
    command.get_arguments().cloned().collect()
}

/// As in the file: what the flag is called.
fn key(arg: &Arg) -> String {
    arg.get_long().unwrap_or_default().to_owned()
}

fn text(value: Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text),
        Value::Array(values) => {
            let texts: Vec<String> = values.into_iter().filter_map(text).collect();
            Some(texts.join(","))
        }
        other => Some(other.to_string()),
    }
}
