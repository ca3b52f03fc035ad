//! Who may connect to the built-in broker, and which topics are whose.

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use rmqtt::acl::{Action, AuthInfo, Permission, Rule, Topic};
use rmqtt::session::Session;
use sha2::{Digest, Sha256};

/// The user name of the server's own session; its password is new in each process.
pub const SERVER_USER: &str = "$airlift";
/// The group that the server's own session shares its subscriptions in: who else joined it would
/// take reports away.
const SERVER_GROUP: &str = "airlift";

/// What a client shows at CONNECT.
#[derive(Clone)]
pub struct ConnectRequest {
    pub client_id: String,
    pub user: Option<String>,
    pub password: Option<String>,
    pub address: IpAddr,
    /// Named by a certificate that the device CA has signed.
    pub certified_gateway: Option<Arc<str>>,
}

/// Who a client is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admission {
    /// There are no credentials: it may do everything.
    Open,
    /// The server's own session.
    Server,
    /// It may publish and subscribe below its own topic.
    Gateway(String),
    /// A person's or a machine's token: it may subscribe.
    Reader(String),
}

/// Why a client is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    NotAuthorized,
    /// It can't be found out now: the client is to try again.
    Unavailable,
}

/// Tells who a client is; the server's own session is not asked about.
pub type OnConnect =
    Arc<dyn Fn(ConnectRequest) -> BoxFuture<'static, Result<Admission, Refusal>> + Send + Sync>;

/// Credentials that are no longer good.
#[derive(Clone, Debug, Default)]
pub struct Ended {
    /// Doors are closed by now: who came in while they were open must show a credential.
    pub closed: bool,
    /// SHA-256 of tokens, in hex.
    pub tokens: HashSet<String>,
    /// Gateways that have no good token left: their certificates count no more.
    pub gateways: HashSet<String>,
}

/// Tells which credentials have ended within a time up to now; None if it can't be found out. Asked
/// every second.
pub type OnLook = Arc<dyn Fn(Duration) -> BoxFuture<'static, Option<Ended>> + Send + Sync>;

/// Who a session is, and by what. Kept in rmqtt's own record of the session, so that it lives as long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Admitted {
    pub admission: Admission,
    /// Of the password; None for a certificate, and where doors are open.
    pub token: Option<String>,
}

impl Admitted {
    pub fn new(admission: Admission, password: Option<&str>) -> Self {
        let by_token = matches!(admission, Admission::Gateway(_) | Admission::Reader(_));
        let password = password.filter(|_| by_token);
        Admitted {
            admission,
            token: password.map(|password| hex::encode(Sha256::digest(password))),
        }
    }

    pub fn of(session: &Session) -> Option<Self> {
        let [rule] = session.auth_info.as_ref()?.rules.as_slice() else {
            return None;
        };
        let text = rule.topic.eq_topic_filter.as_deref()?;
        let mut parts = text.splitn(3, '\n');
        let (kind, token, name) = (parts.next()?, parts.next()?, parts.next()?);
        let admission = match kind {
            "open" => Admission::Open,
            "server" => Admission::Server,
            "gateway" => Admission::Gateway(name.to_owned()),
            "reader" => Admission::Reader(name.to_owned()),
            _ => return None,
        };
        Some(Admitted {
            admission,
            token: Some(token.to_owned()).filter(|token| !token.is_empty()),
        })
    }

    /// As a rule that rmqtt itself never looks at.
    pub fn record(&self) -> AuthInfo {
        let (kind, name) = match &self.admission {
            Admission::Open => ("open", ""),
            Admission::Server => ("server", ""),
            Admission::Gateway(id) => ("gateway", id.as_str()),
            Admission::Reader(name) => ("reader", name.as_str()),
        };
        let token = self.token.as_deref().unwrap_or_default();
        AuthInfo {
            superuser: false,
            expire_at: None,
            rules: vec![Rule {
                permission: Permission::Deny,
                action: Action::All,
                qos: None,
                retain: None,
                topic: Topic {
                    eq_topic_filter: Some(format!("{kind}\n{token}\n{name}")),
                    topic_filter: None,
                },
            }],
        }
    }

    pub fn has_ended(&self, ended: &Ended) -> bool {
        match &self.admission {
            Admission::Open => ended.closed,
            Admission::Server => false,
            Admission::Gateway(id) => match &self.token {
                Some(token) => ended.tokens.contains(token),
                None => ended.gateways.contains(id),
            },
            Admission::Reader(_) => {
                let token = self.token.as_ref();
                token.is_some_and(|token| ended.tokens.contains(token))
            }
        }
    }
}

impl Admission {
    /// Whether the topic of a message, or of a last will, is one of its own.
    pub(super) fn may_publish(&self, prefix: &str, topic: &str) -> bool {
        match self {
            Admission::Open | Admission::Server => true,
            Admission::Gateway(id) => is_below(prefix, id, topic),
            Admission::Reader(_) => false,
        }
    }

    /// Whether it may hear what matches a filter, which is without `$share/<group>/`.
    pub(super) fn may_subscribe(&self, prefix: &str, group: Option<&str>, filter: &str) -> bool {
        match self {
            Admission::Open | Admission::Server => true,
            _ if group == Some(SERVER_GROUP) || filter.starts_with('$') => false,
            // Everyone hears of releases.
            Admission::Gateway(id) => is_below(prefix, id, filter),
            Admission::Reader(_) => true,
        }
    }
}

/// Whether this is below a gateway's own topic. Wildcards can only stand below it, since what comes
/// first is compared letter by letter.
fn is_below(prefix: &str, gateway_id: &str, topic: &str) -> bool {
    let rest = topic
        .strip_prefix(prefix)
        .and_then(|rest| rest.strip_prefix("/gateway/"))
        .and_then(|rest| rest.strip_prefix(gateway_id))
        .and_then(|rest| rest.strip_prefix('/'));
    let is_plain = !gateway_id.contains(['/', '+', '#']);
    is_plain && rest.is_some_and(|rest| !rest.is_empty())
}

/// Whether two texts are the same, in a time that does not tell where they differ.
pub(super) fn is_same_secret(one: &str, other: &str) -> bool {
    Sha256::digest(one) == Sha256::digest(other)
}

#[cfg(test)]
mod tests {
    use super::*;
    use airlift_proto::AVAILABLE_TOPIC;

    #[test]
    fn a_gateway_has_what_is_below_its_own_topic_and_nothing_else() {
        let gateway = Admission::Gateway("G1".to_owned());
        let own = [
            "hanqi/gateway/G1/report",
            "hanqi/gateway/G1/a/b",
            "hanqi/gateway/G1/#",
            "hanqi/gateway/G1/+",
        ];
        let others = [
            "",
            "#",
            "+/gateway/G1/report",
            "hanqi/+/G1/report",
            "hanqi/#",
            "hanqi/gateway/+/report",
            "hanqi/gateway/#",
            "hanqi/gateway/G1",
            "hanqi/gateway/G1/",
            "hanqi/gateway/G10/report",
            "hanqi/gateway/G2/report",
            "hanqi/gateway//report",
            "/hanqi/gateway/G1/report",
            "Hanqi/gateway/G1/report",
            "hanqi/alerts",
            "$SYS/broker",
            "$share/g/hanqi/gateway/G1/report",
        ];
        for topic in own {
            assert!(gateway.may_publish("hanqi", topic), "{topic}");
            assert!(gateway.may_subscribe("hanqi", None, topic), "{topic}");
            assert!(gateway.may_subscribe("hanqi", Some("mine"), topic));
            assert!(!gateway.may_subscribe("hanqi", Some(SERVER_GROUP), topic));
        }
        for topic in others {
            assert!(!gateway.may_publish("hanqi", topic), "{topic}");
            assert!(!gateway.may_subscribe("hanqi", None, topic), "{topic}");
            assert!(!gateway.may_subscribe("hanqi", Some("g"), topic), "{topic}");
        }
        assert!(!gateway.may_subscribe("hanqi", None, AVAILABLE_TOPIC));
        assert!(!gateway.may_publish("hanqi", AVAILABLE_TOPIC));
        let wild = Admission::Gateway("+".to_owned());
        assert!(!wild.may_subscribe("hanqi", None, "hanqi/gateway/+/report"));
    }

    #[test]
    fn a_reader_hears_everything_but_the_broker_itself_and_says_nothing() {
        let reader = Admission::Reader("ci".to_owned());
        assert!(reader.may_subscribe("hanqi", None, "#"));
        assert!(reader.may_subscribe("hanqi", Some("mine"), "hanqi/gateway/+/report"));
        assert!(!reader.may_subscribe("hanqi", Some("airlift"), "hanqi/gateway/+/report"));
        assert!(!reader.may_subscribe("hanqi", None, "$SYS/#"));
        assert!(!reader.may_publish("hanqi", "hanqi/gateway/G1/command"));
    }
}
