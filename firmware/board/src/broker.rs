//! The connection to the broker: kept up by itself, each begun afresh.
//!
//! The MQTT client's own retransmission is not used: what must be sent again after a reconnect is the
//! core's to say, so a connection that is lost takes everything under way on it along.

use core::{fmt, future, num::NonZero};

use airlift_firmware::{Event, MESSAGE_BYTES_MAX, backoff_ms};
use airlift_proto::{TopicKind, write_topic};
use embassy_futures::select::{Either3, select3};
use embassy_net::{IpAddress, dns::DnsQueryType, tcp::TcpSocket};
use embassy_time::{Duration, Instant, Timer, with_timeout};
use embedded_storage::nor_flash::NorFlash;
use heapless::{String, Vec};
use rust_mqtt::{
    Bytes,
    buffer::BumpBuffer,
    client::{
        Client as MqttClient, MqttError,
        event::Event as Packet,
        options::{
            AckOptions, ConnectOptions, DisconnectOptions, PublicationOptions, SubscriptionOptions,
            TopicReference, WillOptions,
        },
    },
    config::{KeepAlive, SessionExpiryInterval},
    types::{MqttBinary, MqttString, ReasonCode, TopicFilter, TopicName},
};

use crate::{
    Platform,
    memory::{BrokerMemory, PACKET_BYTES_MAX},
    outbox::{PUBLISHES_MAX, Stage},
    shell::{Shell, now_ms},
};

/// How long the broker keeps commands for a gateway that is away.
const SESSION_SECONDS: NonZero<u32> = NonZero::new(7 * 24 * 3600).unwrap();
const KEEP_ALIVE_SECONDS: NonZero<u16> = NonZero::new(30).unwrap();
/// A ping goes out so often, whatever else was sent: the answer shows that the broker is there.
const PING_MS: u64 = 20_000;
/// Longest silence of the broker, longest wait for the acknowledgement of a publish, longest time
/// for sent bytes to arrive.
const SILENCE_MS_MAX: u64 = 30_000;
const CONNECT_MS_MAX: u64 = 10_000;
/// Wait before the second connect, and the longest one.
const RECONNECT_MS_MIN: u64 = 500;
const RECONNECT_MS_MAX: u64 = 30_000;
/// A connection that held so long counts as good: the waits start anew.
const STABLE_MS_MIN: u64 = 20_000;
/// Wait before a message that nobody heard is published again, and the longest one.
const UNHEARD_MS_MIN: u64 = 2_000;
const UNHEARD_MS_MAX: u64 = 10_000;
/// Longest topic: prefix, gateway id, and what stands between and behind.
const TOPIC_BYTES_MAX: usize = 128;
const WILL_BYTES_MAX: usize = 192;

const COMMANDS_UNDER_WAY_MAX: usize = 4;

type Client<'m> = MqttClient<
    'static,
    'm,
    TcpSocket<'m>,
    BumpBuffer<'m>,
    1,
    COMMANDS_UNDER_WAY_MAX,
    PUBLISHES_MAX,
    0,
    1,
    0,
    0,
>;

/// Why there is no connection.
#[derive(Debug)]
enum Lost {
    UnknownHost,
    Unreachable,
    Silent,
    Closed,
    Login,
    Ended(ReasonCode),
    Refused(ReasonCode),
    Malformed,
    TooMuch,
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Lost::UnknownHost => f.write_str("its name cannot be resolved"),
            Lost::Unreachable => f.write_str("it cannot be reached"),
            Lost::Silent => f.write_str("it does not answer"),
            Lost::Closed => f.write_str("it closed the connection"),
            Lost::Login => f.write_str("it refuses the credentials; check id and token"),
            Lost::Ended(code) => write!(f, "it ended the connection: {code:?}"),
            Lost::Refused(code) => write!(f, "it refuses a message or the command topic: {code:?}"),
            Lost::Malformed => f.write_str("it sends what is not MQTT, or too much of it"),
            Lost::TooMuch => f.write_str("it takes no more messages"),
        }
    }
}

impl<const N: usize> From<MqttError<'_, N>> for Lost {
    fn from(error: MqttError<'_, N>) -> Self {
        match error {
            MqttError::Network(_) => Lost::Closed,
            MqttError::Disconnect {
                reason: ReasonCode::BadUserNameOrPassword | ReasonCode::NotAuthorized,
                ..
            } => Lost::Login,
            MqttError::Disconnect { reason, .. } => Lost::Ended(reason),
            _ => Lost::Malformed,
        }
    }
}

/// Keeps the connection.
pub(crate) async fn run<F: NorFlash, P: Platform>(
    shell: &Shell<'_, F, P>,
    memory: &mut BrokerMemory,
) {
    let settings = shell.settings;
    if let Some(problem) = &settings.problem {
        shell
            .platform
            .say(format_args!("cannot connect: {problem}"));
        return future::pending().await;
    }
    let mut failures = 0_u32;
    loop {
        shell.stack.wait_config_up().await;
        let began_ms = now_ms();
        let reason = connection(shell, memory).await;
        shell.outbox.borrow_mut().disconnected();
        if shell.connected.replace(false) {
            shell.step(Event::Disconnected);
        }
        let held = now_ms() - began_ms >= STABLE_MS_MIN;
        failures = if held { 1 } else { failures.saturating_add(1) };
        let random = shell.platform.random();
        let wait_ms = backoff_ms(failures, RECONNECT_MS_MIN, RECONNECT_MS_MAX, random);
        shell.platform.say(format_args!(
            "is not connected to the broker at {}:{}: {reason}; connects again in {wait_ms} ms",
            settings.mqtt_host, settings.mqtt_port
        ));
        Timer::after_millis(wait_ms).await;
    }
}

/// One connection, to its end.
async fn connection<F: NorFlash, P: Platform>(
    shell: &Shell<'_, F, P>,
    memory: &mut BrokerMemory,
) -> Lost {
    let BrokerMemory {
        received,
        to_send,
        packet,
    } = memory;
    let mut socket = TcpSocket::new(shell.stack, received, to_send);
    socket.set_timeout(Some(Duration::from_millis(SILENCE_MS_MAX)));
    let mut packet = BumpBuffer::new(packet);
    let mut client = Client::new(&mut packet);
    client.ack_manually_when(&|_| true);
    let connecting = async {
        let address = resolve(shell).await.ok_or(Lost::UnknownHost)?;
        let broker = (address, shell.settings.mqtt_port);
        socket
            .connect(broker)
            .await
            .map_err(|_| Lost::Unreachable)?;
        introduce(shell, &mut client, socket).await
    };
    match with_timeout(Duration::from_millis(CONNECT_MS_MAX), connecting).await {
        Ok(Ok(())) => {}
        Ok(Err(lost)) => return lost,
        Err(_) => return Lost::Silent,
    }
    shell.platform.say(format_args!(
        "connected to the broker at {}:{}",
        shell.settings.mqtt_host, shell.settings.mqtt_port
    ));
    shell.connected.set(true);
    shell.step(Event::Connected);
    let mut link = Link::new(shell, client);
    loop {
        if let Err(lost) = link.turn().await {
            return lost;
        }
    }
}

async fn resolve<F, P>(shell: &Shell<'_, F, P>) -> Option<IpAddress> {
    let host = shell.settings.mqtt_host.as_str();
    let found = shell.stack.dns_query(host, DnsQueryType::A).await;
    found.ok()?.first().copied()
}

async fn introduce<'m, F: NorFlash, P: Platform>(
    shell: &Shell<'_, F, P>,
    client: &mut Client<'m>,
    socket: TcpSocket<'m>,
) -> Result<(), Lost> {
    let settings = shell.settings;
    let status = topic(shell, TopicKind::Status);
    let mut will = [0; WILL_BYTES_MAX];
    let will = shell.gateway.borrow().will(&mut will);
    let will = WillOptions::new(topic_name(&status)?, binary(will)?)
        .at_least_once()
        .retain();
    let mut options = ConnectOptions::new()
        .keep_alive(KeepAlive::Seconds(KEEP_ALIVE_SECONDS))
        .session_expiry_interval(SessionExpiryInterval::Seconds(SESSION_SECONDS))
        .maximum_packet_size(const { NonZero::new(PACKET_BYTES_MAX as u32).unwrap() })
        .will(will);
    if !settings.token.is_empty() {
        options = options
            .user_name(string(&settings.id)?)
            .password(binary(settings.token.as_bytes())?);
    }
    client
        .connect(socket, &options, Some(string(&settings.id)?))
        .await?;
    Ok(())
}

/// A connection that stands.
struct Link<'l, 's, 'm, F, P> {
    shell: &'l Shell<'s, F, P>,
    client: Client<'m>,
    ping_at_ms: u64,
    heard_at_ms: u64,
    /// When all that nobody heard is published again.
    again_at_ms: Option<u64>,
    /// Waits for ears in a row.
    unheard_rounds: u32,
}

impl<'l, 's, 'm, F: NorFlash, P: Platform> Link<'l, 's, 'm, F, P> {
    fn new(shell: &'l Shell<'s, F, P>, client: Client<'m>) -> Self {
        Link {
            shell,
            client,
            ping_at_ms: now_ms() + PING_MS,
            heard_at_ms: now_ms(),
            again_at_ms: None,
            unheard_rounds: 0,
        }
    }

    /// Sends what waits, then takes the next thing that happens.
    async fn turn(&mut self) -> Result<(), Lost> {
        self.send_waiting().await?;
        let is_done = {
            let outbox = self.shell.outbox.borrow();
            outbox.reboot && outbox.publishes.is_empty()
        };
        if is_done {
            // A broker that is told goodbye does not send the last will.
            let _ = self.client.disconnect(&DisconnectOptions::new()).await;
            self.shell.platform.reboot();
        }
        let due = Instant::from_millis(self.due_ms());
        let shell = self.shell;
        let happened = select3(
            self.client.poll_header(),
            shell.publishes.wait(),
            Timer::at(due),
        )
        .await;
        match happened {
            Either3::First(header) => {
                let header = header?;
                self.heard_at_ms = now_ms();
                // SAFETY: what was received before lives in the buffer, and nothing of it is left: each
                // packet is dealt with and dropped within `take`.
                unsafe { self.client.buffer_mut().reset() }
                let body = self.client.poll_body(header);
                let packet = with_timeout(Duration::from_millis(SILENCE_MS_MAX), body).await;
                let packet = packet.map_err(|_| Lost::Silent)??;
                self.take(packet).await
            }
            Either3::Second(()) => Ok(()),
            Either3::Third(()) => self.serve_due().await,
        }
    }

    fn due_ms(&self) -> u64 {
        let outbox = self.shell.outbox.borrow();
        let oldest = outbox.publishes.iter().filter_map(|one| match one.stage {
            Stage::Sent { since_ms, .. } => Some(since_ms + SILENCE_MS_MAX),
            Stage::Waits | Stage::Unheard => None,
        });
        [self.ping_at_ms, self.heard_at_ms + SILENCE_MS_MAX]
            .into_iter()
            .chain(self.again_at_ms)
            .chain(oldest)
            .min()
            .unwrap_or(self.ping_at_ms)
    }

    async fn serve_due(&mut self) -> Result<(), Lost> {
        let now_ms = now_ms();
        {
            let mut outbox = self.shell.outbox.borrow_mut();
            let is_late = |since_ms: u64| now_ms >= since_ms + SILENCE_MS_MAX;
            let is_overdue = outbox
                .publishes
                .iter()
                .any(|one| matches!(one.stage, Stage::Sent { since_ms, .. } if is_late(since_ms)));
            if is_overdue || is_late(self.heard_at_ms) {
                return Err(Lost::Silent);
            }
            if self.again_at_ms.take_if(|at_ms| now_ms >= *at_ms).is_some() {
                for one in &mut outbox.publishes {
                    if one.stage == Stage::Unheard {
                        one.stage = Stage::Waits;
                    }
                }
            }
        }
        if now_ms >= self.ping_at_ms {
            self.ping_at_ms = now_ms + PING_MS;
            self.client.ping().await?;
        }
        Ok(())
    }

    async fn send_waiting(&mut self) -> Result<(), Lost> {
        let overflowed = self.shell.outbox.borrow().overflowed;
        if overflowed {
            return Err(Lost::TooMuch);
        }
        let subscribe = core::mem::take(&mut self.shell.outbox.borrow_mut().subscribe);
        if subscribe {
            let command = topic(self.shell, TopicKind::Command);
            let filter = TopicFilter::new(string(&command)?).ok_or(Lost::Malformed)?;
            let options = SubscriptionOptions::new().at_least_once();
            self.client.subscribe(filter, &options).await?;
        }
        while let Some((id, kind, retain, payload)) = self.next_waiting() {
            let name = topic(self.shell, kind);
            let topic = TopicReference::Name(topic_name(&name)?);
            let mut options = PublicationOptions::new(topic).at_least_once();
            options.retain = retain;
            let sent = self.client.publish(&options, Bytes::from(&payload[..]));
            let packet_id = match sent.await {
                Ok(packet_id) => packet_id.ok_or(Lost::Malformed)?,
                // As soon as the broker acknowledges another one.
                Err(MqttError::SendQuotaExceeded | MqttError::SessionBuffer) => return Ok(()),
                Err(error) => return Err(error.into()),
            };
            let mut outbox = self.shell.outbox.borrow_mut();
            if let Some(one) = outbox.publishes.iter_mut().find(|one| one.id == id) {
                one.stage = Stage::Sent {
                    packet_id: packet_id.get().get(),
                    since_ms: now_ms(),
                };
            }
        }
        Ok(())
    }

    /// A copy, because nothing may be borrowed while it is being sent.
    fn next_waiting(&self) -> Option<Waiting> {
        let outbox = self.shell.outbox.borrow();
        let mut waiting = outbox.publishes.iter();
        let one = waiting.find(|one| one.stage == Stage::Waits)?;
        Some((one.id, one.kind, one.retain, one.payload.clone()))
    }

    async fn take(&mut self, packet: Packet<'m, 0, 1>) -> Result<(), Lost> {
        match packet {
            Packet::Publish(message) => {
                self.shell.step(Event::Message(message.message.as_bytes()));
                let packet_id = message.identified_qos.packet_identifier();
                let reboots = self.shell.outbox.borrow().reboot;
                if let Some(packet_id) = packet_id.filter(|_| !reboots) {
                    let success = ReasonCode::Success;
                    self.client
                        .manual_acknowledge(packet_id, success, &AckOptions::new())
                        .await?;
                }
                Ok(())
            }
            Packet::PublishAcknowledged(ack) => {
                let heard = ack.reason_code != ReasonCode::NoMatchingSubscribers;
                self.acknowledged(ack.packet_identifier.get().get(), heard);
                Ok(())
            }
            Packet::PublishRejected(rejected) => Err(Lost::Refused(rejected.reason_code)),
            Packet::Suback(ack) if ack.reason_code.is_erroneous() => {
                Err(Lost::Refused(ack.reason_code))
            }
            _ => Ok(()),
        }
    }

    fn acknowledged(&mut self, packet_id: u16, heard: bool) {
        let id = {
            let mut outbox = self.shell.outbox.borrow_mut();
            let Some(one) = outbox.sent_as(packet_id) else {
                return;
            };
            if one.needs_ears && !heard {
                one.stage = Stage::Unheard;
                if self.again_at_ms.is_none() {
                    self.unheard_rounds = self.unheard_rounds.saturating_add(1);
                    let random = self.shell.platform.random();
                    let rounds = self.unheard_rounds;
                    let wait_ms = backoff_ms(rounds, UNHEARD_MS_MIN, UNHEARD_MS_MAX, random);
                    self.again_at_ms = Some(now_ms() + wait_ms);
                }
                return;
            }
            if one.needs_ears {
                self.unheard_rounds = 0;
            }
            let id = one.id;
            outbox.remove(id);
            id
        };
        self.shell.step(Event::Acked(id));
    }
}

type Waiting = (
    airlift_firmware::PublishId,
    TopicKind,
    bool,
    Vec<u8, MESSAGE_BYTES_MAX>,
);

fn topic<F, P>(shell: &Shell<'_, F, P>, kind: TopicKind) -> String<TOPIC_BYTES_MAX> {
    let mut topic = String::new();
    let settings = shell.settings;
    // As long as the longest prefix and id.
    let _ = write_topic(&mut topic, &settings.prefix, &settings.id, kind);
    topic
}

fn topic_name(topic: &str) -> Result<TopicName<'_>, Lost> {
    TopicName::new(string(topic)?).ok_or(Lost::Malformed)
}

fn string(text: &str) -> Result<MqttString<'_>, Lost> {
    MqttString::try_from(text).map_err(|_| Lost::Malformed)
}

fn binary(bytes: &[u8]) -> Result<MqttBinary<'_>, Lost> {
    MqttBinary::try_from(bytes).map_err(|_| Lost::Malformed)
}
