//! Which broker, and how to introduce oneself to it.

use std::{sync::Arc, time::Duration};

use anyhow::{Context, Result, bail, ensure};
use percent_encoding::percent_decode_str;
use reqwest::Url;
use rumqttc::{
    TlsConfiguration, Transport,
    v5::{
        MqttOptions,
        mqttbytes::{QoS, v5::LastWill},
    },
};
use rustls_platform_verifier::ConfigVerifierExt;

use crate::credentials::Token;

/// How long the broker keeps commands for a gateway that is away.
const SESSION_SECONDS: u32 = 7 * 24 * 3600;
/// Commands the broker may have under way to one gateway.
const COMMANDS_UNDER_WAY_MAX: u16 = 16;
/// Publishes of one gateway that may wait for their acknowledgement. The client sets memory aside
/// for each.
const PUBLISHES_UNDER_WAY_MAX: u16 = 16;
/// Largest message taken, bytes.
const MESSAGE_BYTES_MAX: u32 = 64 * 1024;
/// A ping when nothing else was sent for so long.
const KEEP_ALIVE_SECONDS: u64 = 30;
/// Longest wait for the broker's answer to a connect.
const CONNECT_SECONDS_MAX: u64 = 10;
/// Ports by scheme, as registered at IANA.
const PORT_PLAIN: u16 = 1883;
const PORT_TLS: u16 = 8883;

/// A broker as its URL tells it, checked.
#[derive(Clone)]
pub struct Broker {
    host: String,
    port: u16,
    tls: Option<Arc<rustls::ClientConfig>>,
    login: Option<(String, String)>,
}

impl Broker {
    /// From `mqtt://` or `mqtts://[user:password@]host[:port]`.
    pub fn new(url: &str) -> Result<Self> {
        let advice = "give --mqtt as mqtt://[user:password@]host[:port], or mqtts:// for TLS";
        // Not echoed: it may hold a password.
        let url = Url::parse(url).with_context(|| format!("the broker's URL is none; {advice}"))?;
        let host = url.host_str().filter(|host| !host.is_empty());
        let Some(host) = host else {
            bail!("the broker's URL has no host; {advice}");
        };
        let (tls, port) = match url.scheme() {
            "mqtt" => (None, PORT_PLAIN),
            "mqtts" => {
                let config = rustls::ClientConfig::with_platform_verifier()
                    .context("cannot load this system's trusted certificates")?;
                (Some(Arc::new(config)), PORT_TLS)
            }
            scheme => bail!("{scheme}:// is no MQTT; {advice}"),
        };
        ensure!(
            matches!(url.path(), "" | "/") && url.query().is_none(),
            "the broker's URL ends after the port; {advice}"
        );
        let decode = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
        let login = (!url.username().is_empty()).then(|| {
            (
                decode(url.username()),
                decode(url.password().unwrap_or_default()),
            )
        });
        Ok(Broker {
            host: host.into(),
            port: url.port().unwrap_or(port),
            tls,
            login,
        })
    }

    /// `host:port`, for messages.
    pub fn address(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    /// How `gateway_id` connects; its session outlives the connection. With a `token` it gives its id
    /// as user name and the token as password, whatever stands in the URL.
    pub fn options(
        &self,
        gateway_id: &str,
        token: Option<&Token>,
        will_topic: &str,
        will: Vec<u8>,
    ) -> MqttOptions {
        let mut options = MqttOptions::new(gateway_id, &self.host, self.port);
        options
            .set_clean_start(false)
            .set_session_expiry_interval(Some(SESSION_SECONDS))
            .set_receive_maximum(Some(COMMANDS_UNDER_WAY_MAX))
            .set_max_packet_size(Some(MESSAGE_BYTES_MAX))
            .set_outgoing_inflight_upper_limit(PUBLISHES_UNDER_WAY_MAX)
            .set_manual_acks(true)
            .set_keep_alive(Duration::from_secs(KEEP_ALIVE_SECONDS))
            .set_connection_timeout(CONNECT_SECONDS_MAX)
            .set_last_will(LastWill::new(
                will_topic,
                will,
                QoS::AtLeastOnce,
                true,
                None,
            ));
        if let Some(token) = token {
            options.set_credentials(gateway_id, token.reveal());
        } else if let Some((user, password)) = &self.login {
            options.set_credentials(user, password);
        }
        if let Some(tls) = &self.tls {
            options.set_transport(Transport::Tls(TlsConfiguration::Rustls(tls.clone())));
        }
        options
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_url_tells_the_broker_and_the_login() {
        let broker = Broker::new("mqtt://me:p%40ss@example.org").unwrap();
        assert_eq!(broker.address(), "example.org:1883");
        let login = broker
            .options("G", None, "t", Vec::new())
            .credentials()
            .unwrap();
        assert_eq!(
            (login.username.as_str(), login.password.as_str()),
            ("me", "p@ss")
        );
    }

    #[test]
    fn a_token_is_the_password_of_the_gateway() {
        let broker = Broker::new("mqtt://me:x@localhost:1885").unwrap();
        assert_eq!(broker.address(), "localhost:1885");
        let token = Token::new("T".into());
        let login = broker
            .options("G", Some(&token), "t", Vec::new())
            .credentials()
            .unwrap();
        assert_eq!(
            (login.username.as_str(), login.password.as_str()),
            ("G", "T")
        );
    }

    #[test]
    fn other_urls_are_refused_with_advice() {
        for url in [
            "localhost:1885",
            "http://localhost",
            "mqtt://",
            "mqtt://h/path",
            "",
        ] {
            let error = Broker::new(url).err().unwrap().to_string();
            assert!(
                error.contains("mqtt://[user:password@]host"),
                "{url}: {error}"
            );
        }
    }
}
