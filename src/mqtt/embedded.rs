//! The built-in MQTT broker: with it one binary serves a whole fleet, and the tutorial needs
//! nothing installed.
//!
//! It is the crate `rmqtt` inside this process: no configuration file, no plugin folder, nothing on
//! disk. Sessions, queues and retained messages live in memory and end with the process; what must
//! outlive it goes through [`OnPublish`] before its sender gets an acknowledgement.
//!
//! A new rule about who may connect or publish goes into `Gate::hook`'s arm for it; one about
//! subscribing is a new arm for `Parameter::ClientSubscribeCheckAcl`, listed in [`GATED`].

use std::io;
use std::net::SocketAddr;
use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::future::{BoxFuture, join_all};
use rmqtt::context::ServerContext;
use rmqtt::hook::{Handler, HookResult, Parameter, ReturnType, Type};
use rmqtt::inflight::{MomentStatus, OutInflightMessage};
use rmqtt::net::Builder;
use rmqtt::server::MqttServer;
use rmqtt::session::Session;
use rmqtt::types::{self as mqtt, AuthResult, ConnectInfo, Publish, PublishAclResult, QoS};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use self::plugins::{AnyMember, Retained};

mod plugins;

/// Largest MQTT packet, in bytes: 1 MiB of payload and room for topic and properties.
pub const PACKET_BYTES_MAX: u32 = 1024 * 1024 + 64 * 1024;
/// Sessions kept, connected or not.
pub const SESSIONS_MAX: u32 = 50_000;
/// Seconds a write to a client may take before its connection is given up.
pub const SEND_SECONDS_MAX: u64 = 5;
/// Milliseconds [`OnPublish`] may take. Together with the time for a last will it must stay below
/// the 5 s rmqtt gives an old session to make room for the client's new one: past them both run on.
pub const STORE_MS_MAX: u64 = 3_000;
/// Milliseconds [`OnPublish`] is tried for a last will, which nobody is left to send again.
pub const WILL_STORE_MS_MAX: u64 = 1_500;
/// Milliseconds between two tries for a last will.
const WILL_STORE_PAUSE_MS: u64 = 250;
/// Seconds a client has for its CONNECT.
const HANDSHAKE_SECONDS_MAX: u64 = 10;
/// Messages sent to one client and not yet acknowledged.
const INFLIGHT_MESSAGES_MAX: NonZeroU16 = NonZeroU16::new(64).unwrap();
/// Messages waiting for one session, connected or not; beyond it the oldest goes.
const QUEUE_MESSAGES_MAX: usize = 1_000;
/// Subscriptions of one client.
const SUBSCRIPTIONS_MAX: usize = 100;
/// Bytes of a client identifier.
const CLIENT_ID_BYTES_MAX: usize = 256;
/// Characters of a client's topic that go into a log line.
const LOGGED_CHARS_MAX: usize = 128;
/// Levels of a topic. rmqtt walks topics recursively: one of many levels overflows the stack.
const TOPIC_LEVELS_MAX: usize = 32;
/// Seconds an unconnected session is kept, also where the client asks for longer.
const SESSION_SECONDS_MAX: u64 = 7 * 24 * 3600;
/// Bytes a PUBLISH may need beyond topic and payload.
const PUBLISH_OVERHEAD_BYTES: usize = 1_024;
/// Milliseconds `shutdown` waits for the clients to be gone, and between two looks at them.
const SHUTDOWN_MS_MAX: u64 = 5_000;
const SHUTDOWN_PAUSE_MS: u64 = 10;
/// A topic nobody hears: a leading wildcard does not match it (MQTT 4.7.2).
const NOWHERE: &str = "$nowhere";

/// Takes a message (topic, payload); true once it is kept for good, or need not be.
///
/// Called for every QoS 1 and 2 message of any client, the server's own session included, and for
/// last wills. Messages of one client come one after the other, of different clients at the same
/// time; a message may come twice. Past [`STORE_MS_MAX`] the future is dropped, which counts as
/// false, and so does the broker's shutdown.
pub type OnPublish = Arc<dyn Fn(String, Bytes) -> BoxFuture<'static, bool> + Send + Sync>;

/// What [`EmbeddedBroker::start`] needs to know.
pub struct EmbeddedBrokerOptions {
    /// Where to listen; port 0 takes a free one, see [`EmbeddedBroker::local_addr`].
    pub listen: SocketAddr,
    /// The durability gate.
    pub on_publish: OnPublish,
}

/// Why the broker did not start.
#[derive(Debug, thiserror::Error)]
pub enum EmbeddedBrokerError {
    /// The address could not be bound.
    #[error(
        "the built-in MQTT broker cannot listen on {addr}: {source}; stop what uses this address, \
         choose another with --mqtt-listen, or use an outside broker with --mqtt-url"
    )]
    Listen {
        /// The address asked for.
        addr: SocketAddr,
        /// What the operating system said.
        source: io::Error,
    },
}

/// A running broker. Dropped, it only stops listening; [`EmbeddedBroker::shutdown`] ends it.
pub struct EmbeddedBroker {
    context: ServerContext,
    accept: JoinSet<()>,
    local_addr: SocketAddr,
    stopping: watch::Sender<bool>,
}

impl EmbeddedBroker {
    /// Starts the broker in the current tokio runtime; when this returns, it listens.
    ///
    /// # Errors
    /// [`EmbeddedBrokerError::Listen`] when the address is taken or not ours.
    pub async fn start(options: EmbeddedBrokerOptions) -> Result<Self, EmbeddedBrokerError> {
        let addr = options.listen;
        let refused = |e: rmqtt::Error| EmbeddedBrokerError::Listen {
            addr,
            source: e.downcast().unwrap_or_else(io::Error::other),
        };
        let listener = limits()
            .laddr(addr)
            .bind()
            .and_then(|l| l.tcp())
            .map_err(refused)?;
        let local_addr = listener.local_addr().map_err(refused)?;

        // rmqtt's own load check would turn gateways away whenever the machine is busy.
        let context = ServerContext::new().busy_check_enable(false);
        let context = context
            .mqtt_max_sessions(SESSIONS_MAX as isize)
            .build()
            .await;
        *context.extends.retain_mut().await = Box::new(Retained::default());
        *context.extends.shared_subscription_mut().await = Box::new(AnyMember);

        let (stopping, stopped) = watch::channel(false);
        let gate = Gate {
            on_publish: options.on_publish,
            stopped,
        };
        let hooks = context.extends.hook_mgr().register();
        for kind in GATED {
            hooks.add(kind, Box::new(gate.clone())).await;
        }
        hooks.start().await;

        let server = MqttServer::new(context.clone());
        let server = server.listener_by_id(listener, local_addr.port()).build();
        let mut accept = JoinSet::new();
        accept.spawn(async move {
            if let Err(error) = server.run().await {
                tracing::error!(%error, %local_addr, "the built-in MQTT broker ended; restart");
            }
        });
        Ok(Self {
            context,
            accept,
            local_addr,
            stopping,
        })
    }

    /// The address it listens on, with the real port.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Stops listening and closes every session: no last wills, and messages not yet taken stay
    /// unacknowledged. The port is free when this returns.
    pub async fn shutdown(mut self) {
        self.stopping.send_replace(true);
        self.accept.shutdown().await;
        let gone = async {
            loop {
                let sessions: Vec<_> = self.context.extends.shared().await.iter().collect();
                if sessions.is_empty() && self.context.connections.count() == 0 {
                    return;
                }
                // A session still being set up cannot be closed yet: look again.
                let close = sessions.into_iter().map(|mut session| async move {
                    session.kick(false, true, true).await.is_ok()
                });
                join_all(close).await;
                sleep(Duration::from_millis(SHUTDOWN_PAUSE_MS)).await;
            }
        };
        if timeout(Duration::from_millis(SHUTDOWN_MS_MAX), gone)
            .await
            .is_err()
        {
            let left = self.context.connections.count();
            tracing::warn!(
                left,
                "the built-in MQTT broker stopped with clients still connected"
            );
        }
    }
}

fn limits() -> Builder {
    let session = Duration::from_secs(SESSION_SECONDS_MAX);
    Builder::new()
        .name("mqtt")
        // Else our own closed connections keep the port taken for a minute after a shutdown.
        .reuseaddr(Some(true))
        .nodelay(true)
        // Every client passes `authenticate`; rmqtt would let those without a user name past it.
        .allow_anonymous(false)
        .max_packet_size(PACKET_BYTES_MAX)
        .max_connections(SESSIONS_MAX as usize)
        .handshake_timeout(Duration::from_secs(HANDSHAKE_SECONDS_MAX))
        .send_timeout(Duration::from_secs(SEND_SECONDS_MAX))
        .max_inflight(INFLIGHT_MESSAGES_MAX)
        .max_mqueue_len(QUEUE_MESSAGES_MAX)
        .max_subscriptions(SUBSCRIPTIONS_MAX)
        .max_topic_levels(TOPIC_LEVELS_MAX)
        .max_clientid_len(CLIENT_ID_BYTES_MAX)
        .session_expiry_interval(session)
        .max_session_expiry_interval(session)
        // Without an expiry of its own a message keeps; rmqtt's default drops it after 5 minutes.
        .message_expiry_interval(Duration::ZERO)
        // Redelivery at reconnection only (MQTT 5, 4.4): a slow subscriber is not sent more.
        .message_retry_interval(Duration::ZERO)
}

fn too_deep(topic: &str) -> bool {
    topic.split('/').count() > TOPIC_LEVELS_MAX
}

/// The hooks [`Gate`] is registered for.
const GATED: [Type; 4] = [
    Type::ClientAuthenticate,
    Type::MessagePublishCheckAcl,
    Type::MessagePublish,
    Type::MessageDelivered,
];

/// Stands where rmqtt asks before it acts: at CONNECT, before a message is forwarded and then
/// acknowledged, before a last will goes out, before a message is written to a subscriber.
#[derive(Clone)]
struct Gate {
    on_publish: OnPublish,
    stopped: watch::Receiver<bool>,
}

#[async_trait]
impl Handler for Gate {
    async fn hook(&self, param: &Parameter, before: Option<HookResult>) -> ReturnType {
        match param {
            Parameter::ClientAuthenticate(client) => {
                (false, Some(HookResult::AuthResult(authenticate(client))))
            }
            Parameter::MessagePublishCheckAcl(session, publish) => (
                false,
                Some(HookResult::PublishAclResult(
                    self.admit(session, publish).await,
                )),
            ),
            Parameter::MessagePublish(Some(session), from, publish)
                if matches!(from.typ(), mqtt::FromType::LastWill) =>
            {
                let instead = self.admit_will(session, publish).await;
                (true, instead.map(HookResult::Publish).or(before))
            }
            Parameter::MessageDelivered(session, from, publish) => {
                note_in_flight(session, from, publish).await;
                (true, before)
            }
            _ => (true, before),
        }
    }
}

/// Who may connect: for now anyone with an acceptable last will. Nobody as superuser: for those
/// rmqtt skips [`Gate::admit`].
fn authenticate(client: &ConnectInfo) -> AuthResult {
    let refuse = match client.last_will() {
        Some(mqtt::LastWill::V3(will)) => too_deep(&will.topic),
        Some(mqtt::LastWill::V5(will)) => too_deep(&will.topic),
        None => false,
    };
    if refuse {
        AuthResult::NotAuthorized
    } else {
        AuthResult::Allow(false, None)
    }
}

impl Gate {
    /// Runs before a PUBLISH is forwarded; PUBACK or PUBREC come after that. A refusal closes the
    /// connection, so that the client sends again: a PUBACK with an error would end its attempts.
    async fn admit(&self, session: &Session, publish: &Publish) -> PublishAclResult {
        let why = if too_deep(&publish.topic) {
            "the topic has too many levels"
        } else if !matches!(publish.qos, QoS::AtMostOnce) && !self.stored(publish).await {
            "the message could not be stored; the client will send it again"
        } else {
            return PublishAclResult::allow();
        };
        let client = &session.id.client_id;
        let topic: String = publish.topic.chars().take(LOGGED_CHARS_MAX).collect();
        tracing::warn!(%client, topic, why, "MQTT connection closed");
        PublishAclResult::rejected(true, Some(why.into()))
    }

    /// What to publish in the will's place, if anything: rmqtt lets a will be changed, not refused.
    async fn admit_will(&self, session: &Session, will: &Publish) -> Option<Publish> {
        // A client that connects anew throws its old session out, whose will may come after the new
        // one's first messages: a gateway that is there would stay "offline". Nor at our shutdown.
        let thrown_out = session.disconnected_reasons().await.is_ok_and(|reasons| {
            reasons
                .iter()
                .any(|reason| matches!(reason, mqtt::Reason::ConnectKicked(_)))
        });
        if thrown_out || *self.stopped.borrow() {
            let mut nothing = will.clone();
            nothing.topic = NOWHERE.into();
            nothing.retain = false;
            return Some(nothing);
        }
        let store = async {
            while !matches!(will.qos, QoS::AtMostOnce) && !self.stored(will).await {
                sleep(Duration::from_millis(WILL_STORE_PAUSE_MS)).await;
            }
        };
        if timeout(Duration::from_millis(WILL_STORE_MS_MAX), store)
            .await
            .is_err()
        {
            let client = &session.id.client_id;
            tracing::warn!(%client, topic = %will.topic, "last will not stored, published anyway");
        }
        None
    }

    async fn stored(&self, publish: &Publish) -> bool {
        let mut stopped = self.stopped.clone();
        let store = (self.on_publish)(publish.topic.to_string(), publish.payload.clone());
        tokio::select! {
            stored = timeout(Duration::from_millis(STORE_MS_MAX), store) => stored.unwrap_or(false),
            _ = stopped.wait_for(|stopped| *stopped) => false,
        }
    }
}

/// rmqtt takes a message off the queue, writes it and only then notes it as in flight: one whose
/// write fails is lost to a session that outlives the connection. Noted before, it comes again.
async fn note_in_flight(session: &Session, from: &mqtt::From, publish: &Publish) {
    let status = match publish.qos {
        QoS::AtMostOnce => return,
        QoS::AtLeastOnce => MomentStatus::UnAck,
        QoS::ExactlyOnce => MomentStatus::UnReceived,
    };
    // What is too large for the client can never be written: noted, it would cut every connection.
    let client_max = match session.connect_info().await.as_deref() {
        Ok(ConnectInfo::V5(_, connect)) => connect.max_packet_size.map(|max| max.get()),
        _ => None,
    };
    let bytes = publish.payload.len() + publish.topic.len() + PUBLISH_OVERHEAD_BYTES;
    if u32::try_from(bytes).is_ok_and(|bytes| bytes <= client_max.unwrap_or(PACKET_BYTES_MAX)) {
        let message = OutInflightMessage::new(status, from.clone(), publish.clone());
        session.out_inflight().write().await.push_back(message);
    }
}
