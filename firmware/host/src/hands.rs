//! What a gateway does to the world: it publishes, fetches, tells. Nothing leaves before what it rests
//! on is durable, and nothing at all once the power is cut.

use std::io;

use airlift_firmware::{Effect, JobId, Notice};
use bytes::Bytes;

use crate::{
    chip::Chip,
    credentials::Token,
    faults::{Faults, FetchPlan, Kind},
    fetch::{Fetch, Piece, Request},
    flaws::Flaw,
    life::Shared,
    link::{Ears, Link},
};

/// A download under way, and what is to go wrong with it.
pub struct Download {
    job: JobId,
    fetch: Fetch,
    plan: FetchPlan,
    /// Bytes that came.
    received: u64,
}

impl Download {
    /// The next piece. Safe to be dropped while waiting.
    pub async fn next(&mut self) -> (JobId, Piece) {
        (self.job, self.fetch.next().await)
    }
}

pub struct Hands<'g> {
    pub shared: &'g Shared,
    pub id: &'g str,
    pub token: Option<&'g Token>,
    pub chip: &'g Chip,
    pub faults: Option<&'g mut Faults>,
    pub flaw: Option<Flaw>,
    pub link: Option<Link>,
    pub download: Option<Download>,
    /// What is fetched is a bundle's signature or manifest. Its bits are not turned over: that would
    /// be another fault.
    pub fetches_proof: bool,
    /// A new version has proven itself.
    pub confirmed: bool,
    pub reboots: bool,
    /// What was recorded could not be made durable.
    pub failure: Option<io::Error>,
}

impl Hands<'_> {
    pub fn perform(&mut self, effect: Effect<'_>) {
        if self.chip.is_cut() || !self.settle() {
            return;
        }
        match effect {
            Effect::Subscribe => {
                if let Some(link) = &mut self.link {
                    link.subscribe();
                }
            }
            Effect::Publish {
                id,
                kind,
                retain,
                needs_ears,
                payload,
            } => {
                let ears = if needs_ears {
                    Ears::Needed
                } else {
                    Ears::Optional
                };
                if let Some(link) = &mut self.link {
                    link.publish(id, kind, retain, payload.to_vec(), ears);
                }
            }
            Effect::Fetch {
                job,
                url,
                offset,
                etag,
            } => {
                let request = Request {
                    url: url.to_owned(),
                    offset: offset.into(),
                    etag: etag.map(str::to_owned),
                    token: self.token.cloned(),
                    bytes_per_second: self.shared.bytes_per_second,
                };
                let plan = match &mut self.faults {
                    Some(faults) => faults.fetch(),
                    None => FetchPlan::default(),
                };
                self.download = Some(Download {
                    job,
                    fetch: Fetch::start(&self.shared.client, request),
                    plan,
                    received: 0,
                });
            }
            Effect::Stop(job) => {
                self.download.take_if(|download| download.job == job);
            }
            Effect::Reboot => self.reboots = true,
            Effect::Tell(notice) => self.tell(&notice),
        }
    }

    /// Makes durable what was recorded; false if that failed, now or before.
    pub fn settle(&mut self) -> bool {
        if self.failure.is_none() {
            self.failure = self.chip.settle().err();
        }
        self.failure.is_none()
    }

    fn tell(&mut self, notice: &Notice<'_>) {
        self.shared.say.notice(self.id, notice);
        match notice {
            Notice::Confirmed { .. } => self.confirmed = true,
            Notice::Authenticates { .. } => self.fetches_proof = true,
            Notice::Accepted { .. } => self.fetches_proof = false,
            _ => {}
        }
    }

    /// A fault came true.
    pub fn fault(&self, kind: Kind, text: &str) {
        fault(self.shared, self.id, kind, text);
    }

    /// A gateway with a flaw follows it.
    pub fn follow(&self, flaw: Flaw, text: &str) {
        self.shared.say.fault(self.id, flaw.name(), text);
    }

    /// The last byte, so that an image's head, which is looked at first, stays one.
    fn corrupt_end(&self, bytes: Bytes) -> Piece {
        let mut bytes = Vec::from(bytes);
        if let Some(last) = bytes.last_mut() {
            *last ^= 1;
        }
        let text = "a bit of the download is turned over, as each time";
        self.follow(Flaw::WrongDigest, text);
        Piece::Bytes(bytes.into())
    }

    /// What becomes of a piece of the running download on its way.
    pub fn on_the_way(&mut self, piece: Piece) -> Piece {
        let Some(download) = &mut self.download else {
            return piece;
        };
        let Piece::Bytes(bytes) = piece else {
            return piece;
        };
        let came = download.received;
        download.received += bytes.len() as u64;
        let is_first = came == 0;
        let is_part = !self.fetches_proof;
        if is_first && is_part && self.flaw == Some(Flaw::WrongDigest) {
            return self.corrupt_end(bytes);
        }
        let reaches = |at: Option<u64>| at.filter(|at| *at < download.received);
        if let Some(at) = reaches(download.plan.drop_after) {
            let text = format!("the download's connection drops after {at} bytes");
            self.fault(Kind::HttpDrop, &text);
            return Piece::End(Some("the connection was dropped by --faults".into()));
        }
        let Some(at) = reaches(download.plan.corrupt_at).filter(|_| is_part) else {
            return Piece::Bytes(bytes);
        };
        download.plan.corrupt_at = None;
        let mut bytes = Vec::from(bytes);
        bytes[(at - came) as usize] ^= 1;
        let text = format!("a bit of byte {at} of the download's answer is turned over");
        self.fault(Kind::CorruptByte, &text);
        Piece::Bytes(bytes.into())
    }
}

/// Counts a fault that came true, and tells it.
pub fn fault(shared: &Shared, gateway_id: &str, kind: Kind, text: &str) {
    shared.counts.count(kind);
    shared.say.fault(gateway_id, kind.name(), text);
}
