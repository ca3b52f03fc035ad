//! What the broker, the server, the storage and the clock do to a gateway.

use airlift_firmware::{Answer, Body, Digests, Event};
use airlift_proto::{Report, ReportState};

use super::{FileKind, World, content, digests};

/// Rounds until a gateway that all wish well must be quiet.
const ROUNDS_MAX: usize = 10_000;

impl World {
    pub fn connect(&mut self) {
        if !self.connected {
            self.connected = true;
            self.happens(Event::Connected);
        }
    }

    pub fn disconnect(&mut self) {
        if self.connected {
            self.connected = false;
            self.unacked.clear();
            self.happens(Event::Disconnected);
        }
    }

    pub fn ack_one(&mut self) {
        if self.unacked.is_empty() {
            return;
        }
        let (id, body) = self.unacked.remove(0);
        if let Body::Report(Report::Progress(message)) = body
            && message.data.state == ReportState::Completed
        {
            self.completed_acked = message.data.target_version;
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
        let (job, kind) = (fetching.job, self.kinds[&fetching.msg_id]);
        let etag = format!("\"{}\"", fetching.msg_id);
        let partial = ranges
            && kind != FileKind::NeverWhole
            && fetching.offset > 0
            && fetching.etag.as_ref().is_none_or(|asked| *asked == etag);
        let start = if partial { fetching.offset } else { 0 };
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
                etag: Some(etag),
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
        let kind = self.kinds[&fetching.msg_id];
        let file = content(&fetching.msg_id, kind);
        let end = if kind == FileKind::NeverWhole {
            file.len() / 2
        } else {
            file.len()
        };
        let from = position as usize;
        let to = end.min(from + length);
        if from >= to {
            return self.cut();
        }
        fetching.position = Some(to as u64);
        let job = fetching.job;
        self.happens(Event::Chunk {
            job,
            bytes: &file[from..to],
        });
    }

    /// The connection to the server breaks.
    pub fn cut(&mut self) {
        if let Some(fetching) = self.fetching.take() {
            let reason = Some("cut".into());
            self.happens(Event::FetchEnded {
                job: fetching.job,
                reason,
            });
        }
    }

    /// The digest gets done, with this outcome.
    pub fn finish_digest(&mut self, digests: Digests) {
        self.is_honest = false;
        let job = self.digesting.take().expect("a digest is under way");
        self.happens(Event::Digested { job, digests });
    }

    /// Digesting or installing gets done.
    pub fn work(&mut self) {
        if let Some(job) = self.digesting.take() {
            let digests = digests(self.part.as_ref().expect("digest without a part"));
            self.happens(Event::Digested { job, digests });
        } else if let Some(job) = self.installing.take() {
            self.image = self.part.take().expect("install without a part");
            self.part_synced = None;
            self.happens(Event::Installed { job });
        }
    }

    pub fn wait(&mut self, ms: u64) {
        self.now_ms += ms;
        self.happens(Event::Tick);
    }

    /// Until everything is quiet, all goes as well as the files allow.
    pub fn settle(&mut self) {
        self.cut_after = None;
        for _ in 0..ROUNDS_MAX {
            self.connect();
            self.ack_all();
            self.answer(true);
            self.serve(13);
            self.work();
            let saved = self.gateway.saved();
            if self.is_idle() && saved.active.is_none() && saved.next.is_none() {
                self.connect();
                self.ack_all();
                // The last acknowledgement may have been the one a reboot waited for.
                if self.connected {
                    return;
                }
            }
            if self.is_idle()
                && let Some(wake) = self.gateway.wake_ms()
            {
                self.wait(wake.saturating_sub(self.now_ms));
            }
        }
        panic!("the upgrade hangs: {:?}", self.gateway.saved());
    }
}
