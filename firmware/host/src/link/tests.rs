use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use super::*;

const CONNACK: [u8; 5] = [0x20, 3, 0, 0, 0];
const NO_MATCHING_SUBSCRIBERS: u8 = 0x10;

/// One short packet: its first byte and the rest after the length.
async fn read_packet(stream: &mut TcpStream) -> (u8, Vec<u8>) {
    let (first, length) = (stream.read_u8().await.unwrap(), stream.read_u8().await);
    let mut rest = vec![0; length.unwrap().into()];
    stream.read_exact(&mut rest).await.unwrap();
    (first, rest)
}

/// A broker with no server behind it for the first `deaf` publishes; gives the payloads' last
/// bytes as they came, and the connection, still open.
async fn deaf_broker(listener: TcpListener, deaf: usize, publishes: usize) -> (Vec<u8>, TcpStream) {
    let (mut stream, _) = listener.accept().await.unwrap();
    read_packet(&mut stream).await;
    stream.write_all(&CONNACK).await.unwrap();
    let mut payloads = Vec::new();
    while payloads.len() < publishes {
        let (first, rest) = read_packet(&mut stream).await;
        assert_eq!(first >> 4, 3, "a publish");
        let topic_length = usize::from(rest[1]);
        let id = &rest[2 + topic_length..][..2];
        let reason = if payloads.len() < deaf {
            NO_MATCHING_SUBSCRIBERS
        } else {
            0
        };
        payloads.push(*rest.last().unwrap());
        let ack = [0x40, 4, id[0], id[1], reason, 0];
        stream.write_all(&ack).await.unwrap();
    }
    (payloads, stream)
}

#[tokio::test]
async fn what_nobody_heard_is_published_again_unless_it_needs_no_ears() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let broker = tokio::spawn(deaf_broker(listener, 3, 5));
    let options = MqttOptions::new("G", "127.0.0.1", port);
    let mut link = Link::start(options, "G", Topics::new("t"));
    assert!(matches!(link.next().await, Signal::Connected));
    for (id, ears) in [(1, Ears::Needed), (2, Ears::Optional), (3, Ears::Needed)] {
        let payload = vec![id as u8];
        link.publish(PublishId(id), TopicKind::Report, false, payload, ears);
    }
    for id in [2, 1, 3] {
        let signal = link.next().await;
        assert!(
            matches!(signal, Signal::Acked(PublishId(acked)) if acked == id),
            "{signal:?} instead of {id}"
        );
        assert_eq!(link.is_flushed(), id == 3);
    }
    assert_eq!(broker.await.unwrap().0, [1, 2, 3, 1, 3]);
}

#[test]
fn the_wait_for_ears_grows_to_ten_seconds() {
    assert!((1_000..=2_000).contains(&unheard_wait(1).as_millis()));
    assert!((5..=10).contains(&unheard_wait(u32::MAX).as_secs()));
}
