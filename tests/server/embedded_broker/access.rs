//! Who may connect to the built-in broker, and two gateways against each other.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use airlift::{
    domain::Clock,
    mqtt::embedded::{Admission, EmbeddedBroker, EmbeddedBrokerOptions, OnConnect, Refusal},
    store::Db,
};
use sha2::{Digest, Sha256};
use tokio::time::sleep;

use super::clients::{open_to_all, take_all};
use crate::{
    app::{SOON, TestApp, eventually},
    mqtt_client::{Hello, MqttClient},
};

const ONE: &str = "alg_of_gateway_one";
const TWO: &str = "alg_of_gateway_two";
const CI: &str = "alt_of_a_machine";
const VERSIONS: [bool; 2] = [false, true];

pub async fn execute(app: &TestApp, sql: &str) {
    let db = app.db().await;
    match &db {
        Db::Postgres(pool) => sqlx::raw_sql(sqlx::AssertSqlSafe(sql))
            .execute(pool)
            .await
            .map(drop),
        Db::Sqlite { writer, .. } => sqlx::raw_sql(sqlx::AssertSqlSafe(sql))
            .execute(writer)
            .await
            .map(drop),
    }
    .unwrap();
    db.close().await;
}

fn hash(token: &str) -> String {
    hex::encode(Sha256::digest(token))
}

/// A UUID as both databases read it.
fn id(app_is_postgres: bool) -> String {
    let id = Clock::default().new_id();
    match app_is_postgres {
        true => format!("'{id}'"),
        false => format!("x'{}'", id.simple()),
    }
}

const NOW: &str = "'2026-01-01T00:00:00+00:00'";

/// A server with tokens for the gateways G1 and G2 and for one machine.
pub async fn closed() -> TestApp {
    let app = TestApp::start().await;
    add_credentials(&app).await;
    app
}

pub async fn add_credentials(app: &TestApp) {
    let db = app.db().await;
    let is_postgres = matches!(db, Db::Postgres(_));
    db.close().await;
    let mut sql = format!("INSERT INTO access (closed_at) VALUES ({NOW});");
    for (gateway, token) in [("G1", ONE), ("G2", TWO)] {
        sql += &format!(
            "INSERT INTO gateway_tokens (token_id, gateway_id, hash, mosquitto_hash, created_by,
                 created_at) VALUES ({}, '{gateway}', '{}', '', 'test', {NOW});",
            id(is_postgres),
            hash(token)
        );
    }
    sql += &format!(
        "INSERT INTO tokens (token_id, name, role, hash, created_by, created_at)
         VALUES ({}, 'ci', 'admin', '{}', 'test', {NOW});",
        id(is_postgres),
        hash(CI)
    );
    execute(app, &sql).await;
    app.service().forget_credentials().await.unwrap();
}

fn gateway_one(is_v5: bool) -> Hello<'static> {
    Hello {
        is_v5,
        id: "G1",
        user: Some("G1"),
        password: Some(ONE),
        ..Hello::default()
    }
}

fn gateway_two(is_v5: bool) -> Hello<'static> {
    Hello {
        id: "G2",
        user: Some("G2"),
        password: Some(TWO),
        ..gateway_one(is_v5)
    }
}

fn machine(is_v5: bool) -> Hello<'static> {
    Hello {
        id: "reader",
        user: Some("ci"),
        password: Some(CI),
        ..gateway_one(is_v5)
    }
}

fn not_authorized(is_v5: bool) -> Option<u8> {
    Some(if is_v5 { 0x87 } else { 5 })
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_comes_in_without_a_credential_of_their_own() {
    let app = closed().await;
    for is_v5 in VERSIONS {
        let one = gateway_one(is_v5);
        let refused = [
            Hello {
                user: None,
                password: None,
                ..one
            },
            Hello {
                password: None,
                ..one
            },
            Hello {
                password: Some("wrong"),
                ..one
            },
            Hello {
                password: Some(""),
                ..one
            },
            Hello {
                user: Some("G2"),
                ..one
            },
            Hello {
                user: Some("g1"),
                ..one
            },
            Hello {
                user: Some("$airlift"),
                ..one
            },
            Hello {
                user: Some("$airlift"),
                password: Some(""),
                ..one
            },
            Hello {
                will: Some("hanqi/gateway/G2/status"),
                ..one
            },
            Hello {
                will: Some("hanqi/gateway/G1"),
                ..one
            },
            Hello {
                will: Some("hanqi/alerts"),
                ..one
            },
            Hello {
                will: Some("hanqi/gateway/G1/status"),
                ..machine(is_v5)
            },
        ];
        let tries = refused.map(|hello| MqttClient::connect(app.mqtt_port, hello));
        for (n, (_, code)) in futures_util::future::join_all(tries)
            .await
            .into_iter()
            .enumerate()
        {
            assert_eq!(code, not_authorized(is_v5), "{n}");
        }
        let will = Some("hanqi/gateway/G1/status");
        for hello in [
            one,
            Hello { will, ..one },
            gateway_two(is_v5),
            machine(is_v5),
        ] {
            MqttClient::connected(app.mqtt_port, hello).await;
        }
    }
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_gateways_neither_hears_or_says_what_is_the_others() {
    let app = closed().await;
    for is_v5 in VERSIONS {
        let mut one = MqttClient::connected(app.mqtt_port, gateway_one(is_v5)).await;
        let mut two = MqttClient::connected(app.mqtt_port, gateway_two(is_v5)).await;
        let mut ci = MqttClient::connected(app.mqtt_port, machine(is_v5)).await;
        assert_eq!(one.subscribe("hanqi/gateway/G1/#").await, Some(1));
        assert_eq!(ci.subscribe("#").await, Some(1));
        let refused = if is_v5 { 0x87 } else { 0x80 };
        for filter in [
            "#",
            "+/#",
            "+/+/+/+",
            "hanqi/#",
            "hanqi/gateway/#",
            "hanqi/gateway/+/command",
            "hanqi/gateway/G1/#",
            "hanqi/gateway/G1/command",
            "hanqi/+/G2/command",
            "hanqi/gateway/G2",
            "$share/g/hanqi/gateway/G1/command",
            "$share/g/#",
            "$share/airlift/hanqi/gateway/+/report",
            "$share/airlift/hanqi/gateway/G2/report",
            "$SYS/#",
            "hanqi/alerts",
            "/jxct/ota/available",
        ] {
            assert_eq!(two.subscribe(filter).await, Some(refused), "{filter}");
        }
        for filter in ["$share/airlift/hanqi/gateway/+/report", "$SYS/#"] {
            assert_eq!(ci.subscribe(filter).await, Some(refused), "{filter}");
        }
        for topic in [
            "hanqi/gateway/G1/command",
            "hanqi/gateway/G1/report",
            "hanqi/gateway/G1/status",
            "hanqi/gateway/G2",
            "hanqi/alerts",
            "/jxct/ota/available",
            "anything",
        ] {
            for (qos, retain) in [(0, false), (1, false), (2, false), (1, true)] {
                // MQTT 5 says so; of MQTT 3.1.1 it is acknowledged and dropped.
                let told = if is_v5 && qos > 0 { 0x87 } else { 0 };
                assert_eq!(two.publish(topic, qos, retain).await, Some(told), "{topic}");
                assert_eq!(ci.publish(topic, qos, retain).await, Some(told), "{topic}");
            }
        }
        assert_eq!(one.topics().await, [""; 0]);
        assert_eq!(ci.topics().await, [""; 0]);

        // Its own all work, and what is retained of the other's never comes.
        let status = "hanqi/gateway/G1/status";
        assert_eq!(one.publish(status, 1, true).await, Some(0));
        assert_eq!(one.topics().await, [status]);
        assert_eq!(ci.topics().await, [status]);
        for filter in ["hanqi/gateway/G2/+", "$share/mine/hanqi/gateway/G2/note"] {
            assert_eq!(two.subscribe(filter).await, Some(1), "{filter}");
        }
        assert_eq!(two.topics().await, [""; 0]);
        assert_eq!(
            two.publish("hanqi/gateway/G2/note", 2, false).await,
            Some(0)
        );
        let heard = two.topics().await;
        assert!(!heard.is_empty());
        assert!(heard.iter().all(|it| it == "hanqi/gateway/G2/note"));
        assert_eq!(one.topics().await, [""; 0]);
        // No longer retained.
        one.publish_bytes(status, 1, true, b"").await;
    }
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_takes_a_session_over_that_is_anothers() {
    let app = closed().await;
    for is_v5 in VERSIONS {
        let named = Hello {
            id: "a-session",
            keeps: true,
            ..gateway_one(is_v5)
        };
        let mut one = MqttClient::connected(app.mqtt_port, named).await;
        one.subscribe("hanqi/gateway/G1/command").await;
        for is_there in [true, false] {
            for thief in [gateway_two(is_v5), machine(is_v5)] {
                let thief = Hello {
                    id: "a-session",
                    ..thief
                };
                let (_, code) = MqttClient::connect(app.mqtt_port, thief).await;
                assert_eq!(code, not_authorized(is_v5));
            }
            assert_eq!(one.ping().await, is_there);
            one.close().await;
        }
        // Its own next connection does, and the one before is closed.
        let mut one = MqttClient::connected(app.mqtt_port, named).await;
        let fresh = Hello {
            keeps: false,
            ..named
        };
        let _newer = MqttClient::connected(app.mqtt_port, fresh).await;
        one.ended().await;

        // An id that a registered gateway has is that gateway's, whether or not it is there.
        let mut one = MqttClient::connected(app.mqtt_port, gateway_one(is_v5)).await;
        let heartbeat =
            br#"{"msgType":"heartbeat","uuid":"G1","data":{"firmwareVersion":"1.0.0"}}"#;
        let report = "hanqi/gateway/G1/report";
        one.publish_bytes(report, 1, false, heartbeat).await;
        eventually("a gateway", async || {
            let db = app.db().await;
            let there = db.read().await.unwrap().gateway("G1").await.unwrap();
            db.close().await;
            there
        })
        .await;
        drop(one);
        let thief = Hello {
            id: "G1",
            ..gateway_two(is_v5)
        };
        let (_, code) = MqttClient::connect(app.mqtt_port, thief).await;
        assert_eq!(code, not_authorized(is_v5));
    }
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whose_token_ends_is_cut_and_who_never_showed_one_too() {
    let app = TestApp::start().await;
    let stranger = Hello {
        id: "stranger",
        keeps: true,
        ..Hello::default()
    };
    let mut open = MqttClient::connected(app.mqtt_port, stranger).await;
    assert_eq!(open.subscribe("#").await, Some(1));
    add_credentials(&app).await;
    open.ended().await;
    let (_, code) = MqttClient::connect(app.mqtt_port, stranger).await;
    assert_eq!(code, not_authorized(false));

    let now = app.clock.now().to_rfc3339();
    for end in [
        format!("UPDATE gateway_tokens SET revoked_at = '{now}' WHERE gateway_id = 'G1'"),
        format!("UPDATE gateway_tokens SET expires_at = '{now}' WHERE gateway_id = 'G2'"),
        format!("UPDATE tokens SET revoked_at = '{now}'"),
    ] {
        let hello = match &end {
            end if end.contains("G1") => gateway_one(true),
            end if end.contains("G2") => gateway_two(true),
            _ => machine(true),
        };
        let mut client = MqttClient::connected(app.mqtt_port, hello).await;
        execute(&app, &end).await;
        let began = Instant::now();
        client.ended().await;
        println!("cut after {:?}", began.elapsed());
        assert!(began.elapsed() < SOON);
        app.service().forget_credentials().await.unwrap();
        let (_, code) = MqttClient::connect(app.mqtt_port, hello).await;
        assert_eq!(code, not_authorized(true));
    }
    app.stop().await;
}

fn local() -> SocketAddr {
    ([127, 0, 0, 1], 0).into()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_says_too_much_waits_and_no_other_does() {
    let broker = EmbeddedBroker::start(EmbeddedBrokerOptions {
        on_connect: Arc::new(|it| Box::pin(async { Ok(Admission::Gateway(it.client_id)) })),
        messages_per_second: 5,
        ..open_to_all(local(), take_all())
    });
    let broker = broker.await.unwrap();
    let port = broker.local_addr().port();
    let mut loud = MqttClient::connected(port, gateway_one(true)).await;
    let mut calm = MqttClient::connected(port, gateway_two(true)).await;
    // Ten seconds' worth may come at once.
    for _ in 0..50 {
        assert_eq!(loud.publish("hanqi/gateway/G1/a", 1, false).await, Some(0));
    }
    let began = Instant::now();
    for _ in 0..10 {
        assert_eq!(loud.publish("hanqi/gateway/G1/a", 1, false).await, Some(0));
    }
    let took = began.elapsed();
    assert!(took > Duration::from_secs(1), "{took:?}");
    let began = Instant::now();
    for _ in 0..10 {
        assert_eq!(calm.publish("hanqi/gateway/G2/a", 1, false).await, Some(0));
    }
    assert!(began.elapsed() < took, "{:?}", began.elapsed());

    let large = vec![b'x'; 256 << 10];
    let told = calm.publish_bytes("hanqi/gateway/G2/a", 1, false, &large);
    assert_eq!(told.await, Some(0x87));
    assert!(calm.ping().await);
    broker.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_nobody_can_be_known_clients_wait_and_are_told_to_try_again() {
    let away = Arc::new(AtomicBool::new(true));
    let on_connect: OnConnect = {
        let away = away.clone();
        Arc::new(move |_| {
            let is_away = away.load(Ordering::Relaxed);
            Box::pin(async move {
                match is_away {
                    true => Err(Refusal::Unavailable),
                    false => Ok(Admission::Open),
                }
            })
        })
    };
    let broker = EmbeddedBroker::start(EmbeddedBrokerOptions {
        on_connect,
        ..open_to_all(local(), take_all())
    });
    let broker = broker.await.unwrap();
    let port = broker.local_addr().port();
    let ((_, old), (_, new)) = tokio::join!(
        MqttClient::connect(port, gateway_one(false)),
        MqttClient::connect(port, gateway_two(true))
    );
    assert_eq!((old, new), (Some(3), Some(0x88)));
    let back = async {
        sleep(Duration::from_secs(1)).await;
        away.store(false, Ordering::Relaxed);
    };
    let ((_, code), ()) = tokio::join!(MqttClient::connect(port, gateway_one(true)), back);
    assert_eq!(code, Some(0));
    broker.shutdown().await;
}
