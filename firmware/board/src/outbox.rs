//! What the core wants done, kept until the network gets to it: effects borrow, and the network takes
//! its time.

use airlift_firmware::{
    ENDED_MAX, ETAG_BYTES_MAX, Effect, JobId, MESSAGE_BYTES_MAX, PublishId, URL_BYTES_MAX,
};
use airlift_proto::TopicKind;
use heapless::{String, Vec};

/// Publishes that may wait or be unacknowledged: after a reconnect a status, a heartbeat, and one
/// report of the active upgrade and of each that ended.
pub(crate) const PUBLISHES_MAX: usize = ENDED_MAX + 4;

/// A publish on its way.
pub(crate) struct Publish {
    pub(crate) id: PublishId,
    pub(crate) kind: TopicKind,
    pub(crate) retain: bool,
    pub(crate) needs_ears: bool,
    pub(crate) payload: Vec<u8, MESSAGE_BYTES_MAX>,
    pub(crate) stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    Waits,
    /// Under which packet id, and since when, ms.
    Sent {
        packet_id: u16,
        since_ms: u64,
    },
    /// The broker had nobody for it.
    Unheard,
}

/// A file to fetch.
pub(crate) struct Request {
    pub(crate) job: JobId,
    pub(crate) url: String<URL_BYTES_MAX>,
    /// First byte wanted.
    pub(crate) offset: u32,
    /// The file this must still be; empty if that is not known. No `Option`: with one, a static
    /// `Outbox` would not be all zeros, and lie in the image as a whole.
    pub(crate) etag: String<ETAG_BYTES_MAX>,
}

/// The effects of the core that are not done yet.
pub(crate) struct Outbox {
    /// In the order they were asked for.
    pub(crate) publishes: Vec<Publish, PUBLISHES_MAX>,
    pub(crate) subscribe: bool,
    /// More was published than there is room for: the connection must be begun anew, then the core
    /// says again what matters.
    pub(crate) overflowed: bool,
    pub(crate) request: Option<Request>,
    /// The job whose answer is wanted.
    pub(crate) job: Option<JobId>,
    pub(crate) reboot: bool,
}

impl Outbox {
    pub(crate) const fn new() -> Self {
        Outbox {
            publishes: Vec::new(),
            subscribe: false,
            overflowed: false,
            request: None,
            job: None,
            reboot: false,
        }
    }

    /// Takes what the network has to do; notices are not for it.
    pub(crate) fn take(&mut self, effect: &Effect<'_>) {
        match *effect {
            Effect::Subscribe => self.subscribe = true,
            Effect::Publish {
                id,
                kind,
                retain,
                needs_ears,
                payload,
            } => {
                let publish = Vec::from_slice(payload).map(|payload| Publish {
                    id,
                    kind,
                    retain,
                    needs_ears,
                    payload,
                    stage: Stage::Waits,
                });
                let taken = publish.is_ok_and(|publish| self.publishes.push(publish).is_ok());
                self.overflowed |= !taken;
            }
            Effect::Fetch {
                job,
                url,
                offset,
                etag,
            } => {
                self.job = Some(job);
                // What is too long for the core's own limits never comes here.
                let etag = String::try_from(etag.unwrap_or_default());
                if let (Ok(url), Ok(etag)) = (String::try_from(url), etag) {
                    self.request = Some(Request {
                        job,
                        url,
                        offset,
                        etag,
                    });
                }
            }
            Effect::Stop(job) => {
                self.job.take_if(|wanted| *wanted == job);
                self.request.take_if(|request| request.job == job);
            }
            Effect::Reboot => self.reboot = true,
            Effect::Tell(_) => {}
        }
    }

    /// A connection ended: what was on its way is lost, and the core says it again where it matters.
    pub(crate) fn disconnected(&mut self) {
        self.publishes.clear();
        self.subscribe = false;
        self.overflowed = false;
    }

    /// Takes out what went under this packet id.
    pub(crate) fn sent_as(&mut self, packet_id: u16) -> Option<&mut Publish> {
        self.publishes.iter_mut().find(
            |publish| matches!(publish.stage, Stage::Sent { packet_id: own, .. } if own == packet_id),
        )
    }

    pub(crate) fn remove(&mut self, id: PublishId) {
        self.publishes.retain(|publish| publish.id != id);
    }
}
