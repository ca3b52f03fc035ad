use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use url::Url;

/// A broker's address and credentials, parsed from `--mqtt-url`. Shown without the password.
#[derive(Clone, PartialEq)]
pub struct BrokerUrl {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) tls: bool,
    pub(super) credentials: Option<(String, String)>,
}

#[derive(Debug, thiserror::Error)]
#[error("the broker URL must be mqtt://[user:password@]host[:port] or mqtts://…: {0}")]
pub struct BrokerUrlError(String);

impl BrokerUrl {
    pub fn parse(text: &str) -> Result<BrokerUrl, BrokerUrlError> {
        let url = Url::parse(text).map_err(|error| BrokerUrlError(error.to_string()))?;
        let (tls, default_port) = match url.scheme() {
            "mqtt" => (false, 1883),
            "mqtts" => (true, 8883),
            other => return Err(BrokerUrlError(format!("its scheme is {other:?}"))),
        };
        let decode = |text: &str| {
            percent_decode(text).ok_or_else(|| BrokerUrlError("bad percent-encoding".to_owned()))
        };
        let host = url
            .host_str()
            .filter(|host| !host.is_empty())
            .ok_or_else(|| BrokerUrlError("it has no host".to_owned()))?;
        Ok(BrokerUrl {
            host: host.trim_matches(['[', ']']).to_owned(),
            port: url.port().unwrap_or(default_port),
            tls,
            credentials: match (url.username(), url.password()) {
                ("", None) => None,
                (user, password) => Some((decode(user)?, decode(password.unwrap_or_default())?)),
            },
        })
    }

    /// The built-in broker's, which listens on `address`, for a user with a password.
    pub fn loopback(address: SocketAddr, credentials: (String, String)) -> BrokerUrl {
        let ip = match address.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
            ip => ip,
        };
        BrokerUrl {
            host: ip.to_string(),
            port: address.port(),
            tls: false,
            credentials: Some(credentials),
        }
    }
}

fn percent_decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let digits = [rest.next()?, rest.next()?];
                u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?
            }
            byte => byte,
        });
    }
    String::from_utf8(bytes).ok()
}

impl fmt::Display for BrokerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "mqtts" } else { "mqtt" };
        write!(f, "{scheme}://{}:{}", self.host, self.port)
    }
}

impl fmt::Debug for BrokerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broker_url_is_shown_without_its_password() {
        let url = BrokerUrl::parse("mqtts://air:s3cr%40t@broker.lan").unwrap();
        assert_eq!(url.credentials, Some(("air".into(), "s3cr@t".into())));
        assert_eq!(
            format!("{url} {url:?}"),
            "mqtts://broker.lan:8883 mqtts://broker.lan:8883"
        );
        assert_eq!(BrokerUrl::parse("mqtt://[::1]:1885").unwrap().host, "::1");
    }

    #[test]
    fn what_is_no_broker_url_is_refused() {
        for text in [
            "",
            "broker",
            "http://broker",
            "mqtt://",
            "mqtt://a:b%zz@host",
        ] {
            assert!(BrokerUrl::parse(text).is_err(), "{text}");
        }
    }
}
