#[cfg(feature = "alloc")]
use alloc::string::String;
use core::fmt::{self, Write};

/// Longest gateway id, in bytes.
pub const GATEWAY_ID_LENGTH_MAX: usize = 64;

/// Whether `id` can name a gateway: 1 to [`GATEWAY_ID_LENGTH_MAX`] of `A-Z a-z 0-9 . _ : -`, and
/// not only dots, so that it is safe as one MQTT topic level, URL segment and file name.
pub fn is_gateway_id(id: &str) -> bool {
    (1..=GATEWAY_ID_LENGTH_MAX).contains(&id.len())
        && id
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b':' | b'-'))
        && id.bytes().any(|b| b != b'.')
}

/// Which of a gateway's three topics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TopicKind {
    /// Server to gateway: [`crate::Command`].
    Command,
    /// Gateway to server: [`crate::Report`].
    Report,
    /// Gateway to server, retained, also its last will: [`crate::Status`].
    Status,
}

impl TopicKind {
    fn name(self) -> &'static str {
        match self {
            TopicKind::Command => "command",
            TopicKind::Report => "report",
            TopicKind::Status => "status",
        }
    }
}

/// Writes the topic's name, `{prefix}/gateway/{gatewayId}/{command|report|status}`.
pub fn write_topic(
    out: &mut impl Write,
    prefix: &str,
    gateway_id: &str,
    kind: TopicKind,
) -> fmt::Result {
    write!(out, "{prefix}/gateway/{gateway_id}/{}", kind.name())
}

/// Topic names under one prefix: `{prefix}/gateway/{gatewayId}/{command|report|status}`.
#[cfg(feature = "alloc")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topics {
    prefix: String,
}

#[cfg(feature = "alloc")]
impl Topics {
    pub fn new(prefix: impl Into<String>) -> Self {
        Topics {
            prefix: prefix.into(),
        }
    }

    pub fn topic(&self, gateway_id: &str, kind: TopicKind) -> String {
        let mut topic = String::new();
        // Writing to a string cannot fail.
        let _ = write_topic(&mut topic, &self.prefix, gateway_id, kind);
        topic
    }

    /// The filter that matches `kind` of every gateway.
    pub fn filter(&self, kind: TopicKind) -> String {
        self.topic("+", kind)
    }

    /// Where the server tells operators what needs their eye: `{prefix}/alerts`.
    pub fn alerts(&self) -> String {
        [self.prefix.as_str(), "/alerts"].concat()
    }

    /// Whose topic this is and which; `None` if it is not one of ours or the id is not valid.
    pub fn parse<'t>(&self, topic: &'t str) -> Option<(&'t str, TopicKind)> {
        let rest = topic
            .strip_prefix(self.prefix.as_str())?
            .strip_prefix("/gateway/")?;
        let (gateway_id, name) = rest.split_once('/')?;
        let kind = [TopicKind::Command, TopicKind::Report, TopicKind::Status]
            .into_iter()
            .find(|kind| kind.name() == name)?;
        is_gateway_id(gateway_id).then_some((gateway_id, kind))
    }
}
