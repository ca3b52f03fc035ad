//! What the broker, the server, people and the clock do to a gateway.

use airlift_firmware::{Answer, Event};
use airlift_proto::{Report, ReportState};

use super::*;

/// Rounds until a gateway that all wish well must be quiet.
const ROUNDS_MAX: usize = 20_000;
/// Bytes a friendly server sends at a time; no divisor of anything.
const PIECE_BYTES: usize = 1_461;

impl World {
    /// The server orders an upgrade to `version`.
    pub fn order(&mut self, msg_id: &str, version: &str, kind: FileKind) {
        self.order_with(msg_id, version, kind, |_| {});
    }

    pub fn order_with(
        &mut self,
        msg_id: &str,
        version: &str,
        kind: FileKind,
        change: impl FnOnce(&mut UpgradeData),
    ) {
        let bytes = self.image_bytes;
        let mut data = upgrade_data(msg_id, version, &announced(version, kind, bytes));
        change(&mut data);
        self.files.insert(
            msg_id.into(),
            File {
                kind,
                version: version.into(),
                bytes,
            },
        );
        self.happens(Event::Message(&upgrade(data)));
    }

    pub fn connect(&mut self) {
        if !self.connected && self.has_network() {
            self.connected = true;
            self.happens(Event::Connected);
        }
    }

    fn has_network(&self) -> bool {
        self.dies.get(&self.running) != Some(&Death::NoNetwork)
    }

    pub fn disconnect(&mut self) {
        if self.connected {
            self.connected = false;
            self.unacked.clear();
            self.happens(Event::Disconnected);
        }
    }

    pub fn ack_one(&mut self) {
        let Some((id, sent)) = self.unacked.pop_front() else {
            return;
        };
        if let Sent::Report(Report::Progress(message)) = sent
            && message.data.state == ReportState::Completed
        {
            self.completed_acked.extend(message.data.target_version);
        }
        self.happens(Event::Acked(id));
    }

    pub fn ack_all(&mut self) {
        while !self.unacked.is_empty() {
            self.ack_one();
        }
    }

    /// The server answers; `ranges` is whether it honours one.
    pub fn answer(&mut self, ranges: bool) {
        let Some(fetching) = self.fetching.as_mut().filter(|one| one.position.is_none()) else {
            return;
        };
        let job = fetching.job;
        if let Some(document) = self.documents.get(&fetching.msg_id).cloned() {
            fetching.position = Some(0);
            return self.answer_document(job, &document);
        }
        let kind = self.files[&fetching.msg_id].kind;
        let etag = format!("\"{}\"", fetching.msg_id);
        let partial = ranges
            && kind != FileKind::NeverWhole
            && fetching.offset > 0
            && fetching.etag.as_ref().is_none_or(|asked| *asked == etag);
        let start = if partial { fetching.offset.into() } else { 0 };
        fetching.position = Some(start);
        let answer = match kind {
            FileKind::Missing => Answer {
                status: 404,
                ..Answer::default()
            },
            _ => Answer {
                status: if partial { 206 } else { 200 },
                start,
                total: None,
                etag: Some(&etag),
                retry_after_ms: None,
            },
        };
        self.happens(Event::Answer { job, answer });
    }

    pub fn refuse_for_now(&mut self, retry_after_ms: Option<u64>) {
        if let Some(fetching) = self.fetching.take_if(|one| one.position.is_none()) {
            let answer = Answer {
                status: 503,
                retry_after_ms,
                ..Answer::default()
            };
            self.happens(Event::Answer {
                job: fetching.job,
                answer,
            });
        }
    }

    /// The next `length` bytes, or the end if there are none.
    pub fn serve(&mut self, length: usize) {
        let Some(fetching) = &mut self.fetching else {
            return;
        };
        let Some(position) = fetching.position else {
            return;
        };
        if let Some(document) = self.documents.get(&fetching.msg_id).cloned() {
            return self.serve_document(position as usize, length, &document);
        }
        let file = &self.files[&fetching.msg_id];
        let bytes = served(&file.version, file.kind, file.bytes);
        let end = match file.kind {
            FileKind::NeverWhole => bytes.len() / 2,
            _ => bytes.len(),
        };
        let from = position as usize;
        let to = end.min(from.saturating_add(length));
        if from >= to {
            return self.cut_download();
        }
        fetching.position = Some(to as u64);
        self.bytes_served += (to - from) as u64;
        let job = fetching.job;
        self.happens(Event::Chunk {
            job,
            bytes: &bytes[from..to],
        });
    }

    /// The connection to the server breaks.
    pub fn cut_download(&mut self) {
        if let Some(fetching) = self.fetching.take() {
            self.happens(Event::FetchEnded {
                job: fetching.job,
                reason: Some("cut"),
            });
        }
    }

    pub fn wait(&mut self, ms: u64) {
        self.now_ms += ms;
        self.happens(Event::Tick);
    }

    /// The gateway's own work, as far as it needs nobody.
    pub fn work(&mut self) {
        for _ in 0..ROUNDS_MAX {
            let gateway = self.gateway.as_ref().expect("it runs");
            match gateway.wake_ms() {
                Some(at) if at <= self.now_ms => self.happens(Event::Tick),
                _ => return,
            }
        }
        panic!("it never rests");
    }

    /// Until everything is quiet, all goes as well as the files and images allow.
    pub fn settle(&mut self) {
        for _ in 0..ROUNDS_MAX {
            self.connect();
            self.ack_all();
            self.answer(true);
            self.serve(PIECE_BYTES);
            self.work();
            let saved = self.saved();
            let is_done = saved.active.is_none() && saved.next.is_none() && saved.trial.is_none();
            if self.is_idle() && is_done && self.connected && self.unacked.is_empty() {
                return;
            }
            let wake = self.gateway.as_ref().and_then(|gateway| gateway.wake_ms());
            let is_offline = self.connected != self.has_network();
            if self.is_idle()
                && self.unacked.is_empty()
                && !is_offline
                && let Some(wake) = wake
            {
                self.wait(wake.saturating_sub(self.now_ms));
            }
        }
        panic!("the upgrade hangs: {:?}", self.saved());
    }
}
