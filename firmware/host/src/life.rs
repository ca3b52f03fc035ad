//! A gateway's lives, one from each boot to the next: hears what happens, asks the core, does what
//! it says.

use std::{
    num::NonZeroU64,
    time::{Duration, Instant},
};

use airlift_firmware::{Body, Config, Digests, Effect, Event, Gateway, JobId, Notice, Now, step};
use airlift_proto::{Command, Report, ReportState, TopicKind, Topics};
use anyhow::{Context, Result};
use reqwest::Client;
use rumqttc::v5::mqttbytes::v5::Publish;
use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{Instant as TokioInstant, sleep, sleep_until, timeout},
};

use crate::{
    args::Member,
    broker::Broker,
    clock,
    fetch::{Fetch, Piece, Request},
    flash::{Flash, IMAGE_BYTES_MAX},
    link::{Ears, Link, Signal},
    say::Say,
};

/// Longest wait at the end of a life for the broker to have all that was published.
const FLUSH_SECONDS_MAX: u64 = 3;

/// What all gateways of a process share.
pub struct Shared {
    pub broker: Broker,
    pub topics: Topics,
    pub client: Client,
    pub say: Say,
    /// Percent.
    pub battery: u8,
    pub first_version: String,
    pub heartbeat: Duration,
    pub reboot: Duration,
    pub bytes_per_second: Option<NonZeroU64>,
    pub exit_after_update: bool,
    /// Whether files must survive a power cut.
    pub durable: bool,
    pub epoch: Instant,
}

/// Why a gateway ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Stopped,
    /// With `exit_after_update`: the new version is confirmed.
    Updated,
    /// With `exit_after_update`: the upgrade failed.
    Failed,
}

/// Runs one gateway, over as many reboots as come, until `stop` turns true.
pub async fn run(shared: &Shared, member: Member, mut stop: watch::Receiver<bool>) -> Result<End> {
    loop {
        match Life::begin(shared, &member)?.run(&mut stop).await? {
            Some(end) => return Ok(end),
            None => {
                tokio::select! {
                    () = sleep(shared.reboot) => {}
                    _ = stop.wait_for(|stop| *stop) => return Ok(End::Stopped),
                }
            }
        }
    }
}

/// Blocking work on the image.
enum Work {
    Digest(JoinHandle<std::io::Result<Digests>>),
    Install(JoinHandle<std::io::Result<()>>),
}

struct Life<'s> {
    shared: &'s Shared,
    id: String,
    gateway: Gateway,
    flash: Flash,
    link: Link,
    fetch: Option<(JobId, Fetch)>,
    work: Option<(JobId, Work)>,
    /// An effect on the image failed; the core is still to be told.
    storage_failure: Option<String>,
    reboots: bool,
    end: Option<End>,
}

impl<'s> Life<'s> {
    fn begin(shared: &'s Shared, member: &Member) -> Result<Self> {
        let flash = Flash::open(&member.flash, shared.durable)?;
        let saved = flash.load(&shared.first_version)?;
        let found = flash.found(&saved)?;
        let config = Config {
            id: member.id.clone(),
            heartbeat_ms: shared.heartbeat.as_millis() as u64,
            image_bytes_max: IMAGE_BYTES_MAX,
        };
        let gateway = Gateway::new(config, saved, shared.battery);
        let will = serde_json::to_vec(&gateway.status(false))?;
        let will_topic = shared.topics.topic(&member.id, TopicKind::Status);
        let options = shared.broker.options(&member.id, &will_topic, will);
        let mut life = Life {
            shared,
            id: member.id.clone(),
            gateway,
            flash,
            link: Link::start(options, &member.id, shared.topics.clone()),
            fetch: None,
            work: None,
            storage_failure: None,
            reboots: false,
            end: None,
        };
        life.happens(Event::Boot(found))?;
        Ok(life)
    }

    /// Lives until the reboot (`None`) or the end.
    async fn run(mut self, stop: &mut watch::Receiver<bool>) -> Result<Option<End>> {
        while !self.reboots && self.end.is_none() {
            let wake = self.gateway.wake_ms();
            let wake_at = self.shared.epoch + Duration::from_millis(wake.unwrap_or(0));
            tokio::select! {
                signal = self.link.next() => self.hears(signal)?,
                (job, piece) = next_piece(&mut self.fetch) => self.receives(job, piece)?,
                (job, event) = work_done(&mut self.work) => {
                    self.work = None;
                    self.happens(match event {
                        Ok(Done::Digest(digests)) => Event::Digested { job, digests },
                        Ok(Done::Install) => Event::Installed { job },
                        Err(reason) => Event::StorageFailed { job: Some(job), reason },
                    })?;
                }
                () = sleep_until(TokioInstant::from_std(wake_at)), if wake.is_some() => {
                    self.happens(Event::Tick)?;
                }
                _ = stop.wait_for(|stop| *stop) => self.end = Some(End::Stopped),
            }
        }
        if !self.reboots {
            self.happens(Event::Shutdown)?;
        }
        let end = if self.reboots { None } else { self.end };
        self.leave().await;
        Ok(end)
    }

    /// Lets what was published last reach the broker, and says goodbye.
    async fn leave(mut self) {
        let flush = async {
            while !self.link.is_flushed() {
                self.link.next().await;
            }
        };
        // A broker that does not answer now sends the last will instead.
        let _ = timeout(Duration::from_secs(FLUSH_SECONDS_MAX), flush).await;
        self.link.close().await;
    }

    fn hears(&mut self, signal: Signal) -> Result<()> {
        match signal {
            Signal::Connected => {
                let text = format!(
                    "connected to the broker at {}",
                    self.shared.broker.address()
                );
                self.shared.say.event(&self.id, "connected", &text);
                self.happens(Event::Connected)
            }
            Signal::Lost(reason) => {
                let address = self.shared.broker.address();
                let text = format!("is not connected to the broker at {address}: {reason}");
                self.shared.say.event(&self.id, "disconnected", &text);
                self.happens(Event::Disconnected)
            }
            Signal::Acked(id) => self.happens(Event::Acked(id)),
            Signal::Message(message) => self.obeys(&message),
        }
    }

    /// The message is acknowledged after what it asks for is saved.
    fn obeys(&mut self, message: &Publish) -> Result<()> {
        match serde_json::from_slice::<Command>(&message.payload) {
            Ok(command) => self.happens(Event::Command(command))?,
            Err(error) => {
                let text = format!("ignores a command it does not understand: {error}");
                self.shared.say.event(&self.id, "ignored", &text);
            }
        }
        if !self.reboots {
            self.link.ack(message);
        }
        Ok(())
    }

    fn receives(&mut self, job: JobId, piece: Piece) -> Result<()> {
        match piece {
            Piece::Head(answer) => self.happens(Event::Answer { job, answer }),
            Piece::Bytes(bytes) => self.happens(Event::Chunk { job, bytes: &bytes }),
            Piece::End(reason) => {
                self.fetch = None;
                self.happens(Event::FetchEnded { job, reason })
            }
            Piece::Impossible(reason) => {
                self.fetch = None;
                self.happens(Event::FetchImpossible { job, reason })
            }
        }
    }

    /// One event through the core, and all that follows.
    fn happens(&mut self, event: Event<'_>) -> Result<()> {
        self.one_event(event)?;
        while let Some(reason) = self.storage_failure.take() {
            self.one_event(Event::StorageFailed { job: None, reason })?;
        }
        Ok(())
    }

    fn one_event(&mut self, event: Event<'_>) -> Result<()> {
        let now = Now {
            ms: self.shared.epoch.elapsed().as_millis() as u64,
            unix_seconds: (clock::unix_ms() / 1_000) as i64,
            jitter: fastrand::u64(..),
        };
        for effect in step(&mut self.gateway, event, now) {
            self.perform(effect)?;
        }
        Ok(())
    }

    /// Fails only if the state cannot be saved: nothing may be done or told that is not.
    fn perform(&mut self, effect: Effect<'_>) -> Result<()> {
        match effect {
            Effect::Subscribe => self.link.subscribe(),
            Effect::Publish {
                id,
                kind,
                retain,
                body,
            } => {
                let payload = serde_json::to_vec(&body).context("cannot write a message")?;
                let ears = match body {
                    Body::Report(Report::Progress(_)) => Ears::Needed,
                    Body::Report(Report::Heartbeat(_)) | Body::Status(_) => Ears::Optional,
                };
                self.link.publish(id, kind, retain, payload, ears);
            }
            Effect::Save => self.flash.save(self.gateway.saved())?,
            Effect::Fetch {
                job,
                url,
                offset,
                etag,
            } => {
                let request = Request {
                    url,
                    offset,
                    etag,
                    token: self.shared.broker.token().map(str::to_owned),
                    bytes_per_second: self.shared.bytes_per_second,
                };
                self.fetch = Some((job, Fetch::start(&self.shared.client, request)));
            }
            Effect::Stop(job) => {
                self.fetch.take_if(|(id, _)| *id == job);
                self.work.take_if(|(id, _)| *id == job);
            }
            Effect::Write { offset, bytes } => {
                let result = self.flash.write(offset, bytes);
                self.stored(result);
                self.shared.say.position(offset + bytes.len() as u64);
            }
            Effect::Truncate { bytes } => {
                let result = self.flash.truncate(bytes);
                self.stored(result);
                self.shared.say.position(bytes);
            }
            Effect::Sync => {
                let result = self.flash.sync();
                self.stored(result);
            }
            Effect::Discard => {
                let result = self.flash.discard();
                self.stored(result);
            }
            Effect::Digest { job } => {
                let digest = self.flash.digest();
                self.work = Some((job, Work::Digest(tokio::task::spawn_blocking(digest))));
            }
            Effect::Install { job } => {
                let install = self.flash.install();
                self.work = Some((job, Work::Install(tokio::task::spawn_blocking(install))));
            }
            Effect::Reboot => self.reboots = true,
            Effect::Tell(notice) => self.tell(&notice),
        }
        Ok(())
    }

    fn stored(&mut self, result: std::io::Result<()>) {
        if let Err(error) = result {
            self.storage_failure.get_or_insert(error.to_string());
        }
    }

    fn tell(&mut self, notice: &Notice) {
        self.shared.say.notice(&self.id, notice);
        if !self.shared.exit_after_update {
            return;
        }
        let saved = self.gateway.saved();
        let idle = saved.active.is_none() && saved.next.is_none();
        match notice {
            Notice::Confirmed { .. } if idle => self.end = Some(End::Updated),
            Notice::Delivered {
                state: ReportState::Failed,
                ..
            } if idle => self.end = Some(End::Failed),
            _ => {}
        }
    }
}

async fn next_piece(fetch: &mut Option<(JobId, Fetch)>) -> (JobId, Piece) {
    match fetch {
        Some((job, fetch)) => (*job, fetch.next().await),
        None => std::future::pending().await,
    }
}

enum Done {
    Digest(Digests),
    Install,
}

async fn work_done(work: &mut Option<(JobId, Work)>) -> (JobId, Result<Done, String>) {
    let Some((job, work)) = work else {
        return std::future::pending().await;
    };
    let done = match work {
        Work::Digest(task) => task.await.map(|done| done.map(Done::Digest)),
        Work::Install(task) => task.await.map(|done| done.map(|()| Done::Install)),
    };
    let done = match done {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(error)) => Err(error.to_string()),
        Err(error) => Err(error.to_string()),
    };
    (*job, done)
}
