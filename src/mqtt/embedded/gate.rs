//! Where rmqtt asks before it acts.

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use governor::clock::{Clock, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use rmqtt::codec::v5::SubscribeAckReason;
use rmqtt::context::ServerContext;
use rmqtt::hook::{Handler, HookResult, Parameter, ReturnType, Type};
use rmqtt::inflight::{MomentStatus, OutInflightMessage};
use rmqtt::session::Session;
use rmqtt::types::{
    self as mqtt, AuthResult, ConnectInfo, Publish, PublishAclResult, QoS, Subscribe,
    SubscribeAclResult,
};
use tokio::sync::{Semaphore, watch};
use tokio::time::{sleep, timeout};

use super::access::{Admission, Admitted, ConnectRequest, OnConnect, Refusal, is_same_secret};
use super::front::Front;
use super::offline::{let_socket_go, was_moved};
use super::{
    HANDSHAKE_SECONDS_MAX, OnPublish, PACKET_BYTES_MAX, SERVER_USER, STORE_MS_MAX,
    TOPIC_LEVELS_MAX, WILL_STORE_MS_MAX,
};

/// Milliseconds between two tries for a last will.
const WILL_STORE_PAUSE_MS: u64 = 250;
/// Characters of a client's topic that go into a log line.
const LOGGED_CHARS_MAX: usize = 128;
/// Bytes a PUBLISH may need beyond topic and payload.
const PUBLISH_OVERHEAD_BYTES: usize = 1_024;
/// Bytes of a message that a gateway may send: the server's own session takes no larger ones.
const GATEWAY_MESSAGE_BYTES_MAX: usize = 256 * 1024 - PUBLISH_OVERHEAD_BYTES;
/// A topic nobody hears: a leading wildcard does not match it (MQTT 4.7.2).
const NOWHERE: &str = "$nowhere";
/// Milliseconds that the answer to a refused CONNECT waits, and how many wait at the same time.
const REFUSAL_PAUSE_MS: u64 = 1_000;
const REFUSALS_WAITING_MAX: usize = 64;
/// Messages that wait for the store; beyond it nobody else is let in, or a fleet that comes back all
/// at once would wait past [`STORE_MS_MAX`], be cut off and come back again.
const STORING_MAX: usize = 2_000;
/// Milliseconds between two looks whether they are fewer.
const STORING_PAUSE_MS: u64 = 20;
/// Milliseconds between two tries to find out who somebody is.
const CONNECT_PAUSE_MS: u64 = 500;
/// Seconds' worth of messages that a gateway may send at once.
const BURST_SECONDS: u32 = 10;
/// Milliseconds between two log lines about refused messages and subscriptions.
const REFUSAL_LOG_MS: u64 = 10_000;

/// The hooks [`Gate`] is registered for.
pub(super) const GATED: [Type; 7] = [
    Type::ClientConnect,
    Type::ClientAuthenticate,
    Type::ClientDisconnected,
    Type::ClientSubscribeCheckAcl,
    Type::MessagePublishCheckAcl,
    Type::MessagePublish,
    Type::MessageDelivered,
];

/// Stands where rmqtt asks before it acts: at CONNECT, at SUBSCRIBE, before a message is forwarded
/// and then acknowledged, before a last will goes out, before a message is written to a subscriber.
#[derive(Clone)]
pub(super) struct Gate {
    pub on_connect: OnConnect,
    pub on_publish: OnPublish,
    pub topic_prefix: Arc<str>,
    /// The password of the server's own session.
    pub server_password: Arc<str>,
    /// Where clients come in, if not at rmqtt's own door.
    pub front: Option<Arc<Front>>,
    /// None once the broker has ended: it holds this gate, too.
    pub context: Arc<Mutex<Option<ServerContext>>>,
    pub limits: Arc<Limits>,
    pub stopped: watch::Receiver<bool>,
}

/// What is counted over all clients.
pub(super) struct Limits {
    messages: Option<DefaultKeyedRateLimiter<String>>,
    refusals: Semaphore,
    /// Messages that are being stored.
    storing: AtomicUsize,
    /// Somebody was let in without a credential.
    pub opened: AtomicBool,
    began: Instant,
    /// Milliseconds from `began` to the newest log line about a refusal.
    logged: AtomicU64,
}

impl Limits {
    /// 0: no limit.
    pub fn new(messages_per_second: u32) -> Self {
        let quota = NonZeroU32::new(messages_per_second).map(|rate| {
            let burst = rate.saturating_mul(NonZeroU32::new(BURST_SECONDS).unwrap_or(rate));
            Quota::per_second(rate).allow_burst(burst)
        });
        Limits {
            messages: quota.map(RateLimiter::keyed),
            refusals: Semaphore::new(REFUSALS_WAITING_MAX),
            storing: AtomicUsize::new(0),
            opened: AtomicBool::new(false),
            began: Instant::now(),
            logged: AtomicU64::new(0),
        }
    }

    /// Waits until a gateway may send one more message: its acknowledgement waits with it.
    async fn message(&self, gateway_id: &String) {
        let Some(messages) = &self.messages else {
            return;
        };
        while let Err(not_until) = messages.check_key(gateway_id) {
            sleep(not_until.wait_time_from(DefaultClock::default().now())).await;
        }
    }

    /// Forgets gateways that sent nothing lately.
    pub fn tidy(&self) {
        if let Some(messages) = &self.messages {
            messages.retain_recent();
        }
    }

    fn may_log(&self) -> bool {
        let now = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let last = self.logged.load(Ordering::Relaxed);
        let is_due = last == 0 || now.saturating_sub(last) >= REFUSAL_LOG_MS;
        is_due
            && self
                .logged
                .compare_exchange(last, now.max(1), Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
    }
}

#[async_trait]
impl Handler for Gate {
    async fn hook(&self, param: &Parameter, before: Option<HookResult>) -> ReturnType {
        match param {
            Parameter::ClientConnect(client) => {
                self.until_known(client).await;
                (true, before)
            }
            Parameter::ClientAuthenticate(client) => {
                let result = self.authenticate(client).await;
                (false, Some(HookResult::AuthResult(result)))
            }
            Parameter::ClientDisconnected(session, _) => {
                if let Some(context) = self.context()
                    && !*self.stopped.borrow()
                {
                    tokio::spawn(let_socket_go(context, Session::clone(session)));
                }
                (true, before)
            }
            Parameter::ClientSubscribeCheckAcl(session, subscribe) => {
                match self.refuses_subscription(session, subscribe) {
                    false => (true, before),
                    true => {
                        let refused =
                            SubscribeAclResult::new_failure(SubscribeAckReason::NotAuthorized);
                        (false, Some(HookResult::SubscribeAclResult(refused)))
                    }
                }
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

impl Gate {
    /// Waits while those who are in wait for the store, and while it can't be found out who somebody
    /// is. rmqtt answers "server unavailable" when that took as long as a handshake may; it has no
    /// other way to say so.
    async fn until_known(&self, client: &ConnectInfo) {
        let Some(request) = self.request(client) else {
            return;
        };
        if request.user.as_deref() == Some(SERVER_USER) {
            return;
        }
        let deadline = Instant::now() + Duration::from_secs(HANDSHAKE_SECONDS_MAX);
        while self.limits.storing.load(Ordering::Relaxed) > STORING_MAX {
            sleep(Duration::from_millis(STORING_PAUSE_MS)).await;
            if Instant::now() > deadline {
                return;
            }
        }
        while (self.on_connect)(request.clone()).await == Err(Refusal::Unavailable) {
            sleep(Duration::from_millis(CONNECT_PAUSE_MS)).await;
            if Instant::now() > deadline {
                return;
            }
        }
    }

    /// What a client shows; None if it came past our own door.
    fn request(&self, client: &ConnectInfo) -> Option<ConnectRequest> {
        let id = client.id();
        let (address, certified_gateway) = self.origin(id)?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Some(ConnectRequest {
            client_id: id.client_id.to_string(),
            user: client.username().map(|user| user.to_string()),
            password: client.password().map(|password| text(password)),
            address,
            certified_gateway,
        })
    }

    fn origin(&self, id: &mqtt::Id) -> Option<(IpAddr, Option<Arc<str>>)> {
        let remote: SocketAddr = id.remote_addr?;
        match &self.front {
            Some(front) if id.lid == front.inner_port() => front.origin(remote),
            _ => Some((remote.ip().to_canonical(), None)),
        }
    }

    /// Who may connect, with an acceptable last will. Nobody as superuser: for those rmqtt skips
    /// [`Gate::admit`].
    async fn authenticate(&self, client: &ConnectInfo) -> AuthResult {
        let (admitted, address) = match self.request(client) {
            None => (None, None),
            Some(request) => (self.identify(&request, client).await, Some(request.address)),
        };
        if let Some(admitted) = admitted {
            let will = match client.last_will() {
                Some(mqtt::LastWill::V3(will)) => Some(&will.topic),
                Some(mqtt::LastWill::V5(will)) => Some(&will.topic),
                None => None,
            };
            let may = |topic: &str| {
                !too_deep(topic) && admitted.admission.may_publish(&self.topic_prefix, topic)
            };
            if will.is_none_or(|topic| may(topic)) && self.may_have_id(client, &admitted).await {
                if admitted.admission == Admission::Open {
                    self.limits.opened.store(true, Ordering::Relaxed);
                }
                return AuthResult::Allow(false, Some(admitted.record()));
            }
        }
        let id = &client.id().client_id;
        let user = client.username();
        tracing::info!(client = %shortened(id), ?user, ?address, "MQTT client refused");
        // Who guesses is slowed; where too many guess, at least nobody else waits.
        if let Ok(_waiting) = self.limits.refusals.try_acquire() {
            sleep(Duration::from_millis(REFUSAL_PAUSE_MS)).await;
        }
        AuthResult::NotAuthorized
    }

    async fn identify(&self, request: &ConnectRequest, client: &ConnectInfo) -> Option<Admitted> {
        let is_own_door = match &self.front {
            Some(front) => client.id().lid == front.own_port(),
            None => true,
        };
        let password = request.password.as_deref();
        if request.user.as_deref() == Some(SERVER_USER) {
            let is_it = password.is_some_and(|it| is_same_secret(it, &self.server_password));
            return (is_own_door && is_it).then(|| Admitted::new(Admission::Server, None));
        }
        if is_own_door && self.front.is_some() {
            return None;
        }
        let admission = (self.on_connect)(request.clone()).await.ok()?;
        Some(Admitted::new(admission, password))
    }

    /// Whether a client id is free for this one: nobody takes another's session over.
    async fn may_have_id(&self, client: &ConnectInfo, admitted: &Admitted) -> bool {
        let Some(context) = self.context() else {
            return false;
        };
        let mut entry = context.extends.shared().await.entry(client.id().clone());
        let there = entry.session().map(|session| Admitted::of(&session));
        let Some(there) = there else {
            return true;
        };
        let there = there.map(|there| there.admission);
        if there.as_ref() == Some(&admitted.admission) {
            return true;
        }
        // Who came in while doors were open, or took an id of the server's, gives way.
        let gives_way = there.is_none_or(|there| there == Admission::Open)
            || admitted.admission == Admission::Server;
        gives_way && entry.kick(true, true, true).await.is_ok()
    }

    fn context(&self) -> Option<ServerContext> {
        let context = self.context.lock().unwrap_or_else(PoisonError::into_inner);
        context.clone()
    }

    fn refuses_subscription(&self, session: &Session, subscribe: &Subscribe) -> bool {
        let group = subscribe.opts.shared_group().map(|group| group.to_string());
        let filter = &subscribe.topic_filter;
        let may = Admitted::of(session).is_some_and(|it| {
            it.admission
                .may_subscribe(&self.topic_prefix, group.as_deref(), filter)
        });
        if !may && self.limits.may_log() {
            let client = shortened(&session.id.client_id);
            let filter = shortened(filter);
            tracing::warn!(
                client,
                filter,
                "MQTT subscription refused: not this client's"
            );
        }
        !may
    }

    /// Runs before a PUBLISH is forwarded; PUBACK or PUBREC come after that. Where it can't be
    /// stored the connection is closed, so that the client sends again: a PUBACK with an error
    /// would end its attempts. What a client may not send must end them: MQTT 5 tells it so;
    /// of MQTT 3.1.1, which can't, the message is acknowledged and dropped (3.3.5), since a closed
    /// connection would bring it again for ever.
    async fn admit(&self, session: &Session, publish: &Publish) -> PublishAclResult {
        let admission = Admitted::of(session).map(|admitted| admitted.admission);
        let may = admission
            .as_ref()
            .is_some_and(|it| it.may_publish(&self.topic_prefix, &publish.topic));
        let client = shortened(&session.id.client_id);
        let topic = shortened(&publish.topic);
        let is_gateway = matches!(admission, Some(Admission::Gateway(_)));
        if let Some(Admission::Gateway(id)) = &admission {
            self.limits.message(id).await;
        }
        let too_large = is_gateway && publish.payload.len() > GATEWAY_MESSAGE_BYTES_MAX;
        if !may || too_large {
            let why = match may {
                true => "it is too large for a gateway's",
                false => "this client may not publish there",
            };
            if self.limits.may_log() {
                tracing::warn!(client, topic, why, "MQTT message refused");
            }
            return PublishAclResult::rejected(false, Some(why.into()));
        }
        let why = if too_deep(&publish.topic) {
            "the topic has too many levels"
        } else if !matches!(publish.qos, QoS::AtMostOnce) && !self.stored(publish).await {
            "the message could not be stored; the client will send it again"
        } else {
            return PublishAclResult::allow();
        };
        tracing::warn!(client, topic, why, "MQTT connection closed");
        PublishAclResult::rejected(true, Some(why.into()))
    }

    /// What to publish in the will's place, if anything: rmqtt lets a will be changed, not refused.
    async fn admit_will(&self, session: &Session, will: &Publish) -> Option<Publish> {
        // A client that connects anew throws its old session out, whose will may come after the new
        // one's first messages: a gateway that is there would stay "offline". Nor at our shutdown.
        let thrown_out = session.disconnected_reasons().await.is_ok_and(|reasons| {
            let is_kicked = |reason| matches!(reason, &mqtt::Reason::ConnectKicked(false));
            was_moved(&reasons) || reasons.iter().any(is_kicked)
        });
        let may = Admitted::of(session)
            .is_some_and(|it| it.admission.may_publish(&self.topic_prefix, &will.topic));
        if thrown_out || !may || *self.stopped.borrow() {
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
        let _storing = Storing::begin(&self.limits.storing);
        tokio::select! {
            stored = timeout(Duration::from_millis(STORE_MS_MAX), store) => stored.unwrap_or(false),
            _ = stopped.wait_for(|stopped| *stopped) => false,
        }
    }
}

/// Counts while it lives.
struct Storing<'s>(&'s AtomicUsize);

impl<'s> Storing<'s> {
    fn begin(count: &'s AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Storing(count)
    }
}

impl Drop for Storing<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn too_deep(topic: &str) -> bool {
    topic.split('/').count() > TOPIC_LEVELS_MAX
}

fn shortened(text: &str) -> String {
    text.chars().take(LOGGED_CHARS_MAX).collect()
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
