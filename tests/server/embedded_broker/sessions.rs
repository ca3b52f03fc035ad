//! What the built-in broker keeps for a client that is away, and for groups of clients.

use std::collections::BTreeSet;
use std::time::Duration;

use airlift::mqtt::embedded::SEND_SECONDS_MAX;
use bytes::Bytes;
use rumqttc::v5::mqttbytes::QoS as QoS5;
use rumqttc::v5::mqttbytes::v5::{Packet as Packet5, PublishProperties};
use rumqttc::v5::{AsyncClient as Client5, Event as Event5, EventLoop as EventLoop5};
use rumqttc::{AsyncClient, QoS};
use tokio::time::{sleep, timeout};

use super::clients::*;

#[tokio::test]
async fn messages_wait_for_a_version_3_client_with_a_kept_session() {
    let broker = broker(take_all()).await;
    let mut kept = options(&broker, "kept");
    kept.set_clean_session(false);
    let (client, mut events) = AsyncClient::new(kept.clone(), 10);
    subscribe(&client, &mut events, "t").await;
    drop((client, events));
    let mut publisher = Publisher::new(&broker);
    for n in 0..200 {
        publisher.send("t", n.to_string(), false).await;
    }
    let (_client, mut events) = AsyncClient::new(kept, 10);
    for n in 0..200 {
        assert_eq!(message(&mut events).await.payload, n.to_string());
    }
    broker.shutdown().await;
}

#[tokio::test]
async fn messages_wait_for_a_version_5_client_with_a_kept_session_unless_they_expire() {
    let broker = broker(take_all()).await;
    let (client, mut events) = Client5::new(options5(&broker, "kept"), 100);
    subscribe5(&client, &mut events, "t").await;
    drop((client, events));
    let mut publisher = Publisher::new(&broker);
    publisher.send("t", "first", false).await;
    let (short_lived, mut short_events) = Client5::new(options5(&broker, "short"), 100);
    let properties = PublishProperties {
        message_expiry_interval: Some(1),
        ..PublishProperties::default()
    };
    short_lived
        .publish_with_properties("t", QoS5::AtLeastOnce, false, "expires", properties)
        .await
        .expect("queued");
    until5(&mut short_events, |packet| {
        matches!(packet, Packet5::PubAck(_)).then_some(())
    })
    .await;
    publisher.send("t", "last", false).await;
    sleep(Duration::from_millis(1_200)).await;

    let (_client, mut events) = Client5::new(options5(&broker, "kept"), 100);
    let seen: Vec<Bytes> = rest5(&mut events)
        .await
        .into_iter()
        .map(|publish| publish.payload)
        .collect();
    assert_eq!(seen, ["first", "last"]);
    broker.shutdown().await;
}

#[tokio::test]
async fn what_was_not_acknowledged_comes_again_after_a_reconnection_and_not_before() {
    let broker = broker(take_all()).await;
    let (client, mut events) = Client5::new(options5(&broker, "server"), 100);
    subscribe5(&client, &mut events, "t").await;
    let mut publisher = Publisher::new(&broker);
    for payload in ["a", "b", "c"] {
        publisher.send("t", payload, false).await;
    }
    let first = message5(&mut events).await;
    assert_eq!(first.payload, "a");
    client.ack(&first).await.expect("queued");
    assert_eq!(rest5(&mut events).await.len(), 2);
    drop((client, events));

    let (client, mut events) = Client5::new(options5(&broker, "server"), 100);
    let mut again = rest5(&mut events).await;
    again.sort_by(|a, b| a.payload.cmp(&b.payload));
    assert_eq!(
        again
            .iter()
            .map(|publish| publish.payload.clone())
            .collect::<Vec<_>>(),
        ["b", "c"]
    );
    assert!(again.iter().all(|publish| publish.dup));
    for publish in &again {
        client.ack(publish).await.expect("queued");
    }
    rest5(&mut events).await;
    drop((client, events));
    let (_client, mut events) = Client5::new(options5(&broker, "server"), 100);
    assert!(rest5(&mut events).await.is_empty());
    broker.shutdown().await;
}

#[tokio::test]
async fn a_message_whose_write_to_the_subscriber_breaks_off_comes_again() {
    const MESSAGES: usize = 16;
    let broker = broker(take_all()).await;
    let mut stalled = options(&broker, "stalled");
    stalled
        .set_clean_session(false)
        .set_max_packet_size(3 * 1024 * 1024, 3 * 1024 * 1024)
        .set_manual_acks(true);
    let (client, mut events) = AsyncClient::new(stalled.clone(), 10);
    subscribe(&client, &mut events, "t").await;
    let (publisher, mut sent) = AsyncClient::new(
        {
            let mut options = options(&broker, "publisher");
            options.set_max_packet_size(3 * 1024 * 1024, 3 * 1024 * 1024);
            options
        },
        10,
    );
    for n in 0..MESSAGES {
        let payload = vec![u8::try_from(n).expect("few"); 1024 * 1024];
        publisher
            .publish("t", QoS::AtLeastOnce, false, payload)
            .await
            .expect("queued");
        acknowledged(&mut sent).await;
    }
    // Nobody reads: the broker fills the socket, waits, and gives the connection up in the middle of a message.
    sleep(Duration::from_secs(SEND_SECONDS_MAX + 1)).await;
    drop((client, events));

    let (_client, mut events) = AsyncClient::new(stalled, 10);
    let mut seen = BTreeSet::new();
    while seen.len() < MESSAGES {
        seen.insert(message(&mut events).await.payload[0]);
    }
    broker.shutdown().await;
}

#[tokio::test]
async fn a_retained_message_meets_later_subscribers_until_it_is_cleared() {
    let broker = broker(take_all()).await;
    let mut publisher = Publisher::new(&broker);
    publisher.send("status/1", "old", true).await;
    publisher.send("status/1", "new", true).await;
    let (client, mut events) = AsyncClient::new(options(&broker, "late"), 10);
    subscribe(&client, &mut events, "status/+").await;
    let seen = message(&mut events).await;
    assert_eq!((seen.payload, seen.retain), (Bytes::from("new"), true));

    publisher.send("status/1", "", true).await;
    let (client, mut events) = Client5::new(options5(&broker, "later"), 100);
    subscribe5(&client, &mut events, "status/+").await;
    assert!(rest5(&mut events).await.is_empty());
    broker.shutdown().await;
}

#[tokio::test]
async fn a_shared_subscription_gives_each_message_to_one_member() {
    let broker = broker(take_all()).await;
    let (one, mut one_events) = Client5::new(options5(&broker, "one"), 100);
    let (two, mut two_events) = Client5::new(options5(&broker, "two"), 100);
    subscribe5(&one, &mut one_events, "$share/servers/report/+").await;
    subscribe5(&two, &mut two_events, "$share/servers/report/+").await;
    let sender = tokio::spawn({
        let mut publisher = Publisher::new(&broker);
        async move {
            for n in 0..60 {
                publisher.send("report/1", n.to_string(), false).await;
            }
        }
    });
    let read = async |client: Client5, mut events: EventLoop5| {
        let mut seen = Vec::new();
        while let Ok(Ok(event)) = timeout(QUIET * 3, events.poll()).await {
            if let Event5::Incoming(Packet5::Publish(publish)) = event {
                client.ack(&publish).await.expect("queued");
                seen.push(publish.payload);
            }
        }
        seen
    };
    let (by_one, by_two) = tokio::join!(read(one, one_events), read(two, two_events));
    sender.await.expect("all sent");
    assert!(
        by_one.len() > 10 && by_two.len() > 10,
        "{} and {}",
        by_one.len(),
        by_two.len()
    );
    let mut all: Vec<u32> = [by_one, by_two]
        .concat()
        .iter()
        .map(|p| String::from_utf8_lossy(p).parse().unwrap())
        .collect();
    all.sort_unstable();
    assert_eq!(all, (0..60).collect::<Vec<_>>());
    broker.shutdown().await;
}

#[tokio::test]
async fn a_shared_subscription_prefers_who_is_there_and_waits_for_someone_when_nobody_is() {
    let broker = broker(take_all()).await;
    let (one, mut one_events) = Client5::new(options5(&broker, "one"), 100);
    let (two, mut two_events) = Client5::new(options5(&broker, "two"), 100);
    subscribe5(&one, &mut one_events, "$share/servers/report").await;
    subscribe5(&two, &mut two_events, "$share/servers/report").await;
    drop((one, one_events));
    sleep(QUIET).await;
    let mut publisher = Publisher::new(&broker);
    for n in 0..20 {
        publisher.send("report", n.to_string(), false).await;
    }
    let seen = rest5(&mut two_events).await;
    assert_eq!(seen.len(), 20);
    for publish in &seen {
        two.ack(publish).await.expect("queued");
    }
    rest5(&mut two_events).await;
    drop((two, two_events));
    sleep(QUIET).await;

    for n in 0..20 {
        publisher.send("report", n.to_string(), false).await;
    }
    let (_one, mut one_events) = Client5::new(options5(&broker, "one"), 100);
    let (_two, mut two_events) = Client5::new(options5(&broker, "two"), 100);
    let (by_one, by_two) = tokio::join!(rest5(&mut one_events), rest5(&mut two_events));
    assert_eq!(by_one.len() + by_two.len(), 20);
    broker.shutdown().await;
}
