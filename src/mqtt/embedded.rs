//! The built-in MQTT broker: with it one binary serves a whole fleet, and the tutorial needs
//! nothing installed.
//!
//! It is the crate `rmqtt` inside this process: no configuration file, no plugin folder, nothing on
//! disk. Sessions, queues and retained messages live in memory and end with the process; what must
//! outlive it goes through [`OnPublish`] before its sender gets an acknowledgement.
//!
//! Who may connect is asked of [`OnConnect`]; whose topics are whose stands in `embedded/access.rs`.
//! A new rule goes into `Gate::hook`'s arm for it, listed in `gate::GATED`.

use std::io;
use std::net::SocketAddr;
use std::num::NonZeroU16;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{BoxFuture, join_all};
use rmqtt::context::ServerContext;
use rmqtt::net::{Builder, Listener};
use rmqtt::server::MqttServer;
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use self::front::Front;
use self::gate::{GATED, Gate, Limits};
use self::plugins::{AnyMember, Retained};
use super::BrokerUrl;
use crate::tls::Tls;

mod access;
mod ended;
mod front;
mod gate;
mod offline;
mod plugins;

pub use self::access::{Admission, ConnectRequest, Ended, OnConnect, OnLook, Refusal, SERVER_USER};

/// Largest MQTT packet, in bytes: 1 MiB of payload and room for topic and properties.
pub const PACKET_BYTES_MAX: u32 = 1024 * 1024 + 64 * 1024;
/// Sessions kept, connected or not.
pub const SESSIONS_MAX: u32 = 100_000;
/// Seconds a write to a client may take before its connection is given up.
pub const SEND_SECONDS_MAX: u64 = 5;
/// Milliseconds [`OnPublish`] may take. Together with the time for a last will it must stay below
/// the 5 s rmqtt gives an old session to make room for the client's new one: past them both run on.
pub const STORE_MS_MAX: u64 = 3_000;
/// Milliseconds [`OnPublish`] is tried for a last will, which nobody is left to send again.
pub const WILL_STORE_MS_MAX: u64 = 1_500;
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
/// Levels of a topic. rmqtt walks topics recursively: one of many levels overflows the stack.
const TOPIC_LEVELS_MAX: usize = 32;
/// Seconds an unconnected session is kept, also where the client asks for longer.
const SESSION_SECONDS_MAX: u64 = 7 * 24 * 3600;
/// Seconds until a connection from the TLS front has named its client.
const PROXY_HEADER_SECONDS_MAX: u64 = 1;
/// Connections that wait to be taken; a client whose connection finds no room tries again after a second.
const BACKLOG: i32 = 4_096;
/// Milliseconds `shutdown` waits for the clients to be gone, and between two looks at them.
const SHUTDOWN_MS_MAX: u64 = 5_000;
const SHUTDOWN_PAUSE_MS: u64 = 10;

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
    /// Who comes.
    pub on_connect: OnConnect,
    /// Whose credentials have ended.
    pub on_look: OnLook,
    /// First level, or levels, of the gateways' topics.
    pub topic_prefix: String,
    /// From one gateway, on average; 0: no limit.
    pub messages_per_second: u32,
    /// Clients speak TLS, if any.
    pub tls: Option<Arc<Tls>>,
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
    /// What listens and looks; dropped, it ends.
    tasks: JoinSet<()>,
    local_addr: SocketAddr,
    /// Where the server's own session connects.
    own_addr: SocketAddr,
    server_password: Arc<str>,
    held_by_gate: Arc<Mutex<Option<ServerContext>>>,
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
        let doors = Doors::open(addr, options.tls).map_err(refused)?;
        let (local_addr, own_addr) = (doors.local_addr, doors.own_addr);

        // rmqtt's own load check would turn gateways away whenever the machine is busy.
        let context = ServerContext::new().busy_check_enable(false);
        let context = context
            .mqtt_max_sessions(SESSIONS_MAX as isize)
            .build()
            .await;
        *context.extends.retain_mut().await = Box::new(Retained::default());
        *context.extends.shared_subscription_mut().await = Box::new(AnyMember);

        let (stopping, stopped) = watch::channel(false);
        let limits = Arc::new(Limits::new(options.messages_per_second));
        let server_password: Arc<str> = hex::encode(rand::random::<[u8; 32]>()).into();
        let held_by_gate = Arc::new(Mutex::new(Some(context.clone())));
        let gate = Gate {
            on_connect: options.on_connect,
            on_publish: options.on_publish,
            topic_prefix: options.topic_prefix.into(),
            server_password: server_password.clone(),
            front: doors.front.as_ref().map(|(front, ..)| front.clone()),
            context: held_by_gate.clone(),
            limits: limits.clone(),
            stopped,
        };
        let hooks = context.extends.hook_mgr().register();
        for kind in GATED {
            hooks.add(kind, Box::new(gate.clone())).await;
        }
        hooks.start().await;

        let mut server = MqttServer::new(context.clone());
        for (port, listener) in doors.listeners {
            server = server.listener_by_id(listener, port);
        }
        let server = server.build();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            if let Err(error) = server.run().await {
                tracing::error!(%error, %local_addr, "the built-in MQTT broker ended; restart");
            }
        });
        if let Some((front, listener, tls)) = doors.front {
            tasks.spawn(front.run(listener, tls));
        }
        tasks.spawn(ended::run(context.clone(), options.on_look, limits));
        Ok(Self {
            context,
            tasks,
            local_addr,
            own_addr,
            server_password,
            held_by_gate,
            stopping,
        })
    }

    /// Where and as whom the server's own session connects.
    pub fn own_url(&self) -> BrokerUrl {
        let password = self.server_password.to_string();
        BrokerUrl::loopback(self.own_addr, (SERVER_USER.to_owned(), password))
    }

    /// The address it listens on, with the real port.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Stops listening and closes every session: no last wills, and messages not yet taken stay
    /// unacknowledged. The port is free when this returns.
    pub async fn shutdown(mut self) {
        self.stopping.send_replace(true);
        self.tasks.shutdown().await;
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
        let mut held = self
            .held_by_gate
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *held = None;
    }
}

/// What is listened on.
struct Doors {
    local_addr: SocketAddr,
    own_addr: SocketAddr,
    /// rmqtt's own, by port.
    listeners: Vec<(u16, Listener)>,
    front: Option<(Arc<Front>, TcpListener, Arc<Tls>)>,
}

impl Doors {
    fn open(addr: SocketAddr, tls: Option<Arc<Tls>>) -> rmqtt::Result<Doors> {
        let bind = |builder: Builder| -> rmqtt::Result<(SocketAddr, Listener)> {
            let listener = builder.bind()?.tcp()?;
            Ok((listener.local_addr()?, listener))
        };
        let Some(tls) = tls else {
            let (local_addr, listener) = bind(limits().laddr(addr))?;
            return Ok(Doors {
                local_addr,
                own_addr: local_addr,
                listeners: vec![(local_addr.port(), listener)],
                front: None,
            });
        };
        let socket = match addr {
            SocketAddr::V4(_) => TcpSocket::new_v4()?,
            SocketAddr::V6(_) => TcpSocket::new_v6()?,
        };
        socket.set_reuseaddr(true)?;
        socket.bind(addr)?;
        let outer = socket.listen(BACKLOG as u32)?;
        let local = SocketAddr::from(([127, 0, 0, 1], 0));
        let (inner_addr, inner) = bind(behind_front(local))?;
        let (own_addr, own) = bind(limits().laddr(local))?;
        let front = Arc::new(Front::new(inner_addr, own_addr));
        Ok(Doors {
            local_addr: outer.local_addr()?,
            own_addr,
            listeners: vec![(inner_addr.port(), inner), (own_addr.port(), own)],
            front: Some((front, outer, tls)),
        })
    }
}

/// The header comes with the connection; rmqtt takes no other connection while it waits for one.
fn behind_front(local: SocketAddr) -> Builder {
    limits()
        .laddr(local)
        .proxy_protocol(true)
        .proxy_protocol_timeout(Duration::from_secs(PROXY_HEADER_SECONDS_MAX))
}

fn limits() -> Builder {
    let session = Duration::from_secs(SESSION_SECONDS_MAX);
    Builder::new()
        .name("mqtt")
        // Else our own closed connections keep the port taken for a minute after a shutdown.
        .reuseaddr(Some(true))
        .nodelay(true)
        .backlog(BACKLOG)
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
