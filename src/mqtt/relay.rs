//! The bytes between `rumqttc` and the broker, through a relay in this process.
//!
//! When a broker dies, what it sent last still lies in our socket: reports that it had acknowledged
//! to gateways and that are gone with its memory. `rumqttc` gives a connection up at the first
//! *write* that fails and leaves them unread (in a test of 6,500 reports and three kills, 83 were
//! lost). The relay reads the broker to the end, whatever becomes of the writes.
//!
//! Acknowledgements go into it past `rumqttc`, which writes each by itself: here all that wait are one write,
//! between two packets of the client.

use std::{io, sync::Arc, time::Duration};

use bytes::{BufMut, BytesMut};
use rustls::{ClientConfig, RootCertStore, pki_types::ServerName};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, copy, sink, split},
    net::{TcpListener, TcpStream, tcp::OwnedReadHalf},
    sync::mpsc,
    time::timeout,
};
use tokio_rustls::TlsConnector;

use super::BrokerUrl;

/// Wait for the broker to take a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Wait for our own client to come to the relay, and for a broker to close after we did.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);
/// Acknowledgements written at once.
const ACKS_MAX: usize = 4096;
/// First byte and length of a PUBACK that says success (MQTT 5, 3.4.2.1).
const PUBACK: [u8; 2] = [0x40, 2];

/// Packet ids of messages that are to be acknowledged to the broker. As many as it lets be on their way: it needs no
/// limit of its own.
pub(super) type Acks = mpsc::UnboundedSender<u16>;

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// Connects to the broker; the loopback port where one client reaches it, and where its
/// acknowledgements go.
pub(super) async fn connect(broker: &BrokerUrl) -> io::Result<(u16, Acks)> {
    let stream = timeout(CONNECT_TIMEOUT, reach(broker)).await??;
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let port = listener.local_addr()?.port();
    let (acks, acknowledged) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        if let Ok(Ok((client, _))) = timeout(CLOSE_TIMEOUT, listener.accept()).await {
            drop(listener);
            relay(client, stream, acknowledged).await;
        }
    });
    Ok((port, acks))
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

async fn relay(client: TcpStream, broker: Box<dyn Stream>, acks: mpsc::UnboundedReceiver<u16>) {
    let _ = client.set_nodelay(true);
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_broker, mut to_broker) = split(broker);
    let inbound = async {
        let _ = copy(&mut from_broker, &mut to_client).await;
        let _ = to_client.shutdown().await;
    };
    let outbound = async {
        if outward(&mut from_client, &mut to_broker, acks)
            .await
            .is_err()
        {
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

/// Passes on the client's packets, each whole, and acknowledgements in between. Those that are there before a packet
/// go before it. Ends when the client does; an error is the broker's.
async fn outward(
    from_client: &mut OwnedReadHalf,
    to_broker: &mut (impl AsyncWrite + Unpin),
    mut acks: mpsc::UnboundedReceiver<u16>,
) -> io::Result<()> {
    let (mut read, mut written) = (BytesMut::new(), BytesMut::new());
    let mut ids = Vec::new();
    loop {
        tokio::select! {
            biased;
            count = acks.recv_many(&mut ids, ACKS_MAX), if !acks.is_closed() || !acks.is_empty() => {
                if count == 0 {
                    continue;
                }
            }
            count = from_client.read_buf(&mut read) => {
                if !matches!(count, Ok(1..)) {
                    return Ok(());
                }
            }
        }
        // What came while the client was read.
        while let Ok(id) = acks.try_recv() {
            ids.push(id);
        }
        for id in ids.drain(..) {
            written.put_slice(&PUBACK);
            written.put_u16(id);
        }
        while let Some(length) = packet_length(&read) {
            written.put(read.split_to(length));
        }
        to_broker.write_all(&written).await?;
        to_broker.flush().await?;
        written.clear();
    }
}

/// Bytes of the first packet, if it is there as a whole (MQTT 5, 2.1.4).
fn packet_length(bytes: &[u8]) -> Option<usize> {
    let mut length = 0;
    for (place, byte) in bytes.iter().skip(1).take(4).enumerate() {
        length |= usize::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            let whole = 2 + place + length;
            return (bytes.len() >= whole).then_some(whole);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_is_whole_when_its_length_is_there() {
        for (length, head) in [
            (0, vec![0xc0, 0]),
            (127, vec![0x30, 127]),
            (128, vec![0x30, 0x80, 1]),
            (16_383, vec![0x30, 0xff, 0x7f]),
            (16_384, vec![0x30, 0x80, 0x80, 1]),
        ] {
            let mut bytes = head.clone();
            bytes.resize(head.len() + length, 7);
            assert_eq!(packet_length(&bytes), Some(bytes.len()));
            assert_eq!(packet_length(&bytes[..bytes.len() - 1]), None, "{length}");
            bytes.push(0x40);
            assert_eq!(packet_length(&bytes), Some(bytes.len() - 1));
        }
        assert_eq!(packet_length(&[]), None);
    }

    #[tokio::test]
    async fn acknowledgements_go_between_packets_and_never_into_one() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let mut client = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        let (mut from_client, _to_client) = listener.accept().await.unwrap().0.into_split();
        let (mut broker, mut to_broker) = tokio::io::duplex(1024);
        let (acks, acknowledged) = mpsc::unbounded_channel();
        let relayed =
            tokio::spawn(
                async move { outward(&mut from_client, &mut to_broker, acknowledged).await },
            );
        let mut take = async |length| {
            let mut bytes = vec![0; length];
            broker.read_exact(&mut bytes).await.unwrap();
            bytes
        };
        client.write_all(&[0xc0, 0, 0x30, 3, 1]).await.unwrap();
        assert_eq!(take(2).await, [0xc0, 0]);
        acks.send(0x0102).unwrap();
        acks.send(3).unwrap();
        assert_eq!(take(8).await, [0x40, 2, 1, 2, 0x40, 2, 0, 3]);
        client.write_all(&[2, 3]).await.unwrap();
        assert_eq!(take(5).await, [0x30, 3, 1, 2, 3]);
        drop(client);
        relayed.await.unwrap().unwrap();
    }
}
