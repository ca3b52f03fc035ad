//! The bytes between `rumqttc` and the broker, through a relay in this process.
//!
//! When a broker dies, what it sent last still lies in our socket: reports that it had acknowledged
//! to gateways and that are gone with its memory. `rumqttc` gives a connection up at the first
//! *write* that fails and leaves them unread (in a test of 6,500 reports and three kills, 83 were
//! lost). The relay reads the broker to the end, whatever becomes of the writes.

use std::{io, sync::Arc, time::Duration};

use rustls::{ClientConfig, RootCertStore, pki_types::ServerName};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, copy, sink, split},
    net::{TcpListener, TcpStream},
    time::timeout,
};
use tokio_rustls::TlsConnector;

use super::BrokerUrl;

/// Wait for the broker to take a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Wait for our own client to come to the relay, and for a broker to close after we did.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// Connects to the broker; the loopback port where one client reaches it.
pub(super) async fn connect(broker: &BrokerUrl) -> io::Result<u16> {
    let stream = timeout(CONNECT_TIMEOUT, reach(broker)).await??;
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let port = listener.local_addr()?.port();
    tokio::spawn(async move {
        if let Ok(Ok((client, _))) = timeout(CLOSE_TIMEOUT, listener.accept()).await {
            drop(listener);
            relay(client, stream).await;
        }
    });
    Ok(port)
}

async fn reach(broker: &BrokerUrl) -> io::Result<Box<dyn Stream>> {
    let tcp = TcpStream::connect((broker.host.as_str(), broker.port)).await?;
    tcp.set_nodelay(true)?;
    if !broker.tls {
        return Ok(Box::new(tcp));
    }
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from(broker.host.clone()).map_err(io::Error::other)?;
    let tls = TlsConnector::from(Arc::new(config))
        .connect(name, tcp)
        .await?;
    Ok(Box::new(tls))
}

async fn relay(client: TcpStream, broker: Box<dyn Stream>) {
    let _ = client.set_nodelay(true);
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_broker, mut to_broker) = split(broker);
    let inbound = async {
        let _ = copy(&mut from_broker, &mut to_client).await;
        let _ = to_client.shutdown().await;
    };
    let outbound = async {
        if copy(&mut from_client, &mut to_broker).await.is_err() {
            // The broker takes no more; our client must not notice before it has read all.
            let _ = copy(&mut from_client, &mut sink()).await;
        }
        let _ = to_broker.shutdown().await;
    };
    tokio::pin!(inbound);
    tokio::select! {
        () = &mut inbound => {}
        () = outbound => {
            let _ = timeout(CLOSE_TIMEOUT, inbound).await;
            return;
        }
    }
    // The broker is gone. What our client still writes is for nobody; it ends when it has read all.
    let _ = timeout(CLOSE_TIMEOUT, from_client.read_to_end(&mut Vec::new())).await;
}
