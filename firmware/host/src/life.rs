//! A gateway's lives, one from each boot to the next: hears what happens, asks the core, does what
//! it says.

mod boot;

use std::{
    num::NonZeroU64,
    time::{Duration, Instant},
};

use airlift_bundle::DEVICE_TYPE_BYTES_MAX;
use airlift_firmware::{
    BootReason, Effect, Event, Gateway, JobId, MESSAGE_BYTES_MAX, Notice, Now, Text,
    VERSION_BYTES_MAX,
};
use airlift_proto::{TopicKind, Topics};
use anyhow::{Error, Result, anyhow};
use reqwest::Client;
use rumqttc::v5::mqttbytes::v5::Publish;
use tokio::{
    sync::watch,
    time::{Instant as TokioInstant, sleep, sleep_until, timeout},
};

use self::boot::{Past, boot};
use crate::{
    args::{Member, TrustedKeyList},
    board::{Board, BootloaderKind},
    broker::Broker,
    chip::Chip,
    clock,
    credentials::Credentials,
    faults::{Counts, Faults, Kind, Plan, Seed, Trouble},
    fetch::Piece,
    flash,
    flaws::Flaw,
    hands::{Download, Hands},
    link::{Link, Signal},
    local::{Address, Ask, Local},
    say::Say,
};

/// Longest wait at the end of a life for the broker to have all that was published.
const FLUSH_SECONDS_MAX: u64 = 3;

/// What all gateways of a process share.
pub struct Shared {
    pub board: Board,
    pub bootloader: BootloaderKind,
    pub trusted_keys: TrustedKeyList,
    pub device_type: Text<DEVICE_TYPE_BYTES_MAX>,
    pub broker: Broker,
    pub credentials: Credentials,
    pub topics: Topics,
    pub client: Client,
    pub say: Say,
    /// Percent.
    pub battery: u8,
    pub first_version: Text<VERSION_BYTES_MAX>,
    pub heartbeat: Duration,
    pub self_test: Duration,
    pub reboot: Duration,
    pub bytes_per_second: Option<NonZeroU64>,
    pub exit_after_update: bool,
    /// Whether files must survive a power cut.
    pub durable: bool,
    pub faults: Option<Seed>,
    pub counts: Counts,
    pub epoch: Instant,
}

impl Shared {
    fn now(&self) -> Now {
        Now {
            ms: self.epoch.elapsed().as_millis() as u64,
            unix_seconds: (clock::unix_ms() / 1_000) as i64,
            jitter: fastrand::u64(..),
        }
    }
}

/// Why a gateway ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Stopped,
    /// With `exit_after_update`: the new version is confirmed.
    Updated,
    /// With `exit_after_update`: the upgrade failed, or was rolled back.
    Failed,
}

/// What follows a life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    Boot(BootReason),
    End(End),
}

/// Runs one gateway, over as many reboots as come, until `stop` turns true.
pub async fn run(
    shared: &Shared,
    mut member: Member,
    page: Option<Address>,
    mut stop: watch::Receiver<bool>,
) -> Result<End> {
    let version = &shared.first_version;
    let chip = flash::open(&member.flash, shared.board, version, shared.durable)?;
    let claimed = shared.credentials.token(&member, &shared.say, &mut stop);
    member.token = match claimed.await? {
        Some(token) => token,
        None => return Ok(End::Stopped),
    };
    let mut faults = shared.faults.map(|seed| Faults::new(seed, member.number));
    let mut past = Past::default();
    loop {
        let gateway = (shared, &member, &chip);
        let next = match boot(gateway, faults.as_mut(), &mut past, page.as_ref())? {
            Ok(life) => life.run(&mut stop).await?,
            Err(reason) => Next::Boot(reason),
        };
        match next {
            Next::Boot(reason) => past.reason = reason,
            Next::End(end) => return Ok(end),
        }
        tokio::select! {
            () = sleep(shared.reboot) => {}
            _ = stop.wait_for(|stop| *stop) => return Ok(End::Stopped),
        }
    }
}

/// A running gateway and what belongs to it.
struct Life<'g> {
    gateway: Gateway<Chip>,
    past: &'g Past,
    hands: Hands<'g>,
    local: Option<Local>,
    /// What is still to go wrong.
    plan: Plan,
    born: Instant,
    /// An image did not prove itself, and the server has still to hear of it.
    fell_back: bool,
    next: Option<Next>,
}

/// What went wrong: where the file failed, in the system's words and not in those of the core.
fn broken(hands: &Hands<'_>, error: Error) -> Error {
    let failure = hands.failure.as_ref().map(ToString::to_string);
    match failure.or_else(|| hands.chip.failure()) {
        Some(failure) => anyhow!(
            "cannot use the flash file: {failure}; make room or give the right to write, then start again"
        ),
        None => error,
    }
}

fn power_is_cut(hands: &Hands<'_>) -> BootReason {
    hands.fault(Kind::PowerCut, "the power is cut in a flash operation");
    BootReason::PowerOn
}

impl Life<'_> {
    /// Decides what the image on trial is worth.
    fn try_out(&mut self) {
        let Some(attempts) = self.gateway.saved().on_trial() else {
            return;
        };
        if self.hands.flaw == Some(Flaw::RollBack) {
            self.plan.die_at_once();
            let text = "the new image fails this boot, as each one";
            return self.hands.follow(Flaw::RollBack, text);
        }
        let Some(faults) = self.hands.faults.as_mut() else {
            return;
        };
        let self_test_ms = self.hands.shared.self_test.as_millis() as u64;
        if faults.trial(attempts, self_test_ms, &mut self.plan) {
            let text = "the new image is bad: it does not reach the broker in this boot";
            self.hands.fault(Kind::BadBoot, text);
        }
    }

    fn connect(&mut self) {
        let mut buffer = [0; MESSAGE_BYTES_MAX];
        let will = self.gateway.will(&mut buffer).to_vec();
        let Hands {
            shared, id, token, ..
        } = self.hands;
        let will_topic = shared.topics.topic(id, TopicKind::Status);
        let options = shared.broker.options(id, token, &will_topic, will);
        self.hands.link = Some(Link::start(options, id, shared.topics.clone()));
    }

    /// Lives until the reboot or the end.
    async fn run(mut self: Box<Self>, stop: &mut watch::Receiver<bool>) -> Result<Next> {
        while self.next.is_none() {
            let wake = self.gateway.wake_ms();
            let wake_at = self.hands.shared.epoch + Duration::from_millis(wake.unwrap_or(0));
            let trouble = self.plan.troubles.last().copied();
            let trouble_at = self.born + trouble.map_or(Duration::ZERO, |(after, _)| after);
            tokio::select! {
                signal = next_signal(&mut self.hands.link) => self.hears(signal)?,
                (job, piece) = next_piece(&mut self.hands.download) => self.receives(job, piece)?,
                ask = next_ask(&mut self.local) => self.serves(ask)?,
                () = sleep_until(TokioInstant::from_std(wake_at)), if wake.is_some() => {
                    self.happens(Event::Tick)?;
                }
                () = sleep_until(TokioInstant::from_std(trouble_at)), if trouble.is_some() => {
                    self.suffers()?;
                }
                _ = stop.wait_for(|stop| *stop) => self.next = Some(Next::End(End::Stopped)),
            }
        }
        let next = self.next.unwrap_or(Next::End(End::Stopped));
        if let Next::End(_) = next {
            self.happens(Event::Shutdown)?;
        }
        let link = self.hands.link.take();
        drop(self);
        match (next, link) {
            // Without a goodbye: the broker sends the last will.
            (Next::Boot(reason), _) if reason != BootReason::Software => {}
            (_, Some(link)) => Box::pin(leave(link)).await,
            (_, None) => {}
        }
        Ok(next)
    }

    fn hears(&mut self, signal: Signal) -> Result<()> {
        let Hands { shared, id, .. } = self.hands;
        match signal {
            Signal::Connected => {
                let text = format!("connected to the broker at {}", shared.broker.address());
                shared.say.event(id, "connected", &text);
                self.happens(Event::Connected)
            }
            Signal::Lost(reason) => {
                let address = shared.broker.address();
                let text = format!("is not connected to the broker at {address}: {reason}");
                shared.say.event(id, "disconnected", &text);
                self.happens(Event::Disconnected)
            }
            Signal::Acked(id) => self.happens(Event::Acked(id)),
            Signal::Message(message) => self.obeys(&message),
        }
    }

    /// The message is acknowledged after what it asks for is saved.
    fn obeys(&mut self, message: &Publish) -> Result<()> {
        if self.hands.flaw == Some(Flaw::NeverAnswer) {
            let text = "a command came; it is not answered, as none is";
            self.hands.follow(Flaw::NeverAnswer, text);
        } else {
            self.happens(Event::Message(&message.payload))?;
        }
        if self.next.is_none()
            && let Some(link) = &mut self.hands.link
        {
            link.ack(message);
        }
        Ok(())
    }

    fn receives(&mut self, job: JobId, piece: Piece) -> Result<()> {
        match self.hands.on_the_way(piece) {
            Piece::Head(head) => {
                let answer = head.answer();
                self.happens(Event::Answer { job, answer })
            }
            Piece::Bytes(bytes) => {
                self.happens(Event::Chunk { job, bytes: &bytes })?;
                if let Some(bytes) = self.gateway.downloaded() {
                    self.hands.shared.say.position(bytes.into());
                }
                Ok(())
            }
            Piece::End(reason) => {
                self.hands.download = None;
                let reason = reason.as_deref();
                self.happens(Event::FetchEnded { job, reason })
            }
            Piece::Impossible(reason) => {
                self.hands.download = None;
                self.happens(Event::FetchImpossible {
                    job,
                    reason: &reason,
                })
            }
        }
    }

    fn serves(&mut self, ask: Ask) -> Result<()> {
        let Some(local) = &mut self.local else {
            return Ok(());
        };
        let now = self.hands.shared.now();
        match local.take(ask, now, &mut self.gateway) {
            // Told only if it is true: what the answer promises is durable.
            Some(answer) => {
                self.look()?;
                if self.next.is_none() {
                    answer.send();
                }
                Ok(())
            }
            None => self.happens(Event::LocalDone),
        }
    }

    /// The trouble whose time has come.
    fn suffers(&mut self) -> Result<()> {
        match self.plan.troubles.pop() {
            Some((_, Trouble::MqttDrop)) => {
                if let Some(link) = &mut self.hands.link
                    && link.cut("the connection was dropped by --faults")
                {
                    self.hands
                        .fault(Kind::MqttDrop, "the connection to the broker drops");
                }
                Ok(())
            }
            Some((_, Trouble::LowBattery(percent))) => {
                let text = format!("the battery falls to {percent} %");
                self.hands.fault(Kind::LowBattery, &text);
                self.happens(Event::Battery(percent))
            }
            Some((_, Trouble::BatteryBack)) => {
                self.happens(Event::Battery(self.hands.shared.battery))
            }
            Some((_, Trouble::Dies(reason))) => {
                self.next = Some(Next::Boot(reason));
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// One event through the core, and all that follows.
    fn happens(&mut self, event: Event<'_>) -> Result<()> {
        let Life { gateway, hands, .. } = self;
        let now = hands.shared.now();
        let stepped = gateway.step(event, now, &mut |effect| hands.perform(effect));
        if !self.hands.chip.is_cut() {
            stepped.map_err(|error| broken(&self.hands, error.into()))?;
        }
        self.look()
    }

    /// Whether this life is over.
    fn look(&mut self) -> Result<()> {
        if self.hands.chip.is_cut() {
            if self.next.is_none() {
                self.next = Some(Next::Boot(power_is_cut(&self.hands)));
            }
            return Ok(());
        }
        if !self.hands.settle() {
            let error = anyhow!("the flash file cannot be synced");
            return Err(broken(&self.hands, error));
        }
        if self.next.is_none() {
            self.next = match self.hands.reboots {
                true => Some(Next::Boot(BootReason::Software)),
                false => self.ended().map(Next::End),
            };
        }
        Ok(())
    }

    /// With `exit_after_update`, how it ended. Read from what is saved: a power cut may have kept
    /// the core from telling.
    fn ended(&mut self) -> Option<End> {
        if !self.hands.shared.exit_after_update {
            return None;
        }
        let saved = self.gateway.saved();
        if saved.active.is_some() || saved.next.is_some() || saved.on_trial().is_some() {
            return None;
        }
        if self.hands.confirmed {
            return Some(End::Updated);
        }
        let old = self.past.ended.as_deref().unwrap_or_default();
        let ended = saved.ended.iter().filter(|end| end.delivered);
        let fresh = ended.filter(|end| old.iter().all(|id| *id != *end.msg_id));
        let (mut failed, mut installed) = (false, self.fell_back);
        fresh.for_each(|end| match end.error {
            Some(_) => failed = true,
            None => installed = true,
        });
        match (&saved.rolled_back, installed) {
            (Some(back), true) => back.told.then_some(End::Failed),
            (None, true) => {
                let version = self.gateway.version();
                let confirmed = Notice::Confirmed { version };
                self.hands.perform(Effect::Tell(confirmed));
                Some(End::Updated)
            }
            (_, false) => failed.then_some(End::Failed),
        }
    }
}

/// Lets what was published last reach the broker, and says goodbye.
async fn leave(mut link: Link) {
    let flush = async {
        while !link.is_flushed() {
            link.next().await;
        }
    };
    // A broker that does not answer now sends the last will instead.
    let _ = timeout(Duration::from_secs(FLUSH_SECONDS_MAX), flush).await;
    link.close().await;
}

async fn next_signal(link: &mut Option<Link>) -> Signal {
    match link {
        Some(link) => link.next().await,
        None => std::future::pending().await,
    }
}

async fn next_piece(download: &mut Option<Download>) -> (JobId, Piece) {
    match download {
        Some(download) => download.next().await,
        None => std::future::pending().await,
    }
}

async fn next_ask(local: &mut Option<Local>) -> Ask {
    match local {
        Some(local) => local.next().await,
        None => std::future::pending().await,
    }
}
