//! A TCP proxy that breaks connections on command, and counts it, so that a test can assert that
//! its fault really happened.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::free_port;
use crate::runtime::{self, Task};

/// Small, so that a stall or a cut comes soon after it was ordered.
const BUFFER_SIZE: usize = 4096;

/// A cut connection is dropped at its next await; only a bug takes longer.
const CUT_LIMIT: Duration = Duration::from_secs(5);
const CUT_POLL: Duration = Duration::from_millis(1);

/// A proxy on its own loopback port. A target that is down shows as a connection that is accepted
/// and closed at once.
#[derive(Debug)]
pub struct FaultProxy {
    accepting: Mutex<Option<Task>>,
    port: u16,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    target: SocketAddr,
    stalled: watch::Sender<bool>,
    /// Every open connection holds a receiver; the sender is replaced at each cut.
    link: Mutex<watch::Sender<()>>,
    /// Bytes that may still pass before the ordered cut.
    left: Mutex<Left>,
    cuts_fired: AtomicU64,
    connections: AtomicU64,
}

#[derive(Debug, Default)]
struct Left {
    to_client: Option<u64>,
    to_target: Option<u64>,
}

#[derive(Debug, Clone, Copy)]
enum Direction {
    ToClient,
    ToTarget,
}

impl FaultProxy {
    /// Starts a proxy to `target`.
    ///
    /// # Errors
    /// When no port can be had.
    pub fn start(target: SocketAddr) -> Result<Self> {
        let proxy = Self {
            accepting: Mutex::new(None),
            port: free_port()?,
            shared: Arc::new(Shared {
                target,
                stalled: watch::Sender::new(false),
                link: Mutex::new(watch::Sender::new(())),
                left: Mutex::new(Left::default()),
                cuts_fired: AtomicU64::new(0),
                connections: AtomicU64::new(0),
            }),
        };
        proxy.refuse(false)?;
        Ok(proxy)
    }

    /// Where clients connect.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.port))
    }

    /// Cuts all open connections and returns when they are gone; gives their number. New ones are
    /// still accepted.
    pub fn cut(&self) -> usize {
        let (old, hit) = self.shared.cut();
        let start = Instant::now();
        while old.receiver_count() > 0 && start.elapsed() < CUT_LIMIT {
            thread::sleep(CUT_POLL);
        }
        hit
    }

    /// With `true` new connections are refused by the system, as from a machine where nothing
    /// listens; open ones live on.
    ///
    /// # Errors
    /// When somebody took the port meanwhile.
    pub fn refuse(&self, refuse: bool) -> Result<()> {
        let mut accepting = lock(&self.accepting);
        if refuse {
            *accepting = None;
        } else if accepting.is_none() {
            *accepting = Some(runtime::spawn(accept(
                runtime::listen(self.port)?,
                Arc::clone(&self.shared),
            ))?);
        }
        Ok(())
    }

    /// With `true` nothing is forwarded any more while connections stay open, as on a link that has
    /// gone dead; with `false` what was held back goes on.
    pub fn stall(&self, stall: bool) {
        self.shared.stalled.send_replace(stall);
    }

    /// Cuts all connections, once, when `bytes` more bytes have gone from the target to clients,
    /// headers and all; never does a further byte pass.
    pub fn cut_after(&self, bytes: u64) {
        lock(&self.shared.left).to_client = Some(bytes);
    }

    /// The same for bytes from clients to the target.
    pub fn cut_upload_after(&self, bytes: u64) {
        lock(&self.shared.left).to_target = Some(bytes);
    }

    /// How often a cut hit at least one open connection.
    #[must_use]
    pub fn cuts_fired(&self) -> u64 {
        self.shared.cuts_fired.load(Ordering::SeqCst)
    }

    /// How many connections were ever accepted.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.shared.connections.load(Ordering::SeqCst)
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        *lock(&self.accepting) = None;
        self.shared.cut();
    }
}

impl Shared {
    /// The old link, whose receivers are the connections just cut, and their number.
    fn cut(&self) -> (watch::Sender<()>, usize) {
        let old = std::mem::replace(&mut *lock(&self.link), watch::Sender::new(()));
        let hit = old.receiver_count();
        if hit > 0 {
            self.cuts_fired.fetch_add(1, Ordering::SeqCst);
        }
        old.send_replace(());
        (old, hit)
    }

    /// How many of `count` bytes may pass, and whether the cut comes after them.
    fn admit(&self, direction: Direction, count: usize) -> (usize, bool) {
        let mut left = lock(&self.left);
        let left = match direction {
            Direction::ToClient => &mut left.to_client,
            Direction::ToTarget => &mut left.to_target,
        };
        match *left {
            Some(bytes) if bytes <= count as u64 => {
                *left = None;
                (usize::try_from(bytes).unwrap_or(count), true)
            }
            Some(bytes) => {
                *left = Some(bytes - count as u64);
                (count, false)
            }
            None => (count, false),
        }
    }
}

/// Connections are tasks of their own, so that refusing new ones leaves them alone.
async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    loop {
        let Ok((client, _)) = listener.accept().await else {
            continue;
        };
        shared.connections.fetch_add(1, Ordering::SeqCst);
        let link = lock(&shared.link).subscribe();
        tokio::spawn(connection(client, link, Arc::clone(&shared)));
    }
}

async fn connection(client: TcpStream, mut link: watch::Receiver<()>, shared: Arc<Shared>) {
    let work = async {
        let Ok(target) = TcpStream::connect(shared.target).await else {
            return;
        };
        let _ = (client.set_nodelay(true), target.set_nodelay(true));
        let (from_client, to_client) = client.into_split();
        let (from_target, to_target) = target.into_split();
        // An end of file goes on in its direction only; an error ends both.
        let _ = tokio::try_join!(
            forward(from_client, to_target, Direction::ToTarget, &shared),
            forward(from_target, to_client, Direction::ToClient, &shared),
        );
    };
    tokio::select! {
        () = work => {}
        _ = link.changed() => {}
    }
}

async fn forward(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    direction: Direction,
    shared: &Shared,
) -> std::io::Result<()> {
    let mut buffer = vec![0; BUFFER_SIZE];
    let mut stalled = shared.stalled.subscribe();
    loop {
        let count = from.read(&mut buffer).await?;
        // After the read too: what came in while the link was dead must not pass.
        let _ = stalled.wait_for(|stalled| !stalled).await;
        if count == 0 {
            return to.shutdown().await;
        }
        let (admitted, cut) = shared.admit(direction, count);
        to.write_all(&buffer[..admitted]).await?;
        if cut {
            shared.cut();
            return Err(std::io::ErrorKind::ConnectionAborted.into());
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
