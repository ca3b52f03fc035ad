use std::net::IpAddr;

use axum::http::{HeaderMap, HeaderName};
use ipnet::IpNet;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Who is at the other end: the peer, or whom a proxy that is trusted names. Each proxy adds whom it
/// sees at the right, so what stands left of the first one that is not trusted is only a claim.
pub fn client_address(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
    let is_proxy = |address: &IpAddr| {
        address.is_loopback() || trusted.iter().any(|network| network.contains(address))
    };
    let mut client = peer.to_canonical();
    let values = headers.get_all(FORWARDED_FOR).iter().rev();
    for value in values.flat_map(|value| value.as_bytes().rsplit(|byte| *byte == b',')) {
        if !is_proxy(&client) {
            break;
        }
        let Some(address) = read(value) else { break };
        client = address;
    }
    client
}

/// An address, with a port or without.
fn read(value: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(value).ok()?.trim();
    let address = text.parse().ok();
    let with_port = || {
        text.parse()
            .ok()
            .map(|socket: std::net::SocketAddr| socket.ip())
    };
    let bracketed = || text.strip_prefix('[')?.strip_suffix(']')?.parse().ok();
    let address: IpAddr = address.or_else(with_port).or_else(bracketed)?;
    Some(address.to_canonical())
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn client(peer: &str, forwarded: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for value in forwarded {
            headers.append(FORWARDED_FOR, HeaderValue::from_str(value).unwrap());
        }
        let trusted = ["10.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()];
        client_address(peer.parse().unwrap(), &headers, &trusted).to_string()
    }

    #[test]
    fn only_trusted_proxies_say_for_whom_they_speak() {
        for (peer, forwarded, address) in [
            ("192.0.2.1", &[][..], "192.0.2.1"),
            ("192.0.2.1", &["198.51.100.7"], "192.0.2.1"),
            ("127.0.0.1", &[], "127.0.0.1"),
            ("127.0.0.1", &["198.51.100.7"], "198.51.100.7"),
            ("::1", &["198.51.100.7"], "198.51.100.7"),
            ("::ffff:127.0.0.1", &["198.51.100.7"], "198.51.100.7"),
            ("10.1.2.3", &["198.51.100.7"], "198.51.100.7"),
            ("fd00::1", &["2001:db8::7"], "2001:db8::7"),
            // What a client claims stands left of what the proxy has seen.
            ("127.0.0.1", &["127.0.0.1, 198.51.100.7"], "198.51.100.7"),
            (
                "127.0.0.1",
                &["203.0.113.9", "198.51.100.7"],
                "198.51.100.7",
            ),
            (
                "127.0.0.1",
                &["203.0.113.9,198.51.100.7, 10.9.9.9"],
                "198.51.100.7",
            ),
            ("127.0.0.1", &["198.51.100.7:4711"], "198.51.100.7"),
            ("127.0.0.1", &["[2001:db8::7]:4711"], "2001:db8::7"),
            ("127.0.0.1", &["[2001:db8::7]"], "2001:db8::7"),
            // Unreadable: the last one that is known.
            ("10.1.2.3", &["198.51.100.7, unknown"], "10.1.2.3"),
            ("10.1.2.3", &[""], "10.1.2.3"),
            ("127.0.0.1", &["10.9.9.9"], "10.9.9.9"),
        ] {
            assert_eq!(client(peer, forwarded), address, "{peer} {forwarded:?}");
        }
    }
}
