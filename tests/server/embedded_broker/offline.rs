//! What the built-in broker holds of clients that are away.

use std::fs;
use std::time::Duration;

use airlift::mqtt::embedded::EmbeddedBroker;
use rumqttc::v5::mqttbytes::QoS as QoS5;
use rumqttc::v5::mqttbytes::v5::{LastWill as LastWill5, Packet as Packet5};
use rumqttc::v5::{AsyncClient as Client5, EventLoop as EventLoop5, MqttOptions as Options5};
use rumqttc::{AsyncClient, Event, EventLoop, LastWill, MqttOptions, Packet, QoS};
use tokio::time::{Instant, sleep};

use super::clients::*;

/// Of this process, which is the test's alone.
fn sockets() -> usize {
    let files = fs::read_dir("/proc/self/fd").expect("Linux");
    files
        .filter_map(|file| fs::read_link(file.ok()?.path()).ok())
        .filter(|to| to.to_string_lossy().starts_with("socket:"))
        .count()
}

async fn sockets_are(count: usize) {
    let began = Instant::now();
    while sockets() != count {
        assert!(began.elapsed() < SOON, "{} sockets, not {count}", sockets());
        sleep(Duration::from_millis(20)).await;
    }
}

/// A version 3 client whose session is kept, with a last will.
fn kept(broker: &EmbeddedBroker, id: &str) -> MqttOptions {
    let mut kept = options(broker, id);
    kept.set_clean_session(false);
    kept.set_last_will(LastWill::new(
        format!("gone/{id}"),
        "gone",
        QoS::AtLeastOnce,
        false,
    ));
    kept
}

/// The same of version 5.
fn kept5(broker: &EmbeddedBroker, id: &str) -> Options5 {
    let mut kept = options5(broker, id);
    let gone = format!("gone/{id}");
    kept.set_last_will(LastWill5::new(gone, "gone", QoS5::AtLeastOnce, false, None));
    kept
}

async fn watch_wills(broker: &EmbeddedBroker) -> EventLoop5 {
    let (watcher, mut watched) = Client5::new(options5(broker, "watcher"), 100);
    subscribe5(&watcher, &mut watched, "gone/#").await;
    // Its event loop keeps it connected.
    std::mem::forget(watcher);
    watched
}

async fn wills(watched: &mut EventLoop5) -> Vec<String> {
    let mut wills: Vec<String> = rest5(watched)
        .await
        .into_iter()
        .map(|will| String::from_utf8_lossy(&will.topic).into_owned())
        .collect();
    wills.sort();
    wills
}

async fn is_resumed(events: &mut EventLoop) -> bool {
    until(events, |packet| match packet {
        Packet::ConnAck(ack) => Some(ack.session_present),
        _ => None,
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_are_away_hold_no_socket_and_find_each_message_in_order() {
    const CLIENTS: usize = 10;
    let broker = broker(take_all()).await;
    let mut watched = watch_wills(&broker).await;
    let mut publisher = Publisher::new(&broker);
    publisher.send("nobody", "", false).await;
    let before = sockets();
    let mut links = Vec::new();
    for n in 0..CLIENTS {
        let (client, mut events) = AsyncClient::new(kept(&broker, &format!("old-{n}")), 10);
        subscribe(&client, &mut events, "t").await;
        let (client5, mut events5) = Client5::new(kept5(&broker, &format!("new-{n}")), 100);
        subscribe5(&client5, &mut events5, "t").await;
        links.push((client, events, client5, events5));
    }
    assert!(sockets() >= before + 4 * CLIENTS, "both ends are here");
    drop(links);
    let mut sent = 0;
    while sockets() > before {
        publisher.send("t", sent.to_string(), false).await;
        sent += 1;
        assert!(sent < 1000, "{} sockets, not {before}", sockets());
        sleep(Duration::from_millis(10)).await;
    }
    publisher.send("t", "last", false).await;
    assert_eq!(
        wills(&mut watched).await.len(),
        2 * CLIENTS,
        "one will each"
    );

    let expected: Vec<String> = (0..sent)
        .map(|n| n.to_string())
        .chain(["last".into()])
        .collect();
    for n in 0..CLIENTS {
        let (_client, mut events) = AsyncClient::new(kept(&broker, &format!("old-{n}")), 10);
        for expected in &expected {
            assert_eq!(message(&mut events).await.payload, *expected);
        }
        let (client5, mut events5) = Client5::new(kept5(&broker, &format!("new-{n}")), 100);
        for expected in &expected {
            let message = message5(&mut events5).await;
            assert_eq!(message.payload, *expected);
            client5.ack(&message).await.expect("queued");
        }
    }
    broker.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_said_goodbye_sends_no_will_when_its_socket_is_let_go() {
    let broker = broker(take_all()).await;
    let mut watched = watch_wills(&broker).await;
    let before = sockets();
    let (client, mut events) = AsyncClient::new(kept(&broker, "polite"), 10);
    subscribe(&client, &mut events, "t").await;
    client.disconnect().await.expect("queued");
    while !matches!(
        events.poll().await,
        Err(_) | Ok(Event::Outgoing(rumqttc::Outgoing::Disconnect))
    ) {}
    drop((client, events));
    sockets_are(before).await;
    assert_eq!(wills(&mut watched).await, Vec::<String>::new());
    let (_client, mut events) = AsyncClient::new(kept(&broker, "polite"), 10);
    assert!(is_resumed(&mut events).await);
    broker.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_whose_socket_was_let_go_still_ends_in_time() {
    let broker = broker(take_all()).await;
    let before = sockets();
    let mut short = options5(&broker, "short");
    short.set_session_expiry_interval(Some(3));
    let (client, mut events) = Client5::new(short.clone(), 100);
    subscribe5(&client, &mut events, "t").await;
    let connected_again = async || {
        let (client, mut events) = Client5::new(short.clone(), 100);
        let resumed = until5(&mut events, |packet| match packet {
            Packet5::ConnAck(ack) => Some(ack.session_present),
            _ => None,
        });
        (resumed.await, client, events)
    };
    drop((client, events));
    sockets_are(before).await;
    let (resumed, client, events) = connected_again().await;
    assert!(resumed, "after a second of three");
    drop((client, events));
    sockets_are(before).await;
    sleep(Duration::from_millis(2_500)).await;
    let (resumed, ..) = connected_again().await;
    assert!(!resumed, "after more than three seconds");
    broker.shutdown().await;
}
