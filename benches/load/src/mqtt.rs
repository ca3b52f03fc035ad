//! MQTT 5 with next to no cost of its own: a socket, a buffer each way, `rumqttc`'s packets.

use std::collections::VecDeque;

use anyhow::{Result, bail, ensure};
use bytes::{Bytes, BytesMut};
use rumqttc::v5::mqttbytes::{
    Error, QoS,
    v5::{
        Connect, ConnectProperties, ConnectReturnCode, Disconnect, DisconnectReasonCode, Filter,
        Packet, PubAck, Publish, Subscribe,
    },
};
use rustix::process::{Resource, getrlimit, setrlimit};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// Messages on their way to the broker that it has not acknowledged; what clients commonly allow themselves.
const WINDOW: usize = 20;
const READ_BYTES: usize = 4 << 10;
/// Files of a process besides its connections.
const OTHER_FILES: usize = 200;

/// Raises the limit of open files as far as it goes, for this process and those that it starts.
pub fn allow_connections() -> Result<()> {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    Ok(setrlimit(Resource::Nofile, limit)?)
}

/// So many connections a process can have at once: this one, and the broker.
pub fn connections_max() -> usize {
    let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    usize::try_from(files)
        .unwrap_or(usize::MAX)
        .saturating_sub(OTHER_FILES)
}

/// A connection to a broker on this machine.
pub struct Client {
    stream: TcpStream,
    read: BytesMut,
    write: BytesMut,
    /// Messages that came while an answer was awaited.
    received: VecDeque<Publish>,
    last_id: u16,
}

/// How to connect.
#[derive(Clone, Copy, Debug, Default)]
pub struct Session {
    /// Goes on with what the broker keeps of this client.
    pub resumed: bool,
    /// How long the broker keeps the session after the connection, seconds.
    pub expiry: u32,
    /// Messages that the broker may send before the first of them is acknowledged; its own choice if `None`.
    pub receive_maximum: Option<u16>,
}

impl Client {
    pub async fn connect(port: u16, client_id: &str, session: Session) -> Result<Client> {
        let stream = TcpStream::connect(("127.0.0.1", port)).await?;
        stream.set_nodelay(true)?;
        let mut client = Client {
            stream,
            read: BytesMut::new(),
            write: BytesMut::new(),
            received: VecDeque::new(),
            last_id: 0,
        };
        let connect = Connect {
            keep_alive: 0,
            client_id: client_id.to_owned(),
            clean_start: !session.resumed,
            properties: Some(ConnectProperties {
                session_expiry_interval: Some(session.expiry),
                receive_maximum: session.receive_maximum,
                ..ConnectProperties::new()
            }),
        };
        client.put(Packet::Connect(connect, None, None))?;
        client.flush().await?;
        match client.packet().await? {
            Packet::ConnAck(ack) if ack.code == ConnectReturnCode::Success => Ok(client),
            other => bail!("{client_id} is not let in: {other:?}"),
        }
    }

    pub async fn subscribe(&mut self, filter: &str) -> Result<()> {
        let mut subscribe = Subscribe::new(Filter::new(filter, QoS::AtLeastOnce), None);
        subscribe.pkid = self.next_id();
        self.put(Packet::Subscribe(subscribe))?;
        self.flush().await?;
        loop {
            match self.packet().await? {
                Packet::SubAck(_) => return Ok(()),
                Packet::Publish(message) => self.received.push_back(message),
                other => bail!("no answer to SUBSCRIBE: {other:?}"),
            }
        }
    }

    /// Publishes at QoS 1; returns when the broker has acknowledged it all.
    pub async fn publish<P: Into<Bytes>>(
        &mut self,
        topic: &str,
        payloads: impl IntoIterator<Item = P>,
    ) -> Result<()> {
        let mut payloads = payloads.into_iter().peekable();
        let mut waiting = 0;
        while waiting > 0 || payloads.peek().is_some() {
            while let Some(payload) = payloads.next_if(|_| waiting < WINDOW) {
                let mut publish = Publish::new(topic, QoS::AtLeastOnce, payload, None);
                publish.pkid = self.next_id();
                self.put(Packet::Publish(publish))?;
                waiting += 1;
            }
            self.flush().await?;
            let mut packet = Some(self.packet().await?);
            while let Some(answer) = packet {
                match answer {
                    Packet::PubAck(_) => waiting -= 1,
                    Packet::Publish(message) => self.received.push_back(message),
                    other => bail!("no answer to PUBLISH: {other:?}"),
                }
                packet = self.buffered()?;
            }
        }
        Ok(())
    }

    /// The next messages of what is subscribed to, at least one; to be acknowledged. Waits for them.
    pub async fn messages(&mut self) -> Result<Vec<Publish>> {
        let mut messages: Vec<Publish> = self.received.drain(..).collect();
        while messages.is_empty() {
            let mut packet = Some(self.packet().await?);
            while let Some(it) = packet {
                match it {
                    Packet::Publish(message) => messages.push(message),
                    other => bail!("a packet that is no message: {other:?}"),
                }
                packet = self.buffered()?;
            }
        }
        Ok(messages)
    }

    pub async fn acknowledge(&mut self, messages: &[Publish]) -> Result<()> {
        for message in messages.iter().filter(|it| it.qos != QoS::AtMostOnce) {
            self.put(Packet::PubAck(PubAck::new(message.pkid, None)))?;
        }
        self.flush().await
    }

    pub async fn disconnect(mut self) -> Result<()> {
        let reason = DisconnectReasonCode::NormalDisconnection;
        self.put(Packet::Disconnect(Disconnect::new(reason)))?;
        self.flush().await?;
        Ok(self.stream.shutdown().await?)
    }

    fn next_id(&mut self) -> u16 {
        self.last_id = self.last_id.checked_add(1).unwrap_or(1);
        self.last_id
    }

    fn put(&mut self, packet: Packet) -> Result<()> {
        packet.write(&mut self.write, None)?;
        Ok(())
    }

    async fn flush(&mut self) -> Result<()> {
        if !self.write.is_empty() {
            self.stream.write_all(&self.write).await?;
            self.write.clear();
        }
        Ok(())
    }

    async fn packet(&mut self) -> Result<Packet> {
        loop {
            if let Some(packet) = self.buffered()? {
                return Ok(packet);
            }
            self.read.reserve(READ_BYTES);
            let read = self.stream.read_buf(&mut self.read).await?;
            ensure!(read > 0, "the broker closed the connection");
        }
    }

    /// A packet that has been read already.
    fn buffered(&mut self) -> Result<Option<Packet>> {
        match Packet::read(&mut self.read, None) {
            Ok(packet) => Ok(Some(packet)),
            Err(Error::InsufficientBytes(_)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}
