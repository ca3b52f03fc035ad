//! The runtime of the in-process servers. It belongs to no test, so a test may block its own thread
//! or runtime while its servers go on answering.

use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;

const WORKERS: usize = 2;

/// A task is dropped at its next await; only a bug takes longer.
const STOP_LIMIT: Duration = Duration::from_secs(5);
const STOP_POLL: Duration = Duration::from_millis(1);

fn runtime() -> Result<&'static Runtime> {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    if let Some(runtime) = RUNTIME.get() {
        return Ok(runtime);
    }
    let built = Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .thread_name("airlift-testkit")
        .enable_all()
        .build()
        .context("starting the testkit's runtime")?;
    // If another thread was faster, its runtime is taken and ours ends without waiting.
    if let Err(second) = RUNTIME.set(built) {
        second.shutdown_background();
    }
    RUNTIME
        .get()
        .context("the testkit's runtime was just stored")
}

/// A listener on a loopback port, usable inside [`spawn`].
pub(crate) fn listen(port: u16) -> Result<TcpListener> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let listener =
        std::net::TcpListener::bind(address).with_context(|| format!("listening on {address}"))?;
    listener.set_nonblocking(true)?;
    let _inside = runtime()?.enter();
    TcpListener::from_std(listener).with_context(|| format!("listening on {address}"))
}

/// Runs `work` until it ends or the [`Task`] is dropped.
pub(crate) fn spawn(work: impl Future<Output = ()> + Send + 'static) -> Result<Task> {
    Ok(Task(runtime()?.spawn(work)))
}

/// Work in the background; dropping it ends it and returns when it holds nothing any more.
#[derive(Debug)]
pub(crate) struct Task(JoinHandle<()>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
        let start = Instant::now();
        while !self.0.is_finished() && start.elapsed() < STOP_LIMIT {
            thread::sleep(STOP_POLL);
        }
    }
}
