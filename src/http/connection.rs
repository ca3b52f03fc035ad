//! The time a client has: for a request's head, between requests, for bodies, for taking answers.

use std::{
    io,
    mem::MaybeUninit,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::body::{Body, Bytes, HttpBody};
use hyper::body::{Frame, SizeHint};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep_until},
};

/// For the first byte.
const SILENT_TIMEOUT: Duration = Duration::from_secs(10);
/// For a request's first line and headers.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// Between two requests: longer than proxies keep connections that they may use again.
const IDLE_TIMEOUT: Duration = Duration::from_secs(90);
/// In which something of a body must arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);
/// What must arrive on average of a body that was waited for longer than that.
const BODY_BYTES_PER_SECOND_MIN: u64 = 1024;
/// In which something of an answer must be taken.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
/// For a client that still sends, behind the last answer. What came after a close would be met by a
/// reset, which destroys an answer that is not read yet (RFC 9112, 9.6).
const LINGER_TIMEOUT: Duration = Duration::from_secs(5);
const LINGER_BYTES_MAX: usize = 16 << 20;

/// Why a connection was cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Cut {
    Silent = 1,
    Head,
    Body,
    Answer,
}

impl Cut {
    pub fn reason(self) -> &'static str {
        match self {
            Cut::Silent => "silent",
            Cut::Head => "head",
            Cut::Body => "body",
            Cut::Answer => "answer",
        }
    }

    pub fn why(self) -> &'static str {
        match self {
            Cut::Silent => "nothing came",
            Cut::Head => "a request's headers did not end in time",
            Cut::Body => "a request's body came too slowly",
            Cut::Answer => "nothing was taken of an answer",
        }
    }
}

const SILENT: u8 = 0;
const IDLE: u8 = 1;
const HEAD: u8 = 2;
const REQUEST: u8 = 3;

/// Where a connection stands; shared by its stream, its requests and their answers.
#[derive(Default)]
pub struct Progress {
    phase: AtomicU8,
    cut: AtomicU8,
    /// Somebody was answered before the end of the request's body.
    unread: AtomicBool,
}

impl Progress {
    /// Until what comes back is dropped, the client has no duty to send.
    pub fn request_begins(self: &Arc<Self>) -> Running {
        self.phase.store(REQUEST, Ordering::Relaxed);
        self.unread.store(false, Ordering::Relaxed);
        Running(self.clone())
    }

    /// With the first byte after a pause.
    fn head_begins(&self) -> bool {
        [SILENT, IDLE].into_iter().any(|pause| {
            self.phase
                .compare_exchange(pause, HEAD, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
        })
    }

    fn client_may_send(&self) -> bool {
        self.phase.load(Ordering::Relaxed) == HEAD || self.unread.load(Ordering::Relaxed)
    }

    pub fn cut(&self) -> Option<Cut> {
        [Cut::Silent, Cut::Head, Cut::Body, Cut::Answer]
            .into_iter()
            .find(|cut| *cut as u8 == self.cut.load(Ordering::Relaxed))
    }

    fn give_up(&self, cut: Cut) -> io::Error {
        self.cut.store(cut as u8, Ordering::Relaxed);
        io::Error::new(io::ErrorKind::TimedOut, cut.why())
    }
}

/// A request that is not answered yet.
pub struct Running(Arc<Progress>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.phase.store(IDLE, Ordering::Relaxed);
    }
}

/// The end of a connection whose client may still send.
struct Lingering {
    until: Pin<Box<Sleep>>,
    bytes_left: usize,
    is_shut: bool,
}

impl Lingering {
    fn begin() -> Self {
        Lingering {
            until: Box::pin(sleep_until(Instant::now() + LINGER_TIMEOUT)),
            bytes_left: LINGER_BYTES_MAX,
            is_shut: false,
        }
    }

    /// Says that nothing more will be said, and throws away what comes until the client closes, too.
    fn poll_close<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        stream: &mut S,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        if self.until.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Ok(()));
        }
        if !self.is_shut {
            ready!(Pin::new(&mut *stream).poll_shutdown(cx))?;
            self.is_shut = true;
        }
        let mut unwanted = [MaybeUninit::uninit(); 8 << 10];
        loop {
            let mut buf = ReadBuf::uninit(&mut unwanted);
            ready!(Pin::new(&mut *stream).poll_read(cx, &mut buf))?;
            let came = buf.filled().len();
            if came == 0 || came > self.bytes_left {
                return Poll::Ready(Ok(()));
            }
            self.bytes_left -= came;
        }
    }
}

/// A stream that gives up on who neither sends nor takes.
pub struct TimedStream<S> {
    stream: S,
    progress: Arc<Progress>,
    /// The phase that `read` is set for.
    phase: u8,
    read: Pin<Box<Sleep>>,
    /// Set while the client takes nothing.
    write: Option<Pin<Box<Sleep>>>,
    lingering: Option<Lingering>,
}

impl<S> TimedStream<S> {
    pub fn new(stream: S, progress: Arc<Progress>) -> Self {
        TimedStream {
            stream,
            progress,
            phase: SILENT,
            read: Box::pin(sleep_until(Instant::now() + SILENT_TIMEOUT)),
            write: None,
            lingering: None,
        }
    }

    fn poll_taken<T>(
        &mut self,
        cx: &mut Context<'_>,
        polled: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if polled.is_ready() {
            self.write = None;
            return polled;
        }
        let write = self
            .write
            .get_or_insert_with(|| Box::pin(sleep_until(Instant::now() + ANSWER_TIMEOUT)));
        ready!(write.as_mut().poll(cx));
        Poll::Ready(Err(self.progress.give_up(Cut::Answer)))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> TimedStream<S> {
    fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let lingering = self.lingering.get_or_insert_with(Lingering::begin);
        lingering.poll_close(&mut self.stream, cx)
    }

    fn poll_late_head(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let _ = ready!(self.poll_linger(cx));
        Poll::Ready(Err(self.progress.give_up(Cut::Head)))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for TimedStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.lingering.is_some() {
            return this.poll_late_head(cx);
        }
        let before = buf.filled().len();
        let polled = Pin::new(&mut this.stream).poll_read(cx, buf);
        let began = polled.is_ready() && buf.filled().len() > before && this.progress.head_begins();
        let phase = this.progress.phase.load(Ordering::Relaxed);
        if phase != this.phase || began {
            this.phase = phase;
            let allowed = match phase {
                SILENT => SILENT_TIMEOUT,
                HEAD => HEAD_TIMEOUT,
                _ => IDLE_TIMEOUT,
            };
            this.read.as_mut().reset(Instant::now() + allowed);
        }
        if polled.is_ready() || phase == REQUEST {
            return polled;
        }
        ready!(this.read.as_mut().poll(cx));
        if phase != HEAD {
            if phase == SILENT {
                this.progress.give_up(Cut::Silent);
            }
            // As if the client had closed: nothing is lost. A 408 could meet a request on its way
            // and pass for its answer.
            return Poll::Ready(Ok(()));
        }
        let late =
            b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
        let _ = Pin::new(&mut this.stream).poll_write(cx, late);
        let _ = Pin::new(&mut this.stream).poll_flush(cx);
        this.poll_late_head(cx)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for TimedStream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.poll_taken(cx, polled)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.poll_taken(cx, polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_flush(cx);
        self.poll_taken(cx, polled)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = if self.progress.client_may_send() {
            self.poll_linger(cx)
        } else {
            Pin::new(&mut self.stream).poll_shutdown(cx)
        };
        self.poll_taken(cx, polled)
    }
}

/// A request's body that gives up on who sends nothing, or next to nothing. Only time in which
/// somebody waits for the body counts.
pub struct TimedBody {
    body: Body,
    progress: Arc<Progress>,
    waiting: Option<(Instant, Pin<Box<Sleep>>)>,
    waited: Duration,
    arrived: u64,
    ended: bool,
}

impl TimedBody {
    pub fn new(body: Body, progress: Arc<Progress>) -> Self {
        TimedBody {
            body,
            progress,
            waiting: None,
            waited: Duration::ZERO,
            arrived: 0,
            ended: false,
        }
    }

    fn is_too_slow(&self) -> bool {
        self.waited > BODY_TIMEOUT
            && self.arrived < self.waited.as_secs() * BODY_BYTES_PER_SECOND_MIN
    }
}

impl HttpBody for TimedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = &mut *self;
        let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(cx) else {
            let (_, timeout) = this.waiting.get_or_insert_with(|| {
                let now = Instant::now();
                (now, Box::pin(sleep_until(now + BODY_TIMEOUT)))
            });
            ready!(timeout.as_mut().poll(cx));
            let error = axum::Error::new(this.progress.give_up(Cut::Body));
            return Poll::Ready(Some(Err(error)));
        };
        if let Some((since, _)) = this.waiting.take() {
            this.waited += since.elapsed();
        }
        this.ended = frame.is_none();
        if let Some(Ok(frame)) = &frame {
            this.arrived += frame.data_ref().map_or(0, |data| data.len() as u64);
            if this.is_too_slow() {
                let error = axum::Error::new(this.progress.give_up(Cut::Body));
                return Poll::Ready(Some(Err(error)));
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for TimedBody {
    fn drop(&mut self) {
        if !self.ended && !self.body.is_end_stream() {
            self.progress.unread.store(true, Ordering::Relaxed);
        }
    }
}

/// An answer's body; its request runs until this is dropped.
pub struct UntilDropped {
    body: Body,
    _running: Running,
}

impl UntilDropped {
    pub fn new(body: Body, running: Running) -> Self {
        UntilDropped {
            body,
            _running: running,
        }
    }
}

impl HttpBody for UntilDropped {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
