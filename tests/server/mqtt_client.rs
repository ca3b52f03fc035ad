//! An MQTT client of both versions that shows every code it is answered, and sends what no client
//! library would.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{sleep, timeout},
};

use crate::app::SOON;

/// Long enough to believe that nothing comes.
const QUIET: Duration = Duration::from_millis(300);
/// Tries to connect.
const CONNECTS_MAX: usize = 50;

pub struct MqttClient {
    stream: TcpStream,
    is_v5: bool,
    packet_id: u16,
    /// Topic and payload of what came while something else was waited for.
    messages: Vec<(String, Vec<u8>)>,
}

/// What a client says at CONNECT.
#[derive(Clone, Copy, Default)]
pub struct Hello<'h> {
    pub is_v5: bool,
    pub id: &'h str,
    pub user: Option<&'h str>,
    pub password: Option<&'h str>,
    pub will: Option<&'h str>,
    /// Its session is kept when it goes.
    pub keeps: bool,
}

fn text(bytes: &[u8]) -> Vec<u8> {
    let length = u16::try_from(bytes.len()).unwrap();
    [&length.to_be_bytes()[..], bytes].concat()
}

/// A packet with its length as the standard has it.
pub fn packet(first: u8, body: &[u8]) -> Vec<u8> {
    let mut packet = vec![first];
    let mut left = body.len();
    loop {
        let more = left >= 128;
        packet.push((left % 128) as u8 | if more { 128 } else { 0 });
        left /= 128;
        if !more {
            break;
        }
    }
    packet.extend(body);
    packet
}

impl Hello<'_> {
    pub fn packet(&self) -> Vec<u8> {
        let flag = |is: bool, bits: u8| if is { bits } else { 0 };
        let flags = flag(!self.keeps, 2)
            | flag(self.will.is_some(), 4 | 8 | 32)
            | flag(self.password.is_some(), 64)
            | flag(self.user.is_some(), 128);
        let mut body = text(b"MQTT");
        body.extend([if self.is_v5 { 5 } else { 4 }, flags, 0, 60]);
        if self.is_v5 {
            match self.keeps {
                true => body.extend([5, 17, 0, 0, 2, 0]),
                false => body.push(0),
            }
        }
        body.extend(text(self.id.as_bytes()));
        if let Some(topic) = self.will {
            if self.is_v5 {
                body.push(0);
            }
            body.extend(text(topic.as_bytes()));
            body.extend(text(b"will"));
        }
        for part in [self.user, self.password].into_iter().flatten() {
            body.extend(text(part.as_bytes()));
        }
        packet(0x10, &body)
    }
}

impl MqttClient {
    /// The client, and the code of the CONNACK; None if the connection was closed without one.
    pub async fn connect(port: u16, hello: Hello<'_>) -> (MqttClient, Option<u8>) {
        let stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        let mut client = MqttClient {
            stream,
            is_v5: hello.is_v5,
            packet_id: 0,
            messages: Vec::new(),
        };
        client.stream.write_all(&hello.packet()).await.unwrap();
        let answer = client.read().await;
        let code = answer.map(|(first, body)| {
            assert_eq!(first, 0x20, "a CONNACK");
            body[1]
        });
        (client, code)
    }

    /// One that is let in; told to try again, because its last connection is still being cleared
    /// away, it does.
    pub async fn connected(port: u16, hello: Hello<'_>) -> MqttClient {
        let again = if hello.is_v5 { 0x88 } else { 3 };
        for _ in 0..CONNECTS_MAX {
            let (client, code) = MqttClient::connect(port, hello).await;
            if code != Some(again) {
                assert_eq!(code, Some(0), "{} as {:?}", hello.id, hello.user);
                return client;
            }
            sleep(QUIET).await;
        }
        panic!("{} is told to try again for ever", hello.id);
    }

    /// The next packet; None at the end.
    async fn read(&mut self) -> Option<(u8, Vec<u8>)> {
        let read = async {
            let first = self.stream.read_u8().await.ok()?;
            let (mut length, mut shift) = (0, 0);
            loop {
                let byte = self.stream.read_u8().await.ok()?;
                length |= usize::from(byte & 127) << shift;
                shift += 7;
                if byte & 128 == 0 {
                    break;
                }
            }
            let mut body = vec![0; length];
            self.stream.read_exact(&mut body).await.ok()?;
            Some((first, body))
        };
        timeout(SOON, read).await.expect("a packet or the end")
    }

    /// The next packet of a kind; messages that come before it are kept.
    async fn answer(&mut self, kind: u8) -> Option<Vec<u8>> {
        loop {
            let (first, body) = self.read().await?;
            match first >> 4 {
                it if it == kind => return Some(body),
                3 => self.keep(first, &body).await,
                // A DISCONNECT of the broker's.
                14 => return None,
                _ => {}
            }
        }
    }

    async fn keep(&mut self, first: u8, body: &[u8]) {
        let topic_end = 2 + usize::from(u16::from_be_bytes([body[0], body[1]]));
        let topic = String::from_utf8_lossy(&body[2..topic_end]).into_owned();
        let mut rest = &body[topic_end..];
        if first & 6 != 0 {
            self.write(&packet(0x40, &rest[..2])).await;
            rest = &rest[2..];
        }
        if self.is_v5 {
            rest = &rest[1 + usize::from(rest[0])..];
        }
        self.messages.push((topic, rest.to_vec()));
    }

    pub async fn write(&mut self, bytes: &[u8]) {
        // It may have been closed; what is read next shows it.
        let _ = self.stream.write_all(bytes).await;
    }

    fn next_id(&mut self) -> [u8; 2] {
        self.packet_id += 1;
        self.packet_id.to_be_bytes()
    }

    /// The code of the SUBACK; None if the connection was closed.
    pub async fn subscribe(&mut self, filter: &str) -> Option<u8> {
        let mut body = self.next_id().to_vec();
        if self.is_v5 {
            body.push(0);
        }
        body.extend(text(filter.as_bytes()));
        body.push(1);
        self.write(&packet(0x82, &body)).await;
        self.answer(9).await.and_then(|body| body.last().copied())
    }

    /// The code of PUBACK or PUBREC, 0 of MQTT 3.1.1 and QoS 0; None if the connection was closed.
    pub async fn publish(&mut self, topic: &str, qos: u8, retain: bool) -> Option<u8> {
        self.publish_bytes(topic, qos, retain, b"payload").await
    }

    pub async fn publish_bytes(
        &mut self,
        topic: &str,
        qos: u8,
        retain: bool,
        payload: &[u8],
    ) -> Option<u8> {
        let mut body = text(topic.as_bytes());
        let id = self.next_id();
        if qos > 0 {
            body.extend(id);
        }
        if self.is_v5 {
            body.push(0);
        }
        body.extend(payload);
        let first = 0x30 | qos << 1 | u8::from(retain);
        self.write(&packet(first, &body)).await;
        match qos {
            0 => self.ping().await.then_some(0),
            1 => self.answer(4).await.map(|body| *body.get(2).unwrap_or(&0)),
            _ => {
                let code = *self.answer(5).await?.get(2).unwrap_or(&0);
                if code < 128 {
                    self.write(&packet(0x62, &id)).await;
                    self.answer(7).await?;
                }
                Some(code)
            }
        }
    }

    /// Whether the broker still answers.
    pub async fn ping(&mut self) -> bool {
        self.write(&[0xc0, 0]).await;
        self.answer(13).await.is_some()
    }

    /// Waits for the end of the connection.
    pub async fn ended(&mut self) {
        while self.answer(15).await.is_some() {}
    }

    pub async fn close(&mut self) {
        let _ = self.stream.shutdown().await;
    }

    /// The topics of the messages that came by now.
    pub async fn topics(&mut self) -> Vec<String> {
        while let Ok(Some((first, body))) = timeout(QUIET, self.read()).await {
            if first >> 4 == 3 {
                self.keep(first, &body).await;
            }
        }
        let messages = std::mem::take(&mut self.messages);
        messages.into_iter().map(|(topic, _)| topic).collect()
    }
}
