//! Server-Sent Events.

use airlift::{
    domain::{Event, EventKind},
    store::{Db, EventFilter},
};
use airlift_testkit::TestDatabase;
use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
    time::timeout,
};
use uuid::Uuid;

use crate::{
    app::{SOON, Setup, TestApp, eventually},
    listener::{Heard, Listener},
};

/// Listeners that a server takes.
const LISTENERS_MAX: usize = 256;

fn ids(heard: &[Heard]) -> Vec<i64> {
    heard.iter().map(|heard| heard.id.unwrap()).collect()
}

/// Late enough that no event is ever deleted as an old one while a test listens.
fn at(second: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(4_000_000_000 + second, 0).unwrap()
}

fn event(kind: EventKind, gateway_id: &str) -> Event {
    Event {
        kind,
        gateway_id: Some(gateway_id.to_owned()),
        task_id: None,
        rollout_id: None,
        data: json!({}),
        created_at: at(0),
    }
}

async fn record(db: &Db, events: impl IntoIterator<Item = Event>) {
    let mut tx = db.begin().await.unwrap();
    for event in events {
        tx.record(event);
    }
    tx.commit().await.unwrap();
}

#[tokio::test]
async fn what_happens_to_firmware_is_heard_as_it_happens() {
    let app = TestApp::start().await;
    app.upload("1.0.0", b"before anybody listens").await.data();
    let mut listener = Listener::open(&app, "?kind=firmware").await;
    app.released("1.0.1").await;
    app.upload("1.0.2", b"a draft").await.data();
    app.delete("/api/ota/firmware/1.0.2").await.data();
    let heard = listener.hear(4).await;
    let told: Vec<_> = heard
        .iter()
        .map(|heard| {
            assert_eq!(heard.event, "firmware");
            assert_eq!(heard.data["kind"], "firmware");
            assert_eq!(heard.data["eventId"], heard.id.unwrap());
            assert_eq!(heard.data["gatewayId"], Value::Null);
            let data = &heard.data["data"];
            [&data["change"][0], &data["version"], &data["status"]]
                .map(|word| word.as_str().unwrap())
        })
        .collect();
    assert_eq!(
        told,
        [
            ["uploaded", "1.0.1", "draft"],
            ["status", "1.0.1", "released"],
            ["uploaded", "1.0.2", "draft"],
            ["deleted", "1.0.2", "draft"]
        ]
    );
    assert!(heard[0].data["createdAt"].as_str().unwrap().ends_with('Z'));
    assert_eq!(heard[0].data["data"]["fileSize"], "image 1.0.1".len());
    drop(listener);
    app.stop().await;
}

#[tokio::test]
async fn a_filter_lets_pass_what_it_names() {
    let app = TestApp::start().await;
    let db = app.db().await;
    let (task_id, rollout_id) = (Uuid::from_u128(1), Uuid::from_u128(2));
    record(
        &db,
        [
            event(EventKind::Gateway, "a"),
            event(EventKind::Task, "a"),
            event(EventKind::TaskProgress, "b"),
            Event {
                task_id: Some(task_id),
                rollout_id: Some(rollout_id),
                ..event(EventKind::Task, "b")
            },
            Event {
                gateway_id: None,
                rollout_id: Some(rollout_id),
                ..event(EventKind::Rollout, "")
            },
        ],
    )
    .await;
    for (filter, numbers) in [
        ("", vec![1, 2, 3, 4, 5]),
        ("&kind=task,rollout", vec![2, 4, 5]),
        ("&gatewayId=a", vec![1, 2]),
        (&format!("&taskId={task_id}"), vec![4]),
        (&format!("&rolloutId={rollout_id}"), vec![4, 5]),
        (&format!("&rolloutId={rollout_id}&kind=task"), vec![4]),
    ] {
        let mut listener = Listener::open(&app, &format!("?lastEventId=0{filter}")).await;
        let heard = listener.hear(numbers.len()).await;
        assert_eq!(ids(&heard), numbers, "{filter}");
    }
    db.close().await;
    app.stop().await;
}

#[tokio::test]
async fn a_listener_goes_on_after_the_last_event_it_heard() {
    let app = TestApp::start().await;
    let db = app.db().await;
    record(&db, (0..250).map(|_| event(EventKind::Gateway, "a"))).await;
    let from_start = Listener::open(&app, "?lastEventId=0").await.hear(250).await;
    assert_eq!(ids(&from_start), (1..=250).collect::<Vec<_>>());
    let mut after = Listener::open(&app, "?lastEventId=248").await;
    assert_eq!(ids(&after.hear(2).await), [249, 250]);
    // A browser that reconnects keeps its address and adds the header.
    let mut reconnected = Listener::resume(&app, "?lastEventId=0", Some(249)).await;
    assert_eq!(ids(&reconnected.hear(1).await), [250]);
    let mut from_now = Listener::open(&app, "").await;
    record(&db, [event(EventKind::Gateway, "b")]).await;
    for listener in [&mut after, &mut reconnected, &mut from_now] {
        let heard = listener.next().await.unwrap();
        assert_eq!(heard.id, Some(251));
        assert_eq!(heard.data["gatewayId"], "b");
    }
    drop((after, reconnected, from_now));
    db.close().await;
    app.stop().await;
}

/// The first event that somebody hears who has heard up to `last`.
async fn first_after(app: &TestApp, last: i64, query: &str) -> Heard {
    let query = format!("?lastEventId={last}{query}");
    Listener::open(app, &query).await.next().await.unwrap()
}

#[tokio::test]
async fn events_that_are_no_longer_kept_are_said_to_be_missing() {
    let app = TestApp::start().await;
    let db = app.db().await;
    let mut events = vec![event(EventKind::Gateway, "a"); 8];
    events[2].kind = EventKind::TaskProgress;
    events[4].kind = EventKind::TaskProgress;
    for late in &mut events[5..] {
        late.created_at = at(60);
    }
    record(&db, events).await;
    let mut tx = db.begin().await.unwrap();
    let deleted = tx.delete_old_events(EventKind::TaskProgress, at(1), 9);
    assert_eq!(deleted.await.unwrap(), 2, "the third and the fifth");
    tx.commit().await.unwrap();
    for last in [1, 4] {
        let heard = first_after(&app, last, "").await;
        assert_eq!((heard.event.as_str(), heard.id), ("gap", None));
        let gap = json!({ "lastEventId": last, "deletedUpTo": 5, "newestEventId": 8 });
        assert_eq!(heard.data, gap);
    }
    // What is kept comes after the gap.
    let mut listener = Listener::open(&app, "?lastEventId=1").await;
    let heard = listener.hear(4).await;
    assert_eq!(ids(&heard[1..]), [2, 4, 6]);
    for (last, query, next) in [
        (0, "", 1),
        (5, "", 6),
        (6, "", 7),
        (1, "&kind=gateway,task", 2),
    ] {
        let heard = first_after(&app, last, query).await;
        assert_eq!(heard.id, Some(next), "after {last}");
    }
    // Not one of this database.
    let mut listener = Listener::open(&app, "?lastEventId=4711").await;
    assert_eq!(listener.next().await.unwrap().event, "gap");
    record(&db, [event(EventKind::Gateway, "a")]).await;
    assert_eq!(listener.next().await.unwrap().id, Some(9));

    let mut tx = db.begin().await.unwrap();
    tx.delete_old_events(EventKind::Gateway, at(99), 99)
        .await
        .unwrap();
    tx.commit().await.unwrap();
    let heard = first_after(&app, 8, "").await;
    assert_eq!(heard.event, "gap", "although nothing at all is kept");
    let mut up_to_date = Listener::open(&app, "?lastEventId=9").await;
    record(&db, [event(EventKind::Gateway, "a")]).await;
    assert_eq!(up_to_date.next().await.unwrap().id, Some(10));
    drop((listener, up_to_date));
    db.close().await;
    app.stop().await;
}

#[tokio::test]
async fn a_question_that_makes_no_sense_is_refused() {
    let app = TestApp::start().await;
    for (query, code) in [
        ("?kind=tasks", "invalid_kind"),
        ("?kind=", "invalid_kind"),
        ("?lastEventId=-1", "invalid_last_event_id"),
        ("?lastEventId=x", "invalid_last_event_id"),
        ("?gatewayId=a/b", "invalid_gateway_id"),
        ("?taskId=x", "invalid_query"),
    ] {
        let answer = app.get(&format!("/api/ota/events{query}")).await;
        answer.refused(400, code);
    }
    let answer = app
        .get_with("/api/ota/events", &[("Last-Event-ID", "one")])
        .await;
    let message = answer.refused(400, "invalid_last_event_id");
    assert!(message.contains("it is a number"), "{message}");
    app.stop().await;
}

/// A connection that asks for the events and reads the head of the answer alone.
async fn silent_listener(app: &TestApp, query: &str) -> TcpStream {
    let mut stream = TcpStream::connect(app.http_addr).await.unwrap();
    let request = format!("GET /api/ota/events{query} HTTP/1.1\r\nHost: x\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(timeout(SOON, stream.read_u8()).await.unwrap().unwrap());
    }
    let head = String::from_utf8(head).unwrap();
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    stream
}

#[tokio::test]
async fn listeners_have_a_limit_and_one_that_leaves_makes_room() {
    let app = TestApp::start().await;
    let mut listeners = Vec::new();
    for _ in 0..LISTENERS_MAX {
        listeners.push(silent_listener(&app, "").await);
    }
    let gauge = "airlift_event_streams";
    assert_eq!(app.metric(gauge).await, LISTENERS_MAX as f64);
    let refusal = app.get("/api/ota/events").await;
    let message = refusal.refused(503, "too_many_streams");
    assert!(message.contains("256 listeners"), "{message}");
    listeners.pop();
    eventually("the free place", async || {
        (app.metric(gauge).await == (LISTENERS_MAX - 1) as f64).then_some(())
    })
    .await;
    listeners.push(silent_listener(&app, "").await);
    drop(listeners);
    eventually("nobody to listen", async || {
        (app.metric(gauge).await == 0.0).then_some(())
    })
    .await;
    app.stop().await;
}

#[tokio::test]
async fn a_listener_that_does_not_read_holds_nobody_back_and_misses_nothing() {
    const EVENTS: i64 = 6000;
    let app = TestApp::start().await;
    let db = app.db().await;
    let mut silent = silent_listener(&app, "").await;
    let mut listener = Listener::open(&app, "").await;
    // More than all buffers between here and there.
    let large = Event {
        data: json!({ "filling": "x".repeat(2000) }),
        ..event(EventKind::Gateway, "a")
    };
    record(&db, (0..EVENTS).map(|_| large.clone())).await;
    let heard = listener.hear(EVENTS as usize).await;
    assert_eq!(ids(&heard), (1..=EVENTS).collect::<Vec<_>>());

    let mut numbers = Vec::new();
    let mut lines = BufReader::new(&mut silent).lines();
    while numbers.last() != Some(&EVENTS) {
        let line = timeout(SOON, lines.next_line()).await.unwrap().unwrap();
        let line = line.expect("the stream goes on");
        // The length of a chunk stands between two lines, never within one.
        numbers.extend(
            line.strip_prefix("id: ")
                .map(|id| id.parse::<i64>().unwrap()),
        );
    }
    assert_eq!(numbers, (1..=EVENTS).collect::<Vec<_>>());
    drop((silent, listener));
    db.close().await;
    app.stop().await;
}

#[tokio::test]
async fn a_server_that_stops_ends_its_streams_in_order() {
    let mut app = TestApp::start().await;
    let mut listener = Listener::open(&app, "").await;
    app.end().await;
    // A stream that is cut would be an error.
    let end = timeout(SOON, listener.next())
        .await
        .expect("an end in time");
    assert!(end.is_none());
    app.run().await;
    app.ready().await;
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_and_goes_while_two_servers_write_hears_everything_once() {
    const LARGE_TRANSACTIONS: usize = 40;
    const EVENTS_OF_LARGE: usize = 500;
    let database = TestDatabase::create().unwrap();
    let setup = Setup {
        database_url: Some(database.url().to_owned()),
        ..Setup::default()
    };
    let app = setup.start().await;
    // One is long between its first number and its commit; the other would overtake it there.
    let (one, other) = (app.db().await, app.db().await);
    let large = tokio::spawn(async move {
        for _ in 0..LARGE_TRANSACTIONS {
            let events = (0..EVENTS_OF_LARGE).map(|_| event(EventKind::Gateway, "large"));
            record(&one, events).await;
        }
        one.close().await;
    });
    let small = tokio::spawn(async move {
        let mut written = 0;
        while !large.is_finished() {
            record(&other, [event(EventKind::Gateway, "small")]).await;
            written += 1;
        }
        record(&other, [event(EventKind::Gateway, "last")]).await;
        other.close().await;
        written
    });
    let is_last = |heard: &Heard| heard.data["gatewayId"] == "last";
    let mut heard: Vec<Heard> = Vec::new();
    let mut visits = 0;
    while !heard.last().is_some_and(is_last) {
        let last = heard.last().map_or(0, |heard| heard.id.unwrap());
        let mut listener = Listener::resume(&app, "", Some(last)).await;
        for _ in 0..1 + visits * 97 % 400 {
            heard.extend(listener.hear(1).await);
            if heard.last().is_some_and(is_last) {
                break;
            }
        }
        visits += 1;
    }
    let small = small.await.unwrap();
    println!(
        "{} events heard in {visits} visits, {small} of them small",
        heard.len()
    );
    let db = app.db().await;
    let mut tx = db.read().await.unwrap();
    let stored = tx
        .events(&EventFilter::default(), 0, i64::MAX, i64::MAX)
        .await
        .unwrap();
    drop(tx);
    let stored: Vec<i64> = stored.iter().map(|event| event.event_id).collect();
    assert_eq!(
        stored.len(),
        LARGE_TRANSACTIONS * EVENTS_OF_LARGE + small + 1
    );
    assert!(
        ids(&heard) == stored,
        "{} heard of {}",
        heard.len(),
        stored.len()
    );
    db.close().await;
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_is_not_seen_before_one_that_has_a_lower_number_and_is_still_written() {
    /// Held while events are written: their numbers become visible in order.
    const ORDER_LOCK: i64 = 0x6169_726c_6966_7401;
    let database = TestDatabase::create().unwrap();
    let setup = Setup {
        database_url: Some(database.url().to_owned()),
        ..Setup::default()
    };
    let app = setup.start().await;
    let mut listener = Listener::open(&app, "").await;
    let db = app.db().await;
    let Db::Postgres(pool) = &db else {
        panic!("a PostgreSQL database");
    };
    let mut slow = pool.begin().await.unwrap();
    let lock = sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(ORDER_LOCK);
    lock.execute(&mut *slow).await.unwrap();
    let insert = "INSERT INTO events (kind, gateway_id, data, created_at)
                  VALUES ('gateway', 'first', '{}', now())";
    sqlx::query(insert).execute(&mut *slow).await.unwrap();
    let quick = db.clone();
    let quick = tokio::spawn(async move {
        record(&quick, [event(EventKind::Gateway, "second")]).await;
    });
    eventually("the second writer to wait", async || {
        let waiting = "SELECT COUNT(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted
                       AND database = (SELECT oid FROM pg_database
                                       WHERE datname = current_database())";
        let waiting: i64 = sqlx::query_scalar(waiting).fetch_one(pool).await.unwrap();
        (waiting == 1).then_some(())
    })
    .await;
    slow.commit().await.unwrap();
    quick.await.unwrap();
    let heard = listener.hear(2).await;
    let names: Vec<&Value> = heard.iter().map(|heard| &heard.data["gatewayId"]).collect();
    assert_eq!(names, ["first", "second"]);
    drop(listener);
    db.close().await;
    app.stop().await;
}
