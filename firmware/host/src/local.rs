//! The upload page's sockets. A connection has a task of its own that reads and writes; what the
//! bytes mean is decided in the gateway's task, which alone holds the update session.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use airlift_firmware::{
    Now,
    page::{Connection, LINGER_MS, Page, Progress, Settings, Upload},
};
use anyhow::{Context, Result, anyhow, ensure};
use bytes::BytesMut;
use rustls::crypto::CryptoProvider;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{mpsc, oneshot},
    task::{JoinHandle, JoinSet},
    time::{Instant as TokioInstant, timeout, timeout_at},
};

/// Connections served at the same time; more wait.
const CONNECTIONS_MAX: usize = 8;
/// Read at a time, bytes.
const READ_BYTES: usize = 16 * 1024;
/// Longest password, bytes.
const PASSWORD_BYTES_MAX: usize = 64;
/// Length of a password of ours, characters: 60 bits.
const PASSWORD_CHARS: usize = 12;
/// What it is made of: 32 characters that cannot be mistaken for each other.
const PASSWORD_ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";

/// Where the page is, over all lives of the gateway.
#[derive(Clone)]
pub struct Address {
    listener: Arc<TcpListener>,
    password: String,
}

impl Address {
    /// Listens on `address`.
    pub async fn bind(address: SocketAddr, password: String) -> Result<Self> {
        let listener = TcpListener::bind(address)
            .await
            .with_context(|| format!("cannot listen on {address} for the upload page"))?;
        Ok(Address {
            listener: Arc::new(listener),
            password,
        })
    }

    /// Where it really listens.
    pub fn socket(&self) -> Result<SocketAddr> {
        Ok(self.listener.local_addr()?)
    }
}

/// A password nobody can guess.
pub fn new_password() -> Result<String> {
    let mut random = [0; PASSWORD_CHARS];
    CryptoProvider::get_default()
        .and_then(|provider| provider.secure_random.fill(&mut random).ok())
        .ok_or_else(|| anyhow!("this system has no randomness; give --local-password"))?;
    let chars = random.map(|byte| char::from(PASSWORD_ALPHABET[usize::from(byte) % 32]));
    Ok(chars.iter().collect())
}

/// Whether the page can ask for this password.
pub fn check_password(password: &str) -> Result<()> {
    ensure!(
        (1..=PASSWORD_BYTES_MAX).contains(&password.len()),
        "--local-password must have 1 to {PASSWORD_BYTES_MAX} bytes"
    );
    Ok(())
}

/// What a connection asks of the gateway's task.
pub struct Ask {
    what: What,
    connection: Box<Connection>,
    answer: oneshot::Sender<Reply>,
}

enum What {
    Received(BytesMut),
    TimedOut,
    /// The peer sends no more.
    Ended,
    /// The connection broke.
    Lost,
    /// The peer has the answer that its image is installed.
    Done,
}

struct Reply {
    connection: Box<Connection>,
    out: Vec<u8>,
    progress: Progress,
}

/// The page during one life of the gateway; dropped, it cuts its connections.
pub struct Local {
    asks: mpsc::Receiver<Ask>,
    task: JoinHandle<()>,
    page: Page,
}

impl Local {
    pub fn start(address: &Address, device: &str, version: &str) -> Self {
        let (sender, asks) = mpsc::channel(CONNECTIONS_MAX);
        let listener = address.listener.clone();
        let task = tokio::spawn(accept(listener, sender));
        let page = Page::new(Settings {
            password: address.password.as_str().try_into().ok(),
            device: cut(device),
            version: cut(version),
        });
        Local { asks, task, page }
    }

    /// The next thing a connection asks. Safe to be dropped while waiting.
    pub async fn next(&mut self) -> Ask {
        match self.asks.recv().await {
            Some(ask) => ask,
            None => std::future::pending().await,
        }
    }

    /// Lets the page take it; what it gives goes to [`Self::reply`]. `None`: the peer has its
    /// answer, so that the gateway may reboot.
    pub fn take(&mut self, ask: Ask, now: Now, upload: &mut dyn Upload) -> Option<Answer> {
        let Ask {
            what,
            mut connection,
            answer,
        } = ask;
        let mut out = Vec::new();
        let mut write = |bytes: &[u8]| out.extend_from_slice(bytes);
        let progress = match what {
            What::Received(bytes) => {
                connection.receive(&bytes, now, &mut self.page, upload, &mut write)
            }
            What::TimedOut => connection.timed_out(upload, &mut write),
            What::Ended => connection.ended(upload, &mut write),
            What::Lost => {
                connection.lost(upload);
                Progress::Close
            }
            What::Done => return None,
        };
        Some(Answer {
            to: answer,
            reply: Reply {
                connection,
                out,
                progress,
            },
        })
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What a connection is told, once it may be.
#[must_use]
pub struct Answer {
    to: oneshot::Sender<Reply>,
    reply: Reply,
}

impl Answer {
    pub fn send(self) {
        // The connection may be gone.
        let _ = self.to.send(self.reply);
    }
}

/// As much of `text` as there is room for.
fn cut<const N: usize>(text: &str) -> airlift_firmware::Text<N> {
    let mut cut = airlift_firmware::Text::new();
    for char in text.chars() {
        if cut.push(char).is_err() {
            break;
        }
    }
    cut
}

async fn accept(listener: Arc<TcpListener>, asks: mpsc::Sender<Ask>) {
    let mut connections = JoinSet::new();
    loop {
        while connections.len() >= CONNECTIONS_MAX {
            connections.join_next().await;
        }
        while connections.try_join_next().is_some() {}
        match listener.accept().await {
            Ok((stream, _)) => {
                connections.spawn(serve(stream, asks.clone()));
            }
            // Out of file descriptors, or the peer is gone already.
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}

async fn serve(mut stream: TcpStream, asks: mpsc::Sender<Ask>) {
    let mut connection = Box::new(Connection::new());
    let head_timeout_ms = connection.timeout_ms();
    let begun = Instant::now();
    let mut heard = begun;
    loop {
        let timeout_ms = connection.timeout_ms();
        let since = if timeout_ms == head_timeout_ms {
            begun
        } else {
            heard
        };
        let until = TokioInstant::from_std(since + Duration::from_millis(timeout_ms));
        let mut buffer = BytesMut::with_capacity(READ_BYTES);
        let what = match timeout_at(until, stream.read_buf(&mut buffer)).await {
            Ok(Ok(0)) => What::Ended,
            Ok(Ok(_)) => What::Received(buffer),
            Ok(Err(_)) => What::Lost,
            Err(_) => What::TimedOut,
        };
        heard = Instant::now();
        let Some(reply) = ask(&asks, what, connection).await else {
            return;
        };
        connection = reply.connection;
        let sent = stream.write_all(&reply.out).await;
        match reply.progress {
            Progress::NeedMore if sent.is_err() => {
                ask(&asks, What::Lost, connection).await;
                return;
            }
            Progress::NeedMore => {}
            Progress::Close => {
                linger(stream).await;
                return;
            }
            Progress::Installed => {
                linger(stream).await;
                ask(&asks, What::Done, connection).await;
                return;
            }
        }
    }
}

/// `None` if the gateway's life has ended.
async fn ask(asks: &mpsc::Sender<Ask>, what: What, connection: Box<Connection>) -> Option<Reply> {
    let (answer, reply) = oneshot::channel();
    let ask = Ask {
        what,
        connection,
        answer,
    };
    asks.send(ask).await.ok()?;
    reply.await.ok()
}

/// Lets the peer read the answer: closed at once, a connection on which it still sends is reset.
async fn linger(mut stream: TcpStream) {
    let drain = async {
        if stream.shutdown().await.is_err() {
            return;
        }
        let mut rest = [0; 1024];
        while matches!(stream.read(&mut rest).await, Ok(count) if count > 0) {}
    };
    // A peer that never closes has had its time.
    let _ = timeout(Duration::from_millis(LINGER_MS), drain).await;
}

#[cfg(test)]
mod tests;
