//! The server's side of MQTT: one session to one broker, built-in or outside, through `rumqttc`.
//!
//! Reports come by shared subscription (`$share/airlift/…`), so that servers on one broker divide
//! them; each is acknowledged by hand, after it is stored. The client id is leased
//! ([`SessionIds`]), so that what the broker keeps for a server that died is taken over.
//!
//! To add a topic the server listens to: a kind in `airlift_proto::TopicKind`, its filter in
//! `session::filters`, its parsing in `service::record_messages`.

mod broker_url;
pub mod embedded;
mod publisher;
mod receipts;
mod relay;
mod session;

pub use broker_url::BrokerUrl;
pub use publisher::{ACKNOWLEDGE_TIMEOUT, NotAcknowledged, NotConnected, Publisher};
pub use session::{Ack, INCOMING_QUEUE_MAX, Incoming, SessionIds, SessionOptions, run_session};
