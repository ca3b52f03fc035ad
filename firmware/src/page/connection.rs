//! One connection with one request; the answer always closes it. The head's buffer and the
//! upload's state share their memory: they are never needed together.

use heapless::Vec;

use super::body::{Body, Framing};
use super::failure::Failure;
use super::multipart::Multipart;
use super::request::{self, Request, Route};
use super::response::Answer;
use super::{HEAD_BYTES, Page, Upload};
use crate::Now;

/// Longest time for a whole request head, ms.
const HEAD_TIMEOUT_MS: u64 = 10_000;
/// Longest silence within an upload, ms.
const BODY_TIMEOUT_MS: u64 = 30_000;

/// What the shell does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Progress {
    /// Go on reading.
    NeedMore,
    /// The answer is out, or there is none to give: flush and close.
    Close,
    /// The answer is out and the new image is to be booted: flush, close, then
    /// `Event::LocalDone` for the core, which reboots. It is installed even if the peer is gone
    /// and the answer cannot be sent.
    Installed,
}

/// A connection that a browser or `curl` has opened.
pub struct Connection {
    state: State,
}

#[expect(
    clippy::large_enum_variant,
    reason = "there is no heap to put the larger one on"
)]
enum State {
    Head(Vec<u8, HEAD_BYTES>),
    /// The upload is admitted.
    Body(Body),
    Done,
}

impl Default for Connection {
    fn default() -> Self {
        Self::new()
    }
}

impl Connection {
    /// A connection on which nothing has arrived.
    pub const fn new() -> Self {
        Self {
            state: State::Head(Vec::new()),
        }
    }

    /// Takes the bytes that have arrived, in any pieces. `out` is called with the answer in many small pieces, which a shell may collect.
    /// Whatever arrives after the answer is ignored.
    pub fn receive(
        &mut self,
        bytes: &[u8],
        now: Now,
        page: &mut Page,
        upload: &mut dyn Upload,
        out: &mut dyn FnMut(&[u8]),
    ) -> Progress {
        let mut rest = bytes;
        let mut answer = Answer {
            out,
            head_only: false,
        };
        if let State::Head(head) = &mut self.state {
            let next = match take_head(head, &mut rest) {
                Ok(None) => return Progress::NeedMore,
                Ok(Some(request)) => {
                    answer.head_only = request.head_only;
                    respond(&request, now.ms, page, upload, &mut answer)
                }
                Err(failure) => Err(failure),
            };
            self.state = next.unwrap_or_else(|failure| {
                answer.failure(&failure);
                State::Done
            });
        }
        let State::Body(body) = &mut self.state else {
            return Progress::Close;
        };
        match body.take(rest, now, upload) {
            Ok(false) => Progress::NeedMore,
            Ok(true) => {
                self.state = State::Done;
                answer.installed();
                Progress::Installed
            }
            Err(failure) => {
                self.state = State::Done;
                upload.abort();
                answer.failure(&failure);
                Progress::Close
            }
        }
    }

    /// How long the shell waits before it calls [`Self::timed_out`], ms: from the connection's
    /// beginning while the head is not whole, then from the bytes that arrived last.
    pub fn timeout_ms(&self) -> u64 {
        if matches!(self.state, State::Head(_)) {
            HEAD_TIMEOUT_MS
        } else {
            BODY_TIMEOUT_MS
        }
    }

    /// The peer has been silent for too long: an upload is aborted.
    pub fn timed_out(&mut self, upload: &mut dyn Upload, out: &mut dyn FnMut(&[u8])) -> Progress {
        self.stop(
            Failure::new(408, "Request timeout", "the request did not come in time"),
            Failure::upload(408, "nothing more has arrived for 30 seconds: try again"),
            upload,
            out,
        )
    }

    /// The peer has shut down its sending side (it may still be reading): an upload is aborted.
    pub fn ended(&mut self, upload: &mut dyn Upload, out: &mut dyn FnMut(&[u8])) -> Progress {
        self.stop(
            Failure::bad_request("the request is not whole"),
            Failure::upload(400, "the connection ended before the form did"),
            upload,
            out,
        )
    }

    /// The connection broke, so that nothing can be answered: an upload is aborted.
    pub fn lost(&mut self, upload: &mut dyn Upload) {
        let _ = self.ended(upload, &mut |_| {});
    }

    fn stop(
        &mut self,
        in_head: Failure,
        in_body: Failure,
        upload: &mut dyn Upload,
        out: &mut dyn FnMut(&[u8]),
    ) -> Progress {
        let mut answer = Answer {
            out,
            head_only: false,
        };
        match &self.state {
            // Browsers open connections ahead and may never use them.
            State::Head(head) if head.is_empty() => {}
            State::Head(_) => answer.failure(&in_head),
            State::Body(_) => {
                upload.abort();
                answer.failure(&in_body);
            }
            State::Done => {}
        }
        self.state = State::Done;
        Progress::Close
    }
}

/// Moves the head, and nothing that follows it, out of `rest`. `None` while it is not whole.
fn take_head<'h>(
    head: &'h mut Vec<u8, HEAD_BYTES>,
    rest: &mut &[u8],
) -> Result<Option<Request<'h>>, Failure> {
    while let Some((&byte, after)) = rest.split_first() {
        head.push(byte).map_err(|_| request::head_too_large())?;
        *rest = after;
        if byte == b'\n' && Request::parse(head)?.is_some() {
            return Request::parse(head);
        }
    }
    Ok(None)
}

/// Answers a request, or lets an upload's body in.
fn respond(
    request: &Request<'_>,
    now_ms: u64,
    page: &mut Page,
    upload: &mut dyn Upload,
    answer: &mut Answer<'_>,
) -> Result<State, Failure> {
    let route = request.route()?;
    let Page { settings, login } = page;
    if route == Route::Index {
        answer.index(settings);
        return Ok(State::Done);
    }
    if route == Route::Upload {
        request.same_origin()?;
    }
    login.check(settings.password.as_deref(), request.authorization, now_ms)?;
    match route {
        Route::Page => answer.page(settings, upload.wants_signature()),
        Route::Script => answer.script(),
        Route::Index | Route::Upload => return begin(request, upload, answer).map(State::Body),
    }
    Ok(State::Done)
}

fn begin(
    request: &Request<'_>,
    upload: &mut dyn Upload,
    answer: &mut Answer<'_>,
) -> Result<Body, Failure> {
    let framing = request.framing()?;
    let wants_signature = upload.wants_signature();
    let multipart = Multipart::new(request.content_type, wants_signature)?;
    let go_on = request.expects_continue()?;
    let size_at_least = match framing {
        Framing::Length(length) if !wants_signature => {
            Some(length.saturating_sub(multipart.overhead()))
        }
        // The manifest will tell, or the slot's end.
        Framing::Length(_) | Framing::Chunked(_) => None,
    };
    upload.admit(size_at_least)?;
    if go_on {
        answer.go_on();
    }
    Ok(Body::new(framing, multipart, upload))
}
