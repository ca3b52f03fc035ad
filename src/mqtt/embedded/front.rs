//! TLS before rmqtt, whose own takes neither client certificates that may be missing nor a renewed
//! certificate.
//!
//! A client's bytes go on to a port on loopback that rmqtt listens on, with a PROXY header. The
//! header names no address but a number that nobody can guess: whoever else finds that port is not
//! let in. The server's own session has a third port, without TLS.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, split};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::{SEND_SECONDS_MAX, SESSIONS_MAX};
use crate::tls::Tls;

/// Bytes on their way, each way.
const BUFFER_BYTES: usize = 4 * 1024;
/// Seconds until one side is given up after the other has closed.
const CLOSE_SECONDS_MAX: u64 = 5;
/// Wait after a connection could not be taken, as when files run out.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);

/// Who stands behind a number.
type Origins = Mutex<HashMap<SocketAddr, (IpAddr, Option<Arc<str>>)>>;

/// The clients that came through TLS.
pub(super) struct Front {
    inner: SocketAddr,
    own: SocketAddr,
    origins: Origins,
}

impl Front {
    /// `inner` is where rmqtt expects PROXY headers, `own` where only the server's session may come.
    pub fn new(inner: SocketAddr, own: SocketAddr) -> Self {
        Front {
            inner,
            own,
            origins: Mutex::default(),
        }
    }

    pub fn inner_port(&self) -> u16 {
        self.inner.port()
    }

    pub fn own_port(&self) -> u16 {
        self.own.port()
    }

    /// Where a connection of rmqtt's really comes from; None if it did not come through here.
    pub fn origin(&self, number: SocketAddr) -> Option<(IpAddr, Option<Arc<str>>)> {
        let origins = self.origins.lock().unwrap_or_else(PoisonError::into_inner);
        origins.get(&number).cloned()
    }

    /// Takes connections for ever.
    pub async fn run(self: Arc<Self>, listener: TcpListener, tls: Arc<Tls>) {
        let connections = Arc::new(Semaphore::new(SESSIONS_MAX as usize));
        let mut running = JoinSet::new();
        loop {
            let permit = connections.clone().acquire_owned().await;
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                Some(_) = running.join_next() => continue,
            };
            let (stream, address) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::error!(%error, "no MQTT connection can be taken");
                    sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let (front, tls) = (self.clone(), tls.clone());
            running.spawn(async move {
                let _permit = permit;
                if let Err(error) = front.connection(stream, address, &tls).await {
                    tracing::debug!(%address, %error, "MQTT connection over TLS ended");
                }
            });
        }
    }

    async fn connection(
        &self,
        stream: TcpStream,
        address: SocketAddr,
        tls: &Tls,
    ) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let (client, gateway) = tls.accept(stream).await?;
        let mut broker = TcpStream::connect(self.inner).await?;
        broker.set_nodelay(true)?;
        let number = SocketAddr::new(Ipv6Addr::from_bits(rand::random()).into(), rand::random());
        let _known = Known::new(
            &self.origins,
            number,
            (address.ip().to_canonical(), gateway),
        );
        let header = format!(
            "PROXY TCP6 {} ::1 {} {}\r\n",
            number.ip(),
            number.port(),
            self.inner.port()
        );
        broker.write_all(header.as_bytes()).await?;
        let (from_client, to_client) = split(client);
        let (from_broker, to_broker) = broker.into_split();
        let outbound = pump(from_broker, to_client);
        let inbound = pump(from_client, to_broker);
        tokio::pin!(outbound);
        tokio::select! {
            ended = &mut outbound => ended,
            ended = inbound => {
                // It may still be answered what it said last.
                let rest = timeout(Duration::from_secs(CLOSE_SECONDS_MAX), outbound).await;
                ended.and(rest.unwrap_or(Ok(())))
            }
        }
    }
}

/// Copies until the reader's end, then closes the writer.
async fn pump(
    mut reader: impl AsyncRead + Unpin,
    mut writer: impl AsyncWrite + Unpin,
) -> io::Result<()> {
    let mut buffer = [0; BUFFER_BYTES];
    let patience = Duration::from_secs(2 * SEND_SECONDS_MAX);
    loop {
        let n = reader.read(&mut buffer).await?;
        if n == 0 {
            return timeout(patience, writer.shutdown()).await?;
        }
        timeout(patience, async {
            writer.write_all(&buffer[..n]).await?;
            writer.flush().await
        })
        .await??;
    }
}

/// A client is known as long as this lives.
struct Known<'o> {
    origins: &'o Origins,
    number: SocketAddr,
}

impl<'o> Known<'o> {
    fn new(origins: &'o Origins, number: SocketAddr, origin: (IpAddr, Option<Arc<str>>)) -> Self {
        let mut known = origins.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert(number, origin);
        Known { origins, number }
    }
}

impl Drop for Known<'_> {
    fn drop(&mut self) {
        let mut known = self.origins.lock().unwrap_or_else(PoisonError::into_inner);
        known.remove(&self.number);
    }
}
