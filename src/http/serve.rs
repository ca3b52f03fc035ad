//! From an accepted connection to the router: how many there may be, who is at the other end, TLS.

use std::{
    collections::HashMap,
    convert::Infallible,
    io,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    extract::DefaultBodyLimit,
    http::{
        HeaderValue, Request, StatusCode,
        header::{CONNECTION, TRANSFER_ENCODING},
    },
    response::{IntoResponse, Response},
};
use futures_util::FutureExt;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::{
    rt::TokioIo,
    server::graceful::{GracefulShutdown, Watcher},
};
use ipnet::IpNet;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinSet,
    time::sleep,
};
use tokio_util::sync::CancellationToken;
use tower_service::Service as _;

use super::{
    connection::{Cut, Progress, Running, TimedBody, TimedStream, UntilDropped},
    error::ApiError,
    extract::BODY_BYTES_MAX,
    observe::Observed,
    peer::Peer,
    router::router,
    security_headers::set_security_headers,
};
use crate::{metrics::ReasonLabel, service::Service, tls::Tls};

/// Connections from one address at the same time.
const CONNECTIONS_PER_ADDRESS_MAX: u32 = 256;
/// Bytes of a request's first line and headers.
const HEAD_BYTES_MAX: usize = 64 << 10;
/// Headers of a request.
const HEADERS_MAX: usize = 100;
/// Wait after a connection could not be taken, as when files run out.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);

/// What the HTTP server needs to know.
pub struct HttpServer {
    pub listener: TcpListener,
    pub service: Arc<Service>,
    pub tls: Option<Arc<Tls>>,
    /// Connections at the same time; more wait until one ends.
    pub connections_max: u32,
    /// Their connections are those of many clients.
    pub trusted_proxies: Vec<IpNet>,
}

/// Serves until `shutdown`, then until the requests that are running have their answers.
pub async fn serve(server: HttpServer, shutdown: CancellationToken) {
    let connections = Arc::new(Semaphore::new(server.connections_max as usize));
    let door = Arc::new(Door {
        router: router(server.service.clone()),
        service: server.service,
        tls: server.tls,
        trusted_proxies: server.trusted_proxies,
        addresses: Addresses::default(),
        shutdown: shutdown.clone(),
    });
    let graceful = GracefulShutdown::new();
    let mut running = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = accept(&server.listener, &connections) => accepted,
            Some(_) = running.join_next() => continue,
            () = shutdown.cancelled() => break,
        };
        let (stream, address, permit) = accepted;
        let watcher = graceful.watcher();
        running.spawn(door.clone().connection(stream, address, permit, watcher));
    }
    drop(server.listener);
    tokio::join!(graceful.shutdown(), async {
        while running.join_next().await.is_some() {}
    });
}

async fn accept(
    listener: &TcpListener,
    connections: &Arc<Semaphore>,
) -> (TcpStream, SocketAddr, OwnedSemaphorePermit) {
    loop {
        let permit = connections.clone().acquire_owned();
        let permit = permit.await.expect("the semaphore is never closed");
        match listener.accept().await {
            Ok((stream, address)) => return (stream, address, permit),
            // It was given up while it waited.
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset
                ) => {}
            Err(error) => {
                tracing::error!(%error, "no HTTP connection can be taken");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

struct Door {
    router: Router,
    service: Arc<Service>,
    tls: Option<Arc<Tls>>,
    trusted_proxies: Vec<IpNet>,
    addresses: Addresses,
    shutdown: CancellationToken,
}

impl Door {
    async fn connection(
        self: Arc<Self>,
        stream: TcpStream,
        address: SocketAddr,
        _permit: OwnedSemaphorePermit,
        watcher: Watcher,
    ) {
        let ip = address.ip().to_canonical();
        let address = SocketAddr::new(ip, address.port());
        let many = ip.is_loopback() || self.trusted_proxies.iter().any(|it| it.contains(&ip));
        let _one = match self.addresses.enter(ip, many) {
            Some(one) => one,
            None => return self.count_cut(address, "address", "too many from one address"),
        };
        // Without it small answers wait for the acknowledgement of those before.
        let _ = stream.set_nodelay(true);
        let Some(tls) = self.tls.clone() else {
            return self.requests(stream, address, None, watcher).await;
        };
        let accepted = tokio::select! {
            accepted = tls.accept(stream) => accepted,
            () = self.shutdown.cancelled() => return,
        };
        match accepted {
            Ok((stream, gateway)) => self.requests(stream, address, gateway, watcher).await,
            Err(error) => self.count_cut(address, "tls", &error.to_string()),
        }
    }

    async fn requests<S>(
        &self,
        stream: S,
        address: SocketAddr,
        certified_gateway: Option<Arc<str>>,
        watcher: Watcher,
    ) where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let peer = Peer {
            address,
            certified_gateway,
        };
        let progress = Arc::new(Progress::default());
        let service = service_fn(|request| {
            let (peer, progress) = (peer.clone(), progress.clone());
            // At once: hyper reads on before it first polls what comes back.
            let running = progress.request_begins();
            async move { Ok::<_, Infallible>(self.answer(request, peer, progress, running).await) }
        });
        let stream = TokioIo::new(TimedStream::new(stream, progress.clone()));
        let connection = http1::Builder::new()
            // TimedStream looks after the time: hyper's own limit would also end what is only idle.
            .header_read_timeout(None)
            .max_buf_size(HEAD_BYTES_MAX)
            .max_headers(HEADERS_MAX)
            .serve_connection(stream, service);
        let ended = watcher.watch(connection).await;
        if let Some(cut) = progress.cut() {
            self.count_cut(address, cut.reason(), cut.why());
        } else if let Err(error) = ended {
            tracing::debug!(%address, %error, "HTTP connection ended");
        }
    }

    async fn answer(
        &self,
        request: Request<Incoming>,
        peer: Peer,
        progress: Arc<Progress>,
        running: Running,
    ) -> Response {
        let observed = Observed::begin(&request);
        let is_api = request.uri().path().starts_with("/api/");
        // It may have come with a Content-Length too, of which hyper tells nothing: what another reader
        // would take for the next request must not be one here (RFC 9112, 6.3).
        let is_last = request.headers().contains_key(TRANSFER_ENCODING);
        let mut request =
            request.map(|body| Body::new(TimedBody::new(Body::new(body), progress.clone())));
        request.extensions_mut().insert(peer);
        DefaultBodyLimit::max(BODY_BYTES_MAX).apply(&mut request);
        let answered = AssertUnwindSafe(self.router.clone().call(request));
        let mut response = match answered.catch_unwind().await {
            Ok(Ok(response)) => response,
            Ok(Err(never)) => match never {},
            // The panic itself is in the log, by the panic hook.
            Err(_) => ApiError::internal(&"a handler panicked").into_response(),
        };
        observed.answered(&response, self.service.metrics());
        if progress.cut() == Some(Cut::Body) {
            response = ApiError::new(
                StatusCode::REQUEST_TIMEOUT,
                "request_timeout",
                "the request's body came too slowly: send it again",
            )
            .into_response();
        }
        let headers = response.headers_mut();
        set_security_headers(headers, is_api, self.service.settings().https);
        if is_last || progress.cut().is_some() {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response.map(|body| Body::new(UntilDropped::new(body, running)))
    }

    fn count_cut(&self, address: SocketAddr, reason: &'static str, why: &str) {
        tracing::debug!(%address, reason, why, "HTTP connection cut");
        let cut = &self.service.metrics().http_connections_cut;
        cut.get_or_create(&ReasonLabel { reason }).inc();
    }
}

/// How many connections each address has.
#[derive(Default)]
struct Addresses(Arc<Mutex<HashMap<IpAddr, u32>>>);

/// A connection that counts for its address as long as this lives.
struct One {
    addresses: Arc<Mutex<HashMap<IpAddr, u32>>>,
    /// None: it does not count.
    key: Option<IpAddr>,
}

impl Addresses {
    /// None if the address has as many as it may.
    fn enter(&self, ip: IpAddr, many: bool) -> Option<One> {
        let addresses = self.0.clone();
        if many {
            return Some(One {
                addresses,
                key: None,
            });
        }
        let key = counted_as(ip);
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(key).or_default();
        if *count >= CONNECTIONS_PER_ADDRESS_MAX {
            return None;
        }
        *count += 1;
        drop(counts);
        Some(One {
            addresses,
            key: Some(key),
        })
    }
}

impl Drop for One {
    fn drop(&mut self) {
        let Some(key) = self.key else { return };
        let mut counts = self
            .addresses
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&key) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&key);
            }
        }
    }
}

/// One customer of a provider has a whole /64 of IPv6.
fn counted_as(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(_) => ip,
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() >> 64 << 64).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_so_many_connections_and_no_more_until_one_ends() {
        let addresses = Addresses::default();
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let enter = |text: &str| addresses.enter(ip(text), false);
        let held: Vec<One> = (0..CONNECTIONS_PER_ADDRESS_MAX)
            .map(|n| enter(&format!("2001:db8::{n:x}")).expect("room"))
            .collect();
        assert!(enter("2001:db8::ffff").is_none(), "the same /64");
        assert!(enter("2001:db8:0:1::1").is_some());
        assert!(enter("192.0.2.1").is_some());
        assert!(addresses.enter(ip("2001:db8::1"), true).is_some());
        drop(held);
        assert!(enter("2001:db8::ffff").is_some());
        assert!(addresses.0.lock().unwrap().is_empty(), "nothing is kept");
    }
}
