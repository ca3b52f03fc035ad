//! The built-in broker, seen by real MQTT clients of both versions: its life, the durability gate,
//! last wills and limits.

use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use airlift::mqtt::embedded::{EmbeddedBroker, EmbeddedBrokerError, OnPublish};
use bytes::Bytes;
use rumqttc::v5::mqttbytes::QoS as QoS5;
use rumqttc::v5::mqttbytes::v5::{LastWill as LastWill5, Packet as Packet5};
use rumqttc::v5::{AsyncClient as Client5, Event as Event5, MqttOptions as Options5};
use rumqttc::{AsyncClient, Event, LastWill, Packet, QoS};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use self::clients::*;

pub mod access;
mod clients;
mod offline;
mod sessions;

#[tokio::test]
async fn a_taken_port_is_an_error_that_names_the_address() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let listen = taken.local_addr().expect("bound");
    let error = EmbeddedBroker::start(open_to_all(listen, take_all()))
        .await
        .err()
        .expect("the port is taken");
    assert!(matches!(error, EmbeddedBrokerError::Listen { addr, .. } if addr == listen));
    assert!(error.to_string().contains(&listen.to_string()), "{error}");
}

#[tokio::test]
async fn shutdown_frees_the_port_at_once_although_clients_are_connected() {
    let broker = broker(take_all()).await;
    let (online, mut online_events) = AsyncClient::new(options(&broker, "online"), 10);
    subscribe(&online, &mut online_events, "#").await;
    let (offline, mut offline_events) = Client5::new(options5(&broker, "offline"), 100);
    subscribe5(&offline, &mut offline_events, "#").await;
    drop(offline_events);
    let listen = broker.local_addr();

    let begun = Instant::now();
    broker.shutdown().await;
    assert!(
        begun.elapsed() < Duration::from_secs(2),
        "took {:?}",
        begun.elapsed()
    );
    assert!(TcpStream::connect(listen).await.is_err());
    assert!(
        timeout(SOON, async { while online_events.poll().await.is_ok() {} })
            .await
            .is_ok(),
        "client is closed"
    );

    let again = EmbeddedBroker::start(open_to_all(listen, take_all())).await;
    again.expect("the port is free").shutdown().await;
}

#[tokio::test]
async fn a_message_goes_from_a_version_5_client_to_a_version_3_client_and_back() {
    let broker = broker(take_all()).await;
    let (old, mut old_events) = AsyncClient::new(options(&broker, "old"), 10);
    let (new, mut new_events) = Client5::new(options5(&broker, "new"), 100);
    subscribe(&old, &mut old_events, "to/old").await;
    subscribe5(&new, &mut new_events, "to/new").await;

    new.publish("to/old", QoS5::AtLeastOnce, false, "a")
        .await
        .expect("queued");
    until5(&mut new_events, |packet| {
        matches!(packet, Packet5::PubAck(_)).then_some(())
    })
    .await;
    assert_eq!(message(&mut old_events).await.payload, "a");
    old.publish("to/new", QoS::AtLeastOnce, false, "b")
        .await
        .expect("queued");
    acknowledged(&mut old_events).await;
    assert_eq!(message5(&mut new_events).await.payload, "b");
    broker.shutdown().await;
}

#[tokio::test]
async fn the_acknowledgement_and_the_forwarding_wait_for_the_store() {
    let open = Arc::new(Semaphore::new(0));
    let gate: OnPublish = {
        let open = Arc::clone(&open);
        Arc::new(move |_, _| {
            let open = Arc::clone(&open);
            Box::pin(async move { open.acquire().await.map(|permit| permit.forget()).is_ok() })
        })
    };
    let broker = broker(gate).await;
    let (subscriber, mut received) = AsyncClient::new(options(&broker, "subscriber"), 10);
    subscribe(&subscriber, &mut received, "t").await;
    let (publisher, mut sent) = AsyncClient::new(options(&broker, "publisher"), 10);
    publisher
        .publish("t", QoS::AtLeastOnce, false, "x")
        .await
        .expect("queued");
    let acked = tokio::spawn(async move { acknowledged(&mut sent).await });
    let forwarded = tokio::spawn(async move { message(&mut received).await });

    sleep(QUIET).await;
    assert!(!acked.is_finished(), "acknowledged before it was stored");
    assert!(!forwarded.is_finished(), "forwarded before it was stored");
    open.add_permits(1);
    acked.await.expect("acknowledged");
    assert_eq!(forwarded.await.expect("forwarded").payload, "x");
    drop((publisher, subscriber));
    broker.shutdown().await;
}

#[tokio::test]
async fn a_message_that_was_not_stored_is_not_acknowledged_and_comes_again() {
    let refusals = Arc::new(AtomicUsize::new(2));
    let tries = Arc::new(AtomicUsize::new(0));
    let gate: OnPublish = {
        let (refusals, tries) = (Arc::clone(&refusals), Arc::clone(&tries));
        Arc::new(move |_, _| {
            tries.fetch_add(1, Ordering::SeqCst);
            let refuse = refusals
                .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1))
                .is_ok();
            Box::pin(async move { !refuse })
        })
    };
    let broker = broker(gate).await;
    // rumqttc sends again what was not acknowledged when it reconnects, as a gateway does.
    let mut options = options(&broker, "gateway");
    options.set_clean_session(false);
    let (client, mut events) = AsyncClient::new(options, 10);
    client
        .publish("t", QoS::AtLeastOnce, false, "x")
        .await
        .expect("queued");

    let mut cuts = 0;
    let acked = async {
        loop {
            match events.poll().await {
                Ok(Event::Incoming(Packet::PubAck(_))) => return,
                Ok(_) => {}
                Err(_) => cuts += 1,
            }
        }
    };
    timeout(SOON, acked).await.expect("acknowledged in the end");
    assert_eq!((cuts, tries.load(Ordering::SeqCst)), (2, 3));
    broker.shutdown().await;
}

#[tokio::test]
async fn a_version_5_client_is_disconnected_rather_than_told_that_its_message_failed() {
    let broker = broker(Arc::new(|_, _| Box::pin(async { false }))).await;
    let (client, mut events) = Client5::new(options5(&broker, "gateway"), 100);
    client
        .publish("t", QoS5::AtLeastOnce, false, "x")
        .await
        .expect("queued");
    let cut = async {
        loop {
            match events.poll().await {
                Ok(Event5::Incoming(Packet5::PubAck(ack))) => panic!("{ack:?}"),
                Ok(_) => {}
                Err(_) => return,
            }
        }
    };
    timeout(SOON, cut).await.expect("disconnected");
    broker.shutdown().await;
}

#[tokio::test]
async fn a_store_that_hangs_closes_the_connection_in_the_end_and_harms_nobody_else() {
    let gate: OnPublish = Arc::new(|topic, _| {
        Box::pin(async move {
            if topic == "stuck" {
                std::future::pending().await
            } else {
                true
            }
        })
    });
    let broker = broker(gate).await;
    let (stuck, mut stuck_events) = AsyncClient::new(options(&broker, "stuck"), 10);
    stuck
        .publish("stuck", QoS::AtLeastOnce, false, "x")
        .await
        .expect("queued");
    let cut = tokio::spawn(async move {
        loop {
            match stuck_events.poll().await {
                Ok(Event::Incoming(Packet::PubAck(_))) => panic!("acknowledged"),
                Ok(_) => {}
                Err(_) => return,
            }
        }
    });
    let begun = Instant::now();
    Publisher::new(&broker).send("free", "y", false).await;
    assert!(
        begun.elapsed() < Duration::from_secs(1),
        "another client waited {:?}",
        begun.elapsed()
    );
    timeout(SOON, cut)
        .await
        .expect("cut")
        .expect("not acknowledged");
    broker.shutdown().await;
}

#[tokio::test]
async fn the_last_will_is_stored_published_and_retained_when_a_client_dies() {
    let stored = Arc::new(AtomicBool::new(false));
    let gate: OnPublish = {
        let stored = Arc::clone(&stored);
        Arc::new(move |topic, payload| {
            stored.fetch_or(
                topic == "status/1" && payload == "offline",
                Ordering::SeqCst,
            );
            Box::pin(async { true })
        })
    };
    let broker = broker(gate).await;
    let (watcher, mut watched) = AsyncClient::new(options(&broker, "watcher"), 10);
    subscribe(&watcher, &mut watched, "status/1").await;
    let mut mortal = options(&broker, "mortal");
    mortal.set_last_will(LastWill::new("status/1", "offline", QoS::AtLeastOnce, true));
    let (client, mut events) = AsyncClient::new(mortal, 10);
    until(&mut events, |packet| {
        matches!(packet, Packet::ConnAck(_)).then_some(())
    })
    .await;
    drop((client, events));

    assert_eq!(message(&mut watched).await.payload, "offline");
    assert!(
        stored.load(Ordering::SeqCst),
        "the will went around the store"
    );
    let (late, mut events) = AsyncClient::new(options(&broker, "late"), 10);
    subscribe(&late, &mut events, "status/1").await;
    assert_eq!(message(&mut events).await.payload, "offline");
    broker.shutdown().await;
}

#[tokio::test]
async fn a_client_that_connects_anew_is_not_declared_dead_by_its_old_session() {
    let gate: OnPublish = Arc::new(|_, payload| {
        Box::pin(async move {
            if payload == "offline" {
                sleep(Duration::from_millis(200)).await;
            }
            true
        })
    });
    let broker = broker(gate).await;
    let (watcher, mut watched) = Client5::new(options5(&broker, "watcher"), 100);
    subscribe5(&watcher, &mut watched, "status/1").await;
    let mut gateway = options(&broker, "gateway");
    gateway.set_last_will(LastWill::new("status/1", "offline", QoS::AtLeastOnce, true));
    // The first connection stays open and silent, like one whose cable was pulled.
    let (_first, mut first_events) = AsyncClient::new(gateway.clone(), 10);
    until(&mut first_events, |packet| {
        matches!(packet, Packet::ConnAck(_)).then_some(())
    })
    .await;
    let (second, mut second_events) = AsyncClient::new(gateway, 10);
    second
        .publish("status/1", QoS::AtLeastOnce, true, "online")
        .await
        .expect("queued");
    acknowledged(&mut second_events).await;

    let seen: Vec<Bytes> = rest5(&mut watched)
        .await
        .into_iter()
        .map(|publish| publish.payload)
        .collect();
    assert_eq!(seen, ["online"]);
    broker.shutdown().await;
}

#[tokio::test]
async fn a_mebibyte_passes_and_a_larger_packet_closes_only_its_sender() {
    let broker = broker(take_all()).await;
    let large = |id: &str| {
        let mut options = options(&broker, id);
        options.set_max_packet_size(3 * 1024 * 1024, 3 * 1024 * 1024);
        AsyncClient::new(options, 10)
    };
    let (subscriber, mut received) = large("subscriber");
    subscribe(&subscriber, &mut received, "t").await;
    let (client, mut events) = large("sender");
    client
        .publish("t", QoS::AtLeastOnce, false, vec![7; 1024 * 1024])
        .await
        .expect("queued");
    acknowledged(&mut events).await;
    assert_eq!(message(&mut received).await.payload.len(), 1024 * 1024);

    client
        .publish("t", QoS::AtLeastOnce, false, vec![7; 2 * 1024 * 1024])
        .await
        .expect("queued");
    let cut = async { while events.poll().await.is_ok() {} };
    timeout(SOON, cut).await.expect("closed");
    Publisher::new(&broker)
        .send("t", "still there", false)
        .await;
    assert_eq!(message(&mut received).await.payload, "still there");
    broker.shutdown().await;
}

#[tokio::test]
async fn a_topic_of_very_many_levels_closes_its_sender_and_not_the_server() {
    let broker = broker(take_all()).await;
    let deep = "/".repeat(60_000);
    for qos in [QoS::AtMostOnce, QoS::AtLeastOnce] {
        let (client, mut events) = AsyncClient::new(options(&broker, "deep"), 10);
        events.mqtt_options.set_max_packet_size(100_000, 100_000);
        client
            .publish(deep.as_str(), qos, true, "x")
            .await
            .expect("queued");
        timeout(SOON, async { while events.poll().await.is_ok() {} })
            .await
            .expect("closed");
    }
    let mut dying = Options5::new("dying", "127.0.0.1", broker.local_addr().port());
    dying.set_last_will(LastWill5::new(deep, "x", QoS5::AtLeastOnce, true, None));
    let (_client, mut events) = Client5::new(dying, 100);
    timeout(SOON, async { while events.poll().await.is_ok() {} })
        .await
        .expect("refused");
    Publisher::new(&broker)
        .send("t", "still there", false)
        .await;
    broker.shutdown().await;
}

#[tokio::test]
async fn noise_on_the_port_harms_nobody() {
    let broker = broker(take_all()).await;
    let _silent = TcpStream::connect(broker.local_addr())
        .await
        .expect("connected");
    let mut noisy = TcpStream::connect(broker.local_addr())
        .await
        .expect("connected");
    noisy
        .write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        .await
        .expect("sent");
    let mut answer = Vec::new();
    timeout(SOON, noisy.read_to_end(&mut answer))
        .await
        .expect("closed")
        .ok();
    Publisher::new(&broker).send("t", "x", false).await;
    broker.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_clients_get_five_hundred_messages_acknowledged_promptly() {
    let taken = Arc::new(AtomicUsize::new(0));
    let gate: OnPublish = {
        let taken = Arc::clone(&taken);
        Arc::new(move |_, _| {
            taken.fetch_add(1, Ordering::SeqCst);
            Box::pin(async { true })
        })
    };
    let broker = broker(gate).await;
    let begun = Instant::now();
    let clients: Vec<_> = (0..50)
        .map(|id| {
            let (client, mut events) =
                AsyncClient::new(options(&broker, &format!("client-{id}")), 20);
            tokio::spawn(async move {
                for n in 0..10 {
                    client
                        .publish("t", QoS::AtLeastOnce, false, vec![n; 300])
                        .await
                        .expect("queued");
                }
                for _ in 0..10 {
                    acknowledged(&mut events).await;
                }
            })
        })
        .collect();
    for client in clients {
        client.await.expect("all acknowledged");
    }
    println!("500 messages of 50 clients: {:?}", begun.elapsed());
    assert_eq!(taken.load(Ordering::SeqCst), 500);
    assert!(
        begun.elapsed() < Duration::from_secs(5),
        "took {:?}",
        begun.elapsed()
    );
    broker.shutdown().await;
}
